package caa

import (
	"runtime"
	"runtime/debug"

	"github.com/coredns/coredns/plugin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// modulePath is the module of this plugin: the main one of the binary, or one that CoreDNS is built with.
const modulePath = "github.com/coredns-caa/caa"

// buildInfo has the labels of coredns_build_info.
var buildInfo = promauto.NewGaugeFunc(prometheus.GaugeOpts{
	Namespace: plugin.Namespace, Subsystem: pluginName, Name: "build_info",
	Help:        "1, with the version of the plugin, its revision if known, and the version of Go that built it.",
	ConstLabels: buildLabels(debug.ReadBuildInfo()),
}, func() float64 { return 1 })

// buildLabels returns the labels of build_info, "unknown" where the binary has no build information.
func buildLabels(info *debug.BuildInfo, ok bool) prometheus.Labels {
	labels := prometheus.Labels{"version": "unknown", "revision": "", "goversion": runtime.Version()}
	if !ok {
		return labels
	}
	if info.Main.Path == modulePath {
		labels["version"] = info.Main.Version
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				labels["revision"] = setting.Value
			}
		}
		return labels
	}
	for _, module := range info.Deps {
		if module.Path != modulePath {
			continue
		}
		if module.Replace != nil {
			module = module.Replace
		}
		labels["version"] = module.Version // a pseudo-version has the revision
	}
	return labels
}
