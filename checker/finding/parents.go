package finding

import (
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/dnssec"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// parentRules are about the servers of the zones above, and what they say of the zones below them.
var parentRules = []rule{
	{"parent-servers-differ", Error, "RFC 1034 4.3.5, RFC 4035 2.4", "tell the parent zone's operator, the registry say, that one of its servers is stale or wrong", parentServersDiffer},
	{"parent-server-fails", Warning, "RFC 1034 4.2.2, RFC 2182 3.1", "tell the parent zone's operator; until then every resolver that comes upon that server has to ask another", parentServerFails},
}

// parentServersDiffer compares what the addresses of a parent's servers say of a zone.
func parentServersDiffer(c *Case) []hit {
	var hits []hit
	for _, cut := range c.Cuts {
		for _, q := range []struct {
			rrtype uint16
			seen   []resolve.Observation
			read   []resolve.Reading
			view   func(*resolve.Zone, resolve.Observation, resolve.Reading) string
		}{{dns.TypeDS, cut.DS, cut.ds, viewOfDS}, {dns.TypeNS, cut.NS, cut.ns, viewOfNS}} {
			var views merged
			for i, o := range q.seen {
				if view := q.view(cut.Zone, o, q.read[i]); view != "" {
					views.add(cut.Zone.Name, view, where(o))
				}
			}
			if len(views.hits) < 2 {
				continue
			}
			h := hitf(cut.Zone.Name, "the servers of %s do not agree on %s records of %s: what a CA finds depends on which one it asks", terminal.Bare(cut.Zone.Parent.Name), typeName(q.rrtype), terminal.Bare(cut.Zone.Name))
			for _, v := range views.hits {
				h = h.seen(v.text + ": " + strings.Join(v.evidence, ", "))
			}
			hits = append(hits, h)
		}
	}
	return append(hits, cutsThatDiffer(c)...)
}

// viewOfDS is what one server says of DS records, "" for nothing.
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

// viewOfNS is what one server says of the delegation, "" for nothing. A server that has the zone below, too,
// answers with the zone's own word, which need not be the parent's.
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
		names = append(names, terminal.Bare(s.Name))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// cutsThatDiffer are delegations that some servers of a zone give at a name for which others answer themselves.
func cutsThatDiffer(c *Case) []hit {
	var hits []hit
	for _, survey := range c.Surveys {
		views := map[string]*merged{} // by the name asked for
		var order []string
		for i, o := range survey.Seen {
			r := survey.read[i]
			if o.Type != dns.TypeCAA || o.Truncated || r.Kind == resolve.Failed {
				continue
			}
			if views[o.Name] == nil {
				views[o.Name] = new(merged)
				order = append(order, o.Name)
			}
			view := "no delegation"
			if r.Kind == resolve.Referral {
				view = terminal.Bare(r.Target) + " delegated to " + namesOf(r.Servers)
			}
			views[o.Name].add(o.Name, view, where(o))
		}
		for _, name := range order {
			if len(views[name].hits) < 2 {
				continue
			}
			h := hitf(name, "the servers of %s do not agree on whether %s is delegated: what a CA finds depends on which one it asks", terminal.Bare(survey.Zone.Name), terminal.Bare(name))
			for _, v := range views[name].hits {
				h = h.seen(v.text + ": " + strings.Join(v.evidence, ", "))
			}
			hits = append(hits, h)
		}
	}
	return hits
}

// parentServerFails is an address of a parent's servers that gives nothing for DS, or nothing over UDP.
func parentServerFails(c *Case) []hit {
	var hits []hit
	for _, cut := range c.Cuts {
		for _, a := range byAddress(cut.Zone.Parent, slices.Concat(cut.DS, cut.NS)) {
			if slices.Contains([]resolve.Failure{resolve.NoServer, resolve.NotAsked}, a.seen[0].Failure) || c.toldOf(a) {
				continue
			}
			fails := func(o resolve.Observation) bool { return o.Failure != "" }
			ds := slices.DeleteFunc(slices.Clone(a.seen), func(o resolve.Observation) bool { return o.Type != dns.TypeDS })
			udp, of := a.count(resolve.UDP, fails)
			if udp < of && slices.ContainsFunc(ds, func(o resolve.Observation) bool { return !fails(o) }) {
				continue
			}
			h := hitf(a.id, "it is a server of %s, and gives no answer for %s", terminal.Bare(cut.Zone.Parent.Name), terminal.Bare(cut.Zone.Name))
			for _, o := range a.seen {
				if fails(o) {
					h = h.seen(fmt.Sprintf("%s %s: %s at %s", terminal.Bare(o.Name), typeName(o.Type), o.Failure, where(o)))
				}
			}
			hits = append(hits, h)
		}
	}
	return hits
}

// toldOf reports whether the parent is among the zones surveyed, and the address answers for it no better.
func (c *Case) toldOf(a address) bool {
	for _, s := range c.Surveys {
		i := slices.IndexFunc(s.by, func(other address) bool { return s.Zone == a.zone && other.id == a.id })
		if i >= 0 {
			return !s.by[i].speaksFor()
		}
	}
	return false
}
