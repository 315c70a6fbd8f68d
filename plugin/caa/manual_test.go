package caa

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/coredns-caa/caa/plugin/caa/keyring"
	"github.com/coredns-caa/caa/plugin/caa/selfcheck"
)

// The manual has every option, every setting of roll, every metric with its labels, and every state and code that these
// show.
func TestManualIsComplete(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	manual := string(text)
	want := func(words ...string) {
		t.Helper()
		for _, word := range words {
			if !strings.Contains(manual, word) {
				t.Errorf("the manual does not have %s", word)
			}
		}
	}
	for _, option := range optionNames() {
		want("* `" + option)
	}
	for _, setting := range rollNames() {
		want("`" + setting + "`")
	}
	for _, state := range selfcheck.States {
		want("`" + string(state) + "`")
	}
	want("`" + keyring.CosignerFile + "`")
	measured := make(chan *prometheus.Desc, 100)
	newCollector().Describe(measured)
	for _, c := range []prometheus.Collector{queryCount, failureCount, reloadCount, buildInfo} {
		c.Describe(measured)
	}
	close(measured)
	parts := regexp.MustCompile(`fqName: "(\w+)".*variableLabels: \{([\w,]*)\}`)
	for desc := range measured {
		of := parts.FindStringSubmatch(desc.String())
		if labels := strings.ReplaceAll(of[2], ",", ", "); labels != "" {
			want("`" + of[1] + "{" + labels + "}`")
		} else {
			want("`" + of[1] + "{")
		}
	}
}
