package finding

import (
	"iter"
	"slices"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

// Case is all observations of one name.
type Case struct {
	Climb    climb.Climb
	Surveys  []Survey // of the zones that hold the climb's names and their aliases' targets, the nearest first
	Cuts     []Cut    // of every zone that the climb rests on, except the root and its children
	Others   []Other  // what a CA's resolver finds that asks a server with another delegation
	Aliases  []Alias
	Targets  map[string]resolve.Answer // CAA at the targets of the aliases that servers answer CAA with
	Mail     []Mailbox
	Now      time.Time
	At       time.Time // the day whose rules hold
	Asked    []string  // Issuer Domain Names that were asked for: they are intended
	Unlisted []string  // those that a policy marks as unlisted: the directory does not have them
	// OneServer is set where one server is asked for everything, rather than those that delegations name.
	OneServer bool
	// Private is set where the root's addresses are not on the Internet: in a test network.
	Private bool
}

// Survey is the replies of every address of a zone's name servers.
type Survey struct {
	Zone    *resolve.Zone
	Seen    []resolve.Observation
	read    []resolve.Reading // of Seen; validation takes time, and every rule needs it
	by      []address         // Seen by server and address
	NS      resolve.Answer    // the zone's own NS RRset
	LeftOut resolve.LeftOut   // of its name servers
	// OtherTypes is the replies over UDP to queries for other types than CAA, at the names and next to them.
	OtherTypes []resolve.Observation
	otherTypes []resolve.Reading
	// Sizes is the replies over UDP to queries that offered other EDNS sizes.
	Sizes []resolve.Observation
}

// Cut is the replies of every address of the parent's name servers about a zone. Those of the root are not asked so
// much.
type Cut struct {
	Zone *resolve.Zone
	DS   []resolve.Observation
	NS   []resolve.Observation // over UDP
	ds   []resolve.Reading
	ns   []resolve.Reading
}

// Other is the climb of a resolver that asks one server of a zone, whose delegations differ from the others', or which
// answers itself for what they delegate.
type Other struct {
	Server string // and its zone, for people
	Climb  climb.Climb
}

// Alias is the climb of a resolver that follows an alias which a server has for one type, and not for CAA: it follows
// aliases in its cache, whatever type it is asked for (RFC 1034 3.6.2, 5.3.3).
type Alias struct {
	Name   string
	Zone   string
	Server string
	Type   uint16 // for which it is an alias
	Target string
	Climb  climb.Climb
}

// Mailbox is a mail address of an iodef or contactemail property, and whether mail can reach it.
type Mailbox struct {
	Tag     string // of the property, in lower case
	Address string
	Owner   string // of the RRset
	MX      resolve.Answer
	Host    resolve.Answer // A or AAAA, where there is no MX (RFC 5321 5.1)
}

// Probe is a type that no name has (RFC 6895 3.1, private use): the negative answer for it shows which types a name
// has.
const Probe uint16 = 65280

// Relevant returns the Relevant RRset and the step that found it; nil where no step did.
func (c *Case) Relevant() (issuance.RRset, climb.Step) {
	last := c.Climb.Last()
	if last.Failed() {
		return nil, last
	}
	return last.RRset, last
}

// reply is one server's answer to one question, read.
type reply struct {
	resolve.Observation
	resolve.Reading
	zone *resolve.Zone
}

// where is the server, its address and the transport, for people.
func (r reply) where() string { return where(r.Observation) }

// server is the server and its address, for people.
func (r reply) server() string { return serverOf(r.Observation) }

// rrset is what the reply has, for people.
func (r reply) rrset() string {
	if r.Kind == resolve.NoData || r.Kind == resolve.NoName {
		return "negative answer for " + dnsname.Bare(r.Name)
	}
	return dnsname.Bare(r.Name) + " " + typeName(r.Type)
}

// what is what was asked, and where.
func (r reply) what() string {
	return dnsname.Bare(r.Name) + " " + typeName(r.Type) + " at " + r.where()
}

// answers yields every server's answer to the questions for a type.
func (c *Case) answers(rrtype uint16) iter.Seq[reply] {
	return func(yield func(reply) bool) {
		for s := range c.all() {
			if s.Type == rrtype && !yield(s) {
				return
			}
		}
	}
}

// all yields every server's every answer.
func (c *Case) all() iter.Seq[reply] {
	return func(yield func(reply) bool) {
		for _, s := range c.Surveys {
			for i, o := range s.Seen {
				if !yield(reply{o, s.read[i], s.Zone}) {
					return
				}
			}
		}
	}
}

// replies yields every reply to a query for the zone's data, also those for other types than CAA.
func (s Survey) replies() iter.Seq[reply] {
	return func(yield func(reply) bool) {
		seen, read := slices.Concat(s.OtherTypes, s.Seen), slices.Concat(s.otherTypes, s.read)
		for i, o := range seen {
			if !yield(reply{o, read[i], s.Zone}) {
				return
			}
		}
	}
}

// PerServer yields the reply of each server to each query for CAA: what a resolver would have found if it had asked that
// one. A reply that fails or refers, so that a resolver asks another server, is left out.
func (c *Case) PerServer() iter.Seq2[resolve.Observation, resolve.Alternative] {
	return func(yield func(resolve.Observation, resolve.Alternative) bool) {
		for s := range c.answers(dns.TypeCAA) {
			if s.Truncated || s.Kind == resolve.Failed || s.Kind == resolve.Referral {
				continue
			}
			if !yield(s.Observation, resolve.Alternative{Name: s.Name, Zone: s.zone, Reading: s.Reading}) {
				return
			}
		}
	}
}
