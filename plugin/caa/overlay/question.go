package overlay

import (
	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/zones"
)

// Question is what of a query decides its answer, besides the name.
type Question struct {
	Type uint16
	DO   bool // DNSSEC was asked for (RFC 3225)
	CO   bool // a compact denial may have the code NXDOMAIN (RFC 9824 5.1)
}

// QuestionOf is that of a query.
func QuestionOf(r *dns.Msg) Question {
	q := Question{Type: r.Question[0].Qtype}
	if opt := r.IsEdns0(); opt != nil {
		q.DO, q.CO = opt.Do(), opt.Co()
	}
	return q
}

// ours reports whether a type is answered from the contents of an overlay wherever the name
// exists. ANY is answered with CAA (RFC 8482 4.1).
func ours(qtype uint16) bool { return qtype == dns.TypeCAA || qtype == dns.TypeANY || signing[qtype] }

// signing are the types that we add at every name of a signed zone.
var signing = map[uint16]bool{dns.TypeNSEC: true, dns.TypeRRSIG: true}

// goesOn reports whether an alias of a zone, whose record is at owner, leads the question for a name on. CNAME answers ANY
// (RFC 1034 4.3.2 3a), and NSEC and RRSIG exist beside it (RFC 4034 4, RFC 4035 2.5); nothing exists under a DNAME.
func (q Question) goesOn(z *zones.Zone, owner, name string) bool {
	answered := q.Type == dns.TypeANY || signing[q.Type] && z.Signed()
	return !answered || owner != name
}

// asksSigning reports whether what is at a name of a zone answers a question for a type that we add to a signed zone. A
// compact denial has the name exist with NSEC and RRSIG (RFC 9824 3.1), so these are answered also where the name
// does not exist: an NSEC that denies NSEC contradicts itself, and BIND fails on it.
func (q Question) asksSigning(z *zones.Zone, k kind) bool {
	return signing[q.Type] && z.Signed() && (q.DO || k == exists || k == alias)
}

// denies reports whether the answer at the end of the way is made from SOA and the proof of what is not there.
func (q Question) denies(z *zones.Zone, k kind) bool {
	if q.asksSigning(z, k) {
		return q.Type == dns.TypeNSEC || k != exists && k != alias
	}
	return k == noName || k == noType
}

// proves reports whether a denial in the zone is proved.
func (q Question) proves(z *zones.Zone) bool { return z.Signed() && (q.DO || signing[q.Type]) }
