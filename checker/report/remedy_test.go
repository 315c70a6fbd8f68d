package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

var update = flag.Bool("update", false, "write docs/reasons.md anew")

// permitting are the reasons that let a CA in, for which there is nothing to mend.
var permitting = []issuance.Reason{issuance.NoRRset, issuance.NoProperty, issuance.Authorized}

// ofSights is the package whose reasons are those of one perspective's sight: a verdict takes one over only
// where the perspectives corroborate it.
const ofSights = "perspective"

// reasonTypes are the types of constants that become a verdict's reason, as their own package and others write them.
var reasonTypes = map[string]bool{"issuance.Reason": true, "issuers.AccountFault": true}

// Whatever reason is declared, whoever reads it is told what to do.
func TestEveryReasonHasARemedy(t *testing.T) {
	t.Parallel()
	declared := map[issuance.Reason]string{}
	for _, root := range []string{"..", "../../plugin/pkg"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err == nil && file.Name.Name != ofSights {
				for _, reason := range reasonsIn(t, file) {
					declared[reason] = path
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, known := range []issuance.Reason{verdict.Bogus, issuance.IssuerNotListed, "one-server-denies", "quorum-contested", "account-of-staging"} {
		if declared[known] == "" {
			t.Fatalf("%s is declared somewhere, and was not found", known)
		}
	}
	for reason, path := range declared {
		if has := remedies[reason] != ""; has == slices.Contains(permitting, reason) {
			t.Errorf("%s of %s: it has a remedy: %v", reason, path, has)
		}
	}
	for reason, remedy := range remedies {
		if strings.Contains(remedy, "\n") || strings.HasSuffix(remedy, ".") || terminal.Clean(remedy) != remedy {
			t.Errorf("%s: the remedy is no line to be put into another: %q", reason, remedy)
		}
	}
}

// reasonsIn are the constants of a file that are reasons.
func reasonsIn(t *testing.T, file *ast.File) []issuance.Reason {
	var out []issuance.Reason
	for _, decl := range file.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, s := range group.Specs {
			spec := s.(*ast.ValueSpec)
			name := ""
			switch kind := spec.Type.(type) {
			case *ast.Ident:
				name = file.Name.Name + "." + kind.Name
			case *ast.SelectorExpr:
				name = fmt.Sprint(kind.X, ".", kind.Sel)
			}
			if !reasonTypes[name] {
				continue
			}
			for _, value := range spec.Values {
				literal, ok := value.(*ast.BasicLit)
				if !ok {
					t.Errorf("the reason %v is no literal", spec.Names)
					continue
				}
				text, err := strconv.Unquote(literal.Value)
				if err != nil {
					t.Fatal(err)
				}
				if text != "" {
					out = append(out, issuance.Reason(text))
				}
			}
		}
	}
	return out
}

// The remedy stands wherever the verdict or the drift does, and nowhere that a CA may issue.
func TestRemediesAreShown(t *testing.T) {
	t.Parallel()
	want := remedies[issuance.IssuerNotListed]
	of := func(outcome verdict.Outcome) *Report {
		return &Report{Version: 1, Complete: true, RulesOf: "2026-11-25", Names: []Name{{
			Name: "www.example", Relevant: &Relevant{Owner: "example", Properties: []Property{{0, "issue", "ca.example"}}},
			Verdicts: []Verdict{{Issuer: "other.example", Outcome: outcome, Reason: issuance.IssuerNotListed}},
		}}}
	}
	drifting := of(verdict.MayIssue)
	drifting.Names[0].Drift = []Drift{{Pos: policy.Position{File: "caa.yaml", Line: 3, Column: 7}, Server: "ns1.example"}}
	for name, tt := range map[string]struct {
		r    *Report
		want string
	}{
		"locked out":         {of(verdict.LockedOut), want},
		"at risk":            {of(verdict.AtRisk), want},
		"could not find out": {of(verdict.Unknown), want},
		"may issue":          {of(verdict.MayIssue), ""},
		"drift":              {drifting, driftRemedy},
	} {
		for form, text := range written(t, tt.r) {
			if tt.want == "" && strings.Contains(text, want) || !strings.Contains(text, tt.want) {
				t.Errorf("%s, %s: %q is not to be missing or there:\n%s", name, form, tt.want, text)
			}
		}
	}
}

// written is a report in every form, without what the form puts into text.
func written(t *testing.T, r *Report) map[string]string {
	t.Helper()
	out := map[string]string{}
	var text, page, junit, sarif, document bytes.Buffer
	for form, err := range map[string]error{
		"text": r.WriteText(&text, Style{}), "page": r.WriteHTML(&page), "junit": r.WriteJUnit(&junit), "sarif": r.WriteSARIF(&sarif), "json": r.WriteJSON(&document),
	} {
		if err != nil {
			t.Fatalf("%s: %v", form, err)
		}
	}
	out["text"] = text.String()
	out["page"] = strings.NewReplacer("&#39;", "'", "&#34;", `"`).Replace(page.String())
	var suites junitSuites
	if err := xml.Unmarshal(junit.Bytes(), &suites); err != nil {
		t.Fatal(err)
	}
	for _, c := range suites.Suites[0].Cases {
		for _, problem := range []*junitProblem{c.Failure, c.Error} {
			if problem != nil {
				out["junit"] += problem.Text
			}
		}
	}
	var log sarifLog
	if err := json.Unmarshal(sarif.Bytes(), &log); err != nil {
		t.Fatal(err)
	}
	for _, result := range log.Runs[0].Results {
		out["sarif"] += result.Message.Text
	}
	var values struct {
		Names []struct{ Verdicts, Drift []struct{ Remedy string } }
	}
	if err := json.Unmarshal(document.Bytes(), &values); err != nil {
		t.Fatal(err)
	}
	for _, v := range slices.Concat(values.Names[0].Verdicts, values.Names[0].Drift) {
		out["json"] += v.Remedy
	}
	return out
}

// The documentation is the table.
func TestReasonsAreDocumented(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	out.WriteString(`# Why a verdict is not "may issue"

Each verdict of caacheck has a reason, and the same line of what to do wherever it is shown: in text, on the page, in
JUnit and SARIF, and as ` + "`remedy`" + ` in JSON. The codes are stable. What is wrong in detail, and where, is told by
[the findings](findings.md).

| reason | what to do |
|---|---|
`)
	for _, reason := range slices.Sorted(maps.Keys(remedies)) {
		fmt.Fprintf(&out, "| `%s` | %s |\n", reason, remedies[reason])
	}
	fmt.Fprintf(&out, "\nWhere a server does not say what the policy says (`%s`): %s.\n", driftCode, driftRemedy)
	const file = "../../docs/reasons.md"
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != out.String() {
		t.Errorf("docs/reasons.md is not the table (%v); go test ./checker/report -update writes it", err)
	}
}
