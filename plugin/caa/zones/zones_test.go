package zones

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/keyring"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/policy/policygen"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// signed returns the keys of zones, of files that are made for them.
func signed(t testing.TB, zones ...string) func(*policy.Zone) (*keyring.Keys, error) {
	t.Helper()
	cfg := keyring.Config{Covers: func(string) bool { return true }, TTL: 3600, Parent: keyring.Parent{Off: true}}
	for _, zone := range zones {
		cfg.Files = append(cfg.Files, KeyFile(t, zone))
	}
	ring, err := keyring.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return func(zone *policy.Zone) (*keyring.Keys, error) { return ring.Ensure(t.Context(), zone) }
}

// KeyFile makes the files of a zone's key, and names them as the option `key file` does.
func KeyFile(t testing.TB, zone string) string {
	t.Helper()
	key, err := zonesign.NewKey(zone, dns.ECDSAP256SHA256, true, func(uint16) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(t.TempDir(), "K"+key.String())
	private, public := key.Files()
	if err := errors.Join(os.WriteFile(base+".private", []byte(private), 0o600), os.WriteFile(base+".key", []byte(public), 0o644)); err != nil {
		t.Fatal(err)
	}
	return base
}

func unsigned(*policy.Zone) (*keyring.Keys, error) { return keyring.Unsigned(), nil }

// load makes the zones of a policy.
func load(t testing.TB, text string, keys func(*policy.Zone) (*keyring.Keys, error), previous *Set) *Set {
	t.Helper()
	p, err := policy.Load("caa.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSet(Config{Policy: p, Zones: p.Zones, Keys: keys, TTL: NewTTLs(time.Hour, 24*time.Hour), Signer: zonesign.NewSigner(zonesign.Config{}),
		Now: time.Now, Changed: time.Now(), Previous: previous})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// RFC 1982 3.2: a serial only grows.
func TestSerial(t *testing.T) {
	t.Parallel()
	at := func(seconds int64) time.Time { return time.Unix(seconds, 0) }
	for name, c := range map[string]struct {
		previous uint32
		changed  time.Time
		want     uint32
	}{
		"the first one":                      {0, at(1_790_000_000), 1_790_000_000},
		"a later change":                     {1_790_000_000, at(1_790_000_060), 1_790_000_060},
		"two changes within a second":        {1_790_000_000, at(1_790_000_000), 1_790_000_001},
		"a clock that was set back":          {1_790_000_000, at(1_700_000_000), 1_790_000_001},
		"a serial of before, YYYYMMDDnn":     {2026113001, at(1_796_000_000), 2026113002},
		"a hash of before, just ahead":       {3_900_000_000, at(1_790_000_000), 3_900_000_001},
		"a hash that wraps round (RFC 1982)": {4_294_967_295, at(1_790_000_000), 1_790_000_000},
		"after 2106":                         {4_294_967_295, at(1<<32 + 5), 5},
		"never 0":                            {4_294_967_295, at(1 << 32), 1},
	} {
		got := Serial(c.previous, c.changed)
		if got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
		if c.previous != 0 && int32(got-c.previous) <= 0 {
			t.Errorf("%s: %d is not greater than %d", name, got, c.previous)
		}
	}
}

const served = `version: 1
issuers: {le: {domain: letsencrypt.org}}
zones:
  example.org:
    nameservers: [{name: ns1.example.org, addresses: [192.0.2.1, "2001:db8::1"]}, {name: ns2.example.net}]
    issue: [le]
    challenge: "{name}.acme.example.net"
    names: {shop: {issue: none}}
  sub.example.org:
    nameservers: [{name: ns.example.net}]
    issue: [le]
  data.example.net:
    issue: [le]
    names: {deep.www: {issue: none}}
certificates: [{names: [www.example.org, required.data.example.net], issuer: le}]
`

// What the contents have at a name, and that the serial moves only with them.
func TestContents(t *testing.T) {
	t.Parallel()
	keys := signed(t, "example.org.", "sub.example.org.", "data.example.net.")
	s := load(t, served, keys, nil)
	for _, c := range []struct {
		zone, name string
		want       []uint16
	}{
		{"example.org.", "example.org.", []uint16{dns.TypeCAA, dns.TypeSOA, dns.TypeNS, dns.TypeDNSKEY}},
		{"example.org.", "shop.example.org.", []uint16{dns.TypeCAA}},
		{"example.org.", "anything.example.org.", []uint16{dns.TypeCAA}},
		{"example.org.", "ns1.example.org.", []uint16{dns.TypeCAA, dns.TypeA, dns.TypeAAAA}},
		{"example.org.", "_acme-challenge.example.org.", []uint16{dns.TypeCNAME}},
		{"example.org.", "_acme-challenge.anything.example.org.", []uint16{dns.TypeCNAME}},
		{"example.org.", "sub.example.org.", []uint16{dns.TypeDS, dns.TypeNS}},
		{"data.example.net.", "data.example.net.", []uint16{dns.TypeCAA, dns.TypeDNSKEY}}, // SOA and NS are the data's
		{"data.example.net.", "x.data.example.net.", []uint16{dns.TypeCAA}},
	} {
		if got := s.Zone(c.zone).At(c.name).Types(); !slices.Equal(got, c.want) {
			t.Errorf("%s has %v, want %v", c.name, got, c.want)
		}
	}
	for name, want := range map[string]bool{"data.example.net.": true, "www.data.example.net.": true, "deep.www.data.example.net.": true, "x.data.example.net.": false,
		"required.data.example.net.": false /* that it must be issuable says nothing of the data */} {
		if got := s.Zone("data.example.net.").Exists(name); got != want {
			t.Errorf("%s is given existence: %t", name, got)
		}
	}
	again := load(t, served, keys, s)
	if was, is := s.Zone("example.org.").Serial, again.Zone("example.org.").Serial; was != is {
		t.Errorf("nothing has changed, and the serial was %d and is %d", was, is)
	}
	other := load(t, served, signed(t, "example.org.", "sub.example.org.", "data.example.net."), s)
	if was, is := s.Zone("example.org.").Serial, other.Zone("example.org.").Serial; int32(is-was) <= 0 {
		t.Errorf("the keys have changed, and the serial was %d and is %d", was, is)
	}
}

// At and All of random policies agree with themselves: each type of a name has its RRset, no other has one, and the name of
// each RRset is where it is.
func TestContentsOfRandomPolicies(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(14, 9824))
	names := 0
	for range 300 {
		p, err := policy.Load("caa.yaml", policygen.Text(r, policygen.Options{Size: 4}))
		if err != nil {
			continue
		}
		s, err := NewSet(Config{Policy: p, Zones: p.Zones, Keys: unsigned, TTL: NewTTLs(time.Hour, time.Hour), Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		for z := range s.Zones() {
			views := slices.Collect(z.All())
			for _, at := range views {
				views = append(views, z.At("x."+at.Name), z.At(acmeLabel+at.Name))
			}
			for _, at := range views {
				names++
				if !dns.IsSubDomain(z.Name(), at.Name) {
					t.Fatalf("%s is not in %s", at.Name, z.Name())
				}
				types := at.Types()
				for rrtype := uint16(1); rrtype < 260; rrtype++ {
					set, ok := at.Set(rrtype)
					isNSOfOverlay := at.Cut() && rrtype == dns.TypeNS // in the bitmap, and the next plugin's to answer
					if ok != slices.Contains(types, rrtype) && !isNSOfOverlay {
						t.Fatalf("%s: types %v, and an RRset %d: %t", at.Name, types, rrtype, ok)
					}
					if ok && (set.Owner != at.Name || set.Type != rrtype || len(set.RDATA) == 0) {
						t.Fatalf("%s: the RRset %d is %v", at.Name, rrtype, set)
					}
				}
			}
		}
	}
	if names < 1000 {
		t.Errorf("%d names: the generator proves nothing", names)
	}
}

// A flood of random names leaves the answers of the policy's names where they are.
func TestFloodEvictsNothing(t *testing.T) {
	t.Parallel()
	s := load(t, served, signed(t, "example.org.", "sub.example.org.", "data.example.net."), nil)
	z, key := s.Zone("example.org."), Key(dns.TypeCAA)|DNSSECOK
	for i := range 2 * TransientAnswers / 16 {
		for _, name := range []string{"www.example.org.", fmt.Sprintf("r%d.example.org.", i)} {
			if _, err := s.Answer(t.Context(), z.At(name), key); err != nil {
				t.Fatal(err)
			}
		}
	}
	if z.known["www.example.org."].answers.get(key) == nil {
		t.Error("the answer for a required name was pushed out")
	}
	if made := s.Signer().Stats().Made; made > 2*TransientAnswers/16+1 {
		t.Errorf("%d signatures made: the required name's more than once", made)
	}
}

// Zones that are found cost work that does not grow with the number of those that were found before.
func BenchmarkFound(b *testing.B) {
	for _, n := range []int{1000, 10_000, MaxFound} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p, err := policy.Load("caa.yaml", []byte("version: 1\nissuers: {le: {domain: letsencrypt.org}}\ndefault: {issue: [le]}\n"))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				s, err := NewSet(Config{Policy: p, Keys: unsigned, TTL: NewTTLs(time.Hour, time.Hour), Now: time.Now})
				if err != nil {
					b.Fatal(err)
				}
				for i := range n {
					if z, _, err := s.Adopt(fmt.Sprintf("z%d.example.", i)); err != nil || z == nil {
						b.Fatal(z, err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/zone")
		})
	}
}

// The same by count: each zone that is found copies some hundred entries at most, however many there are.
func TestFoundIsLinear(t *testing.T) {
	t.Parallel()
	f := newFound[Zone]()
	const n = 100_000
	zones := make(map[string]*Zone, n)
	for i := range n {
		name := fmt.Sprintf("z%d.example.", i)
		zones[name] = &Zone{Policy: &policy.Zone{Name: name}}
		f.change(name, zones[name])
	}
	largest := 0
	for i := range f.shards {
		largest = max(largest, len(*f.shards[i].Load()))
	}
	if largest > 3*n/foundShards {
		t.Errorf("a shard has %d of %d zones", largest, n)
	}
	for name, z := range zones {
		if f.get(name) != z {
			t.Fatalf("%s is lost", name)
		}
		if len(name) == len("z99999.example.") {
			f.change(name, nil)
		}
	}
	if left := int(f.count.Load()); left != 10_000 || f.get("z99999.example.") != nil || f.get("z9999.example.") == nil {
		t.Errorf("%d zones are left", left)
	}
}
