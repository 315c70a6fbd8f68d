package source

import (
	"strings"
	"testing"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// A start holds the file against the last good policy; without one there is nothing to hold it against.
func TestAStartOnAHalf(t *testing.T) {
	t.Parallel()
	half := wholePolicy[:strings.Index(wholePolicy, "      secret")]
	for _, every := range []time.Duration{2 * time.Second, 0} {
		s := newSite(t, wholePolicy, keeping(t, t.TempDir()))
		good := s.revision()
		s.write(half)
		again := s.another(func(c *Config) { c.Every = every })
		if err := again.Start(nil); err != nil || again.revision() != good || !again.Status().Waits || again.held() == nil {
			t.Fatalf("every %v: %v, revision %s, want %s", every, err, again.revision(), good)
		}
		again.ticks(rest - 10*time.Second)
		if again.revision() != good {
			t.Fatalf("every %v: taken before a minute", every)
		}
		again.ticks(20 * time.Second)
		if again.revision() == good || again.Status().Waits {
			t.Fatalf("every %v: not taken after a minute", every)
		}
	}
	s := newSite(t, half, nil)
	if len(s.server.served.Zones) != 1 {
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
		s := newSite(t, wholePolicy, keeping(t, t.TempDir()))
		good := s.revision()
		s.write(text)
		again := s.another(nil)
		if err := again.Start(nil); err != nil || again.revision() != good || again.Status().Problem == "" || again.Status().Waits {
			t.Errorf("%s: %v, problem %q", name, err, again.Status().Problem)
		}
	}
}

// When CoreDNS restarts itself without a state, what the instance before serves is what the file is held against.
func TestARestartOnAHalf(t *testing.T) {
	t.Parallel()
	s := newSite(t, wholePolicy, nil)
	good := s.revision()
	s.write(wholePolicy[:strings.Index(wholePolicy, "      secret")])
	again := s.another(nil)
	if err := again.Start(s.Good()); err != nil || again.revision() != good || again.held() == nil {
		t.Fatalf("%v, revision %s, want %s", err, again.revision(), good)
	}
	// A restart gives up what an earlier one required, as ever.
	s.write("version: 1\nzones: {example.org: {nameservers: [{name: ns.example.net}], issue: none}}\n")
	if again := s.another(nil); again.Start(s.Good()) != nil || again.held() == nil {
		t.Errorf("a restart that gives up an issuer: held %v", again.held())
	}
	// What is refused makes the restart fail, as ever: the instance before goes on.
	s.write("version: [")
	if err := s.another(nil).Start(s.Good()); err == nil {
		t.Error("a restart with a refused policy did not fail")
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
			s := newSite(t, wholePolicy, keeping(t, t.TempDir()))
			good := s.revision()
			s.write(c.text)
			guarded := newSlow()
			again := s.another(func(c *Config) { c.Patience = 0 })
			again.server.check = guarded.check
			if err := again.Start(nil); err != nil || again.revision() != good || !again.Status().Waits {
				t.Fatalf("%v", err)
			}
			close(guarded.goOn)
			again.settle()
			if taken := again.revision() != good; taken == c.refused || (again.Status().Problem != "") != c.refused || again.Status().Waits {
				t.Errorf("taken %v, status %+v", taken, again.Status())
			}
		})
	}
	// A half that has rested is judged once more, and that is not begun again at each look.
	s := newSite(t, wholePolicy, nil)
	s.write(wholePolicy[:strings.Index(wholePolicy, "      secret")])
	s.looks(rest - 2*time.Second)
	guarded := newSlow()
	s.server.check = guarded.check
	s.clock = s.clock.Add(10 * time.Second)
	s.Look()
	judged := <-guarded.began
	for range 5 {
		s.clock = s.clock.Add(2 * time.Second)
		s.Look()
	}
	if judged.Err() != nil {
		t.Fatal("the judging ended, though the file is the same")
	}
	close(guarded.goOn)
	good := s.revision()
	s.settle()
	if s.revision() == good {
		t.Error("the half that has rested is not served")
	}
	// Without a last good policy the start waits for the file's.
	if alone := newSite(t, wholePolicy, func(c *Config) { c.Patience = 0 }); alone.server.served == nil || alone.Judged() != nil {
		t.Error("nothing is served, or is still being judged")
	}
}
