// Package guard refuses a policy that would lock out an issuer which must be able to issue.
//
// A Snapshot and the required issuances go in, refusals and warnings come out: each with its place,
// its cause and what to write instead. A requirement is proved as a CA would decide it: the Relevant
// RRset of the name, held against the request in every dialect of package issuance. The strictest
// reading counts (RFC 8659, RFC 8657). Nothing is looked up; today's date is a parameter.
package guard

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/steps"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// Origin says who requires an issuance.
type Origin string

// The origins of requirements.
const (
	Certificates Origin = "certificates" // the policy's own
	Operator     Origin = "operator"     // an issuer line of the Corefile
	Previous     Origin = "previous"     // the policy that is being replaced
	Published    Origin = "published"    // nobody: the name's CAA names the issuer, which need not exist
)

// Requirement is one issuance that must stay possible.
type Requirement struct {
	Name      string                   `json:"name"` // canonical, without the `*.`
	Wildcard  bool                     `json:"wildcard,omitempty"`
	Domain    string                   `json:"domain"` // the Issuer Domain Name that the CA answers to
	IssuerKey string                   `json:"issuer,omitempty"`
	Type      issuance.CertificateType `json:"type"`
	Account   string                   `json:"account,omitempty"` // "": whatever the RRset names
	Method    string                   `json:"method,omitempty"`  // "": whatever the RRset names
	Pos       policy.Position          `json:"position"`
	Origin    Origin                   `json:"origin"`
}

// Unlisted is the name of a requirement for every zone that the policy does not list and that its default
// protects once the server comes to serve it.
const Unlisted = "."

// String is the name as it stands in a certificate.
func (r Requirement) String() string {
	if r.Name == Unlisted {
		return "zones that are not listed"
	}
	name := strings.TrimSuffix(r.Name, ".")
	if r.Wildcard {
		return "*." + name
	}
	return name
}

// Refusal is one reason why a policy must not be served.
type Refusal struct {
	Pos    policy.Position `json:"position"` // of what has to change
	Code   string          `json:"code"`     // stable
	Names  []string        `json:"names,omitempty"`
	Cause  string          `json:"cause"`
	Remedy string          `json:"remedy"`
	Edit   *Edit           `json:"edit,omitempty"` // what Remedy proposes first, for tools; nil where it takes a person
}

// shownNames is how many locked-out names a refusal prints.
const shownNames = 3

// String is the refusal for people: where, who is locked out, why, and what to write.
func (r Refusal) String() string {
	who := ""
	if n := len(r.Names); n > shownNames {
		who = fmt.Sprintf("%s and %d more: ", strings.Join(r.Names[:shownNames], ", "), n-shownNames)
	} else if n > 0 {
		who = strings.Join(r.Names, ", ") + ": "
	}
	return fmt.Sprintf("%v: %s%s\n    %s", r.Pos, terminal.Clean(who), terminal.Clean(r.Cause), terminal.Clean(r.Remedy))
}

// Warning is something that is accepted, but that the operator should know.
type Warning struct {
	Pos  policy.Position `json:"position"`
	Code string          `json:"code"`
	Text string          `json:"text"`
}

// String implements fmt.Stringer.
func (w Warning) String() string { return fmt.Sprintf("%v: %s", w.Pos, terminal.Clean(w.Text)) }

// Report is what the guard says of a policy.
type Report struct {
	Refusals []Refusal `json:"refusals"`
	Warnings []Warning `json:"warnings"`
}

// Error is a Report with refusals, as an error.
type Error struct{ Report Report }

// Error implements error.
func (e *Error) Error() string { return strings.Join(e.Lines(), "\n") }

// Lines are those of the error's text.
func (e *Error) Lines() []string {
	var lines []string
	for _, r := range e.Report.Refusals {
		lines = append(lines, strings.Split(r.String(), "\n")...)
	}
	return lines
}

// Err is nil when nothing is refused.
func (r Report) Err() error {
	if len(r.Refusals) == 0 {
		return nil
	}
	return &Error{r}
}

// Options are what the guard takes into account beside the policy.
type Options struct {
	Zones    []string         // the zones that the server serves, for those that `default` makes; Unlisted for any
	Operator []Requirement    // the issuer lines of the Corefile
	Previous *policy.Snapshot // the policy being replaced: what it required must stay possible
	At       time.Time        // today
}

// check is one run of the guard.
type check struct {
	policy   *policy.Snapshot
	options  Options
	defaults map[string]*policy.Zone // the served zones that `default` makes
	keys     map[string]string       // the policy's own name of an Issuer Domain Name
	faults   map[property][]*refused // of properties that deny by themselves
	denied   []*denials
	causes   map[cause]*denials   // the same, by what is said of them
	lacking  map[property]*lack   // by place and tag, the issuers that a denied requirement asks for there
	refusals map[string]*refused  // by place and cause, so that a cause is reported once
	warned   map[Warning]bool     // without their texts
	read     map[writing]bool     // properties, once for all names that inherit them
	proved   map[proof]bool       // issuances that are permitted, once for all names that have the RRset
	grants   map[asked]*granted   // what the RRsets of denials grant
	bounds   map[boundOf][]string // what they bind issuers to
	omitted  struct{ refusals, warnings int }
	work     *steps.Counter
	report   Report
}

// cause is a denial without the name that it is about: names that are denied for one cause are reported together.
type cause struct {
	requirement Requirement // without the name, and without its place where the refusal has another
	rrset       *issuance.Property
	src         *policy.Source
	tag         string
	decision    issuance.Decision
	atOwner     bool
	apex        string // of zones, whose place a refusal may have
}

// denials are those of one cause: the first, and the names of all.
type denials struct {
	denial
	names []string
}

// lack is the issuers that a grant lacks, each once.
type lack struct {
	keys []string
	has  map[string]bool
}

// writing is a property as it was written, which nodes inherit.
type writing struct {
	src *policy.Source
	issuance.Property
}

// proof is an issuance at any name that has an RRset. Equal RRsets of a policy are one.
type proof struct {
	rrset       *issuance.Property
	requirement Requirement // without name, places and origin
}

// most is how many refusals are kept, and how many warnings.
const most = policy.MaxErrors

// refused is a Refusal in the making.
type refused struct {
	Refusal
	named map[string]bool
}

// property is one that was written, whichever nodes inherit it.
type property struct {
	pos policy.Position
	tag string
}

// Check proves every required issuance and reads every property as real CAs do.
func Check(p *policy.Snapshot, o Options) Report {
	report, _ := CheckContext(context.Background(), p, o)
	return report
}

// CheckContext is Check until the context ends, whose error is then the error.
func CheckContext(ctx context.Context, p *policy.Snapshot, o Options) (Report, error) {
	c := &check{policy: p, options: o, work: steps.Of(ctx), defaults: map[string]*policy.Zone{}, keys: map[string]string{},
		faults: map[property][]*refused{}, causes: map[cause]*denials{}, lacking: map[property]*lack{}, refusals: map[string]*refused{}, warned: map[Warning]bool{},
		read: map[writing]bool{}, proved: map[proof]bool{}, grants: map[asked]*granted{}, bounds: map[boundOf][]string{},
		report: Report{Refusals: []Refusal{}, Warnings: []Warning{}}}
	for _, name := range o.Zones {
		if z := p.ZoneOrDefault(name); z != nil && z.FromDefault {
			c.defaults[name] = z
		}
	}
	for _, issuer := range slices.Backward(p.Issuers) {
		c.keys[exact(issuer.Domain)] = issuer.Key
	}
	for _, note := range p.Notes {
		c.warn(note.Pos, note.Code, "%s", note.Message)
	}
	c.issuers()
	c.properties()
	c.wildcards()
	own := Requirements(p)
	for _, r := range slices.Concat(own, o.Operator, inherited(own, o.Previous)) {
		r.Domain = exact(r.Domain)
		if !c.work.Take(1) {
			return Report{}, c.work.Err()
		}
		c.require(r)
	}
	for _, d := range c.denied {
		if !c.work.Take(1) {
			break
		}
		refusal := c.explain(d.denial)
		refusal.Names = d.names
		c.refuse(refusal)
	}
	for _, r := range c.refusals {
		c.report.Refusals = append(c.report.Refusals, r.Refusal)
	}
	slices.SortFunc(c.report.Refusals, func(a, b Refusal) int {
		return cmp.Or(cmp.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column), cmp.Compare(a.Cause, b.Cause))
	})
	c.tellOmitted()
	return c.report, c.work.Err()
}

// tellOmitted says how much was found that is not kept.
func (c *check) tellOmitted() {
	if n := len(c.report.Refusals); c.omitted.refusals > 0 {
		c.report.Refusals = append(c.report.Refusals, Refusal{Pos: c.report.Refusals[n-1].Pos, Code: "more-refusals",
			Cause: fmt.Sprintf("and more refusals than the %d that are kept", most), Remedy: "fix those first, then look again"})
	}
	if n := len(c.report.Warnings); c.omitted.warnings > 0 {
		c.report.Warnings = append(c.report.Warnings, Warning{c.report.Warnings[n-1].Pos, "more-warnings", fmt.Sprintf("and more warnings than the %d that are kept", most)})
	}
}

// exact is the Issuer Domain Name in the octets that CAs compare, and that the policy emits.
func exact(domain string) string { return strings.ToLower(strings.TrimSuffix(domain, ".")) }

// Requirements are the policy's certificates, one for each account and method that the issuer
// declares and the certificate leaves open.
func Requirements(p *policy.Snapshot) []Requirement {
	out := make([]Requirement, 0, len(p.Certificates))
	for _, cert := range p.Certificates {
		r := Requirement{Name: cert.Name, Wildcard: cert.Wildcard, Domain: exact(cert.Issuer.Domain), IssuerKey: cert.Issuer.Key,
			Type: cert.Type, Account: cert.Account, Method: cert.Method, Pos: cert.Pos, Origin: Certificates}
		accounts, methods := []string{cert.Account}, []string{cert.Method}
		if cert.Type == issuance.TLS {
			accounts, methods = open(cert.Account, cert.Issuer.Accounts), open(cert.Method, cert.Issuer.Methods)
		}
		for _, r.Account = range accounts {
			for _, r.Method = range methods {
				out = append(out, r)
			}
		}
	}
	return out
}

// open is what a certificate names or, where it leaves it open, all that its issuer declares: any of
// them may be the one that is used.
func open(named string, declared []string) []string {
	if named != "" || len(declared) == 0 {
		return []string{named}
	}
	return declared
}

// inherited is what the policy being replaced required and the new one does not by itself.
func inherited(own []Requirement, previous *policy.Snapshot) []Requirement {
	if previous == nil {
		return nil
	}
	told := make(map[Requirement]bool, len(own))
	for _, r := range own {
		told[r.issuance()] = true
	}
	var out []Requirement
	for _, r := range Requirements(previous) {
		if !told[r.issuance()] {
			r.Origin = Previous
			out = append(out, r)
		}
	}
	return out
}

// issuance is the requirement without where it was written and who wrote it.
func (r Requirement) issuance() Requirement {
	r.Pos, r.Origin, r.IssuerKey = policy.Position{}, "", ""
	return r
}

// refuse tells a refusal, or adds its names to the one with the same place and cause.
func (c *check) refuse(r Refusal) *refused {
	key := r.Pos.String() + r.Code + r.Cause
	known := c.refusals[key]
	if known == nil && c.full() {
		return &refused{Refusal: r, named: map[string]bool{}}
	}
	if known == nil {
		known = &refused{Refusal: r, named: map[string]bool{}}
		known.Names = nil
		c.refusals[key] = known
	}
	known.name(r.Names...)
	return known
}

// full reports whether no more refusals are kept, and counts the one that is not. What it would say need not
// be made then.
func (c *check) full() bool {
	if len(c.refusals) < most {
		return false
	}
	c.omitted.refusals++
	return true
}

func (r *refused) name(names ...string) {
	for _, name := range names {
		if !r.named[name] {
			r.named[name] = true
			r.Names = append(r.Names, name)
		}
	}
}

// warn tells a warning once for each place and code: nodes inherit it a hundred thousand times.
func (c *check) warn(pos policy.Position, code, format string, args ...any) {
	if w := (Warning{Pos: pos, Code: code}); !c.warned[w] {
		if len(c.warned) >= most {
			c.omitted.warnings++
			return
		}
		c.warned[w] = true
		w.Text = fmt.Sprintf(format, args...)
		c.report.Warnings = append(c.report.Warnings, w)
	}
}

// zone is the zone that answers for a name, the closest one at or above it; nil when none does.
func (c *check) zone(name string) *policy.Zone {
	for off, end := 0, false; !end; off, end = dns.NextLabel(name, off) {
		if z := c.policy.Zone(name[off:]); z != nil {
			return z
		}
		if z := c.defaults[name[off:]]; z != nil {
			return z
		}
	}
	if z := c.policy.Zone("."); z != nil {
		return z
	}
	return c.defaults["."]
}

// require proves one issuance.
func (c *check) require(r Requirement) {
	z := c.zone(r.Name)
	if z == nil {
		c.refuse(c.uncovered(r))
		return
	}
	if target, alias := z.Alias(r.Name); alias {
		c.refuse(c.aliased(r, target))
		return
	}
	node := z.Closest(r.Name)
	asked, rrset := r, node.RRset
	known := proof{requirement: r.issuance()}
	known.requirement.Name = ""
	if len(rrset) > 0 {
		known.rrset = &rrset[0]
	}
	if c.proved[known] || !c.work.Take(len(rrset)) {
		return
	}
	for range len(rrset) + 1 {
		req := request(asked, []string{asked.Domain}, rrset)
		decision, _ := issuance.Everywhere(rrset, req)
		if decision.Permitted {
			c.proved[known] = known.rrset != nil && &rrset[0] == known.rrset && asked == r
			return
		}
		c.deny(denial{r, node, node.Sources[decision.Index], req.DecidingTag(rrset), decision})
		// One cause may hide another: look on as if it were mended.
		switch property := rrset[decision.Index]; decision.Reason {
		case issuance.CriticalUnknown:
			rrset = slices.Clone(rrset)
			rrset[decision.Index].Flags = 0
		case issuance.AccountMismatch:
			asked.Account = boundIn(issuance.RRset{property}, property.Tag, r.Domain, "accounturi")[0]
		default:
			return
		}
	}
}

// deny notes a denial, with the fault of its property if that has one.
func (c *check) deny(d denial) {
	if known := c.faults[property{d.src.Pos, d.node.RRset[d.decision.Index].Tag}]; known != nil {
		for _, fault := range known {
			fault.name(d.String())
		}
		return
	}
	why := d.cause()
	if known := c.causes[why]; known != nil {
		known.names = append(known.names, d.String())
		return
	}
	if len(c.causes) >= most {
		c.omitted.refusals++
		return
	}
	c.causes[why] = &denials{d, []string{d.String()}}
	c.denied = append(c.denied, c.causes[why])
	place := d.place()
	if c.lacking[place] == nil {
		c.lacking[place] = &lack{has: map[string]bool{}}
	}
	c.lacking[place].add(c.key(d.Requirement))
}

func (l *lack) add(key, _ string) {
	if !l.has[key] {
		l.has[key] = true
		l.keys = append(l.keys, key)
	}
}

// cause is what the refusal of a denial says, without the name.
func (d denial) cause() cause {
	r := d.Requirement
	r.Name = ""
	if r.Origin == Certificates {
		r.Pos = policy.Position{} // said of the other origins only
	}
	return cause{r, &d.node.RRset[0], d.src, d.tag, d.decision, d.src.Owner == d.Name, d.node.Zone.Name}
}

// request is the requirement as a CA that answers to the names would hold it against the RRset. One that
// leaves account or method open is met by any that the RRset itself names for the issuer: by one that is
// permitted everywhere and without a Fault, else by one that is permitted; when none is, by the first, for
// the explanation.
func request(r Requirement, names []string, rrset issuance.RRset) issuance.Request {
	base := issuance.Request{Issuers: names, Type: r.Type, Wildcard: r.Wildcard, Account: r.Account, Method: r.Method}
	if r.Account != "" && r.Method != "" {
		return base
	}
	tag := base.DecidingTag(rrset)
	best, permitted, tried := base, false, map[issuingBy]bool{}
	for _, p := range slices.Backward(rrset) {
		v, err := issuance.ParseIssueValue(p.Value)
		if !strings.EqualFold(p.Tag, tag) || err != nil || !slices.Contains(names, strings.ToLower(v.Domain)) {
			continue
		}
		req := base
		for _, parameter := range v.Parameters {
			switch tag := strings.ToLower(parameter.Tag); {
			case tag == "accounturi" && r.Account == "":
				req.Account = parameter.Value
			case tag == "validationmethods" && r.Method == "":
				req.Method = usable(parameter.Value, r.Wildcard)
			}
		}
		by := issuingBy{req.Account, req.Method}
		if tried[by] || len(tried) == mostTried {
			continue
		}
		tried[by] = true
		decision, _ := issuance.Everywhere(rrset, req)
		if decision.Permitted && Fault(r, req) == "" {
			return req
		}
		if decision.Permitted || !permitted {
			best, permitted = req, decision.Permitted
		}
	}
	return best
}

// issuingBy is an account and a method that an RRset names.
type issuingBy struct{ account, method string }

// mostTried is how many accounts and methods are tried for a requirement that leaves them open. An RRset that
// names more is one that resolvers do not take, and each costs a look at all of it.
const mostTried = 100

// suitable are those of some methods by which a name can be validated; all where none can.
func suitable(methods []string, wildcard bool) []string {
	out := slices.DeleteFunc(slices.Clone(methods), func(label string) bool { return wildcard && !issuance.ForWildcards(label) })
	if len(out) == 0 {
		return methods
	}
	return out
}

// usable is the first method of a list that a CA is known to have and may validate the name by, else the first.
func usable(list string, wildcard bool) string {
	methods := suitable(strings.Split(list, ","), wildcard)
	if i := slices.IndexFunc(methods, issuance.KnownMethod); i >= 0 {
		return methods[i]
	}
	return methods[0]
}
