package issuance

import (
	"slices"
	"time"
)

// Rule is a rule of the Baseline Requirements that binds every public CA from a day on, and changes how CAs read CAA.
type Rule struct {
	Name    string
	Section string
	From    time.Time
	Before  string                         // how a CA may read CAA until then
	After   string                         // how CAs read it from then on
	read    func(d *Dialect, inForce bool) // nil where no dialect reads otherwise
}

// The rules.
var (
	AuthorizationDomainNames = Rule{"authorization-domain-names", "BR 3.2.2.4", day(2026, 11, 15), // ballot SC-101
		"a CA may choose the name that it validates by its own reading of the method", "each method says whether it validates wildcards, names above, and the targets of CNAMEs", nil}
	ParametersBind = Rule{"parameters-bind", "BR 4.2.2.1.2", day(2027, 3, 15), // ballot SC-098v2
		"a CA may ignore accounturi and validationmethods", "every CA issues to the accounts and by the methods alone that they name",
		func(d *Dialect, inForce bool) {
			if inForce && len(d.BoundTags) == 0 {
				d.BoundTags = RFC.BoundTags
			}
		}}
	LabelsBind = Rule{"labels-bind", "BR 4.2.2.1.2", day(2027, 3, 15),
		"a CA need not understand the labels ca-tbr-<n>", "every CA understands them, and may accept each label of the method that it validates by",
		func(d *Dialect, inForce bool) { d.AlikeMethods = d.AlikeMethods && inForce }}
	ParentAccounts = Rule{"parent-account", "BR 4.2.2.1.2", day(2027, 3, 15),
		"accounturi names the very account that orders", "a CA may issue to a subordinate of the account that accounturi names",
		func(d *Dialect, inForce bool) { d.ParentAccount = d.ParentAccount && inForce }}
)

// Rules are all of them, by their days.
var Rules = []*Rule{&AuthorizationDomainNames, &ParametersBind, &LabelsBind, &ParentAccounts}

// InForce reports whether a rule binds on a day.
func (r *Rule) InForce(at time.Time) bool { return !at.Before(r.From) }

// DialectsAt returns the dialects that a CA may read in on a day, the strictest first. The CA is bound by some rules
// earlier than all others.
func DialectsAt(at time.Time, early ...*Rule) []Dialect {
	set := 0
	for i, r := range Rules {
		if r.InForce(at) || slices.Contains(early, r) {
			set |= 1 << i
		}
	}
	return readings[set]
}

// readings are the dialects by the set of the rules in force, bit i for Rules[i].
var readings = func() [][]Dialect {
	out := make([][]Dialect, 1<<len(Rules))
	for set := range out {
		out[set] = slices.Clone(Dialects)
		for i := range out[set] {
			for bit, r := range Rules {
				if r.read != nil {
					r.read(&out[set][i], set&(1<<bit) != 0)
				}
			}
		}
	}
	return out
}()

func day(year int, month time.Month, day int) time.Time {
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}
