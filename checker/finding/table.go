package finding

import (
	"slices"
	"sync"

	"github.com/coredns-caa/caa/plugin/pkg/catalog"
)

// rule is one row of the table.
type rule struct {
	catalog  catalog.Entry
	about    about
	find     func(*Case) []sign
	say      func(group) string // the text of a finding; nil for group.String
	anyZone  bool               // a fault of servers or of a value, the same in whatever zone it shows
	symptoms []string           // codes that are not reported where this is, of the same zone and servers
	content  bool               // about what the Relevant RRset says: a fault of its owner, in whatever zone
}

// about is what the findings of a rule are about.
type about uint8

const (
	aboutZone about = iota
	aboutServers
	aboutItems // the names or RRsets that it affects
)

// SignatureLate is the code of a row whose findings take several runs: checker/resign makes them.
const SignatureLate = "signature-late"

// tables are all rows: one table, in the files of their subjects.
var tables = sync.OnceValue(func() []rule {
	content := slices.Clone(contentRules)
	for i := range content {
		content[i].content = true
	}
	return slices.Concat(serverRules, parentRules, signatureRules, content, runRules)
})

// runRules are about what only several runs show.
var runRules = []rule{{
	catalog: catalog.Entry{
		Code: SignatureLate, Severity: catalog.Error, Section: "RFC 6781 4.4.2",
		Text: "the zone's signer did not renew signatures when it did in earlier runs: less is left than half of what was left then, and less than a fifth of their validity",
		Fix:  "check that the signer still runs, and that the signed zone is transferred",
	},
}}

// Entries returns the catalog of findings, in the table's order.
func Entries() []catalog.Entry {
	var out []catalog.Entry
	for _, r := range tables() {
		out = append(out, r.catalog)
	}
	return out
}

// Entry returns the entry of a code, false for one that is not in the catalog.
func Entry(code string) (catalog.Entry, bool) {
	i := slices.IndexFunc(tables(), func(r rule) bool { return r.catalog.Code == code })
	if i < 0 {
		return catalog.Entry{}, false
	}
	return tables()[i].catalog, true
}

// New returns a finding of a row of the table about one subject.
func New(code, subject, text string, evidence ...string) Finding {
	e := row(code).catalog
	return Finding{
		Code: e.Code, Severity: e.Severity, Subject: subject, Subjects: []string{subject},
		Text: text, Evidence: evidence, Section: e.Section, Fix: e.Fix,
	}
}

// row returns the row of a code, which has to be in the table.
func row(code string) *rule {
	return &tables()[slices.IndexFunc(tables(), func(r rule) bool { return r.catalog.Code == code })]
}
