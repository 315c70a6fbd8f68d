package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/coredns-caa/caa/test/world"
)

const zoneFile = `$TTL 300
@     SOA    ns1 admin 1 7200 3600 1209600 300
@     NS     ns1
@     CAA    0 issue "letsencrypt.org"
ns1   A      192.0.2.1
shop  CAA    0 issue "digicert.com"
alias CNAME  shop
sub   NS     ns1
x.sub CAA    0 issue "sectigo.com"
`

const narrower = "version: 1\nissuers: {letsencrypt: {domain: letsencrypt.org}}\nzones: {example.org: {issue: [letsencrypt], issuewild: none}}\n"

// diff --zone says who loses permission by a policy that replaces the CAA of a zone file.
func TestDiffZone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	zone, policy, two := filepath.Join(dir, "db"), filepath.Join(dir, "policy.yaml"), filepath.Join(dir, "two.yaml")
	world.WriteFile(t, zone, zoneFile)
	world.WriteFile(t, policy, narrower)
	world.WriteFile(t, two, strings.Replace(narrower, "zones: {", "zones: {example.net: {issue: none}, ", 1))
	const changes = `Permission is lost at 2 names, and gained at 1:
- example.org  wildcard  letsencrypt.org
- shop.example.org  tls  digicert.com
- shop.example.org  wildcard  digicert.com
+ shop.example.org  tls  letsencrypt.org
`
	for _, tt := range []struct {
		name, stdin string
		args        []string
		code        int
		out, err    string
	}{
		{"the policy's only zone is the origin", "", []string{zone, policy}, 1, changes, ""},
		{"an origin", "", []string{zone, "--origin", "example.org", two}, 1, changes, ""},
		{"standard input with an origin", "$ORIGIN example.org.\n" + zoneFile, []string{"-", two}, 1, changes, ""},
		{"nothing changes", "example.org. 300 IN SOA a. b. 1 2 3 4 5\nexample.org. 300 IN CAA 0 issuewild \";\"\nexample.org. 300 IN CAA 0 issue \"letsencrypt.org\"\n", []string{"-", policy}, 0, "Nobody gains or loses permission.\n", ""},
		{"no origin", "", []string{zone, two}, 2, "", "caacheck: " + zone + ":2:2: bad owner name: \"@\"; if its names are relative to the zone, add --origin ZONE\n"},
		{"a syntax error", "@ SOA a b 1 2 3 4 5\n@ CAA zero issue x\n", []string{"-", policy}, 2, "", "caacheck: standard input:2:11: bad CAA Flag: \"zero\"\n"},
		{"no SOA", "www A 192.0.2.1\n", []string{"-", policy}, 2, "", "caacheck: standard input: there is no SOA record, so it is no whole zone\n"},
		{"another zone", "$ORIGIN example.com.\n" + zoneFile, []string{"-", policy}, 2, "", "caacheck: " + policy + " does not list the zone example.com, and has no default\n"},
		{"two policies", "", []string{zone, policy, policy}, 2, "", "caacheck: --zone compares one zone file with one policy: caacheck diff --zone FILE POLICY\n"},
		{"a file that is not there", "", []string{zone + "x", policy}, 2, "", "caacheck: cannot open " + zone + "x: no such file or directory\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			code, out, errs := caacheck(t, tt.stdin, append([]string{"diff", "--zone"}, tt.args...)...)
			if code != tt.code || out != tt.out || errs != tt.err {
				t.Errorf("got %d %q %q", code, out, errs)
			}
		})
	}
}
