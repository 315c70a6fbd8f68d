package caa

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"
	_ "github.com/coredns/coredns/plugin/any"
	_ "github.com/coredns/coredns/plugin/autopath"
	_ "github.com/coredns/coredns/plugin/bufsize"
	_ "github.com/coredns/coredns/plugin/cache"
	"github.com/coredns/coredns/plugin/dns64"
	_ "github.com/coredns/coredns/plugin/dnssec"
	_ "github.com/coredns/coredns/plugin/header"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/local"
	_ "github.com/coredns/coredns/plugin/minimal"
	_ "github.com/coredns/coredns/plugin/nsid"
	_ "github.com/coredns/coredns/plugin/rewrite"
	"github.com/coredns/coredns/plugin/siit"
	_ "github.com/coredns/coredns/plugin/template"
	_ "github.com/coredns/coredns/plugin/transfer"
	"github.com/coredns/coredns/request"
	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/overlay"
	"github.com/coredns-caa/caa/plugin/caa/zones"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
)

const (
	neighbourPolicy = `version: 1
issuers: {le: {domain: letsencrypt.org}}
zones: {example.org: {issue: [le], names: {localhost: {issue: none}}}}
certificates: [{names: [www.example.org], issuer: le}]
`
	neighbourData = `$ORIGIN example.org.
@ 300 IN SOA ns1 h 1 1 1 1 300
@ 300 IN NS ns1
ns1 300 IN A 127.0.0.1
www 300 IN A 192.0.2.1
six 300 IN AAAA 2001:db8::6
alias 300 IN CNAME www
`
)

// configured is a plugin as its line of the Corefile makes it, before or after another handler.
func configured(t *testing.T, line string, next plugin.Handler) plugin.Handler {
	t.Helper()
	name, _, _ := strings.Cut(line, " ")
	action, err := caddy.DirectiveAction("dns", name)
	if err != nil {
		t.Fatal(err)
	}
	c := caddy.NewTestController("dns", line)
	c.ServerBlockKeys = []string{"example.org."}
	if err := action(c); err != nil {
		t.Fatal(err)
	}
	return dnsserver.GetConfig(c).Plugin[0](next)
}

// upstream has dns64 and siit ask the handler, as they ask the whole server.
type upstream struct{ plugin.Handler }

func (u upstream) Lookup(ctx context.Context, state request.Request, name string, qtype uint16) (*dns.Msg, error) {
	w := new(overlay.Loopback)
	if _, err := u.ServeDNS(ctx, w, question(name, qtype)); err != nil {
		return nil, err
	}
	m := new(dns.Msg)
	return m, m.Unpack(w.Wire)
}

// verifies says why a validating resolver rejects an RRset of a zone that is served here; nil is another's zone.
func verifies(z *zones.Zone, set dnssec.RRset) error {
	if z == nil || !z.Signed() {
		return nil
	}
	var keys []*dns.DNSKEY
	for _, rdata := range z.Keys.Set.DNSKEYs().RDATA {
		key, _, err := dns.UnpackRRWithHeader(dns.RR_Header{Name: z.Name(), Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Rdlength: uint16(len(rdata))}, rdata, 0)
		if err != nil {
			return err
		}
		keys = append(keys, key.(*dns.DNSKEY))
	}
	if result := dnssec.VerifyRRset(set, dnssec.Keys{Zone: z.Name(), RRs: keys}, time.Now()); result.Status != dnssec.Secure {
		return errors.New(result.String())
	}
	return nil
}

// recordsAt are the records of one owner and type in a section.
func recordsAt(section []dns.RR, owner string, rrtype uint16) []dns.RR {
	set, _ := dnssec.Find(dnssec.RRsets(section), dns.CanonicalName(owner), rrtype)
	return set.RRs
}

// validates says what a validating resolver has against an answer.
func validates(h *built, m *dns.Msg, q dns.Question) error {
	for _, section := range [][]dns.RR{m.Answer, m.Ns} {
		for _, set := range dnssec.RRsets(section) {
			if err := verifies(h.loader.block.serving().zones.Find(set.Name), set); err != nil {
				return err
			}
		}
	}
	if m.Question[0] != q {
		return errors.New("it answers another question")
	}
	if len(recordsAt(m.Answer, q.Name, q.Qtype)) > 0 || len(m.Answer) > 0 && q.Qtype == dns.TypeANY {
		if m.Rcode != dns.RcodeSuccess {
			return errors.New("it has what it denies")
		}
		return nil
	}
	if nsec := recordsAt(m.Ns, q.Name, dns.TypeNSEC); len(nsec) > 0 {
		if has := bitmap(nsec[0].(*dns.NSEC)); m.Rcode != dns.RcodeSuccess || strings.Contains(" "+has+" ", " "+dns.TypeToString[q.Qtype]+" ") {
			return errors.New("its denial does not prove it")
		}
		return nil
	}
	return errors.New("it has neither the answer nor a denial")
}

// RFC 4035 5: what a plugin above caa does to answers of a signed zone, and what is reported of it. Each row is a line of a
// Corefile and a question whose answer it makes bogus, or leaves valid.
func TestPluginsAbove(t *testing.T) {
	t.Parallel()
	const valid, bogus = true, false
	for i, c := range []struct {
		line  string
		name  string
		qtype uint16
		valid bool
		want  string // of the problem: "" none, "!" before one that is an error
	}{
		{"loadbalance", "www", dns.TypeA, valid, ""},
		{"bufsize 1232", "www", dns.TypeCAA, valid, ""},
		{"nsid x", "www", dns.TypeCAA, valid, ""},
		{"minimal", "www", dns.TypeCAA, valid, ""},
		{"minimal", "no", dns.TypeCAA, valid, ""},
		{"header {\nresponse set ra\n}", "www", dns.TypeCAA, valid, ""},
		{"dns64 {\nallow_ipv4\n}", "www", dns.TypeAAAA, bogus, "!dns64 adds unsigned AAAA records"},
		{"dns64 {\nallow_ipv4\n}", "www", dns.TypeCAA, valid, "!dns64 adds unsigned AAAA records"},
		{"siit {\neam 192.0.2.9 2001:db8::6\n}", "six", dns.TypeA, bogus, "!siit adds unsigned A records"},
		{"any", "www", dns.TypeANY, bogus, "any answers ANY"},
		{"local", "localhost", dns.TypeCAA, bogus, "local answers for localhost.example.org"},
		{"cache", "www", dns.TypeCAA, valid, "cache is before caa"},
		{"template IN A example.org {\nanswer \"{{ .Name }} 60 IN A 192.0.2.9\"\n}", "www", dns.TypeA, bogus, "template is before caa"},
		{"autopath example.org $DIR/resolv.conf", "a", dns.TypeCAA, bogus, "autopath answers for example.org."},
		{"autopath example.net $DIR/resolv.conf", "www", dns.TypeA, valid, ""},

		{"rewrite name exact old.example.org www.example.org", "old", dns.TypeCAA, bogus, "!rule 1 of rewrite answers old.example.org CAA with www.example.org CAA"},
		{"rewrite name www.example.org www.example.net", "www", dns.TypeCAA, bogus, "!rule 1 of rewrite answers www.example.org CAA with www.example.net CAA"},
		{"rewrite continue name old.example.org www.example.org", "old", dns.TypeCAA, bogus, "!rule 1 of rewrite"},
		{"rewrite name suffix .old.example.org .example.org", "www.old", dns.TypeCAA, bogus, "!rule 1 of rewrite"},
		{"rewrite name suffix .old.example.org .example.org answer auto", "www.old", dns.TypeCAA, bogus, "!rule 1 of rewrite"},
		{"rewrite name prefix old- www answer auto", "old-", dns.TypeCAA, bogus, "!rule 1 of rewrite"},
		{"rewrite name substring .old. . answer auto", "www.old", dns.TypeCAA, bogus, "!rule 1 of rewrite"},
		{"rewrite name regex (.*)\\.old\\.example\\.org {1}.example.org answer auto", "www.old", dns.TypeCAA, bogus, "!rule 1 of rewrite"},
		{"rewrite name regex (.*)\\.old\\.example\\.org {1}.example.org answer name (.*)\\.example\\.org {1}.old.example.org", "www.old", dns.TypeCAA, bogus, "!rule 1 of rewrite"},
		{"rewrite name regex ^h[0-9]+\\.example\\.org www.example.org answer auto", "h7", dns.TypeCAA, bogus, "rule 1 of rewrite may rewrite names of these zones: that may make"},
		{"rewrite name regex (.*)\\.old\\.example\\.org {example/label}.example.org metadata answer auto", "", 0, valid, "!rule 1 of rewrite"},
		{"rewrite type A AAAA", "www", dns.TypeA, bogus, "!rule 1 of rewrite answers example.org A with example.org AAAA"},
		{"rewrite type ANY HINFO", "www", dns.TypeANY, valid, "rule 1 of rewrite answers example.org ANY with example.org HINFO: that may make"},
		{"rewrite class IN CH", "www", dns.TypeCAA, bogus, "!rule 1 of rewrite"},
		{"rewrite rcode exact no.example.org NOERROR NXDOMAIN", "no", dns.TypeCAA, bogus, "!rule 1 of rewrite answers no.example.org CAA with NXDOMAIN in place of NOERROR"},
		{"rewrite rcode regex .* SERVFAIL NOERROR", "www", dns.TypeCAA, valid, ""},
		{"rewrite cname exact www.example.org. six.example.org.", "", 0, valid, "rule 1 of rewrite changes the targets of aliases: that may make"},
		{"rewrite ttl exact www.example.org 30", "www", dns.TypeCAA, valid, ""},
		{"rewrite ttl regex .* 86400", "www", dns.TypeCAA, valid, ""},
		{"rewrite edns0 local set 0xffee 0x61626364", "www", dns.TypeCAA, valid, ""},
		{"rewrite edns0 local set 0xffee {client_ip} revert", "www", dns.TypeCAA, valid, ""},
		{"rewrite class CH IN", "www", dns.TypeCAA, valid, ""},
		{"rewrite name exact old.example.net www.example.org", "www", dns.TypeCAA, valid, ""},
		{"rewrite name suffix .example.com .example.org answer auto", "www", dns.TypeCAA, valid, ""},
		{"rewrite name regex (.*)\\.example\\.com {1}.example.org answer auto", "www", dns.TypeCAA, valid, "rule 1 of rewrite may rewrite"},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			h := buildIn(t, "example.org", neighbourPolicy, keyFiles(t, "example.org."), fileZone(t, neighbourData))
			h.loader.neighbours.site = []string{"example.org."}
			dir := t.TempDir()
			write(t, dir+"/resolv.conf", "search a.example.org b.example.org\nnameserver 127.0.0.1\n")
			above := configured(t, strings.ReplaceAll(c.line, "$DIR", dir), h)
			switch h := above.(type) {
			case *dns64.DNS64:
				h.Upstream = upstream{h.Next}
			case *siit.SIIT:
				h.Upstream = upstream{h.Next}
			}
			h.loader.neighbours.above = []plugin.Handler{above}
			wantProblem(t, c.line, h.loader, c.want)
			if c.name == "" {
				return
			}
			r := question(c.name+".example.org.", c.qtype)
			w := new(overlay.Loopback)
			_, err := above.ServeDNS(context.Background(), w, r.Copy())
			m := new(dns.Msg)
			if err == nil {
				err = m.Unpack(w.Wire)
			}
			if err == nil {
				err = validates(h, m, r.Question[0])
			}
			if (err == nil) != c.valid {
				t.Errorf("%s: %v\n%v", c.line, err, m)
			}
		})
	}
}

func wantProblem(t *testing.T, line string, l *loader, want string) {
	t.Helper()
	problems := l.neighbours.problems(l.block.serving())
	text, fatal := strings.CutPrefix(want, "!")
	got := fmt.Sprint(problems)
	if (len(problems) == 0) != (want == "") || len(problems) > 1 || want != "" && (problems[0].fatal != fatal || !strings.Contains(problems[0].text, text)) {
		t.Errorf("%s: got the problems %s; want %q", line, got, want)
	}
	if err := l.neighbours.compatible(l.block.serving()); (err != nil) != fatal {
		t.Errorf("the start fails: %v", err)
	}
}

// A block may have other zones than those of caa, and plugins for them; and an unsigned zone cannot be bogus.
func TestPluginsForOtherZones(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line, options, want string
		after               bool
	}{
		{line: "rewrite name regex ^h[0-9]+\\.example\\.com www.example.com answer auto"},
		{line: "rewrite name suffix .example.com .example.net answer auto"},
		{line: "rewrite name suffix .example.org .example.net answer auto", want: "!rule 1 of rewrite"},
		{line: "rewrite name substring example sample", want: "!rule 1 of rewrite"},
		{line: "rewrite name substring service.consul. consul."},
		{line: "rewrite name prefix old- www"},
		{line: "rewrite name suffix .example.org .example.net answer auto", options: "unsigned", want: "a CA then sees other CAA than the policy's"},
		{line: "rewrite type A AAAA", options: "unsigned"},
		{line: "dns64", options: "unsigned"},
		{line: "any", options: "unsigned"},
		{line: "template IN A example.org {\nanswer \"{{ .Name }} 60 IN A 192.0.2.9\"\n}", options: "unsigned", want: "template is before caa"},
		{line: "dnssec example.org", options: "unsigned", want: "dnssec is before caa"},
		{line: "dnssec example.org", after: true, want: "the plugin dnssec of this server block signs nothing"},
		{line: "dnssec example.org", after: true, options: "unsigned"},
		{line: "transfer example.org {\nto *\n}", after: true, want: "transfer has no effect for example.org"},
		{line: "transfer {\nto *\n}", after: true, options: "unsigned", want: "transfer has no effect for example.org"},
		{line: "transfer org {\nto *\n}", after: true, want: "transfer has no effect for org"},
		{line: "transfer example.net {\nto *\n}", after: true},
		{line: "minimal", after: true},
	} {
		if c.options == "" {
			c.options = keyFiles(t, "example.org.")
		}
		h := buildIn(t, "example.org", neighbourPolicy, c.options, fileZone(t, neighbourData))
		h.loader.neighbours.site = []string{"."}
		other := []plugin.Handler{configured(t, c.line, h)}
		if c.after {
			h.loader.neighbours.under = other
		} else {
			h.loader.neighbours.above = other
		}
		wantProblem(t, c.line, h.loader, c.want)
	}
}

// A policy that brings a zone whose answers a rule would change is refused, and what may appear under default is a warning.
func TestPluginsForZonesToCome(t *testing.T) {
	t.Parallel()
	const line = "rewrite name suffix .old.example.net .example.net answer auto"
	h := buildIn(t, ".", neighbourPolicy, "key auto $DIR/keys", fileZone(t, neighbourData))
	h.loader.neighbours.site = []string{"."}
	h.loader.neighbours.above = []plugin.Handler{configured(t, line, h)}
	wantProblem(t, line, h.loader, "")
	write(t, h.loader.cfg.file, neighbourPolicy+"default: {issue: [le]}\n")
	if err := reload(h.loader, h.loader.block.serving().policy); err != nil || len(h.loader.neighbours.warned) != 1 {
		t.Errorf("got %v, %q", err, h.loader.neighbours.warned)
	}
	wantProblem(t, line, h.loader, "rule 1 of rewrite answers x.old.example.net CAA with x.example.net CAA: that may make")
	h.loader.neighbours.above[0] = configured(t, "rewrite type A AAAA", h)
	wantProblem(t, "rewrite type A AAAA", h.loader, "!rule 1 of rewrite")
	h.loader.neighbours.above[0] = configured(t, line, h)
	write(t, h.loader.cfg.file, strings.Replace(neighbourPolicy, "zones: {", "zones: {example.net: {issue: [le], nameservers: [{name: ns.example.com}]}, ", 1))
	if err := reload(h.loader, h.loader.block.serving().policy); err == nil || !strings.Contains(err.Error(), "rule 1 of rewrite answers x.old.example.net CAA") {
		t.Errorf("got %v", err)
	}
}

// What a secondary would have of a zone is not what the policy says: transfers are refused, signed or not, and for zones that
// default protects, whichever class is asked for.
func TestTransfersRefused(t *testing.T) {
	t.Parallel()
	handsOut := saying(0, "example.org. 60 IN SOA ns. h. 7 1 1 1 60")
	for _, c := range []struct {
		zones, policy, options, name string
		rcode                        int
	}{
		{"example.org", neighbourPolicy, "unsigned", "example.org.", dns.RcodeRefused},
		{"example.org", neighbourPolicy, "unsigned", "www.example.org.", dns.RcodeRefused},
		{"example.org", neighbourPolicy, "key auto $DIR/keys", "example.org.", dns.RcodeRefused},
		{"example.org", neighbourPolicy, "unsigned", "example.net.", dns.RcodeSuccess},
		{".", neighbourPolicy, "unsigned", "example.net.", dns.RcodeSuccess},
		{".", neighbourPolicy + "default: {issue: [le]}\n", "unsigned", "example.net.", dns.RcodeRefused},
		{"example.org", neighbourPolicy + "default: {issue: [le]}\n", "unsigned", "example.net.", dns.RcodeSuccess},
	} {
		h := buildIn(t, c.zones, c.policy, c.options, answers{"": handsOut})
		for _, qtype := range []uint16{dns.TypeAXFR, dns.TypeIXFR} {
			for _, class := range []uint16{dns.ClassINET, dns.ClassANY} {
				r := question(c.name, qtype)
				r.Question[0].Qclass = class
				if m := ask(t, h, r, true); m.Rcode != c.rcode {
					t.Errorf("%s in %s, %s: %s %d is answered %s", c.zones, c.options, c.name, dns.TypeToString[qtype], class, dns.RcodeToString[m.Rcode])
				}
			}
		}
	}
}
