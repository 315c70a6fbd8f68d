package issuers

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

// The directory says of each name one thing, in the form that CAs compare; what it says of one name
// does not contradict what it says of another.
func TestDirectoryIsSound(t *testing.T) {
	t.Parallel()
	var file struct {
		Date string `json:"date"`
		CAs  []*CA  `json:"cas"`
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	if _, err := time.Parse("2006-01", file.Date); err != nil {
		t.Error(err)
	}
	listed, operators := map[string]bool{}, map[string]bool{}
	for _, ca := range file.CAs {
		if operators[ca.Operator] || ca.Operator == "" {
			t.Errorf("the operator %q is listed twice", ca.Operator)
		}
		operators[ca.Operator] = true
		for _, name := range ca.Domains {
			listed[name] = true
		}
	}
	if len(operators) < 86 || len(listed) < 155 {
		t.Errorf("only %d operators with %d names: what was lost?", len(operators), len(listed))
	}
	retired := 0
	for _, ca := range file.CAs {
		retired += len(ca.Retired)
		checkCA(t, ca, listed)
	}
	if retired < 41 {
		t.Errorf("only %d retired names: what was lost?", retired)
	}
}

func checkCA(t *testing.T, ca *CA, listed map[string]bool) {
	t.Helper()
	if !ca.Answers(ca.Preferred) || slices.Contains(ca.Deprecated, ca.Preferred) {
		t.Errorf("%s prefers %q", ca.Operator, ca.Preferred)
	}
	for _, list := range [][]string{ca.Domains, ca.Deprecated, ca.Unconfirmed, ca.Retired, ca.Resellers} {
		for i, name := range list {
			v, err := issuance.ParseIssueValue(name)
			if err != nil || v.Domain != name || len(v.Parameters) > 0 || name != strings.ToLower(name) || !strings.Contains(name, ".") {
				t.Errorf("%s: %q cannot be an Issuer Domain Name (%v)", ca.Operator, name, err)
			}
			if slices.Contains(list[:i], name) {
				t.Errorf("%s: %s is listed twice", ca.Operator, name)
			}
		}
	}
	for _, name := range slices.Concat(ca.Deprecated, ca.Unconfirmed) {
		if !ca.Answers(name) {
			t.Errorf("%s: %s is not one of its names", ca.Operator, name)
		}
	}
	for _, name := range slices.Concat(ca.Retired, ca.Resellers) {
		if listed[name] {
			t.Errorf("%s: %s is retired or a reseller, and somebody honours it", ca.Operator, name)
		}
	}
	for _, name := range slices.Concat(ca.ACMEHosts, ca.Mistaken) {
		if got := Misspelt(name); Lookup(name).Status == Unknown && got != ca.Preferred {
			t.Errorf("%s: %s is taken for %q", ca.Operator, name, got)
		}
		if Lookup(name).Honoured() {
			t.Errorf("%s: %s is no Issuer Domain Name, and somebody honours it", ca.Operator, name)
		}
	}
	for _, prefix := range slices.Concat(ca.AccountPrefixes, ca.StagingPrefixes) {
		u, err := url.Parse(prefix)
		if err != nil || u.Scheme != "https" || u.Host == "" || !strings.HasSuffix(u.Path, "/") {
			t.Errorf("%s: %q does not begin the URI of an account", ca.Operator, prefix)
		}
		if got, staging := ByAccount(prefix + "1"); got == nil || got.Operator != ca.Operator || staging != slices.Contains(ca.StagingPrefixes, prefix) {
			t.Errorf("%s: %q leads to %+v, staging %t", ca.Operator, prefix, got, staging)
		}
	}
}

// Only names that are sure to authorise somebody are offered.
func TestNames(t *testing.T) {
	t.Parallel()
	names := Names()
	for _, name := range names {
		if Lookup(name).Status != Listed {
			t.Errorf("%s is offered", name)
		}
	}
	for _, name := range []string{"letsencrypt.org", "pki.goog", "digicert.com", "amazon.com"} {
		if !slices.Contains(names, name) {
			t.Errorf("%s is not offered", name)
		}
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		status Status
		issues string // a name that the entry leads to
	}{
		"letsencrypt.org":     {Listed, "letsencrypt.org"},
		"zerossl.com":         {Reseller, "sectigo.com"},
		"cloudflare.com":      {Reseller, "pki.goog"},
		"comodoca.com":        {Deprecated, "sectigo.com"},
		"yandex.ru":           {Retired, ""},
		"google.com":          {Retired, "pki.goog"},
		"entrust.com":         {Reseller, "sectigo.com"},
		"entrust.net":         {Listed, "sectigo.com"}, // and Entrust's
		"kpn.com":             {Unconfirmed, "kpn.com"},
		"www.letsencrypt.org": {Unknown, ""}, // names match whole
		"amazon.com":          {Listed, "amazon.com"},
		"nobody.example":      {Unknown, ""},
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
