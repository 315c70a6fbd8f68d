package resolve

import (
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
)

// RFC 6672 2.2: a DNAME that would make a name of more than 255 octets makes none, and the answer is YXDOMAIN.
func TestDNAMEThatMakesTooLongANameIsNoAlias(t *testing.T) {
	t.Parallel()
	dname, err := dns.NewRR("d.example. DNAME " + strings.Repeat(strings.Repeat("t", 63)+".", 3)) // to a name of 193 octets
	if err != nil {
		t.Fatal(err)
	}
	// Beside the label there are its length octet and the target: 255 octets with a label of 61.
	for octets, want := range map[int]bool{61: true, 62: false, 63: false} {
		name := strings.Repeat("a", octets) + ".d.example."
		if set, target := aliasIn(dnssec.RRsets([]dns.RR{dname}), name, "example."); (target != "") != want || (set.Type == dns.TypeDNAME) != want {
			t.Errorf("a label of %d octets: %s", octets, target)
		}
	}
}
