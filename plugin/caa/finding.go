package caa

import (
	"errors"
	"fmt"
	"strings"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// finding is what the data of an overlay's zone say to a question, read from the next plugin's answer
// and reduced to what an answer of our own is made from.
type finding struct {
	kind   kind
	owner  string    // of set, canonical
	set    []dns.RR  // the RRset asked for; an alias's record; the NS of a cut
	target string    // of an alias, canonical
	soa    []dns.RR  // the zone's SOA, where the answer had it
	extra  *dns.Msg  // the whole answer, for addresses of name servers and what lies outside the zone
	types  existence // what a denial says beside that

	// uncertain is a name of which plugins that answer by type know nothing of the type asked for: it may exist
	// for another. So it has the kind noType, and its denial claims every other type.
	uncertain bool
}

// kind is one of the things that data can say of a name and a type.
type kind uint8

const (
	noName kind = iota // the name does not exist
	noType             // it exists, without this type
	exists             // it has the RRset asked for
	alias              // it is, or lies below, an alias (RFC 1034 3.6.2, RFC 6672 3.2)
	cut                // it is, or lies below, a zone cut (RFC 1034 4.2.1)
)

// replaced are the types that DNSSEC adds to a zone. We add our own; those of a zone that was signed
// already would be signatures by other keys and denials by another's order.
var replaced = map[uint16]bool{dns.TypeRRSIG: true, dns.TypeNSEC: true, dns.TypeNSEC3: true, dns.TypeNSEC3PARAM: true,
	dns.TypeDNSKEY: true, dns.TypeCDS: true, dns.TypeCDNSKEY: true}

// read finds out what a message of the next plugin says of a canonical name of the zone. The error is
// for messages that are no answer to the question: they prove nothing, least of all that something
// does not exist.
func (z *zone) read(name string, qtype uint16, m *dns.Msg) (finding, error) {
	f := finding{extra: m, soa: recordsAt(m.Ns, z.Name, dns.TypeSOA)}
	if z.readDNAME(&f, name) || z.readCNAME(&f, name, qtype) || z.readData(&f, name, qtype) || z.readCut(&f, name) {
		return f, nil
	}
	switch {
	case name == z.Name && recordsAt(m.Answer, name, dns.TypeCNAME) != nil:
		f.kind = noType // SOA and NS are there, so that it is no alias (RFC 1034 3.6.2), whatever etcd says
	case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
		return f, fmt.Errorf("it answered %s", dns.RcodeToString[m.Rcode])
	case !onlyReplaced(m.Answer):
		return f, errors.New("its answer is about something else, or denies what it has")
	case m.Rcode == dns.RcodeNameError:
		f.kind = noName
	default:
		f.kind = noType
	}
	return f, nil
}

// readDNAME finds an alias of all names below its owner, which must itself lie in the zone.
func (z *zone) readDNAME(f *finding, name string) bool {
	for _, rr := range f.extra.Answer {
		dname, ok := rr.(*dns.DNAME)
		if !ok || dname.Hdr.Class != dns.ClassINET {
			continue
		}
		owner := lower(dname.Hdr.Name)
		if owner == name || !dns.IsSubDomain(owner, name) || !dns.IsSubDomain(z.Name, owner) {
			continue
		}
		target := substitute(name, owner, lower(dname.Target))
		if _, err := zonesign.OwnerWire(target); err != nil {
			return false // RFC 6672 2.2: too long; the code that the answer has says so
		}
		f.kind, f.owner, f.set, f.target = alias, owner, []dns.RR{dname}, target
		return true
	}
	return false
}

// substitute puts target in the place of owner, in which name ends. The root is the dot that ends each name.
func substitute(name, owner, target string) string {
	labels := name[:len(name)-len(strings.TrimPrefix(owner, "."))]
	return labels + strings.TrimPrefix(target, ".")
}

func (z *zone) readCNAME(f *finding, name string, qtype uint16) bool {
	var first *dns.CNAME
	for _, rr := range recordsAt(f.extra.Answer, name, dns.TypeCNAME) {
		// A name has one (RFC 1034 3.6.2); of several, always the same one is taken.
		if cname, ok := rr.(*dns.CNAME); ok && (first == nil || cname.Target < first.Target) {
			first = cname
		}
	}
	if first == nil || qtype == dns.TypeCNAME || name == z.Name {
		return false
	}
	f.kind, f.owner, f.set, f.target = alias, name, []dns.RR{first}, dns.CanonicalName(first.Target)
	return true
}

func (z *zone) readData(f *finding, name string, qtype uint16) bool {
	if f.extra.Rcode != dns.RcodeSuccess || qtype == dns.TypeCNAME && name == z.Name {
		return false
	}
	f.set = recordsAt(f.extra.Answer, name, qtype)
	if len(f.set) == 0 {
		return false
	}
	f.kind, f.owner = exists, name
	if qtype == dns.TypeNS && name != z.Name {
		f.kind = cut // NS below the apex are the cut, whoever asks for them
	}
	return true
}

// readCut finds a referral: NS between the apex and the name, and no SOA (RFC 2308 2.2).
func (z *zone) readCut(f *finding, name string) bool {
	if f.extra.Rcode != dns.RcodeSuccess || !onlyReplaced(f.extra.Answer) {
		return false
	}
	for _, rr := range f.extra.Ns {
		switch owner := lower(rr.Header().Name); {
		case rr.Header().Rrtype == dns.TypeSOA:
			return false
		case rr.Header().Rrtype == dns.TypeNS && owner != z.Name && dns.IsSubDomain(z.Name, owner) && dns.IsSubDomain(owner, name):
			f.kind, f.owner = cut, owner
		}
	}
	if f.kind != cut {
		return false
	}
	f.set = recordsAt(f.extra.Ns, f.owner, dns.TypeNS)
	return true
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
