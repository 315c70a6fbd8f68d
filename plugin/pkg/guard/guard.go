// Package guard refuses a policy that would lock out an issuer which must be able to issue.
//
// A Snapshot and the required issuances go in, refusals and warnings come out: each with its position, what is wrong and
// what to write instead, by one table ([Entries]). A requirement is proved as a CA would decide it: the Relevant
// RRset of the name, held against the request in every dialect of package issuance. The strictest
// reading counts (RFC 8659, RFC 8657). Nothing is looked up; today's date is a parameter.
package guard

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/catalog"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/steps"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// Origin is who requires an issuance.
type Origin string

// The origins of requirements.
const (
	Certificates Origin = "certificates" // the policy's own
	Operator     Origin = "operator"     // an issuer line of the Corefile
	Previous     Origin = "previous"     // the policy that is being replaced
	Data         Origin = "data"         // the CAA of a zone's data, before the first policy over them
	Published    Origin = "published"    // nobody: the name's CAA names the issuer, which need not exist
)

// A requirement without an Origin is one that somebody asks about.

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

	// ParentAccount is the account that Account is a subordinate of; "" for none. A CA may accept it in accounturi, and
	// none has to (BR 4.2.2.1.2), so a permission that rests on it is at risk.
	ParentAccount string `json:"parent_account,omitempty"`

	Unlisted bool `json:"unlisted,omitempty"` // the policy vouches for the issuer: what the directory of public CAs says does not bind it
}

// Unlisted is the name of a requirement for every zone that the policy does not list and that its default
// protects once the server comes to serve it.
const Unlisted = "."

// String returns the name as a certificate has it.
func (r Requirement) String() string {
	if r.Name == Unlisted {
		return "zones that the policy does not list"
	}
	if r.Wildcard {
		return dnsname.Bare(dnsname.Wildcard(r.Name))
	}
	return dnsname.Bare(r.Name)
}

// Refusal is one reason why a policy must not be served.
type Refusal struct {
	Pos   policy.Position `json:"position"` // of what has to change
	Code  string          `json:"code"`     // of the table of Entries
	Names []string        `json:"names,omitempty"`
	Text  string          `json:"text"`           // what is wrong
	Fix   string          `json:"fix"`            // what to write instead; empty: as the table says
	Edit  *Edit           `json:"edit,omitempty"` // what Fix proposes first, for tools; nil where it takes a person
}

// shownNames is how many locked-out names a refusal prints.
const shownNames = 3

// String returns the refusal for people: where, who is locked out, why, and what to write.
func (r Refusal) String() string {
	return fmt.Sprintf("%v: %s\n    %s", r.Pos, terminal.Clean(r.Message()), terminal.Clean(r.Advice()))
}

// Message returns who is locked out and why, on one line, without the position.
func (r Refusal) Message() string {
	who := ""
	if n := len(r.Names); n > shownNames {
		who = fmt.Sprintf("%s and %d more: ", strings.Join(r.Names[:shownNames], ", "), n-shownNames)
	} else if n > 0 {
		who = strings.Join(r.Names, ", ") + ": "
	}
	return who + r.Text + cited(r.Code)
}

// Advice returns what to write instead.
func (r Refusal) Advice() string { return cmp.Or(r.Fix, Find(r.Code).Fix) }

// MarshalJSON writes the refusal with what the table says of its code.
func (r Refusal) MarshalJSON() ([]byte, error) {
	type fields Refusal
	r.Fix = r.Advice()
	return json.Marshal(struct {
		fields
		Severity catalog.Severity `json:"severity"`
		Section  string           `json:"section,omitempty"`
	}{fields(r), catalog.Error, Find(r.Code).Section})
}

// Warning is something that is accepted, but that the operator should know.
type Warning struct {
	Pos  policy.Position `json:"position"`
	Code string          `json:"code"` // of the table of Entries
	Text string          `json:"text"` // what is wrong
	Fix  string          `json:"fix"`  // what to write instead; empty: as the table says
}

// String returns the warning for people, on one line.
func (w Warning) String() string {
	return fmt.Sprintf("%v: %s", w.Pos, terminal.Clean(w.Message()+"; "+w.Advice()))
}

// Message returns what is wrong, without the position.
func (w Warning) Message() string { return w.Text + cited(w.Code) }

// Advice returns what to write instead.
func (w Warning) Advice() string { return cmp.Or(w.Fix, Find(w.Code).Fix) }

// MarshalJSON writes the warning with what the table says of its code.
func (w Warning) MarshalJSON() ([]byte, error) {
	type fields Warning
	w.Fix = w.Advice()
	return json.Marshal(struct {
		fields
		Severity catalog.Severity `json:"severity"`
		Section  string           `json:"section,omitempty"`
	}{fields(w), catalog.Warning, Find(w.Code).Section})
}

// cited returns the section that a code rests on, for the end of a sentence.
func cited(code string) string {
	if section := Find(code).Section; section != "" {
		return " (" + section + ")"
	}
	return ""
}

// Report is what the guard says of a policy.
type Report struct {
	Revision string    `json:"revision,omitempty"` // of the policy; empty where it cannot be read
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

// Options are what the guard takes into account in addition to the policy.
type Options struct {
	Zones    []string         // the zones that the server serves, for those that `default` makes; Unlisted for any
	Operator []Requirement    // the issuer lines of the Corefile
	Previous *policy.Snapshot // the policy being replaced: what it required must stay possible
	Data     []Requirement    // of Replacements, for zones that had no policy yet
	At       time.Time        // today
}

// check is one run of the guard.
type check struct {
	policy   *policy.Snapshot
	options  Options
	defaults map[string]*policy.Zone        // the served zones that `default` makes
	keys     map[string]string              // the policy's own name of an Issuer Domain Name
	faults   map[writtenProperty][]*refused // of properties that deny by themselves

	issuerFaults map[issuerFault][]*refused
	declared     map[string]*policy.Issuer    // by key
	unlisted     map[string]bool              // the names of issuers that are unlisted
	badNames     map[string]bool              // the names of issuers that are refused for their names
	tooLong      map[policy.Position]*refused // of nodes with too many records

	denied   []*denials
	causes   map[cause]*denials                 // the same, by their causes
	missing  map[writtenProperty]*missingGrants // by position and tag, the issuers that denied requirements need there
	refusals map[string]*refused                // by position and text, so that a cause is reported once
	warned   map[Warning]bool                   // without their texts
	guesses  int                                // how often it was looked for a zone that somebody misspelt
	checked  map[writing]bool                   // properties, once for all names that inherit them
	proved   map[proof]bool                     // issuances that are permitted, once for all names that have the RRset
	grants   map[grantKey]*granted              // what the RRsets of denials grant
	bounds   map[boundOf][]string               // what they bind issuers to
	omitted  struct{ refusals, warnings int }
	work     *steps.Counter
	result   Report
}

// cause is a denial without the name that it is about: names that are denied for one cause are reported together.
type cause struct {
	requirement Requirement // without the name, and without its position where the refusal has another
	rrset       *issuance.Property
	src         *policy.Source
	tag         string
	reason      issuance.Reason
	index       int
	atOwner     bool
	apex        string // of zones, whose position a refusal may have
}

// denials are those of one cause: the first, and the names of all.
type denials struct {
	denial
	names []string
}

// missingGrants are the issuers that a grant does not have, each once.
type missingGrants struct {
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
	requirement Requirement // without name and position
}

// most is how many refusals are kept, and how many warnings.
const most = policy.MaxErrors

// refused is a Refusal in the making.
type refused struct {
	Refusal
	has map[string]bool // Names
}

// issuerFault is what is wrong with an issuer as the policy declares it.
type issuerFault struct {
	issuer *policy.Issuer
	reason issuance.Reason
}

// writtenProperty is one that was written, whichever nodes inherit it.
type writtenProperty struct {
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
		faults: map[writtenProperty][]*refused{}, issuerFaults: map[issuerFault][]*refused{}, declared: map[string]*policy.Issuer{}, unlisted: map[string]bool{},
		badNames: map[string]bool{}, tooLong: map[policy.Position]*refused{}, causes: map[cause]*denials{}, missing: map[writtenProperty]*missingGrants{}, refusals: map[string]*refused{}, warned: map[Warning]bool{},
		checked: map[writing]bool{}, proved: map[proof]bool{}, grants: map[grantKey]*granted{}, bounds: map[boundOf][]string{},
		result: Report{Revision: p.Revision, Refusals: []Refusal{}, Warnings: []Warning{}}}
	for _, name := range o.Zones {
		if z := p.ZoneOrDefault(name); z != nil && z.FromDefault {
			c.defaults[name] = z
		}
	}
	for _, issuer := range slices.Backward(p.Issuers) {
		c.keys[exact(issuer.Domain)] = issuer.Key
		c.declared[issuer.Key] = issuer
		if issuer.Unlisted {
			c.unlisted[exact(issuer.Domain)] = true
		}
	}
	for _, note := range p.Notes {
		c.warn(Warning{Pos: note.Pos, Code: note.Code, Text: note.Message})
	}
	c.issuers()
	c.properties()
	own := Requirements(p)
	for _, cert := range p.Certificates {
		if p.Covering(cert.Name) == nil && c.zone(cert.Name) != nil {
			c.warnMisspeltZone(cert)
		}
	}
	c.contradictions()
	for _, r := range slices.Concat(own, Vouching(p, o.Operator), c.inUse(own)) {
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
		c.result.Refusals = append(c.result.Refusals, r.Refusal)
	}
	if len(own)+len(o.Operator)+len(c.result.Refusals) == 0 {
		c.warn(Warning{Pos: p.ZonesPos, Code: NothingRequired, Text: Find(NothingRequired).Text})
	}
	slices.SortFunc(c.result.Refusals, func(a, b Refusal) int {
		return cmp.Or(cmp.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column), cmp.Compare(a.Text, b.Text))
	})
	c.reportOmitted()
	return c.result, c.work.Err()
}

// reportOmitted reports that more was found than is kept.
func (c *check) reportOmitted() {
	if n := len(c.result.Refusals); c.omitted.refusals > 0 {
		c.result.Refusals = append(c.result.Refusals, Refusal{Pos: c.result.Refusals[n-1].Pos, Code: moreRefusals,
			Text: fmt.Sprintf("there are more refusals than the %d that are kept", most)})
	}
	if n := len(c.result.Warnings); c.omitted.warnings > 0 {
		c.result.Warnings = append(c.result.Warnings, Warning{Pos: c.result.Warnings[n-1].Pos, Code: moreWarnings, Text: fmt.Sprintf("there are more warnings than the %d that are kept", most)})
	}
}

// warnMisspeltZone warns of a name that default protects, if its zone is served, and that is near a zone of the file.
func (c *check) warnMisspeltZone(cert policy.Certificate) {
	if z := c.misspelt(cert.Name); z != nil {
		c.warn(Warning{Pos: cert.Pos, Code: zoneMisspelt, Text: fmt.Sprintf("%s is in no zone of the file, so default governs it if the server serves its zone", dnsname.Bare(cert.Name)),
			Fix: fmt.Sprintf("if you mean the zone %s (%v), correct the misspelt one", dnsname.Bare(z.Name), z.Pos)})
	}
}

// exact returns the Issuer Domain Name in the octets that CAs compare, and that the policy emits.
func exact(domain string) string { return strings.ToLower(strings.TrimSuffix(domain, ".")) }

// Requirements returns the policy's certificates, one for each account and method that the issuer
// declares and the certificate leaves open. Of methods those count by which the name can be validated, if there
// are any: nobody asks by the others.
func Requirements(p *policy.Snapshot) []Requirement {
	out := make([]Requirement, 0, len(p.Certificates))
	for _, cert := range p.Certificates {
		r := Requirement{Name: cert.Name, Wildcard: cert.Wildcard, Domain: exact(cert.Issuer.Domain), IssuerKey: cert.Issuer.Key,
			Type: cert.Type, Account: cert.Account, Method: cert.Method, Pos: cert.Pos, Origin: Certificates, Unlisted: cert.Issuer.Unlisted}
		accounts, methods := []string{cert.Account}, []string{cert.Method}
		if cert.Type == issuance.TLS {
			accounts, methods = open(cert.Account, cert.Issuer.Accounts), r.usable(open(cert.Method, cert.Issuer.Methods))
		}
		for _, r.Account = range accounts {
			for _, r.Method = range methods {
				out = append(out, r)
			}
		}
	}
	return out
}

// open returns what a certificate names or, where it leaves that open, all that its issuer declares: the CA may use any
// of them.
func open(given string, declared []string) []string {
	if given != "" || len(declared) == 0 {
		return []string{given}
	}
	return declared
}

// Vouching returns an operator's requirements as a policy knows their issuers: it may call one unlisted.
func Vouching(p *policy.Snapshot, operator []Requirement) []Requirement {
	unlisted := map[string]bool{}
	for _, issuer := range p.Issuers {
		unlisted[exact(issuer.Domain)] = unlisted[exact(issuer.Domain)] || issuer.Unlisted
	}
	out := slices.Clone(operator)
	for i, r := range out {
		out[i].Unlisted = unlisted[exact(r.Domain)]
	}
	return out
}

// Unlisting reports whether a policy calls the issuer of a name unlisted.
func Unlisting(p *policy.Snapshot, domain string) bool {
	return slices.ContainsFunc(p.Issuers, func(issuer *policy.Issuer) bool { return issuer.Unlisted && exact(issuer.Domain) == exact(domain) })
}

// inherited returns what the policy being replaced required and the new one does not. What no CA could use there is left
// out: else nobody could correct a mistake that an earlier version accepted.
func inherited(own []Requirement, previous *policy.Snapshot, at time.Time) []Requirement {
	if previous == nil {
		return nil
	}
	out := slices.DeleteFunc(without(own, Requirements(previous)), func(r Requirement) bool { return r.impossible(at) })
	for i := range out {
		out[i].Origin = Previous
	}
	return out
}

// issuance returns the requirement without where it was written and who wrote it.
func (r Requirement) issuance() Requirement {
	r.Pos, r.Origin, r.IssuerKey, r.Unlisted = policy.Position{}, "", "", false
	return r
}

// impossible reports whether no RRset at all would let the issuer use it.
func (r Requirement) impossible(at time.Time) bool {
	v := issuance.IssueValue{Domain: r.Domain}
	if r.Account != "" {
		v.Parameters = append(v.Parameters, issuance.Parameter{Tag: issuance.AccountURI, Value: r.Account})
	}
	if r.Method != "" {
		v.Parameters = append(v.Parameters, issuance.Parameter{Tag: issuance.ValidationMethods, Value: r.Method})
	}
	tag := issuance.Request{Type: r.Type}.DecidingTag(nil)
	return Judge(r, issuance.RRset{{Tag: tag, Value: v.String()}}, at).Outcome != MayIssue
}

// refuse keeps a refusal, or adds its names to the one with the same position and text.
func (c *check) refuse(r Refusal) *refused {
	key := r.Pos.String() + r.Code + r.Text
	known := c.refusals[key]
	if known == nil && c.full() {
		return &refused{Refusal: r, has: map[string]bool{}}
	}
	if known == nil {
		known = &refused{Refusal: r, has: map[string]bool{}}
		known.Names = nil
		c.refusals[key] = known
	}
	known.name(r.Names...)
	return known
}

// full reports whether no more refusals are kept, and counts the one that is not. Its text need not be made then.
func (c *check) full() bool {
	if len(c.refusals) < most {
		return false
	}
	c.omitted.refusals++
	return true
}

func (r *refused) name(names ...string) {
	for _, name := range names {
		if !r.has[name] {
			r.has[name] = true
			r.Names = append(r.Names, name)
		}
	}
}

// warn keeps a warning once for each position and code: a hundred thousand nodes may inherit its cause.
func (c *check) warn(w Warning) {
	key := Warning{Pos: w.Pos, Code: w.Code}
	switch {
	case c.warned[key]:
	case len(c.warned) >= most:
		c.omitted.warnings++
	default:
		c.warned[key] = true
		c.result.Warnings = append(c.result.Warnings, w)
	}
}

// report refuses or warns, as the code's row says for today.
func (c *check) report(r Refusal) {
	c.reported(r, func() { c.refuse(r) })
}

// reportProperty is report for what is wrong with a property.
func (c *check) reportProperty(p issuance.Property, src *policy.Source, r Refusal) {
	c.reported(r, func() { c.fault(p, src, r) })
}

func (c *check) reported(r Refusal, refuse func()) {
	switch Find(r.Code).At(c.options.At) {
	case catalog.Error:
		refuse()
	case catalog.Warning:
		c.warn(Warning{Pos: r.Pos, Code: r.Code, Text: r.Text, Fix: r.Fix})
	}
}

// zone returns the zone that answers for a name, the closest one at or above it; nil when none does.
func (c *check) zone(name string) *policy.Zone {
	for above := range dnsname.Up(name) {
		if z := c.policy.Zone(above); z != nil {
			return z
		}
		if z := c.defaults[above]; z != nil {
			return z
		}
	}
	return nil
}

// require proves one issuance.
func (c *check) require(r Requirement) {
	z := c.zone(r.Name)
	switch {
	case z == nil && r.Origin != Operator && c.policy.Default() != nil && len(c.options.Zones) > 0:
		return // it is outside the block's zones, and default governs it wherever its zone is served
	case z == nil:
		c.refuse(c.uncovered(r))
		return
	}
	if target, alias := z.Alias(r.Name); alias {
		c.refuse(c.aliased(r, target))
		return
	}
	if r.Origin == Certificates && r.Method == "dns-01" && z.PolicyOnly() {
		c.challenge(r, z)
	}
	r.Unlisted = r.Unlisted || r.Origin == Certificates && c.badNames[r.Domain] // that is refused already
	if r.Origin == Operator {
		if reason, meant := r.nameFault(); reason != "" {
			c.refuse(c.misnamed(r, reason, meant))
			return
		}
	}
	node := z.Closest(r.Name)
	if long := c.tooLong[node.Pos]; long != nil {
		long.name(r.String())
		return
	}
	asked, rrset := r, node.RRset
	known := proof{first(rrset), r.anywhere()}
	if c.proved[known] || !c.work.Take(len(rrset)) {
		return
	}
	for range len(rrset) + 1 {
		made := Judge(asked, rrset, c.options.At)
		if made.Outcome == MayIssue {
			c.proved[known] = known.rrset != nil && first(rrset) == known.rrset && asked == r
			return
		}
		c.deny(newDenial(r, node, made))
		// One cause may hide another: look on as if it were corrected.
		switch made.Reason {
		case issuance.CriticalUnknown:
			rrset = slices.Clone(rrset)
			rrset[made.Index].Flags = 0
		case issuance.AccountMismatch:
			p := rrset[made.Index]
			asked.Account = boundIn(issuance.RRset{p}, p.Tag, made.Request.Issuers, issuance.AccountURI)[0]
		default:
			return
		}
	}
}

// challenge warns of a required dns-01 whose TXT record nobody can publish: a zone that is complete by its policy has
// none, nor has another such zone that an alias leads into.
func (c *check) challenge(r Requirement, z *policy.Zone) {
	target, alias := z.Alias("_acme-challenge." + r.Name)
	if !alias {
		c.warn(Warning{Pos: r.Pos, Code: challengeUnanswerable, Text: fmt.Sprintf("dns-01 cannot succeed for %s: the policy alone defines the zone %s, so it has no TXT record", dnsname.Bare(r.Name), dnsname.Bare(z.Name))})
	} else if into := c.zone(target); into != nil && into.PolicyOnly() {
		c.warn(Warning{Pos: r.Pos, Code: challengeUnanswerable, Text: fmt.Sprintf("dns-01 cannot succeed for %s: its challenge is an alias of %s, and the policy alone defines the zone %s, so it has no TXT record", dnsname.Bare(r.Name), dnsname.Bare(target), dnsname.Bare(into.Name)),
			Fix: "point challenge into a zone that the ACME client may write to"})
	}
}

// deny notes a denial, unless a refusal of its property or of its issuer says why already.
func (c *check) deny(d denial) {
	var known []*refused
	if d.src != nil {
		known = slices.Concat(c.faults[writtenProperty{d.src.Pos, d.node.RRset[d.judged.Index].Tag}], c.issuerFaults[issuerFault{d.src.Issuer, d.judged.Reason}])
	}
	for _, fault := range known {
		fault.name(d.String())
	}
	if len(known) > 0 {
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
	at := d.grantPosition()
	if c.missing[at] == nil {
		c.missing[at] = &missingGrants{has: map[string]bool{}}
	}
	c.missing[at].add(c.key(d.Requirement))
}

func (l *missingGrants) add(key, _ string) {
	if !l.has[key] {
		l.has[key] = true
		l.keys = append(l.keys, key)
	}
}

// cause is what the refusal of a denial says, without the name.
func (d denial) cause() cause {
	r := d.Requirement
	r.Name = ""
	if r.Origin == Certificates && doubts[d.judged.Reason] == nil {
		r.Pos = policy.Position{} // neither in the text, nor where the refusal is
	}
	return cause{r, first(d.node.RRset), d.src, d.tag, d.judged.Reason, d.judged.Index, d.src != nil && d.src.Owner == d.Name, d.node.Zone.Name}
}

// first returns the first property, nil if there is none. It identifies an RRset of a policy, since equal ones are shared.
func first(rrset issuance.RRset) *issuance.Property {
	if len(rrset) == 0 {
		return nil
	}
	return &rrset[0]
}

// anywhere is the requirement without its name, and without where it was written and what the policy calls its issuer.
func (r Requirement) anywhere() Requirement {
	r.Name, r.Pos, r.IssuerKey = "", policy.Position{}, ""
	return r
}
