package policy

import "fmt"

// Limit is one bound of what a policy may be. What is over it is refused before it costs more: a file that
// somebody else wrote must not take the server's memory or time away from what it serves.
type Limit struct {
	Name string // for people and the manual
	Most int
	Unit string
	Why  string // the reason for this number
	Do   string // what the operator does whose policy is over it
}

// The limits, each with its row in Limits.
const (
	// MaxSize is the largest policy file that is read, in octets.
	MaxSize = 16 << 20
	// MaxEntries bounds the syntax tree, whose nodes take 160 octets and more.
	MaxEntries = 1_500_000
	// MaxNames bounds what is kept for each name, in the policy and where it is served.
	MaxNames = 250_000
	// MaxPublished bounds the product of what is inherited and who inherits it, in octets.
	MaxPublished = 128 << 20
	// MaxIssuances bounds the product of certificates, accounts and methods.
	MaxIssuances = 500_000
	// MaxErrors is how many errors, refusals and warnings are kept.
	MaxErrors = 1000

	// maxDepth is deeper than the language ever nests.
	maxDepth = 16
	// shownErrors is how many errors are printed.
	shownErrors = 100
)

var (
	limitOctets    = Limit{"size", MaxSize, "octets", "four times what 100,000 names need", "split the policy over several servers"}
	limitEntries   = Limit{"entries", MaxEntries, "entries of lists and mappings", "fifteen for each of 100,000 names; each takes some 200 octets of memory", "split the policy over several servers"}
	limitDepth     = Limit{"depth", maxDepth, "levels", "deeper than the language ever nests", "check the indentation and the brackets"}
	limitNames     = Limit{"names", MaxNames, "zones and names", "each takes some 1,000 octets of memory, and more once it is served", "leave out names that say what their zone says, or split the policy over several servers"}
	limitPublished = Limit{"published", MaxPublished, "octets of CAA records, those that names inherit counted at each", "500 for each of 250,000 names", "declare fewer accounts and properties, or say them at the names that need them and not in default"}
	limitIssuances = Limit{"issuances", MaxIssuances, "required issuances", "each certificate counts once for each account and method of its issuer, and each is proved", "name the account and the method in certificates"}
	limitErrors    = Limit{"errors", MaxErrors, "errors, refusals or warnings", "more are one mistake made often", "fix the first ones and look again"}
	limitShown     = Limit{"shown", shownErrors, "lines of errors in the log", "more drown a log", "run caacheck lint, which shows them all"}

	// Limits are all of them.
	Limits = []Limit{limitOctets, limitEntries, limitDepth, limitNames, limitPublished, limitIssuances, limitErrors, limitShown}
)

// over is the message for what is over a limit.
func (l Limit) over() string {
	return fmt.Sprintf("the policy has more than %s %s; %s", grouped(l.Most), l.Unit, l.Do)
}

// grouped is a number with its thousands apart.
func grouped(n int) string {
	text := fmt.Sprint(n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}
