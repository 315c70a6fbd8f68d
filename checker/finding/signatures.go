package finding

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/dnssec"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// signatureRules are about keys, signatures and denials.
var signatureRules = []rule{
	{"signature-expired", Error, "RFC 4035 5.3.1, BR 3.2.2.8.1", "sign the zone again, and find out why that stopped; a secondary that alone has old signatures gets no transfers", bogusFor(dnssec.SignatureExpired)},
	{"signature-not-yet-valid", Error, "RFC 4035 5.3.1", "set the signer's clock, and let signatures begin an hour before they are made", bogusFor(dnssec.SignatureEarly)},
	{"signature-missing", Error, "RFC 4035 3.1.1", "let every server serve the signed zone, or take the DS record out of the parent", bogusFor(dnssec.SignatureMissing)},
	{"ds-without-key", Error, "RFC 4035 5.2, RFC 6781 4.1.2", "publish at the parent a DS record of the key that signs the DNSKEY RRset", bogusFor(dnssec.KeyMissing, dnssec.KeyUnsigned)},
	{"denial-bogus", Error, "RFC 4035 5.4, RFC 5155 8", "sign the zone again, or mend the server that makes its denials", bogusFor(dnssec.DenialMissing, dnssec.DenialFails, dnssec.DenialContradicts)},
	{"signature-wrong", Error, "RFC 4035 5.3", "sign the zone again, with keys that are in its DNSKEY RRset", bogusFor(dnssec.SignatureWrong, dnssec.SignatureNoKey, dnssec.SignatureMisfit, dnssec.SignatureTooMany, dnssec.AlgorithmUnknown)},
	{"denial-hides-caa", Error, "RFC 8198 5.1, RFC 4034 4.1.2", "let the type bitmaps of denials list every type that the name has; CoreDNS's dnssec plugin does not, and its caa plugin does", denialHidesCAA},
	{"signature-outlives-not-its-ttl", Error, "RFC 6781 4.4.2", "sign earlier: a signature has to outlive the RRset's TTL in every cache", expiring(func(left, ttl, _ time.Duration) bool { return left <= ttl })},
	{"signature-expires-soon", Warning, "RFC 6781 4.4.2", "see that the signer still runs: less than a tenth of the signatures' time is left", expiring(func(left, ttl, whole time.Duration) bool { return left > ttl && left < whole/10 })},
	{"signature-without-leeway", Warning, "RFC 6781 4.4.2", "let signatures begin an hour before they are made, for resolvers whose clocks are late", perZone(signatureWithoutLeeway)},
	{"algorithm-missing", Warning, "RFC 4035 2.2, RFC 6840 5.11", "sign with every algorithm that the DS records name, or take the other DS records out of the parent", perZone(algorithmMissing)},
	{"ds-sha1-alone", Error, "RFC 4509 3", "publish a DS record with SHA-256 of the key that signs the DNSKEY RRset, and take the others out of the parent", perZone(dsSHA1Alone)},
	{"ds-dangling", Info, "RFC 6781 4.1.2", "take DS records of keys that are gone out of the parent", perZone(dsDangling)},
	{"key-without-ds", Warning, "RFC 4035 2.4", "publish the DS record at the parent: until then the zone's signatures protect nothing", perZone(keyWithoutDS)},
	{"zone-above-unsigned", Warning, "RFC 4033 2", "have the zone above signed; until then this zone's signatures protect nothing, whatever DS record is published", perZone(zoneAboveUnsigned)},
	{"zone-unsigned", Info, "BR 3.2.2.8.1, RFC 8659 5.6", "sign the zone: whoever can forge an answer can let any CA in", perZone(zoneUnsigned)},
	{"nsec3-iterations-high", Error, "RFC 9276 3.2", "set the iterations to 0: resolvers take the zone for unsigned as it is, or answer SERVFAIL", nsec3Iterations(func(n uint16) bool { return n > 150 })},
	{"nsec3-iterations", Info, "RFC 9276 3.1", "set the iterations to 0", nsec3Iterations(func(n uint16) bool { return 0 < n && n <= 150 })},
}

// bogusFor makes a rule of reasons why data do not validate: a zone's keys, or an answer of one server.
func bogusFor(reasons ...dnssec.Reason) func(*Case) []hit {
	return func(c *Case) []hit {
		var m merged
		for _, s := range c.Surveys {
			z := s.Zone.Origin()
			if t := z.Trust; t.Status == dnssec.Bogus && z.AnchorFault() == "" && slices.Contains(reasons, t.Reason) {
				m.add(z.Name, "nothing in "+terminal.Bare(z.Name)+" validates: "+t.Detail, "every CA's resolver answers SERVFAIL")
			}
		}
		for s := range c.all() {
			if s.Kind == resolve.Failed || s.Kind == resolve.Referral || s.Truncated || s.zone.Trust.Status != dnssec.Secure {
				continue
			}
			if s.Result.Status == dnssec.Bogus && slices.Contains(reasons, s.Result.Reason) {
				m.add(s.Name, s.Result.Detail, typeName(s.Type)+" at "+s.where())
			}
		}
		return m.hits
	}
}

// denialHidesCAA looks at denials of other types and names: where one proves, rightly signed, that a name with
// CAA, or with an alias that leads to some, has none or does not exist, a resolver with RFC 8198 answers from it, and a CA
// climbs past the RRset.
func denialHidesCAA(c *Case) []hit {
	var m merged
	for _, s := range c.Surveys {
		names := s.withCAA()
		if len(names) == 0 || s.Zone.Trust.Status != dnssec.Secure {
			continue
		}
		for denier := range s.deniers() {
			if !slices.ContainsFunc(names, func(name string) bool { return mayHide(denier.Msg.Ns, name) }) {
				continue
			}
			denial := dnssec.NewDenial(s.Zone.Keys, dnssec.RRsets(denier.Msg.Ns), c.Now)
			for _, name := range names {
				if denier.Type == dns.TypeCAA && denier.Name == name { // the servers differ, which is said already
					continue
				}
				proof := denial.NoData(name, dns.TypeCAA)
				if proof.Status != dnssec.Secure {
					proof = denial.NameError(name)
				}
				if proof.Status == dnssec.Secure {
					what := "another type"
					if denier.Name != name {
						what = "another name"
					}
					m.add(name, "the denial of "+what+" proves that "+terminal.Bare(name)+" has no CAA, and it has, by itself or as an alias: a resolver that remembers the denial hides the RRset",
						fmt.Sprintf("%s %s: %s at %s", terminal.Bare(denier.Name), typeName(denier.Type), summary(proof.Evidence), denier.where()))
				}
			}
		}
	}
	return m.hits
}

// mayHide is a look at records of denial before they are verified, which takes longer: whether one could tell that
// a name has no CAA. Of hashed ones, any could.
func mayHide(authority []dns.RR, name string) bool {
	return slices.ContainsFunc(authority, func(rr dns.RR) bool {
		nsec, ok := rr.(*dns.NSEC)
		if !ok {
			return rr.Header().Rrtype == dns.TypeNSEC3
		}
		before, after := dnssec.Compare(nsec.Hdr.Name, name), dnssec.Compare(name, nsec.NextDomain)
		last := dnssec.Compare(nsec.NextDomain, nsec.Hdr.Name) <= 0
		return before == 0 && !slices.Contains(nsec.TypeBitMap, dns.TypeCAA) || before < 0 && (after < 0 || last)
	})
}

// withCAA are the names at which a server has CAA, or an alias, that validates.
func (s Survey) withCAA() []string {
	var out []string
	for i, o := range s.Seen {
		r := s.read[i]
		if o.Type == dns.TypeCAA && (r.Kind == resolve.Data || r.Kind == resolve.Alias) && r.Result.Status != dnssec.Bogus && !slices.Contains(out, o.Name) {
			out = append(out, o.Name)
		}
	}
	return out
}

// deniers yields the answers that deny.
func (s Survey) deniers() iter.Seq[said] {
	return func(yield func(said) bool) {
		seen, read := slices.Concat(s.Seen, s.Beside), slices.Concat(s.read, s.beside)
		for i, o := range seen {
			if r := read[i]; !o.Truncated && (r.Kind == resolve.NoData || r.Kind == resolve.NoName) && !yield(said{o, r, s.Zone}) {
				return
			}
		}
	}
}

func summary(rrs []dns.RR) string {
	var out []string
	for _, rr := range rrs {
		out = append(out, strings.Join(strings.Fields(rr.String()), " "))
	}
	return strings.Join(out, "; ")
}

// signatures yields each RRSIG that was seen of a survey's zone, with the RRset that it is over.
func (s Survey) signatures() iter.Seq2[dnssec.RRset, *dns.RRSIG] {
	return func(yield func(dnssec.RRset, *dns.RRSIG) bool) {
		for _, o := range s.Seen {
			if o.Msg == nil {
				continue
			}
			for _, set := range dnssec.RRsets(slices.Concat(o.Msg.Answer, o.Msg.Ns)) {
				for _, sig := range set.Sigs {
					if dns.CanonicalName(sig.SignerName) == s.Zone.Name && !yield(set, sig) {
						return
					}
				}
			}
		}
	}
}

// expiring makes a rule of what is left of signatures that are valid now: the time left, the RRset's
// TTL, and the whole time.
func expiring(is func(left, ttl, whole time.Duration) bool) func(*Case) []hit {
	return func(c *Case) []hit {
		var m merged
		for _, s := range c.Surveys {
			if s.Zone.Trust.Status != dnssec.Secure {
				continue
			}
			for set, sig := range s.signatures() {
				begin, end := dnssec.Validity(sig, c.Now)
				left := end.Sub(c.Now)
				if left > 0 && is(left, time.Duration(sig.OrigTtl)*time.Second, end.Sub(begin)) {
					m.add(s.Zone.Name, "signatures of "+terminal.Bare(s.Zone.Name)+" end soon", fmt.Sprintf("%s %s: %s", terminal.Bare(set.Name), typeName(set.Type), end.UTC().Format(time.RFC3339)))
				}
			}
		}
		return m.hits
	}
}

// leeway is how wrong a resolver's clock may be (unbound forgives a tenth of the validity, an hour at
// least, others nothing).
const leeway = 5 * time.Minute

func signatureWithoutLeeway(s Survey) (hit, bool) {
	answered := slices.IndexFunc(s.Seen, func(o resolve.Observation) bool { return o.Msg != nil })
	for set, sig := range s.signatures() {
		asked := s.Seen[answered].At
		begin, end := dnssec.Validity(sig, asked)
		if asked.Add(leeway).Before(end) && begin.After(asked.Add(-leeway)) && begin.Before(asked.Add(leeway)) {
			return hitf(s.Zone.Name, "the signature over %s %s began just when it was asked for", terminal.Bare(set.Name), typeName(set.Type)), true
		}
	}
	return hit{}, false
}

func algorithmMissing(s Survey) (hit, bool) {
	if s.Zone.Trust.Status != dnssec.Secure {
		return hit{}, false
	}
	for _, o := range s.Seen {
		if o.Type != dns.TypeSOA || o.Msg == nil || o.Truncated {
			continue
		}
		set, ok := dnssec.Find(dnssec.RRsets(o.Msg.Answer), s.Zone.Name, dns.TypeSOA)
		for _, ds := range s.Zone.DS {
			signed := slices.ContainsFunc(set.Sigs, func(sig *dns.RRSIG) bool { return sig.Algorithm == ds.Algorithm })
			if ok && len(set.Sigs) > 0 && dnssec.Supported(ds.Algorithm) && !signed {
				return hitf(s.Zone.Name, "the parent has a DS record of algorithm %s, and the zone is not signed by it", dns.AlgorithmToString[ds.Algorithm]).seen(where(o)), true
			}
		}
	}
	return hit{}, false
}

func dsDangling(s Survey) (hit, bool) {
	if s.Zone.Trust.Status != dnssec.Secure || s.Zone.Parent == nil {
		return hit{}, false
	}
	for _, ds := range s.Zone.DS {
		named := slices.ContainsFunc(s.Zone.Keys.RRs, func(key *dns.DNSKEY) bool { return dnssec.Names(ds, key) })
		if dnssec.Supported(ds.Algorithm) && slices.Contains([]uint8{dns.SHA1, dns.SHA256, dns.SHA384}, ds.DigestType) && !named {
			return hitf(s.Zone.Name, "the parent has a DS record, %d, of a key that the zone does not have", ds.KeyTag), true
		}
	}
	return hit{}, false
}

// dsSHA1Alone is where the DS record that fits has SHA-1, and others, that do not, have SHA-256: resolvers
// that keep to RFC 4509 3 leave the one that fits out, and find the zone bogus.
func dsSHA1Alone(s Survey) (hit, bool) {
	fits := map[bool]bool{} // by whether it is SHA-1
	strong := false
	for _, ds := range s.Zone.DS {
		weak := ds.DigestType == dns.SHA1
		strong = strong || !weak
		if slices.ContainsFunc(s.Zone.Keys.RRs, func(key *dns.DNSKEY) bool { return dnssec.Names(ds, key) }) {
			fits[weak] = true
		}
	}
	h := hitf(s.Zone.Name, "of the DS records of %s one with SHA-1 fits, and none with SHA-256: BIND and others find the zone bogus", terminal.Bare(s.Zone.Name))
	return h, s.Zone.Trust.Status == dnssec.Secure && s.Zone.Parent != nil && strong && fits[true] && !fits[false]
}

// hasKeys reports whether a server of the zone answers with DNSKEY records.
func (s Survey) hasKeys() bool {
	return slices.ContainsFunc(s.Seen, func(o resolve.Observation) bool {
		if o.Type != dns.TypeDNSKEY || o.Msg == nil {
			return false
		}
		_, ok := dnssec.Find(dnssec.RRsets(o.Msg.Answer), s.Zone.Name, dns.TypeDNSKEY)
		return ok
	})
}

func unsigned(s Survey) bool {
	t := s.Zone.Trust
	return t.Status == dnssec.Insecure && (t.Reason == dnssec.InsecureCut || t.Reason == dnssec.OptOut)
}

func keyWithoutDS(s Survey) (hit, bool) {
	return hitf(s.Zone.Name, "%s is signed, and its parent has no DS record of it", terminal.Bare(s.Zone.Name)).seen(s.Zone.Trust.Detail), unsigned(s) && s.Zone.Parent.Trust.Status == dnssec.Secure && s.hasKeys()
}

// zoneAboveUnsigned is where the chain of trust ends above the parent, which may have a DS record of the zone.
func zoneAboveUnsigned(s Survey) (hit, bool) {
	if !unsigned(s) || !s.hasKeys() {
		return hit{}, false
	}
	above := s.Zone.Parent
	for above.Parent != nil && above.Parent.Trust.Status == dnssec.Insecure {
		above = above.Parent
	}
	return hitf(s.Zone.Name, "%s is signed, and %s above it is not", terminal.Bare(s.Zone.Name), terminal.Bare(above.Name)).seen(s.Zone.Trust.Detail), above.Trust.Status == dnssec.Insecure
}

func zoneUnsigned(s Survey) (hit, bool) {
	return hitf(s.Zone.Name, "%s is not signed", terminal.Bare(s.Zone.Name)).seen(s.Zone.Trust.Detail), unsigned(s) && !s.hasKeys()
}

func nsec3Iterations(is func(uint16) bool) func(*Case) []hit {
	return func(c *Case) []hit {
		var m merged
		for s := range c.all() {
			if s.Msg == nil {
				continue
			}
			for _, rr := range s.Msg.Ns {
				nsec3, ok := rr.(*dns.NSEC3)
				if ok && is(nsec3.Iterations) && dnssec.Parent(dns.CanonicalName(nsec3.Hdr.Name)) == s.zone.Name { // not of an alias's target
					m.add(s.zone.Name, fmt.Sprintf("denials of %s hash %d times more", terminal.Bare(s.zone.Name), nsec3.Iterations), s.where())
				}
			}
		}
		return m.hits
	}
}
