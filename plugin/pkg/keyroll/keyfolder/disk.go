package keyfolder

import (
	"os"

	"golang.org/x/sync/errgroup"

	"github.com/coredns-caa/caa/plugin/pkg/atomicfile"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// disk is what writes. Tests have some that fail.
type disk interface {
	lock(dir string) (unlock func() error, err error)
	// replace puts a single file in the place of another, synced.
	replace(path, stem, text string, mode os.FileMode) error
	remove(path string) error

	// What follows is for batches, and syncs nothing but by what open returns.

	create(path, text string, mode os.FileMode) error
	rename(from, to string) error
	renameNew(from, to string) error // fails with fs.ErrExist where there is something
	open(dir string) (syncer, error)
}

// syncer makes safe what was written into a folder since it was opened.
type syncer interface {
	// syncFiles makes the contents of files safe.
	syncFiles(paths []string) error
	// syncNames makes safe which names are in the folder.
	syncNames() error
	close()
}

// files is the disk that there is.
type files struct {
	synced func() // called for each fsync or syncfs of a batch; nil: nobody counts
}

func (files) lock(dir string) (func() error, error) { return zonesign.Lock(dir) }

func (files) replace(path, stem, text string, mode os.FileMode) error {
	return atomicfile.Replace(path, stem, []byte(text), mode)
}

func (files) remove(path string) error { return os.Remove(path) }

func (files) create(path, text string, mode os.FileMode) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	if err == nil && mode&0o077 != 0 {
		err = file.Chmod(mode) // whatever the umask
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		os.Remove(path)
	}
	return err
}

func (files) rename(from, to string) error { return os.Rename(from, to) }

func (files) renameNew(from, to string) error { return renameNew(from, to) }

func (d files) open(dir string) (syncer, error) {
	folder, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	synced := d.synced
	if synced == nil {
		synced = func() {}
	}
	return &openFolder{folder, synced}, nil
}

// linkNew is renameNew by what every Unix has.
func linkNew(from, to string) error {
	if err := os.Link(from, to); err != nil { // unlike a rename it fails where a file is
		return err
	}
	return os.Remove(from)
}

// openFolder was opened before the files were written, so that no error of writing them back in between is missed.
type openFolder struct {
	folder *os.File
	synced func()
}

// fewFiles are synced one by one: one sync of the whole file system waits for what other programs write.
const fewFiles = 64

func (f *openFolder) syncFiles(paths []string) error {
	if len(paths) > fewFiles {
		if synced, err := syncFileSystem(f.folder); synced {
			f.synced()
			return err
		}
	}
	var group errgroup.Group
	group.SetLimit(fewFiles) // a disk syncs many files in the time of one
	for _, path := range paths {
		group.Go(func() error {
			f.synced()
			return syncFile(path)
		})
	}
	return group.Wait()
}

func (f *openFolder) syncNames() error {
	f.synced()
	return atomicfile.SyncNames(f.folder)
}

func (f *openFolder) close() { f.folder.Close() }

func syncFile(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	return file.Sync()
}
