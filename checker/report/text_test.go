package report

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/coredns-caa/caa/checker/certname"
	"github.com/coredns-caa/caa/checker/check"
	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/finding"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/catalog"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

// judged is a name with a verdict, whose CAA is at example.org.
func judged(name string, v verdict.Verdict, rrset ...issuance.Property) check.Name {
	wildcard := strings.HasPrefix(name, "*.")
	domain := strings.TrimPrefix(name, "*.") + "."
	v.Requirement.Name, v.Requirement.Wildcard = domain, wildcard
	last := climb.Step{Name: "example.org.", RRset: rrset, Answer: resolve.Answer{Owner: "example.org.", Zone: &resolve.Zone{Name: "example.org."}}}
	return check.Name{
		Subject: certname.Name{Domain: domain, Wildcard: wildcard}, Requests: []check.Request{{Verdict: v}},
		Climb: climb.Climb{Name: domain, Steps: []climb.Step{last}},
	}
}

// tenThousand is a run of 10,000 names of which 12 are wrong, far apart and in several ways.
func tenThousand() (found *check.Result, wrong []string) {
	found = &check.Result{Complete: true, RulesOf: day(2026, 11, 25)}
	causes := []struct {
		outcome verdict.Outcome
		reason  issuance.Reason
	}{{verdict.AtRisk, "servers-disagree"}, {verdict.LockedOut, issuance.IssuerNotListed}, {verdict.Unknown, "lookup-incomplete"}, {verdict.LockedOut, "dnssec-bogus"}}
	record := issuance.Property{Tag: "issue", Value: "ca.example"}
	for i := range 10_000 {
		name := fmt.Sprintf("host-%04d.example.org", i)
		v := verdict.Verdict{Requirement: guard.Requirement{Domain: "ca.example"}, Outcome: verdict.MayIssue, Reason: issuance.Authorized, Property: &record}
		if i%833 == 77 {
			cause := causes[len(wrong)%len(causes)]
			v.Outcome, v.Reason, v.Detail = cause.outcome, cause.reason, "this is what was observed of "+name
			wrong = append(wrong, name)
		}
		found.Names = append(found.Names, judged(name, v, record))
		found.Findings = append(found.Findings, finding.Found{Finding: finding.Finding{Code: "zone-unsigned", Severity: catalog.Warning, Subject: name, Text: "the zone is not signed"}, Names: []string{name}})
	}
	return found, wrong
}

// Of 10,000 names, the first screen of a terminal shows the answer and all 12 that are wrong; the others are counted.
func TestFirstScreen(t *testing.T) {
	t.Parallel()
	const columns, lines = 80, 24
	found, wrong := tenThousand()
	if len(wrong) != 12 {
		t.Fatalf("%d names are wrong", len(wrong))
	}
	var out strings.Builder
	if err := Of(found).WriteText(&out, Style{Columns: columns}); err != nil {
		t.Fatal(err)
	}
	all := strings.Split(out.String(), "\n")
	screen := strings.Join(all[:lines-1], "\n") // the prompt takes a line
	for _, name := range wrong {
		if !strings.Contains(screen, name) {
			t.Errorf("%s is not on the first screen", name)
		}
	}
	if want := "No: 6 of 10000 names are locked out, 3 at risk, 3 unknown."; all[0] != want {
		t.Errorf("the first line is %q, want %q", all[0], want)
	}
	if len(all) > 200 || !strings.Contains(out.String(), "9988 names are fine (-v)") {
		t.Errorf("%d lines", len(all))
	}
	for _, line := range all {
		if utf8.RuneCountInString(line) > columns {
			t.Errorf("wider than %d: %s", columns, line)
		}
	}
	if t.Failed() {
		t.Log(screen)
	}
}

// Names come in an order that puts first what must be looked at first; names of which the same is shown are together,
// and up to 20 are all shown.
func TestNamesTogether(t *testing.T) {
	t.Parallel()
	record := issuance.Property{Tag: "issue", Value: "ca.example"}
	of := func(o verdict.Outcome, reason issuance.Reason) verdict.Verdict {
		return verdict.Verdict{Requirement: guard.Requirement{Domain: "ca.example"}, Outcome: o, Reason: reason, Property: &record}
	}
	r := Of(&check.Result{Complete: true, Notes: []string{"a note"}, Names: []check.Name{
		judged("a.example.org", of(verdict.MayIssue, issuance.Authorized), record),
		judged("b.example.org", of(verdict.AtRisk, "servers-disagree"), record),
		judged("c.example.org", of(verdict.MayIssue, issuance.Authorized), record),
		judged("d.example.org", of(verdict.LockedOut, issuance.Malformed), record),
	}})
	var out strings.Builder
	if err := r.WriteText(&out, Style{Columns: 60}); err != nil {
		t.Fatal(err)
	}
	const want = `No: 1 of 4 names is locked out, 1 at risk.

d.example.org
    ca.example  locked out  malformed: 0 issue "ca.example"
                            at example.org, indeterminate
        fix: write the value as the CA's domain, then a
             semicolon before each parameter tag=value

b.example.org
    ca.example  at risk  servers-disagree: 0 issue
                         "ca.example" at example.org,
                         indeterminate
        fix: have every server of the zone give the same
             answers: a finding shows which one differs, and
             why

a.example.org, c.example.org
    ca.example  may issue  0 issue "ca.example" at
                           example.org, indeterminate

Note: a note
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
}

// Where it is known, the fix ends with the record to write.
func TestCorrectedRecord(t *testing.T) {
	t.Parallel()
	issue := func(value string) issuance.Property { return issuance.Property{Tag: "issue", Value: value} }
	for _, tt := range []struct {
		what    string
		request guard.Requirement
		name    string
		reason  issuance.Reason
		decided issuance.Property
		more    []issuance.Property
		want    string // "" where nobody knows
	}{
		{"another CA is listed", guard.Requirement{Domain: "ca.example"}, "www.example.org", issuance.IssuerNotListed, issue("other.example"), nil, `0 issue "ca.example"`},
		{"an account and a method", guard.Requirement{Domain: "ca.example", Account: "https://ca.example/acct/1", Method: "dns-01"}, "www.example.org", issuance.IssuerNotListed, issue("other.example"), nil, `0 issue "ca.example; accounturi=https://ca.example/acct/1; validationmethods=dns-01"`},
		{"a wildcard", guard.Requirement{Domain: "ca.example"}, "*.example.org", issuance.IssuerNotListed, issue("other.example"), nil, `0 issue "ca.example"`},
		{"a wildcard with issuewild", guard.Requirement{Domain: "ca.example"}, "*.example.org", issuance.NobodyAuthorized, issuance.Property{Tag: "issuewild", Value: ";"}, nil, `0 issuewild "ca.example"`},
		{"S/MIME", guard.Requirement{Domain: "ca.example", Type: issuance.SMIME}, "example.org", issuance.IssuerNotListed, issuance.Property{Tag: "issuemail", Value: "other.example"}, nil, `0 issuemail "ca.example"`},
		{"capitals", guard.Requirement{Domain: "ca.example"}, "www.example.org", issuance.NameNotExact, issue("CA.example; a=b"), nil, `0 issue "ca.example; a=b"`},
		{"another account", guard.Requirement{Domain: "ca.example", Account: "https://ca.example/acct/2"}, "www.example.org", issuance.AccountMismatch, issue("ca.example; accounturi=https://ca.example/acct/1"), nil, `0 issue "ca.example; accounturi=https://ca.example/acct/2"`},
		{"another method", guard.Requirement{Domain: "ca.example", Method: "dns-01"}, "www.example.org", issuance.MethodNotAllowed, issue("ca.example; validationmethods=http-01"), nil, `0 issue "ca.example; validationmethods=http-01,dns-01"`},
		{"a method that is misspelt", guard.Requirement{Domain: "ca.example"}, "www.example.org", guard.MethodUnknown, issue("ca.example; validationmethods=dns01"), nil, `0 issue "ca.example; validationmethods=dns-01"`},
		{"a method that nobody can mean", guard.Requirement{Domain: "ca.example"}, "www.example.org", guard.MethodUnknown, issue("ca.example; validationmethods=telepathy"), nil, ""},
		{"no method for wildcards", guard.Requirement{Domain: "ca.example"}, "*.example.org", guard.MethodNoWildcard, issue("ca.example; validationmethods=http-01"), nil, `0 issue "ca.example; validationmethods=http-01,dns-01"`},
		{"a CA misspelt", guard.Requirement{Domain: "letsencrpyt.org"}, "www.example.org", guard.Misspelt, issue("letsencrpyt.org"), nil, `0 issue "letsencrypt.org"`},
		{"a reseller", guard.Requirement{Domain: "zerossl.com"}, "www.example.org", guard.Reseller, issue("zerossl.com"), nil, `0 issue "sectigo.com"`},
		{"a reseller of several CAs", guard.Requirement{Domain: "cloudflare.com"}, "www.example.org", guard.Reseller, issue("cloudflare.com"), nil, ""},
		{"a critical flag", guard.Requirement{Domain: "ca.example"}, "www.example.org", issuance.CriticalUnknown, issuance.Property{Flags: 128, Tag: "tbs", Value: "x"}, nil, `0 tbs "x"`},
		{"malformed", guard.Requirement{Domain: "ca.example"}, "www.example.org", issuance.Malformed, issue("ca.example; ="), nil, ""},
	} {
		v := verdict.Verdict{Requirement: tt.request, Outcome: verdict.LockedOut, Reason: tt.reason, Property: &tt.decided}
		got := Of(&check.Result{Names: []check.Name{judged(tt.name, v, append(tt.more, tt.decided)...)}}).Names[0].Verdicts[0]
		text := ""
		if got.Corrected != nil {
			text = got.Corrected.String()
		}
		if text != tt.want {
			t.Errorf("%s: %s, want %s", tt.what, text, tt.want)
		}
		if tt.want != "" && !strings.HasSuffix(got.Fix, ": example.org CAA "+tt.want) {
			t.Errorf("%s: the fix is %s", tt.what, got.Fix)
		}
	}
}

func TestWrap(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		first, text string
		columns     int
		want        string
	}{
		{"", "no limit at all", 0, "no limit at all"},
		{"  a: ", "one two three", 12, "  a: one two\n     three"},
		{"", "a word-that-no-line-holds here", 10, "a\nword-that-no-line-holds\nhere"},
		{"", `two  spaces "stay  as they" are`, 20, "two  spaces \"stay \nas they\" are"},
	} {
		if got := Hang(tt.first, tt.text, tt.columns); got != tt.want {
			t.Errorf("got\n%s\nwant\n%s", got, tt.want)
		}
	}
}
