package issuers

import (
	"slices"
	"strings"
	"testing"

	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

func TestDirectoryIsSound(t *testing.T) {
	t.Parallel()
	for _, ca := range directory().cas {
		if !ca.Answers(ca.Preferred) {
			t.Errorf("%s prefers %s, which is none of its names", ca.Operator, ca.Preferred)
		}
		for _, name := range slices.Concat(ca.Domains, ca.Retired, ca.Resellers) {
			if v, err := issuance.ParseIssueValue(name); err != nil || v.Domain != name || name != strings.ToLower(name) || name == "" {
				t.Errorf("%s: %q cannot be an Issuer Domain Name", ca.Operator, name)
			}
		}
	}
	if n := len(directory().cas); n < 80 {
		t.Errorf("only %d operators", n)
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		status Status
		issues string // a name that the entry leads to
	}{
		"letsencrypt.org": {Listed, "letsencrypt.org"},
		"zerossl.com":     {Reseller, "sectigo.com"},
		"cloudflare.com":  {Reseller, "pki.goog"},
		"comodoca.com":    {Deprecated, "sectigo.com"},
		"yandex.ru":       {Retired, ""},
		"amazon.com":      {Listed, "amazon.com"},
		"nobody.example":  {Unknown, ""},
	} {
		e := Lookup(name)
		if e.Status != want.status {
			t.Errorf("%s: status %v, want %v", name, e.Status, want.status)
		}
		if want.issues != "" && !slices.ContainsFunc(e.CAs, func(ca *CA) bool { return ca.Preferred == want.issues }) {
			t.Errorf("%s does not lead to %s", name, want.issues)
		}
	}
}

func TestByAccount(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]struct {
		domain  string
		staging bool
	}{
		"https://acme-v02.api.letsencrypt.org/acme/acct/1":         {"letsencrypt.org", false},
		"https://acme-staging-v02.api.letsencrypt.org/acme/acct/1": {"letsencrypt.org", true},
		"https://dv.acme-v02.api.pki.goog/account/x":               {"pki.goog", false},
		"https://ca.example/1":                                     {"", false},
	} {
		ca, staging := ByAccount(uri)
		if (ca == nil) != (want.domain == "") || staging != want.staging || (ca != nil && !ca.Answers(want.domain)) {
			t.Errorf("%s: %+v, staging %v", uri, ca, staging)
		}
	}
}
