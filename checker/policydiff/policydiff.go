// Package policydiff shows, without a network, what a policy means for a name ([Explain]), and who gains or loses
// permission from one policy to another ([Diff]).
//
// A permission is what [guard.Judge] calls "may issue": one that only some CAs read, or that no CA is known to use, is
// not a permission that an issuer could rely on.
package policydiff

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/coredns-caa/caa/checker/certname"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/zonecaa"
)

// AnyoneElse is written for every issuer that neither policy names.
const AnyoneElse = "any other CA"

// nobody is an Issuer Domain Name that nobody has (RFC 6761 6.4).
const nobody = "invalid"

// kind is a kind of certificates that a Property Tag grants.
type kind struct {
	label    string
	wildcard bool
	kind     issuance.CertificateType
}

// kinds are those of all tags that grant.
var kinds = func() (out []kind) {
	for _, tag := range issuance.Tags {
		k := kind{tag.Type.String(), tag.Wildcard, tag.Type}
		if tag.Wildcard {
			k.label = "wildcard"
		}
		if tag.Grants {
			out = append(out, k)
		}
	}
	return out
}()

// Record is one record of an RRset, with the line of the policy that it comes from.
type Record struct {
	Flags uint8           `json:"flags"`
	Tag   string          `json:"tag"`
	Value string          `json:"value"`
	Pos   policy.Position `json:"position"`
}

// Permission is who may issue one kind of certificate.
type Permission struct {
	Kind    string   `json:"kind"`              // "tls", "wildcard", "smime" or "vmc"
	Issuers []string `json:"issuers"`           // Issuer Domain Names, or AnyoneElse among them where nothing restricts it
	AtRisk  []Risk   `json:"at_risk,omitempty"` // named, and cannot rely on it
}

// Risk is an issuer that some CAs or resolvers deny, or that no CA is known to be.
type Risk struct {
	Issuer string          `json:"issuer"`
	Reason issuance.Reason `json:"reason"` // as in caacheck's verdicts
}

// Explanation is what a policy means for a name.
type Explanation struct {
	Name        string          `json:"name"`
	Zone        string          `json:"zone"`
	FromDefault bool            `json:"from_default,omitempty"` // no zone of the file covers the name; default governs it
	Alias       string          `json:"alias,omitempty"`        // the target, by challenge, whose CAA decides
	Node        string          `json:"node,omitempty"`         // the closest name with a policy of its own
	Pos         policy.Position `json:"position"`
	TTL         uint32          `json:"ttl,omitempty"`
	Records     []Record        `json:"records"`
	Permissions []Permission    `json:"permissions"`
	Required    []string        `json:"required"` // what certificates require at the name
}

// Explain returns which node governs a name, its RRset, and who may issue by the rules of a date. It fails if no zone of
// the policy covers the name.
func Explain(p *policy.Snapshot, s certname.Name, at time.Time) (Explanation, error) {
	e := Explanation{Name: s.String(), Records: []Record{}, Permissions: []Permission{}, Required: []string{}}
	node, zone := governing(p, s.Domain)
	if zone == nil && node == nil {
		return e, fmt.Errorf("no zone of %s covers %s, and it has no default", p.File, s)
	}
	if zone != nil {
		e.Zone = zone.Name
		if target, ok := zone.Alias(s.Domain); ok {
			e.Alias = target
			return e, nil
		}
	}
	e.FromDefault = zone == nil
	e.Node, e.Pos, e.TTL = node.Name, node.Pos, node.TTL
	for i, property := range node.RRset {
		e.Records = append(e.Records, Record{property.Flags, property.Tag, property.Value, node.Sources[i].Pos})
	}
	for _, k := range kinds {
		permission := Permission{Kind: k.label, Issuers: []string{}}
		for _, one := range judged(p, node.RRset, issuersIn(node.RRset), k.kind, k.wildcard, at) {
			switch one.Outcome {
			case guard.MayIssue:
				permission.Issuers = append(permission.Issuers, one.issuer)
			case guard.AtRisk:
				permission.AtRisk = append(permission.AtRisk, Risk{one.issuer, one.Reason})
			}
		}
		e.Permissions = append(e.Permissions, permission)
	}
	for _, r := range guard.Requirements(p) {
		if r.Name == s.Domain {
			e.Required = append(e.Required, fmt.Sprintf("%s for %s (%v)", r, r.IssuerKey, r.Pos))
		}
	}
	return e, nil
}

// governing returns the node whose RRset a name has; without a zone, default's.
func governing(p *policy.Snapshot, name string) (*policy.Node, *policy.Zone) {
	if zone := p.Covering(name); zone != nil {
		return zone.Closest(name), zone
	}
	return p.Default(), nil
}

func issuersIn(rrsets ...issuance.RRset) []string {
	var out []string
	for _, rrset := range rrsets {
		for _, k := range kinds {
			for _, domain := range verdict.Named(rrset, k.kind, k.wildcard) {
				if !slices.Contains(out, domain) {
					out = append(out, domain)
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

// judgement is the outcome for one issuer.
type judgement struct {
	guard.Judgement
	issuer string // or AnyoneElse
}

// judged judges some issuers, and one that no CA is, by an RRset of a policy.
func judged(p *policy.Snapshot, rrset issuance.RRset, issuers []string, kind issuance.CertificateType, wildcard bool, at time.Time) []judgement {
	var out []judgement
	for _, domain := range append(slices.Clone(issuers), nobody) {
		r := guard.Requirement{Domain: domain, Type: kind, Wildcard: wildcard, Origin: guard.Published, Unlisted: guard.Unlisting(p, domain)}
		one := judgement{guard.Judge(r, rrset, at), domain}
		if domain == nobody {
			one.issuer = AnyoneElse
		}
		out = append(out, one)
	}
	return out
}

// Change is who gains and who loses permission at one name.
type Change struct {
	Name   string   `json:"name"` // "." for every zone that neither policy lists
	Kind   string   `json:"kind"`
	Gained []string `json:"gained"`
	Lost   []string `json:"lost"`
	Left   []string `json:"left,omitempty"` // what narrower permissions are left of those that are lost
}

// Diff compares two policies at every name for which one of them has a node. Other names follow the closest one. A
// permission that is bound to an account or a method counts as one for that account or method, and a wider one has it: who
// is bound no more loses nothing.
func Diff(before, after *policy.Snapshot, at time.Time) []Change {
	var out []Change
	for _, name := range slices.Sorted(maps.Keys(names(before, after))) {
		out = append(out, changesAt(name, side{before, rrsetAt(before, name)}, side{after, rrsetAt(after, name)}, at)...)
	}
	return out
}

// DiffZone compares what the data of a zone permit with what a policy does, at every name where one of them says something
// of its own. It fails if the policy has neither the zone nor a default.
func DiffZone(data *zonecaa.Zone, p *policy.Snapshot, at time.Time) ([]Change, error) {
	z := p.ZoneOrDefault(data.Apex())
	if z == nil {
		return nil, fmt.Errorf("%s does not list the zone %s, and has no default", p.File, dnsname.Bare(data.Apex()))
	}
	var out []Change
	for _, r := range guard.Replacements(p, z, data, at) {
		out = append(out, changesAt(r.Name, side{p, r.Before}, side{p, r.After}, at)...)
	}
	return out, nil
}

// side is an RRset that is compared, and the policy that vouches for issuers in it.
type side struct {
	policy *policy.Snapshot
	rrset  issuance.RRset
}

// changesAt compares who may issue at a name.
func changesAt(name string, before, after side, at time.Time) (out []Change) {
	issuers := issuersIn(before.rrset, after.rrset)
	permitted := func(s side, k kind) []grant {
		return grants(judged(s.policy, s.rrset, issuers, k.kind, k.wildcard, at), s.rrset)
	}
	for _, k := range kinds {
		had, has := permitted(before, k), permitted(after, k)
		change := Change{Name: name, Kind: k.label, Gained: texts(without(has, had)), Lost: texts(without(had, has))}
		for _, g := range has {
			if slices.ContainsFunc(without(had, has), g.within) {
				change.Left = append(change.Left, g.text())
			}
		}
		if len(change.Gained)+len(change.Lost) > 0 {
			out = append(out, change)
		}
	}
	return out
}

// names are those for which one of the policies has a node.
func names(policies ...*policy.Snapshot) map[string]bool {
	out := map[string]bool{}
	for _, p := range policies {
		for _, zone := range p.Zones {
			for node := range zone.Nodes() {
				out[node.Name] = true
			}
		}
		if p.Default() != nil {
			out[guard.Unlisted] = true
		}
	}
	return out
}

func rrsetAt(p *policy.Snapshot, name string) issuance.RRset {
	if node, _ := governing(p, name); node != nil {
		return node.RRset
	}
	return nil
}

// grant is a permission, with what it is bound to.
type grant struct {
	issuer     string // or AnyoneElse
	parameters []issuance.Parameter
}

func (g grant) text() string {
	text := g.issuer
	for _, p := range g.parameters {
		text += " " + p.Tag + "=" + p.Value
	}
	return text
}

// within reports whether another grant permits all that this one permits: it is bound to nothing else, and to no less of it.
func (g grant) within(other grant) bool {
	return g.issuer == other.issuer && !slices.ContainsFunc(other.parameters, func(p issuance.Parameter) bool {
		return !slices.ContainsFunc(g.parameters, func(own issuance.Parameter) bool {
			return own.Tag == p.Tag && !slices.ContainsFunc(own.Entries(), func(entry string) bool { return !slices.Contains(p.Entries(), entry) })
		})
	})
}

// grants returns permissions, with the account and the method that they are bound to.
func grants(all []judgement, rrset issuance.RRset) []grant {
	var out []grant
	for _, one := range all {
		if one.Outcome != guard.MayIssue {
			continue
		}
		narrow := narrowed(rrset, one)
		if len(narrow) == 0 {
			narrow = []grant{{issuer: one.issuer}}
		}
		out = append(out, narrow...)
	}
	return out
}

// narrowed are an issuer's properties that bind an account or a method; nothing where one binds neither.
func narrowed(rrset issuance.RRset, one judgement) []grant {
	var out []grant
	tag := one.Request.DecidingTag(rrset)
	for _, p := range rrset {
		v, err := issuance.ParseIssueValue(p.Value)
		if p.Tag != tag || err != nil || !slices.Contains(one.Request.Issuers, v.Domain) {
			continue
		}
		if len(v.Parameters) == 0 {
			return nil
		}
		out = append(out, grant{one.issuer, v.Parameters})
	}
	return out
}

// without are the grants that none of others permits.
func without(grants, others []grant) []grant {
	return slices.DeleteFunc(slices.Clone(grants), func(g grant) bool { return slices.ContainsFunc(others, g.within) })
}

func texts(grants []grant) []string {
	out := []string{}
	for _, g := range grants {
		out = append(out, g.text())
	}
	return out
}
