package wire

import (
	"crypto"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// zone is one whose answers the tests make and sign themselves, with a library of its own.
type zone struct {
	Zone
	signers []crypto.Signer
}

func newZone(t *testing.T, apex string, cuts ...string) *zone {
	t.Helper()
	z := &zone{Zone: Zone{Apex: apex, Cuts: cuts}}
	for _, flags := range []uint16{257, 256} {
		key := &dns.DNSKEY{Hdr: dns.RR_Header{Name: apex, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 3600}, Flags: flags, Protocol: 3, Algorithm: dns.ECDSAP256SHA256}
		private, err := key.Generate(256)
		if err != nil {
			t.Fatal(err)
		}
		z.Keys = append(z.Keys, key)
		z.signers = append(z.signers, private.(crypto.Signer))
	}
	return z
}

// sign signs an RRset with the KSK where it must, else with the ZSK.
func (z *zone) sign(t *testing.T, rrs []dns.RR) *dns.RRSIG {
	t.Helper()
	i := 1
	if secured[rrs[0].Header().Rrtype] {
		i = 0
	}
	return z.signWith(t, i, rrs)
}

func (z *zone) signWith(t *testing.T, i int, rrs []dns.RR) *dns.RRSIG {
	t.Helper()
	sig := &dns.RRSIG{Hdr: dns.RR_Header{Ttl: rrs[0].Header().Ttl}, Algorithm: dns.ECDSAP256SHA256, SignerName: z.Apex, KeyTag: z.Keys[i].KeyTag(),
		Inception: uint32(now.Add(-time.Hour).Unix()), Expiration: uint32(now.Add(14 * 24 * time.Hour).Unix())}
	if err := sig.Sign(z.signers[i], rrs); err != nil {
		t.Fatal(err)
	}
	return sig
}

// good is an answer in the making: "!" before a record puts it into the authority section, "+" into the
// additional one, "-" leaves it unsigned. Records of one owner and type stand together.
type good struct {
	what    string
	name    string
	qtype   uint16
	records string
	change  func(*dns.Msg) // of the question
	rcode   int
	refers  bool
	kind    Kind
}

const soa = "!example.org. 60 SOA ns1.example.org. h.example.org. 1 7200 3600 1209600 60\n"

var goods = []good{
	{what: "data", name: "WWW.example.org.", qtype: dns.TypeA, records: "www.example.org. 300 A 192.0.2.1\nwww.example.org. 300 A 192.0.2.2", kind: Data},
	{what: "data without DO", name: "www.example.org.", qtype: dns.TypeA, records: "-www.example.org. 300 A 192.0.2.1", change: noDO, kind: Data},
	{what: "data without EDNS", name: "www.example.org.", qtype: dns.TypeA, records: "-www.example.org. 300 A 192.0.2.1", change: func(m *dns.Msg) { m.Extra = nil }, kind: Data},
	{what: "an unsigned zone's data", name: "www.plain.example.", qtype: dns.TypeA, records: "-www.plain.example. 300 A 192.0.2.1", kind: Data},
	{what: "ANY", name: "www.example.org.", qtype: dns.TypeANY, records: `www.example.org. 300 CAA 0 issue ";"`, kind: Data},
	{what: "NS with addresses", name: "example.org.", qtype: dns.TypeNS, records: "example.org. 300 NS ns1.example.org.\n+ns1.example.org. 300 A 192.0.2.1", kind: Data},
	{what: "DS below", name: "signed.example.org.", qtype: dns.TypeDS, records: "signed.example.org. 300 DS 1 13 2 " + digest, kind: Data},
	{what: "NSEC", name: "www.example.org.", qtype: dns.TypeNSEC, records: `www.example.org. 60 NSEC \000.www.example.org. A RRSIG NSEC CAA`, kind: Data},
	{what: "NSEC of no name", name: "nope.example.org.", qtype: dns.TypeNSEC, records: `nope.example.org. 60 NSEC \000.nope.example.org. RRSIG NSEC NXNAME`, kind: Data},
	{what: "no data", name: "www.example.org.", qtype: dns.TypeMX, records: soa + `!www.example.org. 60 NSEC \000.www.example.org. A RRSIG NSEC CAA`, kind: NoData},
	{what: "no data at the apex", name: "example.org.", qtype: dns.TypeMX, records: soa + `!example.org. 60 NSEC \000.example.org. NS SOA RRSIG NSEC DNSKEY CAA`, kind: NoData},
	{what: "no DS", name: "cut.example.org.", qtype: dns.TypeDS, records: soa + `!cut.example.org. 60 NSEC \000.cut.example.org. NS RRSIG NSEC`, kind: NoData},
	{what: "no name", name: "nope.example.org.", qtype: dns.TypeMX, records: soa + `!nope.example.org. 60 NSEC \000.nope.example.org. RRSIG NSEC NXNAME`, kind: NoName},
	{what: "no name with CO", name: "nope.example.org.", qtype: dns.TypeMX, records: soa + `!nope.example.org. 60 NSEC \000.nope.example.org. RRSIG NSEC NXNAME`,
		change: func(m *dns.Msg) { m.IsEdns0().SetCo(true) }, rcode: dns.RcodeNameError, kind: NoName},
	{what: "no name without DO", name: "nope.example.org.", qtype: dns.TypeMX, records: strings.Replace(soa, "!", "-!", 1), change: noDO, rcode: dns.RcodeNameError, kind: NoName},
	{what: "an alias", name: "alias.example.org.", qtype: dns.TypeA, records: "alias.example.org. 300 CNAME www.example.org.\nwww.example.org. 300 A 192.0.2.1", kind: Data},
	{what: "CNAME itself", name: "alias.example.org.", qtype: dns.TypeCNAME, records: "alias.example.org. 300 CNAME www.example.org.", kind: Data},
	{what: "an alias to another zone of ours", name: "alias.example.org.", qtype: dns.TypeA, records: "alias.example.org. 300 CNAME www.plain.example.\n-www.plain.example. 300 A 192.0.2.1", kind: Data},
	{what: "an alias to elsewhere", name: "alias.example.org.", qtype: dns.TypeA, records: "alias.example.org. 300 CNAME www.example.net.\n-www.example.net. 300 A 192.0.2.1", kind: Elsewhere},
	{what: "a loop", name: "alias.example.org.", qtype: dns.TypeA, records: "alias.example.org. 300 CNAME alias2.example.org.\nalias2.example.org. 300 CNAME alias.example.org.", kind: Elsewhere},
	{what: "an alias to nothing", name: "alias.example.org.", qtype: dns.TypeA, records: "alias.example.org. 300 CNAME nope.example.org.\n" + soa + `!nope.example.org. 60 NSEC \000.nope.example.org. RRSIG NSEC NXNAME`, kind: NoName},
	{what: "below DNAME", name: "www.d.example.org.", qtype: dns.TypeA, records: "d.example.org. 300 DNAME example.org.\n-www.d.example.org. 300 CNAME www.example.org.\nwww.example.org. 300 A 192.0.2.1", kind: Data},
	{what: "a referral", name: "www.cut.example.org.", qtype: dns.TypeA, refers: true, kind: Referral,
		records: "-!cut.example.org. 300 NS ns.cut.example.org.\n!cut.example.org. 60 NSEC \\000.cut.example.org. NS RRSIG NSEC\n-+ns.cut.example.org. 300 A 192.0.2.1"},
	{what: "a referral to a signed zone", name: "www.signed.example.org.", qtype: dns.TypeA, refers: true, kind: Referral,
		records: "-!signed.example.org. 300 NS ns1.example.org.\n!signed.example.org. 300 DS 1 13 2 " + digest + "\n+ns1.example.org. 300 A 192.0.2.1"},
	{what: "truncated", name: "www.example.org.", qtype: dns.TypeTXT, kind: Truncated},
	{what: "a failure", name: "www.example.org.", qtype: dns.TypeA, rcode: dns.RcodeServerFailure, kind: Failure},
	{what: "DNSKEY", name: "example.org.", qtype: dns.TypeDNSKEY, kind: Data},
}

const digest = "0000000000000000000000000000000000000000000000000000000000000000"

func noDO(m *dns.Msg) { m.IsEdns0().SetDo(false) }

// world is the zones of the tests, and how their answers are made.
type world struct{ signed, plain *zone }

func newWorld(t *testing.T) world {
	t.Helper()
	return world{newZone(t, "example.org.", "cut.example.org.", "signed.example.org."), &zone{Zone: Zone{Apex: "plain.example."}}}
}

func (w world) zones() Zones { return Zones{w.signed.Zone, w.plain.Zone} }

func (w world) make(t *testing.T, g good) (asked, m *dns.Msg) {
	t.Helper()
	asked = new(dns.Msg).SetQuestion(g.name, g.qtype)
	asked.SetEdns0(1232, true)
	if g.change != nil {
		g.change(asked)
	}
	m = new(dns.Msg).SetRcode(asked, g.rcode)
	m.Authoritative = !g.refers
	w.fill(t, g, m)
	if g.kind == Truncated {
		m.Truncated = true
	}
	if opt := asked.IsEdns0(); opt != nil {
		m.SetEdns0(1232, opt.Do())
		m.IsEdns0().SetCo(opt.Co())
		if g.kind == Failure {
			m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeOther}}
		}
	}
	return asked, m
}

func (w world) fill(t *testing.T, g good, m *dns.Msg) {
	t.Helper()
	var rrs []dns.RR
	section, unsigned := &m.Answer, false
	flush := func() {
		if len(rrs) > 0 && !unsigned {
			rrs = append(rrs, w.signed.sign(t, rrs))
		}
		*section = append(*section, rrs...)
		rrs = nil
	}
	if g.qtype == dns.TypeDNSKEY {
		for _, key := range w.signed.Keys {
			rrs = append(rrs, key)
		}
	}
	for line := range strings.Lines(g.records) {
		text := strings.TrimLeft(line, "-!+")
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		if len(rrs) > 0 && (rr.Header().Name != rrs[0].Header().Name || rr.Header().Rrtype != rrs[0].Header().Rrtype) {
			flush()
		}
		marks := strings.TrimSuffix(line, text)
		unsigned, section = strings.Contains(marks, "-"), &m.Answer
		switch {
		case strings.Contains(marks, "!"):
			section = &m.Ns
		case strings.Contains(marks, "+"):
			section = &m.Extra
		}
		rrs = append(rrs, rr)
	}
	flush()
}

func TestGoodAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, g := range goods {
		asked, m := w.make(t, g)
		meaning, faults := w.zones().Check(asked, pack(t, m), now)
		if meaning.Kind != g.kind || len(faults) > 0 {
			t.Errorf("%s: %v for %v, %v in\n%v", g.what, meaning.Kind, g.kind, faults, m)
		}
	}
}

func pack(t *testing.T, m *dns.Msg) []byte {
	t.Helper()
	wire, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return wire
}

// resign replaces the signature over a record that a mutation has changed.
func (w world) resign(t *testing.T, section []dns.RR, sig int, rrs ...dns.RR) {
	t.Helper()
	made := w.signed.sign(t, rrs)
	made.Hdr.Ttl = section[sig].Header().Ttl
	section[sig] = made
}

// Each mutation of a good answer is found, by the rule that it breaks.
func TestMutations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := newZone(t, "example.org.")
	sigOf := func(m *dns.Msg, i int) *dns.RRSIG { return m.Answer[i].(*dns.RRSIG) }
	nsecOf := func(m *dns.Msg) *dns.NSEC { return m.Ns[2].(*dns.NSEC) }
	withTypes := func(types ...uint16) func(*dns.Msg) {
		return func(m *dns.Msg) {
			nsecOf(m).TypeBitMap = types
			w.resign(t, m.Ns, 3, m.Ns[2])
		}
	}
	for _, c := range []struct {
		what   string // of the good answers
		how    string
		mutate func(*dns.Msg)
		rule   Rule
	}{
		{"data", "the question in lower case", func(m *dns.Msg) { m.Question[0].Name = "www.example.org." }, Question},
		{"data", "not a response", func(m *dns.Msg) { m.Response = false }, Header},
		{"data", "AD", func(m *dns.Msg) { m.AuthenticatedData = true }, Header},
		{"data", "another id", func(m *dns.Msg) { m.Id++ }, Header},
		{"data", "no AA", func(m *dns.Msg) { m.Authoritative = false }, Authority},
		{"data", "no EDNS", func(m *dns.Msg) { m.Extra = nil }, EDNS},
		{"data", "no DO", func(m *dns.Msg) { m.IsEdns0().SetDo(false) }, EDNS},
		{"data without EDNS", "EDNS", func(m *dns.Msg) { m.SetEdns0(1232, false) }, EDNS},
		{"data", "no signature", func(m *dns.Msg) { m.Answer = m.Answer[:2] }, Signed},
		{"data", "a record less than was signed", func(m *dns.Msg) { m.Answer = m.Answer[1:] }, Cryptography},
		{"data", "other data", func(m *dns.Msg) { m.Answer[0].(*dns.A).A = []byte{192, 0, 2, 9} }, Cryptography},
		{"data", "a record twice", func(m *dns.Msg) { m.Answer = append(m.Answer, dns.Copy(m.Answer[0])) }, RRset},
		{"data", "two TTLs", func(m *dns.Msg) { m.Answer[0].Header().Ttl-- }, RRset},
		{"data", "a higher TTL", func(m *dns.Msg) { raiseTTL(m.Answer) }, SignatureTTL},
		{"data", "a signature's own TTL", func(m *dns.Msg) { sigOf(m, 2).Hdr.Ttl-- }, SignatureTTL},
		{"data", "another original TTL", func(m *dns.Msg) { sigOf(m, 2).OrigTtl++ }, Cryptography},
		{"data", "another key", func(m *dns.Msg) { m.Answer[2] = other.sign(t, m.Answer[:2]) }, Key},
		{"data", "labels of a wildcard", func(m *dns.Msg) { sigOf(m, 2).Labels-- }, SignerLabels},
		{"data", "another signer", func(m *dns.Msg) { sigOf(m, 2).SignerName = "org." }, SignerLabels},
		{"data", "an expired signature", func(m *dns.Msg) { sigOf(m, 2).Expiration = uint32(now.Unix()) - 1 }, Period},
		{"data", "a signature of tomorrow", func(m *dns.Msg) { sigOf(m, 2).Inception = uint32(now.Unix()) + 1 }, Period},
		{"data", "a signature shorter than the TTL", func(m *dns.Msg) { sigOf(m, 2).Expiration = uint32(now.Unix()) + 299 }, Period},
		{"data", "a broken signature", func(m *dns.Msg) { sigOf(m, 2).Signature = strings.Repeat("AAAA", 21) + "AA==" }, Cryptography},
		{"data", "something else beside it", func(m *dns.Msg) { add(m, "example.net. 60 A 192.0.2.1") }, Reason},
		{"data", "another type beside it", func(m *dns.Msg) { add(m, "www.example.org. 60 AAAA ::1") }, Reason},
		{"data", "a signature over nothing", func(m *dns.Msg) { sigOf(m, 2).TypeCovered = dns.TypeMX }, Reason},
		{"data", "CNAME beside it", func(m *dns.Msg) { add(m, "www.example.org. 60 CNAME example.net.") }, AloneWithCNAME},
		{"data", "a code", func(m *dns.Msg) { m.Rcode = dns.RcodeNameError }, Code},
		{"data", "truncation with records", func(m *dns.Msg) { m.Truncated = true }, WholeOrNothing},
		{"data", "nothing at all", func(m *dns.Msg) { m.Answer = nil }, Answered},
		{"data without DO", "a signature", func(m *dns.Msg) { m.Answer = append(m.Answer, w.signed.sign(t, m.Answer)) }, NotSigned},
		{"an unsigned zone's data", "a signature", func(m *dns.Msg) { m.Answer = append(m.Answer, w.signed.sign(t, m.Answer)) }, NotSigned},
		{"a failure", "no reason", func(m *dns.Msg) { m.IsEdns0().Option = nil }, WholeOrNothing},
		{"a failure", "records", func(m *dns.Msg) { add(m, "www.example.org. 60 A 192.0.2.1") }, WholeOrNothing},
		{"no data", "no SOA", func(m *dns.Msg) { m.Ns = m.Ns[2:] }, Answered},
		{"no data", "another zone's SOA", func(m *dns.Msg) { m.Ns[0].Header().Name = "org." }, DenialSOA},
		{"no data", "a SOA for too long", func(m *dns.Msg) { m.Ns[0].(*dns.SOA).Minttl = 59 }, DenialSOA},
		{"no data", "no NSEC", func(m *dns.Msg) { m.Ns = m.Ns[:2] }, DenialProof},
		{"no data", "an NSEC elsewhere", func(m *dns.Msg) { m.Ns[2].Header().Name = "ww.example.org." }, DenialProof},
		{"no data", "an NSEC for too long", func(m *dns.Msg) { raiseTTL(m.Ns[2:]) }, DenialTTL},
		{"no data", "an NSEC that covers more", func(m *dns.Msg) { nsecOf(m).NextDomain = "x.example.org." }, Successor},
		{"no data", "the type denied", withTypes(dns.TypeA, dns.TypeMX, dns.TypeRRSIG, dns.TypeNSEC, dns.TypeCAA), Bitmap},
		{"no data", "no RRSIG in the bitmap", withTypes(dns.TypeA, dns.TypeNSEC, dns.TypeCAA), Bitmap},
		{"no data", "an alias", withTypes(dns.TypeCNAME, dns.TypeRRSIG, dns.TypeNSEC), Bitmap},
		{"no data", "no CAA", withTypes(dns.TypeA, dns.TypeRRSIG, dns.TypeNSEC), HidesCAA},
		{"no data", "NS", withTypes(dns.TypeA, dns.TypeNS, dns.TypeRRSIG, dns.TypeNSEC, dns.TypeCAA), Telling},
		{"no data", "NS alone", withTypes(dns.TypeNS, dns.TypeRRSIG, dns.TypeNSEC), Telling},
		{"no data", "SOA", withTypes(dns.TypeA, dns.TypeSOA, dns.TypeRRSIG, dns.TypeNSEC, dns.TypeCAA), Telling},
		{"no data", "NXNAME beside A", withTypes(dns.TypeA, dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNXNAME), Telling},
		{"no data", "DS without NS", withTypes(dns.TypeDS, dns.TypeRRSIG, dns.TypeNSEC, dns.TypeCAA), Telling},
		{"no data at the apex", "no SOA in the bitmap", withTypes(dns.TypeNS, dns.TypeRRSIG, dns.TypeNSEC, dns.TypeCAA), Telling},
		{"no name", "NXDOMAIN without CO", func(m *dns.Msg) { m.Rcode = dns.RcodeNameError }, Code},
		{"no name", "no NSEC in the bitmap", withTypes(dns.TypeRRSIG, dns.TypeNXNAME), Bitmap},
		{"no name", "no RRSIG in the bitmap", withTypes(dns.TypeNSEC, dns.TypeNXNAME), Bitmap},
		{"no name with CO", "NOERROR", func(m *dns.Msg) { m.Rcode = dns.RcodeSuccess }, Code},
		{"no name with CO", "CO not copied", func(m *dns.Msg) { m.IsEdns0().SetCo(false) }, EDNS},
		{"an alias", "the alias twice", func(m *dns.Msg) { m.Answer = append(m.Answer, m.Answer[0]) }, RRset},
		{"an alias", "two aliases", func(m *dns.Msg) { add(m, "alias.example.org. 300 CNAME example.net.") }, AloneWithCNAME},
		{"an alias", "CAA beside it", func(m *dns.Msg) { add(m, `alias.example.org. 300 CAA 0 issue ";"`) }, AloneWithCNAME},
		{"an alias", "to another name", func(m *dns.Msg) { m.Answer[0].(*dns.CNAME).Target = "x.example.org." }, Reason},
		{"an alias to elsewhere", "signed elsewhere", func(m *dns.Msg) {
			m.Answer = append(m.Answer, w.signed.sign(t, m.Answer[2:3]))
		}, NotSigned},
		{"below DNAME", "no CNAME", func(m *dns.Msg) { m.Answer = slices.Delete(m.Answer, 2, 3) }, Synthesis},
		{"below DNAME", "another CNAME", func(m *dns.Msg) { m.Answer[2].(*dns.CNAME).Target = "example.org." }, Synthesis},
		{"below DNAME", "a signed CNAME", func(m *dns.Msg) {
			m.Answer = append(m.Answer, w.signed.sign(t, m.Answer[2:3]))
		}, NotSigned},
		{"a referral", "AA", func(m *dns.Msg) { m.Authoritative = true }, Authority},
		{"a referral", "no proof", func(m *dns.Msg) { m.Ns = m.Ns[:1] }, CutProof},
		{"a referral", "signed NS", func(m *dns.Msg) { m.Ns = append(m.Ns, w.signed.sign(t, m.Ns[:1])) }, NotSigned},
		{"a referral", "signed glue", func(m *dns.Msg) { m.Extra = append(m.Extra, w.signed.sign(t, m.Extra[:1])) }, NotSigned},
		{"a referral", "an NSEC with DS", func(m *dns.Msg) {
			m.Ns[1].(*dns.NSEC).TypeBitMap = []uint16{dns.TypeNS, dns.TypeDS, dns.TypeRRSIG, dns.TypeNSEC}
			w.resign(t, m.Ns, 2, m.Ns[1])
		}, CutProof},
		{"a referral", "an address of nobody", func(m *dns.Msg) { m.Extra[0].Header().Name = "x.cut.example.org." }, Reason},
		{"a referral", "data below the cut", func(m *dns.Msg) {
			add(m, "www.cut.example.org. 60 A 192.0.2.1")
			m.Authoritative = true
		}, Reason},
		{"a referral to a signed zone", "an address unsigned", func(m *dns.Msg) { m.Extra = slices.Delete(m.Extra, 1, 2) }, Signed},
		{"DNSKEY", "by the ZSK alone", func(m *dns.Msg) { m.Answer[2] = w.signed.signWith(t, 1, m.Answer[:2]) }, Key},
		{"DNSKEY", "a key less", func(m *dns.Msg) {
			m.Answer = m.Answer[:1]
			m.Answer = append(m.Answer, w.signed.sign(t, m.Answer))
		}, KeySet},
	} {
		g := goods[slices.IndexFunc(goods, func(g good) bool { return g.what == c.what })]
		asked, m := w.make(t, g)
		c.mutate(m)
		_, faults := w.zones().Check(asked, pack(t, m), now)
		if !slices.ContainsFunc(faults, func(f Fault) bool { return f.Rule == c.rule }) {
			t.Errorf("%s, with %s: %v, want %q in\n%v", c.what, c.how, faults, c.rule, m)
		}
	}
	if _, faults := w.zones().Check(new(dns.Msg).SetQuestion("www.example.org.", dns.TypeA), []byte("short"), now); len(faults) != 1 || faults[0].Rule != Form {
		t.Errorf("an invalid message: %v", faults)
	}
}

func raiseTTL(section []dns.RR) {
	for _, rr := range section {
		rr.Header().Ttl++
	}
}

func add(m *dns.Msg, text string) {
	rr, err := dns.NewRR(text)
	if err != nil {
		panic(err)
	}
	m.Answer = append(m.Answer, rr)
}
