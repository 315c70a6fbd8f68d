package outside

import (
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/test/world"
)

// The model says what a CA finds in an estate, from what the estate was made of: zones as maps from names to records.
// It shares no code with the checker, asks nobody and verifies nothing.

// outcome is what becomes of a request by ca.example.
type outcome string

const (
	permits outcome = "permits"
	forbids outcome = "forbids"
	fails   outcome = "fails"
)

// modelStep is one name on the way up.
type modelStep struct {
	name  string
	chain []string // where its aliases lead
	fails bool
	caa   []string // rdata, sorted
	set   []*dns.CAA
	ours  bool // by a policy: what the records are beside issue is the server's affair

	// A wildcard's alias of a signed zone leads into an unsigned zone below, without CAA: unbound may take the proof of the
	// wildcard for a denial there, and the answer for bogus.
	misreadable bool
	variously   bool // by the server that it comes upon
	misread     bool // it does
}

// expectation is what a CA finds for one request.
type expectation struct {
	outcome outcome
	steps   []modelStep
	touched []*domain // zones on the way, those above them included
	loops   bool
	long    bool // a chain that some resolvers follow to the end and others do not
	secure  bool // every answer has a chain of trust
	optsOut bool // some denial may be of an opt-out zone, and then insecure to some
}

// model is one of the ways that an estate can be seen.
type model struct {
	zones map[string]*domain
	other bool // of two views of a faulty zone the second: the old version, the alias beside CAA, the parent's own copy
}

// maxLinks is more aliases in a row than any resolver follows, and longChain more than some do.
const (
	maxLinks  = 30
	longChain = 7
)

// expect climbs (RFC 8659 3).
func (m model) expect(a asked) expectation {
	e := expectation{secure: true}
	for name := a.name; name != "."; name = dnsname.Parent(name) {
		step := modelStep{name: name}
		m.resolve(name, &step, &e)
		e.steps = append(e.steps, step)
		if step.fails {
			e.outcome = fails
			return e
		}
		if len(step.set) > 0 {
			break
		}
	}
	e.outcome = decideBy(e.steps[len(e.steps)-1].set, a.wildcard)
	return e
}

// decideBy is RFC 8659 4.2 and 4.3, for ca.example.
func decideBy(set []*dns.CAA, wildcard bool) outcome {
	of := func(tag string) (out []string) {
		for _, caa := range set {
			if caa.Tag == tag {
				out = append(out, caa.Value)
			}
		}
		return out
	}
	deciding := of("issue")
	if wild := of("issuewild"); wildcard && len(wild) > 0 {
		deciding = wild
	}
	if len(deciding) == 0 || slices.Contains(deciding, "ca.example") {
		return permits
	}
	return forbids
}

// resolve follows aliases from a name to its CAA (RFC 1034 4.3.2, RFC 6672, RFC 4592).
func (m model) resolve(name string, step *modelStep, e *expectation) {
	visited := map[string]bool{}
	var wild []*domain // secure zones of wildcards' aliases
	for links := 0; ; links++ {
		if visited[name] || links > maxLinks || len(name) > 200 {
			step.fails, e.loops = true, true
			return
		}
		e.long = e.long || links > longChain
		visited[name] = true
		d := m.holder(name)
		for _, above := range d.way() {
			if !slices.Contains(e.touched, above) {
				e.touched = append(e.touched, above)
			}
		}
		if m.unreachable(d) {
			step.fails = true
			return
		}
		e.secure = e.secure && d.secure()
		set, target, positive := m.at(d, name)
		e.optsOut = e.optsOut || d.denial.optOut && !positive
		switch {
		case target != "":
			if !positive && d.secure() {
				wild = append(wild, d)
			}
			step.chain = append(step.chain, target)
			name = target
		default:
			step.set, step.ours = set, d.ours() && len(set) > 0
			for _, caa := range set {
				step.caa = append(step.caa, strings.TrimPrefix(caa.String(), caa.Hdr.String()))
			}
			slices.Sort(step.caa)
			if len(set) == 0 && !d.signed {
				step.misreadable = slices.ContainsFunc(wild, d.below)
				step.variously = step.misreadable && slices.ContainsFunc(wild, (*domain).variously)
			}
			return
		}
	}
}

// below reports whether the zone is one below another.
func (d *domain) below(other *domain) bool { return d != other && slices.Contains(d.way(), other) }

// variously reports whether the zone's servers are of several makes.
func (d *domain) variously() bool {
	return slices.ContainsFunc(d.hosts, func(h *nameserver) bool { return h.software != d.hosts[0].software })
}

// holder is the zone that a name belongs to.
func (m model) holder(name string) *domain {
	for ; ; name = dnsname.Parent(name) {
		if d := m.zones[name]; d != nil {
			return d
		}
	}
}

func (m model) unreachable(d *domain) bool {
	return slices.ContainsFunc(d.way(), func(d *domain) bool { return d.fault.fails && !(d.fault.views && m.other) })
}

// at is what a zone has at one of its names: CAA, or where an alias leads. positive says that the answer denies nothing.
func (m model) at(d *domain, name string) (set []*dns.CAA, target string, positive bool) {
	z := d.zone
	if m.other && d.stale != nil {
		z = d.stale
	}
	if d.policyOnly {
		return d.byPolicy(name), "", true
	}
	for above := name; above != d.name; {
		above = dnsname.Parent(above)
		if rrs := z.rrs[above][dns.TypeDNAME]; rrs != nil {
			return nil, strings.TrimSuffix(name, above) + strings.ToLower(rrs[0].(*dns.DNAME).Target), true
		}
	}
	owner, wild := name, false
	if d.ours() && name == "www."+d.name && z.rrs[name][dns.TypeCNAME] == nil {
		return d.byPolicy(name), "", true // a name with a policy of its own exists
	}
	if !has(z, name) {
		if owner, wild = wildcardFor(z, name), true; owner == "" {
			return nil, "", false
		}
	}
	sets := z.rrs[owner]
	cname := sets[dns.TypeCNAME]
	if cname != nil && (sets[dns.TypeCAA] == nil || m.other && d.style.flattens) {
		return nil, strings.ToLower(cname[0].(*dns.CNAME).Target), !wild
	}
	if d.ours() {
		return d.byPolicy(name), "", !wild
	}
	for _, rr := range sets[dns.TypeCAA] {
		set = append(set, rr.(*dns.CAA))
	}
	return set, "", len(set) > 0 && !wild
}

// has reports whether a name exists, with records or as an empty non-terminal.
func has(z *zone, name string) bool {
	if len(z.rrs[name]) > 0 {
		return true
	}
	for other := range z.rrs {
		if strings.HasSuffix(other, "."+name) {
			return true
		}
	}
	return false
}

// wildcardFor is the wildcard that a name which does not exist is made from; "" for none.
func wildcardFor(z *zone, name string) string {
	for encloser := dnsname.Parent(name); ; encloser = dnsname.Parent(encloser) {
		if encloser != z.name && !has(z, encloser) {
			continue
		}
		if wildcard := dnsname.Wildcard(encloser); len(z.rrs[wildcard]) > 0 {
			return wildcard
		}
		return ""
	}
}

// byPolicy is the RRset of the closest node.
func (d *domain) byPolicy(name string) []*dns.CAA {
	value := d.policy[""]
	if www := "www." + d.name; name == www || strings.HasSuffix(name, "."+www) {
		value = d.policy["www"]
	}
	issuer := map[string]string{"[ca]": "ca.example", "[other]": "other.example", "none": ";"}[value]
	return []*dns.CAA{{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeCAA, Class: dns.ClassINET}, Tag: "issue", Value: issuer}}
}

// contentOf is what an answer has for CAA, as the model writes it.
func contentOf(m *dns.Msg) []string {
	out := world.Texts(m.Answer, dns.TypeCAA)
	slices.Sort(out)
	return out
}
