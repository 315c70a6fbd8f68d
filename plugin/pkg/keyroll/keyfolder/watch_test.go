package keyfolder

import (
	"testing"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
)

// The next look sees what another server or a person wrote, once, and distinguishes it from what this server wrote.
func TestWatch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newServer(t, dir)
	watcher := s.folder.Watch()
	if watcher.Look().Written(zone) {
		t.Error("written before anybody wrote")
	}
	s.until(time.Hour)
	other := newServer(t, dir)
	other.now, other.ds = s.now.Add(time.Hour), s.ds
	for _, c := range []struct {
		name             string
		do               func()
		written, differs bool
	}{
		{"this server wrote", func() {}, true, false},
		{"nobody wrote", func() {}, false, false},
		{"another server wrote", func() {
			if err := other.update(); err != nil {
				t.Fatal(err)
			}
		}, true, true},
		{"this server followed", func() {
			s.now = other.now
			if err := s.update(); err != nil {
				t.Fatal(err)
			}
		}, false, false}, // there was nothing to write
		{"somebody asks for a roll", func() { s.ask(keyroll.Request{Verb: keyroll.RollKey, Role: keyroll.CSK}) }, true, true},
	} {
		c.do()
		list := watcher.Look()
		if got := list.Written(zone); got != c.written {
			t.Errorf("%s: written is %v", c.name, got)
		}
		if list.Written("example.net.") {
			t.Errorf("%s: another zone was written", c.name)
		}
		if got := s.folder.Differs(zone, s.last.Zone); got != c.differs {
			t.Errorf("%s: differs is %v", c.name, got)
		}
	}
}
