// Package issuers is the directory of public CAs' Issuer Domain Names, as data collected in November
// 2026 from the CCADB's report and the CAs' own documents. The list moves within months: a name that
// is not in it may still be right.
package issuers

import (
	_ "embed"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"
)

//go:embed directory.json
var data []byte

// CA is one operator.
type CA struct {
	Operator        string   `json:"operator"`
	Domains         []string `json:"domains"`          // all that it honours; some of them other operators honour, too
	Preferred       string   `json:"preferred"`        // one of Domains
	Deprecated      []string `json:"deprecated"`       // those of Domains that it advises against
	Unconfirmed     []string `json:"unconfirmed"`      // those of Domains that the CCADB's report of August 2026 does not have
	Retired         []string `json:"retired"`          // once published, honoured no more
	Resellers       []string `json:"resellers"`        // names found in CAA records that authorise nobody
	AccountPrefixes []string `json:"account_prefixes"` // of its ACME accounts' URIs
	StagingPrefixes []string `json:"staging_prefixes"`
	Parameters      bool     `json:"parameters"` // whether it says that it processes RFC 8657
	ACMEHosts       []string `json:"acme_hosts"` // of its ACME directories and accounts: none of them is an Issuer Domain Name
	Mistaken        []string `json:"mistaken"`   // other names, of its brands and sites, that are taken for one
}

// ParametersBindFrom is when every public CA has to process RFC 8657 (ballot SC-098v2).
var ParametersBindFrom = time.Date(2027, 3, 15, 0, 0, 0, 0, time.UTC)

// Status says what a name is to the directory.
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

// Operators are those of its CAs, for people.
func (e Entry) Operators() string {
	var out []string
	for _, ca := range e.CAs {
		out = append(out, ca.Operator)
	}
	return strings.Join(out, ", ")
}

// rows are what the directory says of names, what decides first: a name is what its first row says, and
// of the CAs in that row.
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
					continue // an earlier row knows better
				}
				d.entries[name] = Entry{row.status, append(e.CAs, ca)}
			}
		}
	}
	return d
})

// Lookup finds a name, in lower case without a trailing dot.
func Lookup(domain string) Entry { return directory().entries[domain] }

// Names are the names to offer: those that CAs honour and neither advise against nor left out of the
// report, each once.
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

// ByAccount finds the CA that an ACME account's URI belongs to, and whether it is one of its staging
// environment; nil when no CA's is known to look so.
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
