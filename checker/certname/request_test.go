package certname

import (
	"strings"
	"testing"
)

// RFC 8659 4.2, RFC 8657 3 and 4.
func TestParseRequest(t *testing.T) {
	t.Parallel()
	tests := []struct {
		what       string
		parse      func(string) (string, error)
		text, want string
		err        string
	}{
		{"issuer", ParseIssuer, "letsencrypt.org", "letsencrypt.org", ""},
		{"issuer", ParseIssuer, "LetsEncrypt.org.", "letsencrypt.org", ""},
		{"issuer", ParseIssuer, "ca.bücher.example", "ca.xn--bcher-kva.example", ""},
		{"issuer", ParseIssuer, "letsencrpyt.org", "letsencrpyt.org", ""}, // a private CA may be called so
		{"issuer", ParseIssuer, "corp-ca", "corp-ca", ""},
		{"issuer", ParseIssuer, "", "", "is empty"},
		{"issuer", ParseIssuer, "letsencrypt", "", "did you mean letsencrypt.org?"},
		{"issuer", ParseIssuer, "Let's Encrypt", "", "did you mean letsencrypt.org?"},
		{"issuer", ParseIssuer, "https://letsencrypt.org", "", "write only the host, letsencrypt.org"},
		{"issuer", ParseIssuer, "*.letsencrypt.org", "", "is not an Issuer Domain Name"},
		{"issuer", ParseIssuer, "a_b.example", "", "is not an Issuer Domain Name"},
		{"issuer", ParseIssuer, "192.0.2.1", "", "IP address"},
		{"issuer", ParseIssuer, "letsencrypt.org; accounturi=x:1", "", "did you mean letsencrypt.org?"},
		{"method", ParseMethod, "dns-01", "dns-01", ""},
		{"method", ParseMethod, "ca-tbr-7", "ca-tbr-7", ""},
		{"method", ParseMethod, "dns01", "", "did you mean dns-01?"},
		{"method", ParseMethod, "DNS-01", "", "did you mean dns-01?"},
		{"method", ParseMethod, "", "", "such as dns-01"},
		{"method", ParseMethod, "dns-01,http-01", "", "such as dns-01"},
		{"account", ParseAccount, "https://ca.example/1", "https://ca.example/1", ""},
		{"account", ParseAccount, "acct:a@ca.example", "acct:a@ca.example", ""},
		{"account", ParseAccount, "1234567", "", "RFC 8657 3"},
		{"account", ParseAccount, "", "", "RFC 8657 3"},
		{"account", ParseAccount, "https://ca.example/a b", "", "RFC 8657 3"},
		{"account", ParseAccount, "https://ca.example/1;x=y", "", "RFC 8657 3"},
		{"account", ParseAccount, "https://ca.example/%zz", "", "RFC 8657 3"},
	}
	for _, tt := range tests {
		got, err := tt.parse(tt.text)
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s %q: %q, %v; want %q, %q", tt.what, tt.text, got, err, tt.want, tt.err)
		}
	}
}
