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
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/catalog"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

var update = flag.Bool("update", false, "write docs/reasons.md")

// permitting are the reasons that permit a CA: there is nothing to fix.
var permitting = []issuance.Reason{issuance.NoRRset, issuance.NoProperty, issuance.Authorized}

// ofPerspectives is the package whose reasons are those of one perspective's observation: a verdict takes one over only
// where the perspectives corroborate it.
const ofPerspectives = "perspective"

// reasonTypes are the types of constants that become a verdict's reason, as their own package and others write them.
var reasonTypes = map[string]bool{"issuance.Reason": true, "issuers.AccountFault": true}

// Every reason that a package declares is in the table, with how to fix it.
func TestEveryReasonIsListed(t *testing.T) {
	t.Parallel()
	declared := map[issuance.Reason]string{}
	for _, root := range []string{"..", "../../plugin/pkg"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err == nil && file.Name.Name != ofPerspectives {
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
	for _, known := range []issuance.Reason{verdict.Bogus, issuance.IssuerNotListed, "servers-disagree", "quorum-contested", "account-of-staging"} {
		if declared[known] == "" {
			t.Fatalf("%s is declared somewhere, and was not found", known)
		}
	}
	if err := catalog.Check(append(verdict.Reasons(), drift)); err != nil {
		t.Error(err)
	}
	listed := map[string]bool{}
	for _, e := range append(verdict.Reasons(), drift) {
		listed[e.Code] = true
		if permits := slices.Contains(permitting, issuance.Reason(e.Code)); permits != (e.Fix == "") || permits != (e.Severity == catalog.Info) || e.Section == "" {
			t.Errorf("%+v is incomplete", e)
		}
		if declared[issuance.Reason(e.Code)] == "" && e.Code != drift.Code {
			t.Errorf("no package declares %s", e.Code)
		}
	}
	for reason, path := range declared {
		if !listed[string(reason)] {
			t.Errorf("%s of %s is not listed", reason, path)
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

// How to fix a verdict or a drift is in every form of the report; there is nothing to fix where a CA may issue.
func TestFixesAreShown(t *testing.T) {
	t.Parallel()
	const want = "add a record"
	of := func(outcome verdict.Outcome) *Report {
		fix := want
		if outcome == verdict.MayIssue {
			fix = ""
		}
		return &Report{Version: 1, Complete: true, RulesOf: "2026-11-25", Names: []Name{{
			Name: "www.example", Relevant: &Relevant{Owner: "example", Properties: []Property{{0, "issue", "ca.example"}}},
			Verdicts: []Verdict{{Issuer: "other.example", Outcome: outcome, Reason: issuance.IssuerNotListed, Fix: fix}},
		}}}
	}
	drifting := of(verdict.MayIssue)
	drifting.Names[0].Drift = []Drift{{Pos: policy.Position{File: "caa.yaml", Line: 3, Column: 7}, Server: "ns1.example", Fix: drift.Fix}}
	for name, tt := range map[string]struct {
		r    *Report
		want string
	}{
		"locked out": {of(verdict.LockedOut), want},
		"at risk":    {of(verdict.AtRisk), want},
		"unknown":    {of(verdict.Unknown), want},
		"may issue":  {of(verdict.MayIssue), ""},
		"drift":      {drifting, drift.Fix},
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
		Names []struct{ Verdicts, Drift []struct{ Fix string } }
	}
	if err := json.Unmarshal(document.Bytes(), &values); err != nil {
		t.Fatal(err)
	}
	for _, v := range slices.Concat(values.Names[0].Verdicts, values.Names[0].Drift) {
		out["json"] += v.Fix
	}
	return out
}

// The documentation is the table.
func TestReasonsAreDocumented(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	out.WriteString(`# Reasons of verdicts

Each verdict of caacheck has a reason, and where the CA may not issue, a fix: the same line in text, on the page, in
JUnit and SARIF, and as ` + "`fix`" + ` in JSON, followed by the record to write where it is known. The codes are stable.
[The findings](findings.md) show what is wrong in detail, and where.

| reason | what it means | how to fix it | section |
|---|---|---|---|
`)
	for _, e := range append(verdict.Reasons(), drift) {
		fmt.Fprintf(&out, "| `%s` | %s | %s | %s |\n", e.Code, e.Text, e.Fix, e.Section)
	}
	out.WriteString(`
What was looked up, and each zone on the way to it, has a security status (RFC 4035 4.3):

| status | what it means |
|---|---|
`)
	for _, m := range statusMeanings {
		fmt.Fprintf(&out, "| `%v` | %s |\n", m.status, m.text)
	}
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
