package rolls

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// served is a zone as it is served at one moment.
type served struct {
	apex string
	keys *zonesign.KeySet // nil: unsigned
	sets []zonesign.RRset
}

// authority is a name server of one zone, which changes while it is asked.
type authority struct {
	zone   atomic.Pointer[served]
	signer *zonesign.Signer
}

func newAuthority() *authority { return &authority{signer: zonesign.NewSigner(zonesign.Config{})} }

// listen answers at an address, over UDP and TCP.
func (a *authority) listen(t *testing.T, addr netip.AddrPort) {
	t.Helper()
	packets, err := net.ListenPacket("udp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range []*dns.Server{{PacketConn: packets, Handler: a}, {Listener: listener, Handler: a}} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			server.ActivateAndServe()
		}()
		t.Cleanup(func() {
			packets.Close()
			listener.Close()
			<-done
		})
	}
}

// ServeDNS answers from the zone as it is now: what exists, or compact denial (RFC 9824).
func (a *authority) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	z, m := a.zone.Load(), new(dns.Msg).SetReply(q)
	m.Authoritative, m.Compress = true, true
	m.SetEdns0(1232, true)
	name, qtype := dns.CanonicalName(q.Question[0].Name), q.Question[0].Qtype
	var types []uint16
	for _, set := range z.sets {
		if set.Owner != name {
			continue
		}
		types = append(types, set.Type)
		if set.Type == qtype {
			m.Answer = append(m.Answer, a.records(z, set)...)
		}
	}
	switch {
	case len(m.Answer) > 0:
	case z.keys == nil:
		m.Ns = a.records(z, z.sets[0])
	default:
		m.Ns = append(a.records(z, z.sets[0]), a.records(z, denial(name, types))...)
	}
	w.WriteMsg(m)
}

// denial is the NSEC of a name with some types, or of one that does not exist.
func denial(name string, types []uint16) zonesign.RRset {
	if len(types) == 0 {
		types = []uint16{dns.TypeNXNAME}
	}
	bitmap, err := zonesign.NewBitmap(types...)
	if err != nil {
		panic(err)
	}
	set, err := zonesign.NSEC(name, ttl, bitmap)
	if err != nil {
		panic(err)
	}
	return set
}

// records are an RRset and its signatures; NS at a zone cut has none.
func (a *authority) records(z *served, set zonesign.RRset) []dns.RR {
	rrs := unpack(set, set.Type, set.RDATA)
	if z.keys == nil || set.Type == dns.TypeNS && set.Owner != z.apex {
		return rrs
	}
	sigs, err := a.signer.Sign(context.Background(), z.keys, set, zonesign.Kept)
	if err != nil {
		panic(err)
	}
	return append(rrs, unpack(set, dns.TypeRRSIG, sigs.RDATA)...)
}

func unpack(set zonesign.RRset, rrtype uint16, rdata [][]byte) (rrs []dns.RR) {
	for _, octets := range rdata {
		h := dns.RR_Header{Name: set.Owner, Rrtype: rrtype, Class: dns.ClassINET, Ttl: set.TTL, Rdlength: uint16(len(octets))}
		rr, _, err := dns.UnpackRRWithHeader(h, octets, 0)
		if err != nil {
			panic(err)
		}
		rrs = append(rrs, rr)
	}
	return rrs
}

// sets are RRsets in zone file syntax, of one record each.
func sets(t *testing.T, lines ...string) (all []zonesign.RRset) {
	t.Helper()
	for _, line := range lines {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		set, err := zonesign.NewRRset(rr)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, set)
	}
	return all
}

func lines(format string, n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf(format, i))
	}
	return all
}

// text is a zone's keys and what they say to the parent, with signatures, as dnssec-cds reads them.
func (a *authority) text() string {
	z := a.zone.Load()
	if z.keys == nil {
		return ""
	}
	var text strings.Builder
	for _, set := range z.sets {
		switch set.Type {
		case dns.TypeDNSKEY, dns.TypeCDS, dns.TypeCDNSKEY:
			for _, rr := range a.records(z, set) {
				text.WriteString(rr.String() + "\n")
			}
		}
	}
	return text.String()
}
