// Package report is what caacheck found, as values to show, and the ways to show them: text for people and one
// JSON document, whose schema is [Schema], JUnit and SARIF for CI, and a page. [Of] makes a [Report] of what a session
// found, once; nothing is read back out of it, and nothing here decides anything.
package report

import (
	_ "embed"
	"io"
	"slices"
	"time"

	"github.com/coredns-caa/caa/checker/finding"
	"github.com/coredns-caa/caa/checker/perspective"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

//go:embed schema.json
var schema []byte

// Schema is the JSON Schema (draft 2020-12) of a Report in JSON.
func Schema() []byte { return slices.Clone(schema) }

// Report is what was found of all names.
type Report struct {
	Version  int       `json:"version"` // 1
	At       time.Time `json:"at"`      // when the run began
	RulesOf  string    `json:"rules_of"`
	Complete bool      `json:"complete"` // false when it was interrupted: then names are missing
	Notes    []string  `json:"notes,omitempty"`
	Names    []Name    `json:"names"`
	Findings []Finding `json:"findings"`

	exit int // ExitCode
}

// Name is what was found of one name.
type Name struct {
	Name     string    `json:"name"` // as in a certificate
	Relevant *Relevant `json:"relevant_rrset"`
	Verdicts []Verdict `json:"verdicts"`
	Climb    []Step    `json:"climb"`
	Zones    []Zone    `json:"zones"` // that hold what the climb asked for, and those above them: the parent first
	Drift    []Drift   `json:"drift,omitempty"`
}

// Relevant is the Relevant RRset (RFC 8659 3); nil where there is none, or it could not be determined.
type Relevant struct {
	AskedAt    string        `json:"asked_at"` // the name on the way up that it answered for
	Owner      string        `json:"owner"`    // of the RRset: another name where AskedAt is an alias
	Zone       string        `json:"zone"`
	TTL        uint32        `json:"ttl"`
	Security   dnssec.Result `json:"security"`
	Properties []Property    `json:"properties"`
}

// Property is one CAA record. Octets that are no UTF-8 are replaced in JSON.
type Property struct {
	Flags uint8  `json:"flags"`
	Tag   string `json:"tag"`
	Value string `json:"value"`
}

// Verdict is what becomes of one request.
type Verdict struct {
	Issuer     string                   `json:"issuer"`
	Type       issuance.CertificateType `json:"type"`
	Account    string                   `json:"account,omitempty"`
	Method     string                   `json:"method,omitempty"`
	RequiredBy *policy.Position         `json:"required_by,omitempty"` // the line of the policy
	Outcome    verdict.Outcome          `json:"outcome"`
	Reason     issuance.Reason          `json:"reason"`
	Detail     string                   `json:"detail,omitempty"`
	Denies     []string                 `json:"denying_readings,omitempty"`
	Property   *Property                `json:"property,omitempty"`  // that decided
	Fix        string                   `json:"fix,omitempty"`       // how to fix it, one line; "" where the CA may issue
	Corrected  *Property                `json:"corrected,omitempty"` // the record to write, where it is known

	Corroboration *perspective.Judged `json:"corroboration,omitempty"` // by other perspectives; nil without them
}

// Step is one name of the climb.
type Step struct {
	Name       string        `json:"name"`
	Aliases    []string      `json:"aliases,omitempty"` // owner, type and target
	Zone       string        `json:"zone,omitempty"`
	Kind       string        `json:"kind"`
	Failure    string        `json:"failure,omitempty"`
	Security   dnssec.Result `json:"security"`
	Properties []Property    `json:"properties,omitempty"`
	Servers    []string      `json:"servers"`                   // that were asked until one answered
	Errors     []string      `json:"extended_errors,omitempty"` // that they sent (RFC 8914)
}

// Zone is one zone of the chains of trust: there is one chain, and another for each alias into another zone.
type Zone struct {
	Name     string        `json:"name"`
	Parent   string        `json:"parent,omitempty"` // "" for the first
	Security dnssec.Result `json:"security"`
	DS       []uint16      `json:"ds_key_tags,omitempty"`
	Ends     []End         `json:"signature_ends,omitempty"` // of those seen: the first of its keys, and of all else
	Servers  []string      `json:"servers"`
}

// Drift is a server that does not return the CAA records of the policy.
type Drift struct {
	Pos    policy.Position `json:"position"`
	Policy []Property      `json:"policy"`
	Seen   []Property      `json:"seen"`
	Alias  string          `json:"alias,omitempty"` // the target, where the name is an alias for the server
	Server string          `json:"server"`          // that returns it
	Fix    string          `json:"fix"`

	several bool // Server is several, for text
}

// Finding is a finding with the names that it was found for.
type Finding struct {
	finding.Finding
	Names []string `json:"names"`
}

// Exit codes.
const (
	ExitFine    = 0 // all may issue
	ExitWrong   = 1 // someone is locked out or at risk, or something must be fixed
	ExitUnknown = 2 // it could not be determined, or wrong usage
)

// WriteJSON writes the report as one JSON document.
func (r *Report) WriteJSON(w io.Writer) error {
	return terminal.WriteJSON(w, r)
}
