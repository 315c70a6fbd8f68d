package wire

import (
	"strings"

	"github.com/miekg/dns"
)

// section is one of a message's.
type section uint8

const (
	answerSection section = iota
	authoritySection
	additionalSection
)

var sectionNames = [...]string{"answer", "authority", "additional"}

// set is an RRset of a section, and what is known of it so far.
type set struct {
	in     section
	owner  string // canonical
	rrtype uint16
	rrs    []dns.RR
	sigs   []*dns.RRSIG
	reason bool  // whether it has one to be here
	zone   *Zone // that it is authoritative data of; nil if it is not
}

func (s *set) ttl() uint32 { return s.rrs[0].Header().Ttl }

func (s *set) String() string {
	return s.owner + " " + dns.Type(s.rrtype).String() + " in the " + sectionNames[s.in] + " section"
}

// gather groups the records into RRsets with their signatures.
func (c *checker) gather() {
	for in, records := range [][]dns.RR{c.m.Answer, c.m.Ns, c.m.Extra} {
		for _, rr := range records {
			c.place(section(in), rr)
		}
		for _, rr := range records {
			if sig, ok := rr.(*dns.RRSIG); ok {
				c.placeSignature(section(in), sig)
			}
		}
	}
	for _, s := range c.sets {
		c.wellFormed(s)
	}
}

func (c *checker) place(in section, rr dns.RR) {
	h := rr.Header()
	if h.Rrtype == dns.TypeOPT || h.Rrtype == dns.TypeRRSIG {
		return
	}
	if h.Class != dns.ClassINET {
		c.fault(Reason, "a record of class %s: %v", dns.Class(h.Class), rr)
		return
	}
	owner := dns.CanonicalName(h.Name)
	s := c.find(in, owner, h.Rrtype)
	if s == nil {
		s = &set{in: in, owner: owner, rrtype: h.Rrtype}
		c.sets = append(c.sets, s)
	}
	s.rrs = append(s.rrs, rr)
}

func (c *checker) placeSignature(in section, sig *dns.RRSIG) {
	owner := dns.CanonicalName(sig.Hdr.Name)
	switch s := c.find(in, owner, sig.TypeCovered); {
	case s != nil:
		s.sigs = append(s.sigs, sig)
	case in == answerSection && c.q.Qtype == dns.TypeRRSIG:
		c.orphans = append(c.orphans, sig)
	default:
		c.fault(Reason, "a signature over %s %s, which is not there", owner, dns.Type(sig.TypeCovered))
	}
}

func (c *checker) find(in section, owner string, rrtype uint16) *set {
	for _, s := range c.sets {
		if s.in == in && s.owner == owner && s.rrtype == rrtype {
			return s
		}
	}
	return nil
}

func (c *checker) wellFormed(s *set) {
	for i, rr := range s.rrs {
		if rr.Header().Ttl != s.ttl() {
			c.fault(RRset, "%v: several TTLs", s)
		}
		for _, other := range s.rrs[:i] {
			if dns.IsDuplicate(rr, other) {
				c.fault(RRset, "%v: twice in %v", rr, s)
			}
		}
	}
	for _, other := range c.sets {
		if other != s && other.owner == s.owner && other.rrtype == s.rrtype && other.in < s.in {
			c.fault(RRset, "%v stands in another section, too", s)
		}
		if s.rrtype == dns.TypeCNAME && other.owner == s.owner && other.rrtype != dns.TypeCNAME && other.rrtype != dns.TypeNSEC {
			c.fault(AloneWithCNAME, "%v beside CNAME", other)
		}
	}
	if s.rrtype == dns.TypeCNAME && len(s.rrs) > 1 {
		c.fault(AloneWithCNAME, "%v: %d of them", s, len(s.rrs))
	}
}

// claim says why an RRset is in the answer: as data of a zone, or with nil as what no zone here answers
// for.
func (s *set) claim(z *Zone) *set {
	s.reason, s.zone = true, z
	return s
}

// besideCNAME are the types that answer at an alias itself (RFC 1034 3.6.2, RFC 4034 4, RFC 4035 2.5).
var besideCNAME = map[uint16]bool{dns.TypeCNAME: true, dns.TypeANY: true, dns.TypeNSEC: true, dns.TypeRRSIG: true}

// follow walks the answer section from the name asked along its aliases (RFC 1034 4.3.2), and claims
// what it meets.
func (c *checker) follow() {
	name := dns.CanonicalName(c.q.Name)
	for visited := map[string]bool{}; ; {
		zone := c.zones.of(name, c.q.Qtype)
		c.meaning.Name = name
		if zone == nil || visited[name] {
			c.meaning.Kind = Elsewhere
			c.claimForeign()
			return
		}
		visited[name] = true
		target, ok := c.alias(zone, name)
		if !ok {
			c.data(zone, name)
			return
		}
		if target == "" {
			return // a fault that was reported, or too long a name (RFC 6672 2.2)
		}
		c.meaning.Aliases = append(c.meaning.Aliases, name)
		if made := c.find(answerSection, name, dns.TypeCNAME); c.q.Qtype == dns.TypeCNAME && made != nil {
			c.meaning.Kind = Data // that made from DNAME (RFC 6672 3.2)
			return
		}
		name = target
	}
}

// alias claims what makes a name an alias, and says where it leads.
func (c *checker) alias(zone *Zone, name string) (target string, ok bool) {
	for _, s := range c.sets {
		if s.in == answerSection && s.rrtype == dns.TypeDNAME && above(s.owner, name) && dns.IsSubDomain(zone.Apex, s.owner) {
			return c.synthesised(zone, s, name), true
		}
	}
	s := c.find(answerSection, name, dns.TypeCNAME)
	if s == nil || besideCNAME[c.q.Qtype] {
		return "", false
	}
	return dns.CanonicalName(s.claim(zone).rrs[0].(*dns.CNAME).Target), true
}

// synthesised checks what is made from DNAME. Where there is nothing the way ends, which is no fault for
// a server that has gone on from the same DNAME before: such ways may have no end.
func (c *checker) synthesised(zone *Zone, dname *set, name string) (target string) {
	again := dname.reason
	dname.claim(zone)
	made := c.find(answerSection, name, dns.TypeCNAME)
	if made == nil {
		if !again && c.m.Rcode != dns.RcodeYXDomain {
			c.fault(Synthesis, "no CNAME at %s below %v", name, dname)
		}
		return ""
	}
	made.claim(nil)
	target = strings.TrimSuffix(name, dname.owner) + strings.TrimPrefix(dns.CanonicalName(dname.rrs[0].(*dns.DNAME).Target), ".") // the root's dot ends what is before it
	if got := made.rrs[0].(*dns.CNAME).Target; dns.CanonicalName(got) != target || made.ttl() != dname.ttl() {
		c.fault(Synthesis, "%v for %s", made.rrs[0], target)
	}
	return target
}

// data claims the RRset asked for, at the last name.
func (c *checker) data(zone *Zone, name string) {
	if zone.cutAbove(name) && c.q.Qtype != dns.TypeDS {
		return // nothing of it is the zone's to answer with
	}
	found := false
	for _, s := range c.sets {
		if s.in == answerSection && s.owner == name && (s.rrtype == c.q.Qtype || c.q.Qtype == dns.TypeANY) {
			s.claim(zone)
			found = true
		}
	}
	for _, sig := range c.orphans {
		if dns.CanonicalName(sig.Hdr.Name) != name {
			c.fault(Reason, "a signature of %s", sig.Hdr.Name)
		}
		c.signatureForm(zone, &set{owner: name, rrtype: sig.TypeCovered, rrs: []dns.RR{sig}}, sig)
		found = true
	}
	if found {
		c.meaning.Kind = Data
	}
}

// claimForeign claims what other servers' zones have of an alias's target, which the server may know.
func (c *checker) claimForeign() {
	for _, s := range c.sets {
		if s.in == answerSection && !s.reason && c.zones.of(s.owner, s.rrtype) == nil {
			s.claim(nil)
		}
	}
}

// authority reads what the authority section adds: a denial, a referral, or the zone's own servers.
func (c *checker) authority() {
	var soa, ns *set
	for _, s := range c.sets {
		if s.in == authoritySection && s.rrtype == dns.TypeSOA {
			soa = s
		}
		if s.in == authoritySection && s.rrtype == dns.TypeNS {
			ns = s
		}
	}
	zone := c.zones.of(c.meaning.Name, c.q.Qtype)
	switch {
	case c.meaning.Kind == Elsewhere:
	case c.meaning.Kind == Data:
		if ns != nil && ns.owner == dns.CanonicalName(zone.Apex) {
			ns.claim(zone)
		}
	case soa != nil:
		c.denial(zone, soa)
	case ns != nil && above(zone.Apex, ns.owner) && dns.IsSubDomain(ns.owner, c.meaning.Name):
		c.referral(zone, ns)
	case len(c.meaning.Aliases) > 0:
		c.meaning.Kind = Elsewhere
	default:
		c.fault(Answered, "%s has none of them", c.meaning.Name)
		return
	}
	c.addresses()
	c.code()
}

// referral reads a delegation (RFC 1034 4.3.2 3b, RFC 4035 3.1.4).
func (c *checker) referral(zone *Zone, ns *set) {
	c.meaning.Kind = Referral
	ns.claim(nil)
	ds, nsec := c.find(authoritySection, ns.owner, dns.TypeDS), c.find(authoritySection, ns.owner, dns.TypeNSEC)
	if !c.signs(zone) {
		return
	}
	switch {
	case ds != nil && nsec == nil:
		ds.claim(zone)
	case nsec != nil && ds == nil:
		c.nsec(zone, nsec.claim(zone))
		if types := bitmap(nsec); !types[dns.TypeNS] || types[dns.TypeSOA] || types[dns.TypeDS] {
			c.fault(CutProof, "%v", nsec.rrs[0])
		}
	default:
		c.fault(CutProof, "neither of them at %s, or both", ns.owner)
	}
}

// addresses claims those in the additional section that belong to a server which the answer names. Those
// below a cut are glue, all others data (RFC 4035 2.2, 3.1.1).
func (c *checker) addresses() {
	named := map[string]bool{}
	for _, s := range c.sets {
		if !s.reason || s.rrtype != dns.TypeNS {
			continue
		}
		for _, rr := range s.rrs {
			named[dns.CanonicalName(rr.(*dns.NS).Ns)] = true
		}
	}
	for _, s := range c.sets {
		if s.in != additionalSection || !named[s.owner] || s.rrtype != dns.TypeA && s.rrtype != dns.TypeAAAA {
			continue
		}
		zone := c.zones.of(s.owner, s.rrtype)
		if zone != nil && zone.cutAbove(s.owner) {
			zone = nil
		}
		s.claim(zone)
	}
}

// code holds the header's code against the meaning.
func (c *checker) code() {
	want := dns.RcodeSuccess
	if c.meaning.Kind == NoName && (c.co || !c.do || !c.signs(c.zones.of(c.meaning.Name, c.q.Qtype))) {
		want = dns.RcodeNameError
	}
	if c.m.Rcode != want {
		c.fault(Code, "%s for %v", dns.RcodeToString[c.m.Rcode], c.meaning.Kind)
	}
	if refers := c.meaning.Kind == Referral && len(c.meaning.Aliases) == 0; c.m.Authoritative == refers {
		c.fault(Authority, "AA is %v for %v", c.m.Authoritative, c.meaning.Kind)
	}
}
