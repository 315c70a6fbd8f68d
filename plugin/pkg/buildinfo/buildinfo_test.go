package buildinfo

import (
	"runtime/debug"
	"testing"
)

func TestOf(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		info *debug.BuildInfo
		want Info
		text string
	}{
		"our own binary": {&debug.BuildInfo{Main: debug.Module{Path: modulePath, Version: "v1.2.3"},
			Settings: []debug.BuildSetting{{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: "77d33191"}}}, Info{"v1.2.3", "77d33191"}, "v1.2.3, revision 77d33191"},
		"a CoreDNS with the plugin": {&debug.BuildInfo{Main: debug.Module{Path: "github.com/coredns/coredns", Version: "v1.14.0"},
			Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "of CoreDNS"}}, Deps: []*debug.Module{{Path: "github.com/miekg/dns", Version: "v1"}, {Path: modulePath, Version: "v1.2.3"}}}, Info{"v1.2.3", ""}, "v1.2.3"},
		"a replaced module": {&debug.BuildInfo{Deps: []*debug.Module{{Path: modulePath, Version: "v1.2.3", Replace: &debug.Module{Path: "example.org/fork", Version: "v1.2.4"}}}}, Info{"v1.2.4", ""}, "v1.2.4"},
		"another binary":    {&debug.BuildInfo{}, Info{"unknown", ""}, "unknown"},
		"no information":    {nil, Info{"unknown", ""}, "unknown"},
	} {
		if got := Of(c.info); got != c.want || got.String() != c.text {
			t.Errorf("%s: got %+v, %s, want %+v, %s", name, got, got, c.want, c.text)
		}
	}
}
