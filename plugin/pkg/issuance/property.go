package issuance

// FlagCritical is the Issuer Critical Flag, bit 0 of the flags octet (RFC 8659 4.1).
const FlagCritical uint8 = 128

// Property is one CAA resource record's content, as it is on the wire (RFC 8659 4.1).
// It is comparable: two Properties are equal when their wire forms are.
type Property struct {
	Flags uint8
	Tag   string // 1 to 255 ASCII letters and digits; matching is case-insensitive
	Value string // any octets
}

// RRset is the content of a CAA RRset. Order has no meaning; an empty RRset is the absence of one.
type RRset []Property
