// Package report is what caacheck found, as values, and the ways to show them: text for people and one
// JSON document, whose schema is [Schema]. Nothing here decides anything.
package report

import (
	_ "embed"
	"io"
	"slices"
	"time"

	"github.com/coredns-caa/caa/checker/dnssec"
	"github.com/coredns-caa/caa/checker/finding"
	"github.com/coredns-caa/caa/checker/perspective"
	"github.com/coredns-caa/caa/checker/verdict"
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
	At       time.Time `json:"at"`      // when it was looked
	RulesOf  string    `json:"rules_of"`
	Complete bool      `json:"complete"` // false when it was interrupted: then names are missing
	Notes    []string  `json:"notes,omitempty"`
	Names    []Name    `json:"names"`
	Findings []Finding `json:"findings"`

	index map[string]int // of Findings, until they are sorted
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

// Relevant is the Relevant RRset (RFC 8659 3); nil where there is none, or it could not be found.
type Relevant struct {
	AskedAt    string        `json:"asked_at"` // the name on the way up that it answered for
	Owner      string        `json:"owner"`    // where it stands: another name where AskedAt is an alias
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
	Property   *Property                `json:"property,omitempty"` // that decided

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

// Zone is one zone of the chains of trust: one chain, but for aliases.
type Zone struct {
	Name     string        `json:"name"`
	Parent   string        `json:"parent,omitempty"` // "" for the first
	Security dnssec.Result `json:"security"`
	DS       []uint16      `json:"ds_key_tags,omitempty"`
	Ends     []End         `json:"signature_ends,omitempty"` // of those seen: the first of its keys, and of all else
	Servers  []string      `json:"servers"`
}

// Drift is where what is seen is not what the policy says.
type Drift struct {
	Pos    policy.Position `json:"position"`
	Policy []Property      `json:"policy"`
	Seen   []Property      `json:"seen"`
	Alias  string          `json:"alias,omitempty"` // the target, where the name is an alias for the server
	Server string          `json:"server"`          // that says so
}

// Finding is a finding with the names that it was found for.
type Finding struct {
	finding.Finding
	Names []string `json:"names"`
}

// AddFindings takes a name's findings in; what was found for another name already is told once.
func (r *Report) AddFindings(name string, found []finding.Finding) {
	if r.index == nil {
		r.index = map[string]int{}
	}
	for _, f := range found {
		key := f.Code + "\x00" + f.Subject + "\x00" + f.Text
		i, known := r.index[key]
		if !known {
			i = len(r.Findings)
			r.index[key] = i
			r.Findings = append(r.Findings, Finding{Finding: f})
		}
		if names := r.Findings[i].Names; len(names) == 0 || names[len(names)-1] != name {
			r.Findings[i].Names = append(names, name)
		}
	}
}

// Rank takes more findings in, and puts those first that are the worst.
func (r *Report) Rank(more ...Finding) {
	r.Findings = append(r.Findings, more...)
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return int(b.Severity) - int(a.Severity) })
}

// Exit codes.
const (
	ExitFine    = 0 // all may issue
	ExitMend    = 1 // someone is locked out or at risk, or something must be mended
	ExitUnknown = 2 // it could not be found out, or wrong usage
)

// ExitCode is the status that says the report in one number: what must be mended goes before what could
// not be found out.
func (r *Report) ExitCode() int {
	code := ExitFine
	if !r.Complete {
		code = ExitUnknown
	}
	for _, n := range r.Names {
		for _, v := range n.Verdicts {
			switch v.Outcome {
			case verdict.LockedOut, verdict.AtRisk:
				return ExitMend
			case verdict.Unknown:
				code = ExitUnknown
			}
		}
		if len(n.Drift) > 0 {
			return ExitMend
		}
	}
	for _, f := range r.Findings {
		if f.Severity == finding.Error {
			return ExitMend
		}
	}
	return code
}

// WriteJSON writes the report as one JSON document.
func (r *Report) WriteJSON(w io.Writer) error {
	return terminal.WriteJSON(w, r)
}
