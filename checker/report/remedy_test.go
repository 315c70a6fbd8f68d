package report

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

// permitting are the reasons of permissions alone, which nobody has to mend.
var permitting = map[issuance.Reason]bool{issuance.NoRRset: true, issuance.Authorized: true}

// reasons are the constants of a package whose type is a verdict's reason.
func reasons(t *testing.T, dir string) map[string]issuance.Reason {
	t.Helper()
	out := map[string]issuance.Reason{}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v", dir, err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 {
				return true
			}
			of := ""
			switch typed := spec.Type.(type) {
			case *ast.Ident:
				of = typed.Name
			case *ast.SelectorExpr:
				of = typed.Sel.Name
			}
			value, literal := spec.Values[0].(*ast.BasicLit)
			if text := ""; literal && (of == "Reason" || of == "AccountFault") {
				if text, err = strconv.Unquote(value.Value); err == nil && text != "" {
					out[spec.Names[0].Name] = issuance.Reason(text)
				}
			}
			return true
		})
	}
	return out
}

// Whatever a verdict's reason is, there is something to do about it, and no remedy is of a reason that is gone.
func TestEveryReasonHasARemedy(t *testing.T) {
	t.Parallel()
	known := map[issuance.Reason]bool{driftCode: true}
	for _, dir := range []string{"../../plugin/pkg/issuance", "../../plugin/pkg/guard", "../../plugin/pkg/issuers", "../verdict", "../check"} {
		for name, reason := range reasons(t, dir) {
			known[reason] = true
			if (remedies[reason] == "") != permitting[reason] {
				t.Errorf("%s: the reason %s, %q, has the remedy %q", dir, name, reason, remedies[reason])
			}
		}
	}
	for reason, remedy := range remedies {
		if !known[reason] {
			t.Errorf("no verdict has the reason %q", reason)
		}
		if strings.HasSuffix(remedy, ".") || remedy == "" {
			t.Errorf("%s: %q is no part of a sentence", reason, remedy)
		}
	}
	if v := (Verdict{Outcome: verdict.MayIssue, Reason: issuance.NoProperty}); v.Remedy() != "" {
		t.Errorf("a permission has the remedy %q", v.Remedy())
	}
}
