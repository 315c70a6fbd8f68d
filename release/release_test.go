package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"
)

// testVersion is a version that no commit has a tag of.
const testVersion = "v0.0.1-test.1"

// tested is what the ordinary test builds: the lean server, which it also puts into the image, and caacheck. The full
// server and the other platforms take minutes.
var tested = []target{
	{program: lean, os: "linux", arch: "amd64", packaged: true, image: true},
	{program: caacheck, os: "linux", arch: "amd64", packaged: true},
}

// out is where released writes.
var out string

// released builds a release for the tests, once.
var released = sync.OnceValue(func() error {
	log := func(format string, a ...any) { fmt.Fprintf(os.Stderr, format+"\n", a...) }
	return build(context.Background(), testVersion, tested, out, "", log)
})

func TestMain(m *testing.M) {
	var err error
	if out, err = os.MkdirTemp("", "released-"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(out)
	os.Exit(code)
}

func release(t *testing.T) string {
	t.Helper()
	if err := released(); err != nil {
		t.Fatal(err)
	}
	return out
}

// need skips a test where programs are missing; in CI it fails it, for test/all has installed them.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing", program)
		}
		t.Skipf("%s is missing: ./test/all installs it on Debian", program)
	}
}

// output runs a program, and fails the test if that fails.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput() // no context: also used in clean-ups
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestCommandLine(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "old"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"--version 1.0.0":                  "invalid --version",
		"--version v1.0":                   "invalid --version",
		"--version v1.0.0+dirty":           "invalid --version",
		"--platform plan9/amd64":           "there are darwin/amd64, darwin/arm64, linux/amd64, linux/arm64, windows/amd64",
		"v1.0.0":                           "unexpected argument",
		"--no-such-flag":                   "unknown flag",
		"-o " + full:                       "is not empty",
		"-o " + filepath.Join(full, "old"): "cannot write into -o",
	} {
		err := run(t.Context(), strings.Fields(args), t.Output())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
	}
}

// What is built twice, in two clones, is equal in every byte.
func TestReproducible(t *testing.T) {
	second := t.TempDir()
	if err := build(t.Context(), testVersion, tested, second, "", t.Logf); err != nil {
		t.Fatal(err)
	}
	if different, err := compare(release(t), second); err != nil || len(different) > 0 {
		t.Errorf("different: %q, %v", different, err)
	}
}

func TestSums(t *testing.T) {
	need(t, "sha256sum")
	cmd := exec.Command("sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS")
	cmd.Dir = release(t)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// A binary is static, says its version, and has no path of the machine that built it.
func TestBinaries(t *testing.T) {
	need(t, "tar")
	for _, test := range []struct {
		archive, binary, flag, want string
		notes                       []string
	}{
		{"coredns-caa", "coredns-caa", "-version", "caa " + testVersion + ", revision ", []string{"man/caa.7"}},
		{"caacheck", "caacheck", "--version", "caacheck " + testVersion, []string{"man/caacheck.1", "completions/caacheck", "completions/caacheck.fish", "completions/_caacheck"}},
	} {
		stem := test.archive + "_" + testVersion[1:] + "_linux_amd64"
		folder := t.TempDir()
		output(t, "tar", "-xzf", filepath.Join(release(t), stem+".tar.gz"), "-C", folder)
		folder = filepath.Join(folder, stem)
		if got := output(t, filepath.Join(folder, test.binary), test.flag); !strings.Contains(got, test.want) {
			t.Errorf("%s %s: %q, want %q", test.binary, test.flag, got, test.want)
		}
		for _, name := range append(test.notes, "LICENSE", "THIRD-PARTY-NOTICES") {
			if info, err := os.Stat(filepath.Join(folder, name)); err != nil || info.Size() < 1000 {
				t.Errorf("%s: %v, %v", name, info, err)
			}
		}
		text, err := os.ReadFile(filepath.Join(folder, test.binary))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{os.TempDir() + "/release-", "/pkg/mod/", "ld-linux"} {
			if strings.Contains(string(text), path) {
				t.Errorf("%s has %q in it", test.binary, path)
			}
		}
	}
}

// A manual page has no warning of man's, and its sections.
func TestManuals(t *testing.T) {
	need(t, "tar", "man")
	for name, sections := range map[string][]string{
		"coredns-caa/man/caa.7":   {"NAME", "DESCRIPTION", "SYNTAX", "KEYS", "METRICS"},
		"caacheck/man/caacheck.1": {"NAME", "DESCRIPTION", "CAACHECK CHECK", "CAACHECK KEYS ROLL"},
	} {
		program, page, _ := strings.Cut(name, "/")
		stem := program + "_" + testVersion[1:] + "_linux_amd64"
		folder := t.TempDir()
		output(t, "tar", "-xzf", filepath.Join(release(t), stem+".tar.gz"), "-C", folder)
		cmd := exec.Command("man", "--warnings=all", "--local-file", filepath.Join(folder, stem, page))
		cmd.Env = append(os.Environ(), "MANWIDTH=120", "LC_ALL=C.UTF-8")
		var complaint strings.Builder
		cmd.Stderr = &complaint
		text, err := cmd.Output()
		if err != nil || complaint.Len() > 0 {
			t.Errorf("%s: %v, %s", name, err, complaint.String())
		}
		for _, section := range sections {
			if !slices.Contains(strings.Split(string(text), "\n"), section) {
				t.Errorf("%s has no section %s", name, section)
			}
		}
	}
}

// The bill of materials has the modules that Go has recorded, each with a licence.
func TestBillOfMaterials(t *testing.T) {
	file, err := os.Open(filepath.Join(release(t), "caacheck_"+testVersion[1:]+"_linux_amd64.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var bom cyclonedx.BOM
	if err := cyclonedx.NewBOMDecoder(file, cyclonedx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	if got, want := bom.Metadata.Component.PackageURL, "pkg:golang/github.com/coredns-caa/caa@"+testVersion; got != want {
		t.Errorf("it is about %s, want %s", got, want)
	}
	var names []string
	for _, c := range *bom.Components {
		names = append(names, c.Name)
		if len(*c.Licenses) == 0 {
			t.Errorf("%s has no licence", c.Name)
		}
	}
	for _, want := range []string{"std", "github.com/miekg/dns", "golang.org/x/crypto"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is missing in %q", want, names)
		}
	}
	for _, not := range []string{"github.com/goreleaser/nfpm/v2", "github.com/go-acme/lego/v5"} {
		if slices.Contains(names, not) {
			t.Errorf("%s is in it", not)
		}
	}
}

// All that can be in any release has a licence that is allowed. The modules are those of every target; nothing is built.
func TestLicences(t *testing.T) {
	s, err := checkOut(t.Context(), filepath.Join(t.TempDir(), "source"), "", "", t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range targets {
		all, err := s.licences(t.Context(), target)
		if err != nil {
			t.Errorf("%s for %s: %v", target.name, target.platform(), err)
		}
		if len(all) < 10 {
			t.Errorf("%s for %s: only %d licence files", target.name, target.platform(), len(all))
		}
	}
}

func TestPermitted(t *testing.T) {
	mit := licence{module: "a", file: "LICENSE", ids: []string{"MIT"}}
	for _, test := range []struct {
		name    string
		all     []licence
		modules []string
		want    string
	}{
		{"allowed", []licence{mit}, []string{"a"}, ""},
		{"not allowed", []licence{mit, {module: "b", file: "x/COPYING", ids: []string{"AGPL-3.0"}}}, []string{"a", "b"}, "b/x/COPYING: the licence AGPL-3.0 is not"},
		{"no file", []licence{mit}, []string{"a", "c"}, "c: no known licence"},
		{"a notice alone", []licence{mit, {module: "d", file: "NOTICE"}}, []string{"d"}, "d: no known licence"},
	} {
		err := permitted(test.all, test.modules)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}
