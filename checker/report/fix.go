package report

import (
	"slices"
	"strings"

	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/issuers"
)

// corrections change the value of the record that decided to one that permits a request, by the reason. They return
// false where that value is not known.
var corrections = map[issuance.Reason]func(v *issuance.IssueValue, r guard.Requirement) bool{
	issuance.NameNotExact:     func(v *issuance.IssueValue, r guard.Requirement) bool { return setDomain(v, r.Domain) },
	issuance.AccountMismatch:  func(v *issuance.IssueValue, r guard.Requirement) bool { return setAccount(v, r.Account) },
	issuance.MethodNotAllowed: func(v *issuance.IssueValue, r guard.Requirement) bool { return addMethod(v, r.Method) },
	guard.MethodNoWildcard:    func(v *issuance.IssueValue, _ guard.Requirement) bool { return addMethod(v, "dns-01") },
	guard.MethodNotYet:        func(v *issuance.IssueValue, _ guard.Requirement) bool { return addMethod(v, "dns-01") },
	guard.MethodUnknown:       func(v *issuance.IssueValue, _ guard.Requirement) bool { return correctMethods(v) },
	guard.Misspelt: func(v *issuance.IssueValue, _ guard.Requirement) bool {
		return setDomain(v, issuers.Misspelt(v.Domain))
	},
	guard.Retired:  func(v *issuance.IssueValue, _ guard.Requirement) bool { return setDomain(v, presentDomain(v.Domain)) },
	guard.Reseller: func(v *issuance.IssueValue, _ guard.Requirement) bool { return setDomain(v, presentDomain(v.Domain)) },
}

// corrected returns the record to write for a verdict, where it is known: in place of the one that decided, or in
// addition.
func corrected(v verdict.Verdict, rrset issuance.RRset) (Property, bool) {
	switch v.Reason {
	case issuance.IssuerNotListed, issuance.NobodyAuthorized:
		return permission(v.Requirement, rrset), v.Requirement.Domain != ""
	case issuance.CriticalUnknown:
		if v.Property == nil {
			return Property{}, false
		}
		return Property{Tag: v.Property.Tag, Value: v.Property.Value}, true
	}
	correct := corrections[v.Reason]
	if correct == nil || v.Property == nil {
		return Property{}, false
	}
	value, err := issuance.ParseIssueValue(v.Property.Value)
	if err != nil || !correct(&value, v.Requirement) {
		return Property{}, false
	}
	return Property{v.Property.Flags, strings.ToLower(v.Property.Tag), value.String()}, true
}

// permission is the record that permits what a requirement asks for, beside an RRset.
func permission(r guard.Requirement, rrset issuance.RRset) Property {
	value := issuance.IssueValue{Domain: r.Domain}
	setAccount(&value, r.Account)
	addMethod(&value, r.Method)
	return Property{Tag: issuance.Request{Type: r.Type, Wildcard: r.Wildcard}.DecidingTag(rrset), Value: value.String()}
}

func setDomain(v *issuance.IssueValue, domain string) bool {
	v.Domain = domain
	return domain != ""
}

// presentDomain is that of the CA of a retired or a reseller's domain; "" where several CAs may be meant.
func presentDomain(domain string) string {
	cas := issuers.Lookup(strings.ToLower(domain)).CAs
	if len(cas) != 1 {
		return ""
	}
	return cas[0].Preferred
}

func setAccount(v *issuance.IssueValue, uri string) bool {
	return uri != "" && setParameter(v, issuance.AccountURI, uri)
}

// addMethod adds a method to those that the value permits.
func addMethod(v *issuance.IssueValue, label string) bool {
	if label == "" {
		return false
	}
	return setParameter(v, issuance.ValidationMethods, strings.Join(append(v.Values(issuance.ValidationMethods), label), ","))
}

// correctMethods replaces labels that no CA is known to have by those that were meant.
func correctMethods(v *issuance.IssueValue) bool {
	labels := strings.Split(strings.Join(v.Values(issuance.ValidationMethods), ","), ",")
	for i, label := range labels {
		label = strings.TrimSpace(label)
		if labels[i] = label; !issuance.KnownMethod(label) {
			if labels[i] = issuance.MeantMethod(label); labels[i] == "" {
				return false
			}
		}
	}
	return setParameter(v, issuance.ValidationMethods, strings.Join(labels, ","))
}

// setParameter sets the only parameter of a tag.
func setParameter(v *issuance.IssueValue, tag, value string) bool {
	others := slices.DeleteFunc(slices.Clone(v.Parameters), func(p issuance.Parameter) bool { return strings.EqualFold(p.Tag, tag) })
	v.Parameters = append(others, issuance.Parameter{Tag: tag, Value: value})
	return true
}
