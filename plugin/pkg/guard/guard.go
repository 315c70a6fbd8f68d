// Package guard refuses a policy that would lock out an issuer which must be able to issue.
//
// A Snapshot and the required issuances go in, refusals and warnings come out: each with its place,
// its cause and what to write instead. A requirement is proved as a CA would decide it: the Relevant
// RRset of the name, held against the request in every dialect of package issuance. The strictest
// reading counts (RFC 8659, RFC 8657). Nothing is looked up; today's date is a parameter.
package guard

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// Origin says who requires an issuance.
type Origin string

// The origins of requirements.
const (
	Certificates Origin = "certificates" // the policy's own
	Operator     Origin = "operator"     // an issuer line of the Corefile
	Previous     Origin = "previous"     // the policy that is being replaced
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

// String is the name as it stands in a certificate.
func (r Requirement) String() string {
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
	return fmt.Sprintf("%v: %s%s\n    %s", r.Pos, who, r.Cause, r.Remedy)
}

// Warning is something that is accepted, but that the operator should know.
type Warning struct {
	Pos  policy.Position `json:"position"`
	Code string          `json:"code"`
	Text string          `json:"text"`
}

// String implements fmt.Stringer.
func (w Warning) String() string { return fmt.Sprintf("%v: %s", w.Pos, w.Text) }

// Report is what the guard says of a policy.
type Report struct {
	Refusals []Refusal `json:"refusals"`
	Warnings []Warning `json:"warnings"`
}

// Error is a Report with refusals, as an error.
type Error struct{ Report Report }

// Error implements error.
func (e *Error) Error() string {
	lines := make([]string, len(e.Report.Refusals))
	for i, r := range e.Report.Refusals {
		lines[i] = r.String()
	}
	return strings.Join(lines, "\n")
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
	Zones    []string         // the zones that the server serves, for those that `default` makes
	Operator []Requirement    // the issuer lines of the Corefile
	Previous *policy.Snapshot // the policy being replaced: what it required must stay possible
	At       time.Time        // today
}

// check is one run of the guard.
type check struct {
	policy   *policy.Snapshot
	options  Options
	defaults map[string]*policy.Zone
	refusals map[string]*Refusal // by place and cause, so that a cause is told once
	warned   map[Warning]bool
	report   Report
}

// Check proves every required issuance and reads every property as real CAs do.
func Check(p *policy.Snapshot, o Options) Report {
	c := &check{policy: p, options: o, defaults: map[string]*policy.Zone{}, refusals: map[string]*Refusal{}, warned: map[Warning]bool{}}
	for _, name := range o.Zones {
		if z := p.ZoneOrDefault(name); z != nil && z.FromDefault {
			c.defaults[name] = z
		}
	}
	c.issuers()
	c.properties()
	own := Requirements(p)
	for _, r := range slices.Concat(own, o.Operator, inherited(own, o.Previous)) {
		c.require(r)
	}
	for _, r := range c.refusals {
		c.report.Refusals = append(c.report.Refusals, *r)
	}
	slices.SortFunc(c.report.Refusals, func(a, b Refusal) int {
		return cmp.Or(cmp.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column), cmp.Compare(a.Cause, b.Cause))
	})
	return c.report
}

// Requirements are the policy's certificates, one for each account and method that the issuer
// declares and the certificate leaves open.
func Requirements(p *policy.Snapshot) []Requirement {
	var out []Requirement
	for _, cert := range p.Certificates {
		r := Requirement{Name: cert.Name, Wildcard: cert.Wildcard, Domain: cert.Issuer.Domain, IssuerKey: cert.Issuer.Key,
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

func (c *check) refuse(r Refusal) {
	key := r.Pos.String() + r.Code + r.Cause
	if known := c.refusals[key]; known != nil {
		for _, name := range r.Names {
			if !slices.Contains(known.Names, name) {
				known.Names = append(known.Names, name)
			}
		}
		return
	}
	c.refusals[key] = &r
}

func (c *check) warn(pos policy.Position, code, format string, args ...any) {
	w := Warning{pos, code, fmt.Sprintf(format, args...)}
	if !c.warned[w] {
		c.warned[w] = true
		c.report.Warnings = append(c.report.Warnings, w)
	}
}

// node is the node that answers for a name; nil when no zone covers it.
func (c *check) node(name string) *policy.Node {
	z := c.policy.Covering(name)
	for apex, other := range c.defaults {
		if (name == apex || strings.HasSuffix(name, "."+apex)) && (z == nil || len(apex) > len(z.Name)) {
			z = other
		}
	}
	if z == nil {
		return nil
	}
	if _, alias := z.Alias(name); alias {
		return nil
	}
	return z.Closest(name)
}

// require proves one issuance.
func (c *check) require(r Requirement) {
	node := c.node(r.Name)
	if node == nil {
		c.refuse(unprovable(r))
		return
	}
	for _, req := range requests(r, node.RRset) {
		decision, dialect := issuance.Everywhere(node.RRset, req)
		if !decision.Permitted {
			c.refuse(explain(r, req, node, decision, dialect))
			return
		}
	}
}

// requests are the ways in which a requirement may be met. One that leaves account and method open
// is met by any that the RRset itself names for the issuer: the first that is permitted everywhere,
// so the slice holds that one or, for the explanation, the plain request.
func requests(r Requirement, rrset issuance.RRset) []issuance.Request {
	base := issuance.Request{Issuers: []string{r.Domain}, Type: r.Type, Wildcard: r.Wildcard, Account: r.Account, Method: r.Method}
	tag := base.DecidingTag(rrset)
	for _, p := range rrset {
		v, err := issuance.ParseIssueValue(p.Value)
		if !strings.EqualFold(p.Tag, tag) || err != nil {
			continue
		}
		req := base
		for _, parameter := range v.Parameters {
			switch {
			case parameter.Tag == "accounturi" && r.Account == "":
				req.Account = parameter.Value
			case parameter.Tag == "validationmethods" && r.Method == "":
				req.Method, _, _ = strings.Cut(parameter.Value, ",")
			}
		}
		if decision, _ := issuance.Everywhere(rrset, req); decision.Permitted {
			return []issuance.Request{req}
		}
	}
	return []issuance.Request{base}
}
