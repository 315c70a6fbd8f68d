package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/world"
)

// dataWithCAA is the zone of an operator who has published CAA without the plugin.
const dataWithCAA = `$TTL 300
@     SOA  ns1 admin 1 7200 3600 1209600 300
@     NS   ns1
@     CAA  0 issue "letsencrypt.org"
ns1   A    127.0.0.1
shop  A    127.0.0.2
shop  CAA  0 issue "digicert.com"
`

const firstPolicy = `version: 1
issuers: {letsencrypt: {domain: letsencrypt.org}}
zones: {example.org: {issue: [letsencrypt]}}
certificates: [{names: [example.org], issuer: letsencrypt}]
`

const givenUp = "removed: [{issuer: digicert.com, names: [shop.example.org, '*.shop.example.org']}]\n"

// The first policy over the data of a zone must not lock out an issuer that the data permit, unless it says so: with every
// plugin whose data can be read whole.
func TestFirstLoadOverData(t *testing.T) {
	t.Parallel()
	for name, backend := range map[string]string{
		"file":      "file $DIR/db.example.org",
		"auto":      "auto {\n        directory $DIR\n        reload 0\n    }",
		"dynupdate": "dynupdate {\n        file $DIR/db.example.org\n        allow key. * TXT\n    }",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			corefile := "example.org:$PORT {\n    bind $ADDR\n    errors\n    caa $DIR/policy.yaml {\n        unsigned\n    }\n    " + backend + "\n}\n"
			files := map[string]string{"policy.yaml": firstPolicy, "db.example.org": dataWithCAA}
			out := world.RunCoreDNS(t, corefile, files)
			for _, want := range []string{
				"shop.example.org, *.shop.example.org: digicert.com cannot issue: issue at example.org lists only letsencrypt; the zone's data permit it, so it may be in use",
				"list digicert.com under removed",
			} {
				if !strings.Contains(out, want) {
					t.Fatalf("it started, or did not say %q:\n%s", want, out)
				}
			}
			files["policy.yaml"] = firstPolicy + givenUp
			server := world.CoreDNS(t, corefile, files)
			server.WaitLog(t, `shop.example.org: the policy has 0 issue "letsencrypt.org"; the zone's data have 0 issue "digicert.com"; no longer permitted: digicert.com, digicert.com (wildcards)`)
			if got := fmt.Sprint(world.Texts(world.Ask(t, server.Addr, "shop.example.org", dns.TypeCAA).Answer, dns.TypeCAA)); !strings.Contains(got, "letsencrypt.org") {
				t.Errorf("got %s", got)
			}
			server.Stop(t)
		})
	}
}

// A zone that was under a policy is not held against its data again: they may say what they like, and neither a reload nor
// a restart with the state folder is refused for them.
func TestDataAreComparedOnce(t *testing.T) {
	t.Parallel()
	corefile := `.:$PORT {
    bind $ADDR
    errors
    caa $DIR/policy.yaml example.org example.net {
        unsigned
        reload 1s
        state $DIR/state
    }
    file $DIR/db.example.org example.org
    file $DIR/db.example.net example.net
}
`
	const both = `version: 1
issuers: {letsencrypt: {domain: letsencrypt.org}}
default: {issue: [letsencrypt]}
zones: {example.org: {}}
`
	other := strings.ReplaceAll(dataWithCAA, "shop  CAA  0 issue \"digicert.com\"\n", "")
	server := world.CoreDNS(t, corefile, map[string]string{"policy.yaml": both, "db.example.org": other, "db.example.net": other})
	// The data change under the policy, and the server restarts.
	world.WriteFile(t, server.Dir+"/db.example.org", strings.Replace(dataWithCAA, " 1 7200", " 2 7200", 1))
	server.Signal(t, syscall.SIGUSR1)
	server.WaitLogs(t, "Reloading complete", 1)
	server.Stop(t)
	server = world.CoreDNS(t, strings.ReplaceAll(corefile, "$DIR", server.Dir), nil)
	defer server.Stop(t)
	if log := server.Log(); strings.Contains(log, "refused") || strings.Contains(log, "no longer permitted") {
		t.Errorf("data that changed under a policy were held against it:\n%s", log)
	}
}

// A zone that a reload brings under the policy of a block is held against its data: what is served stays served.
func TestAReloadBringsAZoneWithData(t *testing.T) {
	t.Parallel()
	corefile := `example.org:$PORT sub.example.org:$PORT {
    bind $ADDR
    errors
    caa $DIR/policy.yaml example.org {
        unsigned
        reload 1s
    }
    file $DIR/db.example.org example.org
    file $DIR/db.sub.example.org sub.example.org
}
`
	policy := "version: 1\nissuers: {letsencrypt: {domain: letsencrypt.org}}\nzones:\n  example.org: {issue: [letsencrypt]}\n"
	server := world.CoreDNS(t, corefile, map[string]string{"policy.yaml": policy,
		"db.example.org":     strings.ReplaceAll(dataWithCAA, "shop  CAA  0 issue \"digicert.com\"\n", "sub NS ns1.sub\nns1.sub A 127.0.0.1\n"),
		"db.sub.example.org": dataWithCAA})
	defer server.Stop(t)
	file := server.Dir + "/policy.yaml"
	world.WriteFile(t, file, policy+"  sub.example.org: {issue: [letsencrypt]}\n")
	server.WaitLog(t, "shop.sub.example.org, *.shop.sub.example.org: digicert.com cannot issue")
	world.WriteFile(t, file, policy+"  sub.example.org: {issue: [letsencrypt]}\nremoved: [{issuer: digicert.com}]\n")
	server.WaitLog(t, "shop.sub.example.org: the policy has")
	if got := fmt.Sprint(world.Texts(world.Ask(t, server.Addr, "shop.sub.example.org", dns.TypeCAA).Answer, dns.TypeCAA)); !strings.Contains(got, "letsencrypt.org") {
		t.Errorf("got %s", got)
	}
}
