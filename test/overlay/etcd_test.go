package overlay

import (
	"encoding/json"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/world"
)

// overEtcd holds zones in etcd as SkyDNS's messages: a name has an address, an alias or a
// text. It also answers for all below it, so that no name has one below.
var overEtcd = []backend{{name: etcdName, cached: true, uncertain: true, wanted: []construct{
	{"hosts", 100, func(m *maker) { m.host("www"); m.host("mail") }},
	{"text", 60, func(m *maker) { m.add("text", `TXT "Some Text"`) }},
	{"aliases inside", 80, func(m *maker) { m.alias("alias", m.in("www")); m.alias("chain", m.in("alias")) }},
	{"an alias to nothing", 60, func(m *maker) { m.alias("tonx", m.in("nowhere")) }},
	{"aliases out", 60, func(m *maker) { m.alias("out", "www."+outside); m.alias("outnx", "nowhere."+outside) }},
}, prune: keepWhatEtcdHolds, lines: etcdLines}}

const etcdName = "etcd"

// The same over etcd, in a real one: its plugin shows aliases to address questions alone.
func TestSameAsBINDOverEtcd(t *testing.T) {
	t.Parallel()
	newScene(t, makeZones(0, 10, overEtcd), world.FullCoreDNS).compareAll(t)
}

func etcdLines(s *sources, zones []*zone) []block {
	return []block{{zones, "    etcd {\n        endpoint http://" + s.etcd.String() + "\n        no_apex_fallback\n    }\n"}}
}

// keepWhatEtcdHolds leaves one address, alias or text of each name.
func keepWhatEtcdHolds(z *zone) {
	seen := map[string]bool{}
	z.rrs = slices.DeleteFunc(z.rrs, func(rr dns.RR) bool {
		h := rr.Header()
		switch rr := rr.(type) {
		case *dns.A, *dns.AAAA, *dns.CNAME:
		case *dns.SOA, *dns.NS:
			return false
		case *dns.TXT:
			rr.Txt = []string{strings.Join(rr.Txt, "")}
		default:
			return true
		}
		again := seen[h.Name]
		seen[h.Name] = true
		return again
	})
	z.types = map[string][]uint16{}
	for _, rr := range z.rrs {
		owner := dns.CanonicalName(rr.Header().Name)
		z.types[owner] = append(z.types[owner], rr.Header().Rrtype)
	}
}

// skydns are the keys and values of the zones in etcd.
func skydns(zones []*zone) map[string]string {
	type message struct {
		Host string `json:"host,omitempty"`
		Text string `json:"text,omitempty"`
	}
	messages := map[string]message{}
	for _, z := range zones {
		if z.behind.name != etcdName {
			continue
		}
		messages[skydnsKey(z, "ns1.ns.dns."+z.apex)] = message{Host: "127.0.0.1"} // its NS
		for _, rr := range z.rrs {
			key := skydnsKey(z, dns.CanonicalName(rr.Header().Name))
			m := messages[key]
			switch rr := rr.(type) {
			case *dns.A:
				m.Host = rr.A.String()
			case *dns.AAAA:
				m.Host = rr.AAAA.String()
			case *dns.CNAME:
				m.Host = rr.Target
			case *dns.TXT:
				m.Text = rr.Txt[0]
			default:
				continue
			}
			messages[key] = m
		}
	}
	values := map[string]string{}
	for key, m := range messages {
		value, err := json.Marshal(m)
		if err != nil {
			panic(err) // two strings
		}
		values[key] = string(value)
	}
	return values
}

// skydnsKey is a name's: its labels from the top, and dns/apex for the apex.
func skydnsKey(z *zone, name string) string {
	if name == z.apex {
		name = "apex.dns." + name
	}
	labels := dns.SplitDomainName(name)
	slices.Reverse(labels)
	return path.Join(append([]string{"/skydns"}, labels...)...)
}
