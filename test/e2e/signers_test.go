package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/world"
)

// Two servers sign one zone, each with keys of its own (RFC 8901 2.1.2). A resolver that gets its DNSKEY RRset
// from one and an answer from the other takes both for authentic. They start without each other's keys, and get them by a
// reload of the Corefile. What the other's file loses after that stays published.
func TestTwoSigners(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := [2]string{filepath.Join(dir, "a.keys"), filepath.Join(dir, "b.keys")}
	var servers [2]*world.Process
	var addrs [2]netip.AddrPort
	var anchors []string
	for i, keys := range [2]string{"csk", "split"} {
		servers[i] = world.CoreDNS(t, `example.org:$PORT {
    bind $ADDR
    errors
    caa $DIR/policy.yaml {
        key auto $DIR/keys
        roll keys `+keys+`
    }
}
`, map[string]string{"policy.yaml": policyOnly})
		addrs[i] = servers[i].Addr
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
	for i, server := range servers {
		corefile := filepath.Join(server.Dir, "Corefile")
		text, err := os.ReadFile(corefile)
		must(t, err)
		world.WriteFile(t, corefile, strings.Replace(string(text), "roll keys", "cosigner "+files[1-i]+"\n        roll keys", 1))
		server.Signal(t, syscall.SIGUSR1)
	}
	end := time.Now().Add(30 * time.Second)
	for _, addr := range addrs {
		// The server looks at the files every two seconds. A reload closes TCP connections that the old instance accepted.
		for keys, err := askDNSKEY(addr, "example.org."); len(keys) != 3; keys, err = askDNSKEY(addr, "example.org.") {
			if t.Context().Err() != nil || time.Now().After(end) {
				t.Fatalf("%s does not serve the keys of both: %v %v", addr, keys, err)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	world.WriteFile(t, files[1], ";; communications error: timed out\n;; no servers could be reached\n") // dig > FILE
	servers[0].WaitLog(t, "the file no longer has a key for example.org.")
	if keys := dnskeysAt(t, addrs[0], "example.org."); len(keys) != 3 {
		t.Errorf("when the other's file holds no record: %v", keys)
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

func dnskeysAt(t *testing.T, addr netip.AddrPort, zone string) []*dns.DNSKEY {
	t.Helper()
	keys, err := askDNSKEY(addr, zone)
	must(t, err)
	return keys
}

func askDNSKEY(addr netip.AddrPort, zone string) (keys []*dns.DNSKEY, err error) {
	client := dns.Client{Net: "tcp", Timeout: 10 * time.Second}
	m, _, err := client.Exchange(new(dns.Msg).SetQuestion(zone, dns.TypeDNSKEY), addr.String())
	if err != nil {
		return nil, err
	}
	for _, rr := range m.Answer {
		if key, ok := rr.(*dns.DNSKEY); ok {
			keys = append(keys, key)
		}
	}
	return keys, nil
}
