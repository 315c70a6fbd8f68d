package e2e

import (
	"maps"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/world"
)

// Plugins that make answers of a signed zone bogus are an error at the start. In a block with an unsigned zone they are
// allowed. (Through unbound and Knot Resolver each of these was SERVFAIL.)
func TestPluginsThatMakeAnswersBogus(t *testing.T) {
	t.Parallel()
	key := world.NewKey(t, "example.org")
	files := map[string]string{"policy.yaml": "version: 1\nissuers: {le: {domain: letsencrypt.org}}\nzones: {example.org: {issue: [le]}}\nremoved: [{issuer: other.example}]\n", "z": neighbourZone}
	maps.Copy(files, key.Files)
	corefile := func(line, keys string) string {
		return "example.org:$PORT {\n    bind $ADDR\n    errors\n    " + line + "\n    caa $DIR/policy.yaml {\n        " + keys + "\n    }\n    file $DIR/z\n}\n"
	}
	for line, want := range map[string]string{
		"dns64":                                "dns64 adds unsigned AAAA records",
		"siit {\neam 192.0.2.9 2001:db8::6\n}": "siit adds unsigned A records",
		"rewrite name suffix .old.example.org .example.org answer auto":                                          "rule 1 of rewrite",
		"rewrite ttl exact www.example.org 30\n    rewrite name exact old.example.org www.example.org":           "rule 2 of rewrite answers old.example.org CAA",
		"rewrite stop {\n    name regex (.*)\\.example\\.net {1}.example.org\n    answer auto\n    }\n    dns64": "dns64 adds unsigned AAAA records",
	} {
		output := world.RunCoreDNS(t, corefile(line, "key file $DIR/"+key.Name), files)
		if !strings.Contains(output, want) || !strings.Contains(output, "to a server block without it") {
			t.Errorf("%s: the server's output:\n%s", line, output)
		}
		world.CoreDNS(t, corefile(line, "unsigned"), files).Stop(t)
	}
}

const neighbourZone = "@ 300 IN SOA ns1 h 1 1 1 1 300\n@ 300 IN NS ns1\nns1 300 IN A 127.0.0.1\nwww 300 IN A 192.0.2.1\nwww 300 IN CAA 0 issue \"other.example\"\n"

// The plugin transfer does not hand out the data of a zone without the policy's CAA, and goes on with other zones.
func TestTransferBesideAnOverlay(t *testing.T) {
	t.Parallel()
	server := world.CoreDNS(t, `example.org:$PORT example.net:$PORT {
    bind $ADDR
    errors
    transfer {
        to *
    }
    caa $DIR/policy.yaml example.org {
        unsigned
    }
    file $DIR/z
}
`, map[string]string{"policy.yaml": "version: 1\nissuers: {le: {domain: letsencrypt.org}}\nzones: {example.org: {issue: [le]}}\nremoved: [{issuer: other.example}]\n", "z": neighbourZone})
	if !strings.Contains(server.Log(), "Corefile:7:1: transfer has no effect for example.org:") {
		t.Errorf("no warning:\n%s", server.Log())
	}
	for zone, want := range map[string]string{"example.org.": "bad xfr rcode: 5", "example.net.": ""} {
		envelopes, err := new(dns.Transfer).In(new(dns.Msg).SetAxfr(zone), server.Addr.String())
		if err != nil {
			t.Fatal(err)
		}
		for e := range envelopes {
			if got := ""; e.Error != nil || want != "" {
				if e.Error != nil {
					got = e.Error.Error()
				}
				if !strings.Contains(got, want) || want == "" {
					t.Errorf("%s: %q with %v", zone, got, e.RR)
				}
			}
		}
	}
}
