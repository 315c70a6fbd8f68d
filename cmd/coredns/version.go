package main

import (
	"runtime/debug"

	"github.com/coredns/coredns/coremain"

	"github.com/coredns-caa/caa/plugin/pkg/buildinfo"
)

// `coredns -version`, and the label revision of coredns_build_info, show which caa this is, in the place where CoreDNS's
// own builds have their commit.
func init() {
	if info, ok := debug.ReadBuildInfo(); ok && coremain.GitCommit == "" {
		coremain.GitCommit = "caa " + buildinfo.Of(info).String()
	}
}
