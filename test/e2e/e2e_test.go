// Package e2e asks our server what a CA asks: through real validating resolvers, with the policy in
// a file and the zone in the server.
package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/world"
)

func TestMain(m *testing.M) { os.Exit(world.Main(m)) }

const policyOnly = `version: 1
issuers:
  letsencrypt: {domain: letsencrypt.org}
zones:
  example.org:
    nameservers: [{name: ns1.example.org, addresses: [127.0.0.1]}]
    issue: [letsencrypt]
    names:
      www: {issue: none}
`

// signedZone serves a policy-only zone with a key of its own.
func signedZone(t *testing.T, policy string) world.Zone {
	t.Helper()
	key := world.NewKey(t, "example.org")
	files := map[string]string{"policy.yaml": policy}
	maps.Copy(files, key.Files)
	server := world.CoreDNS(t, `example.org:$PORT {
    bind $ADDR
    errors
    caa $DIR/policy.yaml {
        key file $DIR/`+key.Name+`
    }
}
`, files)
	return world.Zone{Name: "example.org", Server: server.Addr, Anchor: key.DS}
}

// The denial of one type must not deny CAA, nor CAA's answer any other type, whatever the resolver
// concludes from what it has validated (RFC 8198 5.1). Stock CoreDNS fails this: see ../stock.
func TestNoDenialHidesCAA(t *testing.T) {
	t.Parallel()
	zone := signedZone(t, policyOnly)
	for name, start := range world.Resolvers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resolver := start(t, zone).Addr
			for _, qtype := range absentTypes {
				// Each type has names of its own: what is cached there comes from its denial alone.
				owner := fmt.Sprintf("type%d.example.org", qtype)
				wantDenied(t, world.Ask(t, resolver, owner, qtype))
				wantCAA(t, world.Ask(t, resolver, owner, dns.TypeCAA), `0 issue "letsencrypt.org"`)

				reversed := "reversed-" + owner
				wantCAA(t, world.Ask(t, resolver, reversed, dns.TypeCAA), `0 issue "letsencrypt.org"`)
				wantDenied(t, world.Ask(t, resolver, reversed, qtype))
				wantCAA(t, world.Ask(t, resolver, reversed, dns.TypeCAA), `0 issue "letsencrypt.org"`)
			}
			wantDenied(t, world.Ask(t, resolver, "www.example.org", dns.TypeMX))
			wantCAA(t, world.Ask(t, resolver, "www.example.org", dns.TypeCAA), `0 issue ";"`)
		})
	}
}

// absentTypes are the types that clients ask for at ordinary names, and one that nobody knows.
var absentTypes = []uint16{
	dns.TypeA, dns.TypeAAAA, dns.TypeMX, dns.TypeTXT, dns.TypeSRV, dns.TypeHTTPS, dns.TypeSVCB, dns.TypeTLSA,
	dns.TypeNS, dns.TypeSOA, dns.TypeNAPTR, dns.TypeSSHFP, dns.TypeDNSKEY, dns.TypeCDS, dns.TypeCDNSKEY, 65280,
}

func wantDenied(t *testing.T, answer *dns.Msg) {
	t.Helper()
	if answer.Rcode != dns.RcodeSuccess || !answer.AuthenticatedData || len(answer.Answer) != 0 {
		t.Errorf("want an authentic denial, got\n%v", answer)
	}
}

func wantCAA(t *testing.T, answer *dns.Msg, want ...string) {
	t.Helper()
	got := world.Texts(answer.Answer, dns.TypeCAA)
	slices.Sort(got)
	if slices.Sort(want); !answer.AuthenticatedData || !slices.Equal(got, want) {
		t.Errorf("want %q, authentic; got\n%v", want, answer)
	}
}

// The README's first command: the log shows the DS to publish, and with it the answers of the
// signed zone are authentic; those of the overlay come beside the zone's own data.
func TestExample(t *testing.T) {
	t.Parallel()
	server := world.CoreDNS(t, exampleCorefile(t), nil)
	server.WaitLog(t, "Publish at the parent from ")
	ds := regexp.MustCompile(`corp\.example\.org\. IN DS .*`).FindString(server.Log())
	zones := []world.Zone{
		{Name: "corp.example.org", Server: server.Addr, Anchor: ds},
		{Name: "example.net", Server: server.Addr},
	}
	const issue = `0 issue "letsencrypt.org`
	for name, start := range world.Resolvers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resolver := start(t, zones...).Addr
			for _, q := range []struct {
				name      string
				qtype     uint16
				authentic bool
				want      string // the start of one of the records
			}{
				{"corp.example.org", dns.TypeCAA, true, issue},
				{"vpn.corp.example.org", dns.TypeCAA, true, `0 issuewild ";"`},
				{"dev.corp.example.org", dns.TypeCAA, true, `0 issuewild "letsencrypt.org"`},
				{"_acme-challenge.vpn.corp.example.org", dns.TypeCNAME, true, "vpn.corp.example.org.acme.example.net."},
				{"www.example.net", dns.TypeCAA, false, issue},
				{"shop.example.net", dns.TypeCAA, false, `0 issue "digicert.com"`},
				{"www.example.net", dns.TypeA, false, "192.0.2.3"},
			} {
				answer := world.Ask(t, resolver, q.name, q.qtype)
				if answer.AuthenticatedData != q.authentic || !slices.ContainsFunc(world.Texts(answer.Answer, q.qtype), func(text string) bool { return strings.HasPrefix(text, q.want) }) {
					t.Errorf("%s %s: want %s..., authentic: %v; got\n%v", q.name, dns.TypeToString[q.qtype], q.want, q.authentic, answer)
				}
			}
		})
	}
}

// exampleCorefile is corefile.example with its port, and the folders that it writes to, moved.
func exampleCorefile(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "corefile.example"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer(
		":1053", ":$PORT",
		"127.0.0.1", "$ADDR",
		"examples/", root+"/examples/",
		"example-keys", "$DIR/keys",
		"example-state", "$DIR/state",
	).Replace(string(text))
}
