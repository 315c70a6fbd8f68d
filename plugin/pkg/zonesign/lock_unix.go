//go:build unix && !aix && !solaris

package zonesign

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// lockFile takes the lock of a file, which it makes and never removes. The kernel lets go of it when
// its holder dies, and it excludes goroutines of one process as well, for each opens the file itself.
func lockFile(path string) (unlock func() error, err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX)
		if err != unix.EINTR { // the runtime's own signals interrupt, too
			break
		}
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return file.Close, nil
}
