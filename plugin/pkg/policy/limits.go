package policy

import (
	"fmt"

	"github.com/coredns-caa/caa/plugin/pkg/yamlpos"
)

// Limit is one bound of a policy. A policy over it is refused before it costs more: a file that somebody else wrote must not
// take memory or time away from what the server serves.
type Limit struct {
	Name string // for people and the manual
	Most int
	Unit string
	Why  string // the reason for this number
	Do   string // what the operator does whose policy is over it

	// What a policy multiplies has a limit by the file's size, too: Free, and Each for an octet. So the work
	// to refuse a file grows as its size, however small it is. 0 and 0: there is none.
	Free, Each int
}

// The limits, each with its row in Limits.
const (
	// MaxSize is the largest policy file that is read, in octets.
	MaxSize = 16 << 20
	// MaxEntries bounds the syntax tree, whose nodes take 50 octets and their text.
	MaxEntries = 1_500_000
	// MaxNames bounds what is kept for each name, in the policy and where it is served.
	MaxNames = 250_000
	// MaxPublished bounds the product of what is inherited and who inherits it, in octets.
	MaxPublished = 128 << 20
	// MaxIssuances bounds the product of certificates, accounts and methods.
	MaxIssuances = 500_000
	// MaxProofs bounds the product of those and the records of their names.
	MaxProofs = 20_000_000
	// MaxErrors is how many errors, refusals and warnings are kept.
	MaxErrors = yamlpos.MaxErrors

	// maxDepth is deeper than the language ever nests.
	maxDepth = 16
)

var (
	limitSize = Limit{Name: "size", Most: MaxSize, Unit: "octets",
		Why: "four times what 100,000 names need", Do: "split the policy over several servers"}
	limitEntries = Limit{Name: "entries", Most: MaxEntries, Unit: "entries of lists and mappings",
		Why: "fifteen for each of 100,000 names; each takes some 100 octets of memory", Do: "split the policy over several servers"}
	limitDepth = Limit{Name: "depth", Most: maxDepth, Unit: "levels",
		Why: "deeper than the language ever nests", Do: "check the indentation and the brackets"}
	limitNames = Limit{Name: "names", Most: MaxNames, Unit: "zones and names",
		Why: "each takes some 1,000 octets of memory, and more once it is served", Do: "leave out names that inherit all from their zone, or split the policy over several servers"}
	limitPublished = Limit{Name: "published", Most: MaxPublished, Free: 8 << 20, Each: 128, Unit: "octets of CAA records, counted at each name that has them",
		Why: "500 for each of 250,000 names", Do: "declare fewer accounts and properties, or write them at the names that need them and not in default"}
	limitIssuances = Limit{Name: "issuances", Most: MaxIssuances, Free: 20_000, Each: 2, Unit: "required issuances",
		Why: "a certificate counts once for each account and method of its issuer that it leaves open, and each is proved", Do: "write the account and the method in certificates"}
	limitProofs = Limit{Name: "proofs", Most: MaxProofs, Free: 250_000, Each: 4, Unit: "records that required issuances are compared with, equal RRsets once",
		Why: "each required issuance is compared with each record of its name, in three dialects; so many take some seconds", Do: "write the account and the method in certificates, or declare fewer accounts"}
	limitErrors = Limit{Name: "errors", Most: MaxErrors, Unit: "errors, refusals or warnings kept",
		Why: "more are usually one mistake, repeated", Do: "fix the first ones and look again"}
	limitShown = Limit{Name: "shown", Most: yamlpos.ShownErrors, Unit: "lines of errors in the log",
		Why: "more make a log unreadable", Do: "run caacheck lint, which shows all that are kept"}

	// Limits are all of them.
	Limits = []Limit{limitSize, limitEntries, limitDepth, limitNames, limitPublished, limitIssuances, limitProofs, limitErrors, limitShown}
)

// of returns the limit of a file of a size.
func (l Limit) of(size int) int {
	if l.Each == 0 {
		return l.Most
	}
	return min(l.Most, l.Free+l.Each*size)
}

// over returns the message for what is over the limit of a file of a size.
func (l Limit) over(size int) string {
	return fmt.Sprintf("the policy has more than %s %s; %s", grouped(l.of(size)), l.Unit, l.Do)
}

// tally counts what a limit is about.
type tally struct {
	limit Limit
	size  int // of the file
	n     int
}

// within reports whether the count is.
func (t *tally) within() bool { return t.n <= t.limit.of(t.size) }

// add counts more, and reports whether that goes over the limit now.
func (t *tally) add(n int) (over bool) {
	before := t.within()
	t.n += n
	return before && !t.within()
}

// grouped returns a number with commas between its thousands.
func grouped(n int) string {
	text := fmt.Sprint(n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}
