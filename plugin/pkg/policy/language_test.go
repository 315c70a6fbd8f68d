package policy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

// answer is what the policy says at a name: TTL and properties, and the target of its challenge.
func answer(s *Snapshot, name string) string {
	z := s.Covering(name)
	if z == nil {
		if z = s.ZoneOrDefault(name); z == nil {
			return "nothing"
		}
	}
	node := z.Closest(name)
	lines := []string{fmt.Sprint(node.TTL)}
	for _, p := range node.RRset {
		lines = append(lines, fmt.Sprintf("%d %s %s", p.Flags, p.Tag, p.Value))
	}
	if target, ok := z.Alias("_acme-challenge." + name); ok {
		lines = append(lines, "challenge "+target)
	}
	return strings.Join(lines, " | ")
}

// Each sentence of the language's contract (DESIGN section 4) with what comes of it at a name.
func TestLanguage(t *testing.T) {
	t.Parallel()
	const issuers = "version: 1\nissuers:\n  le: {domain: letsencrypt.org}\n  dc: {domain: digicert.com, accounts: [\"acct:1@dc\", \"acct:2@dc\"], methods: [dns-01, http-01]}\n"
	const one = "version: 1\nissuers: {le: {domain: letsencrypt.org}}\n"
	const both = issuers + "default: {issue: [le, dc]}\n"
	const bound = "; accounturi=acct:1@dc; validationmethods=dns-01,http-01 | 0 issue digicert.com; accounturi=acct:2@dc; validationmethods=dns-01,http-01"
	for _, c := range []struct{ sentence, text, name, want string }{
		{"ttl: one hour unless it is given", "version: 1\nzones: {a.example: {issue: none}}\n", "a.example.", "3600 | 0 issue ;"},
		{"ttl: of the file", "version: 1\nttl: 2h\nzones: {a.example: {issue: none}}\n", "a.example.", "7200 | 0 issue ;"},
		{"ttl: of default before that of the file", "version: 1\nttl: 2h\ndefault: {issue: none, ttl: 3h}\nzones: {a.example: {}}\n", "a.example.", "10800 | 0 issue ;"},
		{"ttl: per node", "version: 1\nttl: 2h\nzones: {a.example: {issue: none, ttl: 90s, names: {b: {ttl: 60}}}}\n", "b.a.example.", "60 | 0 issue ;"},
		{"ttl: inherited by a name", "version: 1\nzones: {a.example: {issue: none, ttl: 90s, names: {b: {issuewild: none}}}}\n", "b.a.example.", "90 | 0 issue ; | 0 issuewild ;"},
		{"report: inherited by every zone", "version: 1\nreport: [\"mailto:a@b\"]\nzones: {a.example: {issue: none}}\n", "a.example.", "3600 | 0 issue ; | 0 iodef mailto:a@b"},
		{"report: inherited by the zones that default makes", "version: 1\nreport: [\"mailto:a@b\"]\ndefault: {issue: none}\n", "any.example.", "3600 | 0 issue ; | 0 iodef mailto:a@b"},
		{"report: a zone's own replaces it whole", "version: 1\nreport: [\"mailto:a@b\", \"mailto:c@d\"]\nzones: {a.example: {issue: none, report: [\"https://e.example/\"]}}\n", "a.example.", "3600 | 0 issue ; | 0 iodef https://e.example/"},
		{"report: taken back", "version: 1\nreport: [\"mailto:a@b\"]\nzones: {a.example: {issue: none, report: []}}\n", "a.example.", "3600 | 0 issue ;"},
		{"issuers: the domain is emitted as CAs compare it, whatever the guard says of it", "version: 1\nissuers: {le: {domain: LetsEncrypt.org.}}\nzones: {a.example: {issue: [le]}}\n", "a.example.", "3600 | 0 issue letsencrypt.org"},
		{"issuers: one property for each account, with the methods", issuers + "zones: {a.example: {issue: [le, dc]}}\n", "a.example.", "3600 | 0 issue letsencrypt.org | 0 issue digicert.com" + bound},
		{"default: for a served zone that is not listed", issuers + "default: {issue: [le], issuewild: [dc], critical: [issuewild]}\nzones: {a.example: {issue: none}}\n", "new.example.", "3600 | 0 issue letsencrypt.org | 128 issuewild digicert.com; accounturi=acct:1@dc; validationmethods=dns-01,http-01 | 128 issuewild digicert.com; accounturi=acct:2@dc; validationmethods=dns-01,http-01"},
		{"default: what a listed zone does not say", both + "zones: {a.example: {issuewild: none}}\n", "a.example.", "3600 | 0 issue letsencrypt.org | 0 issue digicert.com" + bound + " | 0 issuewild ;"},
		{"default: there is none", "version: 1\nzones: {a.example: {issue: none}}\n", "b.example.", "nothing"},
		{"zones: issue, issuewild, issuemail, issuevmc", one + "zones: {a.example: {issuevmc: none, issuemail: [le], issuewild: [le], issue: none}}\n", "a.example.", "3600 | 0 issue ; | 0 issuewild letsencrypt.org | 0 issuemail letsencrypt.org | 0 issuevmc ;"},
		{"issuemail: accounts and methods of TLS do not bind it", both + "zones: {a.example: {issue: [le], issuemail: [dc]}}\n", "a.example.", "3600 | 0 issue letsencrypt.org | 0 issuemail digicert.com"},
		{"issuemail: unless they are given there", both + "zones: {a.example: {issue: [le], issuemail: [{issuer: dc, accounts: [\"acct:2@dc\"]}]}}\n", "a.example.", "3600 | 0 issue letsencrypt.org | 0 issuemail digicert.com; accounturi=acct:2@dc"},
		{"critical: flag 128", "version: 1\nzones: {a.example: {issue: none, issuewild: none, critical: [issuewild]}}\n", "a.example.", "3600 | 0 issue ; | 128 issuewild ;"},
		{"critical: with the tag's case folded, beside the property's own flags", "version: 1\nzones: {a.example: {issue: none, critical: [Future], properties: [{flags: 2, tag: Future, value: x}]}}\n", "a.example.", "3600 | 0 issue ; | 130 future x"},
		{"critical: inherited, so that a name's own issuewild gets it", "version: 1\nzones: {a.example: {issue: none, issuewild: none, critical: [issuewild], names: {b: {issuewild: none}}}}\n", "b.a.example.", "3600 | 0 issue ; | 128 issuewild ;"},
		{"names: inherit tag by tag from the parent node", one + "zones: {a.example: {issue: [le], issuewild: none, issuemail: [le], names: {shop: {issue: none}}}}\n", "shop.a.example.", "3600 | 0 issue ; | 0 issuewild ; | 0 issuemail letsencrypt.org"},
		{"names: the parent is the closest node above, wherever it stands in the file", one + "zones: {a.example: {issue: [le], names: {x.y.shop: {issuewild: none}, shop: {issue: none}}}}\n", "x.y.shop.a.example.", "3600 | 0 issue ; | 0 issuewild ;"},
		{"names: a name without words has its closest node's", one + "zones: {a.example: {issue: [le], names: {shop: {issue: none}}}}\n", "deep.below.shop.a.example.", "3600 | 0 issue ;"},
		{"names: a node says a complete RRset (RFC 8659 3)", one + "report: [\"mailto:a@b\"]\nzones: {a.example: {issue: [le], contact: {email: c@d, phone: +1-5}, properties: [{tag: x, value: y}], names: {b: {ttl: 30}}}}\n", "b.a.example.", "30 | 0 issue letsencrypt.org | 0 iodef mailto:a@b | 0 contactemail c@d | 0 contactphone +1-5 | 0 x y"},
		{"names: email and phone are inherited one by one", "version: 1\nzones: {a.example: {issue: none, contact: {email: c@d, phone: +1-5}, names: {b: {contact: {email: e@f}}}}}\n", "b.a.example.", "3600 | 0 issue ; | 0 contactemail e@f | 0 contactphone +1-5"},
		{"policy-only: challenge is an alias of _acme-challenge.NAME", "version: 1\nzones: {a.example: {issue: none, nameservers: [{name: ns.example.net}], challenge: \"{name}.Acme.example.net\"}}\n", "www.a.example.", "3600 | 0 issue ; | challenge www.a.example.acme.example.net."},
		{"policy-only: challenge per node", "version: 1\nzones: {a.example: {issue: none, nameservers: [{name: ns.example.net}], challenge: \"{name}.acme.example.net\", names: {b: {challenge: x.example.net}}}}\n", "b.a.example.", "3600 | 0 issue ; | challenge x.example.net."},
		{"policy-only: challenge none takes it back", "version: 1\nzones: {a.example: {issue: none, nameservers: [{name: ns.example.net}], challenge: \"{name}.acme.example.net\", names: {b: {challenge: none}}}}\n", "b.a.example.", "3600 | 0 issue ;"},
		{"policy-only: challenge of default, in zones of the kind that can", "version: 1\ndefault: {issue: none, challenge: \"{name}.acme.example.net\"}\nzones: {a.example: {nameservers: [{name: ns.example.net}]}, b.example: {}}\n", "a.example.", "3600 | 0 issue ; | challenge a.example.acme.example.net."},
		{"policy-only: challenge of default, not in an overlay", "version: 1\ndefault: {issue: none, challenge: \"{name}.acme.example.net\"}\nzones: {a.example: {nameservers: [{name: ns.example.net}]}, b.example: {}}\n", "b.example.", "3600 | 0 issue ;"},
		{"policy-only: an IDN as the target is A-labels", "version: 1\nzones: {a.example: {issue: none, nameservers: [{name: ns.example.net}], challenge: \"{name}.BÜCHER.example\"}}\n", "a.example.", "3600 | 0 issue ; | challenge a.example.xn--bcher-kva.example."},
		{"properties: for anything else, the tag in lower case", "version: 1\nzones: {a.example: {issue: none, properties: [{flags: 4, tag: ISSUE, value: \"ca.example; policy=ev\"}]}}\n", "a.example.", "3600 | 0 issue ; | 4 issue ca.example; policy=ev"},
		{"properties: inherited, and replaced whole", "version: 1\ndefault: {issue: none, properties: [{tag: a, value: x}, {tag: b, value: x}]}\nzones: {a.example: {properties: [{tag: c, value: x}]}}\n", "a.example.", "3600 | 0 issue ; | 0 c x"},
		{"a node may narrow an issuer", both + "zones: {a.example: {issue: [{issuer: dc, accounts: [\"acct:2@dc\"], methods: [http-01]}]}}\n", "a.example.", "3600 | 0 issue digicert.com; accounturi=acct:2@dc; validationmethods=http-01"},
		{"a node may narrow by one of the two", both + "zones: {a.example: {issue: [{issuer: dc, accounts: [\"acct:2@dc\"]}]}}\n", "a.example.", "3600 | 0 issue digicert.com; accounturi=acct:2@dc; validationmethods=dns-01,http-01"},
		{"a node may narrow an issuer that leaves all open", both + "zones: {a.example: {issue: [{issuer: le, accounts: [\"a:1\"], methods: [dns-01]}]}}\n", "a.example.", "3600 | 0 issue letsencrypt.org; accounturi=a:1; validationmethods=dns-01"},
		{"open: issue any is an RRset without that property", "version: 1\nreport: [\"mailto:a@b\"]\nzones: {a.example: {issue: any}}\n", "a.example.", "3600 | 0 iodef mailto:a@b"},
		{"open: issue any takes back the parent's", "version: 1\nzones: {a.example: {issue: none, issuewild: none, names: {b: {issue: any}}}}\n", "b.a.example.", "3600 | 0 issuewild ;"},
		{"open: issuemail any takes back default's", "version: 1\ndefault: {issue: none, issuemail: none}\nzones: {a.example: {issuemail: any}}\n", "a.example.", "3600 | 0 issue ;"},
		{"issuewild: issue takes back the parent's", one + "zones: {a.example: {issue: [le], issuewild: none, names: {b: {issuewild: issue}}}}\n", "b.a.example.", "3600 | 0 issue letsencrypt.org"},
		{"removed: changes no answer", one + "removed: [{issuer: digicert.com}]\nzones: {a.example: {issue: [le]}}\n", "a.example.", "3600 | 0 issue letsencrypt.org"},
		{"zones inherit from default, never from another zone", both + "zones: {example: {issue: none, issuewild: none}, a.example: {}}\n", "a.example.", "3600 | 0 issue letsencrypt.org | 0 issue digicert.com" + bound},
		{"zones: the closest one answers", "version: 1\nzones: {example: {issue: none, names: {b: {ttl: 30}}}, a.example: {issue: none, issuewild: none}}\n", "x.a.example.", "3600 | 0 issue ; | 0 issuewild ;"},
		{"zones: the root", "version: 1\nzones: {.: {issue: none, names: {org: {ttl: 30}}}}\n", "example.org.", "30 | 0 issue ;"},
		{"names: IDN, case and last dot are normal", "version: 1\nzones: {BÜCHER.example.: {issue: none, names: {STRASSE.: {ttl: 30}}}}\n", "strasse.xn--bcher-kva.example.", "30 | 0 issue ;"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			t.Parallel()
			if got := answer(load(t, c.text), c.name); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// What stays issuable, as the guard reads it.
func TestCertificates(t *testing.T) {
	t.Parallel()
	s := load(t, "version: 1\nissuers: {le: {domain: letsencrypt.org, accounts: [\"a:1\"], methods: [dns-01]}}\ndefault: {issue: [le]}\nzones: {bücher.example: {}}\ncertificates:\n"+
		"  - {names: [WWW.Bücher.example., \"*.bücher.example\"], issuer: le, account: \"a:1\", method: dns-01, type: tls}\n"+
		"  - {names: [bücher.example], issuer: le, type: smime}\n"+
		"  - {names: [bücher.example], issuer: le, type: vmc}\n")
	want := []Certificate{
		{Name: "www.xn--bcher-kva.example.", Account: "a:1", Method: "dns-01", Pos: Position{File: "caa.yaml", Line: 6, Column: 14}},
		{Name: "xn--bcher-kva.example.", Wildcard: true, Account: "a:1", Method: "dns-01", Pos: Position{File: "caa.yaml", Line: 6, Column: 35}},
		{Name: "xn--bcher-kva.example.", Type: issuance.SMIME, Pos: Position{File: "caa.yaml", Line: 7, Column: 14}},
		{Name: "xn--bcher-kva.example.", Type: issuance.VMC, Pos: Position{File: "caa.yaml", Line: 8, Column: 14}},
	}
	if len(s.Certificates) != len(want) {
		t.Fatalf("%d certificates", len(s.Certificates))
	}
	for i, got := range s.Certificates {
		want[i].Issuer = s.Issuers[0]
		if got != want[i] {
			t.Errorf("got  %+v\nwant %+v", got, want[i])
		}
	}
}

// Each property knows where it was written, and by which key of which node.
func TestSources(t *testing.T) {
	t.Parallel()
	s := load(t, design)
	for name, want := range map[string]string{
		"example.org.":      "14:13 issue at example.org. | 15:5 issuewild at example.org. | 16:17 issuemail at example.org. | 3:10 report at report",
		"dev.example.org.":  "14:13 issue at example.org. | 20:26 issuewild at dev.example.org. | 16:17 issuemail at example.org. | 3:10 report at report",
		"shop.example.org.": "19:22 issue at shop.example.org. | 19:32 issue at shop.example.org. | 15:5 issuewild at example.org. | 16:17 issuemail at example.org. | 3:10 report at report",
	} {
		var got []string
		for _, src := range s.Covering(name).Node(name).Sources {
			got = append(got, fmt.Sprintf("%d:%d %s at %s", src.Pos.Line, src.Pos.Column, src.Key, src.Owner))
		}
		if strings.Join(got, " | ") != want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, strings.Join(got, " | "), want)
		}
	}
	made := s.ZoneOrDefault("new.example.").Apex().Sources[0]
	if made.Owner != "default" || made.Pos.Line != 11 {
		t.Errorf("a zone made from default has its issue from %+v", made)
	}
	for name, places := range map[string]Position{"example.org.": {File: "caa.yaml", Line: 17, Column: 16}, "dev.example.org.": {File: "caa.yaml", Line: 17, Column: 16}} {
		for _, src := range s.Covering(name).Node(name).Sources {
			if src.Key == "issuewild" && (src.Critical == nil || *src.Critical != places) {
				t.Errorf("%s: issuewild is critical by %v", name, src.Critical)
			}
		}
	}
}
