package keyfolder

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// renameNew renames a file to a name that is not taken, in one operation where the file system has it.
func renameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return linkNew(from, to)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// wholeSyncs are the magic numbers of file systems of which syncfs(2) is known to make safe what fsync(2) does. FUSE
// hands it on for some servers alone, and overlayfs does not report the errors of the layer below it.
var wholeSyncs = []uint32{unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.TMPFS_MAGIC}

// syncFileSystem syncs all of a folder's file system at once, where that is known to be as good as to sync each file,
// and reports whether it is.
func syncFileSystem(folder *os.File) (synced bool, err error) {
	fd := int(folder.Fd())
	var system unix.Statfs_t
	if err := unix.Fstatfs(fd, &system); err != nil || !slices.Contains(wholeSyncs, uint32(system.Type)) || !reportsErrors() {
		return false, nil
	}
	if err := unix.Syncfs(fd); err != nil {
		return true, fmt.Errorf("sync the file system of %s: %w", folder.Name(), err)
	}
	return true, nil
}

// reportsErrors reports whether the kernel's syncfs does: since Linux 5.8.
func reportsErrors() bool {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return false
	}
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major > 5 || major == 5 && minor >= 8
}
