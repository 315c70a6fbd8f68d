// Package buildinfo says which version of this module a binary has: for metrics, and for people. The build information
// comes in, and nothing is read here.
package buildinfo

import (
	"runtime/debug"
)

// modulePath is the module: the main one of our own binaries, or one that a CoreDNS is built with.
const modulePath = "github.com/coredns-caa/caa"

// Info is a version.
type Info struct {
	Version  string // "unknown" where the binary does not say
	Revision string // of the repository; "" where it is not known: a pseudo-version has it
}

// Of returns the version of the module in a binary with that build information, which may be nil.
func Of(info *debug.BuildInfo) Info {
	if info == nil {
		return Info{Version: "unknown"}
	}
	if info.Main.Path == modulePath {
		of := Info{Version: info.Main.Version}
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				of.Revision = setting.Value
			}
		}
		return of
	}
	for _, module := range info.Deps {
		if module.Path != modulePath {
			continue
		}
		if module.Replace != nil {
			module = module.Replace
		}
		return Info{Version: module.Version}
	}
	return Info{Version: "unknown"}
}

// String is the version for people.
func (i Info) String() string {
	if i.Revision == "" {
		return i.Version
	}
	return i.Version + ", revision " + i.Revision
}
