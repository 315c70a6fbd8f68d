package e2e

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/world"
)

// Two servers sign one zone, each with keys of its own (RFC 8901 2.1.2). A resolver that gets its DNSKEY RRset
// from one and an answer from the other takes both for authentic.
func TestTwoSigners(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := [2]string{filepath.Join(dir, "a.keys"), filepath.Join(dir, "b.keys")}
	var addrs [2]netip.AddrPort
	var anchors []string
	for i := range files {
		world.WriteFile(t, files[i], "; none yet\n")
	}
	for i, keys := range [2]string{"csk", "split"} {
		addrs[i] = world.CoreDNS(t, `example.org:$PORT {
    bind $ADDR
    errors
    caa $DIR/policy.yaml {
        key auto $DIR/keys
        roll keys `+keys+`
        cosigner `+files[1-i]+`
    }
}
`, map[string]string{"policy.yaml": policyOnly}).Addr
	}
	for i, addr := range addrs {
		var text strings.Builder
		for _, key := range dnskeysAt(t, addr, "example.org.") {
			text.WriteString(key.String() + "\n")
			if key.Flags&dns.SEP != 0 {
				anchors = append(anchors, key.ToDS(dns.SHA256).String())
			}
		}
		world.WriteFile(t, files[i], text.String())
	}
	end := time.Now().Add(30 * time.Second)
	for _, addr := range addrs {
		for len(dnskeysAt(t, addr, "example.org.")) != 3 { // the server looks at the files every two seconds
			if t.Context().Err() != nil || time.Now().After(end) {
				t.Fatalf("%s does not serve the keys of both", addr)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	zone := world.Zone{Name: "example.org", Server: addrs[0], Others: addrs[1:], Anchor: strings.Join(anchors, "\n")}
	for name, start := range world.Variants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resolver := start(t, zone).Addr
			for i := range 50 {
				wantCAA(t, world.Ask(t, resolver, fmt.Sprintf("host%d.example.org", i), dns.TypeCAA), `0 issue "letsencrypt.org"`)
				wantDenied(t, world.Ask(t, resolver, fmt.Sprintf("host%d.example.org", i), dns.TypeMX))
			}
		})
	}
}

func dnskeysAt(t *testing.T, addr netip.AddrPort, zone string) (keys []*dns.DNSKEY) {
	t.Helper()
	client := dns.Client{Net: "tcp", Timeout: 10 * time.Second}
	m, _, err := client.Exchange(new(dns.Msg).SetQuestion(zone, dns.TypeDNSKEY), addr.String())
	must(t, err)
	for _, rr := range m.Answer {
		if key, ok := rr.(*dns.DNSKEY); ok {
			keys = append(keys, key)
		}
	}
	return keys
}
