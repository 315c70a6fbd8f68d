package caa

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coredns/coredns/plugin"
	"github.com/miekg/dns"
)

// counted counts the questions that a next plugin is asked.
type counted struct {
	plugin.Handler
	questions []string
}

func (c *counted) ServeDNS(ctx context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
	q := r.Question[0]
	c.questions = append(c.questions, q.Name+" "+dns.Type(q.Qtype).String())
	return c.Handler.ServeDNS(ctx, w, r)
}

// byTypeAnswers show an alias at www to questions for an address and for CNAME, and an address at app to one for an
// address alone; they deny every other question as if the name did not exist.
func byTypeAnswers() answers {
	const soa = "!example.org. 60 IN SOA ns. h. 7 1 1 1 60"
	return answers{
		"www.example.org. A":     saying(0, "www.example.org. 60 IN CNAME web.example.org.", "web.example.org. 60 IN A 192.0.2.80"),
		"web.example.org. A":     saying(0, "web.example.org. 60 IN A 192.0.2.80"),
		"www.example.org. CNAME": saying(0, "www.example.org. 60 IN CNAME web.example.org."),
		"app.example.org. A":     saying(0, "app.example.org. 60 IN A 192.0.2.1"),
		"both.example.org. TXT":  saying(0, "both.example.org. 60 IN TXT heritage"),
		"sub.example.org. TXT":   saying(0, "sub.example.org. 60 IN TXT heritage"), // as external-dns fills etcd
		"sub.example.org. A":     saying(0, "sub.example.org. 60 IN CNAME web.example.org.", "web.example.org. 60 IN A 192.0.2.80"),
		"sub.example.org. AAAA":  saying(0, soa),
		"six.example.org. AAAA":  saying(0, "six.example.org. 60 IN CNAME x.example.net."), // as a template for AAAA alone
		"sub6.example.org. A":    saying(0, soa),                                           // etcd denies the address that the target has not
		"sub6.example.org. AAAA": saying(0, "sub6.example.org. 60 IN CNAME web.example.org.", "web.example.org. 60 IN AAAA 2001:db8::1"),
		"both.example.org.":      saying(0, "both.example.org. 60 IN CNAME x.example.net."),
		"example.org. SOA":       saying(0, soa[1:]),
		"cut.example.org. DS":    saying(0, soa),
		"cut.example.org.":       saying(0, "!cut.example.org. 60 IN NS ns.example.net."),
		"x.cut.example.org.":     saying(0, "!cut.example.org. 60 IN NS ns.example.net."),
		"":                       saying(dns.RcodeNameError, soa),
	}
}

// A name is an alias for all types or for none (RFC 1034 3.6.2), and exists for all types or for none (RFC 8020 2),
// whatever one answer of a plugin says that answers by type.
func TestAnswersByType(t *testing.T) {
	t.Parallel()
	h, _ := build(t, overlayPolicy, "key auto $DIR/keys", byTypeAnswers())
	behind(h, pluginNamed("etcd"))
	const soa = "SOA ns. h. 7 1 1 1 60; "
	const web = `www.CNAME web.example.org.; web.CAA 0 issue "letsencrypt.org"`
	for _, c := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		{"www.", dns.TypeCAA, web},
		{"www.", dns.TypeA, "www.CNAME web.example.org.; web.A 192.0.2.80"},
		{"www.", dns.TypeTXT, "www.CNAME web.example.org.; " + soa + "web.NSEC CAA TYPE65280"},
		{"www.", dns.TypeDS, "www.CNAME web.example.org.; " + soa + "web.NSEC CAA TYPE65280"},
		{"www.", dns.TypeNSEC, "www.NSEC CNAME"},
		{"app.", dns.TypeCNAME, soa + "app.NSEC CAA TYPE65280"}, // never NXNAME: it would hide the address
		{"app.", dns.TypeCAA, `app.CAA 0 issue "letsencrypt.org"`},
		{"app.", dns.TypeA, "app.A 192.0.2.1"},
		{"nope.", dns.TypeA, soa + "nope.NSEC CAA TYPE65280"},
		{"nope.", dns.TypeCAA, `nope.CAA 0 issue "letsencrypt.org"`},
		{"both.", dns.TypeTXT, "both.CNAME x.example.net."}, // as external-dns writes it: the alias is for all types
		{"both.", dns.TypeCAA, "both.CNAME x.example.net."},
		{"sub.", dns.TypeTXT, "sub.CNAME web.example.org.; " + soa + "web.NSEC CAA TYPE65280"},
		{"sub.", dns.TypeCNAME, "sub.CNAME web.example.org."},
		{"sub.", dns.TypeAAAA, "sub.CNAME web.example.org.; " + soa + "web.NSEC CAA TYPE65280"},
		{"sub.", dns.TypeCAA, `sub.CNAME web.example.org.; web.CAA 0 issue "letsencrypt.org"`},
		{"six.", dns.TypeCAA, "six.CNAME x.example.net."},
		{"sub6.", dns.TypeCAA, `sub6.CNAME web.example.org.; web.CAA 0 issue "letsencrypt.org"`},
		{"sub6.", dns.TypeA, "sub6.CNAME web.example.org.; web.A 192.0.2.80"},
		{"cut.", dns.TypeDS, "SOA ns. h. 7 1 1 1 60; cut.NSEC NS"},
		{"cut.", dns.TypeCAA, "not authoritative:; cut.NS ns.example.net.; cut.NSEC NS"},
		{"x.cut.", dns.TypeCAA, "not authoritative:; cut.NS ns.example.net.; cut.NSEC NS"},
		{"", dns.TypeCNAME, soa + "NSEC NS SOA DNSKEY CDS CAA TYPE65280"},
	} {
		m := ask(t, h, question(c.name+"example.org.", c.qtype), true)
		if got := shown(m); got != c.want {
			t.Errorf("%s %s:\n  got %s\n want %s", c.name, dns.Type(c.qtype), got, c.want)
		}
		verifySigned(t, h, m)
	}
}

// Where several plugins share the names of a zone, a name that the last one denies may be an ancestor of another's name.
func TestSharedNames(t *testing.T) {
	t.Parallel()
	h, _ := build(t, overlayPolicy, "key auto $DIR/keys", fileZone(t, overlayData))
	behind(h, pluginNamed("file"), pluginNamed("hosts"))
	for name, want := range map[string]string{
		"nope.":  `nope.CAA 0 issue "letsencrypt.org"`,
		"alias.": `alias.CNAME shop.example.org.; shop.CAA 0 issue ";"`,
	} {
		if got := shown(ask(t, h, question(name+"example.org.", dns.TypeCAA), true)); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

// The questions to the next plugin are bounded: none more where one answer says all, and at most one more of a
// plugin that answers by type, which is remembered for the TTL.
func TestQuestionsToTheNextPlugin(t *testing.T) {
	t.Parallel()
	data := fileZone(t, overlayData)
	whole, byType := []plugin.Handler{data}, []plugin.Handler{pluginNamed("etcd")}
	for _, c := range []struct {
		name  string
		under []plugin.Handler
		next  plugin.Handler
		asked []string // one after the other
		want  int      // of the last of them
	}{
		{"file, no data", whole, data, []string{"www MX", "shop MX"}, 1},
		{"file, no name", whole, data, []string{"www MX", "nope A"}, 1},
		{"file, an alias", whole, data, []string{"alias A"}, 1},
		{"file, CAA", whole, data, []string{"www CAA"}, 1},
		{"by type, a random name", byType, byTypeAnswers(), []string{"nope A"}, 1},
		{"by type, CAA", byType, byTypeAnswers(), []string{"app CAA"}, 1},
		{"by type, CAA of a random name", byType, byTypeAnswers(), []string{"nope CAA"}, 3},
		{"by type, CAA again", byType, byTypeAnswers(), []string{"app CAA", "app CAA"}, 1},
		{"by type, CAA after an address", byType, byTypeAnswers(), []string{"app A", "app CAA"}, 1},
		{"by type, no data", byType, byTypeAnswers(), []string{"app MX"}, 2},
	} {
		next := &counted{Handler: c.next}
		h, _ := build(t, overlayPolicy, "key auto $DIR/keys", next)
		behind(h, c.under...)
		for _, text := range c.asked {
			next.questions = nil
			name, qtype, _ := strings.Cut(text, " ")
			ask(t, h, question(name+".example.org.", dns.StringToType[qtype]), true)
		}
		if len(next.questions) != c.want {
			t.Errorf("%s: want %d questions, got %v", c.name, c.want, next.questions)
		}
	}
}

// What was learned of a name is believed for the TTL of the alias or of its denial, and no longer.
func TestAliasIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		data := byTypeAnswers()
		h, _ := build(t, overlayPolicy, "key auto $DIR/keys", data)
		behind(h, pluginNamed("etcd"))
		caa := func() string { return shown(ask(t, h, question("www.example.org.", dns.TypeCAA), true)) }
		const alias, own = `www.CNAME web.example.org.; web.CAA 0 issue "letsencrypt.org"`, `www.CAA 0 issue "letsencrypt.org"`
		if got := caa(); got != alias {
			t.Fatalf("got %s, want %s", got, alias)
		}
		delete(data, "www.example.org. CNAME")
		delete(data, "www.example.org. A")
		if got := caa(); got != alias {
			t.Errorf("within the TTL: got %s, want %s", got, alias)
		}
		time.Sleep(61 * time.Second)
		if got := caa(); got != own {
			t.Errorf("after the TTL: got %s, want %s", got, own)
		}
	})
}

// Data without an SOA, as the plugin hosts has: a question for SOA is answered with the SOA of the denials. BIND takes an
// answer for bogus that denies the SOA by an NSEC with NS.
func TestDataWithoutSOA(t *testing.T) {
	t.Parallel()
	data := answers{"": saying(0)}
	h, _ := build(t, overlayPolicy, "key auto $DIR/keys", data)
	want := "SOA example.org. hostmaster.example.org."
	for _, qtype := range []uint16{dns.TypeSOA, dns.TypeMX} {
		m := ask(t, h, question("example.org.", qtype), true)
		if got := shown(m); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %s, want %s", dns.Type(qtype), got, want)
		}
		verifySigned(t, h, m)
	}
}

// RFC 2308 2, 5: a denial of an unsigned zone has the SOA that the next plugin leaves out, or no resolver keeps it.
func TestUnsignedDenialHasSOA(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		next answers
		want string
	}{
		{"without SOA in the data", answers{"": saying(0)}, "SOA example.org. hostmaster.example.org."},
		{"with SOA in the data", answers{"example.org. SOA": saying(0, "example.org. 900 IN SOA ns. h. 7 1 1 1 60"), "": saying(dns.RcodeNameError)}, "NXDOMAIN; SOA ns. h. 7"},
		{"a referral", answers{"": saying(0, "!www.example.org. 60 IN NS ns.")}, "www.NS ns."},
		{"a denial with SOA", answers{"": saying(0, "!example.org. 60 IN SOA other. h. 7 1 1 1 60")}, "SOA other. h."},
	} {
		h, _ := build(t, overlayPolicy, "unsigned", c.next)
		m := ask(t, h, question("www.example.org.", dns.TypeMX), true)
		if got := shown(m); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}
