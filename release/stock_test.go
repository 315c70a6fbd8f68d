package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/mod/modfile"
)

// added are the modules that a stock CoreDNS's go.mod has only with the plugin.
var added = []string{"github.com/coredns-caa/caa"}

// raised are those that it has in a newer version with the plugin: what this module has raised since that CoreDNS was
// released, for fixes. Each is CoreDNS's own choice of module.
var raised = []string{
	"github.com/klauspost/compress",
	"github.com/prometheus/client_golang",
	"github.com/prometheus/procfs",
	"go.yaml.in/yaml/v3",
	"golang.org/x/crypto",
	"golang.org/x/mod",
	"golang.org/x/net",
	"golang.org/x/sync",
	"golang.org/x/term",
	"golang.org/x/text",
}

// Adding the plugin to the CoreDNS release that we build with adds no other module to its go.mod: what the checker, the
// tests and releases need stays out.
func TestStockModules(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	module, err := command(t.Context(), root, nil, "go", "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", "github.com/coredns/coredns")
	if err != nil {
		t.Fatal(err)
	}
	stock := filepath.Join(t.TempDir(), "coredns")
	if err := os.CopyFS(stock, os.DirFS(module)); err != nil {
		t.Fatal(err)
	}
	before := requirements(t, stock)
	// plugin.cfg's line becomes an import; `go get` then finds what is missing.
	text := "package main\n\nimport _ \"github.com/coredns-caa/caa/plugin/caa\"\n"
	if err := os.WriteFile(filepath.Join(stock, "caa.go"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"mod", "edit", "-replace=github.com/coredns-caa/caa=" + root, "-require=github.com/coredns-caa/caa@v0.0.0"},
		{"get", "."},
	} {
		if _, err := command(t.Context(), stock, append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod"), "go", args...); err != nil {
			t.Fatal(err)
		}
	}
	var gotAdded, gotRaised []string
	after := requirements(t, stock)
	for _, path := range slices.Sorted(maps.Keys(after)) {
		switch before[path] {
		case after[path]:
		case "":
			gotAdded = append(gotAdded, path)
		default:
			t.Logf("%s: %s -> %s", path, before[path], after[path])
			gotRaised = append(gotRaised, path)
		}
	}
	if !slices.Equal(gotAdded, added) {
		t.Errorf("added: %q, want %q", gotAdded, added)
	}
	if !slices.Equal(gotRaised, raised) {
		t.Errorf("raised: %q, want %q", gotRaised, raised)
	}
}

// requirements returns the modules of a go.mod with their versions.
func requirements(t *testing.T, folder string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	file, err := modfile.Parse("go.mod", text, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, r := range file.Require {
		all[r.Mod.Path] = r.Mod.Version
	}
	return all
}
