package verdict_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

const (
	production = "https://acme-v02.api.letsencrypt.org/acme/acct/1"
	staging    = "https://acme-staging-v02.api.letsencrypt.org/acme/acct/1"
	google     = "https://dv.acme-v02.api.pki.goog/account/x"
)

func issue(values ...string) (rrset issuance.RRset) {
	for _, value := range values {
		rrset = append(rrset, issuance.Property{Tag: issuance.TagIssue, Value: value})
	}
	return rrset
}

// many are records of which one names Let's Encrypt.
func many(n int) issuance.RRset {
	rrset := issue("letsencrypt.org")
	for i := range n - 1 {
		rrset = append(rrset, issuance.Property{Tag: issuance.TagIssue, Value: fmt.Sprintf("ca%d.example", i)})
	}
	return rrset
}

// What the RRset names is held against what CAs are known to have: their names, accounts and methods.
func TestWhatIsNamedMayNotBe(t *testing.T) {
	t.Parallel()
	asked := func(domain string) guard.Requirement { return guard.Requirement{Domain: domain} }
	published := func(domain string) guard.Requirement {
		return guard.Requirement{Domain: domain, Origin: guard.Published}
	}
	with := func(r guard.Requirement, account, method string) guard.Requirement {
		r.Account, r.Method = account, method
		return r
	}
	wild := func(r guard.Requirement) guard.Requirement {
		r.Wildcard = true
		return r
	}
	tests := []struct {
		name    string
		rrset   issuance.RRset
		req     guard.Requirement
		at      time.Time
		outcome verdict.Outcome
		reason  issuance.Reason
	}{
		// RFC 8657 4
		{"a misspelt method", issue("letsencrypt.org; validationmethods=dns01"), asked("letsencrypt.org"), today, verdict.AtRisk, guard.MethodUnknown},
		{"a misspelt method, at a CA that ignores it as yet", issue("digicert.com; validationmethods=dns01"), asked("digicert.com"), today, verdict.AtRisk, guard.MethodUnknown},
		{"a method in capitals", issue("letsencrypt.org; validationmethods=DNS-01"), asked("letsencrypt.org"), today, verdict.AtRisk, guard.MethodUnknown},
		{"a misspelt method, and one that is", issue("letsencrypt.org; validationmethods=dns01,http-01"), asked("letsencrypt.org"), today, verdict.MayIssue, issuance.Authorized},
		{"a misspelt method, and another property", issue("letsencrypt.org; validationmethods=dns01", "letsencrypt.org"), asked("letsencrypt.org"), today, verdict.MayIssue, issuance.Authorized},
		{"a misspelt method, and another property before", issue("letsencrypt.org", "letsencrypt.org; validationmethods=dns01"), asked("letsencrypt.org"), today, verdict.MayIssue, issuance.Authorized},
		{"a misspelt method, and another CA's property", issue("letsencrypt.org; validationmethods=dns01", "pki.goog"), asked("letsencrypt.org"), today, verdict.AtRisk, guard.MethodUnknown},
		{"a CA's own method", issue("digicert.com; validationmethods=ca-tbr-7"), asked("digicert.com"), today, verdict.MayIssue, issuance.Authorized},
		{"a misspelt method, and is what is asked about", issue("letsencrypt.org; validationmethods=new-01"), with(asked("letsencrypt.org"), "", "new-01"), today, verdict.MayIssue, issuance.Authorized},
		{"a misspelt method, and another is asked about", issue("letsencrypt.org; validationmethods=dns01"), with(asked("letsencrypt.org"), "", "dns-01"), today, verdict.LockedOut, issuance.MethodNotAllowed},
		// BR 3.2.2.4.19 and 3.2.2.4.20
		{"a wildcard, by a method that validates none", issue("letsencrypt.org; validationmethods=http-01,tls-alpn-01"), wild(asked("letsencrypt.org")), today, verdict.AtRisk, guard.MethodNoWildcard},
		{"a wildcard, by such a method and one that does", issue("letsencrypt.org; validationmethods=http-01,dns-01"), wild(asked("letsencrypt.org")), today, verdict.MayIssue, issuance.Authorized},
		{"a wildcard, by such a method and another property", issue("letsencrypt.org; validationmethods=http-01", "letsencrypt.org; validationmethods=dns-01"), wild(asked("letsencrypt.org")), today, verdict.MayIssue, issuance.Authorized},
		{"a wildcard, and such a method is what is asked about", issue("letsencrypt.org"), wild(with(asked("letsencrypt.org"), "", "http-01")), today, verdict.AtRisk, guard.MethodNoWildcard},
		{"no wildcard, by a method that validates none", issue("letsencrypt.org; validationmethods=http-01"), asked("letsencrypt.org"), today, verdict.MayIssue, issuance.Authorized},
		// RFC 8657 3
		{"a staging account", issue("letsencrypt.org; accounturi=" + staging), asked("letsencrypt.org"), today, verdict.AtRisk, "account-of-staging"},
		{"a staging account, by a known method", issue("letsencrypt.org; accounturi=" + staging), with(asked("letsencrypt.org"), "", "dns-01"), today, verdict.AtRisk, "account-of-staging"},
		{"a staging account, and is what is asked about", issue("letsencrypt.org; accounturi=" + staging), with(asked("letsencrypt.org"), staging, ""), today, verdict.MayIssue, issuance.Authorized},
		{"a staging account, and that of production", issue("letsencrypt.org; accounturi="+staging, "letsencrypt.org; accounturi="+production), asked("letsencrypt.org"), today, verdict.MayIssue, issuance.Authorized},
		{"a staging account, after that of production", issue("letsencrypt.org; accounturi="+production, "letsencrypt.org; accounturi="+staging), asked("letsencrypt.org"), today, verdict.MayIssue, issuance.Authorized},
		{"another CA's account", issue("letsencrypt.org; accounturi=" + google), asked("letsencrypt.org"), today, verdict.AtRisk, "account-of-another-ca"},
		{"the account of a CA, under another of its names", issue("comodoca.com; accounturi=https://acme.zerossl.com/v2/DV90/account/x"), asked("sectigo.com"), bound, verdict.MayIssue, issuance.Authorized},
		{"another CA's account, at a CA that nobody knows", issue("ca.example; accounturi=" + google), asked("ca.example"), bound, verdict.MayIssue, issuance.Authorized},
		// boulder#8614, and va/caa.go: what Boulder reads as open or accepts is not locked out
		{"a tag with a capital, and another account", issue("letsencrypt.org; AccountURI=" + production), with(asked("letsencrypt.org"), production+"2", ""), bound, verdict.AtRisk, issuance.BadParameters},
		{"a tag with a capital, and another method", issue("letsencrypt.org; validationMethods=dns-01"), with(asked("letsencrypt.org"), "", "http-01"), bound, verdict.AtRisk, issuance.BadParameters},
		{"an empty label after the method", issue("letsencrypt.org; validationmethods=dns-01,"), with(asked("letsencrypt.org"), "", "dns-01"), bound, verdict.AtRisk, issuance.BadParameters},
		{"an empty label, and another method", issue("letsencrypt.org; validationmethods=dns-01,"), with(asked("letsencrypt.org"), "", "http-01"), bound, verdict.LockedOut, issuance.BadParameters},
		// BR 4.2.2.1.2
		{"a label for the same check", issue("digicert.com; validationmethods=ca-tbr-7"), with(asked("digicert.com"), "", "dns-01"), bound, verdict.AtRisk, issuance.MethodNotAllowed},
		{"a label for the same check, at a CA that does not read it yet", issue("letsencrypt.org; validationmethods=ca-tbr-7"), with(asked("letsencrypt.org"), "", "dns-01"), today, verdict.LockedOut, issuance.MethodNotAllowed},
		{"a label for another check", issue("digicert.com; validationmethods=ca-tbr-19"), with(asked("digicert.com"), "", "dns-01"), bound, verdict.LockedOut, issuance.MethodNotAllowed},
		{"nothing but labels that the CA does not read yet", issue("letsencrypt.org; validationmethods=ca-tbr-7"), asked("letsencrypt.org"), today, verdict.AtRisk, guard.MethodNotYet},
		{"the same, from when on it has to", issue("letsencrypt.org; validationmethods=ca-tbr-7"), asked("letsencrypt.org"), bound, verdict.MayIssue, issuance.Authorized},
		{"such a label beside one that it reads", issue("letsencrypt.org; validationmethods=ca-tbr-7,dns-01"), asked("letsencrypt.org"), today, verdict.MayIssue, issuance.Authorized},
		// BIND's max-records-per-type
		{"100 records", many(100), asked("letsencrypt.org"), today, verdict.MayIssue, issuance.Authorized},
		{"101 records", many(101), asked("letsencrypt.org"), today, verdict.AtRisk, guard.TooManyRecords},
		{"101 records, and not named", many(101), asked("digicert.com"), today, verdict.LockedOut, issuance.IssuerNotListed},
		{"a tag in capitals, which Boulder ignores", issue("letsencrypt.org; AccountURI=" + production), asked("letsencrypt.org"), bound, verdict.AtRisk, issuance.BadParameters},
		{"a name in capitals, with an account", issue("LetsEncrypt.org; accounturi=" + production), asked("letsencrypt.org"), bound, verdict.AtRisk, issuance.NameNotExact},
		// CCADB, CAA identifiers
		{"a name that a CA gave up", issue("yandex.ru"), published("yandex.ru"), today, verdict.LockedOut, guard.Retired},
		{"a name that a CA gave up, beside one that it has", issue("yandex.ru", "certum.pl"), published("certum.pl"), today, verdict.MayIssue, issuance.Authorized},
		{"a name that a CA gave up, and somebody has", issue("yandex.ru"), asked("yandex.ru"), today, verdict.MayIssue, issuance.Authorized},
		{"a reseller", issue("cloudflare.com"), published("cloudflare.com"), today, verdict.LockedOut, guard.Reseller},
		{"a reseller in capitals, where readings differ", issue("CloudFlare.com"), published("cloudflare.com"), today, verdict.LockedOut, guard.Reseller},
		{"a slip", issue("letsencrpyt.org"), published("letsencrpyt.org"), today, verdict.AtRisk, guard.Misspelt},
		{"a slip that is meant", issue("letsencrpyt.org"), asked("letsencrpyt.org"), today, verdict.MayIssue, issuance.Authorized},
		{"a slip, and not named", issue(";"), published("letsencrpyt.org"), today, verdict.LockedOut, issuance.NobodyAuthorized},
		{"another top-level domain", issue("letsencrypt.com"), published("letsencrypt.com"), today, verdict.AtRisk, guard.Misspelt},
		{"the CA's website", issue("www.letsencrypt.org"), published("www.letsencrypt.org"), today, verdict.AtRisk, guard.Misspelt},
		{"the CA's ACME server", issue("acme-v02.api.letsencrypt.org"), published("acme-v02.api.letsencrypt.org"), today, verdict.AtRisk, guard.Misspelt},
		{"the CA's name alone", issue("digicert"), published("digicert"), today, verdict.AtRisk, guard.Misspelt},
		{"three letters off", issue("letsenkripd.org"), published("letsenkripd.org"), today, verdict.AtRisk, guard.Misspelt},
		{"a slip that a policy requires", issue("letsencrypt.com"), guard.Requirement{Domain: "letsencrypt.com", Origin: guard.Certificates}, today, verdict.AtRisk, guard.Misspelt},
		{"a slip that a policy calls unlisted", issue("letsencrypt.com"), guard.Requirement{Domain: "letsencrypt.com", Origin: guard.Certificates, Unlisted: true}, today, verdict.MayIssue, issuance.Authorized},
		{"a misspelt method of a policy", issue("letsencrypt.org; validationmethods=dns01"), guard.Requirement{Domain: "letsencrypt.org", Method: "dns01", Origin: guard.Certificates}, today, verdict.AtRisk, guard.MethodUnknown},
		{"a private CA", issue("ca.corp.example"), published("ca.corp.example"), today, verdict.MayIssue, issuance.Authorized},
		{"a name that its CA advises against", issue("comodoca.com"), published("comodoca.com"), today, verdict.MayIssue, issuance.Authorized},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			way := climb.Climb{Name: "www.example.", Steps: []climb.Step{{Name: "www.example.", RRset: tt.rrset}}}
			got := verdict.Decide(way, tt.req, tt.at)
			if got.Outcome != tt.outcome || got.Reason != tt.reason {
				t.Errorf("got %v (%s): %s; want %v (%s)", got.Outcome, got.Reason, got.Detail, tt.outcome, tt.reason)
			}
			if got.Outcome == verdict.AtRisk && got.Detail == "" {
				t.Error("it says nothing to people")
			}
		})
	}
}
