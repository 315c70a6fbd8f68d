package keyfolder

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
)

// Watcher sees which files of a folder have been written since it looked last, whoever wrote them, and which are
// there. It is for one goroutine.
type Watcher struct {
	on     *Folder
	gone   bool // it could not be read
	folder fs.FileInfo
	files  map[string]fs.FileInfo // of the states
}

// Watch begins to watch a folder.
func (f *Folder) Watch() *Watcher { return &Watcher{on: f} }

// settled is how old a folder's time must be to be believed: two changes may happen within one tick of the
// clock by which file systems stamp.
const settled = 5 * time.Second

// Listing is what one look at a folder found.
type Listing struct {
	Changed bool  // something may be other than at the last look, such as that the folder can be read
	Err     error // why it cannot be read
	folder  *Folder
	names   map[string]bool // where Changed
	written map[string]bool // states
}

// Written reports whether a zone's state was written since the last look.
func (l *Listing) Written(zone string) bool {
	path, _, err := l.folder.statePath(zone)
	return err == nil && l.written[filepath.Base(path)]
}

// hasKey reports whether both files of a key are there, as far as that was looked at.
func (l *Listing) hasKey(base string) bool {
	name := filepath.Base(base)
	return !l.Changed || l.Err == nil && l.names[name+".key"] && l.names[name+".private"]
}

// Look looks at the folder.
func (w *Watcher) Look() *Listing {
	list := &Listing{folder: w.on}
	folder, err := os.Stat(w.on.dir)
	if err == nil && w.folder != nil && Unchanged(w.folder, folder) && time.Since(folder.ModTime()) > settled {
		return list
	}
	var entries []os.DirEntry
	if err == nil {
		entries, err = os.ReadDir(w.on.dir)
	}
	if err != nil {
		list.Err, list.Changed = err, !w.gone
		w.gone, w.folder, w.files = true, nil, nil
		return list
	}
	list.Changed = true
	list.names, list.written = make(map[string]bool, len(entries)), map[string]bool{}
	files := map[string]fs.FileInfo{}
	for _, entry := range entries {
		list.names[entry.Name()] = true
		if !strings.HasSuffix(entry.Name(), "."+stateSuffix) {
			continue
		}
		info, err := entry.Info()
		if err != nil {
			continue // it has just been replaced, and the folder is looked at again
		}
		files[entry.Name()] = info
		list.written[entry.Name()] = w.files[entry.Name()] == nil || !Unchanged(w.files[entry.Name()], info)
	}
	w.gone, w.folder, w.files = false, folder, files
	return list
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
