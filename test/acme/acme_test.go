// Package acme proves that a host which nobody outside can reach gets its certificates through a
// policy-only zone: a real ACME client asks a real ACME server, which resolves with unbound.
//
// The zone is signed and holds no host, only the policy's CAA and, at every _acme-challenge name, an
// alias into a zone that the client may write to: CoreDNS's dynupdate, in the same server. The
// client is lego with its provider for RFC 2136, which finds the alias by itself; the CA is Pebble.
// Pebble looks at no CAA, so the tests do what Boulder does: look it up through the CA's resolver
// (RFC 8659 3), insist on DNSSEC, and decide with package issuance.
package acme

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-acme/lego/v5/challenge/dns01"
	"github.com/go-acme/lego/v5/log"
	"github.com/go-acme/lego/v5/providers/dns/dnsupdate"
	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/test/world"
)

func TestMain(m *testing.M) {
	// Pebble reads these when it starts, and nowhere else: no pauses and no made-up failures.
	os.Setenv("PEBBLE_VA_NOSLEEP", "1")
	os.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	os.Setenv("PEBBLE_AUTHZREUSE", "0")
	os.Exit(world.Main(m))
}

// policy takes the accounts' URIs.
const policy = `version: 1
issuers:
  pebble: {domain: pebble.letsencrypt.org, unlisted: true, accounts: [%s], methods: [dns-01]}
zones:
  corp.example.org:
    nameservers: [{name: ns1.corp.example.org, addresses: [127.0.0.1]}]
    issue: [pebble]
    issuewild: none
    challenge: "{name}.acme.example.net"
    names:
      dev: {issuewild: [pebble]}
      dev2: {issuewild: [pebble]}
      bare: {challenge: none}
certificates:
  - {names: [vpn.corp.example.org, "*.dev.corp.example.org"], issuer: pebble, method: dns-01}
`

const challengeZone = `$ORIGIN acme.example.net.
@   60 IN SOA ns hostmaster 1 3600 600 86400 1
@   60 IN NS  ns
ns  60 IN A   127.0.0.1
`

// The client's TSIG key (RFC 8945) for the challenge zone.
const (
	tsigKey    = "acme-client."
	tsigSecret = "c2VjcmV0IG9mIGEgdGVzdCwgYW5kIG5vbmUgb3RoZXI="
)

const corefile = `corp.example.org:$PORT {
    bind $ADDR
    errors
    caa $DIR/policy.yaml {
        key file $DIR/%s
        reload 100ms
    }
}
acme.example.net:$PORT {
    bind $ADDR
    errors
    tsig {
        secret ` + tsigKey + ` ` + tsigSecret + `
        require_opcode UPDATE
    }
    dynupdate {
        file $DIR/acme.db
        allow ` + tsigKey + ` * TXT
    }
}
`

func TestInternalHostGetsItsCertificate(t *testing.T) {
	t.Parallel()
	key := world.NewKey(t, "corp.example.org")
	const earlier = "https://acme.example/acct/1"
	files := map[string]string{"policy.yaml": fmt.Sprintf(policy, earlier), "acme.db": challengeZone}
	for name, text := range key.Files {
		files[name] = text
	}
	server := world.CoreDNS(t, fmt.Sprintf(corefile, key.Name), files)
	zones := []world.Zone{
		{Name: "corp.example.org", Server: server.Addr, Anchor: key.DS},
		{Name: "acme.example.net", Server: server.Addr},
	}
	resolver := world.Unbound(t, zones...).Addr
	client := newSubscriber(t, newPebble(t, resolver))
	solveByUpdate(t, client, resolver, server.Addr)

	vpn := issuance.Request{Issuers: client.GetServerMetadata().CaaIdentities, Account: client.account.Location, Method: "dns-01"}
	wantDecision(t, resolver, "vpn.corp.example.org", vpn, issuance.AccountMismatch)

	// A new account is let in beside the earlier one, whose certificates must stay issuable.
	world.WriteFile(t, filepath.Join(server.Dir, "policy.yaml"), fmt.Sprintf(policy, earlier+", "+client.account.Location))
	server.WaitLogs(t, "Serving ", 2)
	authority := world.Unbound(t, zones...).Addr // whose cache has nothing of the policy before

	for _, c := range []struct {
		name   string
		change func(*issuance.Request)
		want   issuance.Reason
	}{
		{"vpn.corp.example.org", func(*issuance.Request) {}, issuance.Authorized},
		{"dev.corp.example.org", wildcard, issuance.Authorized},
		{"vpn.corp.example.org", wildcard, issuance.NobodyAuthorized},
		{"vpn.corp.example.org", func(r *issuance.Request) { r.Account += "0" }, issuance.AccountMismatch},
		{"vpn.corp.example.org", func(r *issuance.Request) { r.Method = "http-01" }, issuance.MethodNotAllowed},
		{"vpn.corp.example.org", func(r *issuance.Request) { r.Issuers = []string{"letsencrypt.org"} }, issuance.IssuerNotListed},
	} {
		request := vpn
		c.change(&request)
		wantDecision(t, authority, c.name, request, c.want)
	}

	for _, names := range [][]string{
		{"vpn.corp.example.org"},
		{"*.dev.corp.example.org"},
		{"a.deep.host.corp.example.org", "corp.example.org"},
		{"*.dev2.corp.example.org", "dev2.corp.example.org"}, // one name for two challenges
	} {
		t.Run("certificate for "+strings.Join(names, " and "), func(t *testing.T) {
			t.Parallel()
			for _, name := range names {
				request := vpn
				name, request.Wildcard = strings.CutPrefix(name, "*.")
				wantDecision(t, authority, name, request, issuance.Authorized)
			}
			got, err := client.obtain(t.Context(), names...)
			if slices.Sort(got); err != nil || !slices.Equal(got, names) {
				t.Errorf("it holds %q, %v", got, err)
			}
		})
	}
	t.Run("no certificate without the alias", func(t *testing.T) {
		t.Parallel()
		// There is nowhere to write: the zone itself takes no update.
		if _, err := client.obtain(t.Context(), "bare.corp.example.org"); err == nil || !strings.Contains(err.Error(), "NOTIMP") {
			t.Errorf("want NOTIMP (RFC 2136 2.2), got %v", err)
		}
	})
	if answer := world.Ask(t, authority, "vpn.corp.example.org", dns.TypeA); len(answer.Answer) != 0 || !answer.AuthenticatedData {
		t.Errorf("the host has no address outside; got\n%v", answer)
	}
}

func wildcard(r *issuance.Request) { r.Wildcard = true }

// pollEvery is how often the client looks whether its record can be seen.
const pollEvery = 10 * time.Millisecond

// solveByUpdate lets the client solve dns-01 by RFC 2136 at the server of the challenge zone, which
// the resolver leads it to.
func solveByUpdate(t *testing.T, client *subscriber, resolver, server netip.AddrPort) {
	t.Helper()
	log.SetDefault(slog.New(slog.NewTextHandler(t.Output(), nil)))
	options := dns01.NewOptions()
	options.RecursiveNameservers = []string{resolver.String()}
	dns01.SetDefaultClient(dns01.NewClient(options))

	config := dnsupdate.NewDefaultConfig()
	config.Nameserver = server.String()
	config.TSIGKey, config.TSIGSecret, config.TSIGAlgorithm = tsigKey, tsigSecret, dns.HmacSHA256
	config.PollingInterval, config.SequenceInterval, config.TTL = pollEvery, pollEvery, 1
	provider, err := dnsupdate.NewDNSProviderConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	// The name servers' addresses lead to port 53, where a test has no server.
	if err := client.Challenge.SetDNS01Provider(provider, dns01.DisableAuthoritativeNssPropagationRequirement()); err != nil {
		t.Fatal(err)
	}
}

// wantDecision decides as a CA does that resolves with this resolver.
func wantDecision(t *testing.T, resolver netip.AddrPort, name string, request issuance.Request, want issuance.Reason) {
	t.Helper()
	rrset, owner, err := issuance.Climb(dns.Fqdn(name), func(name string) (issuance.RRset, error) {
		return lookUp(t, resolver, name)
	})
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	decision, dialect := issuance.Everywhere(rrset, request)
	if decision.Reason != want {
		t.Errorf("%s for %+v, in the dialect %s: %s, want %s; the set at %s is %v", name, request, dialect.Name, decision.Reason, want, owner, rrset)
	}
}

// lookUp returns the CAA RRset at a name or, in case of an alias, at its target. What is not
// authentic is an error (BR 4.2.2.2): every zone of these tests that holds CAA is signed.
func lookUp(t *testing.T, resolver netip.AddrPort, name string) (issuance.RRset, error) {
	answer := world.Ask(t, resolver, name, dns.TypeCAA)
	if answer.Rcode != dns.RcodeSuccess || !answer.AuthenticatedData {
		return nil, fmt.Errorf("CAA of %s: %s, authentic: %v", name, dns.RcodeToString[answer.Rcode], answer.AuthenticatedData)
	}
	var rrset issuance.RRset
	for _, rr := range answer.Answer {
		if caa, ok := rr.(*dns.CAA); ok {
			rrset = append(rrset, issuance.Property{Flags: caa.Flag, Tag: caa.Tag, Value: caa.Value})
		}
	}
	return rrset, nil
}
