// Package stock shows, with real servers, what CoreDNS's own dnssec plugin does to CAA: the
// incident that this project exists to make impossible. These tests pass as long as stock CoreDNS
// has the fault; should one fail after an update, the fault is fixed upstream and the
// documentation must say so. The incidents are asked of our plugin as well, which has none of them;
// what a resolver sees of it is tested in ../e2e.
package stock

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/world"
)

func TestMain(m *testing.M) { os.Exit(world.Main(m)) }

// The policy of this zone: Let's Encrypt may issue, but nobody may for www.
const zoneFile = `$ORIGIN example.org.
$TTL 3600
@    SOA ns1 hostmaster 1 7200 3600 1209600 300
@    NS  ns1
@    CAA 0 issue "letsencrypt.org"
ns1  A   127.0.0.1
www  A   192.0.2.1
www  CAA 0 issue ";"
`

func signedZone(t *testing.T) world.Zone {
	t.Helper()
	key := world.NewKey(t, "example.org")
	files := map[string]string{"example.org.db": zoneFile}
	maps.Copy(files, key.Files)
	server := world.CoreDNS(t, `example.org:$PORT {
    bind $ADDR
    dnssec {
        key file $DIR/`+key.Name+`
    }
    file $DIR/example.org.db
}
`, files)
	return world.Zone{Name: "example.org", Server: server.Addr, Anchor: key.DS}
}

// The denial of any other type at www carries a fixed list of types without CAA (RFC 4034 4.1.2).
// A resolver that has validated it may answer CAA from it (RFC 8198 5.1) with an authenticated "no
// such data", and a CA climbs to the apex (RFC 8659 3), where it may issue. Unbound does, and
// Let's Encrypt resolves with unbound. Knot Resolver 5.6 makes no use of denials that cover a single name.
func TestADenialHidesCAA(t *testing.T) {
	t.Parallel()
	hides := map[string]bool{"unbound": true, "knot-resolver": false}
	zone := signedZone(t)
	for name, start := range world.Resolvers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !seesCAA(t, start(t, zone)) {
				t.Fatal("with an empty cache the CAA record must be seen")
			}
			primed := start(t, zone)
			if denial := world.Ask(t, primed.Addr, "www.example.org", dns.TypeMX); !denial.AuthenticatedData || len(denial.Answer) != 0 {
				t.Fatalf("MX: want an authentic denial, got\n%v", denial)
			}
			if hidden := !seesCAA(t, primed); hidden != hides[name] {
				t.Errorf("after the denial of MX: CAA is hidden: %v, want %v", hidden, hides[name])
			}
		})
	}
}

// seesCAA reports whether a resolver gives www's record or, as authentic, none. Anything else
// fails the test.
func seesCAA(t *testing.T, resolver *world.Process) bool {
	t.Helper()
	answer := world.Ask(t, resolver.Addr, "www.example.org", dns.TypeCAA)
	got := world.Texts(answer.Answer, dns.TypeCAA)
	switch {
	case !answer.AuthenticatedData || answer.Rcode != dns.RcodeSuccess:
		t.Fatalf("CAA: want an authentic answer, got\n%v", answer)
	case len(got) == 1 && got[0] == `0 issue ";"`:
		return true
	case len(answer.Answer) != 0:
		t.Fatalf("CAA: want the zone's record or none, got\n%v", answer)
	}
	return false
}

// Who moves from dnssec to caa has both in the block for a while. Each RRset is then signed by caa
// alone, and the log says what to take away.
func TestBothPlugins(t *testing.T) {
	t.Parallel()
	old, folder := world.NewKey(t, "example.org"), t.TempDir()
	for name, text := range old.Files {
		world.WriteFile(t, filepath.Join(folder, name), text)
	}
	s := startSigner(t, "caa $DIR/policy.yaml example.org", `dnssec example.org {
        key file `+filepath.Join(folder, old.Name)+`
    }
    file $DIR/example.org.db example.org`)
	for _, m := range []*dns.Msg{s.ask(t, "www.example.org", dns.TypeA), s.ask(t, "www.example.org", dns.TypeCAA), s.ask(t, "example.org", dns.TypeDNSKEY)} {
		if fault := s.unsigned(m); fault != "" || len(world.Texts(m.Answer, dns.TypeRRSIG)) != 1 {
			t.Errorf("want one valid signature: %s\n%v", fault, m)
		}
	}
	s.WaitLog(t, "remove dnssec")
}
