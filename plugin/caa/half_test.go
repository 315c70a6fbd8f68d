package caa

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/policy/policygen"
)

// site is a loader over a file, with a clock that the test moves.
type site struct {
	*loader
	t     testing.TB
	file  string
	clock time.Time
}

func newSite(t testing.TB, text, options string) *site {
	t.Helper()
	cfg, dir := configure(t, text, options)
	s := &site{t: t, file: filepath.Join(dir, "caa.yaml"), clock: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)}
	s.loader = s.another(cfg)
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// another is a loader of the same block, as after a restart.
func (s *site) another(cfg *config) *loader {
	s.t.Helper()
	l, err := newLoader(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	l.now = func() time.Time { return s.clock }
	return l
}

// write puts a text into the file as it is.
func (s *site) write(text string) {
	s.t.Helper()
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	// Two writes in one tick of the file system's clock would be one state to the loader.
	s.clock = s.clock.Add(time.Second)
	if err := os.Chtimes(s.file, s.clock, s.clock); err != nil {
		s.t.Fatal(err)
	}
}

// looks lets a time pass in which the loader looks as often as it does.
func (s *site) looks(passes time.Duration) {
	for end := s.clock.Add(passes); s.clock.Before(end); s.clock = s.clock.Add(2 * time.Second) {
		s.look()
	}
}

func (s *site) revision() string { return s.serving.Load().policy.Revision }

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
		{"no line feed at the end", wholePolicy, "# new\n" + strings.TrimSuffix(wholePolicy, "\n"), "last line has no line feed"},
		{"a name less", wholePolicy, without("      dev: {issuewild: [le]}\n"), "fewer names than what is served (1, not 2)"},
		{"a zone less", wholePolicy, without("  sub.example.org:\n    nameservers: [{name: ns.example.net}]\n    issue: [le]\n    issuewild: none\n"), "fewer zones than what is served (1, not 2)"},
		{"a certificate less", wholePolicy, "# new\n" + without("  - {names: [www.example.org], issuer: le}\n"), "fewer names in certificates than what is served (1, not 2)"},
		{"the beginning of what is served", wholePolicy, without("  - {names: [sub.example.org], issuer: le}\n"), "is the beginning of the text that is served"},
		{"a certificate more, and the last one less", wholePolicy, edited("  - {names: [www", "  - {names: [a.example.org, b.example.org], issuer: le}\n  - {names: [www")[:len(wholePolicy)+len("  - {names: [a.example.org, b.example.org], issuer: le}\n")-len("  - {names: [sub.example.org], issuer: le}\n")],
			"lacks the certificate of sub.example.org, with which"},
		{"default goes", "default: {issue: none}\n" + wholePolicy, "# new\n" + wholePolicy, "fewer defaults"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, c.served, "unsigned\nstate $DIR/state")
			before := s.loader.good.Load()
			s.write(c.text)
			s.look()
			if s.loader.good.Load() != before {
				t.Fatal("taken while it may still be written")
			}
			s.look()
			if taken := s.loader.good.Load() != before; taken != (c.waits == "") || s.trouble != "" || s.status.Load().waits != !taken || s.status.Load().refusals != 0 {
				t.Fatalf("after two looks: taken %v, trouble %q, status %+v", taken, s.trouble, s.status.Load())
			}
			if c.waits == "" {
				return
			}
			if why := (verdict{text: []byte(c.text), policy: mustLoad(t, c.text)}).half(before); !strings.Contains(why, c.waits) {
				t.Errorf("it waits because %s", why)
			}
			if kept, err := s.state.load(); err != nil || string(kept) != c.served {
				t.Error("the last good policy is another one, though the text waits")
			}
			s.looks(rest - 6*time.Second)
			if s.loader.good.Load() != before {
				t.Fatal("taken before it had rested for a minute")
			}
			s.looks(10 * time.Second)
			if s.loader.good.Load() == before || s.status.Load().waits || s.trouble != "" {
				t.Errorf("not taken after it had rested for a minute: %q", s.trouble)
			}
			if kept, err := s.state.load(); err != nil || string(kept) != c.text {
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

// A text that waits and changes waits again, also where the file's state looks the same. One that becomes whole
// is taken as any other; one that is refused is refused.
func TestAHalfThatChanges(t *testing.T) {
	t.Parallel()
	s := newSite(t, wholePolicy, "unsigned\nstate $DIR/state")
	good, at := s.revision(), strings.Index(wholePolicy, "  sub.example.org")
	half := wholePolicy[:at]
	s.write(half)
	s.looks(40 * time.Second)
	s.write(strings.Replace(half, "dev", "tst", 1))
	s.looks(40 * time.Second)
	if s.revision() != good {
		t.Fatal("a half was taken that had changed 40 seconds before")
	}
	// The same size, and the time put back: the digest tells.
	info, err := os.Stat(s.file)
	if err != nil {
		t.Fatal(err)
	}
	s.write(strings.Replace(half, "dev", "abc", 1))
	if err := os.Chtimes(s.file, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	s.looks(40 * time.Second)
	if s.revision() != good {
		t.Fatal("a half was taken that had changed unseen 40 seconds before")
	}
	s.write(strings.Replace(wholePolicy, "dev", "abc", 1))
	s.look()
	s.look()
	if s.revision() == good || s.status.Load().waits || s.held != nil {
		t.Error("the whole policy was not taken at once")
	}
	s.write(wholePolicy[:at])
	s.looks(10 * time.Second)
	s.write("version: [")
	s.look()
	s.look()
	if s.trouble == "" || s.status.Load().refusals == 0 || s.held != nil {
		t.Error("a refused text after a half is not refused")
	}
	if err := os.Remove(s.file); err != nil {
		t.Fatal(err)
	}
	s.look()
	s.look()
	if !strings.Contains(string(s.trouble), "no such file") {
		t.Errorf("trouble %q", s.trouble)
	}
}

// No prefix of what is served is taken before a minute, whatever it says. With the mark at its end no prefix of an
// edited text is, either.
func TestNoPrefixIsTaken(t *testing.T) {
	t.Parallel()
	texts := []string{wholePolicy, wholePolicy + "...\n", testPolicy}
	for seed := uint64(0); len(texts) < 40; seed++ {
		text := string(policygen.Text(rand.New(rand.NewPCG(seed, 7)), policygen.Options{Size: 3}))
		if p, err := policy.Load("caa.yaml", []byte(text)); err == nil && guard.Check(p, guard.Options{}).Err() == nil {
			texts = append(texts, text)
		}
	}
	valid := 0
	for _, text := range texts {
		served := &good{text: []byte(text), policy: mustLoad(t, text)}
		marked := text
		if !endsDocument([]byte(text)) {
			marked += "...\n"
		}
		servedMarked := &good{text: []byte(marked), policy: mustLoad(t, marked)}
		for end := range len(text) {
			prefix := []byte(text[:end])
			p, err := policy.Load("caa.yaml", prefix)
			if err != nil {
				continue
			}
			valid++
			if (verdict{text: prefix, policy: p}).half(served) == "" {
				t.Fatalf("the first %d of %d octets are taken:\n%s", end, len(text), prefix)
			}
			edited := slices.Concat([]byte("# edited\n"), prefix)
			if (verdict{text: edited, policy: p}).half(servedMarked) == "" {
				t.Fatalf("the first %d of %d octets of an edited text are taken, without its mark:\n%s", end, len(text), prefix)
			}
		}
	}
	if valid < 500 {
		t.Errorf("only %d prefixes were policies", valid)
	}
}

// Truncated writes of the kinds that happen, at the loader: each leaves what is served for a minute.
func TestWritesThatEndEarly(t *testing.T) {
	t.Parallel()
	half := wholePolicy[:strings.Index(wholePolicy, "      secret")]
	for _, c := range []struct {
		name  string
		write func(t *testing.T, s *site)
	}{
		{"written in place", func(_ *testing.T, s *site) { s.write(half) }},
		{"truncated in place", func(t *testing.T, s *site) {
			if err := os.Truncate(s.file, int64(len(half))); err != nil {
				t.Fatal(err)
			}
		}},
		{"renamed into place by one who had no space left", func(t *testing.T, s *site) {
			next := s.file + ".next"
			if err := errors.Join(os.WriteFile(next, []byte(half), 0o600), os.Rename(next, s.file)); err != nil {
				t.Fatal(err)
			}
		}},
		{"deleted and made again", func(t *testing.T, s *site) {
			if err := os.Remove(s.file); err != nil {
				t.Fatal(err)
			}
			s.look()
			s.write(half)
		}},
		{"emptied for a while first", func(_ *testing.T, s *site) {
			s.write("")
			s.looks(10 * time.Second)
			s.write(half)
		}},
		{"a link that leads elsewhere", func(t *testing.T, s *site) {
			other := s.file + ".other"
			if err := errors.Join(os.WriteFile(other, []byte(half), 0o600), os.Remove(s.file), os.Symlink(other, s.file)); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, wholePolicy, "unsigned")
			good := s.revision()
			c.write(t, s)
			s.looks(rest - 10*time.Second)
			if s.revision() != good {
				t.Fatal("a half was taken before a minute")
			}
			s.looks(20 * time.Second)
			if s.revision() == good {
				t.Errorf("not taken after a minute: %q", s.trouble)
			}
		})
	}
}

// A start holds the file against the last good policy; without one there is nothing to hold it against.
func TestAStartOnAHalf(t *testing.T) {
	t.Parallel()
	half := wholePolicy[:strings.Index(wholePolicy, "      secret")]
	for _, reload := range []string{"2s", "off"} {
		s := newSite(t, wholePolicy, "unsigned\nstate $DIR/state\nreload "+reload)
		good := s.revision()
		s.write(half)
		again := &site{loader: s.another(s.cfg), t: t, file: s.file, clock: s.clock}
		again.now = func() time.Time { return again.clock }
		if err := again.start(); err != nil || again.revision() != good || !again.status.Load().waits || again.held == nil {
			t.Fatalf("reload %s: %v, revision %s, want %s", reload, err, again.revision(), good)
		}
		again.looks(rest - 10*time.Second)
		if again.revision() != good {
			t.Fatalf("reload %s: taken before a minute", reload)
		}
		again.looks(20 * time.Second)
		if again.revision() == good || again.status.Load().waits {
			t.Fatalf("reload %s: not taken after a minute", reload)
		}
	}
	s := newSite(t, half, "unsigned")
	if len(s.serving.Load().zones) != 1 {
		t.Error("without a last good policy the file is served")
	}
}

// What is refused at a start is refused, whatever it would be else, and the last good policy is served.
func TestAStartOnARefusedFile(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"not read": "version: 2\n", "not YAML": "version: [\n", "half, and refused": strings.TrimSuffix(wholePolicy, "\n") + "x", "refused by the guard": strings.Replace(wholePolicy, "issue: [le, dc]", "issue: [dc]", 1),
		"over a limit": "version: 1\nzones:\n" + strings.Repeat("- a\n", policy.MaxEntries) + "\n",
	} {
		s := newSite(t, wholePolicy, "unsigned\nstate $DIR/state")
		good := s.revision()
		s.write(text)
		again := s.another(s.cfg)
		if err := again.start(); err != nil || again.serving.Load().policy.Revision != good || again.trouble == "" || again.status.Load().waits {
			t.Errorf("%s: %v, trouble %q", name, err, again.trouble)
		}
	}
}

// When CoreDNS restarts itself without a state, what the instance before serves is what the file is held against.
func TestARestartOnAHalf(t *testing.T) {
	t.Parallel()
	s := newSite(t, wholePolicy, "unsigned")
	live.add(s.loader)
	defer live.remove(s.loader)
	good := s.revision()
	s.write(wholePolicy[:strings.Index(wholePolicy, "      secret")])
	again := s.another(s.cfg)
	if err := again.start(); err != nil || again.serving.Load().policy.Revision != good || again.held == nil {
		t.Fatalf("%v, revision %s, want %s", err, again.serving.Load().policy.Revision, good)
	}
	// A restart gives up what an earlier one required, as ever.
	s.write("version: 1\nzones: {example.org: {nameservers: [{name: ns.example.net}], issue: none}}\n")
	if again := s.another(s.cfg); again.start() != nil || again.held == nil {
		t.Errorf("a restart that gives up an issuer: held %v", again.held)
	}
	// What is refused makes the restart fail, as ever: the instance before goes on.
	s.write("version: [")
	if err := s.another(s.cfg).start(); err == nil {
		t.Error("a restart with a refused policy did not fail")
	}
}

// A full or read-only state folder does not have the policy that is served. It is tried again until it has, and a restart
// by CoreDNS itself holds the file against what is served, not against an older policy there.
func TestAStateThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	s := newSite(t, wholePolicy, "unsigned\nstate $DIR/state")
	state := s.cfg.stateDir
	aside := state + ".aside"
	if err := os.Rename(state, aside); err != nil {
		t.Fatal(err)
	}
	// The second of two changes gives up what the first policy requires: a restart must not take it for a lock-out.
	both := strings.Replace(wholePolicy, "issue: [le, dc]", "issue: [le, dc, se]", 1)
	both = strings.Replace(both, "  dc: {domain: digicert.com}\n", "  dc: {domain: digicert.com}\n  se: {domain: sectigo.com}\n", 1)
	s.write(both)
	s.looks(time.Minute)
	if s.serving.Load().policy.Revision == "" || s.unkept == nil {
		t.Fatal("the change was not served, or was kept")
	}
	newest := s.revision()
	if err := os.Rename(aside, state); err != nil {
		t.Fatal(err)
	}
	live.add(s.loader)
	again := s.another(s.cfg)
	kept, from := again.lastServed()
	live.remove(s.loader)
	if kept == nil || kept.policy.Revision != newest || kept.restarted {
		t.Errorf("a restart is held against %s: %+v, want revision %s", from, kept, newest)
	}
	s.keepAgain()
	if kept, from := s.another(s.cfg).lastServed(); s.unkept != nil || kept == nil || kept.policy.Revision != newest {
		t.Errorf("the state has %s: %+v, want revision %s", from, kept, newest)
	}
}

// A block that had other zones for a while does not go back to the policy of before: what was accepted meanwhile is what
// the file replaces, although it was kept for the other zones.
func TestAStateOfLongAgo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "caa.yaml")
	write := func(path, text string, at time.Time) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	one, err := newLastGood(dir, file, []string{"example.org."})
	if err != nil {
		t.Fatal(err)
	}
	two, err := newLastGood(dir, file, []string{"example.net.", "example.org."})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	write(file, "new", now)
	write(one.path, "old", now.Add(-2*time.Hour))
	for _, c := range []struct {
		kept string
		at   time.Time
		want bool
	}{
		{"new", now.Add(-time.Hour), true},      // accepted since
		{"new", now.Add(-3 * time.Hour), false}, // what is kept is newer
		{"newer", now.Add(-time.Hour), false},   // the file was never accepted
	} {
		write(two.path, c.kept, c.at)
		if got := one.elsewhere(file); (got != nil) != c.want {
			t.Errorf("%+v: got %q", c, got)
		}
	}
}

// A file that is in another state at every look is reported, now and then, and taken when it rests.
func TestRestless(t *testing.T) {
	t.Parallel()
	s := newSite(t, wholePolicy, "unsigned")
	good := s.revision()
	var noticed []time.Duration
	began := s.clock
	for i := range 1000 {
		s.write(strings.Replace(wholePolicy, "dev", fmt.Sprintf("dev%d", i), 1)) // a second passes
		before := s.noticed
		s.look()
		if s.noticed != before {
			noticed = append(noticed, s.clock.Sub(began))
		}
		s.clock = s.clock.Add(time.Second)
	}
	if s.revision() != good || !s.status.Load().waits {
		t.Error("a file was taken that did not rest, or the metrics do not show that it waits")
	}
	if len(noticed) != 4 || noticed[0] < restlessAfter || noticed[1]-noticed[0] < reminder {
		t.Errorf("reported after %v", noticed)
	}
	s.looks(4 * time.Second)
	if s.revision() == good || s.status.Load().waits || !s.noticed.IsZero() {
		t.Error("not taken when it rested")
	}
	// One that comes back to the state that is served has nothing to be taken.
	info, err := os.Stat(s.file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		s.write(strings.Repeat("#", i))
		s.look()
		s.clock = s.clock.Add(time.Second)
	}
	if !s.status.Load().waits {
		t.Error("the metrics do not show that the file does not rest")
	}
	if err := errors.Join(os.WriteFile(s.file, text, 0o600), os.Chtimes(s.file, info.ModTime(), info.ModTime())); err != nil {
		t.Fatal(err)
	}
	s.looks(6 * time.Second)
	if s.status.Load().waits || s.trouble != "" {
		t.Errorf("status %+v, trouble %q", s.status.Load(), s.trouble)
	}
}

// slow is a guard that waits for the test to go on.
type slow struct {
	began chan context.Context
	goOn  chan struct{}
}

func newSlow() *slow { return &slow{make(chan context.Context, 10), make(chan struct{})} }

func (s *slow) check(ctx context.Context, p *policy.Snapshot, o guard.Options) (guard.Report, error) {
	if o.Previous == nil {
		return guard.CheckContext(ctx, p, o) // that of the last good policy
	}
	s.began <- ctx
	select {
	case <-s.goOn:
		return guard.CheckContext(ctx, p, o)
	case <-ctx.Done():
		return guard.Report{}, ctx.Err()
	}
}

// While the file's policy is judged at a start for long, the last good one is served; the file's comes into service
// when it is judged, or is refused.
func TestAStartServesWhileItJudges(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text    string
		refused bool
	}{
		"accepted": {"# new\n" + strings.Replace(wholePolicy, "dev", "test", 1), false},
		"refused":  {"# new\n" + strings.Replace(wholePolicy, "issue: [le, dc]", "issue: [dc]", 1), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, wholePolicy, "unsigned\nstate $DIR/state")
			good := s.revision()
			s.write(c.text)
			guarded := newSlow()
			again := s.another(s.cfg)
			again.check, again.patience = guarded.check, 0
			if err := again.start(); err != nil || again.serving.Load().policy.Revision != good || !again.status.Load().waits {
				t.Fatalf("%v", err)
			}
			close(guarded.goOn)
			again.decide(<-again.verdicts())
			if taken := again.serving.Load().policy.Revision != good; taken == c.refused || (again.trouble != "") != c.refused || again.status.Load().waits {
				t.Errorf("taken %v, trouble %q", taken, again.trouble)
			}
		})
	}
	// A half that has rested is judged once more, and that is not begun again at each look.
	s := newSite(t, wholePolicy, "unsigned")
	s.write(wholePolicy[:strings.Index(wholePolicy, "      secret")])
	s.looks(rest - 2*time.Second)
	guarded := newSlow()
	s.loader.check = guarded.check
	s.clock = s.clock.Add(10 * time.Second)
	s.consider()
	judged := <-guarded.began
	for range 5 {
		s.clock = s.clock.Add(2 * time.Second)
		s.consider()
	}
	if judged.Err() != nil {
		t.Fatal("the judging ended, though the file is the same")
	}
	close(guarded.goOn)
	good := s.revision()
	s.decide(<-s.verdicts())
	if s.revision() == good {
		t.Error("the half that has rested is not served")
	}
	// Without a last good policy the start waits for the file's.
	cfg, _ := configure(t, wholePolicy, "unsigned")
	l, err := newLoader(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l.patience = 0
	if err := l.start(); err != nil || l.serving.Load() == nil || l.judging != nil {
		t.Error(err)
	}
}

// A newer file ends the judging of an older one, and so does the end of the watch.
func TestANewerFileEndsTheJudging(t *testing.T) {
	t.Parallel()
	s := newSite(t, wholePolicy, "unsigned")
	good, guarded := s.revision(), newSlow()
	s.loader.check = guarded.check
	s.write(strings.Replace(wholePolicy, "dev", "one", 1))
	s.consider()
	s.consider()
	first := <-guarded.began
	if s.judging == nil || s.revision() != good {
		t.Fatal("nothing is being judged")
	}
	s.consider() // nothing new
	if first.Err() != nil {
		t.Fatal("the judging ended though the file is the same")
	}
	s.write(strings.Replace(wholePolicy, "dev", "two", 1))
	s.consider()
	s.consider()
	second := <-guarded.began
	if first.Err() == nil || second.Err() != nil {
		t.Fatalf("first %v, second %v", first.Err(), second.Err())
	}
	close(guarded.goOn)
	v := <-s.verdicts()
	s.judging = nil
	s.decide(v)
	if s.serving.Load().policy.Zone("example.org.").Node("two.example.org.") == nil || !bytes.Contains(s.loader.good.Load().text, []byte("two")) {
		t.Error("the newer file is not served")
	}
	s.loader.check = newSlow().check
	s.write(strings.Replace(wholePolicy, "dev", "ten", 1))
	s.consider()
	s.consider()
	close(s.stop)
	s.watch() // ends, and the judging with it
	if s.judging != nil {
		t.Error("somebody still judges")
	}
}
