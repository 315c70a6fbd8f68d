package issuance

import "slices"

// CertificateType says which Property Tags bind a request.
type CertificateType uint8

// The kinds of certificate that a CAA property can restrict.
const (
	TLS   CertificateType = iota // issue and, for a wildcard, issuewild (RFC 8659 4.2, 4.3)
	SMIME                        // issuemail (RFC 9495)
	VMC                          // issuevmc (BIMI mark certificates)
)

var typeNames = [...]string{TLS: "tls", SMIME: "smime", VMC: "vmc"}

// CertificateTypes returns all of them.
func CertificateTypes() []CertificateType {
	out := make([]CertificateType, len(typeNames))
	for i := range out {
		out[i] = CertificateType(i)
	}
	return out
}

// ParseType returns the type of a name that String returns.
func ParseType(name string) (t CertificateType, ok bool) {
	i := slices.Index(typeNames[:], name)
	return CertificateType(max(i, 0)), i >= 0
}

// String returns the type as a policy and a report write it: tls, smime or vmc.
func (t CertificateType) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return "unknown"
}

// MarshalText writes the type as String does, in JSON for one.
func (t CertificateType) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Request is what a CA holds against the Relevant RRset.
type Request struct {
	Issuers  []string        // the Issuer Domain Names that the CA answers to
	Type     CertificateType // TLS by default
	Wildcard bool            // a Wildcard Domain Name; only of TLS
	Account  string          // the applicant's account URI (RFC 8657 3); "" is an account that matches no accounturi
	Method   string          // the validation method's label (RFC 8657 4); "" matches no validationmethods

	ParentAccount string // the URI of the account that Account is a subordinate of (BR 4.2.2.1.2); "" for none
}
