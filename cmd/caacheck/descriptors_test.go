//go:build unix

package main

import (
	"os"
	"path/filepath"
	"testing"
)

// A path to an open file must not be replaced, whatever is open there.
func TestDescriptors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	link, loop := filepath.Join(dir, "link"), filepath.Join(dir, "loop")
	for name, target := range map[string]string{link: "/dev/fd/7", loop: loop} {
		if err := os.Symlink(target, name); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]bool{
		"/dev/fd/3": true, "/dev/../dev/fd/3": true, "/proc/self/fd/1": true, "/dev/stdout": true, link: true,
		loop: false, dir: false, filepath.Join(dir, "fd"): false, filepath.Join(dir, "nowhere", "x"): false, "": false,
	} {
		if got := leadsToDescriptor(path); got != want {
			t.Errorf("%q: %v", path, got)
		}
	}
}
