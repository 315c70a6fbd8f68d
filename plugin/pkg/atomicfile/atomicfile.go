// Package atomicfile puts whole files in place. A file is written next to its path under a temporary name, synced, and
// then renamed over what is at the path: whenever the machine stops, the path has the old file or the new one, whole
// (rename(2)). The new file belongs to this process, whoever owned the old one.
//
// It is no library's: google/renameio does not sync the folder, and chooses temporary names
// by which a keeper of many files could not know whose a crash has left.
package atomicfile

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Temporary begins the names of files that are being written; the stem that their writer chose follows. Only a crash
// leaves one. Whoever knows that nobody writes may remove it.
const Temporary = ".new-"

// File is a file that is being written. It ends with Replace or Discard.
type File struct {
	file *os.File
	path string
}

// Create begins a file that is to be at path. The name that it has until then begins with Temporary and stem; mode is
// that of a new file, before the umask.
func Create(path, stem string, mode fs.FileMode) (*File, error) {
	for {
		name := filepath.Join(filepath.Dir(path), Temporary+stem+strconv.FormatUint(rand.Uint64(), 36))
		file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		switch {
		case err == nil:
			return &File{file, path}, nil
		case !errors.Is(err, fs.ErrExist):
			return nil, err
		}
	}
}

// createWith is Create with all that the file holds, for a mode whatever the umask.
func createWith(path, stem string, text []byte, mode fs.FileMode) (*File, error) {
	f, err := Create(path, stem, mode)
	if err != nil {
		return nil, err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(mode)); err != nil {
		f.Discard()
		return nil, err
	}
	return f, nil
}

// Write implements io.Writer.
func (f *File) Write(text []byte) (int, error) { return f.file.Write(text) }

// Chmod sets the mode of the file, whatever the umask.
func (f *File) Chmod(mode fs.FileMode) error { return f.file.Chmod(mode) }

// Replace puts the file at its path, in the place of what is there. After an error the path is as it was, unless it is
// the folder that could not be synced. The temporary name is gone either way.
func (f *File) Replace() error {
	defer os.Remove(f.file.Name())
	if err := errors.Join(f.file.Sync(), f.file.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.file.Name(), f.path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(f.path))
}

// Discard removes a file that is not to be at its path after all. After Replace it does nothing.
func (f *File) Discard() {
	f.file.Close()
	os.Remove(f.file.Name())
}

// Replace puts a text at path, in the place of what is there, with a mode whatever the umask.
func Replace(path, stem string, text []byte, mode fs.FileMode) error {
	f, err := createWith(path, stem, text, mode)
	if err != nil {
		return err
	}
	return f.Replace()
}

// SyncDir makes the names in a folder safe, where its file system can and the process may read it: what PostgreSQL
// takes for a success in its fsync_fname, this does, too.
func SyncDir(dir string) error {
	folder, err := os.Open(dir)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	defer folder.Close()
	return SyncNames(folder)
}

// SyncNames is SyncDir for a folder that is open.
func SyncNames(folder *os.File) error {
	if err := folder.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}
