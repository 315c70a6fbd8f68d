package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/test/lab"
)

var update = flag.Bool("update", false, "write the golden files")

// zones is the world of these tests.
var zones = []lab.Zone{
	{Name: "test.", Servers: []string{"a.nic.test.", "b.nic.test."}},
	{Name: "example.test.", Servers: []string{"ns1.example.test.", "ns2.example.test."}, Text: `
@     CAA 0 issue "letsencrypt.org"
@     CAA 0 issuewild ";"
shop  CAA 0 issue "digicert.com"
shop  CAA 0 issue "LetsEncrypt.org"
none  CAA 0 issue ";"
open  CAA 0 iodef "https://example.test/"
xss   CAA 0 issue "` + "\\027[31mred" + `"
store CNAME x.provider.test.
old   CAA 0 issue "yandex.ru"
sells CAA 0 issue "cloudflare.com"
slip  CAA 0 issue "letsencrpyt.org"
typo  CAA 0 issue "letsencrypt.org; validationmethods=dns01"
stage CAA 0 issue "letsencrypt.org; accounturi=https://acme-staging-v02.api.letsencrypt.org/acme/acct/1"
later CAA 0 issue "digicert.com; validationmethods=dns-01"
`},
	{Name: "provider.test.", Servers: []string{"ns1.provider.test.", "ns2.provider.test."}, Text: `x CAA 0 issue "digicert.com"`},
	{Name: "down.test.", Servers: []string{"ns1.down.test.", "ns2.down.test."}},
	{Name: "stale.test.", Servers: []string{"ns1.example.test.", "ns1.stale.test."}, Unsigned: true, Text: `@ CAA 0 issue "letsencrypt.org"`},
	{Name: "refuses.test.", Servers: []string{"ns1.refuses.test.", "ns2.refuses.test."}},
}

var hooks = map[string]lab.Hook{
	"ns1.down.test.": failing, "ns2.down.test.": failing,
	"ns1.refuses.test.": refusing, "ns2.refuses.test.": refusing,
	"ns1.stale.test.": func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
		m = m.Copy()
		for _, rr := range m.Answer {
			if caa, ok := rr.(*dns.CAA); ok {
				caa.Value = "sectigo.com"
			}
		}
		return m
	},
}

func failing(_ string, _ dns.Question, m *dns.Msg) *dns.Msg {
	m.Rcode, m.Answer, m.Ns = dns.RcodeServerFailure, nil, nil
	return m
}

// refusing says why it fails (RFC 8914), and more that it would rather have a terminal do.
func refusing(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
	m = failing("", q, m.Copy())
	m.Extra = nil
	m.SetEdns0(1232, true)
	m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeNotReady, ExtraText: "loading \x1b[2J"})
	return m
}

const goodPolicy = `version: 1
issuers: {letsencrypt: {domain: letsencrypt.org}, digicert: {domain: digicert.com}}
zones:
  example.test:
    issue: [letsencrypt]
    issuewild: none
    names:
      shop: {issue: [digicert], issuewild: [digicert]}
certificates:
  - {names: [www.example.test], issuer: letsencrypt}
`

// start makes a lab with the flags that lead into it, and a folder of files.
func start(t *testing.T) (dir string, flags []string) {
	t.Helper()
	l := lab.New(t, hooks, zones...)
	dir = t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("policy.yaml", goodPolicy)
	write("other.yaml", strings.Replace(goodPolicy, "issue: [letsencrypt]\n    issuewild", "issue: [letsencrypt, digicert]\n    issuewild", 1))
	write("refused.yaml", strings.Replace(goodPolicy, "    names:\n", "    names:\n      www: {issue: [digicert]}\n", 1))
	write("mistaken.yaml", strings.Replace(goodPolicy, "issuewild: none", "issuewlid: none", 1))
	write("requires-nothing.yaml", "version: 1\nissuers: {letsencrypt: {domain: letsencrypt.org}}\nzones: {example.test: {issue: [letsencrypt]}}\n")
	write("account.yaml", strings.Replace(goodPolicy, "issue: [letsencrypt]\n", "issue: [{issuer: letsencrypt, accounts: [\"https://acme-v02.api.letsencrypt.org/acme/acct/1\"]}]\n", 1))
	write("closed.yaml", "version: 1\nzones: {example.test: {issue: none, names: {c: {issue: none}}}}\n")
	write("none.yaml", "version: 1\nzones: {none.example.test: {issue: none}}\n")
	write("names", "www.example.test # ours\nshop.example.test\n")
	write("bad-names", "www.example.test\nhttps://x.test/\n")
	write("empty", "# nothing\n")
	write("twice", "www.example.test\nWWW.example.test.\nwww.example.test # again\n")
	write("long", "www.example.test\n"+strings.Repeat("x", 1<<17)+"\n")
	write("challenge.yaml", strings.Replace(goodPolicy, "    names:\n", "    names:\n      _acme-challenge: {issuewild: none}\n", 1))
	write("no-records", "; nothing\n")
	return dir, flagsInto(t, l, dir)
}

// flagsInto are those that lead into a lab, by files in a folder.
func flagsInto(t *testing.T, l *lab.Lab, dir string) []string {
	t.Helper()
	hints, anchor := filepath.Join(dir, "hints"), filepath.Join(dir, "anchor")
	for file, rrs := range map[string][]dns.RR{hints: l.Hints, anchor: l.Anchors} {
		if err := os.WriteFile(file, []byte(lines(rrs)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return []string{"--root-hints", hints, "--trust-anchor", anchor, "--port", fmt.Sprint(l.Port), "--rate", "0"}
}

func lines(rrs []dns.RR) string {
	var out strings.Builder
	for _, rr := range rrs {
		out.WriteString(rr.String() + "\n")
	}
	return out.String()
}

func TestCaacheck(t *testing.T) {
	t.Parallel()
	dir, world := start(t)
	tests := []struct {
		args string // $D is the folder; what begins with a command needs no world
		in   string
		code int
		out  []string // that standard output has
		err  string
	}{
		{args: "www.example.test", code: 0, out: []string{"letsencrypt.org  may issue  0 issue \"letsencrypt.org\" at example.test, secure", "Yes: every CA that was checked may issue for www.example.test."}},
		{args: "www.example.test --issuer letsencrypt.org --issuer digicert.com", code: 1, out: []string{"digicert.com     locked out  issuer-not-listed", "No: www.example.test is locked out.", `fix: if the CA is to issue, add a record that names it, at every server: issue, or for a wildcard name with issuewild records, issuewild: example.test CAA 0 issue "digicert.com"`}},
		{args: "*.www.example.test", code: 1, out: []string{"No: no CA may issue for *.www.example.test.", "every CA  locked out  nobody-authorized: 0 issuewild \";\" at example.test"}},
		{args: "none.example.test", code: 1, out: []string{"No: no CA may issue for none.example.test.", "every CA  locked out  nobody-authorized"}},
		{args: "www.nowhere.tset", code: 1, out: []string{"No: www.nowhere.tset is in a domain that does not exist.", "every CA  locked out  domain-missing: the domain tset does not exist"}},
		{args: "www.nowhere.tset none.example.test www.example.test", code: 1, out: []string{"No: 2 of 3 names are locked out (1 in a domain that does not exist)."}},
		{args: "--policy $D/closed.yaml", code: 1, out: []string{"No: servers do not return the policy's CAA records for any of the 2 names.", "the policy permits no CA, and DNS has 0 issue \"letsencrypt.org\", 0 issuewild \";\" at example.test", "has 0 issue \";\"; ns1.example.test (", ") and ns2.example.test ("}},
		{args: "www.example.test -v stale.test", code: 1, out: []string{"chain of trust (insecure: proven to be unsigned)\n"}},
		{args: "a.provider.test b.provider.test", code: 0, out: []string{"no CAA at or above a.provider.test and b.provider.test: every CA may issue\n    fix: "}},
		{args: "--policy $D/none.yaml", code: 0, out: []string{"No CA may issue for none.example.test, as the policy says."}},
		{args: "none.example.test --issuer digicert.com", code: 1, out: []string{"locked out  nobody-authorized"}},
		{args: "open.example.test", code: 0, out: []string{"Yes: any CA may issue for open.example.test.", "any CA  may issue", "warning  open.example.test  issue-missing"}},
		{args: "shop.example.test", code: 1, out: []string{"digicert.com     may issue", "letsencrypt.org  at risk    issuer-name-not-exact", "readings-differ"}},
		{args: "store.example.test", code: 0, out: []string{"x.provider.test, secure", "governed-by-alias", "the CAA of x.provider.test, in another zone, decides"}},
		{args: "down.test", code: 1, out: []string{"every CA  locked out  lookup-failed-signed", "server-fails"}},
		{args: "-v refuses.test", code: 1, out: []string{`servfail, at the servers of refuses.test. (EDE 14 Not Ready: "loading \x1b[2J")`, "error: ns1.refuses.test (", `over UDP: servfail, EDE 14 Not Ready: "loading \x1b[2J"`, "fix: have the zone's servers answer"}},
		{args: "stale.test", code: 1, out: []string{"servers-disagree", "servers-differ"}},
		{args: "provider.test", code: 0, out: []string{"any CA  may issue  no CAA at the name or above it", "caa-missing"}},
		{args: "xss.example.test", code: 1, out: []string{"value-malformed"}},
		{args: "old.example.test", code: 1, out: []string{"yandex.ru  locked out  issuer-retired", "Asseco Data Systems"}},
		{args: "sells.example.test", code: 1, out: []string{"cloudflare.com  locked out  issuer-reseller"}},
		{args: "slip.example.test", code: 1, out: []string{"letsencrpyt.org  at risk  issuer-misspelt", "did you mean letsencrypt.org?", "error"}},
		{args: "slip.example.test --issuer letsencrpyt.org", code: 0, out: []string{"letsencrpyt.org  may issue", "--issuer letsencrpyt.org: no public CA is known by that name; did you mean letsencrypt.org?"}},
		{args: "sells.example.test --issuer cloudflare.com", code: 1, out: []string{"cloudflare.com  may issue", "--issuer cloudflare.com is a reseller's name, under which no CA issues. Check ", "issuer-reseller"}},
		{args: "www.example.test --issuer zerossl.com", code: 1, out: []string{"--issuer zerossl.com is a reseller's name, under which no CA issues. Check sectigo.com (Sectigo"}},
		{args: "typo.example.test", code: 1, out: []string{"letsencrypt.org  at risk  method-unknown", "validation method dns01", "did you mean dns-01?"}},
		{args: "typo.example.test --method dns-01 --issuer letsencrypt.org", code: 1, out: []string{"locked out  method-not-allowed"}},
		{args: "stage.example.test", code: 1, out: []string{"letsencrypt.org  at risk  account-of-staging"}},
		{args: "www.example.test --issuer LetsEncrypt.org. --issuer letsencrypt.org", code: 0, out: []string{"letsencrypt.org  may issue", "Yes: every CA that was checked may issue for www.example.test.\n"}},
		{args: "www.example.test WWW.example.test.", code: 0, out: []string{"Yes: every CA that was checked may issue for www.example.test.\n"}},
		{args: "--names $D/twice www.example.test", code: 0, out: []string{"Yes: every CA that was checked may issue for www.example.test.\n"}},
		{args: "pki@example.test --type smime", code: 0, out: []string{"example.test"}},
		{args: "_x.example.test --type vmc", code: 0, out: []string{"_x.example.test"}},
		{args: "test. *.test", code: 0, out: []string{"test is a top-level domain", "*.test is a top-level domain"}},
		{args: "--policy $D/challenge.yaml _acme-challenge.example.test", code: 1, out: []string{"_acme-challenge.example.test", "drift"}},
		{args: "-v www.example.test", code: 0, out: []string{"└─ www.example.test  no CAA  (secure)", "└─ example.test  0 issue", "chain of trust", "└─ .  secure, DS "}},
		{args: "--names $D/names", code: 1, out: []string{"No: 1 of 2 names is at risk.", "example.test\n"}},
		{args: "--names -", in: "www.example.test\n", code: 0, out: []string{"www.example.test\n"}},
		{args: "--policy $D/policy.yaml", code: 1, out: []string{"letsencrypt.org  may issue", "drift", `shop.example.test`, "0 issuewild \"digicert.com\""}},
		{args: "--policy $D/policy.yaml www.example.test", code: 0, out: []string{"letsencrypt.org  may issue"}},
		{args: "lint $D/policy.yaml", code: 0, out: []string{"accepted"}},
		{args: "lint $D/requires-nothing.yaml", code: 0, out: []string{"requires-nothing.yaml:3:1: the policy requires nothing, so nothing is protected", "accepted, but it protects nothing (revision "}},
		{args: "lint $D/refused.yaml", code: 1, out: []string{"www.example.test: letsencrypt cannot issue", "refused"}},
		{args: "lint $D/mistaken.yaml", code: 1, out: []string{"issuewlid", "mistaken.yaml:6:5"}},
		{args: "lint --json $D/refused.yaml", code: 1, out: []string{`"code": "issuer-not-listed"`}},
		{args: "explain $D/policy.yaml a.shop.example.test", code: 0, out: []string{"governed by shop.example.test", "    tls       digicert.com\n", "    smime     any CA\n"}},
		{args: "explain $D/policy.yaml www.example.test", code: 0, out: []string{"required\n", "www.example.test for letsencrypt"}},
		{args: "diff $D/policy.yaml $D/policy.yaml", code: 0, out: []string{"Nobody gains or loses permission."}},
		{args: "diff $D/policy.yaml $D/other.yaml", code: 0, out: []string{"Nobody loses permission. Permission is gained at 1 name:\n", "+ example.test  tls  digicert.com"}},
		{args: "diff $D/account.yaml $D/policy.yaml", code: 0, out: []string{"Nobody loses permission. Permission is gained at 1 name:\n+ example.test  tls  letsencrypt.org\n"}},
		{args: "diff $D/policy.yaml $D/account.yaml", code: 1, out: []string{"Permission is lost at 1 name, and gained at none:\n- example.test  tls  letsencrypt.org\n= example.test  tls  letsencrypt.org accounturi=https://acme-v02.api.letsencrypt.org/acme/acct/1 (remains)\n"}},
		{args: "diff $D/other.yaml $D/policy.yaml", code: 1, out: []string{"Permission is lost at 1 name, and gained at none:\n", "- example.test  tls  digicert.com"}},
		{args: "--help", code: 0, out: []string{"caacheck NAME...", "Exit status"}},
		{args: "lint --help", code: 0, out: []string{"caacheck lint FILE", "--sarif FILE", "2  the command line or a file is wrong"}},
		{args: "check --help", code: 0, out: []string{"caacheck check NAME...", "--timeout DURATION", "(default 2s)", "-q, --quiet", "--issuer DOMAIN"}},
		{args: "check www.example.test", code: 0, out: []string{"may issue"}},
		{args: "-q www.example.test", code: 0, out: []string{""}},
		{args: "-q --issuer digicert.com www.example.test", code: 1, out: []string{"No: www.example.test is locked out."}},

		{args: "help", code: 0, out: []string{"caacheck NAME...", "Exit status"}},
		{args: "help keys", code: 0, out: []string{"keys roll"}},
		{args: "-h", code: 0, out: []string{"caacheck NAME..."}},
		{args: "version", code: 0, out: []string{"caacheck ", "go1."}},
		{args: "--version", code: 0, out: []string{"caacheck ", "go1."}},

		{args: "", code: 2, err: "no names"},
		{args: "-v keys $D zone.test", code: 2, err: "the command comes first: caacheck keys "},
		{args: "--json keys roll x zone.test", code: 2, err: "the command comes first: caacheck keys roll x zone.test "},
		{args: "-v check www.example.test", code: 2, err: "the command comes first: caacheck check www.example.test "},
		{args: "check", code: 2, err: "no names"},
		{args: "test", code: 2, err: "write a top-level domain with a final dot, test."},
		{args: "lnit $D/policy.yaml", code: 2, err: "did you mean caacheck lint?"},
		{args: "halp", code: 2, err: "did you mean caacheck help?"},
		{args: "--issuer letsencrypt.org wacth", code: 2, err: "did you mean caacheck watch?"},
		{args: "check wwwexampletest", code: 2, err: "has no dot"},
		{args: "watch www", code: 2, err: "has no dot"},
		{args: "--type smime pki@example", code: 2, err: "has no dot"},
		{args: "$D/policy.yaml", code: 2, err: "policy.yaml, or caacheck --policy "},
		{args: "nowhere.yml", code: 2, err: "did you mean caacheck lint nowhere.yml, or caacheck --policy nowhere.yml?"},
		{args: "names.txt", code: 2, err: "did you mean caacheck --names names.txt?"},
		{args: "$D/names", code: 2, err: "did you mean caacheck --names "},
		{args: "x.test policy.json", code: 2, err: "no top-level domain json"},
		{args: "--names -", in: "www.example.test\ntest\n", code: 2, err: "standard input:2: \"test\" is not a domain name"},
		{args: "keys rol $D example.test", code: 2, err: "did you mean caacheck keys roll?"},
		{args: "keys org", code: 2, err: "has no dot"},
		{args: "https://www.example.test/", code: 2, err: "write only the host, www.example.test"},
		{args: "192.0.2.1", code: 2, err: "is an IP address"},
		{args: "a..b", code: 2, err: "is not a domain name"},
		{args: "1.2.3.4.5", code: 2, err: "ends in a number"},
		{args: "xn--a.example.test", code: 2, err: "is not an internationalized domain name"},
		{args: "a_b.example.test", code: 2, err: "underscore"},
		{args: "pki@example.test", code: 2, err: "write its domain, example.test"},
		{args: "x.test --issuer letsencrypt", code: 2, err: "did you mean letsencrypt.org?"},
		{args: "x.test --issuer=", code: 2, err: "is empty"},
		{args: "x.test --method dns01", code: 2, err: "did you mean dns-01?"},
		{args: "x.test --account garbage", code: 2, err: "is not the URI of an account"},
		{args: "--names $D/long", code: 2, err: "long:2: the line is longer"},
		{args: "agent --issuer letsencrypt", code: 2, err: "did you mean letsencrypt.org?"},
		{args: "x.test --nonsense", code: 2, err: "unknown flag --nonsense; caacheck check --help lists the flags"},
		{args: "watch x.test --observations $D/x", code: 2, err: "caacheck watch has no flag --observations, caacheck check has it"},
		{args: "x.test --type web", code: 2, err: `invalid --type "web": want tls, smime or vmc`},
		{args: "x.test --at tomorrow", code: 2, err: `invalid --at "tomorrow": want a date, such as 2027-03-15`},
		{args: "x.test --port 0", code: 2, err: "--port must be between 1 and 65535"},
		{args: "x.test --timeout 0s", code: 2, err: "--timeout must be positive"},
		{args: "x.test --timeout 5", code: 2, err: `invalid --timeout "5": want a unit: 5s or 5m`},
		{args: "x.test --timeout soon", code: 2, err: "such as 5s"},
		{args: "x.test --json=perhaps", code: 2, err: "want true or false"},
		{args: "-polcy x.test", code: 2, err: "unknown flag -polcy; did you mean --policy?"},
		{args: "-policy $D/policy.yaml", code: 2, err: "unknown flag -policy; did you mean --policy?"},
		{args: "--polcy x.test", code: 2, err: "unknown flag --polcy; did you mean --policy?"},
		{args: "lint --policy x.yaml", code: 2, err: "caacheck lint has no flag --policy, caacheck check has it"},
		{args: "help lnit", code: 2, err: "did you mean caacheck help lint?"},
		{args: "lint a.yaml b.yaml", code: 2, err: "usage: caacheck lint FILE"},
		{args: "x.test --rate -1", code: 2, err: "--rate must be positive, or 0 for no limit"},
		{args: "x.test --rate fast", code: 2, err: "0 for no limit"},
		{args: "x.test --concurrency 0", code: 2, err: "--concurrency must be 1 or more"},
		{args: "x.test --server here", code: 2, err: `invalid --server "here": want an IP address`},
		{args: "x.test --server 127.0.0.1 --resolver 127.0.0.1", code: 2, err: "exclude each other"},
		{args: "x.test --names $D/nowhere", code: 2, err: "cannot open $D/nowhere: no such file"},
		{args: "--names $D/bad-names", code: 2, err: "bad-names:2: "},
		{args: "--names $D/empty", code: 2, err: "has no names"},
		{args: "--names -", code: 2, err: "standard input has no names"},
		{args: "--policy nowhere", code: 2, err: "/caacheck/nowhere: no such file"},
		{args: "--policy $D/mistaken.yaml", code: 2, err: "mistaken.yaml:6:5"},
		{args: "--policy $D/policy.yaml --issuer x.test", code: 2, err: "leave out --issuer"},
		{args: "--policy $D/policy.yaml x.test", code: 2, err: "requires nothing for x.test"},
		{args: "x.test --trust-anchor $D/no-records", code: 2, err: "has no records"},
		{args: "x.test --trust-anchor $D/policy.yaml", code: 2, err: "policy.yaml"},
		{args: "x.test --root-hints $D/anchor", code: 2, err: "NS record"},
		{args: "lint", code: 2, err: "usage: caacheck lint FILE"},
		{args: "lint $D/nowhere", code: 2, err: "no such file"},
		{args: "explain $D/policy.yaml", code: 2, err: "usage: caacheck explain FILE NAME"},
		{args: "explain $D/policy.yaml x.net", code: 2, err: "no zone of"},
		{args: "explain $D/policy.yaml 192.0.2.1", code: 2, err: "IP address"},
		{args: "diff $D/policy.yaml", code: 2, err: "usage: caacheck diff OLD NEW"},
		{args: "diff $D/policy.yaml $D/mistaken.yaml", code: 2, err: "mistakes"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			args := strings.Fields(strings.ReplaceAll(tt.args, "$D", dir))
			if !isCommand(args) || args[0] == implicit {
				args = append(args, world...)
				if strings.Contains(tt.args, "--trust-anchor") || strings.Contains(tt.args, "--port") || strings.Contains(tt.args, "--root-hints") {
					args = args[:len(args)-len(world)]
				}
			}
			code, out, stderr := caacheck(t, tt.in, args...)
			if code != tt.code {
				t.Errorf("exit %d, want %d", code, tt.code)
			}
			for _, want := range tt.out {
				if !strings.Contains(out, want) {
					t.Errorf("the output lacks %q", want)
				}
			}
			if !strings.Contains(stderr, strings.ReplaceAll(tt.err, "$D", dir)) || (tt.err == "") != (stderr == "") || tt.err != "" && out != "" {
				t.Errorf("standard error %q, want %q", stderr, tt.err)
			}
			if strings.Contains(out, "\x1b") {
				t.Error("a control character reached the output")
			}
			if t.Failed() {
				t.Log(out)
			}
		})
	}
}

func isCommand(args []string) bool {
	_, _, ok := find(args)
	return ok
}

func caacheck(t *testing.T, in string, args ...string) (code int, out, stderr string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), args, stdio{in: strings.NewReader(in), out: &o, err: &e})
	return code, o.String(), e.String()
}

// Parameters bind from a day on, which is that of --at and not of the clock (ballot SC-098v2).
func TestRulesOfADay(t *testing.T) {
	t.Parallel()
	_, world := start(t)
	for day, want := range map[string]bool{"2027-03-14": true, "2027-03-15": false} {
		if _, out, _ := caacheck(t, "", append([]string{"-v", "later.example.test", "--at", day}, world...)...); strings.Contains(out, "parameters-bind-later") != want {
			t.Errorf("on %s:\n%s", day, out)
		}
	}
}

// Whatever is found, the document keeps to its schema.
func TestJSONKeepsToItsSchema(t *testing.T) {
	t.Parallel()
	dir, world := start(t)
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(report.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"www.example.test", "*.example.test", "shop.example.test", "store.example.test", "down.test", "refuses.test", "stale.test", "provider.test", "xss.example.test", "nowhere.", "old.example.test", "slip.example.test", "typo.example.test", "stage.example.test"},
		{"--policy", filepath.Join(dir, "policy.yaml")},
	} {
		_, out, stderr := caacheck(t, "", append(append([]string{"--json"}, args...), world...)...)
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(out))
		if err != nil {
			t.Fatalf("%v: %s", err, stderr)
		}
		if err := schema.Validate(value); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

// An interrupted run shows what it has, and says that it is not all.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	_, world := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, stderr bytes.Buffer
	code := run(ctx, append([]string{"--json", "www.example.test"}, world...), stdio{in: strings.NewReader(""), out: &out, err: &stderr})
	var got report.Report
	if err := json.Unmarshal(out.Bytes(), &struct{ Complete *bool }{&got.Complete}); err != nil || got.Complete || code != 2 {
		t.Errorf("exit %d, %v: %s", code, err, out.String())
	}
}

// What people see, reviewed as text. Addresses and key tags differ from run to run.
func TestGolden(t *testing.T) {
	t.Parallel()
	_, world := start(t)
	_, out, stderr := caacheck(t, "", append([]string{"-v", "www.example.test", "store.example.test", "stale.test", "down.test", "--issuer", "letsencrypt.org"}, world...)...)
	out = regexp.MustCompile(`127\.\d+\.\d+\.(\d+)(:\d+)?`).ReplaceAllString(out, "192.0.2.$1")
	out = regexp.MustCompile(`DS \d+`).ReplaceAllString(out, "DS 12345")
	// What comes next depends on the day of the test.
	out = regexp.MustCompile(`(?s)what comes next\n.*?(\n\n|\n?$)`).ReplaceAllString(out, "what comes next\n    ...\n$1")
	const file = "testdata/verbose.txt"
	if *update {
		if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || out != string(want) || stderr != "" {
		t.Errorf("%v %s; go test -update writes it. Got\n%s", err, stderr, out)
	}
}

// The checker has no part of the server.
func TestNoServerInside(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", ".", "../../checker/...").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, line := range strings.Fields(string(out)) {
		if strings.HasPrefix(line, "github.com/coredns/") || strings.HasPrefix(line, "github.com/coredns-caa/caa/plugin/caa") {
			t.Errorf("it depends on %s", line)
		}
	}
}
