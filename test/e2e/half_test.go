package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/policy/policygen"
	"github.com/coredns-caa/caa/test/world"
)

// Half a policy that is a valid one, in which a name is open that the other half closes, is not served before it
// has rested for a minute: not by a reload, not when CoreDNS restarts itself, with or without a state, and not
// after a start with a last good policy. What is whole is served at once.
func TestHalfWrittenPolicy(t *testing.T) {
	t.Parallel()
	const waits = " may be half-written: "
	half := func(n int) string {
		before, _, cut := strings.Cut(numbered(n), "      deep.below.dev:")
		if !cut {
			t.Fatal("the policy is another one")
		}
		return before
	}
	inPlace := func(s *site, text string) {
		t.Helper()
		must(t, os.WriteFile(s.policy(), []byte(text), 0o600)) // truncates the file and writes into it, as many programs do
	}
	for _, state := range []string{"", "state"} {
		folder := t.TempDir()
		world.WriteFile(t, filepath.Join(folder, "policy.yaml"), numbered(1))
		if state != "" {
			state = "state " + folder + "/state"
		}
		s := startSite(t, folder, state)
		s.wantNumber(t, 1)
		inPlace(s, half(2))
		s.WaitLogs(t, waits, 1)
		s.wantNumber(t, 1)
		wantSeries(t, s.series(t), map[string]float64{"policy_stale": 1, "policy_refusals": 0})
		s.Signal(t, syscall.SIGUSR1)
		s.WaitLogs(t, "Reloading complete", 1)
		s.WaitLogs(t, waits, 2)
		s.wantNumber(t, 1)
		inPlace(s, numbered(2))
		served := strings.Count(s.Log(), "Serving "+s.policy())
		s.WaitLogs(t, "Serving "+s.policy(), max(served, 2))
		s.wantNumber(t, 2)
		wantSeries(t, s.series(t), map[string]float64{"policy_stale": 0})
		if state == "" {
			continue
		}
		inPlace(s, half(3))
		s.WaitLogs(t, waits, 3)
		s.Stop(t)
		again := startSite(t, folder, state)
		began := time.Now()
		again.wantNumber(t, 2)
		again.WaitLog(t, waits)
		again.WaitLog(t, "Serving the last good policy")
		// The half is what the operator wanted after all.
		const done = "has not changed for 1m0s and is now served"
		for limit := began.Add(5 * time.Minute); !strings.Contains(again.Log(), done); time.Sleep(100 * time.Millisecond) {
			if time.Now().After(limit) {
				t.Fatalf("not served after %v:\n%s", time.Since(began), again.Log())
			}
		}
		again.WaitLog(t, "Serving "+again.policy())
		if took := time.Since(began); took < 55*time.Second {
			t.Errorf("the half was served after %v", took)
		}
		wantSeries(t, again.series(t), map[string]float64{"policy_stale": 0})
	}
}

// Policies that are made to take long are refused, and the server answers meanwhile, also after a start.
func TestLargePoliciesAreRefused(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	world.WriteFile(t, filepath.Join(folder, "policy.yaml"), numbered(1))
	s := startSite(t, folder, "state "+folder+"/state")
	for _, c := range []struct{ shape, want string }{
		{"a flat list in lines", "entries of lists and mappings; split the policy over several servers"},
		{"issuers that nobody uses, and names with sets of their own", "is declared but may issue nowhere"},
	} {
		text := shape(t, c.shape, 8<<20)
		if c.shape != "a flat list in lines" {
			text = shape(t, c.shape, 2<<20)
		}
		refuse(t, s, text, c.want)
		s.wantNumber(t, 1)
		s.Stop(t)
		s = startSite(t, folder, "state "+folder+"/state")
		s.wantNumber(t, 1)
		s.WaitLog(t, c.want)
	}
}

func shape(t *testing.T, name string, octets int) string {
	t.Helper()
	for _, s := range policygen.Shapes {
		if s.Name == name {
			return s.Text(octets)
		}
	}
	t.Fatalf("no shape %q", name)
	return ""
}
