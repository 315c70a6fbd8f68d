package issuance

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Named is Decide, asked for every issuer at once.
func TestNamedIsDecide(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(8659, 4))
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	everyone := []string{"a.example", "b.example", "c.example", "nobody.example"}
	met := map[bool]int{}
	for range 20_000 {
		var rrset RRset
		for range r.IntN(4) {
			rrset = append(rrset, Property{Flags: []uint8{0, 0, 0, 1, FlagCritical}[r.IntN(5)], Tag: pick(TagIssue, TagIssue, TagIssueWild, "ISSUE", TagIssueMail, TagIssueVMC, TagIodef, "future"),
				Value: pick("a.example", "b.example", "A.example", ";", "", "c.example; accounturi=x:y", "c.example; validationmethods=dns-01", "a.example;", "b.example; x-y=z", "c.example; AccountURI=x:y", "%")})
		}
		req := Request{Wildcard: r.IntN(2) == 0, Type: []CertificateType{TLS, SMIME, VMC}[r.IntN(3)], Account: pick("", "x:y"), Method: pick("", "dns-01")}
		for _, d := range Dialects {
			domains, anyone := Permitted(rrset, req, d)
			for _, issuer := range everyone {
				asked := req
				asked.Issuers = []string{issuer}
				got, want := anyone || slices.Contains(domains, issuer), Decide(rrset, asked, d).Permitted
				if got != want {
					t.Fatalf("%s, %+v, %+v: %s by Named %v (%q, anyone %v), by Decide %v", d.Name, rrset, req, issuer, got, domains, anyone, want)
				}
				met[want]++
			}
		}
	}
	if met[true] < 1000 || met[false] < 1000 {
		t.Errorf("met %v", met)
	}
}
