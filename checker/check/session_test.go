package check_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/catalog"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/certname"
	"github.com/coredns-caa/caa/checker/check"
	"github.com/coredns-caa/caa/checker/finding"
	"github.com/coredns-caa/caa/checker/resign"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/test/lab"
)

const sessionPolicy = `version: 1
issuers: {ca: {domain: ca.example, unlisted: true}}
zones: {example.test: {issue: [ca], names: {www: {issue: [ca]}}}}
certificates:
  - {names: [www.example.test], issuer: ca}
`

// A session goes all the way: what the policy requires is in the verdicts as the guard has it, each name has what its
// servers say otherwise, and a signer that is late by earlier runs is among the findings. It does so again.
func TestSession(t *testing.T) {
	t.Parallel()
	p, err := policy.Load("caa.yaml", []byte(sessionPolicy))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	const day = 24 * time.Hour
	tomorrow := func(sig *dns.RRSIG) { // it began so long ago that this is late (RFC 6781 4.4.2)
		sig.Inception, sig.Expiration = uint32(now.Add(-30*day).Unix()), uint32(now.Add(day).Unix())
	}
	l := lab.New(t, nil, lab.Zone{Name: "test.", Servers: []string{"a.nic.test.", "b.nic.test."}},
		lab.Zone{Name: "example.test.", Servers: []string{"ns1.example.test.", "ns2.example.test."}, Sign: tomorrow, Text: "@ CAA 0 issue \"other.example\"\nwww CAA 0 issue \"ca.example\"\n"})
	before, err := resign.Parse(fmt.Appendf(nil, `{"version": 1, "signing": [{"zone": "example.test", "keys": false, "end": %q, "least_left_ns": %d}]}`, now.Add(2*day).Format(time.RFC3339), 10*day))
	if err != nil {
		t.Fatal(err)
	}
	session, err := check.Prepare(t.Context(), check.Plan{
		Asked: check.Asked{Policy: p}, At: now, Signing: before,
		World: check.World{Hints: l.Hints, Anchors: l.Anchors, Port: l.Port, Rate: -1, Timeout: 5 * time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	if session.Names() != 2 {
		t.Fatalf("%d names", session.Names())
	}
	for range 2 {
		found := session.Run(t.Context(), check.Progress{})
		if !found.Complete || len(found.Names) != 2 {
			t.Fatalf("got %+v", found)
		}
		var asked []guard.Requirement
		for _, n := range found.Names {
			for _, r := range n.Requests {
				if r.Verdict.Requirement.Origin == guard.Certificates {
					asked = append(asked, r.Verdict.Requirement)
				}
			}
			for _, step := range n.Climb.Steps {
				for _, o := range step.Answer.Seen {
					if o.Msg != nil || o.Raw != nil || !o.Addr.IsValid() {
						t.Errorf("%s: kept of an answer is %+v", n.Subject, o)
					}
				}
			}
		}
		if want := guard.Requirements(p); !reflect.DeepEqual(asked, want) {
			t.Errorf("the requirements are\n%+v, and the policy's\n%+v", asked, want)
		}
		apex := found.Names[slices.IndexFunc(found.Names, func(n check.Name) bool { return n.Subject.Domain == "example.test." })]
		if v := apex.Requests[0].Verdict; v.Requirement.Domain != "ca.example" || v.Requirement.Origin != guard.Published || !v.Requirement.Unlisted || v.Outcome != verdict.LockedOut {
			t.Errorf("the apex, for whom the policy names: %+v", v)
		}
		if d := apex.Drift; len(d) != 2 || d[0].Pos.Line != 3 || !slices.Equal(d[0].Seen, issuance.RRset{{Tag: "issue", Value: "other.example"}}) {
			t.Errorf("the drift is %+v", d)
		}
		late := slices.IndexFunc(found.Findings, func(f finding.Found) bool { return f.Finding.Code == "signature-late" })
		if late < 0 || len(found.Findings[late].Names) != 2 {
			t.Fatalf("nobody is late: %+v", found.Findings)
		}
		if after := slices.IndexFunc(found.Findings, func(f finding.Found) bool { return f.Finding.Severity < catalog.Error }); after >= 0 && after < late {
			t.Errorf("of %+v the worst are not the first", found.Findings)
		}
		if reflect.DeepEqual(found.Signing, before) || len(found.Signing) < len(before) {
			t.Errorf("the history is %+v", found.Signing)
		}
	}
}

// The note about IPv6 is the last, and only there where a server of the name's zones has IPv6.
func TestNoteWithoutIPv6(t *testing.T) {
	t.Parallel()
	const note = "IPv6 addresses were not asked"
	for server, want := range map[string]bool{"ns1.example.test.": false, "v6.example.test.": true} {
		l := lab.New(t, nil, lab.Zone{Name: "test.", Servers: []string{"a.nic.test."}},
			lab.Zone{Name: "example.test.", Servers: []string{"ns2.example.test.", server}, Unsigned: true, Text: "@ CAA 0 issue \"ca.example\"\n"})
		r, err := resolve.New(resolve.Config{Hints: l.Hints, Anchors: l.Anchors, Port: l.Port, Rate: -1, NoIPv6: true})
		if err != nil {
			t.Fatal(err)
		}
		jobs := check.Jobs([]certname.Name{{Domain: "example.test."}}, nil, guard.Requirement{})
		found := check.New(r, jobs, check.Options{At: today, Notes: []string{"first"}, WithoutIPv6: note}).Run(t.Context(), check.Progress{})
		if got := found.Notes[len(found.Notes)-1] == note; got != want {
			t.Errorf("%s: %q", server, found.Notes)
		}
	}
}

// Preparing says what the reader has to know, and what cannot be checked.
func TestPrepare(t *testing.T) {
	t.Parallel()
	p, err := policy.Load("caa.yaml", []byte(sessionPolicy))
	if err != nil {
		t.Fatal(err)
	}
	empty, err := policy.Load("empty.yaml", []byte("version: 1\nissuers: {ca: {domain: ca.example, unlisted: true}}\ndefault: {issue: [ca]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	l := lab.New(t, nil, lab.Zone{Name: "test.", Servers: []string{"a.nic.test."}})
	inLab := check.World{Hints: l.Hints, Anchors: l.Anchors, Port: l.Port}
	without := func(change func(*check.World)) check.World {
		w := inLab
		change(&w)
		return w
	}
	www := []certname.Name{{Domain: "www.example.test."}}
	for _, tt := range []struct {
		what  string
		asked check.Asked
		world check.World
		names int
		note  string // is among the notes, "" for none about it
		err   string
	}{
		{"a name", check.Asked{Subjects: www}, inLab, 1, "", ""},
		{"nothing, for the resolver alone", check.Asked{}, inLab, 0, "", ""},
		{"a policy", check.Asked{Policy: p}, inLab, 2, "", ""},
		{"a name of a policy", check.Asked{Policy: p, Subjects: www}, inLab, 1, "", ""},
		{"a name that is not in the policy", check.Asked{Policy: p, Subjects: []certname.Name{{Domain: "x.test."}}}, inLab, 0, "", "caa.yaml requires nothing for x.test"},
		{"an empty policy", check.Asked{Policy: empty}, inLab, 0, "", "empty.yaml has no zones and no certificates"},
		{"a slip", check.Asked{Subjects: www, Issuers: []string{"letsencrpyt.org"}}, inLab, 1, "did you mean letsencrypt.org?", ""},
		{"a retired name", check.Asked{Subjects: www, Issuers: []string{"yandex.ru"}}, inLab, 1, "--issuer yandex.ru is no longer a CA's name, under which no CA issues. Check certum.pl", ""},
		{"a top-level domain", check.Asked{Subjects: []certname.Name{{Domain: "test."}}}, inLab, 1, "test is a top-level domain", ""},
		{"no trust anchor", check.Asked{Subjects: www}, without(func(w *check.World) { w.Anchors = nil }), 1, "Without --trust-anchor nothing was validated", ""},
		{"no trust anchor for a server", check.Asked{Subjects: www}, check.World{Server: l.AddrPort("a.nic.test.")}, 1, "Without --trust-anchor nothing was validated", ""},
		{"a resolver", check.Asked{Subjects: www}, check.World{Resolver: l.AddrPort("a.nic.test.")}, 1, "", ""},
		{"hints without name servers", check.Asked{Subjects: www}, without(func(w *check.World) { w.Hints = l.Anchors }), 0, "", "NS record"},
	} {
		session, err := check.Prepare(t.Context(), check.Plan{Asked: tt.asked, World: tt.world, At: today})
		if tt.err != "" || err != nil {
			if err == nil || tt.err == "" || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: %v, want %q", tt.what, err, tt.err)
			}
			continue
		}
		notes := slices.DeleteFunc(slices.Clone(session.Notes()), func(note string) bool { return strings.Contains(note, "IPv6") }) // this machine's
		if session.Names() != tt.names || len(notes) != min(1, len(tt.note)) || !strings.Contains(strings.Join(notes, "\n"), tt.note) {
			t.Errorf("%s: %d names, and the notes %q", tt.what, session.Names(), notes)
		}
		if got := session.Resolver().Recursive(); got != tt.world.Resolver.IsValid() {
			t.Errorf("%s: asked is a resolver: %v", tt.what, got)
		}
		session.Close()
	}
}
