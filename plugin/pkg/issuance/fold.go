package issuance

// CAA's case-insensitivity is that of US-ASCII (RFC 8659 4.1, RFC 4343). strings.EqualFold would take
// the octets of "i\u017F\u017Fue" (long s) for issue, where a CA sees a tag that it does not know.

func lowerOctet(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// equalFold reports whether a and b differ in the case of ASCII letters at most.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lowerOctet(a[i]) != lowerOctet(b[i]) {
			return false
		}
	}
	return true
}

// lower returns s with its ASCII letters in lower case.
func lower(s string) string {
	for i := range len(s) {
		if s[i] == lowerOctet(s[i]) {
			continue
		}
		b := []byte(s)
		for ; i < len(b); i++ {
			b[i] = lowerOctet(b[i])
		}
		return string(b)
	}
	return s
}
