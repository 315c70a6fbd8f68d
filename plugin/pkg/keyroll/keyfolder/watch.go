package keyfolder

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
)

// Watcher tells which state files have been written since it looked last, whoever wrote them. It is for one
// goroutine.
type Watcher struct {
	on     *Folder
	folder fs.FileInfo
	files  map[string]fs.FileInfo
}

// Watch begins to watch a folder.
func (f *Folder) Watch() *Watcher { return &Watcher{on: f} }

// settled is how old a folder's time must be to be believed: two changes may happen within one tick of the
// clock by which file systems stamp.
const settled = 5 * time.Second

// Written looks at the folder, and reports of zones whether their state was written since the last look. A
// folder that cannot be read has no news.
func (w *Watcher) Written() func(zone string) bool {
	none := func(string) bool { return false }
	folder, err := os.Stat(w.on.dir)
	if err != nil || w.folder != nil && Unchanged(w.folder, folder) && time.Since(folder.ModTime()) > settled {
		return none
	}
	entries, err := os.ReadDir(w.on.dir)
	if err != nil {
		return none
	}
	files, written := map[string]fs.FileInfo{}, map[string]bool{}
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), "."+stateSuffix) {
			continue
		}
		info, err := entry.Info()
		if err != nil {
			continue // it has just been replaced, and the folder is looked at again
		}
		files[entry.Name()] = info
		written[entry.Name()] = w.files[entry.Name()] == nil || !Unchanged(w.files[entry.Name()], info)
	}
	w.folder, w.files = folder, files
	return func(zone string) bool {
		path, _, err := w.on.statePath(zone)
		return err == nil && written[filepath.Base(path)]
	}
}

// Unchanged reports whether nothing in the two states of a file tells that it was written in between.
func Unchanged(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// Differs reports whether a zone's state on disk is another than the one that an Update ended with, or people
// ask for something. One that cannot be read is another.
func (f *Folder) Differs(zone string, state keyroll.Zone) bool {
	written, err := f.State(zone)
	return err != nil || !written.Seen.Equal(state.Seen) || len(written.Requests) > 0
}
