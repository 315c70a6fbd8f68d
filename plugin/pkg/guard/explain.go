package guard

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/issuers"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// who returns the issuer's name as its user wrote it.
func (r Requirement) who() string {
	if r.IssuerKey != "" {
		return r.IssuerKey
	}
	return r.Domain
}

// because says who requires an issuance, where the policy itself does not.
func (c *check) because(r Requirement) string {
	switch {
	case r.Origin == Operator:
		return fmt.Sprintf("; the server's issuer line at %v requires it", r.Pos)
	case r.Origin == Previous && r.Pos.File == c.policy.File:
		return fmt.Sprintf("; the policy being replaced requires it in its line %d", r.Pos.Line)
	case r.Origin == Previous:
		return fmt.Sprintf("; the policy being replaced requires it at %v", r.Pos)
	case r.Origin == Data:
		return "; the zone's data permit it, so it may be in use"
	}
	return ""
}

// drop is the fix's other half: how to give a requirement up on purpose.
func (r Requirement) drop() string {
	switch r.Origin {
	case Operator:
		return "; or remove the issuer line from the Corefile"
	case Previous, Data:
		return fmt.Sprintf("; to give it up on purpose, list %s under removed, with the names", exact(r.Domain))
	}
	return ""
}

// uncovered returns the refusal of a name that no zone answers for.
func (c *check) uncovered(r Requirement) Refusal {
	pos, fix := r.Pos, "list its zone under zones, or remove the name from certificates"
	switch r.Origin {
	case Operator:
		fix = "list its zone under zones"
	case Previous:
		pos, fix = c.policy.ZonesPos, "list its zone again"
	}
	return Refusal{Pos: pos, Code: notCovered, Names: []string{r.String()},
		Text: fmt.Sprintf("no zone of the policy answers for it, so nothing proves that %s can issue%s", r.who(), c.because(r)),
		Fix:  c.meant(r.Name) + fix + r.drop()}
}

// meant proposes the zone that somebody may have misspelt, in the policy or in the name.
func (c *check) meant(name string) string {
	if z := c.misspelt(name); z != nil {
		return fmt.Sprintf("if you mean %s (%v), correct the misspelt one; else ", dnsname.Bare(z.Name), z.Pos)
	}
	return ""
}

// misspelt returns the zone that was meant for a name in no zone of the policy, nil where none is near.
func (c *check) misspelt(name string) *policy.Zone {
	if c.guesses++; c.guesses > policy.MaxGuesses {
		return nil
	}
	return c.policy.Meant(name)
}

// aliased returns the refusal of a name whose CAA is that of its alias's target (RFC 8659 3).
func (c *check) aliased(r Requirement, target string) Refusal {
	return Refusal{Pos: r.Pos, Code: atAlias, Names: []string{r.String()},
		Text: fmt.Sprintf("by challenge it is an alias of %s, whose CAA decides, so nothing proves that %s can issue%s", dnsname.Bare(target), r.who(), c.because(r)),
		Fix:  "remove the name from certificates; a certificate is for the name without _acme-challenge" + r.drop()}
}

// denial is a required issuance that the policy denies, and the property that decided.
type denial struct {
	Requirement
	node   *policy.Node
	src    *policy.Source // nil where an absence decided
	tag    string
	judged Judgement
}

func newDenial(r Requirement, node *policy.Node, judged Judgement) denial {
	d := denial{Requirement: r, node: node, tag: judged.Request.DecidingTag(node.RRset), judged: judged}
	if judged.Index >= 0 {
		d.src = node.Sources[judged.Index]
	}
	return d
}

// explanations are the rows of each denial that the language itself can write; denials by properties written by hand are
// refused where they are written.
var explanations = map[issuance.Reason]func(c *check, d denial) Refusal{
	issuance.NobodyAuthorized: (*check).explainNone,
	issuance.IssuerNotListed:  (*check).explainOthers,
	issuance.AccountMismatch:  (*check).explainAccount,
	issuance.MethodNotAllowed: (*check).explainMethod,
}

// doubts are the rows of what is permitted, and no CA is known to use.
var doubts = map[issuance.Reason]func(c *check, d denial) Refusal{
	MethodUnknown:                      (*check).explainUnknownMethod,
	MethodNoWildcard:                   (*check).explainNoWildcard,
	MethodNotYet:                       (*check).explainNotYet,
	issuance.Reason(issuers.AnotherCA): (*check).explainForeignAccount,
	issuance.Reason(issuers.Staging):   (*check).explainForeignAccount,
}

// explain makes the refusal of a denied requirement.
func (c *check) explain(d denial) Refusal {
	row := explanations[d.judged.Reason]
	switch doubt := doubts[d.judged.Reason]; {
	case doubt != nil:
		row = doubt
	case row == nil || d.src.Key == "properties":
		row = (*check).explainProperty
	}
	refusal := row(c, d)
	refusal.Code = string(d.judged.Reason)
	refusal.Names = []string{d.String()}
	refusal.Text = fmt.Sprintf("%s cannot issue%s%s", d.who(), refusal.Text, c.because(d.Requirement))
	refusal.Fix += d.drop()
	return refusal
}

// drop is that of the requirement. An issuer that keeps other accounts or methods is not given up: what it loses goes in
// two changes.
func (d denial) drop() string {
	narrowed := d.judged.Reason == issuance.AccountMismatch || d.judged.Reason == issuance.MethodNotAllowed
	if narrowed && (d.Origin == Previous || d.Origin == Data) {
		return "; to give it up on purpose, keep it in this change and remove it in the next"
	}
	return d.Requirement.drop()
}

// where says where the property that decided was written.
func (d denial) where() string {
	if d.src.Owner == "default" {
		return "in default"
	}
	return "at " + dnsname.Bare(d.src.Owner)
}

// fromDefault reports whether a zone of the file takes the property from `default`: then the zone is
// the place to change, for default speaks for every other zone, too.
func (d denial) fromDefault() bool { return d.src.Owner == "default" && !d.node.Zone.FromDefault }

// grantPosition is where the grant has to be written that would permit, with its tag.
func (d denial) grantPosition() writtenProperty {
	switch {
	case d.src == nil:
		return writtenProperty{d.node.Pos, d.tag}
	case d.fromDefault():
		return writtenProperty{d.node.Zone.Pos, d.tag}
	}
	return writtenProperty{d.src.Pos, d.tag}
}

// explainNone: nobody may issue.
func (c *check) explainNone(d denial) Refusal {
	text := fmt.Sprintf(": %s has the value none %s", d.tag, d.where())
	if d.tag == issuance.TagIssueWild {
		text += ", which overrides issue for wildcards"
	}
	_, declare := c.key(d.Requirement)
	edit := &Edit{Pos: d.grantPosition().pos, Op: Set, Key: d.tag, Value: listed(c.missing[d.grantPosition()].keys)}
	fix := declare + edit.String()
	switch {
	case d.fromDefault():
		fix += " in the zone " + dnsname.Bare(d.node.Zone.Name)
	case d.node.Zone.FromDefault:
		fix += " there; or list the zone with its own line"
	case d.src.Owner != d.Name:
		fix += " there; or write it for each name under names"
	default:
		fix += " there"
	}
	return Refusal{Pos: edit.Pos, Text: text, Fix: fix, Edit: unlessFirst(edit, declare)}
}

// explainOthers: other issuers may issue.
func (c *check) explainOthers(d denial) Refusal {
	others, narrowed := c.granted(d)
	text := fmt.Sprintf(": %s %s lists only %s", d.tag, d.where(), firstOf(others))
	if c.keys[d.Domain] != d.who() && slices.Contains(others, d.who()) {
		text += ", which is no longer " + d.Domain
	}
	if d.src.Owner != "default" && d.src.Owner != d.node.Zone.Name {
		text += ", and replaces the RRset of the name above"
	}
	key, declare := c.key(d.Requirement)
	edit, where := &Edit{Pos: d.src.Pos, Op: Add, Key: d.tag, Value: key}, " there"
	if d.fromDefault() && !narrowed {
		edit = &Edit{Pos: d.grantPosition().pos, Op: Set, Key: d.tag, Value: listed(slices.Concat(others, c.missing[d.grantPosition()].keys))}
		where = " in the zone " + dnsname.Bare(d.node.Zone.Name)
	}
	return Refusal{Pos: edit.Pos, Text: text, Fix: declare + edit.String() + where, Edit: unlessFirst(edit, declare)}
}

// granted returns the issuers that the node's properties of the deciding tag list, and whether one of them is narrowed
// there.
func (c *check) granted(d denial) (keys []string, narrowed bool) {
	key := grantKey{first(d.node.RRset), d.src, d.tag}
	known := c.grants[key]
	if known == nil {
		known = &granted{}
		seen := map[*policy.Issuer]bool{}
		c.work.Take(len(d.node.RRset))
		for i, src := range d.node.Sources {
			if d.node.RRset[i].Tag == d.tag && src.Issuer != nil && !seen[src.Issuer] {
				seen[src.Issuer] = true
				known.keys = append(known.keys, src.Issuer.Key)
				known.narrowed = known.narrowed || src.OwnAccounts || src.OwnMethods
			}
		}
		c.grants[key] = known
	}
	return known.keys, known.narrowed
}

// grantKey is an RRset, equal ones being one, with a source in it, since equal RRsets may come from several
// places, and the tag that decided.
type grantKey struct {
	rrset *issuance.Property
	src   *policy.Source
	tag   string
}

// granted are issuers, and whether one of them is narrowed.
type granted struct {
	keys     []string
	narrowed bool
}

// boundOf is what an RRset binds an issuer to.
type boundOf struct {
	rrset                  *issuance.Property
	tag, domain, parameter string
}

func listed(keys []string) string { return "[" + strings.Join(keys, ", ") + "]" }

// key returns the policy's key of the issuer, and what to do first where it has none.
func (c *check) key(r Requirement) (key, declare string) {
	if key := c.keys[r.Domain]; key != "" {
		return key, ""
	}
	key, _, _ = strings.Cut(r.Domain, ".")
	return key, fmt.Sprintf("declare %s: {domain: %s} under issuers, and ", key, r.Domain)
}

// unlessFirst returns the edit, unless something else has to be done first.
func unlessFirst(edit *Edit, first string) *Edit {
	if first != "" {
		return nil
	}
	return edit
}

// explainAccount: the issuer may issue, to another account.
func (c *check) explainAccount(d denial) Refusal {
	return c.widen(d, binding{"accounts", "account", issuance.AccountURI, d.Account, d.src.OwnAccounts, d.src.Issuer.Accounts, d.src.Issuer.AccountPos,
		" to the account " + d.Account, "binds it to"})
}

// explainMethod: the issuer may issue, by another method.
func (c *check) explainMethod(d denial) Refusal {
	return c.widen(d, binding{"methods", "method", issuance.ValidationMethods, d.Method, d.src.OwnMethods, d.src.Issuer.Methods, d.src.Issuer.MethodPos,
		" by " + d.Method, "allows only"})
}

// binding is one of the two ways in which RFC 8657 binds a property.
type binding struct {
	list, one, parameter string // the keys of the list and of a certificate, and the parameter
	required             string
	own                  bool // whether the entry gives the list itself
	declared             []string
	places               []policy.Position // of what is declared
	how, verb            string
}

// widen adds what is required to the list that does not have it.
func (c *check) widen(d denial, b binding) Refusal {
	bound := c.boundAt(d, b.parameter)
	text := fmt.Sprintf("%s: %s %s %s %s", b.how, d.tag, d.where(), b.verb, firstOf(bound))
	edit := &Edit{Pos: d.src.Pos, Op: Add, Key: b.list, Value: quoted(b.required)}
	first, where := "", "there"
	switch {
	case !b.own && len(b.places) > 0:
		edit.Pos, where = b.places[0], fmt.Sprintf("of the issuer %s", d.src.Issuer.Key)
	case len(b.declared) > 0 && !slices.Contains(b.declared, b.required):
		first = fmt.Sprintf("add it to %s of the issuer %s, and ", b.list, d.src.Issuer.Key)
	}
	fix := first + edit.String() + " " + where
	if d.Origin == Certificates && len(bound) > 0 {
		fix += fmt.Sprintf("; or, if it is never used, write %s: %s in certificates", b.one, quoted(bound[0]))
	}
	return Refusal{Pos: edit.Pos, Text: text, Fix: fix, Edit: unlessFirst(edit, first)}
}

// boundAt returns the values of a parameter that the RRset of a denial gives the issuer, looked for once for all names that
// have the RRset.
func (c *check) boundAt(d denial, parameter string) []string {
	key := boundOf{first(d.node.RRset), d.tag, d.Domain, parameter}
	bound, known := c.bounds[key]
	if !known {
		c.work.Take(len(d.node.RRset))
		bound = boundIn(d.node.RRset, d.tag, d.judged.Request.Issuers, parameter)
		c.bounds[key] = bound
	}
	return bound
}

// boundIn returns the values of a parameter that the RRset gives an issuer, under one of its names, each once.
func boundIn(rrset issuance.RRset, tag string, names []string, parameter string) []string {
	out, seen := []string{}, map[string]bool{}
	for _, p := range rrset {
		v, err := issuance.ParseIssueValue(p.Value)
		if p.Tag != tag || err != nil || !slices.Contains(names, v.Domain) {
			continue
		}
		for _, given := range v.Parameters {
			for _, value := range given.Entries() {
				if given.Tag == parameter && !seen[value] {
					seen[value] = true
					out = append(out, value)
				}
			}
		}
	}
	return out
}

// explainUnknownMethod: the issuer may issue by a method that no CA has and that the certificate itself names; those of
// grants are refused where they are written.
func (c *check) explainUnknownMethod(d denial) Refusal {
	fix := ""
	if meant := issuance.MeantMethod(d.judged.Request.Method); meant != "" {
		fix = fmt.Sprintf("write %s", meant)
	}
	return Refusal{Pos: d.Pos, Text: fmt.Sprintf(": no CA is known to have the validation method %s", d.judged.Request.Method), Fix: fix}
}

// explainNoWildcard: the issuer may issue, by methods that validate no wildcard. Where the certificate or its issuer
// declares no other, no grant helps.
func (c *check) explainNoWildcard(d denial) Refusal {
	const without = ": no CA validates a wildcard by %s"
	if d.Method == "" {
		granted := boundIn(issuance.RRset{d.node.RRset[d.judged.Index]}, d.tag, d.judged.Request.Issuers, issuance.ValidationMethods)
		return c.addMethod(d, fmt.Sprintf(without+", and %s %s allows no other method", strings.Join(granted, " or "), d.tag, d.where()))
	}
	methods := []string{d.Method}
	if issuer := c.declared[d.IssuerKey]; issuer != nil && !slices.ContainsFunc(issuer.Methods, issuance.ForWildcards) && slices.Contains(issuer.Methods, d.Method) {
		methods = issuer.Methods
	}
	return Refusal{Pos: d.Pos, Text: fmt.Sprintf(without, strings.Join(methods, " or ")),
		Fix: fmt.Sprintf("add dns-01 to the methods of the issuer %s, and write it here, too, where a method is given", d.who())}
}

// explainNotYet: the issuer may issue, by labels that it does not understand yet.
func (c *check) explainNotYet(d denial) Refusal {
	return c.addMethod(d, fmt.Sprintf(": CAs have to understand %s from %s on, and %s is not known to understand it earlier",
		d.judged.Request.Method, issuance.LabelsBind.From.Format(time.DateOnly), d.Domain))
}

// addMethod returns the refusal of a grant that has no method by which a CA can validate the name.
func (c *check) addMethod(d denial, text string) Refusal {
	const method = "dns-01"
	edit, where, first := &Edit{Pos: d.src.Pos, Op: Add, Key: "methods", Value: method}, "there", ""
	switch issuer := d.src.Issuer; {
	case issuer == nil:
		return Refusal{Pos: d.src.Pos, Text: text, Fix: "add " + method + " to validationmethods of the property"}
	case !d.src.OwnMethods:
		edit.Pos, where = issuer.MethodPos[0], "of the issuer "+issuer.Key
	case len(issuer.Methods) > 0 && !slices.Contains(issuer.Methods, method):
		first = fmt.Sprintf("add it to methods of the issuer %s, and ", issuer.Key)
	}
	return Refusal{Pos: edit.Pos, Text: text, Fix: first + edit.String() + " " + where, Edit: unlessFirst(edit, first)}
}

// explainForeignAccount: the issuer may issue, to an account of another CA.
func (c *check) explainForeignAccount(d denial) Refusal {
	text := fmt.Sprintf(": %[2]s %[3]s binds it to the account %[1]s, which belongs to another CA and never matches", d.judged.Request.Account, d.tag, d.where())
	if issuers.AccountFault(d.judged.Reason) == issuers.Staging {
		text = fmt.Sprintf(": %[2]s %[3]s binds it to the account %[1]s, which belongs to the staging environment and matches no production certificate", d.judged.Request.Account, d.tag, d.where())
	}
	return Refusal{Pos: d.src.Pos, Text: text, Fix: fmt.Sprintf("write the URI of the account that orders from %s", d.Domain)}
}

// misnamed returns the refusal of an operator's issuer line whose name no CA honours.
func (c *check) misnamed(r Requirement, reason issuance.Reason, meant string) Refusal {
	return Refusal{Pos: r.Pos, Code: string(reason), Names: []string{r.String()}, Text: nameFaultText(r.Domain, reason) + c.because(r), Fix: instead(r.Domain, meant)}
}

// explainProperty: a property written by hand decides, and has no fault but that.
func (c *check) explainProperty(d denial) Refusal {
	key, declare := c.key(d.Requirement)
	return Refusal{Pos: d.src.Pos, Text: fmt.Sprintf(": the property %s %q %s denies it", d.tag, shortened(d.node.RRset[d.judged.Index].Value), d.where()),
		Fix: fmt.Sprintf("%sremove the property and write %s: [%s] instead", declare, d.tag, key)}
}

// shortened returns a value as far as a message needs it.
func shortened(value string) string {
	const enough = 1000
	if len(value) <= enough {
		return value
	}
	return value[:enough] + "..."
}

// firstOf lists the first of many names.
func firstOf(names []string) string {
	if n := len(names); n > shownNames {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:shownNames], ", "), n-shownNames)
	}
	return strings.Join(names, ", ")
}

// quoted returns a text in quotes where YAML might take it for something else.
func quoted(s string) string {
	if strings.ContainsAny(s, ":#{}[],&*!|>'\"%@`") {
		return "\"" + s + "\""
	}
	return s
}
