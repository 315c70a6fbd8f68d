package selfcheck

import (
	"context"
	"slices"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
)

// maxChain is how many aliases are followed; resolvers give up soon after.
const maxChain = 16

// kind is what the end of an answer is.
type kind uint8

const (
	outside  kind = iota // its end is in no zone that is asked here
	data                 // its end has the RRset
	noData               // its end exists, without the RRset
	noName               // its end does not exist
	referred             // its end is at or below a zone cut (RFC 1034 4.2.1)
)

// answer is what the server says of a name and a type, validated.
type answer struct {
	qtype   uint16
	aliases []alias // in the order in which they are followed
	end     string  // the name that they lead to, or the one asked about; canonical
	zone    Zone    // of end; the zero value if it is outside
	kind    kind
	set     dnssec.RRset  // of data
	denial  dnssec.Denial // of noData and noName in a signed zone: what it proves
	cut     string        // of referred
}

// alias is one step of a chain.
type alias struct{ owner, target string }

// resolve asks for a type at a name, follows aliases as a resolver does, and validates each answer on the way. The error is
// a Finding of the state Unanswered or Bogus.
func (c *Check) resolve(ctx context.Context, name string, qtype uint16) (answer, error) {
	a := answer{qtype: qtype, end: name}
	for {
		asked := a.end
		r, err := c.exchange(ctx, asked, qtype)
		if err != nil {
			return a, err
		}
		if err := c.verify(ctx, r); err != nil {
			return a, err
		}
		if err := a.follow(r); err != nil {
			return a, err
		}
		if concluded, err := c.conclude(ctx, &a, asked, r); concluded || err != nil {
			return a, err
		}
	}
}

// reply is a message of the server.
type reply struct {
	rcode             int
	authoritative     bool
	answer, authority []dnssec.RRset
}

// refers reports whether it is a referral to the servers of a zone below (RFC 2308 2.2).
func (r *reply) refers() bool {
	return !r.authoritative && r.hasAuthority(dns.TypeNS) && !r.hasAuthority(dns.TypeSOA)
}

func (r *reply) hasAuthority(rrtype uint16) bool {
	return slices.ContainsFunc(r.authority, func(set dnssec.RRset) bool { return set.Type == rrtype && len(set.RRs) > 0 })
}

// exchange puts one question, with DO. The error is a Finding.
func (c *Check) exchange(ctx context.Context, name string, qtype uint16) (*reply, error) {
	r := new(dns.Msg).SetQuestion(name, qtype)
	r.SetEdns0(dns.DefaultMsgSize, true)
	m, err := c.server.Exchange(ctx, r)
	switch {
	case err != nil:
		return nil, Find(NoAnswer, "%v", err)
	case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
		return nil, Find(NoAnswer, "the server answered %s", dns.RcodeToString[m.Rcode])
	}
	return &reply{m.Rcode, m.Authoritative, dnssec.RRsets(m.Answer), dnssec.RRsets(m.Ns)}, nil
}

// follow goes along the aliases of one reply. verify has seen to it that a CNAME below a DNAME is made from that.
func (a *answer) follow(r *reply) error {
	for {
		if set, ok := dnssec.Find(r.answer, a.end, a.qtype); ok {
			a.set = set
			return nil
		}
		set, ok := dnssec.Find(r.answer, a.end, dns.TypeCNAME)
		if !ok {
			return nil
		}
		step := alias{a.end, dns.CanonicalName(set.RRs[0].(*dns.CNAME).Target)}
		looped := step.target == step.owner || slices.ContainsFunc(a.aliases, func(before alias) bool { return before.owner == step.target })
		if a.aliases = append(a.aliases, step); looped || len(a.aliases) > maxChain {
			return Find(AliasLoop, "its CNAME chain is a loop or too long: resolvers give up at %s", dnsname.Bare(step.owner))
		}
		a.end = step.target
	}
}

// conclude finds out what the last reply says of the end, which was reached from the name asked about. It is not
// concluded where the reply ends with an alias and says nothing of its target.
func (c *Check) conclude(ctx context.Context, a *answer, asked string, r *reply) (concluded bool, err error) {
	zone, ok := c.server.Zone(a.end)
	if !ok || zone.RoutedElsewhere {
		return true, nil
	}
	a.zone = zone
	_, soa := dnssec.Find(r.authority, zone.Name, dns.TypeSOA)
	switch {
	case len(a.set.RRs) > 0:
		a.kind = data
		return true, nil
	case r.refers():
		return true, c.refer(ctx, a, r.authority)
	case a.end != asked && !soa:
		return false, nil
	}
	return true, c.deny(ctx, a, r)
}

// refer reads a referral. In a signed zone it has DS, which verify has verified, or the proof that there is none
// (RFC 4035 3.1.4).
func (c *Check) refer(ctx context.Context, a *answer, authority []dnssec.RRset) error {
	a.kind = referred
	for _, set := range authority {
		if set.Type == dns.TypeNS {
			a.cut = set.Name
		}
	}
	if _, secure := dnssec.Find(authority, a.cut, dns.TypeDS); secure || !a.zone.Signed {
		return nil
	}
	keys, err := c.keys(ctx, a.zone)
	if err != nil {
		return err
	}
	return c.unsignedCut(keys, authority, a.cut)
}

// deny reads a denial, which a signed zone has to prove: what the code says is not proved (RFC 9824 3).
func (c *Check) deny(ctx context.Context, a *answer, r *reply) error {
	a.kind = noData
	if r.rcode == dns.RcodeNameError {
		a.kind = noName
	}
	if !a.zone.Signed {
		return nil
	}
	keys, err := c.keys(ctx, a.zone)
	if err != nil {
		return err
	}
	a.denial = dnssec.NewDenial(keys, dnssec.Of(a.zone.Name, r.authority), c.server.Now())
	result, exists := a.denial.NoData(a.end, a.qtype), true
	if r.rcode == dns.RcodeNameError {
		result, exists = a.denial.NXDomain(a.end, a.qtype)
	}
	if result.Status != dnssec.Secure {
		return invalid(result)
	}
	if a.kind = noData; !exists || result.Reason == dnssec.NoSuchName {
		a.kind = noName
	}
	return nil
}

// denies reports whether a validator that keeps the answer's denial could conclude that its end has no RRset of a type
// (RFC 8198 5): that the name does not exist, that it lacks the type, or that the name belongs to an unsigned child zone.
func (a *answer) denies(rrtype uint16) bool {
	if !a.zone.Signed || a.kind != noData && a.kind != noName {
		return false
	}
	return a.denial.NoData(a.end, rrtype).Status != dnssec.Bogus || a.denial.NameError(a.end).Status != dnssec.Bogus
}
