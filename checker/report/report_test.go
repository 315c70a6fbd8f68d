package report

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/catalog"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/certname"
	"github.com/coredns-caa/caa/checker/check"
	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/finding"
	"github.com/coredns-caa/caa/checker/perspective"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// evil is what servers may send against programs that show it unescaped: markup, the end of its context, a
// terminal's commands, what turns text round, and octets that are no UTF-8.
const evil = "\"><script>alert(1)</script></title></style><img src=x onerror=alert(2)>' onload='x]]>--><!-- {{.}} \x1b[31m \u202Eevil\u202C \x00\xff\u2028"

// hostile is a report in which everything that comes from outside is evil, and every outcome, status
// and severity occurs once.
func hostile() *Report {
	properties := []Property{{0, "issue", evil}, {128, evil, strings.Repeat("a", 4000)}}
	at := time.Date(2026, 11, 25, 2, 0, 0, 0, time.UTC)
	pos := policy.Position{File: "dir with space/" + evil + ".yaml", Line: 3, Column: 7}
	r := &Report{Version: 1, At: at, RulesOf: "2026-11-25", Complete: false, Notes: []string{evil}, exit: ExitWrong}
	for i, outcome := range []verdict.Outcome{verdict.MayIssue, verdict.AtRisk, verdict.LockedOut, verdict.Unknown} {
		security := dnssec.Result{Status: dnssec.Status(i), Reason: dnssec.Signed, Detail: evil, Wildcard: evil}
		r.Names = append(r.Names, Name{
			Name:     fmt.Sprint(i) + evil,
			Relevant: &Relevant{AskedAt: evil, Owner: evil, Zone: evil, TTL: 300, Security: security, Properties: properties},
			Verdicts: []Verdict{
				{Issuer: evil, Account: evil, Method: evil, Outcome: outcome, Reason: "issuer-not-listed", Detail: evil, Denies: []string{"strict"}, Property: &properties[0], RequiredBy: &pos, Fix: evil},
				{Outcome: outcome, Reason: issuance.NoRRset, Type: issuance.SMIME},
			},
			Climb: []Step{
				{Name: evil, Aliases: []string{evil}, Zone: evil, Kind: "data", Security: security, Servers: []string{evil}},
				{Name: evil, Kind: "failed", Failure: evil, Security: security},
				{Name: strings.Repeat("label.", 40) + "example", Kind: "data", Properties: properties, Security: security},
			},
			Zones: []Zone{{Name: ".", Security: security, DS: []uint16{20326}, Servers: []string{evil}}, {Name: evil, Parent: ".", Security: security, Servers: []string{evil, evil}}, {Name: "alias" + evil, Parent: ".", Security: security}},
			Drift: []Drift{{Pos: pos, Policy: properties, Seen: nil, Server: evil, Fix: drift.Fix}},
		})
	}
	r.Names = append(r.Names, Name{Name: "empty.example"}, Name{Name: "nobody.example", Relevant: &Relevant{Owner: "example", Properties: properties[:1]}})
	for _, severity := range []catalog.Severity{catalog.Error, catalog.Warning, catalog.Info} {
		r.Findings = append(r.Findings, Finding{finding.Finding{
			Code: "server-lame", Severity: severity, Subject: evil, Text: evil, Evidence: []string{evil, evil, evil, evil, evil, evil, evil, evil, evil, evil}, Section: "RFC 4035 5.3.1, BR 4.2.2.2", Fix: "fix it",
		}, []string{evil, "other"}})
	}
	return r
}

// results are of one run each, for what counts.
func results() map[string]*check.Result {
	of := func(outcomes ...verdict.Outcome) *check.Result {
		r := &check.Result{Complete: true, RulesOf: day(2026, 11, 25)}
		for i, o := range outcomes {
			name := certname.Name{Domain: fmt.Sprintf("n%d.example.", i)}
			v := verdict.Verdict{Requirement: guard.Requirement{Name: name.Domain, Domain: "ca.example"}, Outcome: o, Reason: "reason"}
			r.Names = append(r.Names, check.Name{Subject: name, Requests: []check.Request{{Verdict: v}}})
		}
		return r
	}
	found := func(code string, severity catalog.Severity) []finding.Found {
		return []finding.Found{{Finding: finding.Finding{Code: code, Severity: severity}, Names: []string{"n0.example"}}}
	}
	interrupted := of(verdict.MayIssue)
	interrupted.Complete = false
	drift := of(verdict.MayIssue)
	drift.Names[0].Drift = []check.Drift{{Pos: policy.Position{File: "caa.yaml", Line: 3, Column: 7}, Server: "ns1.example"}}
	driftToo := of(verdict.MayIssue, verdict.Unknown)
	driftToo.Names[0].Drift = drift.Names[0].Drift
	wrong := of(verdict.MayIssue)
	wrong.Findings = found("server-lame", catalog.Error)
	warned := of(verdict.MayIssue)
	warned.Findings = found("edns-missing", catalog.Warning)
	nobody, broken := of(), of()
	last := climb.Step{Name: "example.", RRset: issuance.RRset{{Tag: "issue", Value: ";"}}, Answer: resolve.Answer{Owner: "example.", Zone: &resolve.Zone{Name: "example."}}}
	nobody.Names = []check.Name{{Subject: certname.Name{Domain: "n.example."}, Climb: climb.Climb{Name: "n.example.", Steps: []climb.Step{last}}}}
	broken.Names, broken.Findings = nobody.Names, wrong.Findings
	closed := of()
	closed.Names = append(closed.Names, nobody.Names[0], nobody.Names[0])
	every := of(verdict.LockedOut)
	every.Names[0].Requests[0].Verdict.Requirement.Domain = ""
	anyCA := of(verdict.MayIssue)
	anyCA.Names[0].Requests[0].Verdict.Requirement.Domain = ""
	missing, several := of(verdict.LockedOut), of(verdict.LockedOut, verdict.MayIssue, verdict.LockedOut)
	missing.Names[0].Requests[0].Verdict.Reason, several.Names[2].Requests[0].Verdict.Reason = verdict.DomainMissing, verdict.DomainMissing
	return map[string]*check.Result{
		"any CA": anyCA, "every CA locked out": every, "domain missing": missing, "domains missing": several,
		"nobody for several": closed, "nobody": nobody, "nobody, and errors": broken,
		"fine": of(verdict.MayIssue, verdict.MayIssue), "locked out": of(verdict.MayIssue, verdict.LockedOut), "at risk": of(verdict.AtRisk),
		"unknown": of(verdict.Unknown), "unknown and locked out": of(verdict.Unknown, verdict.LockedOut), "interrupted": interrupted,
		"drift": drift, "drift and unknown": driftToo, "error": wrong, "warning": warned, "nothing": of(),
	}
}

// A requirement is in the report as it was asked, with what was found.
func TestOf(t *testing.T) {
	t.Parallel()
	pos := policy.Position{File: "caa.yaml", Line: 3, Column: 7}
	property := issuance.Property{Flags: 128, Tag: "issue", Value: "ca.example"}
	judged := new(perspective.Judged)
	end := finding.End{At: day(2026, 12, 1), From: day(2026, 11, 1), Name: "example.", Type: dns.TypeSOA}
	zone := &resolve.Zone{Name: "example."}
	got := Of(&check.Result{At: day(2026, 11, 25), RulesOf: day(2027, 3, 15), Complete: true, Names: []check.Name{{
		Subject: certname.Name{Domain: "www.example.", Wildcard: true},
		Climb:   climb.Climb{Name: "www.example.", Steps: []climb.Step{{Name: "www.example.", RRset: issuance.RRset{property}, Answer: resolve.Answer{Owner: "www.example.", Zone: zone}}}},
		Ends:    map[string][]finding.End{"example.": {end}},
		Requests: []check.Request{{Corroboration: judged, Verdict: verdict.Verdict{
			Requirement: guard.Requirement{Name: "www.example.", Wildcard: true, Domain: "ca.example", Type: issuance.SMIME, Account: "x:1", Method: "dns-01", Pos: pos, Origin: guard.Certificates},
			Outcome:     verdict.AtRisk, Reason: "reason", Detail: "detail", Denies: []string{"strict"}, Property: &property,
		}}},
		Drift: []check.Drift{{Pos: pos, Alias: "x.example.", Server: "ns"}},
	}}, Findings: []finding.Found{{Finding: finding.Finding{Code: "code"}, Names: []string{"*.www.example"}}}})
	properties := []Property{{128, "issue", "ca.example"}}
	want := &Report{
		Version: 1, At: day(2026, 11, 25), RulesOf: "2027-03-15", Complete: true, exit: ExitWrong,
		Names: []Name{{
			Name:     "*.www.example",
			Relevant: &Relevant{AskedAt: "www.example", Owner: "www.example", Zone: "example", Properties: properties},
			Verdicts: []Verdict{{
				Issuer: "ca.example", Type: issuance.SMIME, Account: "x:1", Method: "dns-01", RequiredBy: &pos,
				Outcome: verdict.AtRisk, Reason: "reason", Detail: "detail", Denies: []string{"strict"}, Property: &properties[0], Corroboration: judged,
			}},
			Climb: []Step{{Name: "www.example", Zone: "example", Kind: resolve.Kind(0).String(), Properties: properties, Servers: []string{}}},
			Zones: []Zone{{Name: "example", Ends: []End{{At: end.At, From: end.From, Over: "example SOA"}}, Servers: []string{}}},
			Drift: []Drift{{Pos: pos, Policy: []Property{}, Seen: []Property{}, Alias: "x.example", Server: "ns", Fix: drift.Fix}},
		}},
		Findings: []Finding{{finding.Finding{Code: "code"}, []string{"*.www.example"}}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestCitations(t *testing.T) {
	t.Parallel()
	got := fmt.Sprint(citations("RFC 4035 5.3.1, BR 4.2.2.2, RFC 8657, draft-vixie-dnsext-dns0x20"))
	want := "[{RFC 4035 5.3.1 https://www.rfc-editor.org/rfc/rfc4035#section-5.3.1} {BR 4.2.2.2 } {RFC 8657 https://www.rfc-editor.org/rfc/rfc8657} {draft-vixie-dnsext-dns0x20 }]"
	if got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// What comes next is in the text with -v, and in JSON, as on the page.
func TestComingElsewhere(t *testing.T) {
	t.Parallel()
	r := &Report{Complete: true, At: day(2026, 11, 25), Names: []Name{{Name: "a.example"}, {Name: "b.example", Zones: []Zone{{Name: "example", Ends: []End{{At: day(2026, 12, 1), Over: "example SOA"}}}}}}}
	var text strings.Builder
	if err := r.WriteText(&text, Style{Verbose: true}); err != nil {
		t.Fatal(err)
	}
	if want := "what comes next\n    2026-12-01  Signatures of example expire, the first one over example SOA. (1 name)\n    2026-12-15  CAs check from at least five"; !strings.Contains(text.String(), want) {
		t.Errorf("got\n%s\nwant\n%s", &text, want)
	}
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if want := `"coming":[{"at":"2026-12-01T00:00:00Z","text":"Signatures of example expire, the first one over example SOA.","names":["b.example"]},`; !strings.Contains(string(data), want) || !strings.Contains(string(data), `"findings":`) {
		t.Errorf("got %s", data)
	}
}
