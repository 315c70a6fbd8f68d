package caa

import (
	"context"
	"slices"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// This file puts the answer to an inquiry together, from what the data and the policy have.

// put adds what stands at the end of the way.
func (q *inquiry) put(ctx context.Context, z *zone, name string, f finding) error {
	switch {
	case f.kind == cut:
		return q.putReferral(ctx, z, f)
	case signing[q.qtype] && z.Set != nil && (q.do || f.kind == exists || f.kind == alias):
		return q.putSigning(ctx, z, name, f)
	case f.kind == noName || f.kind == noType:
		return q.putDenial(ctx, z, name, f)
	}
	set, ttl, keep, err := q.dataOf(z, name, f)
	if err != nil {
		return err
	}
	return q.putSet(ctx, answerSection, z, set, ttl, keep)
}

// putSigning answers a question for a type that we add to a signed zone. A compact denial has the name exist
// with NSEC and RRSIG (RFC 9824 3.1), so these are answered also where the name does not exist: an NSEC that
// denies NSEC contradicts itself, and BIND fails on it.
func (q *inquiry) putSigning(ctx context.Context, z *zone, name string, f finding) error {
	set, ttl, keep, err := q.signedSet(ctx, z, name, f)
	if err != nil {
		return err
	}
	if q.qtype == dns.TypeNSEC {
		return q.putSet(ctx, answerSection, z, set, ttl, keep)
	}
	// With or without DO: RRSIGs are what was asked for (RFC 4035 3.1).
	sigs, err := q.signer.Sign(ctx, z.Set, set, keep)
	if err != nil {
		return err
	}
	return q.b.signatures(answerSection, set, ttl, sigs)
}

// signedSet is the RRset that answers a question for NSEC, or whose signatures answer one for RRSIG: those of one
// RRset, because all of them would make the answer an amplifier (RFC 8482 4.1).
func (q *inquiry) signedSet(ctx context.Context, z *zone, name string, f finding) (set zonesign.RRset, ttl uint32, keep zonesign.Keep, err error) {
	if q.qtype == dns.TypeRRSIG && (f.kind == exists || f.kind == alias) {
		return q.dataOf(z, name, f)
	}
	if _, ttl, err = q.soa(ctx, z, f); err == nil {
		set, err = q.nsec(ctx, z, name, f, ttl, 0)
	}
	return set, ttl, zonesign.Missing, err
}

// dataOf is the RRset that answers at a name: the policy's, the keys', or the data's.
func (q *inquiry) dataOf(z *zone, name string, f finding) (set zonesign.RRset, ttl uint32, keep zonesign.Keep, err error) {
	keep = zonesign.Found
	ofKeys, ok := z.keysAt(name, q.qtype)
	switch {
	case ok:
		set, keep = ofKeys, zonesign.Kept
	case f.kind == exists && ours(q.qtype):
		node := z.Closest(name)
		set = zonesign.RRset{Owner: name, Type: dns.TypeCAA, TTL: node.TTL, RDATA: z.caa[node]}
		if z.named[name] != nil {
			keep = zonesign.Kept
		}
	case q.qtype == dns.TypeSOA && len(f.set) == 0:
		set = z.soa
	default:
		if isOdd(q.qtype) {
			z.claim(q.qtype)
		}
		set, err = dataSet(f.set)
	}
	return set, set.TTL, keep, err
}

// dataSet is the wire form of an RRset of the data. A TTL over a week would outlive its signatures, and
// resolvers cap it there (RFC 8767 4).
func dataSet(rrs []dns.RR) (zonesign.RRset, error) {
	set, err := zonesign.NewRRset(rrs...)
	set.TTL = min(set.TTL, zonesign.MaxTTL)
	return set, err
}

// putAlias adds CNAME or, for a name below DNAME, that and the CNAME made from it, which has no
// signature of its own (RFC 6672 5.3.1).
func (q *inquiry) putAlias(ctx context.Context, z *zone, name string, f finding) error {
	set, err := dataSet(f.set)
	if err != nil {
		return err
	}
	if set.Type == dns.TypeCNAME {
		return q.putSet(ctx, answerSection, z, set, set.TTL, zonesign.Found)
	}
	ttl, again := q.dnames[set.Owner]
	if !again {
		if q.dnames == nil {
			q.dnames = map[string]uint32{}
		}
		ttl, q.dnames[set.Owner] = set.TTL, set.TTL
		if err := q.putSet(ctx, answerSection, z, set, ttl, zonesign.Found); err != nil {
			return err
		}
	}
	made, err := zonesign.NewRRset(&dns.CNAME{Hdr: header(name, dns.TypeCNAME, ttl), Target: f.target})
	if err != nil {
		return err
	}
	return q.b.add(answerSection, made, made.TTL, zonesign.Signatures{})
}

// putForeign adds what the next plugin said of an alias's target that lies in no zone of ours. It is
// not ours to sign (coredns/coredns#8138), so that nobody gets it who asked for DNSSEC: that zone may be a
// signed one, another block's for example, and would be bogus without its signatures.
func (q *inquiry) putForeign(f finding) error {
	if q.do {
		return nil
	}
	for _, rr := range f.extra.Answer {
		if h := rr.Header(); h.Class == dns.ClassINET && !replaced[h.Rrtype] && q.serving.find(lower(h.Name)) == nil {
			if err := q.b.rr(answerSection, rr); err != nil {
				return err
			}
		}
	}
	return nil
}

// putLocal adds what a policy-only zone has at an alias's target.
func (q *inquiry) putLocal(ctx context.Context, z *zone, name string) error {
	p := z.locate(name)
	a := assembly{place: p, signer: q.signer, b: q.b, signed: q.do && z.Set != nil}
	return a.fill(ctx, p.shape(q.qtype, q.do).rrtype())
}

// putDenial adds SOA (RFC 2308 3) and, signed, the NSEC at the name itself (RFC 9824 3).
func (q *inquiry) putDenial(ctx context.Context, z *zone, name string, f finding) error {
	soa, ttl, err := q.soa(ctx, z, f)
	if err != nil {
		return err
	}
	if err := q.putSet(ctx, authoritySection, z, soa, ttl, zonesign.Found); err != nil {
		return err
	}
	if f.kind == noName && (q.co || !q.signs(z)) {
		q.b.rcode = dns.RcodeNameError // else NOERROR with NXNAME says so (RFC 9824 3.1, 5.1)
	}
	if !q.signs(z) {
		return nil
	}
	nsec, err := q.nsec(ctx, z, name, f, ttl, q.qtype)
	if err != nil {
		return err
	}
	return q.putSet(ctx, authoritySection, z, nsec, ttl, zonesign.Missing)
}

// nsec is the NSEC record at a name, without the type that it denies; 0 denies none.
func (q *inquiry) nsec(ctx context.Context, z *zone, name string, f finding, ttl uint32, denied uint16) (zonesign.RRset, error) {
	types, err := q.existence(ctx, z, name, f)
	if err != nil {
		return zonesign.RRset{}, err
	}
	return z.nsec(types, name, ttl, denied)
}

// existence is what the bitmap at a name says.
func (q *inquiry) existence(ctx context.Context, z *zone, name string, f finding) (existence, error) {
	switch {
	case f.kind == noName:
		return missing, nil
	case f.kind == alias:
		return atAlias, nil
	case f.types != ordinary:
		return f.types, nil
	}
	plain, dname := ordinary, withDNAME
	switch {
	case name == z.Name:
		plain, dname = atApex, apexDNAME
	case z.signals[name] != nil:
		return atSignal, nil
	}
	has, err := q.hasDNAME(ctx, z, name, f)
	if err != nil && !z.knows(name) {
		return plain, err
	}
	if has {
		return dname, nil
	}
	return plain, nil
}

// hasDNAME reports whether a name that has not the type asked for has DNAME. The plugins that show their data have
// shown all DNAMEs of the zone; over plugins that answer by type the question is put only where the zone is known
// to have some: an NSEC that leaves DNAME out says nothing of the names under its owner (RFC 6672 5.3.4.1).
func (q *inquiry) hasDNAME(ctx context.Context, z *zone, name string, f finding) (bool, error) {
	switch all := z.dnames.Load(); {
	case q.qtype == dns.TypeDNAME || f.uncertain:
		return false, nil
	case all != nil:
		return (*all)[name], nil
	case q.byType && !z.sawDNAME.Load():
		return false, nil
	}
	there, err := q.askOnce(ctx, z, name, dns.TypeDNAME)
	return err == nil && there.kind == exists, err
}

// soa is the zone's SOA, which the next plugin may give with the answer, or when asked, or not at all;
// and the TTL of a denial: the lowest of the SOA's, its minimum (RFC 9077 3) and our own bound.
func (q *inquiry) soa(ctx context.Context, z *zone, f finding) (set zonesign.RRset, ttl uint32, err error) {
	var soa *dns.SOA
	if len(f.soa) > 0 {
		soa, _ = f.soa[0].(*dns.SOA)
	}
	if soa == nil {
		soa = q.dataSOA(ctx, z)
	}
	if *soa == *z.ownSOA() {
		return z.soa, z.ttl.negative, nil
	}
	set, err = q.soaSet(z, soa)
	return set, min(set.TTL, z.ttl.negative, soa.Minttl), err
}

// dataSOA is a copy of the SOA of a zone's data or, where they have none, as hosts, of our own.
func (q *inquiry) dataSOA(ctx context.Context, z *zone) *dns.SOA {
	if there, err := q.askOnce(ctx, z, z.Name, dns.TypeSOA); err == nil && there.kind == exists {
		if soa, ok := there.set[0].(*dns.SOA); ok {
			copied := *soa
			return &copied
		}
	}
	return z.ownSOA()
}

// putReferral leads to the servers of the zone below: NS and addresses as they are, for they are not
// the zone's to sign, and what proves that zone signed or unsigned (RFC 4035 3.1.4).
func (q *inquiry) putReferral(ctx context.Context, z *zone, f finding) error {
	q.b.refers = true
	ns, err := dataSet(f.set)
	if err != nil {
		return err
	}
	if err := q.b.add(authoritySection, ns, ns.TTL, zonesign.Signatures{}); err != nil {
		return err
	}
	if q.signs(z) {
		if err := q.putDS(ctx, z, f.owner); err != nil {
			return err
		}
	}
	for _, rr := range f.extra.Extra {
		if q.isGlue(ctx, rr, z, f) {
			if err := q.b.rr(additionalSection, rr); err != nil {
				return err
			}
		}
	}
	return nil
}

// isGlue reports whether a record is an address of one of a cut's servers that lies at or below a cut of
// the zone, this one or another (RFC 9471 2). An address that is the zone's own would need a signature here
// (RFC 4035 3.1.1); who needs it asks for it.
func (q *inquiry) isGlue(ctx context.Context, rr dns.RR, z *zone, f finding) bool {
	h := rr.Header()
	if (h.Rrtype != dns.TypeA && h.Rrtype != dns.TypeAAAA) || h.Class != dns.ClassINET || !dns.IsSubDomain(z.Name, h.Name) {
		return false
	}
	host := lower(h.Name)
	if !slices.ContainsFunc(f.set, func(rr dns.RR) bool { ns, ok := rr.(*dns.NS); return ok && lower(ns.Ns) == host }) {
		return false
	}
	if dns.IsSubDomain(f.owner, host) {
		return true
	}
	there, err := q.ask(ctx, z, host, h.Rrtype)
	return err == nil && there.kind == cut
}

// putDS adds the DS of a cut or the proof that it has none.
func (q *inquiry) putDS(ctx context.Context, z *zone, cutName string) error {
	f, err := q.find(ctx, z, cutName, dns.TypeDS)
	if err != nil {
		return err
	}
	if f.kind == exists {
		set, err := dataSet(f.set)
		if err != nil {
			return err
		}
		return q.putSet(ctx, authoritySection, z, set, set.TTL, zonesign.Found)
	}
	_, ttl, err := q.soa(ctx, z, f)
	if err != nil {
		return err
	}
	nsec, err := z.nsec(atCut, cutName, ttl, 0)
	if err != nil {
		return err
	}
	return q.putSet(ctx, authoritySection, z, nsec, ttl, zonesign.Missing)
}

// putSet adds an RRset of a zone and, where they were asked for, its signatures.
func (q *inquiry) putSet(ctx context.Context, in section, z *zone, set zonesign.RRset, ttl uint32, keep zonesign.Keep) error {
	sigs, err := q.sign(ctx, z, set, keep)
	if err != nil {
		return err
	}
	z.See(ttl)
	return q.b.add(in, set, ttl, sigs)
}

func (q *inquiry) sign(ctx context.Context, z *zone, set zonesign.RRset, keep zonesign.Keep) (zonesign.Signatures, error) {
	if !q.signs(z) {
		return zonesign.Signatures{}, nil
	}
	return q.signer.Sign(ctx, z.Set, set, keep)
}

func (q *inquiry) signs(z *zone) bool { return q.do && z.Set != nil }
