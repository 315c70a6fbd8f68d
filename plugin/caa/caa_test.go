package caa

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/pkg/dnstest"
	"github.com/coredns/coredns/plugin/test"
	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/keyring"
	"github.com/coredns-caa/caa/plugin/caa/overlay"
	"github.com/coredns-caa/caa/plugin/caa/zones"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

const testPolicy = `version: 1
report: [mailto:pki@example.org]
issuers: {le: {domain: letsencrypt.org}}
zones:
  example.org:
    nameservers: [{name: ns1.example.org, addresses: [192.0.2.1, "2001:db8::1"]}, {name: ns2.example.net}]
    issue: [le]
    issuewild: none
    challenge: "{name}.acme.example.net"
    names: {shop: {issue: none}, plain: {challenge: none}}
  sub.example.org:
    nameservers: [{name: ns.example.net}]
    issue: [le]
certificates: [{names: [www.example.org], issuer: le}]
`

// build makes a handler as the Corefile's block would, without a server around it.
func build(t testing.TB, policy, options string, next plugin.Handler) (*built, string) {
	t.Helper()
	cfg, dir := configure(t, policy, options)
	return begin(t, cfg, next), dir
}

// built is a block as the Corefile's would be, without a server around it.
type built struct {
	*CAA
	loader *loader
}

// prepare makes a block that is alone, and has not been started.
func prepare(cfg *config, of keyring.Config, next plugin.Handler) (*built, error) {
	b, err := newBlock(cfg, &dnsserver.Config{}, nil, of)
	if err != nil {
		return nil, err
	}
	b.handler.Next = next
	l := newLoader(b, surroundings{routes: newRoutes(b), next: next})
	l.layout.backend, l.layout.packed = overlay.Backend{}, false // of the other plugins nothing is known
	return &built{b.handler, l}, nil
}

// start brings the first policy into service.
func (b *built) start() error { return b.loader.source.Start(live.goodOf(b.loader.cfg)) }

// begin makes a block that is alone, and starts it.
func begin(t testing.TB, cfg *config, next plugin.Handler) *built {
	t.Helper()
	b, err := prepare(cfg, cfg.keyring(), next)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.start(); err != nil {
		t.Fatal(err)
	}
	return b
}

// pluginNamed is a plugin of which nothing matters but the name.
type pluginNamed string

func (p pluginNamed) Name() string { return string(p) }

func (p pluginNamed) ServeDNS(context.Context, dns.ResponseWriter, *dns.Msg) (int, error) {
	return dns.RcodeServerFailure, nil
}

// behind has a handler take its next plugins for others.
func behind(h *built, under ...plugin.Handler) {
	h.loader.layout.backend = overlay.BackendOf(under)
	h.loader.serveKeys()
}

// configure reads a block over a policy file in a folder, which is $DIR in the options.
func configure(t testing.TB, policy, options string) (*config, string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "caa.yaml")
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	options = strings.ReplaceAll(options, "$DIR", dir)
	c := caddy.NewTestController("dns", fmt.Sprintf("caa %s example.org {\n%s\nparent off\n}", file, options))
	cfg, err := parseConfig(c)
	if err != nil {
		t.Fatal(err)
	}
	return cfg, dir
}

// keyFiles makes keys of zones and names them as an option. Their DS are there at once, where those of
// key auto wait until caches have forgotten the zone without its key.
func keyFiles(t testing.TB, zones ...string) string {
	t.Helper()
	option, dir := "key file", t.TempDir()
	for _, zone := range zones {
		key := newKey(t, zone)
		base := filepath.Join(dir, "K"+key.String())
		private, public := key.Files()
		if err := errors.Join(os.WriteFile(base+".private", []byte(private), 0o600), os.WriteFile(base+".key", []byte(public), 0o644)); err != nil {
			t.Fatal(err)
		}
		option += " " + base
	}
	return option
}

func newKey(t testing.TB, zone string) *zonesign.Key {
	t.Helper()
	key, err := zonesign.NewKey(zone, dns.ECDSAP256SHA256, true, func(uint16) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// ask sends a question through the handler; the message returned has been packed and unpacked.
func ask(t testing.TB, h plugin.Handler, r *dns.Msg, tcp bool) *dns.Msg {
	t.Helper()
	rec := dnstest.NewRecorder(&test.ResponseWriter{TCP: tcp})
	if _, err := h.ServeDNS(context.Background(), rec, r); err != nil {
		t.Fatal(err)
	}
	if rec.Msg == nil {
		t.Fatalf("no answer to %v", r.Question)
	}
	wire, err := rec.Msg.Pack()
	if err != nil {
		t.Fatal(err)
	}
	m := new(dns.Msg)
	if err := m.Unpack(wire); err != nil {
		t.Fatal(err)
	}
	return m
}

func question(name string, qtype uint16) *dns.Msg {
	r := new(dns.Msg).SetQuestion(name, qtype)
	r.SetEdns0(1232, true)
	return r
}

func types(section []dns.RR) string {
	var out []string
	for _, rr := range section {
		out = append(out, dns.TypeToString[rr.Header().Rrtype])
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), " ")
}

// DESIGN 5: what exists in a policy-only zone, and what each type is answered with.
func TestPolicyOnlyZone(t *testing.T) {
	t.Parallel()
	h, _ := build(t, testPolicy, keyFiles(t, "example.org.", "sub.example.org."), nil)
	for _, c := range []struct {
		name           string
		qtype          uint16
		rcode          int
		answer, denial string // types of the answer; of the NSEC's bitmap
	}{
		{"example.org.", dns.TypeCAA, 0, "CAA RRSIG", ""},
		{"example.org.", dns.TypeSOA, 0, "RRSIG SOA", ""},
		{"example.org.", dns.TypeNS, 0, "NS RRSIG", ""},
		{"example.org.", dns.TypeDNSKEY, 0, "DNSKEY RRSIG", ""},
		{"example.org.", dns.TypeMX, 0, "", "NS SOA RRSIG NSEC DNSKEY CAA"},
		{"example.org.", dns.TypeDS, 0, "", "NS SOA RRSIG NSEC DNSKEY CAA"}, // the parent's question (RFC 4035 3.1.4.1)
		{"example.org.", dns.TypeANY, 0, "CAA RRSIG", ""},                   // RFC 8482 4.1
		{"example.org.", dns.TypeRRSIG, 0, "RRSIG", ""},
		{"ns1.example.org.", dns.TypeA, 0, "A RRSIG", ""},
		{"ns1.example.org.", dns.TypeAAAA, 0, "AAAA RRSIG", ""},
		{"ns1.example.org.", dns.TypeMX, 0, "", "A AAAA RRSIG NSEC CAA"},
		{"shop.example.org.", dns.TypeCAA, 0, "CAA RRSIG", ""},
		{"deep.er.shop.example.org.", dns.TypeCAA, 0, "CAA RRSIG", ""},
		{"deep.er.shop.example.org.", dns.TypeA, 0, "", "RRSIG NSEC CAA"},
		{"*.example.org.", dns.TypeCAA, 0, "CAA RRSIG", ""},
		{"WwW.eXample.ORG.", dns.TypeCAA, 0, "CAA RRSIG", ""},
		{"www.example.org.", dns.TypeNSEC, 0, "NSEC RRSIG", ""},
		{"_acme-challenge.www.example.org.", dns.TypeTXT, 0, "CNAME RRSIG", ""},
		{"_acme-challenge.www.example.org.", dns.TypeCAA, 0, "CNAME RRSIG", ""}, // RFC 1034 3.6.2
		{"_acme-challenge.www.example.org.", dns.TypeNSEC, 0, "NSEC RRSIG", ""},
		{"_acme-challenge.plain.example.org.", dns.TypeTXT, 0, "", "RRSIG NSEC CAA"},
		{"sub.example.org.", dns.TypeDS, 0, "DS RRSIG", ""},
		{"x.sub.example.org.", dns.TypeCAA, 0, "CAA RRSIG", ""},
		{"www.example.org.", dns.TypeNXNAME, dns.RcodeFormatError, "", ""}, // RFC 9824 3.5
		{"example.org.", dns.TypeAXFR, dns.RcodeRefused, "", ""},
	} {
		m := ask(t, h, question(c.name, c.qtype), true)
		name := c.name + " " + dns.TypeToString[c.qtype]
		if m.Rcode != c.rcode || types(m.Answer) != c.answer {
			t.Errorf("%s: rcode %d, answer %q; want %d, %q", name, m.Rcode, types(m.Answer), c.rcode, c.answer)
		}
		if m.Question[0].Name != c.name {
			t.Errorf("%s: the question came back as %s", name, m.Question[0].Name)
		}
		for _, rr := range m.Ns {
			if nsec, ok := rr.(*dns.NSEC); ok && bitmap(nsec) != c.denial {
				t.Errorf("%s: denied with the bitmap %s, want %s", name, bitmap(nsec), c.denial)
			}
		}
		if c.denial != "" && types(m.Ns) != "NSEC RRSIG SOA" {
			t.Errorf("%s: authority %q", name, types(m.Ns))
		}
		verify(t, h, m)
	}
}

func bitmap(nsec *dns.NSEC) string {
	var out []string
	for _, n := range nsec.TypeBitMap {
		out = append(out, dns.TypeToString[n])
	}
	return strings.Join(out, " ")
}

// notSigned reports whether a record of an answer is one that has no signature: a CNAME made from
// DNAME (RFC 6672 5.3.1), the NS of a referral and addresses beside them (RFC 4035 2.2), and what lies
// in another zone.
func notSigned(m *dns.Msg, rr dns.RR) bool {
	h := rr.Header()
	made := slices.ContainsFunc(m.Answer, func(other dns.RR) bool { return makes(other, rr) })
	cut := !m.Authoritative && (h.Rrtype == dns.TypeNS || slices.Contains(m.Extra, rr))
	return made || cut || !dns.IsSubDomain("example.org.", h.Name)
}

// makes reports whether a record is a DNAME, and the other one the CNAME that is made from it.
func makes(from, rr dns.RR) bool {
	dname, ok := from.(*dns.DNAME)
	cname, isCNAME := rr.(*dns.CNAME)
	if !ok || !isCNAME {
		return false
	}
	prefix, below := strings.CutSuffix(strings.ToLower(cname.Hdr.Name), "."+strings.ToLower(dname.Hdr.Name))
	return below && strings.EqualFold(cname.Target, prefix+"."+strings.TrimPrefix(dname.Target, "."))
}

// verify checks every RRSIG of an answer with the keys as served, and that nothing is unsigned.
func verify(t *testing.T, h *built, m *dns.Msg) {
	t.Helper()
	for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		sets := map[string][]dns.RR{}
		var sigs []*dns.RRSIG
		for _, rr := range section {
			switch rr := rr.(type) {
			case *dns.RRSIG:
				sigs = append(sigs, rr)
			case *dns.OPT:
			default:
				if notSigned(m, rr) {
					continue
				}
				key := fmt.Sprintf("%s %d", strings.ToLower(rr.Header().Name), rr.Header().Rrtype)
				sets[key] = append(sets[key], rr)
			}
		}
		for _, sig := range sigs {
			key := fmt.Sprintf("%s %d", strings.ToLower(sig.Hdr.Name), sig.TypeCovered)
			if sets[key] == nil {
				continue // RRSIG was asked for by itself
			}
			keys := ask(t, h, question(sig.SignerName, dns.TypeDNSKEY), true)
			err := errors.New("no such key is served")
			for _, rr := range keys.Answer {
				if key, ok := rr.(*dns.DNSKEY); ok && key.KeyTag() == sig.KeyTag {
					err = sig.Verify(key, sets[fmt.Sprintf("%s %d", strings.ToLower(sig.Hdr.Name), sig.TypeCovered)])
				}
			}
			if err != nil {
				t.Errorf("%s does not verify: %v", sig, err)
			}
			delete(sets, key)
		}
		if len(sets) > 0 && len(sigs) > 0 {
			t.Errorf("unsigned in a signed answer: %v", sets)
		}
	}
}

func TestEDNS(t *testing.T) {
	t.Parallel()
	h, _ := build(t, testPolicy, "key auto $DIR/keys", nil)
	plain := new(dns.Msg).SetQuestion("www.example.org.", dns.TypeMX)
	if m := ask(t, h, plain, false); m.IsEdns0() != nil || types(m.Ns) != "SOA" {
		t.Errorf("without EDNS there is no OPT and no DNSSEC: %v", m)
	}
	r := question("www.example.org.", dns.TypeCAA)
	r.IsEdns0().SetDo(false)
	if m := ask(t, h, r, false); m.IsEdns0() == nil || m.IsEdns0().Do() || types(m.Answer) != "CAA" {
		t.Errorf("DO is copied (RFC 3225 3): %v", m)
	}
	r = question("www.example.org.", dns.TypeCAA)
	r.CheckingDisabled, r.RecursionDesired = true, false
	if m := ask(t, h, r, false); !m.CheckingDisabled || m.RecursionDesired || !m.Authoritative {
		t.Errorf("CD and RD are copied (RFC 4035 3.1.6): %v", m.MsgHdr)
	}
}

func TestTruncation(t *testing.T) {
	t.Parallel()
	var accounts []string
	for i := range 40 {
		accounts = append(accounts, fmt.Sprintf("'https://acme-v02.api.letsencrypt.org/acme/acct/%d'", i))
	}
	long := strings.Replace(testPolicy, "{domain: letsencrypt.org}", "{domain: letsencrypt.org, accounts: ["+strings.Join(accounts, ", ")+"]}", 1)
	h, _ := build(t, long, "key auto $DIR/keys", nil)
	m := ask(t, h, question("www.example.org.", dns.TypeCAA), false)
	if !m.Truncated || len(m.Answer) > 0 || m.IsEdns0() == nil {
		t.Errorf("over UDP: TC %v, %d records (RFC 9715 3.2)", m.Truncated, len(m.Answer))
	}
	if m := ask(t, h, question("www.example.org.", dns.TypeCAA), true); m.Truncated || len(m.Answer) != 40+2+1 {
		t.Errorf("over TCP: TC %v, %d records", m.Truncated, len(m.Answer))
	}
}

// A flood of random names leaves the answers of the policy's names where they are.
func TestFloodEvictsNothing(t *testing.T) {
	t.Parallel()
	h, _ := build(t, testPolicy, "key auto $DIR/keys", nil)
	before := ask(t, h, question("www.example.org.", dns.TypeCAA), true)
	for i := range 2 * zones.TransientAnswers / 16 {
		ask(t, h, question(fmt.Sprintf("r%d.example.org.", i), dns.TypeA), true)
	}
	after := ask(t, h, question("www.example.org.", dns.TypeCAA), true)
	if fmt.Sprint(before.Answer) != fmt.Sprint(after.Answer) {
		t.Error("the answer for a required name was signed again")
	}
}

// Prepared answers have begun when they are served, also once the clock was set back (RFC 4035 5.3.1).
func TestClockIsSetBack(t *testing.T) {
	t.Parallel()
	h, _ := build(t, testPolicy, keyFiles(t, "example.org.", "sub.example.org."), nil)
	clock := time.Now()
	now := func() time.Time { return clock }
	h.loader.layout.signer = zonesign.NewSigner(zonesign.Config{Now: now})
	h.loader.layout.now = now
	h.loader.rekey()
	for _, back := range []time.Duration{0, time.Minute, 8 * time.Hour} {
		clock = clock.Add(-back)
		for _, name := range []string{"www.example.org.", "random.example.org."} { // kept with the name, and with others
			for _, rr := range ask(t, h, question(name, dns.TypeCAA), true).Answer {
				if sig, ok := rr.(*dns.RRSIG); ok && !sig.ValidityPeriod(clock) {
					t.Errorf("set back by %v: the signature of %s begins at %s", back, name, dns.TimeToString(sig.Inception))
				}
			}
		}
	}
}

// fewNames is a next plugin with a few names.
var fewNames = test.HandlerFunc(func(_ context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
	m := new(dns.Msg).SetReply(r)
	m.Authoritative = true
	soa := test.SOA("example.org. 300 IN SOA ns. h. 1 1 1 1 300")
	switch name := strings.ToLower(r.Question[0].Name); {
	case name == "alias.example.org.":
		m.Answer = []dns.RR{test.CNAME("alias.example.org. 300 IN CNAME elsewhere.example.com.")}
	case strings.HasSuffix(name, "cut.example.org."):
		m.Authoritative = false
		m.Ns = []dns.RR{test.NS("cut.example.org. 300 IN NS ns.example.com.")}
	case name == "broken.example.org." || name == "shop.example.org.":
		return dns.RcodeServerFailure, nil
	case name == "www.example.org." && r.Question[0].Qtype == dns.TypeA:
		m.Answer = []dns.RR{test.A("www.example.org. 300 IN A 192.0.2.1")}
	case name == "www.example.org." || name == "example.org.":
		m.Ns = []dns.RR{soa}
	default:
		m.Rcode, m.Ns = dns.RcodeNameError, []dns.RR{soa}
	}
	w.WriteMsg(m)
	return m.Rcode, nil
})

// extendedError is the first of a message's extended errors, or 0xFFFF.
func extendedError(m *dns.Msg) uint16 {
	if opt := m.IsEdns0(); opt != nil {
		for _, option := range opt.Option {
			if ede, ok := option.(*dns.EDNS0_EDE); ok {
				return ede.InfoCode
			}
		}
	}
	return 0xFFFF
}

func TestUnsignedOverlay(t *testing.T) {
	t.Parallel()
	const overlay = "version: 1\nissuers: {le: {domain: letsencrypt.org}}\nzones:\n  example.org: {issue: [le], names: {shop: {issue: none}, new.ent: {issue: none}}}\n"
	h, _ := build(t, overlay, "unsigned", fewNames)
	for _, c := range []struct {
		name   string
		qtype  uint16
		rcode  int
		answer string
	}{
		{"www.example.org.", dns.TypeCAA, 0, "CAA"},
		{"www.example.org.", dns.TypeA, 0, "A"},
		{"www.example.org.", dns.TypeMX, 0, ""},
		{"example.org.", dns.TypeCAA, 0, "CAA"},
		{"nope.example.org.", dns.TypeCAA, dns.RcodeNameError, ""},
		{"alias.example.org.", dns.TypeCAA, 0, "CNAME"},
		{"x.cut.example.org.", dns.TypeCAA, 0, ""},
		{"new.ent.example.org.", dns.TypeCAA, 0, "CAA"}, // a node exists, and so do its ancestors
		{"ent.example.org.", dns.TypeCAA, 0, "CAA"},
		{"ent.example.org.", dns.TypeA, 0, ""},
		{"shop.example.org.", dns.TypeCAA, 0, "CAA"}, // the next plugin fails, the policy knows the name
	} {
		m := ask(t, h, question(c.name, c.qtype), true)
		if m.Rcode != c.rcode || types(m.Answer) != c.answer {
			t.Errorf("%s %s: rcode %d, answer %q; want %d, %q", c.name, dns.TypeToString[c.qtype], m.Rcode, types(m.Answer), c.rcode, c.answer)
		}
	}
	rec := dnstest.NewRecorder(&test.ResponseWriter{})
	_, err := h.ServeDNS(context.Background(), rec, question("broken.example.org.", dns.TypeCAA))
	if err == nil || rec.Rcode != dns.RcodeServerFailure || extendedError(rec.Msg) != dns.ExtendedErrorCodeNotReady {
		t.Errorf("a name that nobody knows of must fail, and say why (RFC 8914): %v\n%v", err, rec.Msg)
	}
}

func TestCorefileErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ block, want string }{
		{"caa", "the policy file is missing"},
		{"\ncaa p.yaml {\nreload off\n}", ":2 - Error during parsing: no signing option"},
		{"caa p.yaml {\nunsigned\nkey auto k\n}", ":2 - Error during parsing: key and unsigned exclude each other"},
		{"caa p.yaml {\nunsigned\nunsigned\n}", `duplicate option "unsigned": the first is on line 2`},
		{"caa p.yaml {\nkeys auto k\n}", `unknown option "keys"`},
		{"caa p.yaml {\nkey auto\n}", "write key auto DIRECTORY"},
		{"caa p.yaml {\nkey auto a b\n}", "takes one directory"},
		{"caa p.yaml {\nunsigned\nreload soon\n}", "invalid reload"},
		{"caa p.yaml {\nunsigned\nreload 1ms\n}", "at least 100ms"},
		{"caa p.yaml {\nunsigned\nissuer\n}", "write issuer DOMAIN"},
		{"caa p.yaml {\nunsigned\nissuer digicert\n}", `:3 - Error during parsing: "digicert" is not an Issuer Domain Name: did you mean digicert.com?`},
		{"caa p.yaml {\nunsigned\nissuer LetsEncrypt www.example.org\n}", "did you mean letsencrypt.org?"},
		{"caa p.yaml {\nkey auto k\nttl 0s\n}", "want whole seconds, from 1s to a week"},
		{"caa p.yaml {\nkey auto k\nttl 1500ms\n}", "want whole seconds"},
		{"caa p.yaml {\nkey auto k\nparent\n}", "write parent via RESOLVER..."},
		{"caa p.yaml {\nkey auto k\nparent via\n}", "write parent via RESOLVER..."},
		{"caa p.yaml {\nkey auto k\nparent off 192.0.2.1\n}", "write parent via RESOLVER..."},
		{"caa p.yaml {\nkey auto k\nparent via ns.example.org\n}", `"ns.example.org" is not an IP address`},
		{"caa p.yaml {\nkey auto k\nparent at 192.0.2.1:0\n}", `"192.0.2.1:0" is not an IP address`},
		{"caa p.yaml {\nkey auto k\nparent off\nparent off\n}", `duplicate option "parent"`},
		{"caa p.yaml example.org {\nkey auto k\norphan\n}", "write orphan ZONE..."},
		{"caa p.yaml example.org {\nkey auto k\norphan example.net\n}", "this block does not serve example.net"},
		{"caa p.yaml {\nkey auto k\nroll safety\n}", "write roll SETTING VALUE"},
		{"caa p.yaml {\nkey auto k\nroll speed 1h\n}", `unknown setting roll speed: the settings are algorithm, backup-age, csk-lifetime`},
		{"caa p.yaml {\nkey auto k\nroll safety fast\n}", "want a duration such as 90m, 24h or 30d"},
		{"caa p.yaml {\nkey auto k\nroll safety 1h30d\n}", "want a duration such as 90m, 24h or 30d"},
		{"caa p.yaml {\nkey auto k\nroll safety 99999d\n}", "want a duration such as 90m, 24h or 30d"},
		{"caa p.yaml {\nkey auto k\nroll algorithm md5\n}", `invalid roll algorithm "md5": want ecdsap256sha256 or ed25519 or rsasha256`},
		{"caa p.yaml {\nkey auto k\nroll safety 1h\nroll safety 2h\n}", "duplicate option roll safety"},
		{"caa p.yaml {\nkey auto k\nroll safety -1h\n}", "want a duration such as 90m, 24h or 30d"},
		{"caa p.yaml {\nkey auto k\nroll heartbeat 2h\nreload off\n}", ":3 - Error during parsing: heartbeat 2h0m0s: with propagation"},
		{"caa p.yaml {\nkey file k\nroll safety 1h\n}", ":3 - Error during parsing: roll needs key auto"},
		{"caa p.yaml {\nunsigned\ncosigner f\n}", ":3 - Error during parsing: cosigner needs signed zones"},
		{"caa p.yaml {\nkey auto k\ncosigner\n}", "write cosigner FILE..."},
		{"caa p.yaml {\nunsigned\n}\ncaa q.yaml {\nunsigned\n}", "one caa block"},
	} {
		_, err := parseConfig(caddy.NewTestController("dns", c.block))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %s", c.block, err, c.want)
		}
	}
}

// What cannot be opened is named by its absolute path, with the line of the Corefile where it is written.
func TestCorefilePathErrors(t *testing.T) {
	t.Chdir(t.TempDir())
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"file": "", "a.txt": "a.example.org. 60 IN A 192.0.2.1\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ block, want string }{
		{"key file Kexample.org.+013+00001", "Testfile:2:1: key file: open FOLDER/Kexample.org.+013+00001.key: no such file or directory"},
		{"key auto keys\n\ncosigner b.txt", "Testfile:4:1: cosigner: open FOLDER/b.txt: no such file or directory"},
		{"key auto keys\ncosigner a.txt", "Testfile:3:1: cosigner FOLDER/a.txt: the file has the record a.example.org. A: it may have DNSKEY records only"},
		{"key auto keys\nstate file/state", "Testfile:3:1: state: mkdir FOLDER/file: not a directory"},
		{"key auto file/keys\nparent off", "Testfile:2:1: key auto FOLDER/file/keys: mkdir FOLDER/file: not a directory"},
		{"unsigned\nparent off", "Testfile:1:1: cannot open the policy FOLDER/p.yaml: no such file or directory"},
	} {
		cfg, err := parseConfig(caddy.NewTestController("dns", "caa p.yaml example.org {\n"+c.block+"\n}"))
		if err != nil {
			t.Fatal(err)
		}
		b, err := newBlock(cfg, &dnsserver.Config{}, nil, cfg.keyring())
		if err == nil {
			if strings.Contains(c.block, "file/keys") {
				_ = os.WriteFile("p.yaml", []byte("version: 1\nzones: {example.org: {issue: none, nameservers: [{name: ns.example.net}]}}\n"), 0o600)
			}
			err = newLoader(b, surroundings{routes: newRoutes(b)}).source.Start(nil)
			_ = os.Remove("p.yaml")
		}
		if want := strings.ReplaceAll(c.want, "FOLDER", folder); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", c.block, err, want)
		}
	}
}

func TestReloadAndLastGood(t *testing.T) {
	t.Parallel()
	h, dir := build(t, testPolicy, "key auto $DIR/keys\nstate $DIR/state", nil)
	l := h.loader
	file := filepath.Join(dir, "caa.yaml")
	good := l.block.serving().policy.Revision
	replace := func(text string) {
		t.Helper()
		next := file + ".next"
		if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, file); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"broken YAML":             "version: [",
		"empty":                   "",
		"locks a certificate out": strings.Replace(testPolicy, "issue: [le]\n    issuewild", "issue: none\n    issuewild", 1),
		"drops the certificate and its issuer at once": "version: 1\nzones:\n  example.org: {issue: none, nameservers: [{name: ns.example.net}]}\n",
	} {
		replace(text)
		l.look()
		l.look()
		if got := l.block.serving().policy.Revision; got != good || l.source.Status().Problem == "" {
			t.Errorf("%s: revision %s is served, want %s; status %+v", name, got, good, l.source.Status())
		}
	}
	// A restart with the refused file serves the last good one.
	again := begin(t, l.cfg, nil).loader
	if again.block.serving().policy.Revision != good || again.source.Status().Problem == "" {
		t.Error("after a restart the last good policy is not served")
	}
	// Deleted: the status reports it, and the policy is still served.
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	l.look()
	l.look()
	if l.block.serving().policy.Revision != good || !strings.Contains(string(l.source.Status().Problem), "no such file") {
		t.Error("a deleted file took its policy along")
	}
	replace(strings.Replace(testPolicy, "names: {shop: {issue: none}", "names: {shop: {issue: [le]}", 1))
	l.look()
	l.look()
	if l.block.serving().policy.Revision == good || l.source.Status().Problem != "" {
		t.Errorf("the fixed policy is not served: %s", l.source.Status().Problem)
	}
}

// When CoreDNS restarts itself without a state, what the instance before serves is what the file is held against.
func TestRestartOnAHalf(t *testing.T) {
	t.Parallel()
	h, dir := build(t, testPolicy, "unsigned", nil)
	live.add(h.loader)
	defer live.remove(h.loader)
	write(t, filepath.Join(dir, "caa.yaml"), testPolicy[:strings.Index(testPolicy, "certificates")])
	good := h.loader.block.serving().policy.Revision
	if again := begin(t, h.loader.cfg, nil).loader; again.block.serving().policy.Revision != good || !again.source.Status().Waits {
		t.Errorf("status %+v", again.source.Status())
	}
}

// Any question that CoreDNS lets through gets one answer that can be packed, and no panic.
func FuzzRequest(f *testing.F) {
	for _, r := range []*dns.Msg{question("www.example.org.", dns.TypeCAA), question("_acme-challenge.x.example.org.", dns.TypeTXT), question("example.org.", dns.TypeANY)} {
		wire, _ := r.Pack()
		f.Add(wire)
	}
	h, _ := build(f, testPolicy, "key auto $DIR/keys", nil)
	f.Fuzz(func(t *testing.T, wire []byte) {
		r := new(dns.Msg)
		if r.Unpack(wire) != nil || len(r.Question) != 1 || r.Response {
			return
		}
		rec := dnstest.NewRecorder(&test.ResponseWriter{})
		code, err := h.ServeDNS(context.Background(), rec, r)
		if rec.Msg == nil && plugin.ClientWrite(code) {
			t.Fatalf("no answer to %v: %d, %v", r, code, err)
		}
		if rec.Msg != nil {
			if _, err := rec.Msg.Pack(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzCorefile(f *testing.F) {
	f.Add("caa p.yaml {\nunsigned\n}")
	f.Add("caa p.yaml a b {\nkey file x y\nissuer a b\nreload 3s\nstate s\n}")
	f.Add("caa p.yaml a {\nkey auto k\nttl 1s\nparent via 192.0.2.1 [::1]:53\norphan a\nroll keys split\nroll zsk-lifetime 1.5d\ncosigner f\n}")
	f.Fuzz(func(t *testing.T, block string) {
		cfg, err := parseConfig(caddy.NewTestController("dns", block))
		if err == nil && cfg.file != "" && cfg.unsigned == (cfg.keyDir != "" || len(cfg.keyFiles) > 0) {
			t.Errorf("%q: neither signed nor unsigned, or both: %+v", block, cfg)
		}
	})
}

// discard is a writer that costs nothing.
type discard struct{ test.ResponseWriter }

func (*discard) Write(b []byte) (int, error) { return len(b), nil }
func (*discard) WriteMsg(*dns.Msg) error     { return nil }
func (*discard) RemoteAddr() net.Addr        { return &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4000} }

func BenchmarkWarm(b *testing.B) {
	h, _ := build(b, testPolicy, "key auto $DIR/keys", nil)
	h.loader.layout.packed = true
	h.loader.serveKeys()
	r, w := question("www.example.org.", dns.TypeCAA), &discard{}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.ServeDNS(context.Background(), w, r); err != nil {
			b.Fatal(err)
		}
	}
}

// As in the server, each query has a goroutine of its own.
func BenchmarkRandom(b *testing.B) {
	h, _ := build(b, testPolicy, "key auto $DIR/keys", nil)
	h.loader.layout.packed = true
	h.loader.serveKeys()
	w, served := &discard{}, make(chan error)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r := question(fmt.Sprintf("r%d.example.org.", i), dns.TypeA)
		go func() {
			_, err := h.ServeDNS(context.Background(), w, r)
			served <- err
		}()
		if err := <-served; err != nil {
			b.Fatal(err)
		}
	}
}

// look loads the file if it has changed and rests, and waits until it is judged.
func (l *loader) look() {
	l.source.Look()
	l.settle()
}

// settle waits until what is being judged is judged, and acts on it.
func (l *loader) settle() {
	if judged := l.source.Judged(); judged != nil {
		l.source.Decide(<-judged)
	}
}
