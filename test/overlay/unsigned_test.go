package overlay

import (
	"testing"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/world"
)

// In an unsigned zone, too, a resolver keeps NXDOMAIN for all types of a name (RFC 2308 5): where a backend answers by
// type, that must not hide the policy's CAA.
func TestUnsignedDenialsHideNoCAA(t *testing.T) {
	t.Parallel()
	ours := world.CoreDNS(t, "example.test:$PORT {\n    bind $ADDR\n    errors\n    caa $DIR/policy.yaml {\n        unsigned\n        reload off\n    }\n"+
		"    template IN A {\n        match ^app2?[.]\n        answer \"{{ .Name }} 60 IN A 192.0.2.1\"\n        fallthrough\n    }\n    file $DIR/db\n}\n",
		map[string]string{"policy.yaml": "version: 1\nissuers:\n  letsencrypt: {domain: letsencrypt.org}\nzones:\n  example.test: {issue: [letsencrypt]}\n", "db": "$ORIGIN example.test.\n" + apexData + "alias 60 CNAME app2\n"})
	for name, start := range world.Validators {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resolver := start(t, world.Zone{Name: "example.test.", Server: ours.Addr}).Addr
			for _, q := range []struct {
				name  string
				qtype uint16
				want  []string
			}{
				{"app.", dns.TypeTXT, nil},
				{"app.", dns.TypeCAA, []string{"app.example.test. " + letsEncrypt}},
				{"app.", dns.TypeA, []string{"app.example.test. A 192.0.2.1"}},
				{"app.", dns.TypeTXT, nil},
				{"alias.", dns.TypeTXT, []string{"alias.example.test. CNAME app2.example.test."}}, // NXDOMAIN of the target is kept, too
				{"app2.", dns.TypeCAA, []string{"app2.example.test. " + letsEncrypt}},
				{"alias.", dns.TypeA, []string{"alias.example.test. CNAME app2.example.test.", "app2.example.test. A 192.0.2.1"}},
			} {
				m := world.Ask(t, resolver, q.name+"example.test.", q.qtype)
				want := belief{rcode: dns.RcodeSuccess, records: q.want}
				if got := believed(m, q.qtype); !got.equal(want) {
					t.Errorf("%s%s:\n   got %v\n  want %v", q.name, dns.Type(q.qtype), got, want)
				}
			}
		})
	}
}
