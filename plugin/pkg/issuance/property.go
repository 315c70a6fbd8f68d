package issuance

import "github.com/coredns-caa/caa/plugin/pkg/spelling"

// Property Tags of RFC 8659 4 (issue, issuewild, iodef), RFC 9495 (issuemail),
// the VMC Requirements (issuevmc) and BR Appendix A (contactemail, contactphone).
const (
	TagIssue        = "issue"
	TagIssueWild    = "issuewild"
	TagIssueMail    = "issuemail"
	TagIssueVMC     = "issuevmc"
	TagIodef        = "iodef"
	TagContactEmail = "contactemail"
	TagContactPhone = "contactphone"
)

// FlagCritical is the Issuer Critical Flag, bit 0 of the flags octet (RFC 8659 4.1).
const FlagCritical uint8 = 128

// Property is one CAA resource record's content, as it stands on the wire (RFC 8659 4.1).
// It is comparable: two Properties are equal when their wire forms are.
type Property struct {
	Flags uint8
	Tag   string // 1 to 255 ASCII letters and digits; matching is case-insensitive
	Value string // any octets
}

// RRset is the content of a CAA RRset. Order has no meaning; an empty RRset is the absence of one.
type RRset []Property

// MeantTag is the Property Tag that somebody meant who wrote another one, "" when none is near. Two slips are too
// many in a short one, for tags of one's own are short, too.
func MeantTag(tag string) string {
	if contains(Lax.Known, tag) {
		return ""
	}
	return spelling.Nearest(tag, Lax.Known, func(known string) int {
		if len(known) < len(TagIssueWild) {
			return 1
		}
		return 2
	})
}
