package verdict_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/test/lab"
)

var (
	today = time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	bound = time.Date(2027, 3, 15, 0, 0, 0, 0, time.UTC)
	early = time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC)
)

func resolver(t testing.TB, l *lab.Lab) *resolve.Resolver {
	t.Helper()
	r, err := resolve.New(resolve.Config{Hints: l.Hints, Anchors: l.Anchors, Port: l.Port, Rate: -1, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func decide(t testing.TB, r *resolve.Resolver, req guard.Requirement, at time.Time) verdict.Verdict {
	t.Helper()
	req.Name, req.Wildcard = strings.CutPrefix(dns.CanonicalName(req.Name), "*.")
	return verdict.Decide(climb.Up(t.Context(), r, req.Name), req, at)
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	fail := func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
		if q.Qtype == dns.TypeCAA {
			m.Rcode, m.Answer, m.Ns = dns.RcodeServerFailure, nil, nil
		}
		return m
	}
	silent := func(string, dns.Question, *dns.Msg) *dns.Msg { return nil }
	withoutSOA := func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg {
		if len(m.Answer) == 0 && m.Authoritative {
			m.Ns = nil
		}
		return m
	}
	old := func(sig *dns.RRSIG) { sig.Inception, sig.Expiration = sig.Inception-7200, sig.Inception }
	l := lab.New(t, map[string]lab.Hook{"ns.fail.test.": fail, "ns.nosoa.test.": withoutSOA, "ns.silent.test.": silent, "a.broken.": fail},
		lab.Zone{Name: "test.", Servers: []string{"a.nic.test."}, Text: `
twodigests DS 1 15 2 0000000000000000000000000000000000000000000000000000000000000000
twoalgorithms DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000000
standby DS 1 8 2 0000000000000000000000000000000000000000000000000000000000000000
unknown DS 1 16 2 0000000000000000000000000000000000000000000000000000000000000000
`},
		lab.Zone{Name: "twodigests.test.", Servers: []string{"ns.ok.test."}, Digest: dns.SHA1, Text: `@ CAA 0 issue "ca.example"`},
		lab.Zone{Name: "twoalgorithms.test.", Servers: []string{"ns.ok.test."}, Algorithm: dns.RSASHA1, Text: `@ CAA 0 issue "ca.example"`},
		lab.Zone{Name: "standby.test.", Servers: []string{"ns.ok.test."}, Text: `@ CAA 0 issue "ca.example"`},
		lab.Zone{Name: "unknown.test.", Servers: []string{"ns.ok.test."}, Text: `@ CAA 0 issue "ca.example"`, DS: func(ds *dns.DS) { ds.KeyTag++ }},
		lab.Zone{Name: "broken.", Servers: []string{"a.broken."}},
		lab.Zone{Name: "shielded.broken.", Servers: []string{"ns.shielded.broken."}, Text: `@ CAA 0 issue "ca.example"`},
		lab.Zone{Name: "open.broken.", Servers: []string{"ns.open.broken."}},
		lab.Zone{Name: "fail.test.", Servers: []string{"ns.fail.test."}},
		lab.Zone{Name: "unsigned.test.", Servers: []string{"ns.fail.test."}, Unsigned: true},
		lab.Zone{Name: "silent.test.", Servers: []string{"ns.silent.test."}},
		lab.Zone{Name: "nosoa.test.", Servers: []string{"ns.nosoa.test."}, Unsigned: true, Text: "@ CAA 0 issue \"ca.example\"\nwww A 192.0.2.1\nown CAA 0 issue \"ca.example\"\nloop CNAME loop\n"},
		lab.Zone{Name: "expired.test.", Servers: []string{"ns.ok.test."}, Sign: old},
		lab.Zone{Name: "sha1.test.", Servers: []string{"ns.ok.test."}, Algorithm: dns.RSASHA1, Sign: old},
		lab.Zone{Name: "digest.test.", Servers: []string{"ns.fail.test."}, Digest: dns.SHA1},
		lab.Zone{Name: "sound.test.", Servers: []string{"ns.ok.test."}, Algorithm: dns.RSASHA1, Text: `@ CAA 0 issue "ca.example"`},
		lab.Zone{Name: "ok.test.", Servers: []string{"ns.ok.test."}, Text: `
@       CAA 0 issue "ca.example"
@       CAA 0 issuewild "wild.example"
upper   CAA 0 issue "CA.example"
account CAA 0 issue "ca.example; accounturi=https://ca.example/1"
letters CAA 0 issue "letsencrypt.org; accounturi=https://acme-v02.api.letsencrypt.org/acme/acct/1"
mail    CAA 0 issuemail "mail.example"
iodef   CAA 0 iodef "mailto:a@b.example"
tbs     CAA 128 tbs "x"
one     CAA 1 tbs "x"
alias   CNAME x.provider.test.
old     CAA 0 issue "digicert.com"
loop    CNAME loop2
loop2   CNAME loop
`},
		lab.Zone{Name: "provider.test.", Servers: []string{"ns.ok.test."}, Text: `x CAA 0 issue "provider.example"`},
	)
	r := resolver(t, l)
	tests := []struct {
		name    string
		req     guard.Requirement
		at      time.Time
		outcome verdict.Outcome
		reason  issuance.Reason
	}{
		{"named at the apex", guard.Requirement{Name: "www.ok.test.", Domain: "ca.example"}, today, verdict.MayIssue, issuance.Authorized},
		{"not named", guard.Requirement{Name: "www.ok.test.", Domain: "other.example"}, today, verdict.LockedOut, issuance.IssuerNotListed},
		{"a wildcard", guard.Requirement{Name: "*.www.ok.test.", Domain: "ca.example"}, today, verdict.LockedOut, issuance.IssuerNotListed},
		{"a wildcard's own", guard.Requirement{Name: "*.ok.test.", Domain: "wild.example"}, today, verdict.MayIssue, issuance.Authorized},
		{"readings differ on the name's case", guard.Requirement{Name: "upper.ok.test.", Domain: "ca.example"}, today, verdict.AtRisk, issuance.NameNotExact},
		{"another account, before parameters bind", guard.Requirement{Name: "account.ok.test.", Domain: "ca.example", Account: "https://ca.example/2"}, today, verdict.AtRisk, issuance.AccountMismatch},
		{"another account, once they bind", guard.Requirement{Name: "account.ok.test.", Domain: "ca.example", Account: "https://ca.example/2"}, bound, verdict.LockedOut, issuance.AccountMismatch},
		{"another account, at a CA that binds already", guard.Requirement{Name: "letters.ok.test.", Domain: "letsencrypt.org", Account: "https://acme-v02.api.letsencrypt.org/acme/acct/2"}, today, verdict.LockedOut, issuance.AccountMismatch},
		{"no account given", guard.Requirement{Name: "account.ok.test.", Domain: "ca.example"}, bound, verdict.MayIssue, issuance.Authorized},
		{"mail", guard.Requirement{Name: "mail.ok.test.", Domain: "mail.example", Type: issuance.SMIME}, today, verdict.MayIssue, issuance.Authorized},
		{"the closest RRset replaces the others", guard.Requirement{Name: "iodef.ok.test.", Domain: "other.example"}, today, verdict.MayIssue, issuance.NoProperty},
		{"a critical tag that nobody knows", guard.Requirement{Name: "tbs.ok.test.", Domain: "ca.example"}, today, verdict.LockedOut, issuance.CriticalUnknown},
		{"a flag that Boulder takes for critical", guard.Requirement{Name: "one.ok.test.", Domain: "ca.example"}, today, verdict.AtRisk, issuance.CriticalUnknown},
		{"governed by the alias's target", guard.Requirement{Name: "alias.ok.test.", Domain: "ca.example"}, today, verdict.LockedOut, issuance.IssuerNotListed},
		{"let in by the alias's target", guard.Requirement{Name: "alias.ok.test.", Domain: "provider.example"}, today, verdict.MayIssue, issuance.Authorized},
		{"another name of the same CA", guard.Requirement{Name: "old.ok.test.", Domain: "rapidssl.com"}, today, verdict.MayIssue, issuance.Authorized},
		{"nothing up to the TLD", guard.Requirement{Name: "provider.test.", Domain: "ca.example"}, today, verdict.MayIssue, issuance.NoRRset},
		{"SERVFAIL, signed", guard.Requirement{Name: "x.fail.test.", Domain: "ca.example"}, today, verdict.LockedOut, verdict.FailedSigned},
		{"SERVFAIL, unsigned", guard.Requirement{Name: "x.unsigned.test.", Domain: "ca.example"}, today, verdict.AtRisk, verdict.FailedUnsigned},
		{"silence, signed", guard.Requirement{Name: "silent.test.", Domain: "ca.example"}, today, verdict.LockedOut, verdict.FailedSigned},
		{"expired signatures", guard.Requirement{Name: "expired.test.", Domain: "ca.example"}, today, verdict.LockedOut, verdict.Bogus},
		{"expired signatures, before validation was compulsory", guard.Requirement{Name: "expired.test.", Domain: "ca.example"}, early, verdict.AtRisk, verdict.BogusUnchecked},
		{"expired signatures with SHA-1, which some resolvers do not look at (RFC 9905 2)", guard.Requirement{Name: "sha1.test.", Domain: "ca.example"}, today, verdict.AtRisk, verdict.ValidatorsDiffer},
		{"SERVFAIL, signed, and DS with SHA-1 alone", guard.Requirement{Name: "x.digest.test.", Domain: "ca.example"}, today, verdict.AtRisk, verdict.ValidatorsDiffer},
		{"signed with SHA-1", guard.Requirement{Name: "sound.test.", Domain: "ca.example"}, today, verdict.MayIssue, issuance.Authorized},
		{"aliases that loop (RFC 1034 3.6.2)", guard.Requirement{Name: "loop.ok.test.", Domain: "ca.example"}, today, verdict.LockedOut, verdict.AliasLoop},
		{"aliases that loop, in an unsigned zone", guard.Requirement{Name: "loop.nosoa.test.", Domain: "ca.example"}, today, verdict.AtRisk, verdict.AliasLoop},
		{"a DS with SHA-1 that fits, and one with SHA-256 that does not (RFC 4509 3)", guard.Requirement{Name: "twodigests.test.", Domain: "ca.example"}, today, verdict.AtRisk, verdict.ValidatorsDiffer},
		{"the same, and the CA is not named", guard.Requirement{Name: "twodigests.test.", Domain: "other.example"}, today, verdict.LockedOut, issuance.IssuerNotListed},
		{"a DS of RSASHA1 that fits, and one of another algorithm that does not (RFC 9905 2)", guard.Requirement{Name: "twoalgorithms.test.", Domain: "ca.example"}, today, verdict.AtRisk, verdict.ValidatorsDiffer},
		{"a DS of a standby key", guard.Requirement{Name: "standby.test.", Domain: "ca.example"}, today, verdict.MayIssue, issuance.Authorized},
		{"a DS that fits no key, and one of an algorithm that is not known here", guard.Requirement{Name: "unknown.test.", Domain: "ca.example"}, today, verdict.AtRisk, verdict.ValidatorsDiffer},
		{"a denial without SOA on the way up (RFC 2308 3)", guard.Requirement{Name: "www.nosoa.test.", Domain: "ca.example"}, today, verdict.AtRisk, verdict.WithoutSOA},
		{"NXDOMAIN without SOA on the way up", guard.Requirement{Name: "x.nosoa.test.", Domain: "ca.example"}, today, verdict.AtRisk, verdict.WithoutSOA},
		{"a denial without SOA, and nobody may", guard.Requirement{Name: "www.nosoa.test.", Domain: "other.example"}, today, verdict.LockedOut, issuance.IssuerNotListed},
		{"denials without SOA elsewhere", guard.Requirement{Name: "own.nosoa.test.", Domain: "ca.example"}, today, verdict.MayIssue, issuance.Authorized},
		{"an error above the first RRset", guard.Requirement{Name: "www.shielded.broken.", Domain: "ca.example"}, today, verdict.MayIssue, issuance.Authorized},
		{"an error nearer than any RRset", guard.Requirement{Name: "www.open.broken.", Domain: "ca.example"}, today, verdict.LockedOut, verdict.FailedSigned},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := decide(t, r, tt.req, tt.at); got.Outcome != tt.outcome || got.Reason != tt.reason {
				t.Errorf("got %v (%s): %s; want %v (%s)", got.Outcome, got.Reason, got.Detail, tt.outcome, tt.reason)
			}
		})
	}
}

// No CA can issue for a name in a domain that its registry denies (BR 3.2.2.4), whatever CAA is above. Names in a domain that
// exists, under a suffix that is no registry's, and in a private root's
// top-level domain, may come to exist while a CA validates control.
func TestMissingDomain(t *testing.T) {
	t.Parallel()
	l := lab.New(t, nil,
		lab.Zone{Name: "test.", Servers: []string{"a.nic.test."}},
		lab.Zone{Name: "et.", Servers: []string{"a.nic.test."}, Text: `@ CAA 0 issue "ca.example"`},
		lab.Zone{Name: "org.", Servers: []string{"a.nic.test."}},
		lab.Zone{Name: "there.org.", Servers: []string{"ns.there.org."}},
		lab.Zone{Name: "io.", Servers: []string{"a.nic.test."}},
		lab.Zone{Name: "github.io.", Servers: []string{"a.nic.test."}},
	)
	r := resolver(t, l)
	for name, missing := range map[string]bool{"nowhere.org.": true, "www.nowhere.org.": true, "nowhere.et.": true, "com.et.": false, "nowhere.com.et.": true, "none.there.org.": false, "org.": false, "test.": false, "nowhere.test.": false, "www.nowhere.tset.": true, "nobody.github.io.": false, "nobody.io.": true} {
		got := decide(t, r, guard.Requirement{Name: name, Domain: "ca.example"}, today)
		want := verdict.MayIssue
		if missing {
			want = verdict.LockedOut
		}
		if got.Outcome != want || (got.Reason == verdict.DomainMissing) != missing || strings.Contains(got.Detail, " does not exist, so that no CA") != missing {
			t.Errorf("%s: %v (%s): %q", name, got.Outcome, got.Reason, got.Detail)
		}
	}
	if got := decide(t, r, guard.Requirement{Name: "nowhere.com.et.", Domain: "other.example"}, today); got.Reason != issuance.IssuerNotListed {
		t.Errorf("another CA: %v (%s)", got.Outcome, got.Reason)
	}
}

// A root that does not answer says nothing about a name.
func TestAnUnreachableRootIsNoLockOut(t *testing.T) {
	t.Parallel()
	hints, err := resolve.Records(". NS a.root.\na.root. A 127.0.0.1", "hints")
	if err != nil {
		t.Fatal(err)
	}
	closed, err := net.ListenPacket("udp", "127.0.0.1:0") // answers nothing
	if err != nil {
		t.Fatal(err)
	}
	defer closed.Close()
	r, err := resolve.New(resolve.Config{Hints: hints, Port: uint16(closed.LocalAddr().(*net.UDPAddr).Port), Timeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if got := decide(t, r, guard.Requirement{Name: "www.example.", Domain: "ca.example"}, today); got.Outcome != verdict.Unknown || got.Reason != verdict.Offline {
		t.Errorf("got %v (%s): %s", got.Outcome, got.Reason, got.Detail)
	}
}

// The deny cases of SSLMate's CAA Test Suite (caatestsuite.com, May 2026), re-keyed: no CA may issue for
// any of these names, and each is denied for the reason that it was made for.
func TestSSLMateSuite(t *testing.T) {
	t.Parallel()
	const suite = "caatestsuite.test."
	ipv6 := "v6"
	if l, err := net.Listen("tcp", "[::1]:0"); err != nil {
		ipv6 = ""
	} else {
		l.Close()
	}
	var big strings.Builder
	for i := range 1000 {
		big.WriteString("big.basic CAA 0 t" + strings.Repeat("x", i/100+1) + string(rune('a'+i%100/10)) + string(rune('0'+i%10)) + ` "test"` + "\n")
	}
	rcode := func(rcode int) lab.Hook {
		return func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg {
			m.Rcode, m.Answer, m.Ns = rcode, nil, nil
			return m
		}
	}
	old := func(sig *dns.RRSIG) { sig.Inception, sig.Expiration = sig.Inception-7200, sig.Inception }
	l := lab.New(t, map[string]lab.Hook{
		"blackhole.nic.test.": func(string, dns.Question, *dns.Msg) *dns.Msg { return nil },
		"servfail.nic.test.":  rcode(dns.RcodeServerFailure),
		"refused.nic.test.":   rcode(dns.RcodeRefused),
		"missing.nic.test.": func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg {
			unsigned := func(section []dns.RR) (out []dns.RR) {
				for _, rr := range section {
					if t := rr.Header().Rrtype; t != dns.TypeRRSIG && t != dns.TypeNSEC {
						out = append(out, rr)
					}
				}
				return out
			}
			m.Answer, m.Ns = unsigned(m.Answer), unsigned(m.Ns)
			return m
		},
	},
		lab.Zone{Name: "test.", Servers: []string{"a.nic.test."}},
		lab.Zone{Name: suite, Servers: []string{"ns.nic.test."}, Unsigned: true, Text: big.String() + `
empty.basic            CAA 0 issue ";"
deny.basic             CAA 0 issue "caatestsuite.com"
uppercase-deny.basic   CAA 0 ISSUE "caatestsuite.com"
mixedcase-deny.basic   CAA 0 IsSuE "caatestsuite.com"
big.basic              CAA 0 issue "caatestsuite.com"
critical1.basic        CAA 128 caatestsuitedummyproperty "test"
critical2.basic        CAA 130 caatestsuitedummyproperty "test"
deny-wild.basic        CAA 0 issue ";"
deny-wild.basic        CAA 0 issuewild "caatestsuite.com"
cname-deny.basic       CNAME deny.basic
cname-cname-deny.basic CNAME cname-deny.basic
permit.basic           CAA 0 issue "ca.example"
deny.permit.basic      CAA 0 issue "caatestsuite.com"
dname-permit.deny.basic      DNAME permit-target.basic
cname-permit-sub.deny.basic  CNAME sub.permit.basic
xss                    CAA 0 issue "<script>alert(1)</script>"
`},
		lab.Zone{Name: "ipv6only.test.", Servers: []string{ipv6 + "ns.nic.test."}, Unsigned: true, Text: `@ CAA 0 issue "caatestsuite.com"`},
		lab.Zone{Name: "expired.test.", Servers: []string{"ns.nic.test."}, Sign: old},
		lab.Zone{Name: "missing.test.", Servers: []string{"missing.nic.test."}},
		lab.Zone{Name: "blackhole.test.", Servers: []string{"blackhole.nic.test."}},
		lab.Zone{Name: "servfail.test.", Servers: []string{"servfail.nic.test."}},
		lab.Zone{Name: "refused.test.", Servers: []string{"refused.nic.test."}},
	)
	r := resolver(t, l)
	tests := map[string]issuance.Reason{
		"empty.basic." + suite:                 issuance.NobodyAuthorized,
		"deny.basic." + suite:                  issuance.IssuerNotListed,
		"uppercase-deny.basic." + suite:        issuance.IssuerNotListed,
		"mixedcase-deny.basic." + suite:        issuance.IssuerNotListed,
		"big.basic." + suite:                   issuance.IssuerNotListed,
		"critical1.basic." + suite:             issuance.CriticalUnknown,
		"critical2.basic." + suite:             issuance.CriticalUnknown,
		"sub1.deny.basic." + suite:             issuance.IssuerNotListed,
		"sub2.sub1.deny.basic." + suite:        issuance.IssuerNotListed,
		"*.deny.basic." + suite:                issuance.IssuerNotListed,
		"*.deny-wild.basic." + suite:           issuance.IssuerNotListed,
		"cname-deny.basic." + suite:            issuance.IssuerNotListed,
		"cname-cname-deny.basic." + suite:      issuance.IssuerNotListed,
		"sub1.cname-deny.basic." + suite:       issuance.IssuerNotListed,
		"dname-permit.deny.basic." + suite:     issuance.IssuerNotListed,
		"cname-permit-sub.deny.basic." + suite: issuance.IssuerNotListed,
		"deny.permit.basic." + suite:           issuance.IssuerNotListed,
		"xss." + suite:                         issuance.Malformed,
		"ipv6only.test.":                       issuance.IssuerNotListed,
		"expired.test.":                        verdict.Bogus,
		"missing.test.":                        verdict.Bogus,
		"blackhole.test.":                      verdict.FailedSigned,
		"servfail.test.":                       verdict.FailedSigned,
		"refused.test.":                        verdict.FailedSigned,
	}
	for name, reason := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if strings.HasPrefix(name, "ipv6only") && ipv6 == "" {
				t.Skip("this machine has no IPv6")
			}
			got := decide(t, r, guard.Requirement{Name: name, Domain: "ca.example"}, today)
			if got.Outcome != verdict.LockedOut || got.Reason != reason {
				t.Errorf("got %v (%s): %s; want it locked out (%s)", got.Outcome, got.Reason, got.Detail, reason)
			}
		})
	}
}
