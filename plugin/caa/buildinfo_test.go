package caa

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

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
