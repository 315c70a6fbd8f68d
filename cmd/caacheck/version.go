package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/checker/watch"
	"github.com/coredns-caa/caa/plugin/pkg/buildinfo"
)

// versionCommand is caacheck version.
func versionCommand(*flags) action {
	return func(_ context.Context, _ []string, std stdio) (int, error) {
		b := thisBuild()
		_, err := fmt.Fprintf(std.out, "caacheck %v, %s\n", buildinfo.Info{Version: b.Version, Revision: b.Revision}, b.GoVersion)
		return report.ExitFine, err
	}
}

// thisBuild returns which caacheck this is.
func thisBuild() watch.Build {
	info, _ := debug.ReadBuildInfo() // nil where there is none
	of := buildinfo.Of(info)
	return watch.Build{Version: of.Version, Revision: of.Revision, GoVersion: runtime.Version()}
}
