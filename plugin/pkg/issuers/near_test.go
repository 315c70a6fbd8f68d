package issuers

import "testing"

func TestMisspelt(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"letsencrpyt.org":     "letsencrypt.org", // two neighbours swapped
		"letsencryp.org":      "letsencrypt.org", // one missing
		"letssencrypt.org":    "letsencrypt.org", // one too many
		"letsencrypt.orf":     "letsencrypt.org", // one wrong
		"letencrpyt.org":      "letsencrypt.org", // two slips in a long name
		"digicret.com":        "digicert.com",
		"ssk.com":             "ssl.com",
		"sslk.co":             "", // two slips in a short one
		"letsencrypt.org":     "", // known
		"entrust.com":         "", // known, as a reseller, and one letter from nothing
		"swissign.com":        "", // known, as retired, and one letter from swisssign.com
		"comodoca.com":        "", // known, as deprecated
		"www.letsencrypt.org": "", // no slip
		"letsencrypt.com":     "",
		"ca.corp.example":     "",
		"":                    "",
	} {
		if got := Misspelt(name); got != want {
			t.Errorf("Misspelt(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestMeant(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"letsencrypt": "letsencrypt.org", "Let's Encrypt": "letsencrypt.org", "letsencrypt.com": "letsencrypt.org",
		"acme-v02.api.letsencrypt.org": "letsencrypt.org", "LetsEncrpyt.org": "letsencrypt.org", "letsencrypt.org": "letsencrypt.org",
		"ca.corp.example": "", "": "", ".": "", "é": "",
	} {
		if got := Meant(text); got != want {
			t.Errorf("Meant(%q) = %q, want %q", text, got, want)
		}
	}
}

// RFC 8657 3: the URI is compared whole, so one of another CA or of another environment meets nothing.
func TestCheckAccount(t *testing.T) {
	t.Parallel()
	const letters, staging, google = "https://acme-v02.api.letsencrypt.org/acme/acct/1", "https://acme-staging-v02.api.letsencrypt.org/acme/acct/1", "https://dv.acme-v02.api.pki.goog/account/x"
	for _, tt := range []struct {
		domain, uri string
		want        AccountFault
	}{
		{"letsencrypt.org", letters, NoFault},
		{"letsencrypt.org", staging, Staging},
		{"letsencrypt.org", google, AnotherCA},
		{"sectigo.com", staging, AnotherCA},
		{"sectigo.com", "https://acme.zerossl.com/v2/DV90/account/x", NoFault},
		{"ca.corp.example", google, NoFault},
		{"letsencrypt.org", "https://ca.corp.example/1", NoFault},
	} {
		if got, ca := CheckAccount(tt.domain, tt.uri); got != tt.want || (ca == nil) != (tt.uri == "https://ca.corp.example/1") {
			t.Errorf("CheckAccount(%q, %q) = %q, %v; want %q", tt.domain, tt.uri, got, ca, tt.want)
		}
	}
}
