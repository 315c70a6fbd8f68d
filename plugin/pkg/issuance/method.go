package issuance

import (
	"slices"
	"strings"
)

// methods are the labels of ACME's validation methods: those of IANA's registry that a CA may use, of
// November 2026, and three that CAs and clients use before they stand there. Reserved ones are left out.
var methods = []string{
	"http-01",          // RFC 8555 8.3, RFC 8738
	"dns-01",           // RFC 8555 8.4
	"tls-alpn-01",      // RFC 8737, RFC 8738
	"email-reply-00",   // RFC 8823
	"tkauth-01",        // RFC 9447
	"onion-csr-01",     // RFC 9799
	"bp-nodeid-00",     // RFC 9891
	"dns-account-01",   // draft-ietf-acme-dns-account-label
	"dns-persist-01",   // draft-ietf-acme-dns-persist
	"device-attest-01", // draft-ietf-acme-device-attest
}

// Methods are the labels of the validation methods that no CA has for itself.
func Methods() []string { return slices.Clone(methods) }

// KnownMethod reports whether some CA may validate by a method of that label: ACME's, or one that
// begins with `ca-` and means what its CA says (RFC 8657 4), such as those of the Baseline Requirements,
// `ca-tbr-7`. Labels are in lower case; some CAs ignore the case, and others do not.
func KnownMethod(label string) bool {
	own, ok := strings.CutPrefix(label, "ca-")
	return slices.Contains(methods, label) || ok && isLabel(own) && own == lower(own)
}

// noWildcards are the methods by which no CA may validate a Wildcard Domain Name: those that look at one host, by its
// website (BR 3.2.2.4.18 and 19), its TLS (20) or its address (8).
var noWildcards = []string{"http-01", "tls-alpn-01", "ca-tbr-8", "ca-tbr-18", "ca-tbr-19", "ca-tbr-20"}

// ForWildcards reports whether a CA may validate a Wildcard Domain Name by a method of that label.
func ForWildcards(label string) bool { return !slices.Contains(noWildcards, label) }
