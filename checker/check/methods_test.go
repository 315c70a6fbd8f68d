package check_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/coredns-caa/caa/checker/check"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// BR 3.2.2.4.19 and 3.2.2.4.20: of an issuer's methods those are checked by which the name can be validated, unless it is by
// another one alone.
func TestMethodsOfWildcards(t *testing.T) {
	t.Parallel()
	p, err := policy.Load("policy.yaml", []byte(`version: 1
report: [mailto:pki@example.test]
issuers:
  both: {domain: letsencrypt.org, methods: [dns-01, http-01]}
  web: {domain: pki.goog, methods: [http-01, tls-alpn-01]}
zones:
  example.test:
    issue: [both, web]
certificates:
  - {names: ["example.test", "*.example.test"], issuer: both}
  - {names: ["*.web.example.test"], issuer: web}
  - {names: ["*.named.example.test"], issuer: both, method: http-01}
`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, job := range check.PolicyJobs(p, nil) {
		for _, r := range job.Requirements {
			got = append(got, fmt.Sprint(r.String(), " ", r.Method))
		}
	}
	slices.Sort(got)
	want := []string{"*.example.test dns-01", "*.named.example.test http-01", "*.web.example.test http-01", "*.web.example.test tls-alpn-01", "example.test dns-01", "example.test http-01"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
