package rolls

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/parent"
	"github.com/coredns-caa/caa/test/world"
)

// The target of NOTIFY(CDS) is found where BIND serves it, at a wildcard or at the child's own name, through real
// resolvers (RFC 9859 3, 4.1). BIND itself, as a target, wants to hear of SOA alone, and says so.
func TestDiscoveryThroughResolvers(t *testing.T) {
	t.Parallel()
	heard := make(chan dns.Question, 10)
	target := receiver(t, heard)
	bind := world.FreeAddr(t)
	// TYPE66 as RFC 3597 writes it: CDS (59), NOTIFY (1), port, cds.org.
	record := func(port uint16, host string) string {
		return fmt.Sprintf(`TYPE66 \# %d 003B01%04X%02X%X036F726700`, 5+1+len(host)+5, port, len(host), host)
	}
	key := world.NewKey(t, above)
	world.NamedAt(t, bind, map[string]string{above: world.SignZone(t, above, strings.Join([]string{
		"$TTL 60", "org. SOA ns.org. h.org. 1 3600 600 86400 60", "org. NS ns.org.", "ns.org. A 127.0.0.1", "cds.org. A 127.0.0.1",
		"*._dsync.org. " + record(target.Port(), "cds"),
		"deaf._dsync.org. " + record(bind.Port(), "ns"), "",
	}, "\n"), key)})
	for name, start := range world.Resolvers {
		t.Run(name, func(t *testing.T) {
			asker := parent.Asker{Resolvers: []netip.AddrPort{start(t, world.Zone{Name: above, Server: bind, Anchor: key.DS}).Addr}}
			told, err := asker.Notify(t.Context(), child)
			if want := fmt.Sprintf("cds.org.:%d", target.Port()); err != nil || told != want {
				t.Fatalf("told %q, %v; want %q", told, err, want)
			}
			if got, want := <-heard, (dns.Question{Name: child, Qtype: dns.TypeCDS, Qclass: dns.ClassINET}); got != want {
				t.Errorf("heard of %v, want %v", got, want)
			}
			told, err = asker.Notify(t.Context(), "deaf.org.")
			if want := fmt.Sprintf("ns.org.:%d", bind.Port()); told != want || err == nil || !strings.Contains(err.Error(), "it answers FORMERR") {
				t.Errorf("told %q, %v; want %q, and FORMERR", told, err, want)
			}
		})
	}
}

// receiver acknowledges NOTIFY over UDP, and passes on what it is told of.
func receiver(t *testing.T, heard chan<- dns.Question) netip.AddrPort {
	t.Helper()
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		heard <- q.Question[0]
		if err := w.WriteMsg(new(dns.Msg).SetReply(q)); err != nil {
			t.Errorf("acknowledge: %v", err)
		}
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.ActivateAndServe()
	}()
	t.Cleanup(func() { packets.Close(); <-done })
	return packets.LocalAddr().(*net.UDPAddr).AddrPort()
}
