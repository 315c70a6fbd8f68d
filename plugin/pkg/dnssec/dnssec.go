// Package dnssec validates what name servers answer: RRsets, denials of existence and delegations go
// in, each with the keys of its zone, and a [Result] comes out: Secure, Insecure, Bogus or
// Indeterminate (RFC 4035 4.3), with a stable reason and the records that it rests on.
//
// It reads RFC 4035 5, RFC 5155 8, RFC 6840, RFC 9276 and RFC 9824. Functions are pure: no look-up,
// no clock, and nothing kept but, in a [Memory] and without a change to any result, which signatures have
// verified. A denial proves just what was asked for and is never used for another
// question: RFC 8198 is off, for who checks wants to see what each answer says.
package dnssec

import (
	"fmt"

	"github.com/miekg/dns"
)

// Status is the security status of data (RFC 4035 4.3). Its zero value is Indeterminate.
type Status uint8

// The statuses.
const (
	Indeterminate Status = iota // no trust anchor says whether it ought to be signed, or it could not be found out
	Secure                      // a chain of signatures leads to a trust anchor
	Insecure                    // proved to lie outside what is signed
	Bogus                       // ought to be signed, and is not, or wrongly
)

var statusNames = [...]string{"indeterminate", "secure", "insecure", "bogus"}

// String is the status as reports write it.
func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return fmt.Sprintf("status %d", uint8(s))
}

// MarshalText makes it so in JSON, too.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Reason is the stable code of why a Result came out as it did.
type Reason string

// Reasons. Reports and tests may compare them.
const (
	Signed  Reason = "signed"  // a signature by a key of the zone verifies
	Matched Reason = "matched" // a key that DS or the trust anchor names signs the DNSKEY RRset

	SignatureMissing  Reason = "signature-missing"       // no RRSIG covers the RRset
	SignatureExpired  Reason = "signature-expired"       // RFC 4035 5.3.1
	SignatureEarly    Reason = "signature-not-yet-valid" // RFC 4035 5.3.1
	SignatureWrong    Reason = "signature-wrong"         // it does not verify
	SignatureMisfit   Reason = "signature-misfit"        // by another zone, or with more labels than the name (RFC 4035 5.3.1)
	SignatureNoKey    Reason = "signature-without-key"   // its key is not in the zone's DNSKEY RRset
	SignatureTooMany  Reason = "too-many-signatures"     // more than a validator tries (CVE-2023-50387)
	AlgorithmUnknown  Reason = "algorithm-unsupported"   // no DS, or no signature, of an algorithm known here (RFC 4035 5.2)
	KeyMissing        Reason = "key-missing"             // no DNSKEY that a DS names (RFC 4035 5.2)
	KeyUnsigned       Reason = "key-not-signing"         // that key does not sign the DNSKEY RRset
	Unanswered        Reason = "unanswered"              // nobody answered for the DS or the DNSKEY RRset
	InsecureCut       Reason = "insecure-delegation"     // a delegation proved to have no DS (RFC 4035 5.2)
	OptOut            Reason = "opt-out"                 // under an NSEC3 that leaves delegations out (RFC 5155 6)
	IterationsTooHigh Reason = "nsec3-iterations"        // RFC 9276 3.2
	NotACut           Reason = "not-a-delegation"        // proved: the name is no zone cut
	NoSuchName        Reason = "no-such-name"            // proved: the name does not exist
	NoSuchType        Reason = "no-such-type"            // proved: the name has no such RRset
	WildcardProved    Reason = "wildcard"                // proved: the wildcard is the closest match
	DenialMissing     Reason = "denial-missing"          // no NSEC or NSEC3 at all
	DenialFails       Reason = "denial-fails"            // there are some, but they do not prove it
	DenialContradicts Reason = "denial-contradicts"      // they prove that what is denied exists
)

// Result is what was found of a piece of data.
type Result struct {
	Status   Status   `json:"status"`
	Reason   Reason   `json:"reason"`
	Detail   string   `json:"detail,omitempty"`   // for people: which key, record or time
	Wildcard string   `json:"wildcard,omitempty"` // the RRset was made from it, which [Denial.Wildcard] has to prove, too
	Evidence []dns.RR `json:"-"`                  // the records that it rests on
}

// String is the result for people.
func (r Result) String() string {
	if r.Detail == "" {
		return fmt.Sprintf("%v (%s)", r.Status, r.Reason)
	}
	return fmt.Sprintf("%v (%s): %s", r.Status, r.Reason, r.Detail)
}

func bogus(reason Reason, evidence []dns.RR, format string, args ...any) Result {
	return Result{Status: Bogus, Reason: reason, Detail: fmt.Sprintf(format, args...), Evidence: evidence}
}

func insecure(reason Reason, evidence []dns.RR, format string, args ...any) Result {
	return Result{Status: Insecure, Reason: reason, Detail: fmt.Sprintf(format, args...), Evidence: evidence}
}

func secure(reason Reason, evidence ...dns.RR) Result {
	return Result{Status: Secure, Reason: reason, Evidence: evidence}
}
