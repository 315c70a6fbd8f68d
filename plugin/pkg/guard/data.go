package guard

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
	"github.com/coredns-caa/caa/plugin/pkg/zonecaa"
)

// Replacement is one name at which a policy's CAA replaces that of a zone's data. The names below it follow it, down to
// the next Replacement.
type Replacement struct {
	Name          string         // canonical; a wildcard's is for the names that it covers
	Before, After issuance.RRset // by the data, and by the policy
	Requirements  []Requirement  // what the data permit issuers that they name
	Lost          []string       // the issuers of these that the policy denies
}

// Replacements compares a zone's data with the policy of the zone, at every name where the one or the other says something
// of its own. At all other names both are as at the closest of these. What the data permit an issuer by name is a
// Requirement with Origin Data: before the first load of a policy over them, it may be in use. Names for which another zone
// decides are left out, and those where nothing changes.
func Replacements(p *policy.Snapshot, z *policy.Zone, data *zonecaa.Zone, at time.Time) []Replacement {
	names := data.Owners()
	for node := range z.Nodes() {
		if data.Decides(node.Name) {
			names = append(names, node.Name)
		}
	}
	slices.SortFunc(names, dnsname.Compare)
	var out []Replacement
	for _, name := range slices.Compact(names) {
		if other := p.Covering(name); other != nil && other.Name != z.Name {
			continue // the policy has a zone there, which the data do not delegate: it is compared with its own data
		}
		before, _ := data.At(name)
		after := z.Closest(name).RRset
		if sameRecords(before, after) {
			continue
		}
		required := named(name, before, z.Pos, at)
		out = append(out, Replacement{name, before, after, required, lost(required, after, at)})
	}
	return out
}

// sameRecords reports whether two RRsets have the same records, in any order.
func sameRecords(a, b issuance.RRset) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(p issuance.Property) bool { return !slices.Contains(b, p) })
}

// named returns what an RRset permits issuers that it names, each with an account and a method where it binds them.
// What Judge does not call MayIssue is no permission.
func named(name string, rrset issuance.RRset, pos policy.Position, at time.Time) (out []Requirement) {
	for _, tag := range issuance.Tags {
		if !tag.Grants {
			continue
		}
		base := Requirement{Name: name, Wildcard: tag.Wildcard, Type: tag.Type, Pos: pos, Origin: Data}
		if tag.Wildcard && dnsname.IsWildcard(name) {
			continue // no certificate has two
		}
		deciding := tag.Request().DecidingTag(rrset)
		for _, p := range rrset {
			v, err := issuance.ParseIssueValue(p.Value)
			if !strings.EqualFold(p.Tag, deciding) || err != nil || v.Domain == "" {
				continue
			}
			r := base
			r.Domain = exact(v.Domain)
			for _, r.Account = range orAny(v.Values(issuance.AccountURI)) {
				for _, r.Method = range orAny(r.usable(labelsOf(v))) {
					if Judge(r, rrset, at).Outcome == MayIssue && !slices.Contains(out, r) {
						out = append(out, r)
					}
				}
			}
		}
	}
	return out
}

// orAny returns the values of a parameter or, where it is missing, the one for any.
func orAny(values []string) []string {
	if len(values) == 0 {
		return []string{""}
	}
	return values
}

// lost names the issuers of requirements that an RRset denies.
func lost(required []Requirement, rrset issuance.RRset, at time.Time) (names []string) {
	for _, r := range required {
		who := r.Domain
		if r.Wildcard {
			who += " (wildcards)"
		}
		if Judge(r, rrset, at).Outcome != MayIssue && !slices.Contains(names, who) {
			names = append(names, who)
		}
	}
	return names
}

// String returns the replacement for people, on one line: what the CAA was, what it is, and who can issue no longer.
func (r Replacement) String() string {
	text := fmt.Sprintf("%s: the policy has %s; the zone's data have %s", dnsname.Bare(r.Name), shown(r.After), shown(r.Before))
	if len(r.Lost) > 0 {
		text += "; no longer permitted: " + strings.Join(r.Lost, ", ")
	}
	return terminal.Clean(text)
}

// shownRecords is how many records of an RRset are written out.
const shownRecords = 5

// shown writes an RRset for people.
func shown(rrset issuance.RRset) string {
	if len(rrset) == 0 {
		return "no CAA, which permits every CA"
	}
	var records []string
	for _, p := range rrset[:min(len(rrset), shownRecords)] {
		records = append(records, fmt.Sprintf("%d %s %q", p.Flags, p.Tag, p.Value))
	}
	if more := len(rrset) - shownRecords; more > 0 {
		records = append(records, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(records, ", ")
}
