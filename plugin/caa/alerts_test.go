package caa

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/coredns-caa/caa/test/world"
)

// The rules that we ship say what they should, when they should, of metrics that there are; alerts_test.yaml
// has the cases.
func TestAlertRules(t *testing.T) {
	t.Parallel()
	promtool := world.Program(t, "promtool")
	for _, args := range [][]string{{"check", "rules", "alerts.yaml"}, {"test", "rules", "alerts_test.yaml"}} {
		if out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	rules, err := os.ReadFile("alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	measured := make(chan *prometheus.Desc, 100)
	newCollector().Describe(measured)
	failureCount.Describe(measured)
	close(measured)
	var names strings.Builder
	for desc := range measured {
		names.WriteString(desc.String())
	}
	for _, name := range regexp.MustCompile(`coredns_caa_\w+`).FindAllString(string(rules), -1) {
		if !strings.Contains(names.String(), `"`+name+`"`) {
			t.Errorf("nothing is measured as %s", name)
		}
	}
}

// The metrics of keys: each key's state, when the next goes on, the problems, and who of the parent answered.
func TestKeyMetrics(t *testing.T) {
	t.Parallel()
	parent := &registry{}
	h := buildRolling(t, testPolicy, "", nil, parent)
	c := newCollector()
	c.add(h.loader)
	id := h.status("example.org.").Zone.Keys[0].ID.String()
	got := gathered(t, c)
	if state := "key_state " + id + " CSK introduced example.org."; got[state] != 1 || got["key_next_event_timestamp_seconds example.org."] == 0 ||
		got["parent_servers answered example.org."] != 2 || got["parent_servers failed example.org."] != 0 {
		t.Errorf("%v", got)
	}
	parent.dead = os.ErrDeadlineExceeded
	h.run(t, h.loader.cfg.roll.Patience+24*time.Hour, func() {})
	got = gathered(t, c)
	if got["key_state "+id+" CSK ready example.org."] != 1 || got["key_trouble parent-silent example.org."] != 1 || got["key_trouble parent-slow example.org."] != 1 ||
		got["parent_servers failed example.org."] != 2 {
		t.Errorf("with a parent that does not answer: %v", got)
	}
}
