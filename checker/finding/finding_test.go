package finding_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/finding"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/catalog"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/test/lab"
)

const (
	zone    = "example.test."
	first   = "ns1.example.test."
	second  = "ns2.example.test."
	healthy = `
@     CAA 0 issue "letsencrypt.org"
@     CAA 0 issuewild ";"
@     CAA 0 iodef "mailto:pki@example.test"
@     MX 10 mail
mail  A 192.0.2.1
www   CAA 0 issue "letsencrypt.org"
host  A 192.0.2.2
`
)

// mailHost is a zone that takes mail, and whose www one CA may issue for.
const mailHost = "@ MX 10 mail\nmail A 192.0.2.1\nwww CAA 0 issue \"letsencrypt.org\"\n"

// world is what a test changes of a healthy world, and what it must find.
type world struct {
	name   string
	at     string // the name checked; "" for www.example.test.
	edit   func(*lab.Zone)
	hook   lab.Hook // of the first server
	hooks  map[string]lab.Hook
	parent func(*lab.Zone)
	config func(*resolve.Config)
	adjust func(*finding.Case)
	more   []lab.Zone
	want   []string // all that must be found beside what `also` allows
	also   []string
	text   string // that a finding has, or the beginning of its fix after a semicolon
}

func onCAA(change func(m *dns.Msg) *dns.Msg) lab.Hook {
	return func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
		if q.Qtype != dns.TypeCAA {
			return m
		}
		return change(m)
	}
}

func rcode(rcode int) func(m *dns.Msg) *dns.Msg {
	return func(m *dns.Msg) *dns.Msg { m.Rcode, m.Answer, m.Ns = rcode, nil, nil; return m }
}

// withoutSecond refers to the first server alone.
func withoutSecond(_ string, _ dns.Question, m *dns.Msg) *dns.Msg {
	m.Ns = slices.DeleteFunc(m.Ns, func(rr dns.RR) bool { return isNS(rr, second) })
	return m
}

func failing(_ string, _ dns.Question, m *dns.Msg) *dns.Msg {
	return rcode(dns.RcodeServerFailure)(m)
}

// onA fails for addresses of hosts.
func onA(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
	if q.Qtype != dns.TypeA || dns.CanonicalName(q.Name) != "mx.example.test." {
		return m
	}
	return rcode(dns.RcodeServerFailure)(m)
}

func otherDS(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
	m = m.Copy()
	for _, rr := range m.Answer {
		if ds, ok := rr.(*dns.DS); ok && dns.CanonicalName(q.Name) == zone {
			ds.KeyTag++
		}
	}
	return m
}

func isNS(rr dns.RR, server string) bool {
	ns, ok := rr.(*dns.NS)
	return ok && ns.Ns == server
}

// subzone is served by the servers of the zone above.
var subzone = lab.Zone{Name: "sub.example.test.", Servers: []string{first, second}, Text: `www CAA 0 issue "letsencrypt.org"`}

// atFirst changes the first answer for a type at each name.
func atFirst(transport string, rrtype uint16, change func(*dns.Msg) *dns.Msg) lab.Hook {
	var seen sync.Map
	return func(over string, q dns.Question, m *dns.Msg) *dns.Msg {
		if over != transport || q.Qtype != rrtype {
			return m
		}
		if _, again := seen.LoadOrStore(dns.CanonicalName(q.Name), true); again {
			return m
		}
		return change(m)
	}
}

func text(records string) func(*lab.Zone) { return func(z *lab.Zone) { z.Text = records } }

func shifted(begin, end time.Duration) func(*lab.Zone) {
	return func(z *lab.Zone) {
		z.Sign = func(sig *dns.RRSIG) {
			now := time.Now()
			sig.Inception, sig.Expiration = uint32(now.Add(begin).Unix()), uint32(now.Add(end).Unix())
		}
	}
}

const day = 24 * time.Hour

var worlds = []world{
	{name: "healthy"},
	{name: "healthy, where a wildcard answers", at: "x.wild.example.test.", edit: text(healthy + `*.wild CAA 0 issue "letsencrypt.org"` + "\n")},
	{name: "healthy, below the name that decides", at: "a.b.host.example.test."},
	{name: "healthy, by an alias inside the zone", at: "alias.example.test.", edit: text(healthy + "alias CNAME www\n")},

	{name: "a server that is down", hook: func(string, dns.Question, *dns.Msg) *dns.Msg { return nil }, want: []string{"server-unreachable"}},
	{name: "a server without UDP", hook: func(transport string, _ dns.Question, m *dns.Msg) *dns.Msg {
		if transport == "udp" {
			return nil
		}
		return m
	}, want: []string{"udp-unreachable"}},
	{name: "a server without TCP", hook: func(transport string, _ dns.Question, m *dns.Msg) *dns.Msg {
		if transport == "tcp" {
			return nil
		}
		return m
	}, want: []string{"tcp-unreachable"}},
	{name: "a lame server", hook: func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg { return rcode(dns.RcodeRefused)(m) }, want: []string{"server-lame"}},
	{name: "a delegation to a server without an address", parent: text("example NS ns.nowhere.test.\n"), want: []string{"server-without-address"}},
	{name: "a server that answers like a resolver", hook: func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg { m.Authoritative = false; return m }, want: []string{"answer-not-authoritative"}},
	{name: "a server that refers upwards", hook: func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg {
		m.Authoritative, m.Answer, m.Ns = false, nil, []dns.RR{rr(". NS a.root.")}
		return m
	}, want: []string{"server-lame"}},
	{name: "a server that fails", hook: failing, want: []string{"server-fails"}},
	{name: "a server that is not ready", hook: func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg {
		m = rcode(dns.RcodeServerFailure)(m)
		if opt := m.IsEdns0(); opt != nil {
			opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeNotReady})
		}
		return m
	}, want: []string{"server-not-ready"}},
	{name: "truncated over TCP", hook: func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
		if q.Qtype == dns.TypeCAA {
			m.Truncated = true
		}
		return m
	}, want: []string{"truncated-over-tcp"}},
	{name: "CAA answered NOTIMP", hook: onCAA(rcode(dns.RcodeNotImplemented)), want: []string{"caa-refused"}},
	{name: "CAA answered SERVFAIL", hook: onCAA(rcode(dns.RcodeServerFailure)), want: []string{"caa-refused"}},
	{name: "CAA answered NXDOMAIN", at: "host.example.test.", edit: func(z *lab.Zone) { z.Unsigned = true }, hooks: onBoth(onCAA(func(m *dns.Msg) *dns.Msg {
		if len(m.Answer) == 0 {
			m.Rcode = dns.RcodeNameError
		}
		return m
	})), want: []string{"caa-nxdomain", "zone-unsigned"}},
	{name: "CAA answered NXDOMAIN, signed", at: "host.example.test.", hook: onCAA(func(m *dns.Msg) *dns.Msg {
		if len(m.Answer) == 0 {
			m.Rcode = dns.RcodeNameError
			m.Ns = slices.DeleteFunc(slices.Clone(m.Ns), func(rr dns.RR) bool {
				sig, ok := rr.(*dns.RRSIG)
				return rr.Header().Rrtype == dns.TypeNSEC || ok && sig.TypeCovered == dns.TypeNSEC
			})
		}
		return m
	}), want: []string{"caa-nxdomain"}},
	{name: "CAA answered NXDOMAIN, signed, with the proof that the name exists", at: "host.example.test.", hooks: onBoth(onCAA(func(m *dns.Msg) *dns.Msg {
		if len(m.Answer) == 0 {
			m.Rcode = dns.RcodeNameError
		}
		return m
	})), want: []string{"caa-nxdomain"}},
	{name: "CAA answered NXDOMAIN, signed, by one server", at: "host.example.test.", hook: onCAA(func(m *dns.Msg) *dns.Msg {
		if len(m.Answer) == 0 {
			m.Rcode = dns.RcodeNameError
		}
		return m
	}), want: []string{"caa-nxdomain"}},
	{name: "healthy, at a name that does not exist", at: "none.example.test."},
	{name: "a name in a domain that does not exist", at: "www.nowhere.org.", more: []lab.Zone{{Name: "org.", Servers: []string{"a.nic.test.", "b.nic.test."}}}, want: []string{"domain-missing"}},
	{name: "a name in a top-level domain that does not exist", at: "www.example.tset.", want: []string{"domain-missing"}},
	{name: "CAA dropped", hook: onCAA(func(*dns.Msg) *dns.Msg { return nil }), want: []string{"caa-dropped"}},
	{name: "CAA dropped over TCP", hook: func(transport string, q dns.Question, m *dns.Msg) *dns.Msg {
		if transport == "tcp" && q.Qtype == dns.TypeCAA {
			return nil
		}
		return m
	}, want: []string{"caa-dropped"}},
	{name: "one question for CAA lost", hook: atFirst("tcp", dns.TypeCAA, func(*dns.Msg) *dns.Msg { return nil })},
	{name: "one SERVFAIL for CAA", hook: atFirst("tcp", dns.TypeCAA, rcode(dns.RcodeServerFailure))},
	{name: "one SERVFAIL for SOA", hook: atFirst("udp", dns.TypeSOA, rcode(dns.RcodeServerFailure))},
	{name: "a secondary without the record", edit: func(z *lab.Zone) { z.Unsigned = true }, hook: onCAA(func(m *dns.Msg) *dns.Msg {
		m.Answer = slices.DeleteFunc(m.Answer, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeCAA })
		m.Ns = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 60}, Ns: ".", Mbox: "."}}
		return m
	}), want: []string{"servers-differ"}, also: []string{"zone-unsigned"}},
	{name: "a secondary that is behind", edit: func(z *lab.Zone) { z.Unsigned = true }, hook: func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
		if q.Qtype == dns.TypeSOA {
			m = m.Copy()
			m.Answer[0].(*dns.SOA).Serial--
		}
		return m
	}, want: []string{"serials-differ", "zone-unsigned"}},
	{name: "case not kept", hook: func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg {
		m.Question[0].Name = dns.CanonicalName(m.Question[0].Name)
		return m
	}, want: []string{"case-not-kept"}},
	{name: "no EDNS", edit: func(z *lab.Zone) { z.Unsigned = true }, hook: func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg {
		m.Extra = nil
		return m
	}, want: []string{"edns-missing", "zone-unsigned"}},
	{name: "a firewall that drops what offers much", edit: func(z *lab.Zone) { z.MaxOffer = 1232 }, want: []string{"edns-size-dropped"}},
	{name: "more than was offered", hook: func(transport string, q dns.Question, m *dns.Msg) *dns.Msg {
		if transport == "udp" && q.Qtype == dns.TypeDNSKEY {
			m.Extra = append(m.Extra, &dns.TXT{Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 60}, Txt: []string{strings.Repeat("x", 255), strings.Repeat("x", 255)}})
		}
		return m
	}, want: []string{"edns-size-ignored"}},
	{name: "a long answer", edit: text(strings.Replace(healthy, "www ", many(40)+"www ", 1)), at: zone, want: []string{"answer-large"}, also: []string{"issuer-unknown"}},
	{name: "a long answer of keys", edit: text(healthy + manyKeys(30)), want: []string{"answer-large"}},
	{name: "a denial without SOA", at: "host.example.test.", edit: func(z *lab.Zone) { z.Unsigned = true }, hook: func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg {
		if len(m.Answer) == 0 {
			m.Ns = nil
		}
		return m
	}, want: []string{"denial-without-soa", "zone-unsigned"}},
	{name: "the zone names a server more, which has no address", edit: text(healthy + "@ NS ns.elsewhere.test.\n"), want: []string{"server-without-address"}},
	{name: "the zone names a server more, which does not serve it", edit: text(healthy + "@ NS ns1.provider.test.\n"), more: []lab.Zone{
		{Name: "provider.test.", Servers: []string{"ns1.provider.test.", "ns2.provider.test."}},
	}, want: []string{"server-lame"}},
	{name: "the delegation lacks a server", hooks: map[string]lab.Hook{"a.nic.test.": withoutSecond, "b.nic.test.": withoutSecond}, want: []string{"delegation-differs"}},
	{name: "CAA beside an alias that leads to another", at: "shop.example.test.", edit: flattening("shop"), hooks: flattened(`shop.example.test. CAA 0 issue "letsencrypt.org"`), more: []lab.Zone{provider}, want: []string{"caa-beside-cname", "zone-unsigned"}},
	{name: "CAA beside an alias that leads to the same", at: "shop.example.test.", edit: flattening("shop"), hooks: flattened(`shop.example.test. CAA 0 issue "sectigo.com"`), more: []lab.Zone{provider}, want: []string{"zone-unsigned"}},
	{name: "no CAA beside an alias that leads to some", at: "shop.example.test.", edit: flattening("shop"), hooks: flattened(), more: []lab.Zone{provider}, want: []string{"caa-beside-cname", "zone-unsigned"}},
	{name: "no CAA beside an alias, at a name that is climbed to", at: "x.shop.example.test.", edit: flattening("shop"), hooks: flattened(), more: []lab.Zone{provider}, want: []string{"caa-beside-cname", "zone-unsigned"}},
	{name: "no CAA beside an alias, at an alias's target", at: "to.example.test.", edit: flattening("shop"), hooks: flattened(), more: []lab.Zone{provider}, want: []string{"caa-beside-cname", "zone-unsigned"}},
	{name: "CAA beside an alias for addresses alone", at: "shop.example.test.", edit: flattening("addresses"), hooks: onAddresses, more: []lab.Zone{provider}, want: []string{"caa-beside-cname", "zone-unsigned"}},
	{name: "no CAA beside an alias for addresses alone", at: "bare.example.test.", edit: flattening("addresses"), hooks: onAddresses, more: []lab.Zone{provider}, want: []string{"caa-beside-cname", "zone-unsigned"}},
	{name: "CAA beside an alias, at an alias's target", at: "to.example.test.", edit: flattening("shop"), hooks: flattened(`shop.example.test. CAA 0 issue "letsencrypt.org"`), more: []lab.Zone{provider}, want: []string{"caa-beside-cname", "zone-unsigned"}},
	{name: "aliases in turn to targets without CAA", at: "shop.example.test.", edit: func(z *lab.Zone) { z.Unsigned = true }, hooks: inTurn(), want: []string{"zone-unsigned"}, also: []string{"governed-by-alias"}},
	{name: "an alias for CAA, and addresses beside it", at: "shop.example.test.", edit: flattening("shop"), hooks: addressed, more: []lab.Zone{provider}, want: []string{"zone-unsigned", "governed-by-alias"}},
	{name: "a single server", edit: func(z *lab.Zone) { z.Servers = z.Servers[:1] }, want: []string{"single-server"}},
	{name: "addresses that the Internet does not reach", adjust: func(c *finding.Case) { c.Private = false }, want: []string{"address-reserved"}},
	{name: "more name servers than anybody asks", edit: func(z *lab.Zone) {
		for i := range 25 {
			z.Servers = append(z.Servers, fmt.Sprintf("ns%d.example.test.", 10+i))
		}
	}, want: []string{"servers-too-many"}},
	{name: "more addresses than anybody asks", edit: text(healthy + manyAddresses(80)), want: []string{"servers-too-many", "server-unreachable"}},
	{name: "a long negative TTL", edit: func(z *lab.Zone) { z.Negative = 86400 }, want: []string{"negative-ttl-long"}},

	{name: "a parent's server has another DS record", hooks: map[string]lab.Hook{"b.nic.test.": otherDS}, want: []string{"parent-servers-differ"}},
	{name: "a parent's server delegates elsewhere", hooks: map[string]lab.Hook{"b.nic.test.": withoutSecond}, want: []string{"parent-servers-differ"}, also: []string{"delegation-differs"}},
	{name: "a parent's server fails", hooks: map[string]lab.Hook{"b.nic.test.": failing}, want: []string{"parent-server-fails"}},
	{name: "a parent's server leaves DS without an answer", hooks: map[string]lab.Hook{"b.nic.test.": func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
		if q.Qtype == dns.TypeDS {
			return nil
		}
		return m
	}}, want: []string{"parent-server-fails"}},
	{name: "the parent's parent's server fails", at: "www.sub.example.test.", hooks: map[string]lab.Hook{"b.nic.test.": failing}, more: []lab.Zone{subzone}, want: []string{"parent-server-fails"}},
	{name: "the parent's parent's server has another DS record", at: "www.sub.example.test.", hooks: map[string]lab.Hook{"b.nic.test.": otherDS}, more: []lab.Zone{subzone}, want: []string{"parent-servers-differ"}},
	{name: "a zone's servers have the zone below, too", at: "www.sub.example.test.", more: []lab.Zone{subzone}},

	{name: "servers that sign with keys of their own", edit: func(z *lab.Zone) { z.At = map[string]func(*lab.Zone){second: func(z *lab.Zone) { z.OwnKey = true }} }, want: []string{"keys-differ"}},
	{name: "a secondary with an old copy", edit: func(z *lab.Zone) {
		z.Serial, z.At = 7, map[string]func(*lab.Zone){second: func(z *lab.Zone) { z.Serial, z.Text = 5, strings.ReplaceAll(z.Text, "letsencrypt", "sectigo") }}
	}, want: []string{"servers-differ"}, also: []string{"serials-differ", "issuer-unknown", "issuer-misspelt"}},
	{name: "a signed secondary without the record", edit: func(z *lab.Zone) {
		z.At = map[string]func(*lab.Zone){second: func(z *lab.Zone) {
			z.Text = strings.Replace(z.Text, "www   CAA 0 issue \"letsencrypt.org\"", "www A 192.0.2.3", 1)
		}}
	}, want: []string{"servers-differ"}},
	{name: "a signed secondary without any CAA", edit: func(z *lab.Zone) {
		z.At = map[string]func(*lab.Zone){second: func(z *lab.Zone) { z.Text = "@ MX 10 mail\nmail A 192.0.2.1\n" }}
	}, want: []string{"servers-differ"}},
	{name: "a signed secondary without the apex's CAA", at: "host.example.test.", edit: func(z *lab.Zone) {
		z.At = map[string]func(*lab.Zone){second: func(z *lab.Zone) { z.Text = "@ MX 10 mail\nmail A 192.0.2.1\nhost A 192.0.2.2\n" }}
	}, want: []string{"servers-differ"}},
	{name: "signed with RSASHA1", edit: func(z *lab.Zone) { z.Algorithm, z.Digest = dns.RSASHA1, dns.SHA1 }, want: []string{"algorithm-deprecated"}},
	{name: "DS with SHA-1 alone", edit: func(z *lab.Zone) { z.Digest = dns.SHA1 }, want: []string{"ds-sha1"}},
	{name: "expired", edit: shifted(-2*day, -day), want: []string{"signature-expired"}},
	{name: "not yet valid", edit: shifted(day, 2*day), want: []string{"signature-not-yet-valid"}},
	{name: "a server without signatures", hook: func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg {
		for _, section := range []*[]dns.RR{&m.Answer, &m.Ns} {
			*section = slices.DeleteFunc(slices.Clone(*section), func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeRRSIG })
		}
		return m
	}, want: []string{"signature-missing"}},
	{name: "the parent names the old key", edit: func(z *lab.Zone) { z.DS = func(ds *dns.DS) { ds.KeyTag++ } }, want: []string{"ds-without-key"}},
	{name: "the parent names a key, and the zone is not signed", edit: func(z *lab.Zone) { z.Unsigned = true }, parent: text("example DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000000\n"), want: []string{"ds-without-key"}, text: "its servers have no DNSKEY record; sign the zone and publish its DNSKEY RRset on every name server, or remove its DS records at the registrar"},
	{name: "a server without denials", hook: func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
		m.Ns = slices.DeleteFunc(slices.Clone(m.Ns), func(rr dns.RR) bool {
			sig, ok := rr.(*dns.RRSIG)
			return rr.Header().Rrtype == dns.TypeNSEC || ok && sig.TypeCovered == dns.TypeNSEC
		})
		return m
	}, want: []string{"denial-bogus"}},
	{name: "a forged record", hook: onCAA(func(m *dns.Msg) *dns.Msg {
		m = m.Copy()
		for _, rr := range m.Answer {
			if caa, ok := rr.(*dns.CAA); ok {
				caa.Value = "sectigo.com"
			}
		}
		return m
	}), want: []string{"signature-wrong"}},
	{name: "denials that hide CAA", edit: func(z *lab.Zone) {
		z.Bitmap = func(_ string, types []uint16) []uint16 {
			return slices.DeleteFunc(types, func(t uint16) bool { return t == dns.TypeCAA })
		}
	}, want: []string{"denial-hides-caa"}},
	{name: "denials of HTTPS that hide CAA", edit: func(z *lab.Zone) { z.LiesFor = dns.TypeHTTPS }, want: []string{"denial-hides-caa"}},
	{name: "a denial of another name that hides CAA", at: "d.example.test.", edit: func(z *lab.Zone) {
		z.Text, z.Unlinked = healthy+`d CAA 0 issue "letsencrypt.org"`, "d.example.test."
	}, want: []string{"denial-hides-caa"}, also: []string{"denial-bogus"}},
	{name: "a denial of another name that hides an alias", at: "d.example.test.", edit: func(z *lab.Zone) {
		z.Text, z.Unlinked = healthy+"d CNAME www", "d.example.test."
	}, want: []string{"denial-hides-caa"}, also: []string{"denial-bogus"}},
	{name: "signatures that end before the cache forgets", edit: shifted(-30*day, 200*time.Second), want: []string{"signature-expires-before-ttl"}},
	{name: "signatures that expire within hours", edit: shifted(-29*day, 20*time.Hour), want: []string{"signature-expires-in-hours"}},
	{name: "signatures that nobody renews", edit: shifted(-28*day, 2*day), want: []string{"signature-expires-soon"}},
	{name: "healthy, of a signer that signs for a day", edit: shifted(-12*time.Hour, 12*time.Hour)},
	{name: "signatures that begin now", edit: shifted(0, 20*day), want: []string{"signature-without-leeway"}},
	{name: "the same, and the first server has no address", edit: shifted(0, 20*day), parent: text("example NS ns.absent.test.\n"), want: []string{"signature-without-leeway", "server-without-address"}},
	{name: "DS of an algorithm that signs nothing", parent: text("example DS 1 8 2 0000000000000000000000000000000000000000000000000000000000000000\n"), want: []string{"algorithm-missing", "ds-dangling"}},
	{name: "the DS that fits has SHA-1, and another has SHA-256", edit: func(z *lab.Zone) { z.Digest = dns.SHA1 }, parent: text("example DS 1 15 2 0000000000000000000000000000000000000000000000000000000000000000\n"), want: []string{"ds-sha1-alone"}},
	{name: "the DS that fits has RSASHA1, and another does not", edit: func(z *lab.Zone) { z.Algorithm = dns.RSASHA1 }, parent: text("example DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000000\n"), want: []string{"ds-sha1-alone"}},
	{name: "DS of an algorithm that few know", edit: func(z *lab.Zone) { z.DS = func(ds *dns.DS) { ds.Algorithm = 16 } }, want: []string{"algorithm-unsupported"}},
	{name: "signed, and the parent does not know", edit: func(z *lab.Zone) { z.NoDS = true }, want: []string{"key-without-ds"}},
	{name: "signed, below a zone that is not", at: "a.island.test.", more: []lab.Zone{
		{Name: "island.test.", Servers: []string{first, second}, Unsigned: true},
		{Name: "a.island.test.", Servers: []string{first, second}, Text: `@ CAA 0 issue "letsencrypt.org"`},
	}, want: []string{"zone-above-unsigned"}},
	{name: "signed and without DS, two below a zone that is not", at: "a.b.island.test.", more: []lab.Zone{
		{Name: "island.test.", Servers: []string{first, second}, Unsigned: true},
		{Name: "b.island.test.", Servers: []string{first, second}},
		{Name: "a.b.island.test.", Servers: []string{first, second}, NoDS: true, Text: `@ CAA 0 issue "letsencrypt.org"`},
	}, want: []string{"zone-above-unsigned"}},
	{name: "unsigned", edit: func(z *lab.Zone) { z.Unsigned = true }, want: []string{"zone-unsigned"}},
	{name: "NSEC3 with iterations", edit: func(z *lab.Zone) { z.Unsigned = true }, hook: iterations(10), want: []string{"nsec3-iterations", "zone-unsigned"}},
	{name: "NSEC3 with more iterations than some accept", edit: func(z *lab.Zone) { z.Unsigned = true }, hook: iterations(51), want: []string{"nsec3-iterations-high", "zone-unsigned"}},
	{name: "NSEC3 with too many iterations", edit: func(z *lab.Zone) { z.Unsigned = true }, hook: iterations(500), want: []string{"nsec3-iterations-high", "zone-unsigned"}},

	{name: "no CAA", edit: text("www A 192.0.2.1\n"), want: []string{"caa-missing"}, also: []string{"single-server"}},
	{name: "an alias to a provider", at: "shop.example.test.", edit: text(healthy + "shop CNAME x.provider.test.\n"), more: []lab.Zone{
		{Name: "provider.test.", Servers: []string{"ns1.provider.test.", "ns2.provider.test."}, Text: `x CAA 0 issue "letsencrypt.org"`},
	}, want: []string{"governed-by-alias"}},
	{name: "aliases without an end", at: "loop.example.test.", edit: text(healthy + "loop CNAME loop2\nloop2 CNAME loop\n"), want: []string{"alias-loop"}},
	{name: "a wildcard's alias into an unsigned zone below", at: "x.child.example.test.", edit: text(healthy + "*.child CNAME host.sub\n"), more: []lab.Zone{
		{Name: "sub.example.test.", Servers: []string{first, second}, Unsigned: true, Text: "host A 192.0.2.1"},
	}, want: []string{"wildcard-alias-misread", "zone-unsigned"}},
	{name: "an alias into an unsigned zone below", at: "child.example.test.", edit: text(healthy + "child CNAME host.sub\n"), more: []lab.Zone{
		{Name: "sub.example.test.", Servers: []string{first, second}, Unsigned: true, Text: "host A 192.0.2.1"},
	}, want: []string{"zone-unsigned"}},
	{name: "wildcards alone", edit: text(`www CAA 0 issuewild ";"`), want: []string{"issue-missing"}},
	{name: "a critical tag alone, that nobody knows", edit: text(`www CAA 128 tbs "x"`), want: []string{"critical-unknown"}, also: []string{"tag-unknown"}},
	{name: "a report alone", edit: text(`www CAA 0 iodef "https://example.test/"`), want: []string{"issue-missing"}},
	{name: "a malformed value", edit: text(`www CAA 0 issue "letsencrypt.org; accounturi"`), want: []string{"value-malformed"}},
	{name: "a name in capitals", edit: text(`www CAA 0 issue "LetsEncrypt.org"`), want: []string{"readings-differ"}},
	{name: "a reseller", edit: text(`www CAA 0 issue "cloudflare.com"`), want: []string{"issuer-reseller"}},
	{name: "a name that a CA gave up", edit: text(`www CAA 0 issue "yandex.ru"`), want: []string{"issuer-retired"}},
	{name: "a name with two letters swapped", edit: text(`www CAA 0 issue "letsencrpyt.org"`), want: []string{"issuer-misspelt"}},
	{name: "an account at another CA", edit: text(`www CAA 0 issue "letsencrypt.org; accounturi=https://dv.acme-v02.api.pki.goog/account/x"`), want: []string{"account-of-another-ca"}},
	{name: "an account of the staging environment", edit: text(`www CAA 0 issue "letsencrypt.org; accounturi=https://acme-staging-v02.api.letsencrypt.org/acme/acct/1"`), want: []string{"account-of-staging"}},
	{name: "healthy, with a staging account beside that of production", edit: text("www CAA 0 issue \"letsencrypt.org; accounturi=https://acme-staging-v02.api.letsencrypt.org/acme/acct/1\"\nwww CAA 0 issue \"letsencrypt.org; accounturi=https://acme-v02.api.letsencrypt.org/acme/acct/1\"")},
	{name: "a misspelt method", edit: text(`www CAA 0 issue "letsencrypt.org; validationmethods=http-01,dns01"`), want: []string{"method-misspelt"}},
	{name: "a method that nobody knows", edit: text(`www CAA 0 issue "letsencrypt.org; validationmethods=http-01,telepathy-01"`), want: []string{"method-unknown"}},
	{name: "another top-level domain", edit: text(`www CAA 0 issue "letsencrypt.com"`), want: []string{"issuer-misspelt"}},
	{name: "the CA's ACME server", edit: text(`www CAA 0 issue "acme-v02.api.letsencrypt.org"`), want: []string{"issuer-misspelt"}},
	{name: "the CA's name alone", edit: text(`www CAA 0 issue "digicert"`), want: []string{"issuer-misspelt"}},
	{name: "three letters off", edit: text(`www CAA 0 issue "letsenkripd.org"`), want: []string{"issuer-misspelt"}},
	{name: "healthy, with a name that somebody asks for", edit: text(`www CAA 0 issue "letsencrypt.com"`), adjust: func(c *finding.Case) { c.Asked = []string{"letsencrypt.com"} }},
	{name: "a parameter with a capital", edit: text(`www CAA 0 issue "letsencrypt.org; AccountURI=https://acme-v02.api.letsencrypt.org/acme/acct/1"`), want: []string{"parameter-capitals"}},
	{name: "an empty label among methods", edit: text(`www CAA 0 issue "letsencrypt.org; validationmethods=dns-01,"`), want: []string{"readings-differ"}},
	{name: "101 records", edit: text(strings.Replace(healthy, "www ", many(101)+"www ", 1)), at: zone, want: []string{"rrset-too-many-records"}, also: []string{"issuer-unknown"}},
	{name: "101 name servers", edit: text(healthy + servers(99)), want: []string{"rrset-too-many-records"}, also: []string{"server-without-address"}},
	{name: "100 name servers", edit: text(healthy + servers(98)), want: []string{"delegation-differs", "server-without-address", "servers-too-many"}},
	{name: "an empty value", edit: text("www CAA 0 issue \"letsencrypt.org\"\nwww CAA 0 issuewild \"\""), want: []string{"value-empty"}},
	{name: "healthy, with methods of RFC 8657 4", edit: text(`www CAA 0 issue "letsencrypt.org; validationmethods=dns-01,ca-tbr-7,ca-own"`)},
	{name: "an unknown CA", edit: text(`www CAA 0 issue "ca.invalid"`), want: []string{"issuer-unknown"}},
	{name: "an account at a CA that does not look yet", edit: text(`www CAA 0 issue "ca.invalid; accounturi=https://ca.invalid/1"`), want: []string{"parameters-bind-later", "issuer-unknown"}},
	{name: "the same, once parameters bind", edit: text(`www CAA 0 issue "ca.invalid; accounturi=https://ca.invalid/1"`), adjust: func(c *finding.Case) { c.At = issuance.ParametersBind.From }, want: []string{"issuer-unknown"}},
	{name: "a critical tag", edit: text("www CAA 0 issue \"letsencrypt.org\"\nwww CAA 128 contactemail \"a@b.test\""), want: []string{"critical-unknown"}, also: []string{"contact-undeliverable"}},
	{name: "odd flags", edit: text(`www CAA 1 issue "letsencrypt.org"`), want: []string{"flags-odd"}},
	{name: "an unknown tag", edit: text("www CAA 0 issue \"letsencrypt.org\"\nwww CAA 0 future \"x\""), want: []string{"tag-unknown"}},
	{name: "a misspelt tag", edit: text("www CAA 0 issuer \"letsencrypt.org\""), want: []string{"tag-misspelt"}},
	{name: "a tag with two letters swapped", edit: text("www CAA 0 issue \"letsencrypt.org\"\nwww CAA 0 issuewlid \";\""), want: []string{"tag-misspelt"}},
	{name: "a report over HTTP", edit: text("www CAA 0 issue \"letsencrypt.org\"\nwww CAA 0 iodef \"http://example.test/\""), want: []string{"iodef-scheme"}},
	{name: "a mail address that nobody reads", edit: text("www CAA 0 issue \"letsencrypt.org\"\nwww CAA 0 iodef \"mailto:a@nowhere.test\""), want: []string{"iodef-undeliverable"}},
	{name: "one of two mail addresses that nobody reads", edit: text(mailHost + `www CAA 0 iodef "mailto:pki@example.test,a@nowhere.test"`), want: []string{"iodef-undeliverable"}},
	{name: "a mail address in capitals that nobody reads", edit: text(mailHost + `www CAA 0 iodef "MAILTO:a@nowhere.test"`), want: []string{"iodef-undeliverable"}},
	{name: "a mail address whose host's lookup fails", edit: text(mailHost + "mx A 192.0.2.1\n" + `www CAA 0 iodef "mailto:a@mx.example.test"`), hooks: map[string]lab.Hook{first: onA, second: onA}},
	{name: "a mail address that takes no mail", edit: text(mailHost + "null MX 0 .\n" + `www CAA 0 iodef "mailto:a@null.example.test"`), want: []string{"iodef-undeliverable"}},
	{name: "a contact that nobody reads", edit: text(mailHost + `www CAA 0 contactemail "a@nowhere.test"`), want: []string{"contact-undeliverable"}},
	{name: "healthy, with two mail addresses and a contact", edit: text(mailHost + "www CAA 0 iodef \"mailto:pki%40example.test,b@example.test?subject=CAA\"\nwww CAA 0 contactemail \"pki@example.test\"\n")},
}

// provider has a name that another CA may issue for.
var provider = lab.Zone{Name: "provider.test.", Servers: []string{"ns1.provider.test.", "ns2.provider.test."}, Text: "x CAA 0 issue \"sectigo.com\"\n"}

// flattening is a zone with a name whose servers say of it what they like: shop, an alias, or addresses, none.
func flattening(kind string) func(*lab.Zone) {
	return func(z *lab.Zone) {
		z.Unsigned, z.Text = true, healthy+"to CNAME shop\n"
		if kind == "shop" {
			z.Text += "shop CNAME x.provider.test.\n"
			return
		}
		z.Text += "shop CAA 0 issue \"letsencrypt.org\"\nbare TXT x\n"
	}
}

// onBoth is what both servers of the zone do.
func onBoth(hook lab.Hook) map[string]lab.Hook {
	return map[string]lab.Hook{first: hook, second: hook}
}

// inTurn has servers answer with one alias or another, as weighted records are.
func inTurn() map[string]lab.Hook {
	var n atomic.Int32
	return onBoth(func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
		if dns.CanonicalName(q.Name) != "shop.example.test." {
			return m
		}
		m = m.Copy()
		m.Rcode, m.Ns = dns.RcodeSuccess, nil
		m.Answer = []dns.RR{rr(fmt.Sprintf("%s 60 CNAME e%d.example.test.", q.Name, n.Add(1)%2))}
		return m
	})
}

// flattened has servers answer CAA with records of their own where there is an alias, and deny it without any.
func flattened(records ...string) map[string]lab.Hook {
	return onBoth(func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
		if q.Qtype != dns.TypeCAA || dns.CanonicalName(q.Name) != "shop.example.test." {
			return m
		}
		m = m.Copy()
		m.Answer, m.Ns = nil, nil
		for _, record := range records {
			m.Answer = append(m.Answer, rr(record))
		}
		if len(records) == 0 {
			m.Ns = []dns.RR{rr(zone + " 60 SOA . . 1 2 3 4 60")}
		}
		return m
	})
}

// onAddresses has servers answer questions for addresses alone with an alias.
var onAddresses = onBoth(func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
	name := dns.CanonicalName(q.Name)
	if q.Qtype == dns.TypeA && (name == "shop.example.test." || name == "bare.example.test.") {
		m = m.Copy()
		m.Answer, m.Ns = []dns.RR{rr(name + " CNAME x.provider.test.")}, nil
	}
	return m
})

// addressed has servers answer for addresses where there is an alias.
var addressed = onBoth(func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
	if q.Qtype == dns.TypeA && dns.CanonicalName(q.Name) == "shop.example.test." {
		m = m.Copy()
		m.Answer, m.Ns = []dns.RR{rr("shop.example.test. A 192.0.2.1")}, nil
	}
	return m
})

func rr(text string) dns.RR {
	rr, err := dns.NewRR(text)
	if err != nil {
		panic(err)
	}
	return rr
}

func many(n int) string {
	var out strings.Builder
	for i := range n {
		fmt.Fprintf(&out, "@ CAA 0 issue \"a-rather-long-name-of-a-ca-%d.invalid\"\n", i)
	}
	return out.String()
}

// servers are NS records beside the two that there are.
func servers(n int) string {
	var out strings.Builder
	for i := range n {
		fmt.Fprintf(&out, "@ NS ns.elsewhere%d.test.\n", i)
	}
	return out.String()
}

// manyAddresses are of the second server, at which nobody listens.
func manyAddresses(n int) string {
	var out strings.Builder
	for i := range n {
		fmt.Fprintf(&out, "ns2 A 127.255.254.%d\n", 1+i)
	}
	return out.String()
}

// manyKeys are DNSKEY records, as of a zone with RSA keys amid a rollover.
func manyKeys(n int) string {
	var out strings.Builder
	for i := range n {
		fmt.Fprintf(&out, "@ DNSKEY 256 3 15 %s%02d=\n", strings.Repeat("A", 41), i)
	}
	return out.String()
}

// iterations puts an NSEC3 into denials; whether it proves anything is another test's affair.
func iterations(n uint16) lab.Hook {
	return func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
		if q.Qtype == finding.Probe {
			m.Ns = append(m.Ns, &dns.NSEC3{Hdr: dns.RR_Header{Name: "2t7b4g4vsa5smi47k61mv5bv1a22bojr." + zone, Rrtype: dns.TypeNSEC3, Class: dns.ClassINET, Ttl: 60},
				Hash: 1, Iterations: n, HashLength: 20, NextDomain: "2T7B4G4VSA5SMI47K61MV5BV1A22BOJS", TypeBitMap: []uint16{dns.TypeA}})
		}
		return m
	}
}

func TestFindings(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	provoked := map[string]bool{}
	t.Run("worlds", func(t *testing.T) {
		for _, w := range worlds {
			t.Run(w.name, func(t *testing.T) {
				t.Parallel()
				found := w.run(t)
				var codes []string
				for _, f := range found {
					if !slices.Contains(codes, f.Code) {
						codes = append(codes, f.Code)
					}
					if f.Text == "" || f.Subject == "" || len(f.Subjects) == 0 || f.Fix == "" || f.Section == "" {
						t.Errorf("incomplete: %+v", f)
					}
				}
				for _, code := range w.want { // one cause, one finding
					if all := slices.DeleteFunc(slices.Clone(found), func(f finding.Finding) bool { return f.Code != code }); len(all) > 1 {
						t.Errorf("%s was found %d times: %+v", code, len(all), all)
					}
				}
				for _, code := range w.want {
					if !slices.Contains(codes, code) {
						t.Errorf("%s was not found", code)
					}
				}
				if w.text != "" && !slices.ContainsFunc(found, func(f finding.Finding) bool { return strings.Contains(f.Text+"; "+f.Fix, w.text) }) {
					t.Errorf("%q is not in %+v", w.text, found)
				}
				for _, f := range found {
					if !slices.Contains(w.want, f.Code) && !slices.Contains(w.also, f.Code) {
						t.Errorf("found beside it: %+v", f)
					}
				}
				mu.Lock()
				defer mu.Unlock()
				for _, code := range codes {
					provoked[code] = true
				}
			})
		}
	})
	for _, e := range finding.Entries() {
		if !provoked[e.Code] && e.Code != finding.SignatureLate {
			t.Errorf("no world provokes %s", e.Code)
		}
	}
}

func (w world) run(t *testing.T) []finding.Finding {
	t.Helper()
	z := lab.Zone{Name: zone, Servers: []string{first, second}, Text: healthy}
	if w.edit != nil {
		w.edit(&z)
	}
	parent := lab.Zone{Name: "test.", Servers: []string{"a.nic.test.", "b.nic.test."}}
	if w.parent != nil {
		w.parent(&parent)
	}
	hooks := map[string]lab.Hook{first: w.hook}
	maps.Copy(hooks, w.hooks)
	l := lab.New(t, hooks, append(w.more, parent, z)...)
	cfg := resolve.Config{Hints: l.Hints, Anchors: l.Anchors, Port: l.Port, Rate: -1, Timeout: 500 * time.Millisecond, NoIPv6: true}
	if w.config != nil {
		w.config(&cfg)
	}
	r, err := resolve.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	name := w.at
	if name == "" {
		name = "www.example.test."
	}
	c := finding.NewCollector(r).Collect(t.Context(), climb.Up(t.Context(), r, name))
	if w.adjust != nil {
		w.adjust(c)
	}
	return finding.All(c)
}

var update = flag.Bool("update", false, "write docs/findings.md")

// The documentation is the table.
func TestFindingsAreDocumented(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	out.WriteString(`# What caacheck finds

An *error* locks a CA out, from somewhere or at some time, or admits one by accident, and makes the exit
status 1. A *warning* should be fixed. The rest is good to know, and shown with ` + "`-v`" + `. The codes are stable.

A finding has one cause: it names the servers that show it, and the names or RRsets that it affects, however many they are.
Where it is known what to write instead, the finding has that instead of the advice in this table. ` + "`signature-late`" + `
takes several runs, of ` + "`caacheck watch`" + ` or with ` + "`--history FILE`" + `.

| code | severity | what it is | how to fix it | rests on |
|---|---|---|---|---|
`)
	for _, e := range finding.Entries() {
		fmt.Fprintf(&out, "| `%s` | %v | %s | %s | %s |\n", e.Code, e.Severity, e.Text, e.Fix, e.Section)
	}
	const file = "../../docs/findings.md"
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != out.String() {
		t.Errorf("docs/findings.md is not the table (%v); go test ./checker/finding -update writes it", err)
	}
}

func TestEntries(t *testing.T) {
	t.Parallel()
	if err := catalog.Check(finding.Entries()); err != nil {
		t.Error(err)
	}
	for _, e := range finding.Entries() {
		if e.Fix == "" || e.Section == "" {
			t.Errorf("%s is incomplete: %+v", e.Code, e)
		}
	}
}
