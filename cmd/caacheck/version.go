package main

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/checker/watch"
)

// versionCommand is caacheck version.
func versionCommand(*flags) action {
	return func(_ context.Context, _ []string, std stdio) (int, error) {
		b := thisBuild()
		text := "caacheck " + b.Version
		if b.Revision != "" {
			text += ", revision " + b.Revision
		}
		_, err := fmt.Fprintf(std.out, "%s, %s\n", text, b.GoVersion)
		return report.ExitFine, err
	}
}

// thisBuild returns which caacheck this is.
func thisBuild() watch.Build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return watch.Build{Version: "(unknown)"}
	}
	b := watch.Build{Version: info.Main.Version, GoVersion: info.GoVersion}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			b.Revision = setting.Value
		}
	}
	return b
}
