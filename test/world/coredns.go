package world

import (
	"context"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Main runs a package's tests and removes the server that was built for them. A package whose tests
// start CoreDNS has `func TestMain(m *testing.M) { os.Exit(world.Main(m)) }`.
func Main(m *testing.M) int {
	dir, err := os.MkdirTemp("", "caa-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binaryDir = dir
	return m.Run()
}

// binaryDir is set before the first test runs, and only read afterwards.
var binaryDir string

// binary and fullBinary build cmd/coredns once for a package's tests. The full one has every plugin, and no
// race detector: go vet has compiled most of it before, which with the detector would take minutes.
var (
	binary     = sync.OnceValues(func() (string, error) { return build("coredns", buildFlags...) })
	fullBinary = sync.OnceValues(func() (string, error) { return build("coredns-full", "-tags", "full") })
)

func build(name string, flags ...string) (string, error) {
	if binaryDir == "" {
		return "", fmt.Errorf("the package's TestMain does not call world.Main")
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	if err := dependOnSources(root); err != nil {
		return "", err
	}
	path := filepath.Join(binaryDir, name)
	args := append([]string{"build", "-o", path}, flags...)
	build := exec.Command("go", append(args, "./cmd/coredns")...)
	build.Dir = root
	out, err := build.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build ./cmd/coredns: %w\n%s", err, out)
	}
	return path, nil
}

// moduleRoot is the folder of the module that has the server. The test that asks may be in a
// module of its own, whose dependencies are not the server's.
func moduleRoot() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/coredns-caa/caa").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go list -m: %w\n%s", err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// dependOnSources lists the folders of the module. The tests do not import the server that they run;
// go test remembers which folders a test has listed, and repeats a remembered result only while
// their contents are the same.
func dependOnSources(root string) error {
	for _, dir := range []string{"cmd", "plugin"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(_ string, _ fs.DirEntry, err error) error { return err })
		if err != nil {
			return err
		}
	}
	return nil
}

// CoreDNS starts this repository's server. In the Corefile, $ADDR and $PORT stand for where it
// shall answer and $DIR for its folder, which holds the files:
//
//	example.org:$PORT {
//	    bind $ADDR
//	    file $DIR/example.org.db
//	}
//
// A server that does not start fails the test and shows its log; see RunCoreDNS for refusals.
func CoreDNS(t testing.TB, corefile string, files map[string]string) *Process {
	t.Helper()
	return run(t, binary, corefile, files)
}

// FullCoreDNS is CoreDNS with the plugins that a lean build lacks.
func FullCoreDNS(t testing.TB, corefile string, files map[string]string) *Process {
	t.Helper()
	return run(t, fullBinary, corefile, files)
}

func run(t testing.TB, binary func() (string, error), corefile string, files map[string]string) *Process {
	t.Helper()
	server, dir, addr := prepare(t, binary, corefile, files)
	// The banner with the version is what CoreDNS prints last, once every listener is bound.
	return start(t, addr, dir, "\nCoreDNS-", server, "-conf", filepath.Join(dir, "Corefile"))
}

// RunCoreDNS runs the server with a Corefile that it must refuse, and returns its output. One that
// serves instead is ended, and fails the test.
func RunCoreDNS(t testing.TB, corefile string, files map[string]string) string {
	t.Helper()
	server, dir, _ := prepare(t, binary, corefile, files)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, server, "-conf", filepath.Join(dir, "Corefile"))
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err == nil || ctx.Err() != nil {
		t.Fatalf("CoreDNS ended without an error, or not by itself:\n%s", out)
	}
	return string(out)
}

// prepare builds the server and lays out its folder.
func prepare(t testing.TB, binary func() (string, error), corefile string, files map[string]string) (server, dir string, addr netip.AddrPort) {
	t.Helper()
	server, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	dir, addr = t.TempDir(), FreeAddr(t)
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		WriteFile(t, path, text)
	}
	corefile = strings.NewReplacer(
		"$ADDR", addr.Addr().String(),
		"$PORT", strconv.Itoa(int(addr.Port())),
		"$DIR", dir,
	).Replace(corefile)
	WriteFile(t, filepath.Join(dir, "Corefile"), withoutParents(corefile))
	return server, dir, addr
}

// block is a caa block with options, up to its closing brace.
var block = regexp.MustCompile(`(?ms)^(\s*caa [^\n]*\{\n.*?)^(\s*\})`)

// withoutParents keeps a server that says nothing of its zones' parents from asking for them: tests ask nobody
// beyond loopback.
func withoutParents(corefile string) string {
	if strings.Contains(corefile, "parent ") {
		return corefile
	}
	return block.ReplaceAllString(corefile, "${1}parent off\n$2")
}
