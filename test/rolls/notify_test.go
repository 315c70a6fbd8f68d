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
// resolvers (RFC 9859 3, 4.1). BIND itself, as a target, accepts NOTIFY(SOA) alone, and answers so.
func TestDiscoveryThroughResolvers(t *testing.T) {
	t.Parallel()
	received := make(chan dns.Question, 10)
	listener := receiver(t, received)
	bind := world.FreeAddr(t)
	// TYPE66 as RFC 3597 writes it: CDS (59), NOTIFY (1), port, cds.org.
	record := func(port uint16, host string) string {
		return fmt.Sprintf(`TYPE66 \# %d 003B01%04X%02X%X036F726700`, 5+1+len(host)+5, port, len(host), host)
	}
	key := world.NewKey(t, above)
	world.NamedAt(t, bind, map[string]string{above: world.SignZone(t, above, strings.Join([]string{
		"$TTL 60", "org. SOA ns.org. h.org. 1 3600 600 86400 60", "org. NS ns.org.", "ns.org. A 127.0.0.1", "cds.org. A 127.0.0.1",
		"*._dsync.org. " + record(listener.Port(), "cds"),
		"deaf._dsync.org. " + record(bind.Port(), "ns"), "",
	}, "\n"), key)})
	for name, start := range world.Resolvers {
		t.Run(name, func(t *testing.T) {
			asker := parent.Asker{Resolvers: []netip.AddrPort{start(t, world.Zone{Name: above, Server: bind, Anchor: key.DS}).Addr}}
			target, err := asker.Notify(t.Context(), child)
			if want := fmt.Sprintf("cds.org.:%d", listener.Port()); err != nil || target != want {
				t.Fatalf("notified %q, %v; want %q", target, err, want)
			}
			if got, want := <-received, (dns.Question{Name: child, Qtype: dns.TypeCDS, Qclass: dns.ClassINET}); got != want {
				t.Errorf("notified of %v, want %v", got, want)
			}
			target, err = asker.Notify(t.Context(), "deaf.org.")
			if want := fmt.Sprintf("ns.org.:%d", bind.Port()); target != want || err == nil || !strings.Contains(err.Error(), "it answered FORMERR") {
				t.Errorf("notified %q, %v; want %q, and FORMERR", target, err, want)
			}
		})
	}
}

// receiver acknowledges NOTIFY over UDP, and passes on its question.
func receiver(t *testing.T, received chan<- dns.Question) netip.AddrPort {
	t.Helper()
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		received <- q.Question[0]
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
