package overlay

import (
	"errors"
	"fmt"
	"strings"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
)

// reading is what one answer of the next plugin says of a name of a zone, reduced to what an answer of our own is made
// from.
type reading struct {
	kind   kind
	owner  string   // of set, canonical
	set    []dns.RR // the RRset asked for; an alias's record; the NS of a cut
	target string   // of an alias, canonical
	soa    *dns.SOA // the zone's, where the answer had it; nil
	answer *dns.Msg // the whole answer, for addresses of name servers and what is outside the zone
	atCut  bool     // a name without the DS that was asked for is a zone cut

	// uncertain is a name of which plugins that answer by type know nothing of the type asked for: it may exist
	// for another. So it has the kind noType, and its denial lists every other type.
	uncertain bool
}

// kind is one of the things that data can say of a name and a type.
type kind uint8

const (
	noName kind = iota // the name does not exist
	noType             // it exists, without this type
	exists             // it has the RRset asked for
	alias              // it is, or is below, an alias (RFC 1034 3.6.2, RFC 6672 3.2)
	cut                // it is, or is below, a zone cut (RFC 1034 4.2.1)
)

// replaced are the types that DNSSEC adds to a zone. We add our own; those of a zone that was signed
// already would be signatures by other keys and denials in another order.
var replaced = map[uint16]bool{dns.TypeRRSIG: true, dns.TypeNSEC: true, dns.TypeNSEC3: true, dns.TypeNSEC3PARAM: true,
	dns.TypeDNSKEY: true, dns.TypeCDS: true, dns.TypeCDNSKEY: true}

// read finds out what a message of the next plugin says of a canonical name of the zone with that apex. The error is
// for messages that are no answer to the question: they prove nothing, least of all that something
// does not exist.
func read(apex, name string, qtype uint16, m *dns.Msg) (reading, error) {
	r := reading{answer: m}
	if soa := recordsAt(m.Ns, apex, dns.TypeSOA); soa != nil {
		r.soa, _ = soa[0].(*dns.SOA)
	}
	if r.readDNAME(apex, name) || r.readCNAME(apex, name, qtype) || r.readData(apex, name, qtype) || r.readCut(apex, name) {
		return r, nil
	}
	switch {
	case name == apex && recordsAt(m.Answer, name, dns.TypeCNAME) != nil:
		r.kind = noType // SOA and NS are there, so that it is no alias (RFC 1034 3.6.2), whatever etcd says
	case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
		return r, fmt.Errorf("it answered %s", dns.RcodeToString[m.Rcode])
	case !onlyReplaced(m.Answer):
		return r, errors.New("its answer does not match the query, or denies data that it has")
	case m.Rcode == dns.RcodeNameError:
		r.kind = noName
	default:
		r.kind = noType
	}
	return r, nil
}

// readDNAME finds an alias of all names below its owner, which must itself be in the zone.
func (r *reading) readDNAME(apex, name string) bool {
	for _, rr := range r.answer.Answer {
		dname, ok := rr.(*dns.DNAME)
		if !ok || dname.Hdr.Class != dns.ClassINET {
			continue
		}
		owner := lower(dname.Hdr.Name)
		if owner == name || !dns.IsSubDomain(owner, name) || !dns.IsSubDomain(apex, owner) {
			continue
		}
		target, err := dnsname.Substitute(name, owner, lower(dname.Target))
		if err != nil {
			return false // RFC 6672 2.2: too long; the code that the answer has says so
		}
		r.kind, r.owner, r.set, r.target = alias, owner, []dns.RR{dname}, target
		return true
	}
	return false
}

func (r *reading) readCNAME(apex, name string, qtype uint16) bool {
	var first *dns.CNAME
	for _, rr := range recordsAt(r.answer.Answer, name, dns.TypeCNAME) {
		// A name has one (RFC 1034 3.6.2); of several, always the same one is taken.
		if cname, ok := rr.(*dns.CNAME); ok && (first == nil || cname.Target < first.Target) {
			first = cname
		}
	}
	if first == nil || qtype == dns.TypeCNAME || name == apex {
		return false
	}
	r.kind, r.owner, r.set, r.target = alias, name, []dns.RR{first}, dns.CanonicalName(first.Target)
	return true
}

func (r *reading) readData(apex, name string, qtype uint16) bool {
	if r.answer.Rcode != dns.RcodeSuccess || qtype == dns.TypeCNAME && name == apex {
		return false
	}
	r.set = recordsAt(r.answer.Answer, name, qtype)
	if len(r.set) == 0 {
		return false
	}
	r.kind, r.owner = exists, name
	if qtype == dns.TypeNS && name != apex {
		r.kind = cut // NS below the apex are the cut, for every client
	}
	return true
}

// readCut finds a referral: NS between the apex and the name, and no SOA (RFC 2308 2.2).
func (r *reading) readCut(apex, name string) bool {
	if r.answer.Rcode != dns.RcodeSuccess || !onlyReplaced(r.answer.Answer) {
		return false
	}
	for _, rr := range r.answer.Ns {
		switch owner := lower(rr.Header().Name); {
		case rr.Header().Rrtype == dns.TypeSOA:
			return false
		case rr.Header().Rrtype == dns.TypeNS && owner != apex && dns.IsSubDomain(apex, owner) && dns.IsSubDomain(owner, name):
			r.kind, r.owner = cut, owner
		}
	}
	if r.kind != cut {
		return false
	}
	r.set = recordsAt(r.answer.Ns, r.owner, dns.TypeNS)
	return true
}

// apexOf is the zone that an authoritative answer about a canonical name comes from, if it says so: by SOA where it
// denies (RFC 2308 3), by NS in the authority section where it does not.
func apexOf(m *dns.Msg, name string) (apex string, ok bool) {
	if !m.Authoritative {
		return "", false // a resolver's answer, which may be about any zone in the world
	}
	for _, section := range [][]dns.RR{m.Ns, m.Answer} {
		for _, rr := range section {
			h := rr.Header()
			says := h.Rrtype == dns.TypeSOA || h.Rrtype == dns.TypeNS && len(m.Answer) > 0
			if owner := lower(h.Name); says && h.Class == dns.ClassINET && dns.IsSubDomain(owner, name) {
				return owner, true
			}
		}
	}
	return "", false
}

// recordsAt are the records of one owner and type in a section.
func recordsAt(section []dns.RR, owner string, rrtype uint16) []dns.RR {
	for i, rr := range section {
		if isAt(rr, owner, rrtype) {
			end := i + 1
			for end < len(section) && isAt(section[end], owner, rrtype) {
				end++
			}
			out := section[i:end:end]
			for _, rr := range section[end:] {
				if isAt(rr, owner, rrtype) {
					out = append(out, rr) // they were not together
				}
			}
			return out
		}
	}
	return nil
}

func isAt(rr dns.RR, owner string, rrtype uint16) bool {
	h := rr.Header()
	return h.Rrtype == rrtype && h.Class == dns.ClassINET && strings.EqualFold(h.Name, owner)
}

func onlyReplaced(section []dns.RR) bool {
	for _, rr := range section {
		if !replaced[rr.Header().Rrtype] {
			return false
		}
	}
	return true
}

// lower is the canonical form of a name off the wire (RFC 4034 6.2): such names are fully qualified, and the unpacking
// has escaped every octet that is not ASCII.
func lower(name string) string { return strings.ToLower(name) }

func header(name string, rrtype uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl}
}
