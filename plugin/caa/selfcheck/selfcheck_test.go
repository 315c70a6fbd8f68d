package selfcheck

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

// world has every kind of name: alike for all types, as the server should answer.
var world = map[string]string{
	"example.org.": `
@ CAA 0 issue "letsencrypt.org"
www A 192.0.2.1
www CAA 0 issue "letsencrypt.org"
locked A 192.0.2.1
locked CAA 0 issue ";"
methods CAA 0 issue "letsencrypt.org; validationmethods=http-01"
deep.under A 192.0.2.1
deep.under CAA 0 issue "letsencrypt.org"
under CAA 0 issue "letsencrypt.org"
alias CNAME www
tolocked CNAME locked
tonowhere CNAME nowhere
tocut CNAME x.cut
out CNAME www.provider.example.
tosub CNAME www.sub
loop CNAME loop2
loop2 CNAME loop
wild CAA 0 issue "letsencrypt.org"
*.wild A 192.0.2.1
*.wild CAA 0 issue "letsencrypt.org"
*.aliases CNAME www
aliases CAA 0 issue "letsencrypt.org"
d DNAME under
d CAA 0 issue "letsencrypt.org"
cut NS ns.provider.example.
scut NS ns.provider.example.
scut DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000000
`,
	"sub.example.org.":            "@ CAA 0 issue \"letsencrypt.org\"\nwww A 192.0.2.1\nwww CAA 0 issue \"letsencrypt.org\"\n",
	"plain.example.org. unsigned": "@ CAA 0 issue \"letsencrypt.org\"\nwww A 192.0.2.1\nwww CAA 0 issue \"letsencrypt.org\"\nalias CNAME www\n",
	"apart.example. unsigned":     "@ CAA 0 issue \"letsencrypt.org\"\nwww CAA 0 issue \"letsencrypt.org\"\nwww A 192.0.2.1\n",
}

func required(name string) guard.Requirement {
	bare, wildcard := strings.CutPrefix(name, "*.")
	return guard.Requirement{Name: bare, Wildcard: wildcard, Domain: "letsencrypt.org", Type: issuance.TLS, Origin: guard.Certificates}
}

// What a right server answers, with compact denials and with a chain.
func TestRightAnswers(t *testing.T) {
	t.Parallel()
	for _, chain := range []bool{false, true} {
		f := newFake(world)
		f.chain = chain
		check := New(f.server(), nil)
		for _, c := range []struct {
			name   string
			state  State
			reason Reason
		}{
			{"example.org.", MayIssue, ""},
			{"www.example.org.", MayIssue, ""},
			{"*.www.example.org.", MayIssue, ""},
			{"nope.example.org.", MayIssue, ""}, // the CA climbs (RFC 8659 3)
			{"no.nope.example.org.", MayIssue, ""},
			{"locked.example.org.", LockedOut, Reason(issuance.NobodyAuthorized)},
			{"*.methods.example.org.", AtRisk, Reason(guard.MethodNoWildcard)},
			{"deep.under.example.org.", MayIssue, ""},
			{"under.example.org.", MayIssue, ""},
			{"alias.example.org.", MayIssue, ""},
			{"tolocked.example.org.", LockedOut, Reason(issuance.NobodyAuthorized)},
			{"tonowhere.example.org.", MayIssue, ""},
			{"tocut.example.org.", Governed, UnderCut},
			{"out.example.org.", Governed, AliasOut},
			{"tosub.example.org.", MayIssue, ""},
			{"loop.example.org.", Unanswered, AliasLoop},
			{"a.wild.example.org.", MayIssue, ""},
			{"a.aliases.example.org.", MayIssue, ""},
			{"d.example.org.", MayIssue, ""},
			{"deep.d.example.org.", MayIssue, ""},
			{"x.cut.example.org.", Governed, UnderCut},
			{"cut.example.org.", Governed, UnderCut},
			{"scut.example.org.", Governed, UnderCut},
			{"sub.example.org.", MayIssue, ""},
			{"www.sub.example.org.", MayIssue, ""},
			{"plain.example.org.", MayIssue, ""},
			{"www.plain.example.org.", MayIssue, ""},
			{"alias.plain.example.org.", MayIssue, ""},
			{"nope.plain.example.org.", MayIssue, ""},
			{"www.apart.example.", MayIssue, ""},
			{"www.unknown.example.", Unanswered, NoAnswer},
		} {
			found := check.Issuance(t.Context(), required(c.name))
			if found.State != c.state || found.Reason != c.reason || (found.Cause == "") != (c.state == MayIssue) {
				t.Errorf("%s, with a chain %v: %+v; want %s (%s)", c.name, chain, found, c.state, c.reason)
			}
		}
	}
}

// is reports whether a question is one by "NAME TYPE", the name in example.org.
func is(q dns.Question, text string) bool {
	name, qtype, _ := strings.Cut(text, " ")
	return q.Qtype == dns.StringToType[qtype] && q.Name == name+"example.org."
}

// without has the denial of a question leave types out.
func without(question string, types ...uint16) func(*fake) {
	return func(f *fake) {
		f.bitmap = func(q dns.Question, _ string, has *[]uint16) {
			if is(q, question) {
				*has = slices.DeleteFunc(*has, func(t uint16) bool { return slices.Contains(types, t) })
			}
		}
	}
}

// with has the denial of a question list one more type.
func with(question string, rrtype uint16) func(*fake) {
	return func(f *fake) {
		f.bitmap = func(q dns.Question, _ string, has *[]uint16) {
			if is(q, question) {
				*has = append(*has, rrtype)
			}
		}
	}
}

// says has a question answered with these records, of which those of the authority section begin with "!".
func says(question string, lines ...string) func(*fake) {
	return func(f *fake) {
		f.answer = func(q dns.Question, m *dns.Msg) {
			if is(q, question) {
				replace(m, dns.RcodeSuccess, lines...)
			}
		}
	}
}

func replace(m *dns.Msg, rcode int, lines ...string) {
	m.Rcode, m.Answer, m.Ns = rcode, nil, nil
	for _, text := range lines {
		if text, authority := strings.CutPrefix(text, "!"); authority {
			m.Ns = append(m.Ns, records("example.org.", text)...)
		} else {
			m.Answer = append(m.Answer, records("example.org.", text)...)
		}
	}
}

// loses has the answer to a question lose the records of a type, their signatures if that is RRSIG.
func loses(question string, rrtype uint16) func(*fake) {
	return func(f *fake) {
		f.signed = func(q dns.Question, m *dns.Msg) {
			gone := func(rr dns.RR) bool { return rr.Header().Rrtype == rrtype }
			if is(q, question) {
				m.Answer, m.Ns = slices.DeleteFunc(m.Answer, gone), slices.DeleteFunc(m.Ns, gone)
			}
		}
	}
}

// spoils changes the signatures of the answer to a question.
func spoils(question string, change func(f *fake, sig *dns.RRSIG)) func(*fake) {
	return func(f *fake) {
		f.signed = func(q dns.Question, m *dns.Msg) {
			for _, rr := range slices.Concat(m.Answer, m.Ns) {
				if sig, ok := rr.(*dns.RRSIG); ok && is(q, question) {
					change(f, sig)
				}
			}
		}
	}
}

const soa = "!@ SOA ns hostmaster 1 2 3 4 60"

// Each wrong answer that a server may give about a name, and what is found.
func TestWrongAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what   string
		name   string
		wrong  func(*fake)
		state  State
		reason Reason
	}{
		// Signatures (RFC 4035 5.3).
		{"CAA without a signature", "www.", loses("www. CAA", dns.TypeRRSIG), Bogus, Reason(dnssec.SignatureMissing)},
		{"an address without a signature", "www.", loses("www. A", dns.TypeRRSIG), Bogus, Reason(dnssec.SignatureMissing)},
		{"a denial without signatures", "www.", loses("www. AAAA", dns.TypeRRSIG), Bogus, Reason(dnssec.SignatureMissing)},
		{"the SOA of a denial without one", "www.", func(f *fake) {
			f.signed = func(q dns.Question, m *dns.Msg) {
				m.Ns = slices.DeleteFunc(m.Ns, func(rr dns.RR) bool { sig, ok := rr.(*dns.RRSIG); return ok && sig.TypeCovered == dns.TypeSOA })
			}
		}, Bogus, Reason(dnssec.SignatureMissing)},
		{"an expired signature", "www.", func(f *fake) {
			spoils("www. CAA", func(f *fake, _ *dns.RRSIG) { f.now = f.now.Add(2 * time.Hour) })(f)
		}, Bogus, Reason(dnssec.SignatureExpired)},
		{"a signature that does not verify", "www.", spoils("www. CAA", func(_ *fake, sig *dns.RRSIG) { sig.OrigTtl++ }), Bogus, Reason(dnssec.SignatureWrong)},
		{"a signature by another key", "www.", spoils("www. CAA", func(_ *fake, sig *dns.RRSIG) { sig.KeyTag++ }), Bogus, Reason(dnssec.SignatureNoKey)},
		{"the records of another answer", "www.", func(f *fake) {
			f.signed = func(q dns.Question, m *dns.Msg) {
				if is(q, "www. CAA") {
					m.Answer[0].(*dns.CAA).Value = "ca.example"
				}
			}
		}, Bogus, Reason(dnssec.SignatureWrong)},

		// Keys (RFC 4035 5.2).
		{"no DNSKEY", "www.", loses(" DNSKEY", dns.TypeDNSKEY), Bogus, KeysNotServed},
		{"keys that no DS names", "www.", func(f *fake) {
			key, _ := keyOf("example.org.", 2)
			f.zones["example.org."].DS = []*dns.DS{key.ToDS(dns.SHA256)}
		}, Bogus, Reason(dnssec.KeyMissing)},
		{"keys that are not answered for", "www.", func(f *fake) {
			f.fails = func(q dns.Question) error {
				if q.Qtype == dns.TypeDNSKEY {
					return errors.New("the keys are missing")
				}
				return nil
			}
		}, Unanswered, NoAnswer},

		// Denials (RFC 4035 5.4, RFC 9824 3).
		{"NODATA without NSEC", "www.", loses("www. AAAA", dns.TypeNSEC), Bogus, Reason(dnssec.DenialMissing)},
		{"NODATA by another name's NSEC", "www.", says("www. AAAA", soa, "!under NSEC \\000.under CAA RRSIG NSEC"), Bogus, Reason(dnssec.DenialFails)},
		{"NODATA whose bitmap has the type", "www.", with("www. AAAA", dns.TypeAAAA), Bogus, Reason(dnssec.DenialContradicts)},
		{"NODATA at an alias", "www.", with("www. AAAA", dns.TypeCNAME), Bogus, Reason(dnssec.DenialContradicts)},
		{"NODATA at a cut (RFC 6840 4.1)", "www.", with("www. AAAA", dns.TypeNS), Bogus, Reason(dnssec.InsecureCut)},
		{"NXDOMAIN that is not proved", "nope.", func(f *fake) {
			f.answer = func(q dns.Question, m *dns.Msg) {
				if is(q, "nope. CAA") {
					replace(m, dns.RcodeNameError, soa)
				}
			}
		}, Bogus, Reason(dnssec.DenialMissing)},
		{"the denial at the end of an alias is not proved", "tonowhere.", loses("tonowhere. CAA", dns.TypeNSEC), Bogus, Reason(dnssec.DenialMissing)},

		// What a denial hides (RFC 8198).
		{"AAAA denied without CAA", "www.", without("www. AAAA", dns.TypeCAA), AtRisk, Hidden},
		{"AAAA denied without A", "www.", without("www. AAAA", dns.TypeA), AtRisk, Hidden},
		{"AAAA denied with NXNAME at a name that a wildcard answers for", "a.wild.", says("a.wild. AAAA", soa, "!a.wild NSEC \\000.a.wild RRSIG NSEC NXNAME"), AtRisk, Hidden},
		{"A denied without CAA", "under.", without("under. A", dns.TypeCAA), AtRisk, Hidden},
		{"AAAA denied with NXNAME alone", "www.", func(f *fake) {
			f.bitmap = func(q dns.Question, _ string, has *[]uint16) {
				if is(q, "www. AAAA") {
					*has = []uint16{dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNXNAME}
				}
			}
		}, AtRisk, Hidden},
		{"CAA denied with NXNAME at a name with A", "www.", says("www. CAA", soa, "!www NSEC \\000.www RRSIG NSEC NXNAME"), AtRisk, Hidden},
		{"AAAA denied by NSEC that deny the name", "www.", func(f *fake) {
			f.answer = func(q dns.Question, m *dns.Msg) {
				if is(q, "www. AAAA") {
					replace(m, dns.RcodeNameError, soa, "!@ NSEC z.example.org. NS SOA CAA DNSKEY RRSIG NSEC")
				}
			}
		}, AtRisk, Hidden},
		{"AAAA denied without CAA at the end of an alias", "alias.", without("alias. AAAA", dns.TypeCAA), AtRisk, Hidden},
		{"the apex denied without NS", "", without(" AAAA", dns.TypeNS), AtRisk, Hidden},
		{"the apex denied without DNSKEY", "", without(" AAAA", dns.TypeDNSKEY), AtRisk, Hidden},
		{"the apex denied without SOA", "", without(" A", dns.TypeSOA), Bogus, Reason(dnssec.InsecureCut)},
		{"the apex denied without SOA and NS", "", without(" A", dns.TypeSOA, dns.TypeNS), AtRisk, Hidden},
		{"CAA denied at a name that exists", "www.", says("www. CAA", soa, "!www NSEC \\000.www A RRSIG NSEC"), AtRisk, NoCAA},
		{"the apex denied with NXNAME", "nope.", says(" CAA", soa, "!@ NSEC \\000.@ RRSIG NSEC NXNAME"), AtRisk, NoCAA},
		{"CAA denied at the apex", "nope.", says(" CAA", soa, "!@ NSEC \\000.@ A NS SOA DNSKEY RRSIG NSEC"), AtRisk, NoCAA},
		{"a name above is denied (RFC 8020)", "deep.under.", says("under. A", soa, "!under NSEC \\000.under RRSIG NSEC NXNAME"), AtRisk, AncestorGone},

		// A name is an alias, or at a cut, for all types or for none (RFC 1034 3.6.2).
		{"an alias for A", "www.", says("www. A", "www CNAME locked"), AtRisk, AliasByType},
		{"an alias for CAA", "alias.", says("alias. A", "alias A 192.0.2.1"), AtRisk, AliasByType},
		{"another alias for A", "alias.", says("alias. A", "alias CNAME locked"), AtRisk, AliasByType},
		{"an alias out of our zones for A", "www.", says("www. A", "www CNAME www.provider.example."), AtRisk, AliasByType},
		{"a cut for A", "www.", func(f *fake) {
			f.answer = func(q dns.Question, m *dns.Msg) {
				if is(q, "www. A") {
					m.Authoritative = false
					replace(m, dns.RcodeSuccess, "!www NS ns.provider.example.", "!www NSEC \\000.www NS RRSIG NSEC")
				}
			}
		}, AtRisk, CutByType},
		{"an alias for A that does not end", "www.", says("www. A", "www CNAME loop"), AtRisk, AliasByType},
		{"an alias for A in an unsigned zone", "www.plain.", says("www.plain. A", "www.plain CNAME alias.plain"), AtRisk, AliasByType},
		{"CAA denied in an unsigned zone", "www.plain.", func(f *fake) {
			f.answer = func(q dns.Question, m *dns.Msg) {
				if is(q, "www.plain. CAA") {
					replace(m, dns.RcodeSuccess, "!plain SOA ns hostmaster 1 2 3 4 60")
				}
			}
		}, AtRisk, NoCAA},

		// Wildcards (RFC 4035 5.3.4) and DNAME (RFC 6672 2.2).
		{"a wildcard without proof", "a.wild.", loses("a.wild. CAA", dns.TypeNSEC), Bogus, Reason(dnssec.DenialMissing)},
		{"a wildcard where another is closer", "a.b.wild.", func(f *fake) {
			f.signed = func(q dns.Question, m *dns.Msg) {
				if is(q, "a.b.wild. CAA") {
					for i, rr := range m.Ns {
						if _, ok := rr.(*dns.NSEC); ok {
							m.Ns = m.Ns[:i:i]
							z := f.zones["example.org."]
							nsec := records("example.org.", "*.b.wild NSEC z.b.wild A RRSIG NSEC")
							m.Ns = append(m.Ns, nsec[0], f.rrsig(z, dnssec.RRsets(nsec)[0], ""))
							return
						}
					}
				}
			}
		}, Bogus, Reason(dnssec.DenialFails)},
		{"a CNAME that the DNAME does not make", "deep.d.", func(f *fake) {
			f.signed = func(q dns.Question, m *dns.Msg) {
				for _, rr := range m.Answer {
					if cname, ok := rr.(*dns.CNAME); ok {
						cname.Target = "x.under.example.org."
					}
				}
			}
		}, Bogus, MadeFalsely},

		// Delegations (RFC 4035 5.2, RFC 6840 4.4).
		{"a referral without proof", "x.cut.", loses("x.cut. CAA", dns.TypeNSEC), Bogus, Reason(dnssec.DenialMissing)},
		{"a referral whose DS is not signed", "scut.", loses("scut. CAA", dns.TypeRRSIG), Bogus, Reason(dnssec.SignatureMissing)},
		{"a referral that denies its cut", "x.cut.", without("x.cut. CAA", dns.TypeNS), Bogus, NotDelegated},
		{"a referral with the child's NSEC", "x.cut.", with("x.cut. CAA", dns.TypeSOA), Bogus, Reason(dnssec.DenialFails)},
		{"DS of a zone of ours that names no key of it", "www.sub.", func(f *fake) {
			f.answer = func(q dns.Question, m *dns.Msg) {
				if is(q, "sub. DS") {
					key, _ := keyOf("sub.example.org.", 2)
					m.Answer = []dns.RR{key.ToDS(dns.SHA256)}
				}
			}
		}, Bogus, Reason(dnssec.KeyMissing)},
		{"DS of a zone of ours that is answered by it", "www.sub.", says("sub. DS", "!sub SOA ns hostmaster 1 2 3 4 60", "!sub NSEC \\000.sub NS SOA CAA DNSKEY RRSIG NSEC"), Bogus, Reason(dnssec.DenialMissing)},
		{"a zone of ours whose delegation is denied", "www.sub.", says("sub. DS", soa, "!sub NSEC \\000.sub RRSIG NSEC NXNAME"), Bogus, NotDelegated},
		{"a zone of ours whose DS is not proved to be missing", "www.sub.", says("sub. DS", soa), Bogus, Reason(dnssec.DenialMissing)},
		{"an unsigned zone of ours with DS", "www.plain.", says("plain. DS", "plain DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000000"), Bogus, WrongDSAbove},
		{"an unsigned zone of ours without proof", "www.plain.", loses("plain. DS", dns.TypeNSEC), Bogus, Reason(dnssec.DenialMissing)},
		{"an unsigned zone of ours whose delegation is denied", "www.plain.", without("plain. DS", dns.TypeNS), Bogus, NotDelegated},

		{"a referral to a zone of ours", "www.sub.", func(f *fake) {
			f.answer = func(q dns.Question, m *dns.Msg) {
				if is(q, "www.sub. CAA") {
					m.Authoritative = false
					replace(m, dns.RcodeSuccess, "!sub NS ns.elsewhere.example.")
					m.Ns = append(m.Ns, f.zones["example.org."].at("sub.example.org.", dns.TypeDS)...)
				}
			}
		}, Governed, UnderCut},

		// No answer.
		{"SERVFAIL", "www.", func(f *fake) {
			f.answer = func(q dns.Question, m *dns.Msg) { m.Rcode = dns.RcodeServerFailure }
		}, Unanswered, NoAnswer},
	} {
		f := newFake(world)
		c.wrong(f)
		name := c.name + "example.org."
		found := New(f.server(), dnssec.NewMemory(100)).Issuance(t.Context(), required(name))
		if found.State != c.state || found.Reason != c.reason || found.Cause == "" {
			t.Errorf("%s: %+v; want %s (%s)", c.what, found, c.state, c.reason)
		}
	}
}

// An unsigned delegation of a signed zone of ours, before its DS is there, is no fault: its keys are those for the parent.
func TestDelegationBeforeItsDS(t *testing.T) {
	t.Parallel()
	f := newFake(world)
	above := f.zones["example.org."]
	above.records = slices.DeleteFunc(above.records, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeDS })
	if found := New(f.server(), nil).Issuance(t.Context(), required("www.sub.example.org.")); found.State != MayIssue {
		t.Errorf("%+v", found)
	}
}

// What the data do not answer beside CAA is their affair: CAA is answered.
func TestAddressesNotAnswered(t *testing.T) {
	t.Parallel()
	f := newFake(world)
	f.fails = func(q dns.Question) error {
		if q.Qtype == dns.TypeA || q.Qtype == dns.TypeAAAA {
			return errors.New("the next plugin has failed")
		}
		return nil
	}
	if found := New(f.server(), nil).Issuance(t.Context(), required("www.example.org.")); found.State != MayIssue {
		t.Errorf("%+v", found)
	}
}

// Data that change between two questions contradict themselves once.
func TestContradictionsAreAskedAgain(t *testing.T) {
	t.Parallel()
	f := newFake(world)
	changed := false
	f.answer = func(q dns.Question, m *dns.Msg) {
		if is(q, "www. A") && !changed {
			changed = true
			replace(m, dns.RcodeSuccess, "www CNAME alias")
		}
	}
	if found := New(f.server(), nil).Issuance(t.Context(), required("www.example.org.")); found.State != MayIssue || !changed {
		t.Errorf("%+v", found)
	}
}

// What has been asked is not asked again, whatever number of issuances are required for a name.
func TestQuestionsOfOneName(t *testing.T) {
	t.Parallel()
	f := newFake(world)
	check := New(f.server(), nil)
	for _, name := range []string{"www.example.org.", "*.www.example.org.", "www.example.org."} {
		check.Issuance(t.Context(), required(name))
	}
	for question, n := range f.asked {
		if n > 1 {
			t.Errorf("%s was asked for %d times", question, n)
		}
	}
	if len(f.asked) != 4 { // CAA, A and AAAA, and the zone's DNSKEY
		t.Errorf("%v", f.asked)
	}
}

// A name of no zone of the server is not served, and one of the root zone without CAA short of the root may be issued for
// (RFC 8659 3).
func TestOutsideAndRoot(t *testing.T) {
	t.Parallel()
	f := newFake(world)
	f.answer = func(_ dns.Question, m *dns.Msg) { m.Rcode = dns.RcodeNameError }
	if found := New(f.server(), nil).Issuance(t.Context(), required("www.unknown.example.")); found.State != NotServed || found.Reason != NoZone {
		t.Errorf("outside: %+v", found)
	}
	f = newFake(map[string]string{".": "@ CAA 0 issue \";\"\n"})
	if found := New(f.server(), nil).Issuance(t.Context(), required("www.unknown.example.")); found.State != MayIssue {
		t.Errorf("root: %+v", found)
	}
}

// Zones that other blocks answer for are not asked.
func TestRoutedElsewhere(t *testing.T) {
	t.Parallel()
	f := newFake(world)
	f.zones["sub.example.org."].RoutedElsewhere = true
	found := New(f.server(), nil).Issuance(context.Background(), required("tosub.example.org."))
	if found.State != Governed || found.Reason != AliasOut {
		t.Errorf("%+v", found)
	}
}
