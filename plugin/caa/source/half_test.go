package source

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/policy/policygen"
)

const wholePolicy = `version: 1
issuers:
  le: {domain: letsencrypt.org}
  dc: {domain: digicert.com}
zones:
  example.org:
    nameservers: [{name: ns1.example.org, addresses: [192.0.2.1]}]
    issue: [le, dc]
    names:
      dev: {issuewild: [le]}
      secret:
        issue: none
        report: ["mailto:pki@example.org"]
  sub.example.org:
    nameservers: [{name: ns.example.net}]
    issue: [le]
    issuewild: none
certificates:
  - {names: [www.example.org], issuer: le}
  - {names: [sub.example.org], issuer: le}
`

const shortPolicy = `version: 1
report: [mailto:pki@example.org]
issuers: {le: {domain: letsencrypt.org}}
zones:
  example.org:
    nameservers: [{name: ns1.example.org, addresses: [192.0.2.1, "2001:db8::1"]}, {name: ns2.example.net}]
    issue: [le]
    issuewild: none
    challenge: "{name}.acme.example.net"
    names: {shop: {issue: none}, plain: {challenge: none}}
  sub.example.org:
    nameservers: [{name: ns.example.net}]
    issue: [le]
certificates: [{names: [www.example.org], issuer: le}]
`

// A text that may be half of one that is being written waits for a minute, and says so; any other is taken when
// it has rested for a look.
func TestHalves(t *testing.T) {
	t.Parallel()
	without := func(lines ...string) string {
		text := wholePolicy
		for _, line := range lines {
			if !strings.Contains(text, line) {
				t.Fatalf("no %q", line)
			}
			text = strings.Replace(text, line, "", 1)
		}
		return text
	}
	edited := func(from, to string) string { return strings.Replace(wholePolicy, from, to, 1) }
	const marked = wholePolicy + "...\n"
	for _, c := range []struct {
		name, served, text string
		waits              string // why; "" where it is taken at once
	}{
		{"the same text", wholePolicy, wholePolicy, ""},
		{"a comment more", wholePolicy, "# new\n" + wholePolicy, ""},
		{"a name more", wholePolicy, edited("dev: {", "new: {issue: none}\n      dev: {"), ""},
		{"a zone more, at the end", wholePolicy, edited("certificates:", "  z.example.org: {nameservers: [{name: ns.example.net}], issue: none}\ncertificates:"), ""},
		{"another name", wholePolicy, edited("dev: {", "test: {"), ""},
		{"another value", wholePolicy, edited("issue: [le, dc]", "issue: [dc, le]"), ""},
		{"a mark more", wholePolicy, marked, ""},
		{"the mark stays", marked, "# new\n" + marked, ""},
		{"the mark stays, a comment and an empty line after it", marked, marked + "# end\n\n", ""},
		{"the mark goes", marked, "# new\n" + wholePolicy, `does not end with the line "..."`},
		{"the mark goes with its line feed", marked, "# new\n" + strings.TrimSuffix(marked, "\n"), `does not end with the line "..."`},
		{"half a mark", marked, "# new\n" + wholePolicy + "# ..\n", `does not end with the line "..."`},
		{"no line feed at the end", wholePolicy, "# new\n" + strings.TrimSuffix(wholePolicy, "\n"), "last line has no newline"},
		{"a name less", wholePolicy, without("      dev: {issuewild: [le]}\n"), "fewer names than the served policy (1 instead of 2)"},
		{"a zone less", wholePolicy, without("  sub.example.org:\n    nameservers: [{name: ns.example.net}]\n    issue: [le]\n    issuewild: none\n"), "fewer zones than the served policy (1 instead of 2)"},
		{"a certificate less", wholePolicy, "# new\n" + without("  - {names: [www.example.org], issuer: le}\n"), "fewer names in certificates than the served policy (1 instead of 2)"},
		{"the beginning of what is served", wholePolicy, without("  - {names: [sub.example.org], issuer: le}\n"), "is the beginning of the served text"},
		{"a certificate more, and the last one less", wholePolicy, edited("  - {names: [www", "  - {names: [a.example.org, b.example.org], issuer: le}\n  - {names: [www")[:len(wholePolicy)+len("  - {names: [a.example.org, b.example.org], issuer: le}\n")-len("  - {names: [sub.example.org], issuer: le}\n")],
			"lacks the certificate of sub.example.org, the last entry"},
		{"default goes", "default: {issue: none}\n" + wholePolicy, "# new\n" + wholePolicy, "fewer defaults"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, c.served, keeping(t, t.TempDir()))
			before := s.Good()
			s.write(c.text)
			s.look()
			if s.Good() != before {
				t.Fatal("taken while it may still be written")
			}
			s.look()
			if taken := s.Good() != before; taken != (c.waits == "") || s.Status().Problem != "" || s.Status().Waits != !taken || s.Status().Refusals != 0 {
				t.Fatalf("after two looks: taken %v, status %+v", taken, s.Status())
			}
			if c.waits == "" {
				return
			}
			if why := halfOf([]byte(c.text), mustLoad(t, c.text), before); !strings.Contains(why, c.waits) {
				t.Errorf("it waits because %s", why)
			}
			if kept, err := s.config.LastGood.load(); err != nil || string(kept) != c.served {
				t.Error("the last good policy is another one, though the text waits")
			}
			s.looks(rest - 6*time.Second)
			if s.Good() != before {
				t.Fatal("taken before it had rested for a minute")
			}
			s.looks(10 * time.Second)
			if s.Good() == before || s.Status().Waits || s.Status().Problem != "" {
				t.Errorf("not taken after it had rested for a minute: %q", s.Status().Problem)
			}
			if kept, err := s.config.LastGood.load(); err != nil || string(kept) != c.text {
				t.Error("it is served, and not the last good policy")
			}
		})
	}
}

func mustLoad(t testing.TB, text string) *policy.Snapshot {
	t.Helper()
	p, err := policy.Load("caa.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// No prefix of what is served is taken before a minute, whatever it says. With the mark at its end no prefix of an
// edited text is, either.
func TestNoPrefixIsTaken(t *testing.T) {
	t.Parallel()
	texts := []string{wholePolicy, wholePolicy + "...\n", shortPolicy}
	for seed := uint64(0); len(texts) < 40; seed++ {
		text := string(policygen.Text(rand.New(rand.NewPCG(seed, 7)), policygen.Options{Size: 3}))
		if p, err := policy.Load("caa.yaml", []byte(text)); err == nil && guard.Check(p, guard.Options{}).Err() == nil {
			texts = append(texts, text)
		}
	}
	valid := 0
	for _, text := range texts {
		served := &Good{[]byte(text), mustLoad(t, text)}
		marked := text
		if !endsDocument([]byte(text)) {
			marked += "...\n"
		}
		servedMarked := &Good{[]byte(marked), mustLoad(t, marked)}
		for end := range len(text) {
			prefix := []byte(text[:end])
			p, err := policy.Load("caa.yaml", prefix)
			if err != nil {
				continue
			}
			valid++
			if halfOf(prefix, p, served) == "" {
				t.Fatalf("the first %d of %d octets are taken:\n%s", end, len(text), prefix)
			}
			edited := slices.Concat([]byte("# edited\n"), prefix)
			if halfOf(edited, p, servedMarked) == "" {
				t.Fatalf("the first %d of %d octets of an edited text are taken, without its mark:\n%s", end, len(text), prefix)
			}
		}
	}
	if valid < 500 {
		t.Errorf("only %d prefixes were policies", valid)
	}
}
