package dnssec

import (
	"crypto"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// signer is a zone's only key.
type signer struct {
	key     *dns.DNSKEY
	private crypto.Signer
}

func newSigner(t testing.TB, zone string) signer {
	t.Helper()
	key := &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: zone, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 3600},
		Flags: dns.ZONE | dns.SEP, Protocol: 3, Algorithm: dns.ED25519,
	}
	private, err := key.Generate(256)
	if err != nil {
		t.Fatal(err)
	}
	return signer{key, private.(crypto.Signer)}
}

func (s signer) keys() Keys { return Keys{Zone: s.key.Hdr.Name, RRs: []*dns.DNSKEY{s.key}} }

// zone reads zone file syntax, one record a line.
func zone(t testing.TB, text string) []dns.RR {
	t.Helper()
	var rrs []dns.RR
	parser := dns.NewZoneParser(strings.NewReader("$TTL 300\n"+text), ".", "")
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		switch rr := rr.(type) { // whose order the library leaves as it was written
		case *dns.NSEC:
			slices.Sort(rr.TypeBitMap)
		case *dns.NSEC3:
			slices.Sort(rr.TypeBitMap)
		}
		rrs = append(rrs, rr)
	}
	if err := parser.Err(); err != nil {
		t.Fatal(err)
	}
	return rrs
}

// sign returns a section's RRsets, signed.
func (s signer) sign(t testing.TB, section []dns.RR) []RRset {
	t.Helper()
	sets := RRsets(section)
	for i := range sets {
		sets[i].Sigs = []*dns.RRSIG{s.rrsig(t, sets[i], func(*dns.RRSIG) {})}
	}
	return sets
}

// rrsig signs an RRset; edit changes what is signed over before it is.
func (s signer) rrsig(t testing.TB, set RRset, edit func(*dns.RRSIG)) *dns.RRSIG {
	t.Helper()
	sig := &dns.RRSIG{
		Hdr:       dns.RR_Header{Ttl: set.TTL},
		Algorithm: s.key.Algorithm, KeyTag: s.key.KeyTag(), SignerName: s.key.Hdr.Name,
		Inception: uint32(now.Add(-time.Hour).Unix()), Expiration: uint32(now.Add(time.Hour).Unix()),
	}
	edit(sig)
	if err := sig.Sign(s.private, set.exact()); err != nil {
		t.Fatal(err)
	}
	return sig
}

// expanded is what a server makes of a wildcard's RRset for a name.
func (s signer) expanded(t testing.TB, name, wildcard string) RRset {
	t.Helper()
	set := s.sign(t, zone(t, wildcard+` CAA 0 issue "ca.example"`))[0]
	set.Name = name
	set.RRs[0].Header().Name = name
	set.Sigs[0].Hdr.Name = name
	return set
}

func TestVerifyRRset(t *testing.T) { // RFC 4035 5.3.1
	t.Parallel()
	key, other, parent := newSigner(t, "example."), newSigner(t, "example."), newSigner(t, ".")
	const record = `www.example. CAA 0 issue "ca.example"`
	edited := func(by signer, edit func(*dns.RRSIG)) func(t *testing.T, set *RRset) {
		return func(t *testing.T, set *RRset) { set.Sigs = []*dns.RRSIG{by.rrsig(t, *set, edit)} }
	}
	day := uint32(24 * 3600)
	tests := []struct {
		name, record string
		edit         func(t *testing.T, set *RRset)
		status       Status
		reason       Reason
	}{
		{"as it should be", record, func(*testing.T, *RRset) {}, Secure, Signed},
		{"mixed case", `WwW.ExAmPlE. CAA 0 issue "ca.example"`, func(*testing.T, *RRset) {}, Secure, Signed},
		{"a TTL lowered by a cache", record, func(_ *testing.T, s *RRset) { s.RRs[0].Header().Ttl = 1 }, Secure, Signed},
		{"no signature", record, func(_ *testing.T, s *RRset) { s.Sigs = nil }, Bogus, SignatureMissing},
		{"expired", record, edited(key, func(s *dns.RRSIG) { s.Inception -= 2 * day; s.Expiration -= day }), Bogus, SignatureExpired},
		{"not yet valid", record, edited(key, func(s *dns.RRSIG) { s.Inception += day; s.Expiration += 2 * day }), Bogus, SignatureEarly},
		{"another value", record, func(_ *testing.T, s *RRset) { s.RRs[0].(*dns.CAA).Value = "evil.example" }, Bogus, SignatureWrong},
		{"a record more", record, func(t *testing.T, s *RRset) {
			s.RRs = append(s.RRs, zone(t, `www.example. CAA 0 issue "evil.example"`)...)
		}, Bogus, SignatureWrong},
		{"by a key outside the DNSKEY RRset", record, edited(other, func(*dns.RRSIG) {}), Bogus, SignatureNoKey},
		{"by the parent", record, edited(parent, func(*dns.RRSIG) {}), Bogus, SignatureMisfit},
		{"an algorithm that nobody knows", record, func(_ *testing.T, s *RRset) { s.Sigs[0].Algorithm = 200 }, Bogus, AlgorithmUnknown},
		{"a good one beside a bad one", record, func(t *testing.T, s *RRset) {
			s.Sigs = append([]*dns.RRSIG{key.rrsig(t, *s, func(s *dns.RRSIG) { s.Expiration -= day; s.Inception -= 2 * day })}, s.Sigs...)
		}, Secure, Signed},
		{"DS at the apex is the parent's", "example. DS 1 8 2 00", func(*testing.T, *RRset) {}, Bogus, SignatureMisfit},
		{"more labels than the name", record, func(t *testing.T, s *RRset) { s.Sigs[0].Labels = 3 }, Bogus, SignatureMisfit},
		{"a backslash in the value", `www.example. CAA 0 issue "ca.example; a=\\123"`, func(*testing.T, *RRset) {}, Secure, Signed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			set := key.sign(t, zone(t, tt.record))[0]
			tt.edit(t, &set)
			if got := VerifyRRset(set, key.keys(), now); got.Status != tt.status || got.Reason != tt.reason {
				t.Errorf("got %v, want %v (%s)", got, tt.status, tt.reason)
			}
		})
	}
}

// A zone with many keys of one tag must not buy time (CVE-2023-50387).
func TestVerificationsAreBounded(t *testing.T) {
	t.Parallel()
	key, other := newSigner(t, "example."), newSigner(t, "example.")
	set := key.sign(t, zone(t, `www.example. CAA 0 issue "ca.example"`))[0]
	var keys Keys
	for keys.Zone = "example."; len(keys.RRs) < 100; {
		keys.RRs = append(keys.RRs, key.key)
	}
	wrong := *set.Sigs[0]
	wrong.Signature = other.rrsig(t, set, func(*dns.RRSIG) {}).Signature
	set.Sigs = []*dns.RRSIG{&wrong}
	if got := VerifyRRset(set, keys, now); got.Reason != SignatureTooMany {
		t.Errorf("got %v, want %s", got, SignatureTooMany)
	}
}

func TestAuthenticate(t *testing.T) { // RFC 4035 5.2, RFC 6840 5.2
	t.Parallel()
	key, other := newSigner(t, "example."), newSigner(t, "example.")
	set := key.sign(t, []dns.RR{key.key})[0]
	good, stale := key.key.ToDS(dns.SHA256), other.key.ToDS(dns.SHA256)
	weak := key.key.ToDS(dns.SHA1)
	forged := *weak
	forged.Digest = strings.Repeat("00", 20)
	unknown := *good
	unknown.Algorithm = 200
	unsigned, wrong := set, set
	unsigned.Sigs = nil
	both := RRset{Name: "example.", Type: dns.TypeDNSKEY, TTL: 3600, RRs: []dns.RR{key.key, other.key}}
	wrong = both
	wrong.Sigs = []*dns.RRSIG{other.rrsig(t, both, func(*dns.RRSIG) {})}
	revoked := newSigner(t, "example.")
	revoked.key.Flags |= dns.REVOKE
	tests := []struct {
		name   string
		ds     []*dns.DS
		set    RRset
		status Status
		reason Reason
	}{
		{"as it should be", []*dns.DS{good}, set, Secure, Matched},
		{"one of two matches", []*dns.DS{stale, good}, set, Secure, Matched},
		{"SHA-1 alone", []*dns.DS{weak}, set, Secure, Matched},
		{"a wrong SHA-1 beside a right SHA-256", []*dns.DS{&forged, good}, set, Secure, Matched},
		{"a right SHA-1 beside a wrong SHA-256", []*dns.DS{weak, stale}, set, Secure, Matched},
		{"the parent names the old key", []*dns.DS{stale}, set, Bogus, KeyMissing},
		{"unknown algorithms alone", []*dns.DS{&unknown}, set, Insecure, AlgorithmUnknown},
		{"a revoked key", []*dns.DS{revoked.key.ToDS(dns.SHA256)}, revoked.sign(t, []dns.RR{revoked.key})[0], Bogus, KeyMissing},
		{"an unsigned DNSKEY RRset", []*dns.DS{good}, unsigned, Bogus, SignatureMissing},
		{"signed by another of its keys", []*dns.DS{good}, wrong, Bogus, KeyUnsigned},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, got := Authenticate("Example.", tt.ds, tt.set, nil, now); got.Status != tt.status || got.Reason != tt.reason {
				t.Errorf("got %v, want %v (%s)", got, tt.status, tt.reason)
			}
		})
	}
}

// The zone of these tests, in canonical order: example., a.example., sub.ent.example., *.wild.example.,
// cut.example. (unsigned) and www.example.
func TestDenialByNSEC(t *testing.T) { // RFC 4035 5.4, RFC 6840 4, RFC 9824 3
	t.Parallel()
	key := newSigner(t, "example.")
	const (
		apex   = "example. NSEC a.example. NS SOA RRSIG NSEC DNSKEY\n"
		a      = "a.example. NSEC cut.example. CAA RRSIG NSEC\n"
		cut    = "cut.example. NSEC sub.ent.example. NS RRSIG NSEC\n"
		ent    = "sub.ent.example. NSEC *.wild.example. A RRSIG NSEC\n"
		wild   = "*.wild.example. NSEC www.example. A RRSIG NSEC\n"
		www    = "www.example. NSEC example. CNAME RRSIG NSEC\n"
		signed = "cut.example. NSEC sub.ent.example. NS DS RRSIG NSEC\n"
	)
	tests := []struct {
		name, records string
		prove         func(d Denial) Result
		status        Status
		reason        Reason
	}{
		{"no such type", a, noData("a.example.", dns.TypeMX), Secure, NoSuchType},
		{"no such type, in another case", a, noData("A.Example.", dns.TypeMX), Secure, NoSuchType},
		{"the type exists", a, noData("a.example.", dns.TypeCAA), Bogus, DenialContradicts},
		{"an alias is no lack of data", www, noData("www.example.", dns.TypeCAA), Bogus, DenialContradicts},
		{"the denial of another name", apex, noData("a.example.", dns.TypeMX), Bogus, DenialFails},
		{"an empty non-terminal", cut, noData("ent.example.", dns.TypeCAA), Secure, NoSuchType},
		{"a type missing from a wildcard", ent + wild, noData("x.wild.example.", dns.TypeCAA), Secure, NoSuchType},
		{"a type that the wildcard has", ent + wild, noData("x.wild.example.", dns.TypeA), Bogus, DenialContradicts},
		{"a wildcard below another closest encloser", wild + apex, noData("b.example.", dns.TypeCAA), Bogus, DenialFails},
		{"no such name", cut + a + apex, nameError("b.example."), Secure, NoSuchName},
		{"no such name, last in the zone", www + apex, nameError("zzz.example."), Secure, NoSuchName},
		{"no such name, and the wildcard not denied", a, nameError("b.example."), Bogus, DenialFails},
		{"no such name, but it exists", a + apex, nameError("a.example."), Bogus, DenialContradicts},
		{"no such name, but names below it exist", cut + apex, nameError("ent.example."), Bogus, DenialContradicts},
		{"an unsigned delegation", cut, noDS("cut.example."), Insecure, InsecureCut},
		{"below an unsigned delegation", cut, nameError("x.cut.example."), Insecure, InsecureCut},
		{"below a signed delegation", signed + apex, nameError("x.cut.example."), Bogus, DenialFails},
		{"below a DNAME", "a.example. NSEC cut.example. DNAME RRSIG NSEC\n" + apex, nameError("x.a.example."), Bogus, DenialFails},
		{"the parent's side of a cut denies nothing else", signed, noData("cut.example.", dns.TypeCAA), Bogus, DenialFails},
		{"a signed delegation is not unsigned", signed, noDS("cut.example."), Bogus, DenialContradicts},
		{"the child's apex denies no DS", apex, noDS("example."), Bogus, DenialFails},
		{"no delegation at a host", a, noDS("a.example."), Secure, NotACut},
		{"no delegation at an empty non-terminal", cut, noDS("ent.example."), Secure, NotACut},
		{"no delegation at a name that is not", a + apex, noDS("b.example."), Secure, NoSuchName},
		{"compact: no such name", `b.example. NSEC \000.b.example. RRSIG NSEC TYPE128`, noData("b.example.", dns.TypeCAA), Secure, NoSuchName},
		{"compact: no such name, RCODE restored", `b.example. NSEC \000.b.example. RRSIG NSEC TYPE128`, nameError("b.example."), Secure, NoSuchName},
		{"compact: no such type", `b.example. NSEC \000.b.example. A RRSIG NSEC`, noData("b.example.", dns.TypeCAA), Secure, NoSuchType},
		{"compact: the denial of a type is not that of a name", `b.example. NSEC \000.b.example. A RRSIG NSEC`, nameError("b.example."), Bogus, DenialContradicts},
		{"a wildcard is the closest match", wild, wildcard("x.wild.example.", "*.wild.example."), Secure, WildcardProved},
		{"a closer name exists", a, wildcard("a.example.", "*.example."), Bogus, DenialFails},
		{"a wildcard that is not the closest", wild, wildcard("x.wild.example.", "*.example."), Bogus, DenialFails},
		{"nothing", "", noData("a.example.", dns.TypeMX), Bogus, DenialMissing},
		{"another zone's name", apex, nameError("a.test."), Bogus, DenialFails},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := NewDenial(key.keys(), key.sign(t, zone(t, tt.records)), now)
			if got := tt.prove(d); got.Status != tt.status || got.Reason != tt.reason {
				t.Errorf("got %v, want %v (%s)", got, tt.status, tt.reason)
			}
		})
	}
}

func noData(name string, rrtype uint16) func(Denial) Result {
	return func(d Denial) Result { return d.NoData(name, rrtype) }
}
func nameError(name string) func(Denial) Result {
	return func(d Denial) Result { return d.NameError(name) }
}
func noDS(name string) func(Denial) Result { return func(d Denial) Result { return d.NoDS(name) } }
func wildcard(name, source string) func(Denial) Result {
	return func(d Denial) Result { return d.Wildcard(name, source) }
}

// chain makes the NSEC3 records of a zone (RFC 5155 7.1): names and their types, salted and iterated.
func chain(flags uint8, iterations uint16, names map[string]string) string {
	hashes := make([]string, 0, len(names))
	owner := map[string]string{}
	for name := range names {
		h := dns.HashName(name, dns.SHA1, iterations, "ab")
		owner[h] = name
		hashes = append(hashes, h)
	}
	slices.Sort(hashes)
	var out strings.Builder
	for i, h := range hashes {
		fmt.Fprintf(&out, "%s.example. NSEC3 1 %d %d ab %s %s\n", h, flags, iterations, hashes[(i+1)%len(hashes)], names[owner[h]])
	}
	return out.String()
}

func TestDenialByNSEC3(t *testing.T) { // RFC 5155 8, RFC 9276 3.2
	t.Parallel()
	key := newSigner(t, "example.")
	names := map[string]string{
		"example.": "NS SOA RRSIG DNSKEY NSEC3PARAM", "a.example.": "CAA RRSIG", "cut.example.": "NS", "signed.example.": "NS DS RRSIG",
		"ent.example.": "", "sub.ent.example.": "A RRSIG", "wild.example.": "", "*.wild.example.": "A RRSIG", "www.example.": "CNAME RRSIG", "d.example.": "DNAME RRSIG",
	}
	closed, open, slow, limit := chain(0, 0, names), chain(1, 0, names), chain(0, 151, names), chain(0, 150, names)
	tests := []struct {
		name, records string
		prove         func(d Denial) Result
		status        Status
		reason        Reason
	}{
		{"no such type", closed, noData("a.example.", dns.TypeMX), Secure, NoSuchType},
		{"no such type, in another case", closed, noData("A.eXample.", dns.TypeMX), Secure, NoSuchType},
		{"the type exists", closed, noData("a.example.", dns.TypeCAA), Bogus, DenialContradicts},
		{"an alias is no lack of data", closed, noData("www.example.", dns.TypeCAA), Bogus, DenialContradicts},
		{"an empty non-terminal", closed, noData("ent.example.", dns.TypeCAA), Secure, NoSuchType},
		{"a type missing from a wildcard", closed, noData("x.wild.example.", dns.TypeCAA), Secure, NoSuchType},
		{"a type that the wildcard has", closed, noData("x.wild.example.", dns.TypeA), Bogus, DenialContradicts},
		{"no such name", closed, nameError("b.example."), Secure, NoSuchName},
		{"no such name, far below", closed, nameError("x.y.b.example."), Secure, NoSuchName},
		{"no such name, but it exists", closed, nameError("a.example."), Bogus, DenialContradicts},
		{"no such name, but a wildcard would answer", closed, nameError("x.wild.example."), Bogus, DenialFails},
		{"no such name under opt-out", open, nameError("b.example."), Insecure, OptOut},
		{"no data at a name that is not, under opt-out", open, noData("b.example.", dns.TypeCAA), Insecure, OptOut},
		{"no data at a name that is not", closed, noData("b.example.", dns.TypeCAA), Bogus, DenialFails},
		{"an unsigned delegation", closed, noDS("cut.example."), Insecure, InsecureCut},
		{"an unsigned delegation left out", open, noDS("b.example."), Insecure, OptOut},
		{"below an unsigned delegation", closed, nameError("x.cut.example."), Insecure, InsecureCut},
		{"below a signed delegation", closed, nameError("x.signed.example."), Bogus, DenialFails},
		{"below a DNAME", closed, nameError("x.d.example."), Bogus, DenialFails},
		{"an unsigned delegation left out beside a wildcard", open, noDS("x.wild.example."), Insecure, OptOut},
		{"no delegation where a wildcard would answer", closed, noDS("x.wild.example."), Secure, NotACut},
		{"a signed delegation is not unsigned", closed, noDS("signed.example."), Bogus, DenialContradicts},
		{"the child's apex denies no DS", closed, noDS("example."), Bogus, DenialFails},
		{"no delegation at a host", closed, noDS("a.example."), Secure, NotACut},
		{"no delegation at a name that is not", closed, noDS("b.example."), Secure, NoSuchName},
		{"a wildcard is the closest match", closed, wildcard("x.wild.example.", "*.wild.example."), Secure, WildcardProved},
		{"a closer name exists", closed, wildcard("a.example.", "*.example."), Bogus, DenialFails},
		{"a wildcard under opt-out", open, wildcard("x.wild.example.", "*.wild.example."), Insecure, OptOut},
		{"iterations at the limit", limit, noData("a.example.", dns.TypeMX), Secure, NoSuchType},
		{"iterations over the limit", slow, noData("a.example.", dns.TypeCAA), Insecure, IterationsTooHigh},
		{"an unknown hash is ignored", strings.ReplaceAll(closed, "NSEC3 1", "NSEC3 2"), noData("a.example.", dns.TypeMX), Bogus, DenialMissing},
		{"unknown flags are ignored", chain(2, 0, names), noData("a.example.", dns.TypeMX), Bogus, DenialMissing},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := NewDenial(key.keys(), key.sign(t, zone(t, tt.records)), now)
			if got := tt.prove(d); got.Status != tt.status || got.Reason != tt.reason {
				t.Errorf("got %v, want %v (%s)", got, tt.status, tt.reason)
			}
		})
	}
}

// An answer with the RCODE NXDOMAIN whose records do not prove that the name does not exist.
func TestNXDomainIsAClaim(t *testing.T) {
	t.Parallel()
	key := newSigner(t, "example.")
	names := map[string]string{"example.": "NS SOA RRSIG DNSKEY NSEC3PARAM", "a.example.": "A RRSIG", "c.example.": "A RRSIG", "d.example.": "A RRSIG"}
	closed, open := chain(0, 0, names), strings.SplitAfter(chain(1, 0, names), "\n")
	apexOnly, undenied := withoutWildcard(t, open)
	const a, apex = "a.example. NSEC example. A RRSIG NSEC\n", "example. NSEC a.example. NS SOA RRSIG NSEC DNSKEY\n"
	tests := []struct {
		name, records, asked string
		status               Status
		reason               Reason
		exists               bool
	}{
		{"NSEC: no such name", apex + a, "b.example.", Secure, NoSuchName, false},
		{"NSEC: it exists without the type", a, "a.example.", Secure, NoSuchType, true},
		{"NSEC: neither", a, "b.example.", Bogus, DenialFails, false},
		{"compact: no such name", `b.example. NSEC \000.b.example. RRSIG NSEC TYPE128`, "b.example.", Secure, NoSuchName, false},
		{"compact: it exists without the type", `b.example. NSEC \000.b.example. A RRSIG NSEC`, "b.example.", Secure, NoSuchType, true},
		{"NSEC3: no such name", closed, "b.example.", Secure, NoSuchName, false},
		{"NSEC3: it exists without the type", closed, "a.example.", Bogus, DenialContradicts, false},
		{"NSEC3, opt-out: no such name", strings.Join(open, ""), "b.example.", Insecure, OptOut, false},
		{"NSEC3, opt-out: the wildcard is not denied", apexOnly, undenied, Bogus, DenialFails, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := NewDenial(key.keys(), key.sign(t, zone(t, tt.records)), now)
			if got, exists := d.NXDomain(tt.asked, dns.TypeCAA); got.Status != tt.status || got.Reason != tt.reason || exists != tt.exists {
				t.Errorf("got %v, exists %v, want %v (%s), %v", got, exists, tt.status, tt.reason, tt.exists)
			}
		})
	}
}

// withoutWildcard is what proves of a name that it does not exist, and nothing of its wildcard.
func withoutWildcard(t *testing.T, chain []string) (records, name string) {
	t.Helper()
	proof := func(records string) Denial {
		d := Denial{zone: "example."}
		for _, rr := range zone(t, records) {
			d.add(rr, "")
		}
		d.hash = newHasher(d.nsec3[0])
		return d
	}
	at := slices.IndexFunc(chain, func(record string) bool { return record != "" && proof(record).nsec3At("example.") != nil })
	for n := range 1000 {
		name = fmt.Sprintf("b%d.example.", n)
		for _, record := range chain {
			records = chain[at] + record
			if d := proof(records); d.nsec3Covering(name) != nil && d.nsec3Covering("*.example.") == nil {
				return records, name
			}
		}
	}
	t.Fatal("there is no such name")
	return "", ""
}

// What does not verify proves nothing, and the result says what was wrong with it.
func TestAnUnsignedDenialProvesNothing(t *testing.T) {
	t.Parallel()
	key := newSigner(t, "example.")
	sets := key.sign(t, zone(t, "a.example. NSEC b.example. A RRSIG NSEC"))
	sets[0].Sigs[0] = key.rrsig(t, sets[0], func(s *dns.RRSIG) { s.Expiration = uint32(now.Add(-time.Minute).Unix()) })
	if got := NewDenial(key.keys(), sets, now).NoData("a.example.", dns.TypeCAA); got.Status != Bogus || got.Reason != SignatureExpired {
		t.Errorf("got %v, want bogus for the expired signature", got)
	}
}

// A record without a signature spoils a denial, unless it is left out; one whose signature is wrong always does.
func TestUnsignedRecordsCanBeLeftOut(t *testing.T) {
	t.Parallel()
	key := newSigner(t, "example.")
	names := map[string]string{"example.": "NS SOA RRSIG DNSKEY NSEC3PARAM", "a.example.": "A RRSIG", "wild.example.": "", "*.wild.example.": "A RRSIG"}
	closed, open := chain(0, 0, names), chain(1, 0, names)
	missing := func(s *RRset) { s.Sigs = nil }
	forged := func(s *RRset) { s.Sigs[0].KeyTag++ }
	tests := []struct {
		name, records string
		soa           func(*RRset)
		prove         func(Denial) Result
		all, signed   Status
	}{
		{"no such name", closed, missing, nameError("b.example."), Bogus, Secure},
		{"no such name, opt-out", open, missing, nameError("b.example."), Bogus, Insecure},
		{"nothing is proved", closed, missing, nameError("a.example."), Bogus, Bogus},
		{"a forged signature", open, forged, nameError("b.example."), Bogus, Bogus},
		{"a wildcard", closed, missing, wildcard("x.wild.example.", "*.wild.example."), Bogus, Secure},
		{"a wildcard, forged", closed, forged, wildcard("x.wild.example.", "*.wild.example."), Bogus, Bogus},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			sets := key.sign(t, zone(t, "example. SOA ns.example. hostmaster.example. 1 7200 3600 1209600 60\n"+tt.records))
			tt.soa(&sets[0])
			denial := NewDenial(key.keys(), sets, now)
			if all, signed := tt.prove(denial), tt.prove(denial.Signed()); all.Status != tt.all || signed.Status != tt.signed {
				t.Errorf("got %v and %v, want %v and %v", all, signed, tt.all, tt.signed)
			}
		})
	}
}

// An RRset made from a wildcard says so, and an NSEC made from one stands for the wildcard alone.
func TestWildcardExpansion(t *testing.T) { // RFC 4035 5.3.4, RFC 4592 4.9
	t.Parallel()
	key := newSigner(t, "example.")
	set := key.expanded(t, "x.y.wild.example.", "*.wild.example.")
	if got := VerifyRRset(set, key.keys(), now); got.Status != Secure || got.Wildcard != "*.wild.example." {
		t.Errorf("got %v from %q", got, got.Wildcard)
	}
	nsec := key.sign(t, zone(t, "*.wild.example. NSEC www.example. A RRSIG NSEC"))[0]
	nsec.Name, nsec.RRs[0].Header().Name, nsec.Sigs[0].Hdr.Name = "a.wild.example.", "a.wild.example.", "a.wild.example."
	if got := NewDenial(key.keys(), []RRset{nsec}, now).nsecAt("a.wild.example."); got != nil {
		t.Errorf("an NSEC made from a wildcard is taken for the NSEC of %s", got.Hdr.Name)
	}
}

func TestRRsetsLeavesTheSectionAlone(t *testing.T) {
	t.Parallel()
	section := zone(t, "WWW.example. A 192.0.2.1\nwww.Example. 60 A 192.0.2.2\nwww.example. AAAA 2001:db8::1\nwww.example. A 192.0.2.2")
	sets := RRsets(section)
	if len(sets) != 2 || len(sets[0].RRs) != 2 || sets[0].TTL != 60 || sets[0].Name != "www.example." {
		t.Errorf("got %+v", sets)
	}
	if section[0].Header().Name != "WWW.example." {
		t.Error("the section was changed")
	}
}

func TestOctets(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"issue": "issue", `a\098c`: "abc", `a\"b`: `a"b`, `a\\b`: `a\b`, `a\`: `a\`, `\000`: "\x00"} {
		if got := Octets(text); got != want {
			t.Errorf("Octets(%q) = %q, want %q", text, got, want)
		}
	}
}

// Names in RDATA compare without case, whatever the type (RFC 4343; RFC 4034 6.2, RFC 6840 5.1).
func TestText(t *testing.T) {
	t.Parallel()
	tests := []struct {
		a, b string
		same bool
	}{
		{"www.example. 300 IN CNAME Www.eXample.", "WWW.example. 60 IN CNAME www.example.", true},
		{"example. DNAME A.example.", "example. DNAME a.example.", true},
		{"example. NS NS.example.", "example. NS ns.example.", true},
		{"example. MX 10 Mail.example.", "example. MX 10 mail.example.", true},
		{"example. MX 10 mail.example.", "example. MX 20 mail.example.", false},
		{"example. SOA Ns.example. Mail.example. 1 2 3 4 5", "example. SOA ns.example. mail.example. 1 2 3 4 5", true},
		{"example. PTR Www.example.", "example. PTR www.example.", true},
		{"example. SRV 1 2 3 Www.example.", "example. SRV 1 2 3 www.example.", true},
		{"example. HTTPS 1 Www.example.", "example. HTTPS 1 www.example.", true},
		{"example. NSEC Www.example. A", "example. NSEC www.example. A", true},
		{"example. HIP 2 200100107B1A74DF365639CC39F1D578 AwEAAQ== Rvs.example.", "example. HIP 2 200100107B1A74DF365639CC39F1D578 AwEAAQ== rvs.example.", true},
		{`example. CAA 0 issue "CA.example"`, `example. CAA 0 issue "ca.example"`, false},
		{`example. TXT "A"`, `example. TXT "a"`, false},
	}
	for _, tt := range tests {
		a, err := dns.NewRR(tt.a)
		if err != nil {
			t.Fatal(err)
		}
		b, err := dns.NewRR(tt.b)
		if err != nil {
			t.Fatal(err)
		}
		if same := Text(a) == Text(b); same != tt.same {
			t.Errorf("%s and %s: %q and %q", tt.a, tt.b, Text(a), Text(b))
		}
		want := 1
		if !tt.same {
			want = 2
		}
		if sets := RRsets([]dns.RR{a, b}); len(sets) != 1 || len(sets[0].RRs) != want {
			t.Errorf("%s and %s make %v, want %d records", tt.a, tt.b, sets, want)
		}
	}
	for rrtype, empty := range dns.TypeToRR { // no field of any type is one that cannot be set
		rr := empty()
		rr.Header().Name, rr.Header().Rrtype = "example.", rrtype
		_ = Text(rr)
	}
}

// A zone's own denials are those that it signs, and an SOA record is of the zone that it names (RFC 4035 5.3.1, RFC 2308 3).
func TestOf(t *testing.T) {
	t.Parallel()
	own, other, child := newSigner(t, "example."), newSigner(t, "other."), newSigner(t, "c.example.")
	var authority []RRset
	for _, of := range []struct {
		by      signer
		records string
	}{
		{own, "example. SOA ns.example. mail.example. 1 2 3 4 60"}, {own, "a.example. NSEC c.example. A RRSIG NSEC"},
		{other, "other. SOA ns.other. mail.other. 1 2 3 4 60"}, {other, "a.other. NSEC b.other. A RRSIG NSEC"},
		{child, "c.example. SOA ns.c.example. mail.c.example. 1 2 3 4 60"}, {child, "c.example. NSEC d.c.example. NS SOA RRSIG NSEC"},
	} {
		authority = append(authority, of.by.sign(t, zone(t, of.records))...)
	}
	authority = append(authority, RRsets(zone(t, "b.example. NSEC c.example. A RRSIG NSEC\nd.example. SOA ns. mail. 1 2 3 4 60\nb.other. NSEC c.other. A"))...)
	var got []string
	for _, set := range Of("example.", authority) {
		got = append(got, set.Name+" "+dns.TypeToString[set.Type])
	}
	if want := []string{"example. SOA", "a.example. NSEC", "b.example. NSEC"}; !slices.Equal(got, want) { // the last may be anybody's
		t.Errorf("got %v, want %v", got, want)
	}
	if len(authority) != 9 || authority[8].Name != "b.other." {
		t.Errorf("the section was changed: %v", authority)
	}
}
