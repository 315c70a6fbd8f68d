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

// Values returns those of the parameters with a tag, in any case, in order.
func (v IssueValue) Values(tag string) []string {
	var out []string
	for _, p := range v.Parameters {
		if strings.EqualFold(p.Tag, tag) {
			out = append(out, p.Value)
		}
	}
	return out
}

// ValueError is why a text is not an issue-value.
type ValueError struct {
	Offset int // in octets, from 0
	Text   string
}

// Error implements error. It counts octets from 1, as people do.
func (e *ValueError) Error() string { return fmt.Sprintf("%s, at octet %d", e.Text, e.Offset+1) }

// ParseIssueValue reads an issue-value by the ABNF of RFC 8659 4.2; white space is space and tab:
//
//	issue-value = *WSP [issuer-domain-name *WSP] [";" *WSP [parameters *WSP]]
//	parameters  = (parameter *WSP ";" *WSP parameters) / parameter
//	parameter   = tag *WSP "=" *WSP value
//
// So `ca.example;` is well-formed and `ca.example; a=b;` is not. An error is a *[ValueError].
func ParseIssueValue(s string) (IssueValue, error) { return Syntax{}.parse(s) }

// Syntax is what a reader of issue-values accepts beyond the ABNF. The zero Syntax accepts nothing more.
type Syntax struct {
	LastSemicolon bool // `ca.example; a=b;` is well-formed
	EmptyTag      bool // so is `ca.example; =b`
}

func (x Syntax) parse(s string) (IssueValue, error) {
	head, rest, more := strings.Cut(s, ";")
	v := IssueValue{Domain: trim(head)}
	if v.Domain != "" && !isDomain(v.Domain) {
		return IssueValue{}, &ValueError{indent(head), fmt.Sprintf("%q is not an Issuer Domain Name", v.Domain)}
	}
	if !more || trim(rest) == "" {
		return v, nil
	}
	if x.LastSemicolon {
		rest = strings.TrimSuffix(strings.TrimRight(rest, wsp), ";")
	}
	offset := len(head) + 1
	for part := range strings.SplitSeq(rest, ";") {
		p, err := x.parseParameter(part)
		if err != nil {
			err.Offset += offset
			return IssueValue{}, err
		}
		v.Parameters = append(v.Parameters, p)
		offset += len(part) + 1
	}
	return v, nil
}

func (x Syntax) parseParameter(s string) (Parameter, *ValueError) {
	left, right, ok := strings.Cut(s, "=")
	p := Parameter{trim(left), trim(right)}
	switch {
	case trim(s) == "":
		return p, &ValueError{0, "a parameter is missing after the semicolon"}
	case !ok:
		return p, &ValueError{indent(s), fmt.Sprintf("the parameter %q has no value", p.Tag)}
	case !isHyphenated(p.Tag) && !(x.EmptyTag && p.Tag == ""):
		return p, &ValueError{indent(left), fmt.Sprintf("%q is not a parameter's tag", p.Tag)}
	}
	for i := range len(p.Value) {
		if c := p.Value[i]; c < 0x21 || c > 0x7E { // value = *(%x21-3A / %x3C-7E)
			return p, &ValueError{len(left) + 1 + indent(right) + i, fmt.Sprintf("the value of %s holds the octet %#02x", p.Tag, c)}
		}
	}
	return p, nil
}

// String returns the normal form, which every CA reads alike: the Issuer Domain Name and the tags in lower case, white
// space only after semicolons, no semicolon at the end. It does not change values, since CAs compare them octet by octet
// (RFC 8657 3).
func (v IssueValue) String() string {
	if v.Domain == "" && len(v.Parameters) == 0 {
		return ";"
	}
	var b strings.Builder
	b.WriteString(lower(v.Domain))
	for _, p := range v.Parameters {
		b.WriteString("; " + lower(p.Tag) + "=" + p.Value)
	}
	return b.String()
}

const wsp = " \t" // RFC 5234 B.1

func trim(s string) string { return strings.Trim(s, wsp) }

// indent returns how many octets of white space s begins with.
func indent(s string) int { return len(s) - len(strings.TrimLeft(s, wsp)) }

// isDomain checks issuer-domain-name = label *("." label).
func isDomain(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if !isHyphenated(label) {
			return false
		}
	}
	return true
}

// isHyphenated checks (ALPHA / DIGIT) *( *("-") (ALPHA / DIGIT)), a label or a parameter's tag.
func isHyphenated(s string) bool {
	return isLabel(s) && s[0] != '-' && s[len(s)-1] != '-'
}

// isLabel checks 1*(ALPHA / DIGIT / "-"), a method's label (RFC 8657 4).
func isLabel(s string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) && s[i] != '-' {
			return false
		}
	}
	return s != ""
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
