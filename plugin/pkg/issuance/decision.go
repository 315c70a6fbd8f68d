package issuance

// Decision is the outcome of one Request against one RRset in one Dialect.
type Decision struct {
	Permitted bool
	Reason    Reason
	Index     int // of the Property in the RRset that decided; -1 when none did (an absence decided)
}

// Reason is the stable code of why a Decision came out as it did.
type Reason string
