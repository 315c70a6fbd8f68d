package finding

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/catalog"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
)

// signatureRules are about keys, signatures and denials.
var signatureRules = []rule{
	{
		catalog: catalog.Entry{
			Code: "keys-differ", Severity: catalog.Error, Section: "RFC 8901 2, RFC 6781 4.1",
			Text: "the zone's name servers publish different DNSKEY RRsets, so that what one signs does not validate with the other's keys",
			Fix:  "give every server that signs the zone the same keys, or publish the public keys of all signers on each of them (multi-signer, RFC 8901)",
		},
		find: keysDiffer, symptoms: []string{"signature-wrong", "ds-without-key", "denial-bogus"},
	},
	{
		catalog: catalog.Entry{
			Code: "signature-expired", Severity: catalog.Error, Section: "RFC 4035 5.3.1, BR 4.2.2.2",
			Text: "signatures have expired: validating resolvers, and so every CA, answer SERVFAIL",
			Fix:  "sign the zone again, and find out why the signer stopped",
		},
		find: bogusFor("expired", dnssec.SignatureExpired), say: func(g group) string {
			return g.dated("expired on %s", "all expired on %s", "expired between %s and %s")
		},
	},
	{
		catalog: catalog.Entry{
			Code: "signature-not-yet-valid", Severity: catalog.Error, Section: "RFC 4035 5.3.1",
			Text: "signatures are not valid yet",
			Fix:  "correct the signer's clock, and set the inception of signatures to an hour before they are made",
		},
		find: bogusFor("not yet valid", dnssec.SignatureEarly), say: func(g group) string {
			return g.dated("not valid before %s", "not valid before %s", "not valid before a day between %s and %s")
		},
	},
	{
		catalog: catalog.Entry{
			Code: "signature-missing", Severity: catalog.Error, Section: "RFC 4035 3.1.1",
			Text: "the parent has a DS RRset, and answers have no signatures",
			Fix:  "serve the signed zone on every name server, or remove the DS RRset from the parent",
		},
		find: bogusFor("no signature", dnssec.SignatureMissing), say: group.ofRRsets, symptoms: []string{"denial-bogus"},
	},
	{
		catalog: catalog.Entry{
			Code: "ds-without-key", Severity: catalog.Error, Section: "RFC 4035 5.2, RFC 6781 4.1.2",
			Text: "no key that signs the DNSKEY RRset matches the DS RRset at the parent",
			Fix:  "publish at the parent a DS record of the key that signs the DNSKEY RRset; of a zone that is not signed any more, remove the DS records at the registrar",
		},
		find: bogusFor("the DS RRset matches no key that signs the DNSKEY RRset", dnssec.KeyMissing, dnssec.KeyUnsigned), say: group.ofRRsets,
	},
	{
		catalog: catalog.Entry{
			Code: "denial-bogus", Severity: catalog.Error, Section: "RFC 4035 5.4, RFC 5155 8",
			Text: "negative answers prove nothing",
			Fix:  "sign the zone again, or update the server that makes its negative answers",
		},
		find: bogusFor("the proof that it does not exist fails", dnssec.DenialMissing, dnssec.DenialFails, dnssec.DenialContradicts), say: group.ofRRsets,
	},
	{
		catalog: catalog.Entry{
			Code: "signature-wrong", Severity: catalog.Error, Section: "RFC 4035 5.3",
			Text: "signatures do not verify with the zone's keys",
			Fix:  "sign the zone again, with keys that are in its DNSKEY RRset",
		},
		find: bogusFor("the signature does not verify", dnssec.SignatureWrong, dnssec.SignatureNoKey, dnssec.SignatureMisfit, dnssec.SignatureTooMany, dnssec.AlgorithmUnknown), say: group.ofRRsets,
	},
	{
		catalog: catalog.Entry{
			Code: "denial-hides-caa", Severity: catalog.Error, Section: "RFC 8198 5.1, RFC 4034 4.1.2",
			Text: "a negative answer for another type or name proves that a name with CAA has none: a resolver that caches it hides the RRset",
			Fix:  "update the server or signer: the type bitmaps of its NSEC or NSEC3 records must list every type that the name has (CoreDNS's dnssec plugin omits CAA, its caa plugin does not)",
		},
		about: aboutItems, find: denialHidesCAA, symptoms: []string{"denial-bogus"},
	},
	{
		catalog: catalog.Entry{
			Code: "signature-expires-before-ttl", Severity: catalog.Error, Section: "RFC 6781 4.4.2",
			Text: "signatures expire before the TTL of the RRset: caches hold them longer than they are valid",
			Fix:  "renew signatures earlier: at least the longest TTL before they expire",
		},
		find: expiring(func(left, ttl, _ time.Duration) bool { return left <= ttl }),
		say:  func(g group) string { return g.ending("before the TTL") }, symptoms: []string{"signature-expires-in-hours", "signature-expires-soon"},
	},
	{
		catalog: catalog.Entry{
			Code: "signature-expires-in-hours", Severity: catalog.Error, Section: "RFC 6781 4.4.2",
			Text: "signatures that are valid for a week or more expire within a day: the signer has not renewed them",
			Fix:  "check that the signer runs, and sign the zone again now; if it renews as late as that on purpose, have it do so days before (rrsig-refresh in Knot DNS)",
		},
		find: expiring(func(left, _, whole time.Duration) bool { return late(left, whole) }),
		say:  func(g group) string { return g.ending("within hours") }, symptoms: []string{"signature-expires-soon"},
	},
	{
		catalog: catalog.Entry{
			Code: "signature-expires-soon", Severity: catalog.Warning, Section: "RFC 6781 4.4.2",
			Text: "less than a tenth of the signatures' validity is left",
			Fix:  "check that the signer runs",
		},
		find: expiring(func(left, _, whole time.Duration) bool { return left < whole/10 }),
		say:  func(g group) string { return g.ending("soon") },
	},
	{
		catalog: catalog.Entry{
			Code: "signature-without-leeway", Severity: catalog.Warning, Section: "RFC 6781 4.4.2",
			Text: "signatures are valid from the moment when they are made: a resolver whose clock is slow takes them as not valid yet",
			Fix:  "set the inception of signatures to an hour before they are made",
		},
		find: perZone(signatureWithoutLeeway),
	},
	{
		catalog: catalog.Entry{
			Code: "algorithm-missing", Severity: catalog.Warning, Section: "RFC 4035 2.2, RFC 6840 5.11",
			Text: "the DS RRset has an algorithm that the zone is not signed with",
			Fix:  "sign with every algorithm of the DS RRset, or remove the other DS records from the parent",
		},
		find: perZone(algorithmMissing),
	},
	{
		catalog: catalog.Entry{
			Code: "algorithm-deprecated", Severity: catalog.Warning, Section: "RFC 9905 2",
			Text: "the zone is signed with RSASHA1 or NSEC3RSASHA1 only: some validating resolvers treat it as unsigned, others do not",
			Fix:  "roll the keys over to ECDSAP256SHA256 (algorithm 13), and remove the old DS records after that",
		},
		find: perZone(algorithmDeprecated), symptoms: []string{"ds-sha1"},
	},
	{
		catalog: catalog.Entry{
			Code: "ds-sha1", Severity: catalog.Warning, Section: "RFC 9905 2",
			Text: "the parent has only DS records with SHA-1 digests: some validating resolvers treat the zone as unsigned, others do not",
			Fix:  "publish a DS record with a SHA-256 digest (digest type 2) of the same key",
		},
		find: perZone(dsSHA1),
	},
	{
		catalog: catalog.Entry{
			Code: "ds-sha1-alone", Severity: catalog.Error, Section: "RFC 4509 3, RFC 9905 2",
			Text: "the only DS records that lead to a key rest on SHA-1, and there are others that do not: resolvers that ignore SHA-1 find the zone bogus",
			Fix:  "publish a DS record with a SHA-256 digest of a key that signs the DNSKEY RRset, and remove the others from the parent",
		},
		find: perZone(dsSHA1Alone), symptoms: []string{"ds-dangling", "algorithm-missing"},
	},
	{
		catalog: catalog.Entry{
			Code: "algorithm-unsupported", Severity: catalog.Warning, Section: "RFC 4035 5.2, RFC 9904",
			Text: "no DS record has an algorithm and a digest type that every validating resolver knows: to those that do not, the zone is unsigned",
			Fix:  "roll the keys over to ECDSAP256SHA256 (algorithm 13), with a DS record with a SHA-256 digest (digest type 2)",
		},
		find: perZone(algorithmUnsupported),
	},
	{
		catalog: catalog.Entry{
			Code: "ds-dangling", Severity: catalog.Info, Section: "RFC 6781 4.1.2",
			Text: "the parent has a DS record of a key that the zone does not have",
			Fix:  "remove DS records of keys that are gone from the parent",
		},
		find: perZone(dsDangling),
	},
	{
		catalog: catalog.Entry{
			Code: "key-without-ds", Severity: catalog.Warning, Section: "RFC 4035 2.4",
			Text: "the zone is signed, and its parent has no DS RRset for it: the signatures protect nothing",
			Fix:  "publish the zone's DS record at the parent",
		},
		find: perZone(keyWithoutDS),
	},
	{
		catalog: catalog.Entry{
			Code: "zone-above-unsigned", Severity: catalog.Warning, Section: "RFC 4033 2",
			Text: "the zone is signed, and a zone above it is not: the signatures protect nothing, whatever DS record is published",
			Fix:  "sign the zone above, and publish its DS record",
		},
		find: perZone(zoneAboveUnsigned),
	},
	{
		catalog: catalog.Entry{
			Code: "zone-unsigned", Severity: catalog.Info, Section: "BR 4.2.2.2, RFC 8659 5.6",
			Text: "the zone is not signed: whoever can forge an answer can admit any CA",
			Fix:  "sign the zone",
		},
		find: perZone(zoneUnsigned),
	},
	{
		catalog: catalog.Entry{
			Code: "nsec3-iterations-high", Severity: catalog.Warning, Section: "RFC 9276 3.2",
			Text: "NSEC3 has more iterations than some validating resolvers accept: they treat the zone as unsigned",
			Fix:  "set the NSEC3 iterations to 0 and the salt to none (NSEC3PARAM 1 0 0 -)",
		},
		find: nsec3Iterations(func(n uint16) bool { return len(treatingAsInsecure(n)) > 0 }),
	},
	{
		catalog: catalog.Entry{
			Code: "nsec3-iterations", Severity: catalog.Info, Section: "RFC 9276 3.1",
			Text: "NSEC3 has iterations, which protect nothing and cost resolvers work",
			Fix:  "set the NSEC3 iterations to 0 and the salt to none (NSEC3PARAM 1 0 0 -)",
		},
		find: nsec3Iterations(func(n uint16) bool { return n > 0 && len(treatingAsInsecure(n)) == 0 }),
	},
}

// validators are what resolvers accept of NSEC3 iterations by default today. More than that they all treat as insecure, as
// RFC 9276 3.2 lets them. Sources: unbound's val-nsec3-keysize-iterations ("1024 150 2048 150 4096 150" since 1.13.2); BIND's
// DNS_NSEC3_MAXITERATIONS (lowered from 150 to 50 in 9.19.19, so in 9.20; 9.18 has 150); Knot Resolver's
// kr_nsec3_limited (150 since 5.3.1, 50 since 5.7.1 and 6.0.6, for CVE-2023-50868); PowerDNS Recursor's
// nsec3-max-iterations (150 since 4.5.2, 50 since 5.0.1); Google Public DNS in RFC 9276 appendix C.
var validators = []struct {
	name  string
	limit uint16
}{
	{"BIND 9.20", 50}, {"Knot Resolver 5.7.1", 50}, {"PowerDNS Recursor 5", 50}, {"Google Public DNS", 100}, {"unbound", 150}, {"BIND 9.18", 150},
}

// treatingAsInsecure are the resolvers that treat a zone with so many NSEC3 iterations as unsigned.
func treatingAsInsecure(iterations uint16) []string {
	var out []string
	for _, v := range validators {
		if iterations > v.limit {
			out = append(out, v.name)
		}
	}
	return out
}

// bogusFor makes a rule of reasons why data do not validate: of a zone's keys, or of a reply of one server.
func bogusFor(cause string, reasons ...dnssec.Reason) func(*Case) []sign {
	return func(c *Case) []sign {
		var signs []sign
		for _, s := range c.Surveys {
			z := s.Zone.Origin()
			if t := z.Trust; t.Status == dnssec.Bogus && z.AnchorFault() == "" && slices.Contains(reasons, t.Reason) {
				found := signf(z.Name, "%s", cause).of(dnsname.Bare(z.Name) + " DNSKEY").seen(t.Detail)
				found.when = bound(t.Reason, z.DNSKEY.Sigs, c.Now)
				switch {
				case len(z.DNSKEY.RRs) == 0 && t.Reason == dnssec.KeyMissing:
					found.cause = "the parent has a DS RRset for the zone, and its servers have no DNSKEY record"
					found = found.fixed("sign the zone and publish its DNSKEY RRset on every name server, or remove its DS records at the registrar")
				case len(z.DNSKEY.RRs) > 0 && t.Reason != dnssec.SignatureExpired && t.Reason != dnssec.SignatureEarly:
					found = found.fixed("%s", publishDS(z.DNSKEY))
				}
				signs = append(signs, found)
			}
		}
		for r := range c.all() {
			if r.Kind == resolve.Failed || r.Kind == resolve.Referral || r.Truncated || r.zone.Trust.Status != dnssec.Secure {
				continue
			}
			if r.Result.Status == dnssec.Bogus && slices.Contains(reasons, r.Result.Reason) {
				found := signf(r.zone.Name, "%s", cause).at(r.server()).of(r.rrset()).seen(r.what() + ": " + r.Result.Detail)
				found.when = bound(r.Result.Reason, r.signatures(), c.Now)
				if c.alone(r) && r.Result.Reason == dnssec.SignatureExpired {
					found = found.fixed("transfer the signed zone to that server again, and check its log, the NOTIFY to it and the addresses that it may transfer from: the other servers have valid signatures")
				}
				signs = append(signs, found)
			}
		}
		return signs
	}
}

// alone reports whether another server gives an answer that validates where a reply does not.
func (c *Case) alone(r reply) bool {
	for other := range c.answers(r.Type) {
		if other.Name == r.Name && other.Addr != r.Addr && other.Kind != resolve.Failed && other.Kind != resolve.Referral && other.Result.Status == dnssec.Secure {
			return true
		}
	}
	return false
}

// signatures are those that a reply came with, in its answer or, if it denies, its authority section.
func (r reply) signatures() []*dns.RRSIG {
	var out []*dns.RRSIG
	for _, set := range dnssec.RRsets(slices.Concat(r.Msg.Answer, r.Msg.Ns)) {
		out = append(out, set.Sigs...)
	}
	return out
}

// bound is since when signatures have expired, or when they begin to be valid; zero for another reason.
func bound(reason dnssec.Reason, sigs []*dns.RRSIG, now time.Time) time.Time {
	var out time.Time
	for _, sig := range sigs {
		begin, end := dnssec.Validity(sig, now)
		switch {
		case reason == dnssec.SignatureExpired && end.Before(now) && end.After(out): // with the last one the RRset expired
			out = end
		case reason == dnssec.SignatureEarly && begin.After(now) && (out.IsZero() || begin.Before(out)):
			out = begin
		}
	}
	return out
}

// rrsets is the RRsets that a finding affects: one by name, several by number.
func (g group) rrsets() string {
	if n := len(g.items.all); n > 1 {
		return fmt.Sprintf("%d RRsets", n)
	}
	return some(g.items.all)
}

// dated is the text of a finding about RRsets with a time: that of one RRset, that of one day, or the first and the last.
// one, all and several take those times.
func (g group) dated(one, all, several string) string {
	text := g.where() + g.rrsets()
	switch {
	case g.first.IsZero():
		return text + ": " + g.cause
	case len(g.items.all) == 1:
		return text + ": " + fmt.Sprintf(one, moment(g.first))
	case day(g.first) == day(g.last):
		return text + ", " + fmt.Sprintf(all, day(g.first))
	}
	return text + ", " + fmt.Sprintf(several, day(g.first), day(g.last))
}

// ofRRsets is the text of a finding about RRsets.
func (g group) ofRRsets() string {
	if len(g.items.all) > 1 {
		return g.where() + g.rrsets() + ": " + g.cause + " (" + some(g.items.all) + ")"
	}
	return g.where() + g.rrsets() + ": " + g.cause
}

// ending is the text of a finding about signatures that are going to expire.
func (g group) ending(how string) string {
	return fmt.Sprintf("signatures over %s expire %s: the first on %s", g.rrsets(), how, moment(g.first))
}

// keysDiffer compares the DNSKEY RRsets of a zone's servers. Different keys are different signers that do not know each
// other; an RRset with all keys of another one and more is a rollover on its way to a secondary.
func keysDiffer(c *Case) []sign {
	var signs []sign
	for _, s := range c.Surveys {
		var found views
		sets := map[string][]string{} // by view
		for i, o := range s.Seen {
			if r := s.read[i]; o.Type == dns.TypeDNSKEY && r.Kind == resolve.Data && !o.Truncated {
				view := keyTags(r.RRset)
				found.add(view, serverOf(o))
				sets[view] = keyTexts(r.RRset)
			}
		}
		disjoint := slices.ContainsFunc(found.all, func(a string) bool {
			return slices.ContainsFunc(found.all, func(b string) bool { return !within(sets[a], sets[b]) && !within(sets[b], sets[a]) })
		})
		if found.differ() && disjoint {
			signs = append(signs, signf(s.Zone.Name, "the name servers of %s publish different DNSKEY RRsets: %s", dnsname.Bare(s.Zone.Name), strings.Join(found.evidence(), "; ")).seen(found.evidence()...))
		}
	}
	return signs
}

func keyTexts(set dnssec.RRset) []string {
	var out []string
	for _, rr := range set.RRs {
		out = append(out, dnssec.Text(rr))
	}
	return out
}

// keyTags are those of a DNSKEY RRset, for people.
func keyTags(set dnssec.RRset) string {
	var out []string
	for _, rr := range set.RRs {
		if key, ok := rr.(*dns.DNSKEY); ok {
			out = append(out, fmt.Sprintf("%d (%s)", key.KeyTag(), dns.AlgorithmToString[key.Algorithm]))
		}
	}
	slices.Sort(out)
	return "keys " + strings.Join(out, ", ")
}

func within(a, b []string) bool {
	return !slices.ContainsFunc(a, func(text string) bool { return !slices.Contains(b, text) })
}

// publishDS is the DS record, with SHA-256, of each key that signs a DNSKEY RRset, as a fix.
func publishDS(set dnssec.RRset) string {
	var out []string
	for _, rr := range set.RRs {
		key, ok := rr.(*dns.DNSKEY)
		if !ok || key.Flags&dns.REVOKE != 0 || !slices.ContainsFunc(set.Sigs, func(sig *dns.RRSIG) bool { return sig.KeyTag == key.KeyTag() }) {
			continue
		}
		if ds := key.ToDS(dns.SHA256); ds != nil {
			out = append(out, fmt.Sprintf("%s DS %d %d %d %s", set.Name, ds.KeyTag, ds.Algorithm, ds.DigestType, strings.ToUpper(ds.Digest)))
		}
	}
	if len(out) == 0 {
		return "sign the DNSKEY RRset with one of its keys, and publish the DS record of that key at the parent"
	}
	return "publish at the parent: " + strings.Join(out, "; ")
}

// denialHidesCAA looks at negative answers for other types and names: where one proves, correctly signed, that a name with
// CAA, or with an alias that leads to some, has none or does not exist, a resolver with RFC 8198 answers from it, and a CA
// climbs past the RRset.
func denialHidesCAA(c *Case) []sign {
	var signs []sign
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
				if s.deniesCAA(denier.Addr, name) { // the servers differ: another finding
					continue
				}
				proof := denial.NoData(name, dns.TypeCAA)
				if proof.Status != dnssec.Secure {
					proof = denial.NameError(name)
				}
				if proof.Status == dnssec.Secure {
					found := signf(s.Zone.Name, "negative answers hide the CAA RRset: a resolver that caches them has the proof that there is none").at(denier.server()).of(name)
					signs = append(signs, found.seen(fmt.Sprintf("%s: %s", denier.what(), summary(proof.Evidence))))
				}
			}
		}
	}
	return signs
}

// mayHide reports whether NSEC or NSEC3 records could prove that a name has no CAA, before they are verified, which takes
// longer. Any NSEC3 could.
func mayHide(authority []dns.RR, name string) bool {
	return slices.ContainsFunc(authority, func(rr dns.RR) bool {
		nsec, ok := rr.(*dns.NSEC)
		if !ok {
			return rr.Header().Rrtype == dns.TypeNSEC3
		}
		before, after := dnsname.Compare(nsec.Hdr.Name, name), dnsname.Compare(name, nsec.NextDomain)
		last := dnsname.Compare(nsec.NextDomain, nsec.Hdr.Name) <= 0
		return before == 0 && !slices.Contains(nsec.TypeBitMap, dns.TypeCAA) || before < 0 && (after < 0 || last)
	})
}

// withCAA returns the names at which a server has CAA, or an alias, that validates.
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

// deniesCAA reports whether an address denies CAA at a name when it is asked for that.
func (s Survey) deniesCAA(addr netip.AddrPort, name string) bool {
	for i, o := range s.Seen {
		if kind := s.read[i].Kind; o.Type == dns.TypeCAA && o.Name == name && o.Addr == addr && !o.Truncated && (kind == resolve.NoData || kind == resolve.NoName) {
			return true
		}
	}
	return false
}

// deniers yields the negative answers.
func (s Survey) deniers() iter.Seq[reply] {
	return func(yield func(reply) bool) {
		for r := range s.replies() {
			if !r.Truncated && (r.Kind == resolve.NoData || r.Kind == resolve.NoName) && !yield(r) {
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

// late reports whether signatures are about to expire that their signer should have renewed: of a validity of a week or
// more, less than a quarter and less than a day is left. BIND's default renews at 5 of 14 days, and PowerDNS at 7 of 21.
// Knot DNS 3.2 by default renews at an hour and the longest TTL, which leaves no time to repair anything (RFC 6781 4.4.2).
// Shorter validities are those of signers that sign online.
func late(left, whole time.Duration) bool {
	return whole >= 7*24*time.Hour && left < whole/4 && left < 24*time.Hour
}

// expiring makes a rule of what is left of signatures that are valid now: the time left, the RRset's
// TTL, and the whole validity.
func expiring(is func(left, ttl, whole time.Duration) bool) func(*Case) []sign {
	return func(c *Case) []sign {
		var signs []sign
		for _, s := range c.Surveys {
			if s.Zone.Trust.Status != dnssec.Secure {
				continue
			}
			for set, sig := range s.signatures() {
				begin, end := dnssec.Validity(sig, c.Now)
				left := end.Sub(c.Now)
				if left > 0 && is(left, time.Duration(sig.OrigTtl)*time.Second, end.Sub(begin)) {
					item := dnsname.Bare(set.Name) + " " + typeName(set.Type)
					found := signf(s.Zone.Name, "signatures expire").of(item).seen(item + ": " + end.UTC().Format(time.RFC3339))
					found.when = end
					signs = append(signs, found)
				}
			}
		}
		return signs
	}
}

// leeway is how wrong a resolver's clock may be (unbound tolerates a tenth of the validity, at least an hour, others
// nothing).
const leeway = 5 * time.Minute

func signatureWithoutLeeway(s Survey) (sign, bool) {
	answered := slices.IndexFunc(s.Seen, func(o resolve.Observation) bool { return o.Msg != nil })
	for set, sig := range s.signatures() {
		asked := s.Seen[answered].At
		begin, end := dnssec.Validity(sig, asked)
		if asked.Add(leeway).Before(end) && begin.After(asked.Add(-leeway)) && begin.Before(asked.Add(leeway)) {
			return signf(s.Zone.Name, "signatures of %s are valid from the moment of the query, without leeway for clocks", dnsname.Bare(s.Zone.Name)).seen(fmt.Sprintf("%s %s: from %s, asked at %s", dnsname.Bare(set.Name), typeName(set.Type), begin.UTC().Format(time.RFC3339), asked.UTC().Format(time.RFC3339))), true
		}
	}
	return sign{}, false
}

func algorithmMissing(s Survey) (sign, bool) {
	if s.Zone.Trust.Status != dnssec.Secure {
		return sign{}, false
	}
	for _, o := range s.Seen {
		if o.Type != dns.TypeSOA || o.Msg == nil || o.Truncated {
			continue
		}
		set, ok := dnssec.Find(dnssec.RRsets(o.Msg.Answer), s.Zone.Name, dns.TypeSOA)
		for _, ds := range s.Zone.DS {
			signed := slices.ContainsFunc(set.Sigs, func(sig *dns.RRSIG) bool { return sig.Algorithm == ds.Algorithm })
			if ok && len(set.Sigs) > 0 && dnssec.Supported(ds.Algorithm) && !signed {
				return signf(s.Zone.Name, "the DS RRset of %s has algorithm %s, and the zone is not signed with it", dnsname.Bare(s.Zone.Name), dns.AlgorithmToString[ds.Algorithm]).seen(where(o)), true
			}
		}
	}
	return sign{}, false
}

func dsDangling(s Survey) (sign, bool) {
	if s.Zone.Trust.Status != dnssec.Secure || s.Zone.Parent == nil {
		return sign{}, false
	}
	for _, ds := range s.Zone.DS {
		named := slices.ContainsFunc(s.Zone.Keys.RRs, func(key *dns.DNSKEY) bool { return dnssec.Names(ds, key) })
		if dnssec.Supported(ds.Algorithm) && slices.Contains([]uint8{dns.SHA1, dns.SHA256, dns.SHA384}, ds.DigestType) && !named {
			return signf(s.Zone.Name, "the parent of %s has a DS record, key tag %d, of a key that the zone does not have", dnsname.Bare(s.Zone.Name), ds.KeyTag), true
		}
	}
	return sign{}, false
}

// dsSHA1Alone is where the DS records that lead to a key of the zone rest on SHA-1, and others, that do not, lead to none:
// resolvers that follow RFC 4509 3 or RFC 9905 2 ignore the former, and find the zone bogus.
func dsSHA1Alone(s Survey) (sign, bool) {
	detail := s.Zone.Disputed()
	found := signf(s.Zone.Name, "of the DS records of %s only those with SHA-1 lead to a key that signs its DNSKEY RRset, and there are others: BIND and others ignore SHA-1 then, and find the zone bogus", dnsname.Bare(s.Zone.Name))
	return found.fixed("%s; then remove the DS records of keys that the zone does not have", publishDS(s.Zone.DNSKEY)).seen(detail), detail != "" && s.Zone.Parent != nil
}

// algorithmUnsupported is where a zone is unsigned to whoever does not know the algorithms and digest types of its DS records.
func algorithmUnsupported(s Survey) (sign, bool) {
	t := s.Zone.Trust
	found := signf(s.Zone.Name, "no DS record of %s has an algorithm and a digest type that every validating resolver knows: to those that do not, the zone is unsigned", dnsname.Bare(s.Zone.Name))
	return found.seen(t.Detail), t.Status == dnssec.Insecure && t.Reason == dnssec.AlgorithmUnknown && !s.Zone.Inherits
}

// dsSHA1 is where every DS record has SHA-1.
func dsSHA1(s Survey) (sign, bool) {
	found := signf(s.Zone.Name, "the DS records of %s have SHA-1 digests only: validating resolvers differ on whether the zone is signed", dnsname.Bare(s.Zone.Name))
	return found.fixed("%s", publishDS(s.Zone.DNSKEY)), s.Zone.Weak() == resolve.WeakDigest
}

// algorithmDeprecated is where every DS record that counts is of an algorithm with SHA-1.
func algorithmDeprecated(s Survey) (sign, bool) {
	if s.Zone.Weak() != resolve.WeakAlgorithm {
		return sign{}, false
	}
	i := slices.IndexFunc(s.Zone.DS, func(ds *dns.DS) bool { return ds.Algorithm == dns.RSASHA1 || ds.Algorithm == dns.RSASHA1NSEC3SHA1 })
	return signf(s.Zone.Name, "%s is signed with %s only: validating resolvers differ on whether the zone is signed", dnsname.Bare(s.Zone.Name), dns.AlgorithmToString[s.Zone.DS[i].Algorithm]), true
}

// hasKeys reports whether a server of the zone answers with DNSKEY records.
func (s Survey) hasKeys() bool { return len(s.keys().RRs) > 0 }

// keys returns the DNSKEY RRset of the first server that has one.
func (s Survey) keys() dnssec.RRset {
	for _, o := range s.Seen {
		if o.Type != dns.TypeDNSKEY || o.Msg == nil {
			continue
		}
		if set, ok := dnssec.Find(dnssec.RRsets(o.Msg.Answer), s.Zone.Name, dns.TypeDNSKEY); ok {
			return set
		}
	}
	return dnssec.RRset{}
}

func unsigned(s Survey) bool {
	t := s.Zone.Trust
	return t.Status == dnssec.Insecure && (t.Reason == dnssec.InsecureCut || t.Reason == dnssec.OptOut)
}

func keyWithoutDS(s Survey) (sign, bool) {
	if !unsigned(s) || s.Zone.Parent.Trust.Status != dnssec.Secure || !s.hasKeys() {
		return sign{}, false
	}
	found := signf(s.Zone.Name, "%s is signed, and %s has no DS RRset for it", dnsname.Bare(s.Zone.Name), dnsname.Bare(s.Zone.Parent.Name)).seen(s.Zone.Trust.Detail)
	// Caches may still have the zone without its keys, to which a DS would make it bogus (RFC 6781 4.1.2).
	return found.fixed("%s; if the zone was signed lately, wait until no cache has it unsigned: the longest TTL of its records", publishDS(s.keys())), true
}

// zoneAboveUnsigned is where the chain of trust ends above the parent, which may have a DS RRset of the zone.
func zoneAboveUnsigned(s Survey) (sign, bool) {
	if !unsigned(s) || !s.hasKeys() {
		return sign{}, false
	}
	above := s.Zone.Parent
	for above.Parent != nil && above.Parent.Trust.Status == dnssec.Insecure {
		above = above.Parent
	}
	return signf(s.Zone.Name, "%s is signed, and %s above it is not", dnsname.Bare(s.Zone.Name), dnsname.Bare(above.Name)).seen(s.Zone.Trust.Detail), above.Trust.Status == dnssec.Insecure
}

func zoneUnsigned(s Survey) (sign, bool) {
	return signf(s.Zone.Name, "%s is not signed", dnsname.Bare(s.Zone.Name)).seen(s.Zone.Trust.Detail), unsigned(s) && !s.hasKeys()
}

func nsec3Iterations(is func(uint16) bool) func(*Case) []sign {
	return func(c *Case) []sign {
		var signs []sign
		for r := range c.all() {
			if r.Msg == nil {
				continue
			}
			for _, rr := range r.Msg.Ns {
				nsec3, ok := rr.(*dns.NSEC3)
				if ok && is(nsec3.Iterations) && dnsname.Parent(dns.CanonicalName(nsec3.Hdr.Name)) == r.zone.Name { // not of an alias's target
					found := signf(r.zone.Name, "NSEC3 of %s has %d iterations", dnsname.Bare(r.zone.Name), nsec3.Iterations)
					if by := treatingAsInsecure(nsec3.Iterations); len(by) > 0 {
						found.cause += ": " + strings.Join(by, ", ") + " treat the zone as unsigned (insecure)"
					}
					signs = append(signs, found.seen(r.where()))
				}
			}
		}
		return signs
	}
}
