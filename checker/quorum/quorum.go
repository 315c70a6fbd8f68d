// Package quorum is Multi-Perspective Issuance Corroboration as a pure function (Baseline Requirements
// 3.2.2.9): what each network perspective observed, and where it is, go in; whether a CA that uses these
// may issue by the rule of a day comes out, with the clause that is not met.
//
// The primary perspective always has to permit; of the distinct remotes a few need not, and those that
// do must be in several regions. A perspective whose view is unknown is neither: whatever it might
// have observed is tried, and only what comes out the same either way is an outcome. So a silent agent is
// neither a permission nor a lock-out. Too few perspectives are a fault of the set, not of the name.
package quorum

import (
	"slices"
	"time"
)

// View is what one perspective makes of one request. Its zero value is Unknown.
type View uint8

// The views.
const (
	Unknown  View = iota // its lookup did not complete, or it could not be reached
	Permits              // it corroborates
	Disputed             // CAs would read what it observed differently
	Denies               // no CA would issue by what it observed
)

var viewNames = [...]string{"unknown", "permits", "disputed", "denies"}

// String is the view as reports write it.
func (v View) String() string { return viewNames[v] }

// MarshalText makes it so in JSON.
func (v View) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// Perspective is one network perspective with what it observed.
type Perspective struct {
	Name   string
	Region Region
	Place  Coordinates
	View   View
}

// Outcome is that of a quorum. Its zero value is Undetermined.
type Outcome uint8

// The outcomes.
const (
	Undetermined    Outcome = iota // too little is known from these perspectives
	Corroborated                   // a CA may issue
	Contested                      // it depends on how the CA reads what some perspectives observed
	NotCorroborated                // a CA must not issue
)

var outcomeNames = [...]string{"undetermined", "corroborated", "contested", "not corroborated"}

// String is the outcome as reports write it.
func (o Outcome) String() string { return outcomeNames[o] }

// MarshalText makes it so in JSON.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// Clause is a stable code of a part of the rule.
type Clause string

// The clauses, in the order in which they are looked at.
const (
	PrimaryPermits    Clause = "primary-permits"          // the primary's own determination is what the others corroborate
	EnoughRemotes     Clause = "enough-remotes"           // the timeline's number of distinct remotes
	NonCorroborations Clause = "non-corroborations"       // the table of the allowed ones
	EnoughRegions     Clause = "regions-of-corroborators" // of at least two registries
)

// Near is a remote that does not count, since it is less than 500 km away from one that does.
type Near struct {
	Name string  `json:"name"`
	To   string  `json:"to"`
	Km   float64 `json:"km"`
}

// Result is the outcome with what led to it.
type Result struct {
	Rule    Rule     `json:"rule"`
	Outcome Outcome  `json:"outcome"`
	Failed  []Clause `json:"failed,omitempty"` // not met; where the outcome is open, those that may not be

	Primary       string   `json:"primary"`
	Corroborating []string `json:"corroborating"`
	Others        []string `json:"not_corroborating,omitempty"` // remotes that deny, are disputed or unknown
	Allowed       int      `json:"allowed_non_corroborations"`
	Regions       []Region `json:"regions"` // of the corroborating
	NotDistinct   []Near   `json:"not_distinct,omitempty"`

	// Pivotal are the perspectives on each of which the outcome depends: with another view of it the outcome
	// would be another. The primary is not named for a corroboration, which always depends on it.
	Pivotal []string `json:"pivotal,omitempty"`
}

// Judge decides by a rule. The order of remotes matters only where some are less than 500 km apart: of
// those the first counts.
func Judge(primary Perspective, remotes []Perspective, rule Rule) Result {
	used, near := distinct(primary, remotes)
	all := append([]Perspective{primary}, used...)
	result := Result{
		Rule: rule, Primary: primary.Name, NotDistinct: near, Allowed: Allowed(len(used)),
		Corroborating: []string{}, Regions: []Region{},
	}
	result.Outcome, result.Failed = judge(all, rule)
	for _, p := range used {
		if p.View != Permits {
			result.Others = append(result.Others, p.Name)
			continue
		}
		result.Corroborating = append(result.Corroborating, p.Name)
		if !slices.Contains(result.Regions, p.Region) {
			result.Regions = append(result.Regions, p.Region)
		}
	}
	result.Pivotal = pivotal(all, rule, result.Outcome)
	return result
}

// Later is what a rule that is not yet in force will make of the same views, where that differs.
func Later(primary Perspective, remotes []Perspective, day time.Time) []Result {
	last := Judge(primary, remotes, RuleOf(day))
	var out []Result
	for _, rule := range After(day) {
		r := Judge(primary, remotes, rule)
		if r.Outcome != last.Outcome || !slices.Equal(r.Failed, last.Failed) {
			out = append(out, r)
		}
		last = r
	}
	return out
}

// distinct are the remotes at least 500 km away from the primary and from each other.
func distinct(primary Perspective, remotes []Perspective) (used []Perspective, near []Near) {
	for _, p := range remotes {
		closeTo := func(other Perspective) bool { return p.Place.Distance(other.Place) < MinDistance }
		counted := append([]Perspective{primary}, used...)
		if i := slices.IndexFunc(counted, closeTo); i >= 0 {
			near = append(near, Near{p.Name, counted[i].Name, p.Place.Distance(counted[i].Place)})
			continue
		}
		used = append(used, p)
	}
	return used, near
}

// judge tries what perspectives with an unknown view may have observed. The first of all is the primary.
func judge(all []Perspective, rule Rule) (Outcome, []Clause) {
	worst := unmet(read(all, Denies, Denies), rule)
	best := unmet(read(all, Permits, Permits), rule)
	switch {
	case len(worst) == 0:
		return Corroborated, nil
	case slices.ContainsFunc(best, ofNames):
		return NotCorroborated, clauses(best)
	case len(unmet(read(all, Denies, Permits), rule)) == 0 && len(unmet(read(all, Permits, Denies), rule)) > 0:
		return Contested, clauses(worst) // whatever the unknown ones observed
	}
	return Undetermined, clauses(worst)
}

// read is all views, with those that are unknown or disputed replaced.
func read(all []Perspective, unknown, disputed View) []Perspective {
	out := slices.Clone(all)
	for i := range out {
		switch out[i].View {
		case Unknown:
			out[i].View = unknown
		case Disputed:
			out[i].View = disputed
		}
	}
	return out
}

// failure is a clause that is not met. Lacking says that no view of these perspectives could meet it.
type failure struct {
	clause  Clause
	lacking bool
}

func ofNames(f failure) bool { return !f.lacking }

func clauses(failures []failure) []Clause {
	var out []Clause
	for _, f := range failures {
		out = append(out, f.clause)
	}
	return out
}

// unmet are the clauses of a rule that views of Permits and Denies do not meet.
func unmet(all []Perspective, rule Rule) []failure {
	var out []failure
	if all[0].View != Permits {
		out = append(out, failure{PrimaryPermits, false})
	}
	if !rule.Enforced {
		return out
	}
	var regions, corroborating []Region
	denials := 0
	for _, p := range all[1:] {
		regions = append(regions, p.Region)
		if p.View == Permits {
			corroborating = append(corroborating, p.Region)
		} else {
			denials++
		}
	}
	remotes := len(all) - 1
	if remotes < rule.Remotes {
		out = append(out, failure{EnoughRemotes, true})
	}
	if denials > Allowed(max(remotes, rule.Remotes)) { // with those that are missing, it would be no better
		out = append(out, failure{NonCorroborations, false})
	}
	if count(corroborating) < rule.Regions {
		out = append(out, failure{EnoughRegions, count(regions) < rule.Regions || remotes < rule.Remotes})
	}
	return out
}

// count is of different regions.
func count(regions []Region) int {
	slices.Sort(regions)
	return len(slices.Compact(regions))
}

// pivotal are those that with another view would give the corroboration or take it.
func pivotal(all []Perspective, rule Rule, outcome Outcome) []string {
	var out []string
	for i, p := range all {
		if i == 0 && outcome == Corroborated {
			continue
		}
		other := slices.Clone(all)
		other[i].View = Permits
		if p.View == Permits {
			other[i].View = Denies
		}
		if got, _ := judge(other, rule); (got == Corroborated) != (outcome == Corroborated) {
			out = append(out, p.Name)
		}
	}
	return out
}
