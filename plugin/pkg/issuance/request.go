package issuance

// CertificateType says which Property Tags bind a request.
type CertificateType uint8

// The kinds of certificate that a CAA property can restrict.
const (
	TLS   CertificateType = iota // issue and, for a wildcard, issuewild (RFC 8659 4.2, 4.3)
	SMIME                        // issuemail (RFC 9495)
	VMC                          // issuevmc (BIMI mark certificates)
)

// String is the type as a policy and a report write it: tls, smime or vmc.
func (t CertificateType) String() string {
	if names := [...]string{TLS: "tls", SMIME: "smime", VMC: "vmc"}; int(t) < len(names) {
		return names[t]
	}
	return "unknown"
}

// MarshalText makes it so in JSON, too.
func (t CertificateType) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Request is what a CA holds against the Relevant RRset.
type Request struct {
	Issuers  []string        // the Issuer Domain Names that the CA answers to
	Type     CertificateType // TLS unless said otherwise
	Wildcard bool            // a Wildcard Domain Name; only TLS asks for one
	Account  string          // the applicant's account URI (RFC 8657 3); "" is an account that matches no accounturi
	Method   string          // the validation method's label (RFC 8657 4); "" matches no validationmethods
}
