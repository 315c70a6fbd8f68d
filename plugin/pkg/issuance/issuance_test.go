package issuance

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const le = "letsencrypt.org"

func TestDecide(t *testing.T) {
	t.Parallel()
	const acct = "https://ca.example/acct/1"
	issue := func(v string) Property { return Property{Tag: TagIssue, Value: v} }
	wild := func(v string) Property { return Property{Tag: TagIssueWild, Value: v} }
	plain := Request{Issuers: []string{le}, Account: acct, Method: "dns-01"}
	wildcard := Request{Issuers: []string{le}, Wildcard: true, Account: acct, Method: "dns-01"}
	mail, vmc := Request{Issuers: []string{le}, Type: SMIME}, Request{Issuers: []string{le}, Type: VMC}
	for _, c := range []struct {
		name             string
		rrset            RRset
		req              Request
		strict, rfc, lax Reason
	}{
		{"8659 3: no RRset", nil, plain, NoRRset, NoRRset, NoRRset},
		{"8659 4.2: named", RRset{issue(le)}, plain, Authorized, Authorized, Authorized},
		{"8659 4.2: white space", RRset{issue(" " + le + " \t")}, plain, Authorized, Authorized, Authorized},
		{"8659 4.2: another named", RRset{issue("ca.example")}, plain, IssuerNotListed, IssuerNotListed, IssuerNotListed},
		{"8659 4.2: one of two", RRset{issue("ca.example"), issue(le)}, plain, Authorized, Authorized, Authorized},
		{"8659 4.2: nobody", RRset{issue(";")}, plain, NobodyAuthorized, NobodyAuthorized, NobodyAuthorized},
		{"8659 4.2: nobody and somebody", RRset{issue(";"), issue(le)}, plain, Authorized, Authorized, Authorized},
		{"8659 4.2: malformed denies", RRset{issue("%%")}, plain, Malformed, Malformed, Malformed},
		{"8659 4.2: only iodef is open", RRset{{Tag: TagIodef, Value: "mailto:a@b"}}, plain, NoProperty, NoProperty, NoProperty},
		{"8659 4.3: issuewild leaves plain open", RRset{wild(";")}, plain, NoProperty, NoProperty, NoProperty},
		{"8659 4.3: issuewild replaces issue", RRset{issue(le), wild(";")}, wildcard, NobodyAuthorized, NobodyAuthorized, NobodyAuthorized},
		{"8659 4.3: issue governs wildcards", RRset{issue(le)}, wildcard, Authorized, Authorized, Authorized},
		{"8659 4.3: issuewild ignored for plain", RRset{issue(";"), wild(le)}, plain, NobodyAuthorized, NobodyAuthorized, NobodyAuthorized},
		{"8659 4.1: tag in capitals", RRset{{Tag: "ISSUE", Value: ";"}}, plain, NobodyAuthorized, NobodyAuthorized, NobodyAuthorized},
		{"8659 4.1: case is that of ASCII", RRset{{Tag: "i\u017f\u017fue", Value: ";"}}, plain, NoProperty, NoProperty, NoProperty},
		{"8659 4.1: critical unknown tag", RRset{issue(le), {Flags: 128, Tag: "future"}}, plain, CriticalUnknown, CriticalUnknown, CriticalUnknown},
		{"8659 4.1: other flag bits", RRset{issue(le), {Flags: 126, Tag: "future"}}, plain, Authorized, Authorized, Authorized},
		{"BR A.1: critical contactemail", RRset{issue(le), {Flags: 128, Tag: "ContactEmail"}}, plain, CriticalUnknown, CriticalUnknown, Authorized},
		{"9495 4: critical issuemail, asked for TLS", RRset{issue(le), {Flags: 128, Tag: TagIssueMail}}, plain, CriticalUnknown, Authorized, Authorized},
		{"9495 4: critical issuemail, asked for mail", RRset{{Flags: 128, Tag: "IssueMail", Value: le}}, mail, Authorized, Authorized, Authorized},
		{"VMC: critical issuevmc, asked for a VMC", RRset{{Flags: 128, Tag: TagIssueVMC, Value: le}}, vmc, Authorized, Authorized, Authorized},
		{"8659 4.1: critical known tag", RRset{{Flags: 128, Tag: TagIssue, Value: le}}, plain, Authorized, Authorized, Authorized},
		{"Boulder: flag 1 is critical", RRset{issue(le), {Flags: 1, Tag: "future"}}, plain, CriticalUnknown, Authorized, Authorized},
		{"Boulder: name in capitals", RRset{issue("LetsEncrypt.org")}, plain, NameNotExact, Authorized, Authorized},
		{"Boulder: trailing semicolon", RRset{issue(le + "; accounturi=" + acct + ";")}, plain, Malformed, Malformed, Authorized},
		{"8659 4.2: semicolon without parameters", RRset{issue(le + ";")}, plain, Authorized, Authorized, Authorized},
		{"Boulder: hyphen in a parameter's tag", RRset{issue(le + "; a-b=c")}, plain, Malformed, Authorized, Authorized},
		{"boulder#8614: capitals in a parameter's tag", RRset{issue(le + "; AccountURI=" + acct)}, plain, BadParameters, Authorized, Authorized},
		{"8657 3: account", RRset{issue(le + "; accounturi=" + acct)}, plain, Authorized, Authorized, Authorized},
		{"8657 3: another account", RRset{issue(le + "; accounturi=" + acct + "2")}, plain, AccountMismatch, AccountMismatch, Authorized},
		{"8657 3: two accounts in one", RRset{issue(le + "; accounturi=" + acct + "; accounturi=" + acct)}, plain, BadParameters, BadParameters, Authorized},
		{"8657 4: method", RRset{issue(le + "; validationmethods=http-01,dns-01")}, plain, Authorized, Authorized, Authorized},
		{"8657 4: another method", RRset{issue(le + "; validationmethods=http-01")}, plain, MethodNotAllowed, MethodNotAllowed, Authorized},
		{"8657 4: malformed list", RRset{issue(le + "; validationmethods=dns-01,")}, plain, BadParameters, BadParameters, Authorized},
		{"8659 4.2: trailing dot", RRset{issue(le + ".")}, plain, Malformed, Malformed, Malformed},
		{"8659 4.2: unknown parameter", RRset{issue(le + "; policy=ev")}, plain, Authorized, Authorized, Authorized},
		{"8659 4.2: empty issuer with parameters", RRset{issue("; policy=ev")}, plain, NobodyAuthorized, NobodyAuthorized, NobodyAuthorized},
		{"Boulder: parameter without a tag", RRset{issue(le + "; =b")}, plain, Malformed, Malformed, Authorized},
		{"boulder#8614: another account, capitals in the tag", RRset{issue(le + "; AccountURI=" + acct + "2")}, plain, BadParameters, AccountMismatch, Authorized},
		{"8657 3: no URI", RRset{issue(le + "; accounturi=1234567")}, Request{Issuers: []string{le}, Account: "1234567"}, BadParameters, BadParameters, Authorized},
		{"8657 3: octet by octet", RRset{issue(le + "; accounturi=HTTPS://ca.example/acct/1")}, plain, AccountMismatch, AccountMismatch, Authorized},
		{"8657 3: no account", RRset{issue(le + "; accounturi=" + acct)}, Request{Issuers: []string{le}}, AccountMismatch, AccountMismatch, Authorized},
		{"8657 4: no method", RRset{issue(le + "; validationmethods=dns-01")}, Request{Issuers: []string{le}}, MethodNotAllowed, MethodNotAllowed, Authorized},
		{"8657 4: empty list", RRset{issue(le + "; validationmethods=")}, plain, BadParameters, BadParameters, Authorized},
		{"8657 4: labels are case-sensitive", RRset{issue(le + "; validationmethods=DNS-01")}, plain, MethodNotAllowed, MethodNotAllowed, Authorized},
		{"Boulder: two lists, both with the method", RRset{issue(le + "; validationmethods=dns-01; validationmethods=dns-01,http-01")}, plain, BadParameters, Authorized, Authorized},
		{"8657 4: two lists, one with the method", RRset{issue(le + "; validationmethods=dns-01; validationmethods=http-01")}, plain, BadParameters, MethodNotAllowed, Authorized},
		{"8657 3: no parameter of issuemail", RRset{{Tag: TagIssueMail, Value: le + "; accounturi=" + acct}}, mail, AccountMismatch, Authorized, Authorized},
		{"9495: issuemail", RRset{issue(";"), {Tag: TagIssueMail, Value: le}}, mail, Authorized, Authorized, Authorized},
		{"9495: issue does not bind mail", RRset{issue(";")}, mail, NoProperty, NoProperty, NoProperty},
		{"VMC: issuevmc", RRset{{Tag: TagIssueVMC, Value: ";"}}, vmc, NobodyAuthorized, NobodyAuthorized, NobodyAuthorized},
	} {
		for i, want := range []Reason{c.strict, c.rfc, c.lax} {
			if got := Decide(c.rrset, c.req, Dialects[i]); got.Reason != want {
				t.Errorf("%s, %s: %s, want %s", c.name, Dialects[i].Name, got.Reason, want)
			}
		}
	}
}

// The generous reading where the parameters bind: what some CA reads as open, nobody is locked out by.
func TestDecideWhereParametersBind(t *testing.T) {
	t.Parallel()
	const acct = "https://ca.example/acct/1"
	bound := Lax
	bound.BoundTags = RFC.BoundTags
	req := Request{Issuers: []string{le}, Account: acct, Method: "dns-01"}
	for _, c := range []struct {
		name, value string
		rfc, lax    Reason
	}{
		{"8657 3: another account", "accounturi=" + acct + "2", AccountMismatch, AccountMismatch},
		{"boulder#8614: another account, and a capital in the tag", "AccountURI=" + acct + "2", AccountMismatch, Authorized},
		{"boulder#8614: two accounts, one with a capital in the tag", "accounturi=" + acct + "; accountURI=" + acct, BadParameters, Authorized},
		{"boulder#8614: another method, and a capital in the tag", "validationMethods=http-01", MethodNotAllowed, Authorized},
		{"8657 3: an account that is no URI", "accounturi=1234567", BadParameters, AccountMismatch},
		{"8657 4: another method", "validationmethods=http-01", MethodNotAllowed, MethodNotAllowed},
		{"Boulder: an empty label after the method", "validationmethods=dns-01,", BadParameters, Authorized},
		{"Boulder: a malformed label after the method", "validationmethods=dns-01,a_b", BadParameters, Authorized},
		{"MPIC: an empty label before the method", "validationmethods=,dns-01", BadParameters, Authorized},
		{"MPIC: an empty label, and another method", "validationmethods=http-01,", BadParameters, MethodNotAllowed},
		{"8657 4: no label", "validationmethods=", BadParameters, MethodNotAllowed},
		{"BR 4.2.2.1.2: a label for the same check", "validationmethods=ca-tbr-7", MethodNotAllowed, Authorized},
		{"BR 4.2.2.1.2: a label for another check", "validationmethods=ca-tbr-19", MethodNotAllowed, MethodNotAllowed},
	} {
		rrset := RRset{{Tag: TagIssue, Value: le + "; " + c.value}}
		if rfc, lax := Decide(rrset, req, RFC), Decide(rrset, req, bound); rfc.Reason != c.rfc || lax.Reason != c.lax {
			t.Errorf("%s: RFC %s, lax %s; want %s, %s", c.name, rfc.Reason, lax.Reason, c.rfc, c.lax)
		}
	}
}

// A denial names the Property that came nearest to permitting, wherever in the RRset it stands.
func TestIndexIsTheNearest(t *testing.T) {
	t.Parallel()
	const acct = "https://ca.example/acct/1"
	req := Request{Issuers: []string{le}, Account: acct, Method: "dns-01"}
	byDistance := []string{
		le + "; validationmethods=http-01",
		le + "; accounturi=" + acct + "0",
		le + "; accounturi=" + acct + "; accounturi=" + acct,
		"LetsEncrypt.org",
		le + "; validationmethods=dns-01;",
		"%%",
		"ca.example",
		";",
	}
	for i := range byDistance {
		rrset := RRset{{Tag: TagIodef, Value: "mailto:a@b"}}
		for _, v := range slices.Backward(byDistance[i:]) {
			rrset = append(rrset, Property{Tag: TagIssue, Value: v})
		}
		for range rrset {
			rrset = append(rrset[1:], rrset[0])
			if got := Decide(rrset, req, Strict); got.Permitted || rrset[got.Index].Value != byDistance[i] {
				t.Errorf("of %+v, %d decided (%s), want %q", rrset, got.Index, got.Reason, byDistance[i])
			}
		}
	}
}

// realCA is the reading of one CA, written from its sources without this package, so that Strict and
// Lax can be held against it.
type realCA struct {
	name                                               string
	critical                                           uint8
	known                                              []string
	foldName, refuseHyphen, emptyTag, checkName, binds bool
	checkLabels                                        bool // up to the one that fits
}

var realCAs = []realCA{
	{"Boulder, 2026", 128 | 1, []string{TagIssueMail, TagIssueVMC}, false, true, true, false, true, true},
	{"Open MPIC core, 2026", 128, []string{TagIssueMail, TagContactEmail, TagContactPhone}, true, false, false, true, true, false},
	{"Open MPIC core 6.5", 128, []string{TagIssueMail, TagContactEmail, TagContactPhone}, true, false, false, true, false, false},
}

var (
	tagPattern   = regexp.MustCompile(`^[a-zA-Z0-9]+(-*[a-zA-Z0-9]+)*$`)
	valuePattern = regexp.MustCompile(`^[!-:<-~]*$`)
	labelPattern = regexp.MustCompile(`^[a-zA-Z0-9-]+$`)
)

// permits decides about a TLS certificate.
func (ca realCA) permits(s RRset, req Request) bool {
	by := map[string][]string{}
	for _, p := range s {
		tag := strings.ToLower(p.Tag)
		by[tag] = append(by[tag], p.Value)
		if p.Flags&ca.critical != 0 && !slices.Contains(append([]string{TagIssue, TagIssueWild, TagIodef}, ca.known...), tag) {
			return false
		}
	}
	list := by[TagIssue]
	if req.Wildcard && by[TagIssueWild] != nil {
		list = by[TagIssueWild]
	}
	return list == nil || slices.ContainsFunc(list, func(v string) bool { return ca.grants(v, req) })
}

func (ca realCA) grants(value string, req Request) bool {
	parts := strings.Split(value, ";")
	name := strings.Trim(parts[0], " \t")
	if ca.foldName {
		name = strings.ToLower(name)
	}
	if name != req.Issuers[0] {
		return false
	}
	if len(parts) == 2 && strings.Trim(parts[1], " \t") == "" {
		return true
	}
	given := map[string][]string{}
	for _, part := range parts[1:] {
		tag, value, ok := strings.Cut(part, "=")
		tag, value = strings.Trim(tag, " \t"), strings.Trim(value, " \t")
		fine := tagPattern.MatchString(tag) && !(ca.refuseHyphen && strings.Contains(tag, "-")) || ca.emptyTag && tag == ""
		if !ok || !fine || !valuePattern.MatchString(value) {
			return false
		}
		given[tag] = append(given[tag], value)
	}
	if !ca.binds {
		return true
	}
	if a := given["accounturi"]; len(a) > 1 || len(a) == 1 && a[0] != req.Account {
		return false
	}
	methods := given["validationmethods"]
	if ca.refuseHyphen && len(methods) > 1 {
		return false
	}
	return !slices.ContainsFunc(methods, func(list string) bool { return !ca.lists(list, req.Method) })
}

func (ca realCA) lists(list, method string) bool {
	for label := range strings.SplitSeq(list, ",") {
		if ca.checkLabels && !labelPattern.MatchString(label) {
			return false
		}
		if label == method {
			return true
		}
	}
	return false
}

// What Strict permits every CA permits, and what one CA permits Lax permits; also once RFC 8657 binds every CA.
func TestStrictAndLaxEncloseRealCAs(t *testing.T) {
	t.Parallel()
	w := world{rand.New(rand.NewPCG(2026, 11))}
	differ := map[string]int{}
	bound := Lax
	bound.BoundTags = RFC.BoundTags
	for range 200_000 {
		rrset, req := w.rrset(), w.request()
		req.Type = TLS
		strict, lax := Decide(rrset, req, Strict), Decide(rrset, req, Lax)
		boundLax := Decide(rrset, req, bound)
		if (Decide(rrset, req, RFC).Permitted && !boundLax.Permitted) || (boundLax.Permitted && !lax.Permitted) {
			t.Fatalf("Lax, bound by RFC 8657, is not between RFC and Lax: %+v %+v", rrset, req)
		}
		for _, ca := range realCAs {
			permits := ca.permits(rrset, req)
			if ca.binds && permits && req.Method != "" && !boundLax.Permitted { // no CA asks without a method
				t.Fatalf("%s permits what Lax denies (%s) once parameters bind: %+v %+v", ca.name, boundLax.Reason, rrset, req)
			}
			if strict.Permitted && !permits {
				t.Fatalf("Strict permits what %s denies: %+v %+v", ca.name, rrset, req)
			}
			if permits && !lax.Permitted {
				t.Fatalf("%s permits what Lax denies (%s): %+v %+v", ca.name, lax.Reason, rrset, req)
			}
			if permits != strict.Permitted || permits != lax.Permitted {
				differ[ca.name]++
			}
		}
	}
	for _, ca := range realCAs {
		if differ[ca.name] == 0 {
			t.Errorf("%s never differed: the generator proves nothing", ca.name)
		}
	}
}

// world makes small random RRsets and requests, odd ones among them.
type world struct{ *rand.Rand }

func (w world) pick(from ...string) string { return from[w.IntN(len(from))] }

func (w world) property() Property {
	value := w.pick("", " ", le, "LetsEncrypt.org", "ca.example", "%%", "-x")
	for range w.IntN(3) {
		value += ";" + w.pick("", " ", "accounturi=u:1", "accounturi=u:2", "AccountURI=u:1", "accounturi=u", "validationmethods=dns-01", "validationmethods=DNS-01", "ValidationMethods=http-01", "validationmethods=dns-01,", "validationmethods=,dns-01", "validationmethods=dns-01,a_b", "a-b=c", "=b", "x", "cansign=yes")
	}
	return Property{Flags: []uint8{0, 0, 0, 1, 128}[w.IntN(5)], Value: value,
		Tag: w.pick(TagIssue, TagIssue, TagIssueWild, "ISSUE", TagIssueMail, TagIssueVMC, TagIodef, TagContactEmail, "future")}
}

func (w world) rrset() RRset {
	var s RRset
	for range w.IntN(4) {
		s = append(s, w.property())
	}
	return s
}

func (w world) request() Request {
	r := Request{Issuers: []string{le}, Type: CertificateType(w.IntN(3)), Account: w.pick("", "u:1", "u:2", "u"), Method: w.pick("", "dns-01", "http-01")}
	r.Wildcard = r.Type == TLS && w.IntN(2) == 0
	return r
}

// upper is the ASCII upper case.
func upper(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}

// laws are what holds of every decision. broken says how one does not, "" where it does. The RRset and
// the request are w's or a fuzzer's; w decides what else has to be chosen.
var laws = []struct {
	name   string
	broken func(w world, d Dialect, rrset RRset, req Request, got Decision) string
}{
	{"8659 4.2: adding a matching property of the tag that decides never locks out, and permits unless a critical one denies", func(_ world, d Dialect, rrset RRset, req Request, got Decision) string {
		for _, p := range []Property{{Tag: req.DecidingTag(rrset), Value: le}, {Tag: upper(req.DecidingTag(rrset)), Value: " " + le + "\t;"}} {
			more := append(slices.Clone(rrset), p)
			after := Decide(more, req, d)
			if got.Permitted && !after.Permitted || !after.Permitted && got.Reason != CriticalUnknown {
				return fmt.Sprintf("with %+v: %+v", p, after)
			}
		}
		return ""
	}},
	{"8659 4.2, 4.3: removing all issue opens", func(_ world, d Dialect, rrset RRset, req Request, got Decision) string {
		if req.Type != TLS {
			return ""
		}
		rest := slices.DeleteFunc(slices.Clone(rrset), func(p Property) bool {
			return equalFold(p.Tag, TagIssue) || req.Wildcard && equalFold(p.Tag, TagIssueWild)
		})
		if after := Decide(rest, req, d); !after.Permitted && after.Reason != CriticalUnknown {
			return fmt.Sprintf("%+v: %+v", rest, after)
		}
		return ""
	}},
	{"8659 3: the order of the RRset has no meaning", func(w world, d Dialect, rrset RRset, req Request, got Decision) string {
		other := slices.Clone(rrset)
		w.Shuffle(len(other), func(i, j int) { other[i], other[j] = other[j], other[i] })
		if after := Decide(other, req, d); after.Permitted != got.Permitted || after.Reason != got.Reason {
			return fmt.Sprintf("%+v: %+v", other, after)
		}
		return ""
	}},
	{"8659 4.1: the case of tags has no meaning", func(w world, d Dialect, rrset RRset, req Request, got Decision) string {
		other := slices.Clone(rrset)
		for i := range other {
			other[i].Tag = w.pick(upper(other[i].Tag), lower(other[i].Tag))
		}
		if after := Decide(other, req, d); after != got {
			return fmt.Sprintf("%+v: %+v", other, after)
		}
		return ""
	}},
	{"8659 4.2: a malformed value never permits", func(_ world, d Dialect, rrset RRset, req Request, got Decision) string {
		if got.Reason == Authorized {
			if _, err := d.Syntax.parse(rrset[got.Index].Value); err != nil {
				return err.Error()
			}
		}
		// Nor may one be skipped, which would leave no property of the tag, and so open.
		broken := append(slices.Clone(rrset), Property{Tag: req.DecidingTag(rrset), Value: "%%"})
		if after := Decide(broken, req, d); after.Permitted && after.Reason != Authorized {
			return fmt.Sprintf("%+v", after)
		}
		return ""
	}},
	{"what Strict permits RFC permits, and what RFC permits Lax permits", func(_ world, d Dialect, rrset RRset, req Request, got Decision) string {
		for _, laxer := range Dialects[slices.IndexFunc(Dialects, func(o Dialect) bool { return o.Name == d.Name }):] {
			if after := Decide(rrset, req, laxer); got.Permitted && !after.Permitted {
				return fmt.Sprintf("%s: %+v", laxer.Name, after)
			}
		}
		return ""
	}},
	{"a decision names the property that decided, if one did", func(_ world, d Dialect, rrset RRset, _ Request, got Decision) string {
		if absent := got.Reason == NoRRset || got.Reason == NoProperty; absent != (got.Index == -1) || got.Index >= len(rrset) {
			return "it does not"
		}
		if got.Permitted != (got.Reason == NoRRset || got.Reason == NoProperty || got.Reason == Authorized) {
			return "its reason is one of the other outcome"
		}
		return ""
	}},
}

func checkLaws(t *testing.T, w world, rrset RRset, req Request) {
	t.Helper()
	for _, d := range Dialects {
		got := Decide(rrset, req, d)
		for _, law := range laws {
			if how := law.broken(w, d, rrset, req, got); how != "" {
				t.Errorf("%s\nbut %s decides of %+v and %+v: %+v\n%s", law.name, d.Name, rrset, req, got, how)
			}
		}
	}
}

func TestLaws(t *testing.T) {
	t.Parallel()
	w := world{rand.New(rand.NewPCG(8659, 8657))}
	reasons := map[Reason]int{}
	for range 100_000 {
		rrset, req := w.rrset(), w.request()
		checkLaws(t, w, rrset, req)
		if t.Failed() {
			return
		}
		reasons[Decide(rrset, req, Strict).Reason]++
	}
	for _, reason := range []Reason{NoRRset, NoProperty, Authorized, CriticalUnknown, NobodyAuthorized, Malformed, IssuerNotListed, NameNotExact, AccountMismatch, MethodNotAllowed, BadParameters} {
		if reasons[reason] < 100 {
			t.Errorf("%s came out only %d times: the generator proves nothing of it", reason, reasons[reason])
		}
	}
}

func FuzzDecide(f *testing.F) {
	f.Add(uint8(0), "issue", le, "u:1", "dns-01", false)
	f.Add(uint8(128), "issuewild", ";", "", "", true)
	f.Add(uint8(1), "contactemail", "a@b", "", "", false)
	f.Add(uint8(0), "i\u017f\u017fue", ";", "", "", false)
	f.Add(uint8(0), "Issue", le+"; AccountURI=u:1; validationmethods=dns-01,http-01;", "u:1", "dns-01", false)
	f.Add(uint8(0), "issue", "LetsEncrypt.org; =b; a-b=c", "u:1", "dns-01", false)
	f.Add(uint8(0), "issuewild", le+"; validationmethods=; accounturi=%", "%", "", true)
	f.Fuzz(func(t *testing.T, flags uint8, tag, value, account, method string, wildcard bool) {
		w := world{rand.New(rand.NewPCG(uint64(flags), uint64(len(value))))}
		req := Request{Issuers: []string{le}, Account: account, Method: method, Wildcard: wildcard}
		property := Property{flags, tag, value}
		checkLaws(t, w, RRset{property}, req)
		for range 4 {
			checkLaws(t, w, append(w.rrset(), property), req)
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	rrset := RRset{
		{Tag: TagIssue, Value: "digicert.com"},
		{Tag: TagIssue, Value: le + "; accounturi=https://acme-v02.api.letsencrypt.org/acme/acct/1234567; validationmethods=dns-01,http-01"},
		{Tag: TagIssueWild, Value: ";"},
		{Tag: TagIodef, Value: "mailto:pki@example.org"},
	}
	req := Request{Issuers: []string{le}, Account: "https://acme-v02.api.letsencrypt.org/acme/acct/1234567", Method: "dns-01"}
	for _, d := range Dialects {
		b.Run(d.Name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !Decide(rrset, req, d).Permitted {
					b.Fatal("denied")
				}
			}
		})
	}
}
