package policy

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

const good = `version: 1
ttl: 10m
report: [mailto:pki@example.org]
issuers:
  letsencrypt: {domain: letsencrypt.org, accounts: ["https://ca.example/1", "https://ca.example/2"], methods: [dns-01, http-01]}
  digicert: {domain: digicert.com}
default: {issue: [letsencrypt]}
zones:
  Example.ORG.:
    issue: [letsencrypt]
    issuewild: none
    issuemail: [digicert]
    critical: [issuewild]
    names:
      shop: {issue: [digicert, {issuer: letsencrypt, accounts: ["https://ca.example/1"], methods: [dns-01]}], ttl: 5m}
      a.shop: {issuewild: [digicert]}
      open: {issue: any, issuewild: none}
      bücher: {issue: none}
  corp.example.net:
    nameservers: [{name: ns1.corp.example.net, addresses: [192.0.2.1, "2001:db8::1"]}, {name: ns2.example.com}]
    challenge: "{name}.acme.example.com"
    contact: {email: pki@example.net, phone: "+1-555-0100"}
    properties: [{flags: 0, tag: Future, value: x}]
    names: {plain: {challenge: none}}
certificates:
  - {names: ["*.a.shop.example.org", www.example.org], issuer: digicert}
`

func load(t testing.TB, text string) *Snapshot {
	t.Helper()
	s, err := Load("caa.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func texts(rrset issuance.RRset) string {
	var out []string
	for _, p := range rrset {
		out = append(out, fmt.Sprintf("%d %s %s", p.Flags, p.Tag, p.Value))
	}
	return strings.Join(out, "\n")
}

func TestNodesAreComplete(t *testing.T) {
	t.Parallel()
	s := load(t, good)
	const both = "0 issue letsencrypt.org; accounturi=https://ca.example/1; validationmethods=dns-01,http-01\n0 issue letsencrypt.org; accounturi=https://ca.example/2; validationmethods=dns-01,http-01\n"
	const iodef = "0 iodef mailto:pki@example.org"
	for name, want := range map[string]string{
		"example.org.":               both + "128 issuewild ;\n0 issuemail digicert.com\n" + iodef,
		"shop.example.org.":          "0 issue digicert.com\n0 issue letsencrypt.org; accounturi=https://ca.example/1; validationmethods=dns-01\n128 issuewild ;\n0 issuemail digicert.com\n" + iodef,
		"a.shop.example.org.":        "0 issue digicert.com\n0 issue letsencrypt.org; accounturi=https://ca.example/1; validationmethods=dns-01\n128 issuewild digicert.com\n0 issuemail digicert.com\n" + iodef,
		"open.example.org.":          "128 issuewild ;\n0 issuemail digicert.com\n" + iodef,
		"xn--bcher-kva.example.org.": "0 issue ;\n128 issuewild ;\n0 issuemail digicert.com\n" + iodef,
		"corp.example.net.":          both + iodef + "\n0 contactemail pki@example.net\n0 contactphone +1-555-0100\n0 future x",
	} {
		z := s.Covering(name)
		node := z.Node(name)
		if node == nil {
			t.Errorf("%s is no node", name)
			continue
		}
		if got := texts(node.RRset); got != want {
			t.Errorf("%s (RFC 8659 3: the closest RRset replaces the others):\n%s\nwant\n%s", name, got, want)
		}
		if len(node.Sources) != len(node.RRset) {
			t.Errorf("%s: %d sources for %d properties", name, len(node.Sources), len(node.RRset))
		}
	}
	if ttl := s.Zone("example.org.").Node("shop.example.org.").TTL; ttl != 300 {
		t.Errorf("ttl of shop: %d", ttl)
	}
	if z := s.ZoneOrDefault("other.example."); z == nil || !z.FromDefault || !z.Apex().RRset.Has("issue") {
		t.Errorf("default makes %+v", z)
	}
	if n := s.Zone("example.org.").Closest("x.y.a.shop.example.org."); n.Name != "a.shop.example.org." {
		t.Errorf("the closest node is %s", n.Name)
	}
}

func TestAlias(t *testing.T) {
	t.Parallel()
	z := load(t, good).Zone("corp.example.net.")
	for name, want := range map[string]string{
		"_acme-challenge.www.corp.example.net.":                              "www.corp.example.net.acme.example.com.",
		"_acme-challenge.corp.example.net.":                                  "corp.example.net.acme.example.com.",
		"www.corp.example.net.":                                              "",
		"_acme-challenge.plain.corp.example.net.":                            "",
		"a._acme-challenge.www.corp.example.net.":                            "",
		"_acme-challenge." + strings.Repeat("a.", 111) + "corp.example.net.": "", // the target would be too long
	} {
		if got, ok := z.Alias(name); ok != (want != "") || (ok && got != want) {
			t.Errorf("%s: %q %v, want %q", name, got, ok, want)
		}
	}
}

func TestRevisionIsOfTheContent(t *testing.T) {
	t.Parallel()
	a := load(t, good)
	same := load(t, "# a comment\n"+strings.Replace(good, "Example.ORG.", "example.org", 1))
	other := load(t, strings.Replace(good, "ttl: 5m", "ttl: 6m", 1))
	if a.Revision != same.Revision || a.Zone("example.org.").Serial != same.Zone("example.org.").Serial {
		t.Error("equal policies have different revisions or serials")
	}
	if a.Revision == other.Revision || a.Zone("example.org.").Serial == other.Zone("example.org.").Serial {
		t.Error("different policies have equal revisions or serials")
	}
	if a.Zone("corp.example.net.").Serial != other.Zone("corp.example.net.").Serial {
		t.Error("a change of one zone changed the serial of another")
	}
}

// Each case is a whole file or, when it begins with "zone:", the body of a zone example.org.
func TestErrors(t *testing.T) {
	t.Parallel()
	const head = "version: 1\nissuers: {le: {domain: letsencrypt.org, accounts: [a:1], methods: [dns-01]}}\ndefault: {issue: [le]}\nzones:\n  example.org:\n"
	deep := "version: " + strings.Repeat("[", 40) + strings.Repeat("]", 40)
	for _, c := range []struct{ name, text, want string }{
		{"empty file", "", "1:1: the file is empty"},
		{"only a comment", "# nothing\n", "1:1: the file is empty"},
		{"NUL octet", "version: 1\nx\x00y", "2:2: a NUL octet"},
		{"not UTF-8", "version: 1\nreport: [\xff]", "2:10: not UTF-8"},
		{"tab", "version: 1\nzones:\n\texample.org: {}\n", "3:1: a tab"},
		{"no YAML", "version: [1\n", "not YAML"},
		{"two documents", "version: 1\nzones: {}\n---\nversion: 1\n", "more than one YAML document"},
		{"a list", "- 1\n", "1:1: the policy is a mapping"},
		{"anchor", "version: &a 1\nzones: {}\n", "1:10: an anchor (&a)"},
		{"alias", "version: &a 1\nttl: *a\n", "2:6: an alias (*a)"},
		{"bomb", "a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n", "3:5: an alias"},
		{"tag", "version: !!int 1\nzones: {}\n", "1:10: a YAML tag"},
		{"duplicate key", "version: 1\nversion: 1\n", `2:1: the key "version" stands twice; the first is in line 1`},
		{"nested deep", deep, "nested more than"},
		{"unknown version", "version: 2\nzones: {}\n", "1:10: version \"2\" is unknown"},
		{"no version", "zones: {}\n", "the version is missing"},
		{"unknown key", "version: 1\nzonse: {}\n", `2:1: unknown key "zonse" in the policy; did you mean "zones"?`},
		{"unknown key of a zone", "zone:    isue: [le]\n", `6:5: unknown key "isue" in the zone example.org; did you mean "issue"?`},
		{"undeclared issuer", "zone:    issue: [lee]\n", `6:13: the issuer "lee" is not declared under issuers; did you mean "le"?`},
		{"text for a list", "zone:    issue: le\n", "6:12: issue is none, any, or a list"},
		{"empty list", "zone:    issue: []\n", "6:12: issue: an empty list"},
		{"issuewild any", "zone:    issuewild: any\n", "issuewild: any cannot be said"},
		{"issue any with nothing else", "zone:    issue: any\n", "add report"},
		{"account not declared", "zone:    issue: [{issuer: le, accounts: [a:2]}]\n", "the account a:2 is not among those"},
		{"label of 64 octets", "zone:    names: {" + strings.Repeat("a", 64) + ": {}}\n", "is not a domain name: labels have 1 to 63 octets"},
		{"name of 256 octets", "zone:    names: {" + strings.Repeat("a.", 125) + "a: {}}\n", "too long in the zone"},
		{"wildcard node", "zone:    names: {\"*\": {issue: none}}\n", "6:13: a node named * is never asked: for a wildcard a CA asks CAA at the name without the `*.` (RFC 8659 3); write issuewild at the zone itself"},
		{"absolute name", "zone:    names: {www.example.org: {issue: none}}\n", `write "www"`},
		{"name twice", "zone:    names: {www: {issue: none}, WWW: {issue: none}}\n", "the name WWW stands twice"},
		{"challenge in an overlay", "zone:    challenge: \"{name}.acme.example.net\"\n", "6:5: challenge needs a zone with nameservers"},
		{"challenge into itself", "zone:    nameservers: [{name: ns.example.net}]\n    challenge: \"{name}.x.example.org\"\n", "holds no TXT"},
		{"node at an alias", "zone:    nameservers: [{name: ns.example.net}]\n    challenge: \"{name}.x.example.net\"\n    names: {_acme-challenge.www: {issue: none}}\n", "can never answer CAA"},
		{"glue missing", "zone:    nameservers: [{name: ns.example.org}]\n", "add addresses"},
		{"address outside", "zone:    nameservers: [{name: ns.example.net, addresses: [192.0.2.1]}]\n", "lies outside of the zone"},
		{"bad address", "zone:    nameservers: [{name: ns.example.org, addresses: [192.0.2]}]\n", "is not an IP address"},
		{"ttl", "zone:    ttl: 1s\n", "ttl is a duration from"},
		{"report", "zone:    report: [pki@example.org]\n", "report takes mailto:"},
		{"open by accident", "version: 1\nissuers: {le: {domain: a.b}}\nzones:\n  example.org: {issuewild: [le]}\n", "example.org. has no issue"},
		{"issuer used nowhere", "version: 1\nissuers: {le: {domain: a.b}}\nzones:\n  example.org: {issue: none}\n", "2:11: the issuer le is declared but may issue nowhere"},
		{"zone twice", "version: 1\nzones:\n  example.org: {issue: none}\n  EXAMPLE.org.: {issue: none}\n", "4:3: the zone example.org. stands twice; the first is in line 3"},
		{"certificate of no zone", "version: 1\nissuers: {le: {domain: a.b}}\nzones:\n  example.org: {issue: [le]}\ncertificates:\n  - {names: [www.example.net], issuer: le}\n", "6:14: www.example.net lies in no zone"},
		{"wildcard S/MIME", "version: 1\nissuers: {le: {domain: a.b}}\nzones:\n  example.org: {issue: [le]}\ncertificates:\n  - {names: [\"*.example.org\"], issuer: le, type: smime}\n", "only TLS certificates have wildcards"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text := c.text
			if body, ok := strings.CutPrefix(text, "zone:"); ok {
				text = head + body
			}
			_, err := Load("caa.yaml", []byte(text))
			var list ErrorList
			if !errors.As(err, &list) {
				t.Fatalf("error %v", err)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got\n%v\nwant %s", err, c.want)
			}
			for _, e := range list {
				if e.Pos.Line < 1 || e.Pos.Column < 1 || e.Pos.File != "caa.yaml" {
					t.Errorf("no place: %+v", e)
				}
			}
		})
	}
}

func TestAllErrorsAtOnce(t *testing.T) {
	t.Parallel()
	_, err := Load("caa.yaml", []byte("version: 3\nzonse: 1\nzones:\n  example.org: {issue: [x], ttl: soon}\n"))
	var list ErrorList
	if !errors.As(err, &list) || len(list) < 4 {
		t.Errorf("found only %v", err)
	}
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	if _, err := Load("caa.yaml", make([]byte, MaxSize+1)); err == nil || !strings.Contains(err.Error(), "larger than 64 MiB") {
		t.Error(err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("version: 1\nzones: {a: {issue: none}}\n"))
	f.Add([]byte("version: 1\nissuers: {x: {domain: a.b}}\ndefault: {issue: [x]}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Load("caa.yaml", data)
		if err != nil {
			var list ErrorList
			if !errors.As(err, &list) {
				t.Fatalf("an error without places: %v", err)
			}
			return
		}
		for _, z := range s.Zones {
			for n := range z.Nodes() {
				if len(n.RRset) == 0 || len(n.RRset) != len(n.Sources) {
					t.Errorf("%s has %d properties and %d sources", n.Name, len(n.RRset), len(n.Sources))
				}
				for _, p := range n.RRset {
					if p.Tag == "" || p.Tag != strings.ToLower(p.Tag) {
						t.Errorf("%s: tag %q", n.Name, p.Tag)
					}
				}
			}
		}
	})
}

// BenchmarkLoad is a policy of 10,000 zones and 100,000 names.
func BenchmarkLoad(b *testing.B) {
	var text strings.Builder
	text.WriteString("version: 1\nissuers: {le: {domain: letsencrypt.org}}\nzones:\n")
	for z := range 10_000 {
		fmt.Fprintf(&text, "  zone%d.example:\n    issue: [le]\n    names:\n", z)
		for n := range 10 {
			fmt.Fprintf(&text, "      host%d: {issuewild: none}\n", n)
		}
	}
	data := []byte(text.String())
	b.SetBytes(int64(len(data)))
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		s := load(b, text.String())
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/110_000, "B/name")
		runtime.KeepAlive(s)
	}
}
