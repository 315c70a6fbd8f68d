package policydiff

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coredns-caa/caa/checker/certname"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

var today = time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)

func load(t *testing.T, text string) *policy.Snapshot {
	t.Helper()
	p, err := policy.Load("caa.yaml", []byte("version: 1\nissuers: {letsencrypt: {domain: letsencrypt.org}, digicert: {domain: digicert.com}}\n"+text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const before = `zones:
  example.org:
    issue: [letsencrypt]
    names:
      shop: {issue: [digicert, letsencrypt]}
      _x: {issue: [digicert]}
certificates: [{names: [www.example.org], issuer: letsencrypt}]
`

func TestExplain(t *testing.T) {
	t.Parallel()
	p := load(t, before)
	got, err := Explain(p, certname.Name{Domain: "a.shop.example.org."}, today)
	if err != nil {
		t.Fatal(err)
	}
	if got.Node != "shop.example.org." || got.Zone != "example.org." || len(got.Records) != 2 || got.Pos.Line != 7 {
		t.Errorf("got %+v", got)
	}
	if want := []string{"digicert.com", "letsencrypt.org"}; !slices.Equal(got.Permissions[0].Issuers, want) || !slices.Equal(got.Permissions[1].Issuers, want) {
		t.Errorf("who may issue: %+v", got.Permissions)
	}
	if got, _ := Explain(p, certname.Name{Domain: "www.example.org."}, today); len(got.Required) != 1 || !slices.Contains(got.Permissions[2].Issuers, AnyoneElse) {
		t.Errorf("got %+v", got)
	}
	if _, err := Explain(p, certname.Name{Domain: "example.net."}, today); err == nil {
		t.Error("a name that no zone covers was explained")
	}
	fallback := load(t, "default: {issue: [digicert]}\n"+before)
	if got, err := Explain(fallback, certname.Name{Domain: "example.net."}, today); err != nil || !got.FromDefault || len(got.Records) != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// Who is named and cannot rely on it is no permission, and is shown.
func TestExplainShowsRisks(t *testing.T) {
	t.Parallel()
	p := load(t, `zones:
  example.org:
    issue: [{issuer: letsencrypt, methods: [http-01]}]
    names:
      a: {properties: [{tag: issue, value: "letsencrypt.com"}]}
      b: {issue: [{issuer: digicert, methods: [dns01]}]}
`)
	for name, want := range map[string]string{
		"www.example.org.": "[{tls [letsencrypt.org] []} {wildcard [] [{letsencrypt.org method-no-wildcard}]}",
		"a.example.org.":   "[{tls [letsencrypt.org] [{letsencrypt.com issuer-misspelt}]} {wildcard [] [{letsencrypt.com issuer-misspelt} {letsencrypt.org method-no-wildcard}]}",
		"b.example.org.":   "[{tls [] [{digicert.com method-unknown}]} {wildcard [] [{digicert.com method-unknown}]}",
	} {
		e, err := Explain(p, certname.Name{Domain: name}, today)
		if got := fmt.Sprint(e.Permissions); err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %s, %v; want %s", name, got, err, want)
		}
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, after, want string }{
		{"nothing", before, "[]"},
		{"an issuer more", `zones:
  example.org:
    issue: [letsencrypt, digicert]
    names:
      shop: {issue: [digicert, letsencrypt]}
      _x: {issue: [digicert]}
`, "[{example.org. tls [digicert.com] [] []} {example.org. wildcard [digicert.com] [] []}]"},
		{"a name less follows the one above", `zones:
  example.org:
    issue: [letsencrypt]
    names:
      _x: {issue: [digicert]}
`, "[{shop.example.org. tls [] [digicert.com] []} {shop.example.org. wildcard [] [digicert.com] []}]"},
		{"no wildcards", `zones:
  example.org:
    issue: [letsencrypt]
    issuewild: none
    names:
      shop: {issue: [digicert, letsencrypt], issuewild: [digicert, letsencrypt]}
      _x: {issue: [digicert], issuewild: [digicert]}
`, "[{example.org. wildcard [] [letsencrypt.org] []}]"},
		{"another account", `zones:
  example.org:
    issue: [{issuer: letsencrypt, accounts: ["https://acme-v02.api.letsencrypt.org/acme/acct/1"]}]
    names:
      shop: {issue: [digicert, letsencrypt]}
      _x: {issue: [digicert]}
`, "[{example.org. tls [] [letsencrypt.org] [letsencrypt.org accounturi=https://acme-v02.api.letsencrypt.org/acme/acct/1]} {example.org. wildcard [] [letsencrypt.org] [letsencrypt.org accounturi=https://acme-v02.api.letsencrypt.org/acme/acct/1]}]"},
		{"methods that validate no wildcard", `zones:
  example.org:
    issue: [{issuer: letsencrypt, methods: [http-01]}]
    names:
      shop: {issue: [digicert, letsencrypt]}
      _x: {issue: [digicert]}
`, "[{example.org. tls [] [letsencrypt.org] [letsencrypt.org validationmethods=http-01]} {example.org. wildcard [] [letsencrypt.org] []}]"},
		{"an invalid method", `zones:
  example.org:
    issue: [{issuer: letsencrypt, methods: [dns01]}]
    names:
      shop: {issue: [digicert, letsencrypt]}
      _x: {issue: [digicert]}
`, "[{example.org. tls [] [letsencrypt.org] []} {example.org. wildcard [] [letsencrypt.org] []}]"},
		{"open", `report: ["mailto:a@example.org"]
zones:
  example.org:
    issue: any
    names:
      shop: {issue: [digicert, letsencrypt]}
      _x: {issue: [digicert]}
`, "[{example.org. tls [any other CA] [] []} {example.org. wildcard [any other CA] [] []}]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := fmt.Sprint(Diff(load(t, before), load(t, tt.after), today)); got != tt.want {
				t.Errorf("got %s\nwant %s", got, tt.want)
			}
		})
	}
}

// A wider grant is no loss, and a narrower one no gain (RFC 8657).
func TestDiffOfParameters(t *testing.T) {
	t.Parallel()
	const account = `accounts: ["https://acme-v02.api.letsencrypt.org/acme/acct/1"]`
	const uri = "letsencrypt.org accounturi=https://acme-v02.api.letsencrypt.org/acme/acct/1"
	with := func(grants string) *policy.Snapshot {
		return load(t, "zones: {example.org: {issuewild: none, issue: ["+grants+"]}, example.net: {issue: [letsencrypt, digicert]}}\n")
	}
	le := func(parameters string) string { return "{issuer: letsencrypt, " + parameters + "}" }
	for _, tt := range []struct{ name, before, after, want string }{
		{"an account restriction removed", le(account), "letsencrypt", "[{example.org. tls [letsencrypt.org] [] []}]"},
		{"a method restriction removed", le("methods: [dns-01]"), "letsencrypt", "[{example.org. tls [letsencrypt.org] [] []}]"},
		{"a method more", le("methods: [dns-01]"), le("methods: [dns-01, http-01]"), "[{example.org. tls [letsencrypt.org validationmethods=dns-01,http-01] [] []}]"},
		{"a method less", le("methods: [dns-01, http-01]"), le("methods: [http-01]"), "[{example.org. tls [] [letsencrypt.org validationmethods=dns-01,http-01] [letsencrypt.org validationmethods=http-01]}]"},
		{"methods in another order", le("methods: [dns-01, http-01]"), le("methods: [http-01, dns-01]"), "[]"},
		{"an account beside another CA", le(account), le(account) + ", digicert", "[{example.org. tls [digicert.com] [] []}]"},
		{"an account bound to a method, too", le(account), le(account + ", methods: [dns-01]"), "[{example.org. tls [] [" + uri + "] [" + uri + " validationmethods=dns-01]}]"},
		{"an account for a method", le("methods: [dns-01]"), le(account), "[{example.org. tls [" + uri + "] [letsencrypt.org validationmethods=dns-01] []}]"},
	} {
		if got := fmt.Sprint(Diff(with(tt.before), with(tt.after), today)); got != tt.want {
			t.Errorf("%s: got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}
