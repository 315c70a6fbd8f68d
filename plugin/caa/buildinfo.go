package caa

import (
	"runtime"
	"runtime/debug"

	"github.com/coredns/coredns/plugin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/coredns-caa/caa/plugin/pkg/buildinfo"
)

// buildInfo has the labels of coredns_build_info.
var buildInfo = promauto.NewGaugeFunc(prometheus.GaugeOpts{
	Namespace: plugin.Namespace, Subsystem: pluginName, Name: "build_info",
	Help:        "1, with the version of the plugin, its revision if known, and the version of Go that built it.",
	ConstLabels: buildLabels(),
}, func() float64 { return 1 })

func buildLabels() prometheus.Labels {
	info, _ := debug.ReadBuildInfo() // nil where there is none
	of := buildinfo.Of(info)
	return prometheus.Labels{"version": of.Version, "revision": of.Revision, "goversion": runtime.Version()}
}
