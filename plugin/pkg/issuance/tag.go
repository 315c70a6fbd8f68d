package issuance

import (
	"slices"
	"strings"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/spelling"
)

// Property Tags.
const (
	TagIssue        = "issue"
	TagIssueWild    = "issuewild"
	TagIssueMail    = "issuemail"
	TagIssueVMC     = "issuevmc"
	TagIodef        = "iodef"
	TagContactEmail = "contactemail"
	TagContactPhone = "contactphone"
)

// Tag is one row of the table of Property Tags. Every list of tags in this repository, and the keys of a policy that
// grant, are queries of it.
type Tag struct {
	Name     string
	Section  string          // of the document that defines it
	Grants   bool            // its value is an issue-value, which restricts who may issue; else it is a note to CAs
	Type     CertificateType // of the certificates that it grants
	Wildcard bool            // it grants for Wildcard Domain Names, where the RRset has it (RFC 8659 4.3)
	Known    []string        // the dialects that know it: in the others, a critical flag on it denies everyone (RFC 8659 4.1)
	Binding  []string        // the dialects in which parameters restrict the issuer whom it names
	From     time.Time       // when every public CA of its kind has to process it; zero: no document says that one has to
	Text     string          // what it says, for the schema of policies
}

// Tags is the table, in the order in which a policy emits its Properties.
var Tags = [...]Tag{
	{TagIssue, "RFC 8659 4.2", true, TLS, false, everyDialect, []string{strict, rfc}, day(2017, 9, 8), // ballot 187
		"Who may issue for names here and, where nothing says issuewild, for wildcards (RFC 8659 4.2)."},
	{TagIssueWild, "RFC 8659 4.3", true, TLS, true, everyDialect, []string{strict, rfc}, day(2017, 9, 8),
		"Who may issue wildcard certificates: instead of issue, not in addition (RFC 8659 4.3). issue is for wildcards as issue has it, whatever is inherited."},
	{TagIssueMail, "RFC 9495 4", true, SMIME, false, []string{rfc, lax}, []string{strict}, day(2025, 3, 15), // S/MIME Baseline Requirements 4.2.2.1; no CA is known to read its parameters: assumed
		"Who may issue S/MIME certificates for mailboxes here (RFC 9495). Without it, anyone. An issuer's accounts and methods do not bind it; those of an entry here do."},
	{TagIssueVMC, "VMC Requirements", true, VMC, false, []string{lax}, []string{strict}, time.Time{}, // Boulder knows it, MPIC does not; parameters as above
		"Who may issue mark certificates (BIMI). Without it, anyone. An issuer's accounts and methods do not bind it; those of an entry here do."},
	{TagIodef, "RFC 8659 4.4", false, TLS, false, everyDialect, nil, day(2017, 9, 8), "Where CAs report a request that the policy forbids."},
	{TagContactEmail, "BR Appendix A.1.1", false, TLS, false, []string{lax}, nil, time.Time{}, "Whom a CA may ask by mail to confirm an order."}, // MPIC knows it, Boulder does not
	{TagContactPhone, "BR Appendix A.1.2", false, TLS, false, []string{lax}, nil, time.Time{}, "Whom a CA may call to confirm an order."},
}

// TagNames returns the names of the tags that a condition holds for, in the table's order.
func TagNames(is func(Tag) bool) []string {
	var out []string
	for _, t := range Tags {
		if is(t) {
			out = append(out, t.Name)
		}
	}
	return out
}

// GrantTags returns the tags whose value is an issue-value.
func GrantTags() []string { return slices.Clone(grantTags) }

var (
	grantTags = TagNames(func(t Tag) bool { return t.Grants })
	allTags   = TagNames(func(Tag) bool { return true })
)

// Grants reports whether the value of a tag, in any case, is an issue-value.
func Grants(tag string) bool { return contains(grantTags, tag) }

// KnownTag reports whether some CA is known to process a tag, in any case.
func KnownTag(tag string) bool { return contains(allTags, tag) }

// TagOf returns the row of a tag, in any case; ok is false where the table has none.
func TagOf(name string) (t Tag, ok bool) {
	i := slices.IndexFunc(Tags[:], func(t Tag) bool { return equalFold(t.Name, name) })
	if i < 0 {
		return Tag{}, false
	}
	return Tags[i], true
}

// Request returns a request of the kind that the tag grants, for which issuer, account and method are left out.
func (t Tag) Request() Request { return Request{Type: t.Type, Wildcard: t.Wildcard} }

// granting are the tags that grant certificates of a type, for names and for wildcards; "" where none does.
var granting = func() (out [len(typeNames)]struct{ names, wildcards string }) {
	for _, t := range Tags {
		switch {
		case t.Grants && t.Wildcard:
			out[t.Type].wildcards = t.Name
		case t.Grants:
			out[t.Type].names = t.Name
		}
	}
	return out
}()

// MeantTag returns the known Property Tag that is near to an unknown one; "" where none is. Two wrong letters are too many
// in a short tag, since private tags are short, too.
func MeantTag(tag string) string {
	if KnownTag(tag) {
		return ""
	}
	return spelling.Nearest(tag, allTags, func(known string) int {
		if len(known) < len(TagIssueWild) {
			return 1
		}
		return 2
	})
}

// Parameters of issue-values (RFC 8659 4.2).
const (
	AccountURI        = "accounturi"
	ValidationMethods = "validationmethods"
)

// ParameterTag is one row of the table of parameters that some CA processes.
type ParameterTag struct {
	Name      string
	Section   string
	Restricts bool      // it restricts the issuer to some requests; else it has no influence on who may issue
	List      bool      // its value is a list, separated by commas
	From      time.Time // when it restricts every public CA; zero: it restricts none

	request func(*Request) *string                            // what of a request it restricts
	once    func(Dialect) bool                                // whether a second one in a Property cannot be satisfied
	judge   func(d Dialect, value string, req Request) Reason // Authorized, or why a value does not fit a request
}

// ParameterTags is the table.
var ParameterTags = [...]ParameterTag{
	{Name: AccountURI, Section: "RFC 8657 3", Restricts: true, From: ParametersBind.From,
		request: func(r *Request) *string { return &r.Account }, once: func(Dialect) bool { return true }, judge: Dialect.judgeAccount},
	{Name: ValidationMethods, Section: "RFC 8657 4", Restricts: true, List: true, From: ParametersBind.From,
		request: func(r *Request) *string { return &r.Method }, once: func(d Dialect) bool { return d.SeveralListsDeny }, judge: Dialect.judgeMethods},
	{Name: "cansignhttpexchanges", Section: "draft-yasskin-http-origin-signed-responses"}, // DigiCert
}

// parameterTag returns the row of a parameter, in any case; nil where the table has none.
func parameterTag(name string) *ParameterTag {
	i := slices.IndexFunc(ParameterTags[:], func(p ParameterTag) bool { return equalFold(p.Name, name) })
	if i < 0 {
		return nil
	}
	return &ParameterTags[i]
}

// KnownParameter reports whether some CA processes a parameter of that tag, in any case.
func KnownParameter(tag string) bool { return parameterTag(tag) != nil }

// Restricts reports whether a parameter of that tag, in any case, restricts its issuer (RFC 8657).
func Restricts(tag string) bool {
	p := parameterTag(tag)
	return p != nil && p.Restricts
}

// Entries returns what a parameter's value names: the entries of a list, or the value itself.
func (p Parameter) Entries() []string {
	if row := parameterTag(p.Tag); row != nil && row.List {
		return strings.Split(p.Value, ",")
	}
	return []string{p.Value}
}

// Requesting returns the request that parameters describe: with their account, and the first of their methods.
func (req Request) Requesting(parameters []Parameter) Request {
	for _, p := range parameters {
		if row := parameterTag(p.Tag); row != nil && row.Restricts {
			*row.request(&req) = p.Entries()[0]
		}
	}
	return req
}
