package issuance

import (
	"fmt"
	"strings"
)

// IssueValue is the value of an issue, issuewild, issuemail or issuevmc Property (RFC 8659 4.2).
type IssueValue struct {
	Domain     string // the Issuer Domain Name; "" authorises nobody
	Parameters []Parameter
}

// Parameter is one `tag=value` of an issue-value.
type Parameter struct{ Tag, Value string }

// ValueError says why a text is no issue-value.
type ValueError struct {
	Offset int // in octets, from 0
	Text   string
}

// Error implements error.
func (e *ValueError) Error() string { return fmt.Sprintf("%s, at octet %d", e.Text, e.Offset+1) }

// ParseIssueValue reads an issue-value by the ABNF of RFC 8659 4.2:
//
//	issue-value = *WSP [issuer-domain-name *WSP] [";" *WSP [parameters *WSP]]
//	parameters  = (parameter *WSP ";" *WSP parameters) / parameter
func ParseIssueValue(s string) (IssueValue, error) {
	head, rest, more := strings.Cut(s, ";")
	domain := trim(head)
	if domain != "" && !isDomain(domain) {
		return IssueValue{}, &ValueError{strings.Index(s, domain), fmt.Sprintf("%q is not an Issuer Domain Name", domain)}
	}
	v := IssueValue{Domain: domain}
	if !more || trim(rest) == "" {
		return v, nil
	}
	offset := len(head) + 1
	for part := range strings.SplitSeq(rest, ";") {
		p, err := parseParameter(part)
		if err != nil {
			return IssueValue{}, &ValueError{offset, err.Error()}
		}
		v.Parameters = append(v.Parameters, p)
		offset += len(part) + 1
	}
	return v, nil
}

func parseParameter(s string) (Parameter, error) {
	tag, value, ok := strings.Cut(s, "=")
	tag, value = trim(tag), trim(value)
	switch {
	case trim(s) == "":
		return Parameter{}, fmt.Errorf("a parameter is missing after the semicolon")
	case !ok:
		return Parameter{}, fmt.Errorf("the parameter %q has no value", trim(s))
	case !isHyphenated(tag):
		return Parameter{}, fmt.Errorf("%q is not a parameter's tag", tag)
	}
	for i := range len(value) {
		if value[i] < 0x21 || value[i] > 0x7E { // *(%x21-3A / %x3C-7E)
			return Parameter{}, fmt.Errorf("the value of %s holds the octet %#02x", tag, value[i])
		}
	}
	return Parameter{tag, value}, nil
}

// String is the form that every CA reads alike: no white space but after semicolons, none at the end.
func (v IssueValue) String() string {
	if v.Domain == "" && len(v.Parameters) == 0 {
		return ";"
	}
	var b strings.Builder
	b.WriteString(v.Domain)
	for _, p := range v.Parameters {
		b.WriteString("; " + p.Tag + "=" + p.Value)
	}
	return b.String()
}

func trim(s string) string { return strings.Trim(s, " \t") }

// isDomain checks issuer-domain-name = label *("." label).
func isDomain(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if !isHyphenated(label) {
			return false
		}
	}
	return true
}

// isHyphenated checks (ALPHA / DIGIT) *( *("-") (ALPHA / DIGIT)).
func isHyphenated(s string) bool {
	return isLabel(s) && s[0] != '-' && s[len(s)-1] != '-'
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
