package caa

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/file"
	"github.com/coredns/coredns/plugin/pkg/dnstest"
	"github.com/coredns/coredns/plugin/test"
	"github.com/coredns/coredns/request"
	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/overlay"
)

const overlayPolicy = `version: 1
issuers: {le: {domain: letsencrypt.org}}
zones:
  example.org:
    issue: [le]
    names: {shop: {issue: none}, new.under: {issue: none}}
`

// overlayData has every construct that a zone can have.
const overlayData = `$ORIGIN example.org.
$TTL 3600
@       SOA   ns1 hostmaster 1 7200 3600 1209600 60
@       NS    ns1
@       CAA   0 issue "of.the.data.example"
@       CDS   1 13 2 0000000000000000000000000000000000000000000000000000000000000000
ns1     A     127.0.0.1
www     A     192.0.2.1
www     TYPE65280 \# 1 00
shop    A     192.0.2.2
a.ent   A     192.0.2.3
alias   CNAME Shop
chain   CNAME alias
out     CNAME target.example.net.
loop1   CNAME loop2
loop2   CNAME loop1
tonx    CNAME nope
tocut   CNAME x.cut
d       DNAME shop
d       TXT   "beside DNAME"
again.shop CNAME z.d
*.wild  A     192.0.2.4
*.wild2 CNAME www
cut     NS    ns.cut
cut     NS    ns1
ns.cut  A     192.0.2.5
scut    NS    ns.example.net.
scut    DS    1 13 2 0000000000000000000000000000000000000000000000000000000000000000
`

// fileZone is CoreDNS's file plugin over a zone.
func fileZone(t testing.TB, text string) plugin.Handler {
	t.Helper()
	z, err := file.Parse(strings.NewReader(text), "example.org.", "stdin", 0)
	if err != nil {
		t.Fatal(err)
	}
	return file.File{Zones: file.Zones{Z: map[string]*file.Zone{"example.org.": z}, Names: []string{"example.org."}}}
}

// shown is an answer in short: its code, the records except signatures, and the types that its NSEC
// does not hold of those that say something else than that they exist.
func shown(m *dns.Msg) string {
	var out []string
	if m.Rcode != dns.RcodeSuccess {
		out = append(out, dns.RcodeToString[m.Rcode])
	}
	if !m.Authoritative {
		out = append(out, "not authoritative:")
	}
	for _, rr := range slices.Concat(m.Answer, m.Ns, m.Extra) {
		name := strings.TrimSuffix(rr.Header().Name, "example.org.")
		switch rr := rr.(type) {
		case *dns.RRSIG, *dns.OPT:
		case *dns.NSEC:
			out = append(out, name+"NSEC"+telling(rr))
		default:
			_, text, _ := strings.Cut(rr.String(), dns.Type(rr.Header().Rrtype).String()+"\t")
			out = append(out, fmt.Sprintf("%s%s %s", name, dns.Type(rr.Header().Rrtype), text))
		}
	}
	return strings.Join(out, "; ")
}

// telling shows the types of a bitmap that change what the others mean, and whether it lists CAA and
// a type of private use.
func telling(nsec *dns.NSEC) string {
	var out strings.Builder
	for _, t := range nsec.TypeBitMap {
		switch t {
		case dns.TypeCNAME, dns.TypeDNAME, dns.TypeNS, dns.TypeSOA, dns.TypeDS, dns.TypeDNSKEY, dns.TypeCDS, dns.TypeNXNAME, dns.TypeCAA, 65280:
			if t == dns.TypeNXNAME {
				out.WriteString(" NXNAME")
			} else {
				out.WriteString(" " + dns.Type(t).String())
			}
		}
	}
	return out.String()
}

// What an overlay answers (DESIGN 5), over CoreDNS's own file plugin.
func TestOverlay(t *testing.T) {
	t.Parallel()
	h, _ := build(t, overlayPolicy, "key auto $DIR/keys", fileZone(t, overlayData))
	const soa = "SOA ns1.example.org. hostmaster.example.org. 1 7200 3600 1209600 60; "
	for _, c := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		{"www.", dns.TypeA, "www.A 192.0.2.1"},
		{"www.", dns.TypeCAA, `www.CAA 0 issue "letsencrypt.org"`},
		{"www.", dns.TypeANY, `www.CAA 0 issue "letsencrypt.org"`}, // RFC 8482 4.1
		{"www.", dns.TypeMX, soa + "www.NSEC CAA TYPE65280"},
		{"www.", 65280, `www.TYPE65280 \# 1 00`},
		{"www.", dns.TypeNSEC, "www.NSEC CAA TYPE65280"},
		{"www.", dns.TypeDS, soa + "www.NSEC CAA TYPE65280"},
		{"www.", dns.TypeDNSKEY, soa + "www.NSEC CAA TYPE65280"},
		{"ent.", dns.TypeCAA, `ent.CAA 0 issue "letsencrypt.org"`}, // RFC 8020: it exists
		{"ent.", dns.TypeA, soa + "ent.NSEC CAA TYPE65280"},
		{"shop.", dns.TypeCAA, `shop.CAA 0 issue ";"`},
		{"new.under.", dns.TypeCAA, `new.under.CAA 0 issue ";"`}, // a node's name exists
		{"under.", dns.TypeCAA, `under.CAA 0 issue "letsencrypt.org"`},
		{"under.", dns.TypeA, soa + "under.NSEC CAA TYPE65280"},
		{"nope.", dns.TypeCAA, soa + "nope.NSEC NXNAME"},
		{"nope.", dns.TypeA, soa + "nope.NSEC NXNAME"},
		{"nope.", dns.TypeANY, soa + "nope.NSEC NXNAME"},
		{"nope.", dns.TypeNSEC3, soa + "nope.NSEC NXNAME"},
		{"nope.", dns.TypeNSEC, "nope.NSEC NXNAME"}, // RFC 9824 3.1: the record that denies all other types exists
		{"nope.", dns.TypeRRSIG, ""},                // and its signature, which is not shown
		{"nope.", dns.TypeNXNAME, "FORMERR; not authoritative:"},
		{"x.d.", dns.TypeNSEC, "d.DNAME shop.example.org.; x.d.CNAME x.shop.example.org.; x.shop.NSEC NXNAME"},
		{"ent.", dns.TypeNSEC, "ent.NSEC CAA TYPE65280"},
		{"under.", dns.TypeNSEC, "under.NSEC CAA TYPE65280"},
		{"d.", dns.TypeNSEC, "d.NSEC DNAME CAA TYPE65280"},
		{"q.wild2.", dns.TypeNSEC, "q.wild2.NSEC CNAME"},
		{"", dns.TypeNSEC, "NSEC NS SOA DNSKEY CDS CAA TYPE65280"},
		{"alias.", dns.TypeCAA, `alias.CNAME shop.example.org.; shop.CAA 0 issue ";"`}, // RFC 8659 3
		{"alias.", dns.TypeCNAME, "alias.CNAME shop.example.org."},
		{"alias.", dns.TypeNSEC, "alias.NSEC CNAME"},
		{"alias.", dns.TypeANY, "alias.CNAME shop.example.org."}, // RFC 1034 4.3.2 3a
		{"tonx.", dns.TypeANY, "tonx.CNAME nope.example.org."},
		{"alias.", dns.TypeDS, "alias.CNAME shop.example.org.; " + soa + "shop.NSEC CAA TYPE65280"},
		{"chain.", dns.TypeA, "chain.CNAME alias.example.org.; alias.CNAME shop.example.org.; shop.A 192.0.2.2"},
		{"out.", dns.TypeCAA, "out.CNAME target.example.net."},
		{"loop1.", dns.TypeA, "loop1.CNAME loop2.example.org.; loop2.CNAME loop1.example.org."},
		{"tonx.", dns.TypeCAA, "tonx.CNAME nope.example.org.; " + soa + "nope.NSEC NXNAME"},
		{"tocut.", dns.TypeCAA, "tocut.CNAME x.cut.example.org."},
		{"d.", dns.TypeTXT, `d.TXT "beside DNAME"`}, // RFC 6672 2.3: the owner is not aliased
		{"d.", dns.TypeCAA, `d.CAA 0 issue "letsencrypt.org"`},
		{"d.", dns.TypeDNAME, "d.DNAME shop.example.org."},
		{"d.", dns.TypeA, soa + "d.NSEC DNAME CAA TYPE65280"}, // RFC 6840 4.4: listed where it is
		{"x.d.", dns.TypeCAA, "d.DNAME shop.example.org.; x.d.CNAME x.shop.example.org.; " + soa + "x.shop.NSEC NXNAME"},
		{"again.d.", dns.TypeA, "d.DNAME shop.example.org.; again.d.CNAME again.shop.example.org.; again.shop.CNAME z.d.example.org.; " +
			"z.d.CNAME z.shop.example.org.; " + soa + "z.shop.NSEC NXNAME"}, // the DNAME once (RFC 2181 5)
		{"x.d.", dns.TypeCNAME, "d.DNAME shop.example.org.; x.d.CNAME x.shop.example.org."}, // RFC 6672 3.2: it is what was asked for
		{"q.wild.", dns.TypeA, "q.wild.A 192.0.2.4"},
		{"q.wild.", dns.TypeCAA, `q.wild.CAA 0 issue "letsencrypt.org"`},
		{"q.wild.", dns.TypeMX, soa + "q.wild.NSEC CAA TYPE65280"},
		{"*.wild.", dns.TypeCAA, `*.wild.CAA 0 issue "letsencrypt.org"`},
		{"q.wild2.", dns.TypeCAA, `q.wild2.CNAME www.example.org.; www.CAA 0 issue "letsencrypt.org"`},
		{"x.cut.", dns.TypeCAA, "not authoritative:; cut.NS ns.cut.example.org.; cut.NS ns1.example.org.; cut.NSEC NS; ns.cut.A 192.0.2.5"},
		{"cut.", dns.TypeCAA, "not authoritative:; cut.NS ns.cut.example.org.; cut.NS ns1.example.org.; cut.NSEC NS; ns.cut.A 192.0.2.5"},
		{"cut.", dns.TypeNS, "not authoritative:; cut.NS ns.cut.example.org.; cut.NS ns1.example.org.; cut.NSEC NS; ns.cut.A 192.0.2.5"},
		{"cut.", dns.TypeDS, soa + "cut.NSEC NS"}, // RFC 4035 3.1.4.1
		{"scut.", dns.TypeDS, "scut.DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000000"},
		{"x.scut.", dns.TypeA, "not authoritative:; scut.NS ns.example.net.; scut.DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000000"},
		{"", dns.TypeCAA, `CAA 0 issue "letsencrypt.org"`}, // the policy wins
		{"", dns.TypeSOA, "SOA ns1.example.org. hostmaster.example.org. 1 7200 3600 1209600 60"},
		{"", dns.TypeNS, "NS ns1.example.org."},
		{"", dns.TypeDS, soa + "NSEC NS SOA DNSKEY CDS CAA TYPE65280"},
		{"", dns.TypeMX, soa + "NSEC NS SOA DNSKEY CDS CAA TYPE65280"},
		{"", dns.TypeCDS, soa + "NSEC NS SOA DNSKEY CAA TYPE65280"}, // another key's: never ours to serve
		{"", dns.TypeNXNAME, "FORMERR; not authoritative:"},         // RFC 9824 3.5
		{"", dns.TypeAXFR, "REFUSED; not authoritative:"},           // the data alone would be an unsigned zone
	} {
		m := ask(t, h, question(c.name+"example.org.", c.qtype), true)
		if got := shown(m); got != c.want {
			t.Errorf("%s %s:\n  got %s\n want %s", c.name, dns.Type(c.qtype), got, c.want)
		}
		verifySigned(t, h, m)
	}
}

// verifySigned is verify for an answer of a signed zone, which has signatures.
func verifySigned(t *testing.T, h *built, m *dns.Msg) {
	t.Helper()
	verify(t, h, m)
	for _, rr := range slices.Concat(m.Answer, m.Ns) {
		if !notSigned(m, rr) && !strings.Contains(types(slices.Concat(m.Answer, m.Ns)), "RRSIG") {
			t.Errorf("no signature at all: %v", m)
			return
		}
	}
}

// RFC 9824 3.1, 5.1: the code of a compact denial is NOERROR, or NXDOMAIN for those who say that they
// understand it, and for those who do not ask for DNSSEC.
func TestCodeOfADenial(t *testing.T) {
	t.Parallel()
	h, _ := build(t, overlayPolicy, "key auto $DIR/keys", fileZone(t, overlayData))
	for _, c := range []struct {
		name   string
		do, co bool
		want   int
	}{
		{"nope.", true, false, dns.RcodeSuccess}, {"nope.", true, true, dns.RcodeNameError}, {"nope.", false, false, dns.RcodeNameError},
		{"ent.", true, true, dns.RcodeSuccess}, {"ent.", false, false, dns.RcodeSuccess},
	} {
		r := new(dns.Msg).SetQuestion(c.name+"example.org.", dns.TypeMX)
		r.SetEdns0(1232, c.do)
		r.IsEdns0().SetCo(c.co)
		m := ask(t, h, r, false)
		if m.Rcode != c.want || m.IsEdns0().Co() != c.co || m.IsEdns0().Do() != c.do {
			t.Errorf("%s with DO %v and CO %v: %s, want %s; OPT %v", c.name, c.do, c.co, dns.RcodeToString[m.Rcode], dns.RcodeToString[c.want], m.IsEdns0())
		}
	}
}

// answers is a next plugin that answers each question as a table says, by "NAME TYPE", NAME or "".
type answers map[string]func(w dns.ResponseWriter, r *dns.Msg) (int, error)

func (a answers) Name() string { return "answers" }

func (a answers) ServeDNS(_ context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
	q := r.Question[0]
	for _, key := range []string{q.Name + " " + dns.TypeToString[q.Qtype], q.Name, ""} {
		if f := a[key]; f != nil {
			return f(w, r)
		}
	}
	return dns.RcodeRefused, nil
}

// saying writes a message with these records in the answer and, after a nil, the authority section.
func saying(rcode int, records ...string) func(dns.ResponseWriter, *dns.Msg) (int, error) {
	return func(w dns.ResponseWriter, r *dns.Msg) (int, error) {
		m := new(dns.Msg).SetRcode(r, rcode)
		m.Authoritative = true
		for _, text := range records {
			text, authority := strings.CutPrefix(text, "!")
			rr, err := dns.NewRR(text)
			if err != nil {
				panic(err)
			}
			if authority {
				m.Ns = append(m.Ns, rr)
			} else {
				m.Answer = append(m.Answer, rr)
			}
		}
		return rcode, w.WriteMsg(m)
	}
}

func code(rcode int, err error) func(dns.ResponseWriter, *dns.Msg) (int, error) {
	return func(dns.ResponseWriter, *dns.Msg) (int, error) { return rcode, err }
}

// Whatever a next plugin does: what the policy knows keeps its CAA, nothing is denied that was not
// denied by an answer to the question, and no answer is unsigned.
func TestNextPluginMisbehaves(t *testing.T) {
	t.Parallel()
	const soa = "!example.org. 60 IN SOA ns. h. 7 1 1 1 60"
	const made = "SOA example.org. hostmaster.example.org."
	for _, c := range []struct {
		what                string
		next                func(dns.ResponseWriter, *dns.Msg) (int, error)
		wantA, wantNodesCAA string // www A; shop CAA, which has a node; "" for SERVFAIL and the node's CAA
	}{
		{"fails", code(dns.RcodeServerFailure, nil), "", ""},
		{"fails with an error", code(dns.RcodeServerFailure, errors.New("down")), "", ""},
		{"says SERVFAIL", saying(dns.RcodeServerFailure), "", ""},
		{"says REFUSED", saying(dns.RcodeRefused), "", ""},
		{"holds no such zone", code(dns.RcodeRefused, nil), "", ""},
		{"writes nothing", code(dns.RcodeSuccess, nil), "", ""},
		{"panics", func(dns.ResponseWriter, *dns.Msg) (int, error) { panic("bug") }, "", ""},
		{"answers about another name", saying(0, "other.example.org. 60 IN A 192.0.2.1"), "", ""},
		{"answers about another zone", saying(0, "www.example.net. 60 IN A 192.0.2.1"), "", ""},
		{"answers another type", saying(0, "www.example.org. 60 IN TXT x", "shop.example.org. 60 IN TXT x"), "", ""},
		{"answers in another class", saying(0, "www.example.org. 60 CH A 192.0.2.1"), "", ""},
		{"denies without SOA", saying(dns.RcodeNameError), made, ""},
		{"denies with another zone's SOA", saying(dns.RcodeNameError, "!org. 60 IN SOA ns. h. 7 1 1 1 60"), made, ""},
		{"denies with SOA", saying(dns.RcodeNameError, soa), "SOA ns. h. 7", ""},
		{"denies what it answers", saying(dns.RcodeNameError, soa, "www.example.org. 60 IN A 192.0.2.1", "shop.example.org. 60 IN CAA 0 issue x"), "", ""},
		{"denies with NSEC of its own", saying(0, soa, "!www.example.org. 60 IN NSEC x.example.org. A"), "SOA ns. h. 7", ""},
		{"answers with signatures of its own", saying(0, "www.example.org. 60 IN A 192.0.2.1",
			"www.example.org. 60 IN RRSIG A 13 3 60 20300101000000 20200101000000 1 example.org. AAAA"), "www.A 192.0.2.1", ""},
		{"refers to the zone itself", saying(0, "!example.org. 60 IN NS ns."), made, ""},
		{"refers upwards", saying(0, "!. 60 IN NS ns."), made, ""},
		{"has several TTLs", saying(0, "www.example.org. 60 IN A 192.0.2.1", "www.example.org. 30 IN A 192.0.2.2"), "www.A 192.0.2.1; www.A 192.0.2.2", ""},
		{"has a TTL of years", saying(0, "www.example.org. 99999999 IN A 192.0.2.1"), "www.A 192.0.2.1", ""},
		{"has an alias to nowhere", saying(dns.RcodeServerFailure, "www.example.org. 60 IN CNAME x.example.net."), "www.CNAME x.example.net.", ""},
		{"has two aliases", saying(0, "www.example.org. 60 IN CNAME y.example.net.", "www.example.org. 60 IN CNAME x.example.net."), "www.CNAME x.example.net.", ""},
		{"follows an alias out of the zone", saying(0, "www.example.org. 60 IN CNAME x.example.net.", "x.example.net. 60 IN A 192.0.2.9"),
			"www.CNAME x.example.net.", ""},
	} {
		h, _ := build(t, overlayPolicy, "key auto $DIR/keys", answers{"": c.next})
		for _, q := range []struct {
			name  string
			qtype uint16
			want  string
		}{{"www.", dns.TypeA, c.wantA}, {"shop.", dns.TypeCAA, `shop.CAA 0 issue ";"`}, {"", dns.TypeCAA, `CAA 0 issue "letsencrypt.org"`}} {
			rec := dnstest.NewRecorder(&test.ResponseWriter{TCP: true})
			_, err := h.ServeDNS(context.Background(), rec, question(q.name+"example.org.", q.qtype))
			if q.want == "" {
				if err == nil || rec.Rcode != dns.RcodeServerFailure || extendedError(rec.Msg) == 0xFFFF {
					t.Errorf("%s: %s: want SERVFAIL that says why (RFC 8914), got %v\n%v", c.what, q.name, err, rec.Msg)
				}
				continue
			}
			if err != nil || !strings.HasPrefix(shown(rec.Msg), q.want) {
				t.Errorf("%s: %s:\n  got %v %v\n want %s", c.what, q.name, rec.Msg, err, q.want)
				continue
			}
			verifySigned(t, h, rec.Msg)
		}
	}
}

// What is in other zones goes only to who does not ask for DNSSEC: it comes without signatures.
func TestForeignTarget(t *testing.T) {
	t.Parallel()
	next := saying(0, "www.example.org. 60 IN CNAME x.example.net.", "x.example.net. 60 IN A 192.0.2.9")
	h, _ := build(t, overlayPolicy, "key auto $DIR/keys", answers{"": next})
	for do, want := range map[bool]string{true: "www.CNAME x.example.net.", false: "www.CNAME x.example.net.; x.example.net.A 192.0.2.9"} {
		r := question("www.example.org.", dns.TypeA)
		r.IsEdns0().SetDo(do)
		if got := shown(ask(t, h, r, true)); got != want {
			t.Errorf("DO %v: got %s, want %s", do, got, want)
		}
	}
}

// A next plugin that hangs delays the policy's own names no longer than patienceBelow.
func TestNextPluginHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		hangs := func(dns.ResponseWriter, *dns.Msg) (int, error) { <-release; return dns.RcodeServerFailure, nil }
		h, _ := build(t, overlayPolicy, "key auto $DIR/keys", answers{"shop.example.org.": hangs})
		if got := shown(ask(t, h, question("shop.example.org.", dns.TypeCAA), true)); got != `shop.CAA 0 issue ";"` {
			t.Error(got)
		}
	})
}

// An answer that a next plugin had to truncate is asked for again as over TCP: half an RRset is not one.
func TestNextPluginTruncates(t *testing.T) {
	t.Parallel()
	next := func(w dns.ResponseWriter, r *dns.Msg) (int, error) {
		if (&request.Request{W: w, Req: r}).Proto() == "tcp" {
			return saying(0, "www.example.org. 60 IN A 192.0.2.1", "www.example.org. 60 IN A 192.0.2.2")(w, r)
		}
		m := new(dns.Msg).SetReply(r)
		m.Truncated = true
		m.Answer = []dns.RR{test.A("www.example.org. 60 IN A 192.0.2.1")}
		return 0, w.WriteMsg(m)
	}
	h, _ := build(t, overlayPolicy, "key auto $DIR/keys", answers{"": next})
	m := ask(t, h, question("www.example.org.", dns.TypeA), false)
	if got := shown(m); got != "www.A 192.0.2.1; www.A 192.0.2.2" {
		t.Error(got)
	}
	verifySigned(t, h, m)
}

// The next plugin is asked without DO, in lower case, and with the client's EDNS options, for its answer
// may depend on them (RFC 7871).
func TestQuestionBelow(t *testing.T) {
	t.Parallel()
	next := func(w dns.ResponseWriter, r *dns.Msg) (int, error) {
		if opt := r.IsEdns0(); r.Question[0].Qtype == dns.TypeA && (opt == nil || opt.Do() || len(opt.Option) != 1 || r.Question[0].Name != "www.example.org.") {
			t.Errorf("asked %v", r)
		}
		return saying(0, "www.example.org. 60 IN A 192.0.2.1")(w, r)
	}
	h, _ := build(t, overlayPolicy, "key auto $DIR/keys", answers{"": next})
	r := question("WWW.Example.org.", dns.TypeA)
	r.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: net.IPv4(192, 0, 2, 0)}}
	if m := ask(t, h, r, true); m.Question[0].Name != "WWW.Example.org." || m.Answer[0].Header().Name != "WWW.Example.org." || len(r.IsEdns0().Option) != 1 || !r.IsEdns0().Do() {
		t.Errorf("answer %v", m)
	}
}

// A zone of our own below an overlay is delegated to with its own keys' DS (RFC 4035 3.1.4.1), and what
// is in it is its own.
func TestOverlayAboveAZoneOfOurs(t *testing.T) {
	t.Parallel()
	policy := overlayPolicy + "  cut.example.org:\n    nameservers: [{name: ns.example.net}]\n    issue: none\n"
	h, _ := build(t, policy, keyFiles(t, "example.org.", "cut.example.org."), fileZone(t, overlayData))
	ds := h.loader.block.serving().zones.Zone("cut.example.org.").Keys.DS[0]
	m := ask(t, h, question("cut.example.org.", dns.TypeDS), true)
	if len(m.Answer) != 2 || m.Answer[0].(*dns.DS).Digest != strings.ToLower(ds.Digest) || m.Answer[1].(*dns.RRSIG).SignerName != "example.org." {
		t.Errorf("DS: %v", m.Answer)
	}
	verifySigned(t, h, m)
	m = ask(t, h, question("tocut.example.org.", dns.TypeCAA), true)
	if got := shown(m); got != `tocut.CNAME x.cut.example.org.; x.cut.CAA 0 issue ";"` {
		t.Error(got)
	}
}

// RFC 8020 2: the ancestors of our zones exist, whether the backend has the zone cut or not. A resolver that caches
// NXDOMAIN for one answers NXDOMAIN for every name under it, too.
func TestNamesAboveAZoneOfOurs(t *testing.T) {
	t.Parallel()
	policy := overlayPolicy + "  a.between.example.org:\n    nameservers: [{name: ns.example.net}]\n    issue: none\n"
	for _, keys := range []string{"key auto $DIR/keys", "unsigned"} {
		h, _ := build(t, policy, keys, fileZone(t, overlayData))
		for _, qtype := range []uint16{dns.TypeA, dns.TypeCAA, dns.TypeNS} {
			m := ask(t, h, question("between.example.org.", qtype), true)
			if got := shown(m); strings.Contains(got, "NXDOMAIN") || strings.Contains(got, "NXNAME") {
				t.Errorf("%s: %s: %s", keys, dns.Type(qtype), got)
			}
			verify(t, h, m)
		}
	}
}

// What a next plugin adds to a referral: glue below this cut and others goes with it (RFC 9471 2), and no
// address that is the zone's own or nobody's, for here it would stand without its signature (RFC 4035
// 3.1.1).
func TestGlue(t *testing.T) {
	t.Parallel()
	refers := func(cut string) func(dns.ResponseWriter, *dns.Msg) (int, error) {
		return func(w dns.ResponseWriter, r *dns.Msg) (int, error) {
			m := new(dns.Msg).SetReply(r)
			for _, server := range []string{"ns.cut", "ns.other", "ns1"} {
				m.Ns = append(m.Ns, test.NS(cut+".example.org. 60 IN NS "+server+".example.org."))
			}
			for _, host := range []string{"ns.cut", "ns.other", "ns1", "nobody.cut"} {
				m.Extra = append(m.Extra, test.A(host+".example.org. 60 IN A 192.0.2.1"))
			}
			return 0, w.WriteMsg(m)
		}
	}
	h, _ := build(t, overlayPolicy, "key auto $DIR/keys", answers{"x.cut.example.org.": refers("cut"), "cut.example.org.": refers("cut"), "ns.other.example.org.": refers("other"),
		"": saying(0, "ns1.example.org. 60 IN A 192.0.2.1")})
	m := ask(t, h, question("x.cut.example.org.", dns.TypeA), true)
	const want = "not authoritative:; cut.NS ns.cut.example.org.; cut.NS ns.other.example.org.; cut.NS ns1.example.org.; cut.NSEC NS; ns.cut.A 192.0.2.1; ns.other.A 192.0.2.1"
	if got := shown(m); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Data change under us: what is signed is what the data are now (coredns/coredns#4448).
func TestDataChange(t *testing.T) {
	t.Parallel()
	address := "192.0.2.1"
	next := func(w dns.ResponseWriter, r *dns.Msg) (int, error) {
		return saying(0, "www.example.org. 60 IN A "+address)(w, r)
	}
	h, _ := build(t, overlayPolicy, "key auto $DIR/keys", answers{"": next})
	for _, address = range []string{"192.0.2.1", "192.0.2.2", "192.0.2.1"} {
		m := ask(t, h, question("www.example.org.", dns.TypeA), true)
		if got := shown(m); got != "www.A "+address {
			t.Error(got)
		}
		verifySigned(t, h, m)
	}
}

// A next plugin that follows an alias asks the whole server for its target (CoreDNS's upstream package).
// What it says is taken; that costs one question a hop, not one for each way through the hops.
func TestNextPluginFollows(t *testing.T) {
	t.Parallel()
	const hops = 8
	var h *built
	asked, loops := 0, false
	follows := plugin.HandlerFunc(func(ctx context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
		if asked++; asked > 1000 {
			return dns.RcodeServerFailure, nil
		}
		var hop int
		if _, err := fmt.Sscanf(r.Question[0].Name, "%d.", &hop); err != nil {
			return saying(dns.RcodeNameError, "!example.org. 60 IN SOA ns. h. 7 1 1 1 60")(w, r)
		}
		if loops && hop == hops {
			hop = 0
		}
		if hop == hops {
			return saying(0, fmt.Sprintf("%d.example.org. 60 IN A 192.0.2.1", hop))(w, r)
		}
		target := dnstest.NewRecorder(&test.ResponseWriter{})
		if _, err := h.ServeDNS(ctx, target, question(fmt.Sprintf("%d.example.org.", hop+1), r.Question[0].Qtype)); err != nil {
			return dns.RcodeServerFailure, err
		}
		m := new(dns.Msg).SetReply(r)
		m.Authoritative = true
		m.Answer = []dns.RR{test.CNAME(fmt.Sprintf("%s 60 IN CNAME %d.example.org.", r.Question[0].Name, hop+1))}
		if target.Msg != nil {
			m.Answer = append(m.Answer, target.Msg.Answer...)
		}
		return 0, w.WriteMsg(m)
	})
	h, _ = build(t, overlayPolicy, "key auto $DIR/keys", follows)
	asked = 0
	m := ask(t, h, question("1.example.org.", dns.TypeA), true)
	if n := len(m.Answer); n != 2*hops || asked != hops {
		t.Errorf("%d records for %d, %d questions below: %v", n, 2*hops, asked, m)
	}
	verifySigned(t, h, m)

	asked, loops = 0, true
	m = ask(t, h, question("1.example.org.", dns.TypeA), true)
	if n := len(m.Answer); n != 2*hops || asked > (hops+1)*(overlay.MaxChain+2) {
		t.Errorf("in a loop, %d records for %d, %d questions below: %v", n, 2*hops, asked, m)
	}
	verifySigned(t, h, m)
}

// CoreDNS's etcd and kubernetes return an alias only for queries for an address or CNAME. It is an alias for every
// type, or CAA would be next to it (RFC 1034 3.6.2).
func TestNextPluginHidesAliases(t *testing.T) {
	t.Parallel()
	const soa = "!example.org. 60 IN SOA ns. h. 7 1 1 1 60"
	h, _ := build(t, overlayPolicy, "key auto $DIR/keys", answers{
		"www.example.org. A":     saying(0, "www.example.org. 60 IN CNAME x.example.net.", "x.example.net. 60 IN A 192.0.2.1"),
		"www.example.org. CNAME": saying(0, "www.example.org. 60 IN CNAME x.example.net."),
		"":                       saying(0, soa),
	})
	behind(h, pluginNamed("etcd"))
	for _, c := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		{"www.", dns.TypeA, "www.CNAME x.example.net."},
		{"www.", dns.TypeCAA, "www.CNAME x.example.net."},
		{"www.", dns.TypeMX, "www.CNAME x.example.net."},
		{"www.", dns.TypeCNAME, "www.CNAME x.example.net."},
		{"www.", dns.TypeNSEC, "www.NSEC CNAME"},
		{"plain.", dns.TypeCAA, `plain.CAA 0 issue "letsencrypt.org"`},
		{"", dns.TypeCAA, `CAA 0 issue "letsencrypt.org"`},
	} {
		m := ask(t, h, question(c.name+"example.org.", c.qtype), true)
		if got := shown(m); got != c.want {
			t.Errorf("%s %s: got %s, want %s", c.name, dns.Type(c.qtype), got, c.want)
		}
		verifySigned(t, h, m)
	}
}

// CoreDNS's etcd answers SOA at any name with the zone's, and at the apex with what it finds below it: SOA
// is at the apex alone, and an apex is no alias (RFC 1034 3.6.2).
func TestNextPluginMistakesTheApex(t *testing.T) {
	t.Parallel()
	const soa, ours = "example.org. 60 IN SOA ns. h. 7 1 1 1 60", "SOA ns. h. 7 1 1 1 60; "
	cname := saying(0, "example.org. 60 IN CNAME x.example.net.")
	h, _ := build(t, overlayPolicy, "key auto $DIR/keys", answers{
		"www.example.org. SOA":   saying(0, soa),
		"nope.example.org. SOA":  saying(0, soa),
		"nope.example.org.":      saying(dns.RcodeNameError, "!"+soa),
		"example.org. TXT":       cname,
		"example.org. A":         saying(0, "example.org. 60 IN CNAME x.example.net.", "x.example.net. 60 IN A 192.0.2.1"),
		"example.org. CNAME":     cname,
		"example.org. CAA":       cname,
		"example.org. SOA":       saying(0, soa),
		"alias.example.org. SOA": saying(0, soa),
		"alias.example.org. CAA": saying(0, "alias.example.org. 60 IN CNAME x.example.net."),
		"caa.example.org. CAA":   saying(0, `caa.example.org. 60 IN CAA 0 issue "x"`),
		"":                       saying(0, "!"+soa),
	})
	const apex = "NSEC NS SOA DNSKEY CDS CAA TYPE65280"
	for _, c := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		{"www.", dns.TypeSOA, ours + "www.NSEC CAA TYPE65280"},
		{"caa.", dns.TypeSOA, ours + "caa.NSEC CAA TYPE65280"},
		{"nope.", dns.TypeSOA, ours + "nope.NSEC NXNAME"},
		{"alias.", dns.TypeSOA, "alias.CNAME x.example.net."},
		{"", dns.TypeSOA, "SOA ns. h. 7 1 1 1 60"},
		{"", dns.TypeTXT, ours + apex},
		{"", dns.TypeA, ours + apex},
		{"", dns.TypeCNAME, ours + apex},
		{"", dns.TypeCAA, `CAA 0 issue "letsencrypt.org"`},
	} {
		m := ask(t, h, question(c.name+"example.org.", c.qtype), true)
		if got := shown(m); got != c.want {
			t.Errorf("%s %s: got %s, want %s", c.name, dns.Type(c.qtype), got, c.want)
		}
		verifySigned(t, h, m)
	}
}

// RFC 6672 2.2: what DNAME makes is a name in octets, however many characters write it, and the root's has no
// label. Without the DNAME, the CNAME would be one that no zone has.
func TestNamesMadeByDNAME(t *testing.T) {
	t.Parallel()
	h, _ := build(t, overlayPolicy, "key auto $DIR/keys", fileZone(t, "$ORIGIN example.org.\n$TTL 60\n@ SOA ns1 h 1 2 3 4 60\n@ NS ns1\nd DNAME shop\nroot DNAME .\n"))
	escaped := strings.Repeat(`\255`, 63)
	for _, c := range []struct{ name, target string }{
		{"x.d.", "x.shop.example.org."},
		{escaped + ".d.", escaped + ".shop.example.org."},
		{"x.root.", "x."},
	} {
		m := ask(t, h, question(c.name+"example.org.", dns.TypeCNAME), true)
		if len(m.Answer) != 3 || types(m.Answer) != "CNAME DNAME RRSIG" || m.Answer[2].(*dns.CNAME).Target != c.target {
			t.Errorf("%s: %v", c.name, m.Answer)
		}
	}
}

// A cache below counts TTLs down, and may have got DNAME twice: what is made from one has the TTL that
// the answer shows (RFC 6672 3.1).
func TestTTLBelowDNAME(t *testing.T) {
	t.Parallel()
	ttl := 60
	next := func(w dns.ResponseWriter, r *dns.Msg) (int, error) {
		ttl--
		return saying(0, fmt.Sprintf("d.example.org. %d IN DNAME x.d.example.org.", ttl))(w, r)
	}
	h, _ := build(t, overlayPolicy, "key auto $DIR/keys", answers{"": next})
	m := ask(t, h, question("a.d.example.org.", dns.TypeA), true)
	if len(m.Answer) < 4 {
		t.Fatal(m)
	}
	for _, rr := range m.Answer {
		if rr.Header().Ttl != m.Answer[0].Header().Ttl {
			t.Errorf("TTL of %v in\n%v", rr, m)
		}
	}
}

// Arbitrary messages from a next plugin: no panic, no unsigned authoritative answer, no denial of a type
// that the policy has.
func FuzzNextPlugin(f *testing.F) {
	for _, text := range []string{"www.example.org. 60 IN A 192.0.2.1", "example.org. 60 IN CNAME d.example.org.", "org. 60 IN DNAME x."} {
		m := new(dns.Msg).SetQuestion("www.example.org.", dns.TypeA)
		rr, err := dns.NewRR(text)
		if err != nil {
			f.Fatal(err)
		}
		m.Answer, m.Ns, m.Response = []dns.RR{rr}, []dns.RR{rr}, true
		wire, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire, uint16(dns.TypeA))
		f.Add(wire, uint16(dns.TypeCAA))
	}
	var reply []byte
	next := func(w dns.ResponseWriter, r *dns.Msg) (int, error) {
		m := new(dns.Msg)
		if err := m.Unpack(reply); err != nil {
			return dns.RcodeServerFailure, nil
		}
		m.Id, m.Question = r.Id, r.Question
		return m.Rcode, w.WriteMsg(m)
	}
	h, _ := build(f, overlayPolicy, "key auto $DIR/keys", answers{"": next})
	f.Fuzz(func(t *testing.T, wire []byte, qtype uint16) {
		reply = wire
		for _, name := range []string{"www.example.org.", "shop.example.org.", "example.org."} {
			rec := dnstest.NewRecorder(&test.ResponseWriter{TCP: true})
			h.ServeDNS(context.Background(), rec, question(name, qtype))
			if rec.Msg == nil {
				t.Fatalf("%s %d: no answer", name, qtype)
			}
			if rec.Rcode == dns.RcodeServerFailure {
				continue
			}
			checkFuzzed(t, name, qtype, rec.Msg)
		}
	})
}

// checkFuzzed holds an answer against what must be true whatever the data are.
func checkFuzzed(t *testing.T, name string, qtype uint16, m *dns.Msg) {
	t.Helper()
	for _, rr := range m.Ns {
		if nsec, ok := rr.(*dns.NSEC); ok && nsec.Hdr.Name != name {
			continue
		} else if ok && name != "www.example.org." && !slices.Contains(nsec.TypeBitMap, dns.TypeCAA) && m.Authoritative {
			t.Errorf("%s %d: the policy's CAA is denied: %v", name, qtype, nsec)
		}
	}
	for _, rr := range slices.Concat(m.Answer, m.Ns) {
		h := rr.Header()
		signed := slices.ContainsFunc(slices.Concat(m.Answer, m.Ns), func(other dns.RR) bool {
			sig, ok := other.(*dns.RRSIG)
			return ok && sig.TypeCovered == h.Rrtype && strings.EqualFold(sig.Hdr.Name, h.Name)
		})
		if h.Rrtype != dns.TypeRRSIG && signed == notSigned(m, rr) {
			t.Errorf("%s %d: signed: %v, in %v: %v", name, qtype, signed, m, rr)
		}
	}
}

func BenchmarkOverlay(b *testing.B) {
	for _, c := range []struct {
		name  string
		qtype uint16
	}{{"shop", dns.TypeCAA}, {"www", dns.TypeCAA}, {"www", dns.TypeA}, {"www", dns.TypeMX}, {"", dns.TypeA}} {
		b.Run(fmt.Sprintf("%s-%s", c.name, dns.TypeToString[c.qtype]), func(b *testing.B) {
			h, _ := build(b, overlayPolicy, "key auto $DIR/keys", fileZone(b, overlayData))
			h.loader.layout.packed = true
			h.loader.serveKeys()
			behind(h, pluginNamed("file"))
			r, w := question(c.name+".example.org.", c.qtype), &discard{}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if c.name == "" {
					r = question(fmt.Sprintf("r%d.example.org.", i), c.qtype)
				}
				if _, err := h.ServeDNS(context.Background(), w, r); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("%s-%s-below", c.name, dns.TypeToString[c.qtype]), func(b *testing.B) {
			h, r, w := fileZone(b, overlayData), question(c.name+".example.org.", c.qtype), &discard{}
			b.ReportAllocs()
			for b.Loop() {
				h.ServeDNS(context.Background(), w, r)
			}
		})
	}
}
