package certname

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/issuers"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// ParseIssuer reads an Issuer Domain Name, which may be that of a private CA, and returns it in the form that CAs compare.
// A single label is valid (RFC 8659 4.2), unless a public CA's name was meant.
func ParseIssuer(text string) (string, error) {
	s, err := Parse(text)
	near := issuers.Meant(text)
	switch {
	case err != nil:
	case s.Wildcard || strings.Contains(s.Domain, "_"):
		err = fmt.Errorf("%q is not an Issuer Domain Name, whose labels have only letters, digits and hyphens (RFC 8659 4.2)", text)
	case s.TopLevel() && near != "":
		err = fmt.Errorf("%q is not a CA's Issuer Domain Name", text)
	default:
		return s.String(), nil
	}
	return "", fmt.Errorf("%w%s", err, didYouMean(near))
}

// ParseMethod reads the label of a validation method (RFC 8657 4).
func ParseMethod(text string) (string, error) {
	if issuance.KnownMethod(text) {
		return text, nil
	}
	return "", fmt.Errorf("%q is not the label of a validation method: write one of ACME's, such as dns-01, or one of the CA's own, which begin with ca- (RFC 8657 4)%s", text, didYouMean(issuance.MeantMethod(text)))
}

// ParseAccount reads an account's URI (RFC 8657 3).
func ParseAccount(text string) (string, error) {
	if _, err := url.Parse(text); err != nil || !policy.IsAccount(text) {
		return "", fmt.Errorf("%q is not the URI of an account: copy the one that the ACME client shows, such as https://acme-v02.api.letsencrypt.org/acme/acct/1 (RFC 8657 3)", text)
	}
	return text, nil
}

func didYouMean(near string) string {
	if near == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", near)
}
