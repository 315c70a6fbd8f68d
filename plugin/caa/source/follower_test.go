package source

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// A text that waits and changes waits again, also where the file's state looks the same. One that becomes whole
// is taken as any other; one that is refused is refused.
func TestAHalfThatChanges(t *testing.T) {
	t.Parallel()
	s := newSite(t, wholePolicy, nil)
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
	if s.revision() == good || s.Status().Waits || s.held() != nil {
		t.Error("the whole policy was not taken at once")
	}
	s.write(wholePolicy[:at])
	s.looks(10 * time.Second)
	s.write("version: [")
	s.look()
	s.look()
	if s.Status().Problem == "" || s.Status().Refusals == 0 || s.held() != nil {
		t.Error("a refused text after a half is not refused")
	}
	if err := os.Remove(s.file); err != nil {
		t.Fatal(err)
	}
	s.look()
	s.look()
	if !strings.Contains(string(s.Status().Problem), "no such file") {
		t.Errorf("problem %q", s.Status().Problem)
	}
}

// Truncated writes of the kinds that happen, at the follower: each leaves what is served for a minute.
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
			s := newSite(t, wholePolicy, nil)
			good := s.revision()
			c.write(t, s)
			s.looks(rest - 10*time.Second)
			if s.revision() != good {
				t.Fatal("a half was taken before a minute")
			}
			s.looks(20 * time.Second)
			if s.revision() == good {
				t.Errorf("not taken after a minute: %q", s.Status().Problem)
			}
		})
	}
}

// A file that is in another state at every look is reported, now and then, and taken when it rests.
func TestRestless(t *testing.T) {
	t.Parallel()
	s := newSite(t, wholePolicy, nil)
	good := s.revision()
	var noticed []time.Duration
	began := s.clock
	for i := range 1000 {
		s.write(strings.Replace(wholePolicy, "dev", fmt.Sprintf("dev%d", i), 1)) // a second passes
		before := s.state.Load().restless
		s.look()
		if s.state.Load().restless != before {
			noticed = append(noticed, s.clock.Sub(began))
		}
		s.clock = s.clock.Add(time.Second)
	}
	if s.revision() != good || !s.Status().Waits {
		t.Error("a file was taken that did not rest, or the metrics do not show that it waits")
	}
	if len(noticed) != 4 || noticed[0] < restlessAfter || noticed[1]-noticed[0] < reminder {
		t.Errorf("reported after %v", noticed)
	}
	s.looks(4 * time.Second)
	if s.revision() == good || s.Status().Waits || !s.state.Load().restless.IsZero() {
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
	if !s.Status().Waits {
		t.Error("the metrics do not show that the file does not rest")
	}
	if err := errors.Join(os.WriteFile(s.file, text, 0o600), os.Chtimes(s.file, info.ModTime(), info.ModTime())); err != nil {
		t.Fatal(err)
	}
	s.looks(6 * time.Second)
	if s.Status().Waits || s.Status().Problem != "" {
		t.Errorf("status %+v", s.Status())
	}
}

// A refused policy is reported again as long as it lasts, also where the file is not looked at.
func TestReminder(t *testing.T) {
	t.Parallel()
	for _, every := range []time.Duration{2 * time.Second, 0} {
		s := newSite(t, wholePolicy, func(c *Config) { c.Every = every })
		s.write("")
		s.look()
		s.look()
		for _, c := range []struct {
			later time.Duration
			again bool
		}{{reminder - 10*time.Second, false}, {10 * time.Second, true}, {reminder / 2, false}, {reminder / 2, true}} {
			s.clock = s.clock.Add(c.later)
			before := len(s.server.events)
			s.ticks(2 * tick)
			if again := len(s.server.events) == before+1; again != c.again {
				t.Errorf("every %v, %v later: reported again: %v", every, c.later, again)
			}
			problem := s.Status().Problem
			want := []Event{Refused{Problem: problem}, StillRefused{problem}}
			if !slices.Contains(want, s.server.last()) {
				t.Errorf("every %v: reported %+v", every, s.server.last())
			}
		}
	}
}

// A newer file ends the judging of an older one, and so does the end of the watch.
func TestANewerFileEndsTheJudging(t *testing.T) {
	t.Parallel()
	s := newSite(t, wholePolicy, nil)
	good, guarded := s.revision(), newSlow()
	s.server.check = guarded.check
	s.write(strings.Replace(wholePolicy, "dev", "one", 1))
	s.Look()
	s.Look()
	first := <-guarded.began
	if s.Judged() == nil || s.revision() != good {
		t.Fatal("nothing is being judged")
	}
	s.Look() // nothing new
	if first.Err() != nil {
		t.Fatal("the judging ended though the file is the same")
	}
	s.write(strings.Replace(wholePolicy, "dev", "two", 1))
	s.Look()
	s.Look()
	second := <-guarded.began
	if first.Err() == nil || second.Err() != nil {
		t.Fatalf("first %v, second %v", first.Err(), second.Err())
	}
	close(guarded.goOn)
	s.settle()
	if s.server.served.Zone("example.org.").Node("two.example.org.") == nil || !bytes.Contains(s.Good().text, []byte("two")) {
		t.Error("the newer file is not served")
	}
	s.server.check = newSlow().check
	s.write(strings.Replace(wholePolicy, "dev", "ten", 1))
	s.Look()
	s.Look()
	stop := make(chan struct{})
	close(stop)
	s.Run(stop) // ends, and the judging with it
	if s.Judged() != nil {
		t.Error("somebody still judges")
	}
}
