// Package mpic is the Open MPIC API as values: the requests and responses of `POST /mpic` for CAA checks, by the published
// OpenAPI document (open-mpic-specification 3.5.0). Both sides use it: the agent, which is the server, and the
// perspective, which is the client.
package mpic

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

// Path is where requests are posted.
const Path = "/mpic"

// CheckCAA is the check type of a CAA check.
const CheckCAA = "caa"

// The certificate types of the API. It has no type for mark certificates.
const (
	TLSServer = "tls-server"
	SMIME     = "s-mime"
)

// certificateTypes are those of the API by ours.
var certificateTypes = map[issuance.CertificateType]string{issuance.TLS: TLSServer, issuance.SMIME: SMIME}

// CertificateType returns the API's name of a type; false if it has no name for it.
func CertificateType(t issuance.CertificateType) (string, bool) {
	word, ok := certificateTypes[t]
	return word, ok
}

// ParseCertificateType reads the API's name of a type. The empty name is TLS.
func ParseCertificateType(word string) (issuance.CertificateType, bool) {
	if word == "" {
		return issuance.TLS, true
	}
	for t, w := range certificateTypes {
		if w == word {
			return t, true
		}
	}
	return 0, false
}

// Request is CAAParams.
type Request struct {
	CheckType     string          `json:"check_type"`
	Target        string          `json:"domain_or_ip_target"`
	Orchestration *Orchestration  `json:"orchestration_parameters,omitempty"`
	Parameters    *CAAParameters  `json:"caa_check_parameters,omitempty"`
	DCVParameters json.RawMessage `json:"dcv_check_parameters,omitempty"` // of another check type
	Trace         string          `json:"trace_identifier,omitempty"`
}

// CAAParameters is CaaCheckParameters.
type CAAParameters struct {
	CertificateType string   `json:"certificate_type,omitempty"`
	Domains         []string `json:"caa_domains,omitempty"` // Issuer Domain Names that the CA answers to
}

// Orchestration is RequestOrchestrationParameters. A nil field was not given.
type Orchestration struct {
	PerspectiveCount *int `json:"perspective_count,omitempty"`
	QuorumCount      *int `json:"quorum_count,omitempty"`
	MaxAttempts      *int `json:"max_attempts,omitempty"`
}

// Effective is EffectiveOrchestrationParameters.
type Effective struct {
	PerspectiveCount int `json:"perspective_count"`
	QuorumCount      int `json:"quorum_count"`
	AttemptCount     int `json:"attempt_count"`
}

// Response is CAAResponse.
type Response struct {
	CheckType    string         `json:"check_type"`
	Target       string         `json:"domain_or_ip_target"`
	Valid        bool           `json:"is_valid"`
	Completed    bool           `json:"mpic_completed"`
	Requested    *Orchestration `json:"request_orchestration_parameters"`
	Actual       Effective      `json:"actual_orchestration_parameters"`
	Parameters   *CAAParameters `json:"caa_check_parameters"`
	Perspectives []Perspective  `json:"perspectives"`
	Trace        string         `json:"trace_identifier,omitempty"`
}

// Perspective is one of PerspectiveResponsesCAA.
type Perspective struct {
	Code  string `json:"perspective_code"`
	Check Check  `json:"check_response"`
}

// Check is CheckResponseCAA.
type Check struct {
	CheckType string  `json:"check_type"`
	Completed bool    `json:"check_completed"`
	Passed    bool    `json:"check_passed"`
	Timestamp int64   `json:"timestamp_ns"` // since 1970
	Errors    []Error `json:"errors,omitempty"`
	Details   Details `json:"details"`
}

// Error is one of a check's errors.
type Error struct {
	Type    string `json:"error_type"`
	Message string `json:"error_message"`
}

// Details is the result of the lookup. Outcome and Reason are not of the API, which allows other fields.
type Details struct {
	Present bool    `json:"caa_record_present"`
	FoundAt *string `json:"found_at"`
	Records Records `json:"records_seen"`
	Outcome string  `json:"outcome,omitempty"` // of package verdict
	Reason  string  `json:"reason,omitempty"`  // stable
}

// Records are CAA records in presentation format, without their owners: `0 issue "ca.example"`. The
// document has one string, of which we write a line for each; Open MPIC itself sends a list. Both are read.
type Records []string

// MarshalJSON writes one string; null for no records.
func (r Records) MarshalJSON() ([]byte, error) {
	if len(r) == 0 {
		return []byte("null"), nil
	}
	return json.Marshal(strings.Join(r, "\n"))
}

// UnmarshalJSON reads a string, a list or null.
func (r *Records) UnmarshalJSON(data []byte) error {
	var list []string
	if err := json.Unmarshal(data, &list); err == nil {
		*r = list
		return nil
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("records_seen is neither a string nor a list of them")
	}
	*r = slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return strings.TrimSpace(line) == "" })
	return nil
}

// Both are more than any answer holds: 65,535 octets, of which a record takes 15, and each is written in four at most.
const (
	maxRecords = 4400
	maxText    = 4 * 65535
)

// RecordsOf writes an RRset. Octets that do not print are escaped, so a record is one line of ASCII.
func RecordsOf(rrset issuance.RRset) Records {
	var out Records
	for _, p := range rrset {
		out = append(out, fmt.Sprintf(`%d %s "%s"`, p.Flags, escape(p.Tag, true), escape(p.Value, false)))
	}
	return out
}

func escape(octets string, inTag bool) string {
	var b strings.Builder
	for _, c := range []byte(octets) {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < '!' && inTag, c < ' ', c > '~':
			fmt.Fprintf(&b, `\%03d`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// RRset parses the records. The error names the one that is not a CAA record.
func (r Records) RRset() (issuance.RRset, error) {
	if len(r) > maxRecords {
		return nil, fmt.Errorf("%d records are more than an answer holds", len(r))
	}
	var out issuance.RRset
	length := 0
	for _, text := range r {
		if length += len(text); length > maxText {
			return nil, fmt.Errorf("%d octets of records are more than an answer holds", length)
		}
		p, err := property(text)
		if err != nil {
			return nil, fmt.Errorf("%.80q is not a CAA record: %w", text, err)
		}
		out = append(out, p)
	}
	return out, nil
}

// recordPattern is flags, tag and value in presentation format (RFC 8659 4.1.1). The library's parser
// would take no value of more than 255 octets, and those with accounts are longer.
var recordPattern = regexp.MustCompile(`^([0-9]{1,3})[ \t]+([!-~]+)[ \t]+(?:"((?:[ !#-\[\]-~]|\\[ -~])*)"|([!#-~][!-~]*))$`)

func property(text string) (issuance.Property, error) {
	m := recordPattern.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return issuance.Property{}, fmt.Errorf("want flags, tag and value")
	}
	flags, err := strconv.ParseUint(m[1], 10, 8)
	return issuance.Property{Flags: uint8(flags), Tag: dnssec.Octets(m[2]), Value: dnssec.Octets(m[3] + m[4])}, err
}
