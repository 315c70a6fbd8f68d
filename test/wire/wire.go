// Package wire checks the answers of an authoritative server that signs online, as they lie on the
// wire, before any resolver: what ldns-verify-zone is to a zone file, this is to a packed answer.
//
// In go the zones that the server holds, with their keys, a question, the packed answer and the time;
// out come the answer's meaning and every fault of it, each with the rule that it breaks. What the data
// are is not known here: whether a name that is denied exists, say, is for the caller to hold against
// the meaning. Everything else is: header and EDNS, that each record has a reason to be in its section
// (RFC 1034 4.3.2, RFC 2308, RFC 4035 3.1), that each authoritative RRset is signed and nothing else is,
// each signature (RFC 4034 3, RFC 4035 5.3), and that a denial is a compact one which denies what was
// asked and nothing more (RFC 9824). No network, no clock.
package wire

import (
	"fmt"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// Zone is a zone that the server answers for.
type Zone struct {
	Apex string
	Keys []*dns.DNSKEY // its DNSKEY RRset; empty for a zone that is not signed
	Cuts []string      // where zones begin that are not held here: at and below them nothing is authoritative but DS and NSEC
}

// Zones are all that the server holds.
type Zones []Zone

// Kind is what an answer says.
type Kind uint8

const (
	Failure   Kind = iota // no answer: an error code, or nothing that has a meaning
	Data                  // the RRset asked for
	NoData                // the name exists without it
	NoName                // the name does not exist
	Referral              // another server is to be asked
	Elsewhere             // an alias that leads on, to be followed by who asked
	Truncated             // to be asked again over TCP
)

var kindNames = [...]string{"failure", "data", "no data", "no name", "referral", "elsewhere", "truncated"}

func (k Kind) String() string { return kindNames[k] }

// Meaning is what an answer says, in short.
type Meaning struct {
	Kind    Kind
	Name    string   // of the data or the denial: the name asked, or what its aliases lead to; canonical
	Aliases []string // the names that were aliases, in their order, canonical
}

// Rule is one that answers must keep.
type Rule string

const (
	Form           Rule = "a message is well formed (RFC 1035 4.1)"
	Header         Rule = "the header is an answer's, with RD and CD copied and AD clear (RFC 1035 4.1.1, RFC 4035 3.1.6)"
	Question       Rule = "the question comes back as it was asked, case and all (RFC 1035 4.1.2, RFC 5452 9.1)"
	EDNS           Rule = "EDNS comes back if it was used, with DO and CO copied (RFC 6891 6.1.1, RFC 3225 3, RFC 9824 5.1)"
	Authority      Rule = "an answer is authoritative unless it is a referral (RFC 1035 4.1.1)"
	Code           Rule = "the code is that of the meaning (RFC 2308 2, RFC 9824 3.1, 5.1)"
	Reason         Rule = "each record has a reason to be in its section (RFC 1034 4.3.2, RFC 4035 3.1)"
	RRset          Rule = "an RRset has one TTL, and each of its records once (RFC 2181 5)"
	WholeOrNothing Rule = "a truncated or failed answer has no records (RFC 2181 9), and a failure says why (RFC 8914)"
	Answered       Rule = "an answer has the data, a denial with SOA, or a referral (RFC 2308 2, RFC 1034 4.3.2)"
	AloneWithCNAME Rule = "nothing stands beside CNAME (RFC 1034 3.6.2, RFC 2181 10.1)"
	Synthesis      Rule = "below DNAME a CNAME is made from it, with its TTL (RFC 6672 3.1)"
	Signed         Rule = "an authoritative RRset comes with its signatures (RFC 4035 3.1.1), by each algorithm (RFC 4035 2.2)"
	NotSigned      Rule = "what is not authoritative, made from DNAME or not asked for with DO has no signature (RFC 4035 2.2, 3.1, RFC 6672 5.3.1)"
	SignerLabels   Rule = "the signer is the zone, and the labels are the owner's (RFC 4035 5.3.1, RFC 4034 3.1.3)"
	SignatureTTL   Rule = "a signature has the RRset's TTL, and an original TTL that is not below it (RFC 4034 3, RFC 4035 5.3.3)"
	Period         Rule = "a signature is valid now, and for as long as it may be cached (RFC 4034 3.1.5, RFC 4035 5.3.1)"
	Key            Rule = "a signature is by a zone key in the DNSKEY RRset (RFC 4035 5.3.1); those over DNSKEY by one that DS can name"
	Cryptography   Rule = "a signature verifies (RFC 4035 5.3.3)"
	KeySet         Rule = "the DNSKEY RRset is the zone's"
	DenialSOA      Rule = "a denial has the zone's SOA with a TTL of at most its minimum (RFC 2308 3)"
	DenialProof    Rule = "a signed denial has one NSEC, at the name itself (RFC 9824 3.1, 3.2)"
	Successor      Rule = "the next name of an NSEC is the immediate successor of its owner (RFC 9824 3.1)"
	Bitmap         Rule = "a bitmap has NSEC and RRSIG, and not the type that is denied (RFC 4034 4.1.2, RFC 4035 5.4)"
	Telling        Rule = "a bitmap has NXNAME alone (RFC 9824 3.2), SOA, DNSKEY and NS at an apex, NS without SOA and perhaps DS at a cut, CNAME at an alias (RFC 6840 4.1, 4.3)"
	HidesCAA       Rule = "no denial hides CAA: each of our names has it (RFC 8659 3, RFC 8198)"
	DenialTTL      Rule = "an NSEC has a TTL of at most the SOA's and its minimum (RFC 9077 3)"
	CutProof       Rule = "a referral has DS, or an NSEC at the cut that proves it absent (RFC 4035 3.1.4)"
)

// Fault is a rule that an answer breaks.
type Fault struct {
	Rule   Rule
	Detail string
}

func (f Fault) String() string { return fmt.Sprintf("%s: %s", f.Detail, f.Rule) }

// Check reads the packed answer to a question, which must have exactly one, of class IN.
func (z Zones) Check(asked *dns.Msg, answer []byte, now time.Time) (Meaning, []Fault) {
	m := new(dns.Msg)
	if err := m.Unpack(answer); err != nil {
		return Meaning{}, []Fault{{Form, err.Error()}}
	}
	c := &checker{zones: z, asked: asked, m: m, now: now, q: asked.Question[0]}
	if opt := asked.IsEdns0(); opt != nil {
		c.do, c.co = opt.Do(), opt.Co()
	}
	c.header()
	c.edns()
	switch {
	case m.Truncated:
		c.meaning.Kind = Truncated
		c.empty()
	case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
		c.empty()
		c.saysWhy()
	default:
		c.gather()
		c.follow()
		c.authority()
		c.judge()
	}
	return c.meaning, c.faults
}

// of is the zone of a name and type, or nil. DS at an apex is the parent's (RFC 4035 3.1.4.1)
// where that is held, too.
func (z Zones) of(name string, rrtype uint16) *Zone {
	var closest *Zone
	for i := range z {
		apex := dns.CanonicalName(z[i].Apex)
		if !dns.IsSubDomain(apex, name) || closest != nil && dns.CountLabel(apex) <= dns.CountLabel(closest.Apex) {
			continue
		}
		if rrtype != dns.TypeDS || apex != name || !slices.ContainsFunc(z, func(o Zone) bool { return above(o.Apex, name) }) {
			closest = &z[i]
		}
	}
	return closest
}

// above reports whether a name lies strictly above another.
func above(name, other string) bool {
	name, other = dns.CanonicalName(name), dns.CanonicalName(other)
	return name != other && dns.IsSubDomain(name, other)
}

// cutAbove reports whether a name is a cut or lies below one.
func (z *Zone) cutAbove(name string) bool {
	return slices.ContainsFunc(z.Cuts, func(cut string) bool { return dns.IsSubDomain(dns.CanonicalName(cut), name) })
}

// checker is one answer being checked.
type checker struct {
	zones   Zones
	asked   *dns.Msg
	m       *dns.Msg
	now     time.Time
	q       dns.Question
	do, co  bool
	sets    []*set
	orphans []*dns.RRSIG // in the answer section, over RRsets that are not there
	meaning Meaning
	faults  []Fault
}

func (c *checker) fault(rule Rule, format string, args ...any) {
	c.faults = append(c.faults, Fault{rule, fmt.Sprintf(format, args...)})
}

func (c *checker) header() {
	h, asked := c.m.MsgHdr, c.asked.MsgHdr
	if !h.Response || h.Id != asked.Id || h.Opcode != asked.Opcode || h.AuthenticatedData || h.Zero ||
		h.RecursionDesired != asked.RecursionDesired || h.CheckingDisabled != asked.CheckingDisabled {
		c.fault(Header, "%v to a question with %v", h, asked)
	}
	if len(c.m.Question) != 1 || c.m.Question[0] != c.q {
		c.fault(Question, "%v for %v", c.m.Question, c.q)
	}
}

func (c *checker) edns() {
	var opts []*dns.OPT
	for _, rr := range c.m.Extra {
		if opt, ok := rr.(*dns.OPT); ok {
			opts = append(opts, opt)
		}
	}
	switch asked := c.asked.IsEdns0(); {
	case asked == nil && len(opts) == 0:
	case asked == nil || len(opts) != 1:
		c.fault(EDNS, "%d OPT records", len(opts))
	case opts[0].Do() != c.do || opts[0].Co() != c.co || opts[0].Version() != 0:
		c.fault(EDNS, "%v", opts[0])
	}
}

// empty holds an answer without data to that.
func (c *checker) empty() {
	if n := len(c.m.Answer) + len(c.m.Ns) + len(c.m.Extra); n > 1 || n == 1 && c.m.IsEdns0() == nil {
		c.fault(WholeOrNothing, "%d records", n)
	}
}

func (c *checker) saysWhy() {
	opt := c.m.IsEdns0()
	if c.m.Rcode == dns.RcodeServerFailure && opt != nil && !slices.ContainsFunc(opt.Option, func(o dns.EDNS0) bool { return o.Option() == dns.EDNS0EDE }) {
		c.fault(WholeOrNothing, "SERVFAIL without a reason")
	}
}
