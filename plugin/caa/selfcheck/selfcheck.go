// Package selfcheck asks a server what a CA would ask for each issuance that must stay possible, and says what is wrong
// with the answers. The server goes in as a function from message to message, with its zones and the DS records of their
// parents; Findings come out, each with a reason. Nothing is logged, counted or refused here.
//
// An answer is believed as a validating resolver believes it (package dnssec): RRsets, wildcard expansions, denials and
// delegations are proved, starting at the DS records (RFC 4035 5). Answers that validate must also agree with each other:
// a resolver uses a denial for other questions than the one that it answered (RFC 8198, RFC 8020, RFC 9824 3), and follows
// an alias or a referral for every type once it has seen it (RFC 1034 3.6.2, 4.3.2). So at each name the questions of a CA
// that validates by http-01 are asked, for CAA, A and AAAA, and no answer may deny what another one shows.
package selfcheck

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

// State is what a CA would find out about one required issuance. The texts are values of a metric's label.
type State string

// The states.
const (
	MayIssue   State = "may_issue"
	Governed   State = "governed_elsewhere" // an alias or a zone cut leads out of our zones: their CAA decides
	NotServed  State = "not_served"         // the name is in no zone of the server
	AtRisk     State = "at_risk"            // some CAs or resolvers deny, or nobody is known to make such a request
	LockedOut  State = "locked_out"
	Unanswered State = "unanswered"
	Bogus      State = "bogus" // a validating resolver rejects an answer
)

// States are all of them.
var States = []State{MayIssue, Governed, NotServed, AtRisk, LockedOut, Unanswered, Bogus}

// Acceptable reports whether nothing that the server answers prevents the issuance. What is not served does not: other
// servers may read the same policy and serve it.
func (s State) Acceptable() bool { return s == MayIssue || s == Governed || s == NotServed }

// Finding is what was found out about one required issuance.
type Finding struct {
	State  State
	Reason Reason // "" for MayIssue
	Cause  string // for people; "" for MayIssue
}

// Error implements error, for a Finding ends a climb.
func (f Finding) Error() string { return f.Cause }

// Server is what is checked.
type Server struct {
	// Exchange puts a question as over TCP, and returns the answer as it was unpacked from the wire.
	Exchange func(ctx context.Context, r *dns.Msg) (*dns.Msg, error)
	// Zone returns the closest zone at or above a canonical name. Exchange may add zones.
	Zone func(name string) (zone Zone, ok bool)
	Now  func() time.Time
}

// Zone is a zone that the server answers for.
type Zone struct {
	Name   string    // canonical
	Signed bool      // its answers have signatures
	DS     []*dns.DS // those for its parent, where it is signed
	// RoutedElsewhere says that questions about the zone do not reach what is checked: another block answers them.
	RoutedElsewhere bool
}

// Check checks a server once: what it has asked is not asked again. It is for one goroutine.
type Check struct {
	server Server
	memory *dnssec.Memory
	names  map[string]observation
	trusts map[string]trust
	absent map[string]bool // names that their zone denies
}

// New returns a Check. The memory, which may be nil, spares it the verification of signatures that an earlier Check has
// verified.
func New(server Server, memory *dnssec.Memory) *Check {
	return &Check{server: server, memory: memory, names: map[string]observation{}, trusts: map[string]trust{}, absent: map[string]bool{}}
}

// Issuance says whether a required issuance is possible by what the server answers. A requirement without an issuer's
// Domain is judged by the answers alone, whatever the CAA says.
func (c *Check) Issuance(ctx context.Context, r guard.Requirement) Finding {
	seen, ok := c.names[r.Name]
	if !ok {
		seen = c.climb(ctx, r.Name)
		c.names[r.Name] = seen
	}
	_, served := c.server.Zone(r.Name)
	switch {
	case seen.fault.State == Governed && !served:
		return notServed
	case seen.fault.State != "":
		return seen.fault
	case r.Domain == "":
		return Finding{State: MayIssue}
	}
	return seen.judge(r, c.server.Now())
}

// notServed is the Finding about a name in no zone of the server.
var notServed = Find(NoZone, "the name is in no zone of this server")

// observation is the Relevant RRset of a name (RFC 8659 3), or why there is none.
type observation struct {
	rrset issuance.RRset
	owner string  // of the RRset, canonical
	fault Finding // the zero value: the RRset decides
}

// judge holds a requirement against the RRset.
func (o observation) judge(r guard.Requirement, at time.Time) Finding {
	judged := guard.Judge(r, o.rrset, at)
	if judged.Outcome == guard.MayIssue {
		return Finding{State: MayIssue}
	}
	where := "the CAA of " + dnsname.Bare(o.owner)
	switch {
	case len(o.rrset) == 0:
		where = "the lack of CAA at and above it"
	case o.owner != r.Name && !dns.IsSubDomain(o.owner, r.Name):
		where += ", the target of its alias,"
	}
	if judged.Outcome == guard.AtRisk {
		return find(AtRisk, Reason(judged.Reason), "%s puts it at risk (%s)", where, judged.Reason)
	}
	return find(LockedOut, Reason(judged.Reason), "%s denies it (%s)", where, judged.Reason)
}

// climb finds the Relevant RRset of a name in the server's answers (RFC 8659 3).
func (c *Check) climb(ctx context.Context, name string) (seen observation) {
	rrset, _, err := issuance.Climb(name, func(at string) (issuance.RRset, error) {
		caa, err := c.caaAt(ctx, at, name)
		seen.owner = caa.end
		return properties(caa.set), err
	})
	errors.As(err, &seen.fault)
	seen.rrset = rrset
	return seen
}

// caaAt is the answer to CAA at a name, on the climb from another one or the same. The error is a Finding.
func (c *Check) caaAt(ctx context.Context, at, from string) (answer, error) {
	caa, err := c.agreed(ctx, at, at == from)
	switch {
	case err != nil:
		return caa, err
	case caa.kind == outside && len(caa.aliases) > 0:
		return caa, Find(AliasOut, "the name is an alias of %s, which is in no zone of this block: check the CAA there", dnsname.Bare(caa.end))
	case caa.kind == outside:
		return caa, notServed
	case caa.kind == referred:
		return caa, Find(UnderCut, "the name is at or below the zone cut %s, and its CAA comes from that zone's servers: check the CAA there", dnsname.Bare(caa.cut))
	case caa.kind == noData || caa.kind == noName && caa.end == caa.zone.Name:
		return caa, Find(NoCAA, "%s exists but its CAA is denied: a CA uses the CAA of a parent domain", dnsname.Bare(caa.end))
	}
	return caa, nil
}

// properties are the content of a CAA RRset, with the octets that are on the wire (RFC 8659 4.1).
func properties(set dnssec.RRset) (rrset issuance.RRset) {
	for _, rr := range set.RRs {
		if caa, ok := rr.(*dns.CAA); ok {
			rrset = append(rrset, issuance.Property{Flags: caa.Flag, Tag: dnssec.Octets(caa.Tag), Value: caa.Value})
		}
	}
	return rrset
}

// typeName is a type for people.
func typeName(rrtype uint16) string { return strings.TrimSpace(dns.Type(rrtype).String()) }
