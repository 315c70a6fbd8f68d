package zones_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/test"
	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/keyring"
	"github.com/coredns-caa/caa/plugin/caa/overlay"
	"github.com/coredns-caa/caa/plugin/caa/zones"
	"github.com/coredns-caa/caa/plugin/pkg/dnswire"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// A row of the table of kinds (kinds_test.go) makes everything of a new kind of record: answers, ANY, denials and All, in
// a policy-only zone and laid over data that do not know the name.
func TestNewKindIsOneRow(t *testing.T) {
	t.Parallel()
	for what, nameservers := range map[string]string{"policy-only": "nameservers: [{name: ns.example.net}]", "overlay": "challenge: none"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			set := load(t, "version: 1\nissuers: {le: {domain: letsencrypt.org}}\nzones: {kind.example: {issue: [le], "+nameservers+"}}\n")
			z := set.Zone("kind.example.")
			ask := func(name string, qtype uint16) *dns.Msg { return answer(t, set, z, name, qtype) }

			if m := ask("_new.kind.example.", dns.TypeTXT); !slices.Equal(typesOf(m.Answer), []uint16{dns.TypeTXT, dns.TypeRRSIG}) {
				t.Errorf("the answer is\n%v", m)
			}
			if m := ask("_new.kind.example.", dns.TypeANY); !slices.Equal(typesOf(m.Answer), []uint16{dns.TypeCAA, dns.TypeRRSIG}) { // RFC 8482 4.1
				t.Errorf("the answer to ANY is\n%v", m)
			}
			if bitmap := bitmapOf(ask("_new.kind.example.", dns.TypeMX)); !slices.Contains(bitmap, dns.TypeTXT) || !slices.Contains(bitmap, dns.TypeCAA) || slices.Contains(bitmap, dns.TypeMX) {
				t.Errorf("the denial of MX lists %v", bitmap)
			}
			if m := ask("other.kind.example.", dns.TypeTXT); len(m.Answer) > 0 {
				t.Errorf("at another name the answer is\n%v", m)
			}
			if !slices.ContainsFunc(slices.Collect(z.All()), func(at zones.View) bool { return at.Name == "_new.kind.example." && at.Owns(dns.TypeTXT) }) {
				t.Error("All lacks it")
			}
		})
	}
}

func load(t *testing.T, text string) *zones.Set {
	t.Helper()
	p, err := policy.Load("caa.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	file := zones.KeyFile(t, p.Zones[0].Name)
	ring, err := keyring.Open(keyring.Config{Files: []string{file}, Covers: func(string) bool { return true }, TTL: 3600, Parent: keyring.Parent{Off: true}})
	if err != nil {
		t.Fatal(err)
	}
	keys := func(zone *policy.Zone) (*keyring.Keys, error) { return ring.Ensure(t.Context(), zone) }
	set, err := zones.NewSet(zones.Config{Policy: p, Zones: p.Zones, Keys: keys, TTL: zones.NewTTLs(time.Hour, time.Hour),
		Signer: zonesign.NewSigner(zonesign.Config{}), Now: time.Now, Changed: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// noNames is a next plugin that has a zone without names.
var noNames plugin.Handler = test.HandlerFunc(func(_ context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
	m := new(dns.Msg).SetRcode(r, dns.RcodeNameError)
	m.Authoritative = true
	soa := test.SOA("kind.example. 300 IN SOA ns. h. 1 1 1 1 300")
	switch {
	case r.Question[0].Name != "kind.example.":
		m.Ns = []dns.RR{soa}
	case r.Question[0].Qtype == dns.TypeSOA:
		m.Rcode, m.Answer = dns.RcodeSuccess, []dns.RR{soa}
	default:
		m.Rcode, m.Ns = dns.RcodeSuccess, []dns.RR{soa}
	}
	return 0, w.WriteMsg(m)
})

// answer asks a zone as its kind is asked.
func answer(t *testing.T, set *zones.Set, z *zones.Zone, name string, qtype uint16) *dns.Msg {
	t.Helper()
	r := new(dns.Msg).SetQuestion(name, qtype)
	r.SetEdns0(dnswire.MaxUDP, true)
	out := new(dns.Msg)
	write := func(m *dnswire.Message) error { return m.Reply(r, dns.MaxMsgSize, out.Unpack) }
	if !z.PolicyOnly() {
		o := overlay.New(set, noNames, overlay.BackendOf(nil), func(*zones.Zone) bool { return true }, func(*zones.Zone) {})
		if err := o.Answer(t.Context(), new(overlay.Loopback), r, z, name, write); err != nil {
			t.Fatal(err)
		}
		return out
	}
	at := z.At(name)
	m, err := set.Answer(t.Context(), at, at.Key(qtype, true))
	if err != nil {
		t.Fatal(err)
	}
	if err := write(m); err != nil {
		t.Fatal(err)
	}
	return out
}

func typesOf(section []dns.RR) (types []uint16) {
	for _, rr := range section {
		types = append(types, rr.Header().Rrtype)
	}
	return types
}

func bitmapOf(m *dns.Msg) []uint16 {
	for _, rr := range m.Ns {
		if nsec, ok := rr.(*dns.NSEC); ok {
			return nsec.TypeBitMap
		}
	}
	return nil
}
