package quorum

import "time"

// Rule is what the Baseline Requirements ask of an issuance from a date on (BR 3.2.2.9, "Phased
// Implementation Timeline").
type Rule struct {
	From     time.Time `json:"from"`
	Enforced bool      `json:"enforced"` // false: a CA may issue whatever the remote perspectives say
	Remotes  int       `json:"remotes"`  // distinct remote perspectives, at least
	Regions  int       `json:"regions"`  // of the remotes that corroborate, at least
}

// timeline is the table of the phases, the first one first.
var timeline = [...]Rule{
	{From: date(2025, 3, 15), Remotes: 2},
	{From: date(2025, 9, 15), Remotes: 2, Enforced: true},
	{From: date(2026, 3, 15), Remotes: 3, Enforced: true, Regions: 2},
	{From: date(2026, 6, 15), Remotes: 4, Enforced: true, Regions: 2},
	{From: date(2026, 12, 15), Remotes: 5, Enforced: true, Regions: 2},
}

func date(year int, month time.Month, day int) time.Time {
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

// RuleOf is the rule of a day. Before the first phase it asks for nothing.
func RuleOf(day time.Time) Rule {
	var rule Rule
	for _, r := range timeline {
		if !day.Before(r.From) {
			rule = r
		}
	}
	return rule
}

// After are the rules that come into force after a day, in order.
func After(day time.Time) []Rule {
	for i, r := range timeline {
		if day.Before(r.From) {
			return append([]Rule(nil), timeline[i:]...)
		}
	}
	return nil
}

// ReuseDays is for how long a CA may rely on a corroboration of a domain's CAA instead of asking its remote
// perspectives again. The primary always looks.
const ReuseDays = 398

// allowances is the table "Quorum Requirements": so many distinct remotes used, so many of them need
// not corroborate.
var allowances = [...]struct{ remotes, allowed int }{{2, 1}, {6, 2}}

// Allowed is how many of so many distinct remotes need not corroborate.
func Allowed(remotes int) int {
	allowed := 0
	for _, row := range allowances {
		if remotes >= row.remotes {
			allowed = row.allowed
		}
	}
	return allowed
}
