package e2e

import (
	"context"
	"crypto/tls"
	"testing"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/transport"
)

// The checker's ways to a resolver lead to CoreDNS's servers, which others wrote.
func TestCarriers(t *testing.T) {
	t.Parallel()
	addrs, conf := everyTransport(t, longPolicy(), "")
	for name, c := range map[string]transport.Transport{
		"TCP":   transport.TCP(addrs["dns"]),
		"TLS":   transport.TLS(addrs["tls"], conf),
		"HTTPS": transport.HTTPS("https://"+addrs["https"]+"/dns-query", conf),
		"QUIC":  transport.QUIC(addrs["quic"], conf),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Cleanup(c.Close)
			for range 2 { // the second goes over what the first left open
				if got := carried(t, c, "long.example.org."); len(got.Answer) != 61 {
					t.Errorf("%d records came, want 60 and their signature", len(got.Answer))
				}
			}
		})
	}
	untrusted := transport.QUIC(addrs["quic"], &tls.Config{ServerName: "127.0.0.1"})
	if _, err := untrusted.Exchange(t.Context(), make([]byte, 12)); err == nil {
		t.Error("an unknown certificate was taken")
	}
}

func carried(t *testing.T, c transport.Transport, name string) *dns.Msg {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	m := new(dns.Msg).SetQuestion(name, dns.TypeCAA)
	m.SetEdns0(1232, true)
	wire, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := c.Exchange(ctx, wire)
	if err != nil {
		t.Fatal(err)
	}
	answer := new(dns.Msg)
	if err := answer.Unpack(raw); err != nil || answer.Id != m.Id {
		t.Fatalf("the ID is %d, want %d; %v", answer.Id, m.Id, err)
	}
	return answer
}
