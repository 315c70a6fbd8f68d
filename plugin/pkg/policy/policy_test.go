package policy

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/miekg/dns"

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
		"_acme-challenge.www.corp.example.net.":   "www.corp.example.net.acme.example.com.",
		"_acme-challenge.corp.example.net.":       "corp.example.net.acme.example.com.",
		"www.corp.example.net.":                   "",
		"_acme-challenge.plain.corp.example.net.": "",
		"a._acme-challenge.www.corp.example.net.": "",
		// The target has 255 octets, 256 and 257 (RFC 1035 2.3.4).
		"_acme-challenge." + strings.Repeat("a.", 110) + "corp.example.net.":    strings.Repeat("a.", 110) + "corp.example.net.acme.example.com.",
		"_acme-challenge.aa." + strings.Repeat("a.", 109) + "corp.example.net.": "",
		"_acme-challenge." + strings.Repeat("a.", 111) + "corp.example.net.":    "",
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
	if a.Revision != same.Revision || a.Zone("example.org.").Digest != same.Zone("example.org.").Digest {
		t.Error("equal policies have different revisions or serials")
	}
	if a.Revision == other.Revision || a.Zone("example.org.").Digest == other.Zone("example.org.").Digest {
		t.Error("different policies have equal revisions or serials")
	}
	if a.Zone("corp.example.net.").Digest != other.Zone("corp.example.net.").Digest {
		t.Error("a change of one zone changed the serial of another")
	}
}

// Everything that is wrong is reported, in the file's order, each with its line and column, and no more.
func TestInvalid(t *testing.T) {
	t.Parallel()
	for _, c := range invalids {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := Load("caa.yaml", []byte(whole(c.text)))
			var list ErrorList
			if !errors.As(err, &list) {
				t.Fatalf("error %v", err)
			}
			want := strings.Split(c.want, "\n")
			for i, e := range list {
				if i >= len(want) || !strings.HasPrefix(e.Error(), "caa.yaml:"+want[i]) {
					t.Errorf("got\n%v\nwant\n%s", err, c.want)
					break
				}
			}
			if len(list) < len(want) {
				t.Errorf("got only\n%v\nwant\n%s", err, c.want)
			}
		})
	}
}

func TestValid(t *testing.T) {
	t.Parallel()
	for _, c := range valids {
		if _, err := Load("caa.yaml", []byte(whole(c.text))); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	for _, c := range valids {
		f.Add([]byte(whole(c.text)))
	}
	for _, c := range invalids {
		f.Add([]byte(whole(c.text)))
	}
	schema := compiled(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Load("caa.yaml", data)
		if err != nil {
			checkErrors(t, data, err)
			return
		}
		if file, err := Parse("caa.yaml", data); err != nil {
			t.Error(err)
		} else if err := schema.Validate(jsonOf(t, file.tree.Root)); err != nil {
			t.Errorf("the schema refuses what the parser accepts: %v", err)
		}
		if again := load(t, string(data)); again.Revision != s.Revision {
			t.Errorf("revisions %s and %s", s.Revision, again.Revision)
		}
		for _, z := range s.Zones {
			for n := range z.Nodes() {
				checkNode(t, n, strings.Contains(string(data), "any"))
			}
		}
	})
}

// checkErrors holds errors to what people are promised: places in the file, in its order.
func checkErrors(t *testing.T, data []byte, err error) {
	t.Helper()
	var list ErrorList
	if !errors.As(err, &list) || len(list) == 0 {
		t.Fatalf("an error without places: %v", err)
	}
	lines := 2
	for _, end := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} {
		lines += bytes.Count(data, []byte(end))
	}
	for i, e := range list {
		if e.Pos.File != "caa.yaml" || e.Pos.Line < 1 || e.Pos.Line > lines || e.Pos.Column < 1 || e.Message == "" {
			t.Errorf("no place in the file: %v", e)
		}
		if i > 0 && (e.Pos.Line < list[i-1].Pos.Line || e.Pos.Line == list[i-1].Pos.Line && e.Pos.Column < list[i-1].Pos.Column) {
			t.Errorf("%v stands after %v", e, list[i-1])
		}
	}
}

// checkNode holds a node to what servers and CAs rely on.
func checkNode(t *testing.T, n *Node, mayBeOpen bool) {
	t.Helper()
	if len(n.RRset) == 0 || len(n.RRset) != len(n.Sources) {
		t.Errorf("%s has %d properties and %d sources", n.Name, len(n.RRset), len(n.Sources))
	}
	if !mayBeOpen && !n.RRset.Has(issuance.TagIssue) {
		t.Errorf("%s is open by accident: %v", n.Name, n.RRset)
	}
	if _, ok := dns.IsDomainName(n.Name); !ok || dns.CanonicalName(n.Name) != n.Name || !dns.IsSubDomain(n.Zone.Name, n.Name) {
		t.Errorf("%q is no canonical name in %q", n.Name, n.Zone.Name)
	}
	for i, p := range n.RRset {
		if !tagPattern.MatchString(p.Tag) || p.Tag != strings.ToLower(p.Tag) || !printable(p.Value) {
			t.Errorf("%s: %+v", n.Name, p)
		}
		if n.Sources[i].Issuer == nil {
			continue
		}
		if v, err := issuance.ParseIssueValue(p.Value); err != nil || v.Domain == "" {
			t.Errorf("%s: %+v: %v", n.Name, p, err)
		}
	}
}

// BenchmarkLoad is a policy of 10,000 zones and 100,000 names, each with a word of its own or, what is
// cheaper, none but what they inherit; kept is what stays in memory for each.
func BenchmarkLoad(b *testing.B) {
	for _, c := range []struct{ name, zone, host string }{
		{"own words", "issue: [le]", "issuewild: none"},
		{"inherited", "{}", "ttl: 10m"},
		{"accounts", "issue: [{issuer: le, accounts: [\"https://ca.example/acct/1\", \"https://ca.example/acct/2\"]}]", "issue: [{issuer: le, methods: [dns-01]}]"},
	} {
		b.Run(c.name, func(b *testing.B) {
			var text strings.Builder
			text.WriteString("version: 1\nissuers: {le: {domain: letsencrypt.org}}\ndefault: {issue: [le]}\nzones:\n")
			for z := range 10_000 {
				fmt.Fprintf(&text, "  zone%d.example:\n    %s\n    names:\n", z, strings.Replace(c.zone, "{}", "report: []", 1))
				for n := range 10 {
					fmt.Fprintf(&text, "      host%d: {%s}\n", n, c.host)
				}
			}
			b.SetBytes(int64(text.Len()))
			b.ReportAllocs()
			for b.Loop() {
				load(b, text.String())
			}
			kept(b, 110_000, func() any { return load(b, text.String()) })
		})
	}
}

// BenchmarkZoneOrDefault is a server of 10,000 zones, all made from default.
func BenchmarkZoneOrDefault(b *testing.B) {
	s := load(b, "version: 1\nissuers: {le: {domain: letsencrypt.org}}\ndefault: {issue: [le], issuewild: none}\n")
	zones := func() any {
		all := make([]*Zone, 10_000)
		for i := range all {
			all[i] = s.ZoneOrDefault(fmt.Sprintf("zone%d.example.", i))
		}
		return all
	}
	b.ReportAllocs()
	for b.Loop() {
		zones()
	}
	kept(b, 10_000, zones)
}

// kept reports the memory that a value keeps, for each of n.
func kept(b *testing.B, n int, make func() any) {
	b.Helper()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	v := make()
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "kept-B/name")
	runtime.KeepAlive(v)
}
