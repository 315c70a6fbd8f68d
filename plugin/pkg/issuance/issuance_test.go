package issuance

import (
	"math/rand/v2"
	"strings"
	"testing"
)

const le = "letsencrypt.org"

func TestDecide(t *testing.T) {
	t.Parallel()
	const acct = "https://ca.example/acct/1"
	issue := func(v string) Property { return Property{Tag: TagIssue, Value: v} }
	wild := func(v string) Property { return Property{Tag: TagIssueWild, Value: v} }
	plain := Request{Issuers: []string{le}, Account: acct, Method: "dns-01"}
	wildcard := Request{Issuers: []string{le}, Wildcard: true, Account: acct, Method: "dns-01"}
	mail, vmc := Request{Issuers: []string{le}, Type: SMIME}, Request{Issuers: []string{le}, Type: VMC}
	for _, c := range []struct {
		name             string
		rrset            RRset
		req              Request
		strict, rfc, lax Reason
	}{
		{"8659 3: no RRset", nil, plain, NoRRset, NoRRset, NoRRset},
		{"8659 4.2: named", RRset{issue(le)}, plain, Authorized, Authorized, Authorized},
		{"8659 4.2: white space", RRset{issue(" " + le + " \t")}, plain, Authorized, Authorized, Authorized},
		{"8659 4.2: another named", RRset{issue("ca.example")}, plain, IssuerNotListed, IssuerNotListed, IssuerNotListed},
		{"8659 4.2: one of two", RRset{issue("ca.example"), issue(le)}, plain, Authorized, Authorized, Authorized},
		{"8659 4.2: nobody", RRset{issue(";")}, plain, NobodyAuthorized, NobodyAuthorized, NobodyAuthorized},
		{"8659 4.2: nobody and somebody", RRset{issue(";"), issue(le)}, plain, Authorized, Authorized, Authorized},
		{"8659 4.2: malformed denies", RRset{issue("%%")}, plain, Malformed, Malformed, Malformed},
		{"8659 4.2: only iodef is open", RRset{{Tag: TagIodef, Value: "mailto:a@b"}}, plain, NoProperty, NoProperty, NoProperty},
		{"8659 4.3: issuewild leaves plain open", RRset{wild(";")}, plain, NoProperty, NoProperty, NoProperty},
		{"8659 4.3: issuewild replaces issue", RRset{issue(le), wild(";")}, wildcard, NobodyAuthorized, NobodyAuthorized, NobodyAuthorized},
		{"8659 4.3: issue governs wildcards", RRset{issue(le)}, wildcard, Authorized, Authorized, Authorized},
		{"8659 4.3: issuewild ignored for plain", RRset{issue(";"), wild(le)}, plain, NobodyAuthorized, NobodyAuthorized, NobodyAuthorized},
		{"8659 4.1: tag in capitals", RRset{{Tag: "ISSUE", Value: ";"}}, plain, NobodyAuthorized, NobodyAuthorized, NobodyAuthorized},
		{"8659 4.1: critical unknown tag", RRset{issue(le), {Flags: 128, Tag: "future"}}, plain, CriticalUnknown, CriticalUnknown, Authorized},
		{"8659 4.1: critical known tag", RRset{{Flags: 128, Tag: TagIssue, Value: le}}, plain, Authorized, Authorized, Authorized},
		{"Boulder: flag 1 is critical", RRset{issue(le), {Flags: 1, Tag: "future"}}, plain, CriticalUnknown, Authorized, Authorized},
		{"Boulder: name in capitals", RRset{issue("LetsEncrypt.org")}, plain, NameNotExact, Authorized, Authorized},
		{"Boulder: trailing semicolon", RRset{issue(le + "; accounturi=" + acct + ";")}, plain, Malformed, Malformed, Authorized},
		{"8659 4.2: semicolon without parameters", RRset{issue(le + ";")}, plain, Authorized, Authorized, Authorized},
		{"Boulder: hyphen in a parameter's tag", RRset{issue(le + "; a-b=c")}, plain, Malformed, Authorized, Authorized},
		{"boulder#8614: capitals in a parameter's tag", RRset{issue(le + "; AccountURI=" + acct)}, plain, BadParameters, Authorized, Authorized},
		{"8657 3: account", RRset{issue(le + "; accounturi=" + acct)}, plain, Authorized, Authorized, Authorized},
		{"8657 3: another account", RRset{issue(le + "; accounturi=" + acct + "2")}, plain, AccountMismatch, AccountMismatch, Authorized},
		{"8657 3: two accounts in one", RRset{issue(le + "; accounturi=" + acct + "; accounturi=" + acct)}, plain, BadParameters, BadParameters, Authorized},
		{"8657 4: method", RRset{issue(le + "; validationmethods=http-01,dns-01")}, plain, Authorized, Authorized, Authorized},
		{"8657 4: another method", RRset{issue(le + "; validationmethods=http-01")}, plain, MethodNotAllowed, MethodNotAllowed, Authorized},
		{"8657 4: malformed list", RRset{issue(le + "; validationmethods=dns-01,")}, plain, BadParameters, BadParameters, Authorized},
		{"9495: issuemail", RRset{issue(";"), {Tag: TagIssueMail, Value: le}}, mail, Authorized, Authorized, Authorized},
		{"9495: issue does not bind mail", RRset{issue(";")}, mail, NoProperty, NoProperty, NoProperty},
		{"VMC: issuevmc", RRset{{Tag: TagIssueVMC, Value: ";"}}, vmc, NobodyAuthorized, NobodyAuthorized, NobodyAuthorized},
	} {
		for i, want := range []Reason{c.strict, c.rfc, c.lax} {
			if got := Decide(c.rrset, c.req, Dialects[i]); got.Reason != want {
				t.Errorf("%s, %s: %s, want %s", c.name, Dialects[i].Name, got.Reason, want)
			}
		}
	}
}

// world makes small random RRsets and requests, odd ones among them.
type world struct{ *rand.Rand }

func (w world) pick(from ...string) string { return from[w.IntN(len(from))] }

func (w world) property() Property {
	value := w.pick("", " ", le, "LetsEncrypt.org", "ca.example", "%%", "-x")
	for range w.IntN(3) {
		value += ";" + w.pick("", " ", "accounturi=u:1", "accounturi=u:2", "AccountURI=u:1", "validationmethods=dns-01", "validationmethods=DNS-01", "a-b=c", "x", "cansign=yes")
	}
	return Property{Flags: []uint8{0, 0, 0, 1, 128}[w.IntN(5)], Value: value,
		Tag: w.pick(TagIssue, TagIssue, TagIssueWild, "ISSUE", TagIssueMail, TagIssueVMC, TagIodef, TagContactEmail, "future")}
}

func (w world) rrset() RRset {
	var s RRset
	for range w.IntN(4) {
		s = append(s, w.property())
	}
	return s
}

func (w world) request() Request {
	r := Request{Issuers: []string{le}, Type: CertificateType(w.IntN(3)), Account: w.pick("", "u:1", "u:2"), Method: w.pick("", "dns-01", "http-01")}
	r.Wildcard = r.Type == TLS && w.IntN(2) == 0
	return r
}

func TestProperties(t *testing.T) {
	t.Parallel()
	w := world{rand.New(rand.NewPCG(8659, 8657))}
	for range 200_000 {
		checkLaws(t, w, w.rrset(), w.request())
		if t.Failed() {
			return
		}
	}
}

func checkLaws(t *testing.T, w world, rrset RRset, req Request) {
	t.Helper()
	permitted := false
	for i, d := range Dialects { // the strictest first
		got := Decide(rrset, req, d)
		if i > 0 && permitted && !got.Permitted {
			t.Errorf("%s permits what %s denies: %+v %+v", Dialects[i-1].Name, d.Name, rrset, req)
		}
		permitted = got.Permitted

		shuffled := append(RRset(nil), rrset...)
		w.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		for i := range shuffled {
			shuffled[i].Tag = w.pick(strings.ToUpper(shuffled[i].Tag), strings.ToLower(shuffled[i].Tag))
		}
		if other := Decide(shuffled, req, d); other.Permitted != got.Permitted || other.Reason != got.Reason {
			t.Errorf("%s: order or case of tags matters: %+v %+v: %v, %v", d.Name, rrset, req, got, other)
		}

		matching := append(append(RRset(nil), rrset...), Property{Tag: req.DecidingTag(rrset), Value: le})
		if got.Permitted && got.Reason != NoProperty && got.Reason != NoRRset && !Decide(matching, req, d).Permitted {
			t.Errorf("%s: adding a matching property locks out: %+v %+v", d.Name, rrset, req)
		}
		if got.Reason != CriticalUnknown && !Decide(matching, req, d).Permitted {
			t.Errorf("%s: a matching property does not permit: %+v %+v", d.Name, matching, req)
		}

		open := RRset{}
		for _, p := range rrset {
			if lower := strings.ToLower(p.Tag); lower != TagIssue && lower != TagIssueWild {
				open = append(open, p)
			}
		}
		if req.Type == TLS && got.Reason != CriticalUnknown && !Decide(open, req, d).Permitted {
			if Decide(open, req, d).Reason != CriticalUnknown {
				t.Errorf("%s: removing all issue does not open: %+v", d.Name, rrset)
			}
		}
		if got.Reason == Authorized {
			if _, err := ParseIssueValue(strings.TrimSuffix(strings.TrimRight(rrset[got.Index].Value, " \t"), ";")); err != nil {
				t.Errorf("%s: a malformed value permits: %+v", d.Name, rrset[got.Index])
			}
		}
	}
}

func TestClimb(t *testing.T) {
	t.Parallel()
	asked := []string{}
	_, owner, err := Climb(`a\.b.www.example.org.`, func(name string) (RRset, error) {
		asked = append(asked, name)
		if name == "example.org." {
			return RRset{{Tag: TagIssue, Value: le}}, nil
		}
		return nil, nil
	})
	if err != nil || owner != "example.org." || strings.Join(asked, " ") != `a\.b.www.example.org. www.example.org. example.org.` {
		t.Errorf("RFC 8659 3: found at %q after asking %v, %v", owner, asked, err)
	}
}

func FuzzParseIssueValue(f *testing.F) {
	for _, v := range []string{"", ";", le, le + "; accounturi=https://a/1", le + ";", "; ;", " a.b ; c = d ", "a;b=;"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseIssueValue(s)
		if err != nil {
			return
		}
		again, err := ParseIssueValue(v.String())
		if err != nil || again.String() != v.String() || again.Domain != v.Domain || len(again.Parameters) != len(v.Parameters) {
			t.Errorf("%q reads as %+v, its normal form %q as %+v (%v)", s, v, v.String(), again, err)
		}
	})
}

func FuzzDecide(f *testing.F) {
	f.Add(uint8(0), "issue", le, "u:1", "dns-01", false)
	f.Add(uint8(128), "issuewild", ";", "", "", true)
	f.Fuzz(func(t *testing.T, flags uint8, tag, value, account, method string, wildcard bool) {
		w := world{rand.New(rand.NewPCG(1, 2))}
		checkLaws(t, w, RRset{{flags, strings.Map(func(r rune) rune {
			if r > 127 {
				return -1 // tags are ASCII (RFC 8659 4.1)
			}
			return r
		}, tag), value}}, Request{Issuers: []string{le}, Account: account, Method: method, Wildcard: wildcard})
	})
}
