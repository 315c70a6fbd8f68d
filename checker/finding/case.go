package finding

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/dnssec"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// Case is all that was seen of one name.
type Case struct {
	Climb    climb.Climb
	Surveys  []Survey // of the zones that hold the climb's names and their aliases' targets, the nearest first
	Cuts     []Cut    // of every zone that the climb rests on, but those below the root
	Others   []Other  // what a CA's resolver finds that comes upon a server by which the zones are others
	Aliases  []Alias
	Targets  map[string]resolve.Answer // CAA at the targets of the aliases that servers answer CAA with
	Mail     []Mailbox
	Now      time.Time
	At       time.Time // the day whose rules hold
	Asked    []string  // Issuer Domain Names that somebody asks for: they are meant
	Unlisted []string  // those that a policy calls unlisted: the directory does not know them
	// Private says that the servers' addresses are not the Internet's: a test network's.
	Private bool
}

// Survey is what every address of a zone's name servers said.
type Survey struct {
	Zone    *resolve.Zone
	Seen    []resolve.Observation
	read    []resolve.Reading // of Seen; validating is what takes time, and every rule reads
	by      []address         // Seen by server and address
	NS      resolve.Answer    // the zone's own name servers, by its own word
	LeftOut resolve.LeftOut   // of its name servers
	// Beside is what its servers said over UDP to questions for other types than CAA, at the names and beside them.
	Beside []resolve.Observation
	beside []resolve.Reading
	// Sizes is what its servers said over UDP to questions that offered other EDNS sizes.
	Sizes []resolve.Observation
}

// Cut is what every address of the parent's name servers said of a zone. Those of the root are not asked so
// much.
type Cut struct {
	Zone *resolve.Zone
	DS   []resolve.Observation
	NS   []resolve.Observation // over UDP
	ds   []resolve.Reading
	ns   []resolve.Reading
}

// Other is the climb of a resolver that has come upon one server of a zone, which delegates otherwise than the others do, or
// answers itself for what they delegate.
type Other struct {
	Server string // and its zone, for people
	Climb  climb.Climb
}

// Alias is the climb of a resolver that follows an alias which a server has for one type, and not for CAA: it follows those
// that it remembers, whatever it is asked for (RFC 1034 3.6.2, 5.3.3).
type Alias struct {
	Name   string
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

// Probe is a type that no name has (RFC 6895 3.1, private use): its denial shows which types a name
// does have, by its server's word.
const Probe uint16 = 65280

// Relevant is the Relevant RRset with the step that found it; nil where none did.
func (c *Case) Relevant() (issuance.RRset, climb.Step) {
	last := c.Climb.Last()
	if last.Failed() {
		return nil, last
	}
	return last.RRset, last
}

// said is one server's answer to one question, read.
type said struct {
	resolve.Observation
	resolve.Reading
	zone *resolve.Zone
}

// where is the server and its address, for people.
func (s said) where() string { return where(s.Observation) }

func where(o resolve.Observation) string {
	if o.Server == "" {
		return o.Addr.String() + " over " + strings.ToUpper(string(o.Transport))
	}
	if !o.Addr.IsValid() {
		return terminal.Bare(o.Server)
	}
	return fmt.Sprintf("%s (%s) over %s", terminal.Bare(o.Server), o.Addr.Addr(), strings.ToUpper(string(o.Transport)))
}

// answers yields every server's answer to the questions for a type.
func (c *Case) answers(rrtype uint16) iter.Seq[said] {
	return func(yield func(said) bool) {
		for s := range c.all() {
			if s.Type == rrtype && !yield(s) {
				return
			}
		}
	}
}

// all yields every server's every answer.
func (c *Case) all() iter.Seq[said] {
	return func(yield func(said) bool) {
		for _, s := range c.Surveys {
			for i, o := range s.Seen {
				if !yield(said{o, s.read[i], s.Zone}) {
					return
				}
			}
		}
	}
}

// PerServer yields what each server answers for CAA, for who wants to know what a resolver would have found
// had it come upon that one. An answer that says nothing, or sends the resolver elsewhere, makes it ask another,
// and is left out.
func (c *Case) PerServer() iter.Seq2[resolve.Observation, resolve.Turn] {
	return func(yield func(resolve.Observation, resolve.Turn) bool) {
		for s := range c.answers(dns.TypeCAA) {
			if s.Truncated || s.Kind == resolve.Failed || s.Kind == resolve.Referral {
				continue
			}
			if !yield(s.Observation, resolve.Turn{Name: s.Name, Zone: s.zone, Reading: s.Reading}) {
				return
			}
		}
	}
}

// address is one address of one server, and what it said.
type address struct {
	zone *resolve.Zone
	id   string // for people
	seen []resolve.Observation
}

// byAddress groups the observations of a zone's servers. An address that was asked while this machine's network was
// lost is left out: nothing is known of it.
func byAddress(zone *resolve.Zone, seen []resolve.Observation) []address {
	var out []address
	for _, o := range seen {
		id := terminal.Bare(o.Server)
		if o.Addr.IsValid() {
			id = addressID(o.Server, o.Addr.Addr())
		}
		i := slices.IndexFunc(out, func(a address) bool { return a.id == id })
		if i < 0 {
			i = len(out)
			out = append(out, address{zone: zone, id: id})
		}
		out[i].seen = append(out[i].seen, o)
	}
	return slices.DeleteFunc(out, func(a address) bool { return slices.ContainsFunc(a.seen, offline) })
}

// addressID is a server and one address of it, for people.
func addressID(server string, addr netip.Addr) string {
	return strings.TrimSpace(terminal.Bare(server) + " (" + addr.String() + ")")
}

// count is how many of an address's answers over a transport meet a condition, and of how many.
func (a address) count(transport resolve.Transport, is func(resolve.Observation) bool) (n, of int) {
	for _, o := range a.seen {
		if o.Transport != transport {
			continue
		}
		of++
		if is(o) {
			n++
		}
	}
	return n, of
}

func silent(o resolve.Observation) bool { return o.Failure == resolve.Unreachable }

// ignored reports whether a question was put and not answered: an address that is left alone is asked nothing.
func ignored(o resolve.Observation) bool { return silent(o) && o.Tries > 0 }

func offline(o resolve.Observation) bool { return o.Failure == resolve.Offline }

// words are what an address says of its own accord of why it fails (RFC 8914), each once.
func (a address) words() []string {
	var told, out []string
	for _, o := range a.seen {
		words := string(o.Failure) + ", " + o.Words()
		if o.Failure == "" || len(o.Errors) == 0 || slices.Contains(told, words) {
			continue
		}
		told = append(told, words)
		out = append(out, typeName(o.Type)+" at "+where(o)+": "+words)
	}
	return out
}

// perAddress makes a rule of a condition on each address. Its evidence is what the address itself says.
func perAddress(is func(address) (text string, found bool)) func(*Case) []hit {
	return func(c *Case) []hit {
		var hits []hit
		for _, s := range c.Surveys {
			for _, a := range s.by {
				if text, found := is(a); found {
					hits = append(hits, hitf(a.id, "%s", text).seen(a.words()...))
				}
			}
		}
		return hits
	}
}

// perZone makes a rule of a condition on each zone.
func perZone(is func(Survey) (hit, bool)) func(*Case) []hit {
	return func(c *Case) []hit {
		var hits []hit
		for _, s := range c.Surveys {
			if h, found := is(s); found {
				hits = append(hits, h)
			}
		}
		return hits
	}
}

// merged makes one hit of all answers with one text: the servers that gave it are its evidence.
type merged struct {
	hits  []hit
	index map[string]int
}

func (m *merged) add(subject, text, evidence string) {
	key := subject + "\x00" + text
	i, known := m.index[key]
	if !known {
		if m.index == nil {
			m.index = map[string]int{}
		}
		i = len(m.hits)
		m.index[key] = i
		m.hits = append(m.hits, hit{subject: subject, text: text})
	}
	if !slices.Contains(m.hits[i].evidence, evidence) {
		m.hits[i].evidence = append(m.hits[i].evidence, evidence)
	}
}

// content is an RRset's, sorted, to be compared.
func content(set dnssec.RRset) string {
	var out []string
	for _, rr := range set.RRs {
		if caa, ok := rr.(*dns.CAA); ok {
			out = append(out, fmt.Sprintf("%d %s %q", caa.Flag, strings.ToLower(caa.Tag), caa.Value))
			continue
		}
		out = append(out, dnssec.Text(rr))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}
