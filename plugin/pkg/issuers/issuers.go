// Package issuers is the directory of public CAs' Issuer Domain Names: data of November 2026 from the CCADB's report and the
// CAs' own documents. The list changes within months: a name that it does not have may still be right.
package issuers

import (
	_ "embed"
	"encoding/json"
	"slices"
	"strings"
	"sync"
)

//go:embed directory.json
var data []byte

// CA is one operator.
type CA struct {
	Operator        string   `json:"operator"`
	Domains         []string `json:"domains"`          // all that it honours; other operators honour some of them, too
	Preferred       string   `json:"preferred"`        // one of Domains
	Deprecated      []string `json:"deprecated"`       // those of Domains that it advises against
	Unconfirmed     []string `json:"unconfirmed"`      // those of Domains that the CCADB's report of August 2026 does not have
	Retired         []string `json:"retired"`          // once published, no longer honoured
	Resellers       []string `json:"resellers"`        // names found in CAA records that authorise nobody
	AccountPrefixes []string `json:"account_prefixes"` // of its ACME accounts' URIs
	StagingPrefixes []string `json:"staging_prefixes"`
	Parameters      bool     `json:"parameters"` // whether it says that it processes RFC 8657
	ACMEHosts       []string `json:"acme_hosts"` // of its ACME directories and accounts; they are not Issuer Domain Names
	Mistaken        []string `json:"mistaken"`   // other names, of its brands and sites, that people write instead
}

// Status is what the directory knows of a name.
type Status int

// The kinds of names.
const (
	Unknown Status = iota
	Listed
	Deprecated
	Unconfirmed
	Retired
	Reseller
)

// Entry is what the directory knows of a name. For a reseller CAs are those that it buys from.
type Entry struct {
	Status Status
	CAs    []*CA
}

// Honoured reports whether a CA is known to issue under the name.
func (e Entry) Honoured() bool {
	return e.Status == Listed || e.Status == Deprecated || e.Status == Unconfirmed
}

// Operators returns those of its CAs, for people.
func (e Entry) Operators() string {
	var out []string
	for _, ca := range e.CAs {
		out = append(out, ca.Operator)
	}
	return strings.Join(out, ", ")
}

// rows are the statuses, the deciding one first: a name has the status of its first row, and the CAs of that row.
var rows = []struct {
	status Status
	names  func(*CA) []string
}{
	{Deprecated, func(ca *CA) []string { return ca.Deprecated }},
	{Unconfirmed, func(ca *CA) []string { return ca.Unconfirmed }},
	{Listed, func(ca *CA) []string { return ca.Domains }},
	{Retired, func(ca *CA) []string { return ca.Retired }},
	{Reseller, func(ca *CA) []string { return ca.Resellers }},
}

// directory is built once: it never changes afterwards.
var directory = sync.OnceValue(func() (d struct {
	cas     []*CA
	entries map[string]Entry
}) {
	var file struct {
		CAs []*CA `json:"cas"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		panic("issuers: the embedded directory is damaged: " + err.Error()) // a test reads it all
	}
	d.cas, d.entries = file.CAs, map[string]Entry{}
	for _, row := range rows {
		for _, ca := range d.cas {
			for _, name := range row.names(ca) {
				e, known := d.entries[name]
				if known && e.Status != row.status {
					continue // an earlier row decides
				}
				d.entries[name] = Entry{row.status, append(e.CAs, ca)}
			}
		}
	}
	return d
})

// Lookup finds a name, in lower case without a trailing dot.
func Lookup(domain string) Entry { return directory().entries[domain] }

// Names returns the names to propose: those that CAs honour, do not deprecate, and that the report has, each once.
func Names() []string { return slices.Clone(names()) }

var names = sync.OnceValue(func() []string {
	var names []string
	for _, ca := range directory().cas {
		for _, name := range ca.Domains {
			if Lookup(name).Status == Listed && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
})

// ByAccount returns the CA to which an ACME account's URI belongs, and whether the account is of its staging environment;
// nil where no CA is known to have such URIs.
func ByAccount(uri string) (ca *CA, staging bool) {
	for _, ca := range directory().cas {
		if hasPrefix(uri, ca.AccountPrefixes) {
			return ca, false
		}
		if hasPrefix(uri, ca.StagingPrefixes) {
			return ca, true
		}
	}
	return nil, false
}

func hasPrefix(s string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(s, prefix) })
}

// Answers reports whether the CA honours a name.
func (ca *CA) Answers(domain string) bool { return slices.Contains(ca.Domains, domain) }
