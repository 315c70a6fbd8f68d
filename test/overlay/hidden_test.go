package overlay

import (
	"maps"
	"testing"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/world"
)

// An alias that the next plugin shows to some types alone is one for all types (RFC 1034 3.6.2), also for a question for
// an address that is the first: a resolver which has met the alias follows it for addresses, too. Where the plugin denies
// the whole name to A, one question has to be enough (docs/decisions/names-for-all-types.md): then the address is
// denied, and nothing else of the name.
func TestAddressesOfHiddenAliases(t *testing.T) {
	t.Parallel()
	key := world.NewKey(t, "example.test.")
	files := map[string]string{"policy.yaml": "version: 1\nissuers:\n  letsencrypt: {domain: letsencrypt.org}\nzones:\n  example.test: {issue: [letsencrypt]}\n",
		"db": "$ORIGIN example.test.\n" + apexData + "web 60 A 192.0.2.80\nx.exists 60 A 192.0.2.1\n"}
	maps.Copy(files, key.Files)
	alias := func(rrtype, names, target string) string {
		return "    template IN " + rrtype + " {\n        match ^(" + names + ")[.]\n        answer \"{{ .Name }} 60 IN CNAME " + target + ".example.test.\"\n        fallthrough\n    }\n"
	}
	ours := world.CoreDNS(t, "example.test:$PORT {\n    bind $ADDR\n    errors\n    caa $DIR/policy.yaml {\n        key file $DIR/"+key.Name+"\n        reload off\n    }\n"+
		alias("CNAME", "exists", "web")+"    file $DIR/db\n}\n", files).Addr
	for _, c := range []struct {
		why, name   string
		first, then uint16 // a question for an address, and one that shows the alias
	}{
		{"A and AAAA are denied with NOERROR, CNAME has the alias", "exists", dns.TypeA, dns.TypeCNAME},
		{"A and AAAA are denied with NOERROR, CNAME has the alias, asked for AAAA", "exists", dns.TypeAAAA, dns.TypeCNAME},
	} {
		t.Run(c.why, func(t *testing.T) {
			first := world.Texts(world.Ask(t, ours, c.name+".example.test.", c.first).Answer, dns.TypeCNAME)
			then := world.Texts(world.Ask(t, ours, c.name+".example.test.", c.then).Answer, dns.TypeCNAME)
			if len(first) != 1 || len(then) != 1 || first[0] != then[0] {
				t.Errorf("%s: %v, then %s: %v", dns.Type(c.first), first, dns.Type(c.then), then)
			}
		})
	}
}
