package main

import (
	"runtime/debug"

	"github.com/coredns/coredns/coremain"
)

// `coredns -version`, and the label revision of coredns_build_info, show which caa this is, in the place where CoreDNS's
// own builds have their commit.
func init() {
	if info, ok := debug.ReadBuildInfo(); ok && coremain.GitCommit == "" {
		coremain.GitCommit = "caa " + version(info)
	}
}

// version returns the version of the module, and the revision where it is known: what coredns_caa_build_info has.
func version(info *debug.BuildInfo) string {
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return info.Main.Version + ", revision " + setting.Value
		}
	}
	return info.Main.Version
}
