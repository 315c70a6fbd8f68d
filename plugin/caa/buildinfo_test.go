package caa

import (
	"maps"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestBuildLabels(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		info              *debug.BuildInfo
		version, revision string
	}{
		"our own binary": {&debug.BuildInfo{Main: debug.Module{Path: modulePath, Version: "v1.2.3"},
			Settings: []debug.BuildSetting{{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: "77d33191"}}}, "v1.2.3", "77d33191"},
		"a CoreDNS with the plugin": {&debug.BuildInfo{Main: debug.Module{Path: "github.com/coredns/coredns", Version: "v1.14.0"},
			Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "of CoreDNS"}}, Deps: []*debug.Module{{Path: "github.com/miekg/dns", Version: "v1"}, {Path: modulePath, Version: "v1.2.3"}}}, "v1.2.3", ""},
		"a replaced module": {&debug.BuildInfo{Deps: []*debug.Module{{Path: modulePath, Version: "v1.2.3", Replace: &debug.Module{Path: "example.org/fork", Version: "v1.2.4"}}}}, "v1.2.4", ""},
		"no information":    {nil, "unknown", ""},
	} {
		want := prometheus.Labels{"version": c.version, "revision": c.revision, "goversion": runtime.Version()}
		if got := buildLabels(c.info, c.info != nil); !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// The default registry, which CoreDNS shows, has it.
func TestBuildInfo(t *testing.T) {
	t.Parallel()
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "coredns_caa_build_info" && len(family.GetMetric()) == 1 && family.GetMetric()[0].GetGauge().GetValue() == 1 {
			return
		}
	}
	t.Error("coredns_caa_build_info is not exported")
}
