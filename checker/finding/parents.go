package finding

import (
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/catalog"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
)

// parentServerFails is the code of a server of a parent, a registry's say, that does not answer as it should.
const parentServerFails = "parent-server-fails"

// parentRules are about the servers of parent zones, and what they answer about the delegations.
var parentRules = []rule{
	{
		catalog: catalog.Entry{
			Code: "parent-servers-differ", Severity: catalog.Error, Section: "RFC 1034 4.3.5, RFC 4035 2.4",
			Text: "the servers of the parent zone give different delegations or DS RRsets: what a CA finds depends on the server that is asked",
			Fix:  "report it to the operator of the parent zone, such as the registry: one of its servers is stale or wrong",
		},
		about: aboutItems, find: parentServersDiffer,
	},
	{
		catalog: catalog.Entry{
			Code: parentServerFails, Severity: catalog.Warning, Section: "RFC 1034 4.2.2, RFC 2182 3.1",
			Text: "a server of the parent zone fails, so that resolvers that ask it have to ask another one",
			Fix:  "report it to the operator of the parent zone, such as the registry; nothing is wrong with your own servers",
		},
		about: aboutServers, find: parentServersFail,
		say: func(g group) string { return g.where() + g.cause + g.affected(", asked for ") },
	},
}

// views is what servers answer about one thing, with the servers of each answer.
type views struct {
	all []string
	by  map[string][]string
}

func (v *views) add(view, server string) {
	if v.by == nil {
		v.by = map[string][]string{}
	}
	if v.by[view] == nil {
		v.all = append(v.all, view)
	}
	if !slices.Contains(v.by[view], server) {
		v.by[view] = append(v.by[view], server)
	}
}

// differ reports whether there is more than one.
func (v *views) differ() bool { return len(v.all) > 1 }

// evidence is each view with its servers.
func (v *views) evidence() []string {
	var out []string
	for _, view := range v.all {
		out = append(out, view+": "+strings.Join(v.by[view], ", "))
	}
	return out
}

// few are the servers of the view that the fewest have: those that probably are wrong.
func (v *views) few() string {
	return some(slices.MinFunc(slices.Collect(func(yield func([]string) bool) {
		for _, view := range slices.Backward(v.all) {
			if !yield(v.by[view]) {
				return
			}
		}
	}), func(a, b []string) int { return len(a) - len(b) }))
}

// parentServersDiffer compares what the addresses of a parent's servers answer about a zone.
func parentServersDiffer(c *Case) []sign {
	var signs []sign
	for _, cut := range c.Cuts {
		parent := cut.Zone.Parent.Name
		for _, q := range []struct {
			rrtype uint16
			seen   []resolve.Observation
			read   []resolve.Reading
			view   func(*resolve.Zone, resolve.Observation, resolve.Reading) string
		}{{dns.TypeDS, cut.DS, cut.ds, viewOfDS}, {dns.TypeNS, cut.NS, cut.ns, viewOfNS}} {
			var found views
			for i, o := range q.seen {
				if view := q.view(cut.Zone, o, q.read[i]); view != "" {
					found.add(view, serverOf(o))
				}
			}
			if found.differ() {
				s := signf(cut.Zone.Name, "the servers of %s give different %s RRsets for it, %s against the others", dnsname.Bare(parent), typeName(q.rrtype), found.few())
				signs = append(signs, s.of(cut.Zone.Name).seen(found.evidence()...))
			}
		}
	}
	return append(signs, cutsThatDiffer(c)...)
}

// viewOfDS is what one reply says of a zone's DS RRset, "" for nothing.
func viewOfDS(_ *resolve.Zone, o resolve.Observation, r resolve.Reading) string {
	view := ""
	switch {
	case o.Truncated || r.Kind == resolve.Failed || r.Kind == resolve.Referral || r.Kind == resolve.Alias:
		return ""
	case r.Kind == resolve.Data:
		view = content(r.RRset)
	default:
		view = "no DS"
	}
	if r.Result.Status == dnssec.Bogus {
		view += ", bogus: " + r.Result.Detail
	}
	return view
}

// viewOfNS is what one reply says of the delegation, "" for nothing. A server that has the child zone, too, answers with
// the child's own NS RRset, which may differ from the parent's.
func viewOfNS(zone *resolve.Zone, o resolve.Observation, r resolve.Reading) string {
	switch {
	case o.Truncated:
		return ""
	case r.Kind == resolve.NoData, r.Kind == resolve.NoName:
		return "no delegation"
	case r.Kind != resolve.Referral || r.Target != zone.Name:
		return ""
	}
	return namesOf(r.Servers)
}

func namesOf(servers []resolve.Server) string {
	var names []string
	for _, s := range servers {
		names = append(names, dnsname.Bare(s.Name))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// cutsThatDiffer finds names that some servers of a zone delegate, and for which others answer themselves.
func cutsThatDiffer(c *Case) []sign {
	var signs []sign
	for _, survey := range c.Surveys {
		found := map[string]*views{} // by the name asked for
		var order []string
		for i, o := range survey.Seen {
			r := survey.read[i]
			if o.Type != dns.TypeCAA || o.Truncated || r.Kind == resolve.Failed {
				continue
			}
			if found[o.Name] == nil {
				found[o.Name] = new(views)
				order = append(order, o.Name)
			}
			view := "no delegation"
			if r.Kind == resolve.Referral {
				view = dnsname.Bare(r.Target) + " delegated to " + namesOf(r.Servers)
			}
			found[o.Name].add(view, serverOf(o))
		}
		for _, name := range order {
			if v := found[name]; v.differ() {
				s := signf(survey.Zone.Name, "the servers of %s differ on whether it is delegated, %s against the others", dnsname.Bare(survey.Zone.Name), v.few())
				s = s.fixed("publish the same data on every name server of %s: one is stale or wrong", dnsname.Bare(survey.Zone.Name))
				signs = append(signs, s.of(name).seen(v.evidence()...))
			}
		}
	}
	return signs
}

// parentServersFail finds addresses of a parent's servers that give no answer for DS, or none over UDP.
func parentServersFail(c *Case) []sign {
	var signs []sign
	for _, cut := range c.Cuts {
		for _, a := range byAddress(cut.Zone.Parent, slices.Concat(cut.DS, cut.NS)) {
			if slices.Contains([]resolve.Failure{resolve.NoServer, resolve.NotAsked}, a.seen[0].Failure) || c.reported(a) {
				continue
			}
			fails := func(o resolve.Observation) bool { return o.Failure != "" }
			ds := slices.DeleteFunc(slices.Clone(a.seen), func(o resolve.Observation) bool { return o.Type != dns.TypeDS })
			udp, of := a.count(resolve.UDP, fails)
			if udp < of && slices.ContainsFunc(ds, func(o resolve.Observation) bool { return !fails(o) }) {
				continue
			}
			s := signf(cut.Zone.Parent.Name, "gives no answer for delegations of %s", dnsname.Bare(cut.Zone.Parent.Name)).at(a.id).of(cut.Zone.Name)
			for _, o := range a.seen {
				if fails(o) {
					s = s.seen(fmt.Sprintf("%s %s: %s at %s", dnsname.Bare(o.Name), typeName(o.Type), o.Failure, where(o)))
				}
			}
			signs = append(signs, s)
		}
	}
	return signs
}

// reported reports whether the parent is among the zones surveyed, and the address serves it no better.
func (c *Case) reported(a address) bool {
	for _, s := range c.Surveys {
		i := slices.IndexFunc(s.by, func(other address) bool { return s.Zone == a.zone && other.id == a.id })
		if i >= 0 {
			return !s.by[i].serves()
		}
	}
	return false
}
