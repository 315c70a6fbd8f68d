package dnswire

import (
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// What is served while the signing fails ends in no cache and for no validator, as with the signer itself.
func TestLastAnswerWhileSigningFails(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, c := range []struct {
		left time.Duration
		want bool
	}{{time.Hour + 301*time.Second, true}, {time.Hour + 300*time.Second, false}, {time.Hour, false}, {0, false}} {
		b, err := NewBuilder("www.example.org.")
		if err != nil {
			t.Fatal(err)
		}
		set := zonesign.RRset{Owner: "www.example.org.", Type: dns.TypeCAA, TTL: 300, RDATA: [][]byte{{0, 5, 'i', 's', 's', 'u', 'e', ';'}}}
		if err := b.Add(Answer, set, set.TTL, zonesign.Signatures{RDATA: [][]byte{{0}}, Expires: now.Add(c.left)}); err != nil {
			t.Fatal(err)
		}
		if got := b.Finish().Alive(now); got != c.want {
			t.Errorf("%v before its end, with a TTL of 300 s: alive %t", c.left, got)
		}
	}
}
