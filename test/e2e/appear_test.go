package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/world"
)

// A zone whose file appears in auto's folder is protected from its first question on: the policy's
// default, signed with a key of its own. One inside another one, too. When its file goes, so does the
// zone; when it comes back, it has the key whose DS the parent has.
func TestZonesAppearAndVanish(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	zones := filepath.Join(folder, "zones")
	must(t, os.Mkdir(zones, 0o700))
	world.WriteFile(t, filepath.Join(folder, "policy.yaml"), `version: 1
issuers:
  letsencrypt: {domain: letsencrypt.org}
  digicert: {domain: digicert.com}
default: {issue: [letsencrypt], issuewild: none}
zones:
  example.org: {issue: [digicert], issuewild: none}
`)
	server := world.CoreDNS(t, `.:$PORT {
    bind $ADDR
    errors
    caa `+folder+`/policy.yaml {
        key auto `+folder+`/keys
    }
    auto {
        directory `+zones+`
        reload 200ms
    }
}
`, nil)
	put := func(apex string) {
		world.WriteFile(t, filepath.Join(zones, "db."+apex), fmt.Sprintf(`$ORIGIN %s.
$TTL 3600
@   SOA ns1 hostmaster 1 7200 3600 1209600 60
@   NS  ns1
ns1 A   127.0.0.1
www A   192.0.2.1
`, apex))
	}
	for _, apex := range []string{"example.org", "new.example", "sub.new.example"} {
		put(apex)
		until(t, server, apex, true)
	}
	secure := func(apexes map[string]string) {
		t.Helper()
		var known []world.Zone
		for apex := range apexes {
			known = append(known, world.Zone{Name: apex, Server: server.Addr, Anchor: anchorIn(t, filepath.Join(folder, "keys"), apex)})
		}
		for name, start := range world.Resolvers {
			resolver := start(t, known...).Addr
			for apex, issue := range apexes {
				wantDenied(t, world.Ask(t, resolver, "www."+apex, dns.TypeMX))
				wantCAA(t, world.Ask(t, resolver, "www."+apex, dns.TypeCAA), fmt.Sprintf("0 issue %q", issue), `0 issuewild ";"`)
				if a := world.Ask(t, resolver, "www."+apex, dns.TypeA); !a.AuthenticatedData || len(world.Texts(a.Answer, dns.TypeA)) != 1 {
					t.Errorf("%s: want an authentic address of www.%s, got\n%v", name, apex, a)
				}
			}
		}
	}
	secure(map[string]string{"example.org": "digicert.com", "new.example": "letsencrypt.org", "sub.new.example": "letsencrypt.org"})

	before := anchorIn(t, filepath.Join(folder, "keys"), "new.example")
	must(t, os.Remove(filepath.Join(zones, "db.new.example")))
	until(t, server, "new.example", false)
	secure(map[string]string{"example.org": "digicert.com", "sub.new.example": "letsencrypt.org"})

	put("new.example")
	until(t, server, "new.example", true)
	if after := anchorIn(t, filepath.Join(folder, "keys"), "new.example"); after != before {
		t.Errorf("the zone came back with another key: %s, then %s", before, after)
	}
	secure(map[string]string{"new.example": "letsencrypt.org", "sub.new.example": "letsencrypt.org"})
}

// until waits until a zone is served, or is no more.
func until(t *testing.T, server *world.Process, apex string, served bool) {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) { // the plugin auto tells nobody
		m := world.Ask(t, server.Addr, apex, dns.TypeSOA)
		if len(world.Texts(m.Answer, dns.TypeSOA)) == 1 == served {
			if !served && m.Rcode != dns.RcodeRefused {
				t.Errorf("want REFUSED for a zone that has gone, got\n%v", m)
			}
			return
		}
		if time.Now().After(end) {
			t.Fatalf("served: want %v, got\n%v", served, m)
		}
	}
}

// anchorIn is the key that a folder holds for a zone, as a trust anchor.
func anchorIn(t *testing.T, folder, apex string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "K"+apex+".+*.key"))
	must(t, err)
	if len(files) != 1 {
		t.Fatalf("keys of %s: %q, want one", apex, files)
	}
	text, err := os.ReadFile(files[0])
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if rr, err := dns.NewRR(line); err == nil && rr != nil {
			return rr.String()
		}
	}
	t.Fatalf("%s holds no key", files[0])
	return ""
}
