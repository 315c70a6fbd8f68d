package guard

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/coredns-caa/caa/plugin/pkg/catalog"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

func TestEntries(t *testing.T) {
	t.Parallel()
	if err := catalog.Check(Entries()); err != nil {
		t.Error(err)
	}
	for _, e := range Entries() {
		if e.Fix == "" {
			t.Errorf("%s: no fix", e.Code)
		}
	}
}

// What the guard reports has the severity that the table has for it: a refusal is an error, a warning a warning, or an error
// where the table says that it is lenient. Every such place is shown by a case.
func TestSeverities(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	refused, warned := map[string]string{}, map[string]string{}
	for _, file := range files {
		ar, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		report, err := held(t, ar, part(ar, "caa.yaml"))
		if err != nil {
			continue
		}
		for _, r := range report.Refusals {
			refused[r.Code] = file
		}
		for _, w := range report.Warnings {
			warned[w.Code] = file
		}
	}
	for code, file := range refused {
		if Find(code).At(today) != catalog.Error {
			t.Errorf("%s: %s is refused, and has the severity %s", file, code, Find(code).Severities())
		}
	}
	for code, file := range warned {
		if e := Find(code); e.At(today) != catalog.Warning && e.Lenient == "" {
			t.Errorf("%s: %s is a warning, and has the severity %s", file, code, e.Severities())
		}
	}
	for _, e := range Entries() {
		if e.Lenient != "" && (refused[e.Code] == "" || warned[e.Code] == "") {
			t.Errorf("%s is an error and %s a warning: refused in %q, a warning in %q", e.Code, e.Lenient, refused[e.Code], warned[e.Code])
		}
	}
}

// Dated rules: what is reported on the day before, and what from the day on.
func TestDatedRules(t *testing.T) {
	t.Parallel()
	const parameters = "version: 1\nissuers: {ca: {domain: digicert.com, methods: [dns-01]}}\nzones: {example.org: {issue: [ca]}}\ncertificates: [{names: [example.org], issuer: ca}]\n"
	const label = "version: 1\nissuers: {ca: {domain: letsencrypt.org, methods: [ca-tbr-7]}}\nzones: {example.org: {issue: [ca]}}\ncertificates: [{names: [example.org], issuer: ca}]\n"
	for _, c := range []struct {
		code, policy, day string
		refused, warned   bool
	}{
		{parametersNotYetBound, parameters, "2027-03-14", false, true},
		{parametersNotYetBound, parameters, "2027-03-15", false, false},
		{string(MethodNotYet), label, "2027-03-14", true, false},
		{string(MethodNotYet), label, "2027-03-15", false, false},
	} {
		day, err := time.Parse(time.DateOnly, c.day)
		if err != nil {
			t.Fatal(err)
		}
		p, err := policy.Load("caa.yaml", []byte(c.policy))
		if err != nil {
			t.Fatal(err)
		}
		report := Check(p, Options{At: day})
		refused := slices.ContainsFunc(report.Refusals, func(r Refusal) bool { return r.Code == c.code })
		warned := slices.ContainsFunc(report.Warnings, func(w Warning) bool { return w.Code == c.code })
		if refused != c.refused || warned != c.warned {
			t.Errorf("%s on %s: refused %v, warned %v\n%s", c.code, c.day, refused, warned, output(report, nil))
		}
	}
}

// The reference page is made from the tables, by -update.
func TestReference(t *testing.T) {
	t.Parallel()
	const file = "../../../docs/policy.md"
	var page strings.Builder
	page.WriteString("# Reference of the policy\n\nMade from the tables in the code by `go test ./plugin/pkg/guard -update`.\n\n## Refusals and warnings\n\n" +
		"An error refuses the policy; a warning does not; what is info is not reported. Sections of the Baseline Requirements (BR) are those of version 2.3.0.\n\n| code | severity | what it means | fix | section |\n|---|---|---|---|---|\n")
	for _, e := range Entries() {
		fmt.Fprintf(&page, "| `%s` | %s | %s | %s | %s |\n", e.Code, e.Severities(), e.Text, e.Fix, e.Section)
	}
	page.WriteString("\n## Rules with a day\n\n| rule | from | until then | from then on | section |\n|---|---|---|---|---|\n")
	for _, r := range issuance.Rules {
		fmt.Fprintf(&page, "| %s | %s | %s | %s | %s |\n", r.Name, r.From.Format(time.DateOnly), r.Before, r.After, r.Section)
	}
	page.WriteString("\n## Property tags\n\nA dialect is one way in which CAs read CAA, from the strictest to the laxest. A critical flag on a tag that a CA does not know makes it issue to nobody.\n\n" +
		"| tag | grants | known in the dialects | parameters bind in | binds CAs from | section |\n|---|---|---|---|---|---|\n")
	for _, tag := range issuance.Tags {
		grants := "no"
		switch {
		case tag.Wildcard:
			grants = tag.Type.String() + ", wildcards"
		case tag.Grants:
			grants = tag.Type.String()
		}
		fmt.Fprintf(&page, "| `%s` | %s | %s | %s | %s | %s |\n", tag.Name, grants, strings.Join(tag.Known, ", "), dash(strings.Join(tag.Binding, ", ")), dayOf(tag.From), tag.Section)
	}
	page.WriteString("\n## Parameters of an issuer\n\n| parameter | restricts the issuer | binds CAs from | section |\n|---|---|---|---|\n")
	for _, p := range issuance.ParameterTags {
		fmt.Fprintf(&page, "| `%s` | %s | %s | %s |\n", p.Name, yes(p.Restricts), dayOf(p.From), p.Section)
	}
	page.WriteString("\n## Validation methods\n\nA CA may validate, by a method, in the place of the name: a name above it, or the target of its CNAME.\n\n| method | wildcards | names above | targets of CNAMEs | section |\n|---|---|---|---|---|\n")
	for _, label := range issuance.Methods() {
		if v := issuance.ValidationBy(label); v.Section != "" {
			fmt.Fprintf(&page, "| `%s` | %s | %s | %s | BR %s |\n", label, yes(v.Wildcards), yes(v.Parents), yes(v.Aliases), v.Section)
		}
	}
	want, err := os.ReadFile(file)
	switch {
	case *update:
		if err := os.WriteFile(file, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	case err != nil || string(want) != page.String():
		t.Errorf("%s differs from the tables (%v); run go test ./plugin/pkg/guard -update", file, err)
	}
}

func dayOf(day time.Time) string {
	if day.IsZero() {
		return "-"
	}
	return day.Format(time.DateOnly)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

// BR 4.2.2.1.2: from 2027-03-15 a CA may accept the Parent Account in accounturi, and none has to: it is at risk.
func TestParentAccount(t *testing.T) {
	t.Parallel()
	rrset := issuance.RRset{{Tag: issuance.TagIssue, Value: "letsencrypt.org; accounturi=x:main"}}
	for _, c := range []struct {
		parent string
		day    time.Time
		want   Outcome
	}{
		{"x:main", issuance.ParentAccounts.From.AddDate(0, 0, -1), Denied},
		{"x:main", issuance.ParentAccounts.From, AtRisk},
		{"x:other", issuance.ParentAccounts.From, Denied},
		{"", issuance.ParentAccounts.From, Denied},
	} {
		got := Judge(Requirement{Name: "example.org.", Domain: "letsencrypt.org", Account: "x:sub", ParentAccount: c.parent}, rrset, c.day)
		if got.Outcome != c.want || got.Reason != issuance.AccountMismatch {
			t.Errorf("%q on %v: %v, %s", c.parent, c.day, got.Outcome, got.Reason)
		}
	}
}
