package report

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coredns-caa/caa/checker/dnssec"
	"github.com/coredns-caa/caa/checker/finding"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// evil is what servers send to whoever shows it carelessly: markup, the end of what it stands in, a
// terminal's commands, what turns text round, and octets that are no UTF-8.
const evil = "\"><script>alert(1)</script></title></style><img src=x onerror=alert(2)>' onload='x]]>--><!-- {{.}} \x1b[31m \u202Eevil\u202C \x00\xff\u2028"

// hostile is a report in which everything that comes from outside is evil, and every outcome, status
// and severity stands once.
func hostile() *Report {
	properties := []Property{{0, "issue", evil}, {128, evil, strings.Repeat("a", 4000)}}
	at := time.Date(2026, 11, 25, 2, 0, 0, 0, time.UTC)
	pos := policy.Position{File: "dir with space/" + evil + ".yaml", Line: 3, Column: 7}
	r := &Report{Version: 1, At: at, RulesOf: "2026-11-25", Complete: false, Notes: []string{evil}}
	for i, outcome := range []verdict.Outcome{verdict.MayIssue, verdict.AtRisk, verdict.LockedOut, verdict.Unknown} {
		security := dnssec.Result{Status: dnssec.Status(i), Reason: dnssec.Signed, Detail: evil, Wildcard: evil}
		r.Names = append(r.Names, Name{
			Name:     fmt.Sprint(i) + evil,
			Relevant: &Relevant{AskedAt: evil, Owner: evil, Zone: evil, TTL: 300, Security: security, Properties: properties},
			Verdicts: []Verdict{
				{Issuer: evil, Account: evil, Method: evil, Outcome: outcome, Reason: "issuer-not-listed", Detail: evil, Denies: []string{"strict"}, Property: &properties[0], RequiredBy: &pos},
				{Outcome: outcome, Reason: issuance.NoRRset, Type: issuance.SMIME},
			},
			Climb: []Step{
				{Name: evil, Aliases: []string{evil}, Zone: evil, Kind: "data", Security: security, Servers: []string{evil}},
				{Name: evil, Kind: "failed", Failure: evil, Security: security},
				{Name: strings.Repeat("label.", 40) + "example", Kind: "data", Properties: properties, Security: security},
			},
			Zones: []Zone{{Name: ".", Security: security, DS: []uint16{20326}, Servers: []string{evil}}, {Name: evil, Parent: ".", Security: security, Servers: []string{evil, evil}}, {Name: "alias" + evil, Parent: ".", Security: security}},
			Drift: []Drift{{Pos: pos, Policy: properties, Seen: nil, Server: evil}},
		})
	}
	r.Names = append(r.Names, Name{Name: "empty.example"}, Name{Name: "nobody.example", Relevant: &Relevant{Owner: "example", Properties: properties[:1]}})
	for _, severity := range []finding.Severity{finding.Error, finding.Warning, finding.Info} {
		r.Findings = append(r.Findings, Finding{finding.Finding{
			Code: "server-lame", Severity: severity, Subject: evil, Text: evil, Evidence: []string{evil, evil, evil, evil, evil, evil, evil, evil, evil, evil}, Section: "RFC 4035 5.3.1, BR 3.2.2.8.1", Remedy: "mend it",
		}, []string{evil, "other"}})
	}
	return r
}

// outcomes of one report each, for what counts.
func reports() map[string]*Report {
	of := func(outcomes ...verdict.Outcome) *Report {
		r := &Report{Version: 1, Complete: true, RulesOf: "2026-11-25"}
		for i, o := range outcomes {
			r.Names = append(r.Names, Name{Name: fmt.Sprintf("n%d.example", i), Verdicts: []Verdict{{Issuer: "ca.example", Outcome: o, Reason: "reason"}}})
		}
		return r
	}
	interrupted := of(verdict.MayIssue)
	interrupted.Complete = false
	drift := of(verdict.MayIssue)
	drift.Names[0].Drift = []Drift{{Pos: policy.Position{File: "caa.yaml", Line: 3, Column: 7}, Server: "ns1.example"}}
	wrong := of(verdict.MayIssue)
	wrong.Findings = []Finding{{finding.Finding{Code: "server-lame", Severity: finding.Error}, []string{"n0.example"}}}
	warned := of(verdict.MayIssue)
	warned.Findings = []Finding{{finding.Finding{Code: "edns-missing", Severity: finding.Warning}, []string{"n0.example"}}}
	nobody, mend := of(), of()
	nobody.Names = []Name{{Name: "n.example", Relevant: &Relevant{Owner: "example"}}}
	mend.Names, mend.Findings = nobody.Names, wrong.Findings
	return map[string]*Report{
		"nobody": nobody, "nobody, and errors": mend,
		"fine": of(verdict.MayIssue, verdict.MayIssue), "locked out": of(verdict.MayIssue, verdict.LockedOut), "at risk": of(verdict.AtRisk),
		"unknown": of(verdict.Unknown), "unknown and locked out": of(verdict.Unknown, verdict.LockedOut), "interrupted": interrupted,
		"drift": drift, "error": wrong, "warning": warned, "nothing": of(),
	}
}

func TestCitations(t *testing.T) {
	t.Parallel()
	got := fmt.Sprint(citations("RFC 4035 5.3.1, BR 3.2.2.8.1, RFC 8657, draft-vixie-dnsext-dns0x20"))
	want := "[{RFC 4035 5.3.1 https://www.rfc-editor.org/rfc/rfc4035#section-5.3.1} {BR 3.2.2.8.1 } {RFC 8657 https://www.rfc-editor.org/rfc/rfc8657} {draft-vixie-dnsext-dns0x20 }]"
	if got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// What comes next stands in text with -v, and in JSON; both say the same as the page.
func TestComingElsewhere(t *testing.T) {
	t.Parallel()
	r := &Report{Complete: true, At: day(2026, 11, 25), Names: []Name{{Name: "a.example"}, {Name: "b.example", Zones: []Zone{{Name: "example", Ends: []End{{At: day(2026, 12, 1), Over: "example SOA"}}}}}}}
	var text strings.Builder
	if err := r.WriteText(&text, Style{Verbose: true}); err != nil {
		t.Fatal(err)
	}
	if want := "what comes next\n    2026-12-01  Signatures of example end, the first over example SOA. (1 name)\n    2026-12-15  CAs look from five"; !strings.Contains(text.String(), want) {
		t.Errorf("got\n%s\nwant\n%s", &text, want)
	}
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if want := `"coming":[{"at":"2026-12-01T00:00:00Z","text":"Signatures of example end, the first over example SOA.","names":["b.example"]},`; !strings.Contains(string(data), want) || !strings.Contains(string(data), `"findings":`) {
		t.Errorf("got %s", data)
	}
}
