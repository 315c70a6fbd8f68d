//go:build !full

package main

import (
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/coredns/caddy"
)

func TestLeftOutIsWhatTheFullBuildAdds(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "plugins_full.go", nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var added []string
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		added = append(added, path.Base(imported))
	}
	slices.Sort(added)
	if !slices.Equal(added, leftOut) {
		t.Errorf("plugins_full.go adds %v, plugins_lean.go names %v", added, leftOut)
	}
}

func TestLeftOutPluginSaysHowToBuild(t *testing.T) {
	t.Parallel()
	for _, name := range leftOut {
		setup, err := caddy.DirectiveAction("dns", name)
		if err != nil {
			t.Fatal(err)
		}
		err = setup(caddy.NewTestController("dns", name+" cluster.local {\n}\n"))
		if err == nil || !strings.Contains(err.Error(), "build with -tags full") || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v, want one that names the plugin and -tags full", name, err)
		}
	}
}
