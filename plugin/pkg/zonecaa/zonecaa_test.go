package zonecaa

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

// zone reads a text; each CAA record has a value of its own.
func zone(t testing.TB, text string) *Zone {
	t.Helper()
	parser := dns.NewZoneParser(strings.NewReader("$TTL 300\n"+text), "example.org.", "")
	z := Read("Example.org.", func(yield func(dns.RR) bool) {
		for rr, ok := parser.Next(); ok && yield(rr); rr, ok = parser.Next() {
		}
	})
	if err := parser.Err(); err != nil {
		t.Fatal(err)
	}
	return z
}

const sample = `
@         SOA   ns1 admin 1 7200 3600 1209600 300
@         NS    ns1
@         CAA   0 issue "apex"
@         CAA   0 ISSUE "apex"
ns1       A     192.0.2.1
shop      CAA   0 issue "shop"
shop      CAA   0 issuewild ";"
www.shop  A     192.0.2.1
*.apps    CAA   0 issue "apps"
x.y.apps  A     192.0.2.1
ent.below A     192.0.2.1
alias     CNAME www.example.net.
sub       NS    ns.sub
ns.sub    A     192.0.2.2
sub       CAA   0 issue "occluded"
z.sub     CAA   0 issue "occluded"
d         DNAME example.net.
d         CAA   0 issue "at a DNAME"
e.d       CAA   0 issue "occluded"
host.example.net. CAA 0 issue "outside"
c         CH    TXT "another class"
`

// The RRset that decides is the closest at or above a name (RFC 8659 3), those of wildcards included (RFC 4592).
func TestAt(t *testing.T) {
	t.Parallel()
	z := zone(t, sample)
	for name, want := range map[string]string{
		"example.org.":            "apex",
		"nowhere.example.org.":    "apex",
		"ns1.example.org.":        "apex",
		"shop.example.org.":       "shop ;",
		"www.shop.example.org.":   "shop ;",
		"no.shop.example.org.":    "shop ;",
		"apps.example.org.":       "apex",
		"any.apps.example.org.":   "apps", // covered
		"a.b.apps.example.org.":   "apps", // RFC 4592 3.3.1: the closest encloser is apps
		"*.apps.example.org.":     "apps",
		"y.apps.example.org.":     "apex", // an empty non-terminal exists (RFC 4592 2.2.2)
		"x.y.apps.example.org.":   "apex",
		"q.x.y.apps.example.org.": "apex", // its closest encloser x.y.apps has no wildcard
		"d.example.org.":          "at a DNAME",
	} {
		set, _ := z.At(name)
		if got := values(set); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// Elsewhere another zone decides, or another name (RFC 1034 4.2.1, 3.6.2; RFC 6672 2.3).
func TestDecides(t *testing.T) {
	t.Parallel()
	z := zone(t, sample)
	for name, want := range map[string]bool{
		"example.org.": true, "shop.example.org.": true, "nowhere.example.org.": true, "d.example.org.": true,
		"sub.example.org.": false, "z.sub.example.org.": false, "alias.example.org.": false, "x.alias.example.org.": true,
		"e.d.example.org.": false, "example.net.": false, "org.": false,
	} {
		if got := z.Decides(name); got != want {
			t.Errorf("%s: got %v", name, got)
		}
	}
	if got, want := fmt.Sprint(z.Owners()), "[*.apps.example.org. d.example.org. example.org. shop.example.org.]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestNoCAA(t *testing.T) {
	t.Parallel()
	z := zone(t, "@ SOA ns1 admin 1 7200 3600 1209600 300\nwww A 192.0.2.1\n")
	if set, owner := z.At("www.example.org."); set != nil || owner != "" || len(z.Owners()) > 0 {
		t.Errorf("got %v at %q", set, owner)
	}
}

// Any RRset that At finds is that of an owner at or above the name, or of a wildcard there.
func FuzzAt(f *testing.F) {
	f.Add(sample, "a.b.apps.example.org.")
	f.Fuzz(func(t *testing.T, text, name string) {
		parser := dns.NewZoneParser(strings.NewReader("$TTL 300\n"+text), "example.org.", "")
		z := Read("example.org.", func(yield func(dns.RR) bool) {
			for rr, ok := parser.Next(); ok && yield(rr); rr, ok = parser.Next() {
			}
		})
		name = dns.CanonicalName(name)
		if _, ok := dns.IsDomainName(name); !ok || !dns.IsSubDomain(z.Apex(), name) {
			return
		}
		if set, owner := z.At(name); set != nil && !dns.IsSubDomain(strings.TrimPrefix(owner, "*."), name) {
			t.Errorf("%q has the RRset of %q", name, owner)
		}
	})
}

func values(set issuance.RRset) string {
	var out []string
	for _, p := range set {
		out = append(out, p.Value)
	}
	return strings.Join(slices.Clip(out), " ")
}
