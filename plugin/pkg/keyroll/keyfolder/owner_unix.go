//go:build unix

package keyfolder

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// ours says why this process must not replace a file: it would become ours, and the server could no longer
// read it.
func ours(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(stat.Uid) == os.Geteuid() {
		return nil
	}
	name := "#" + strconv.Itoa(int(stat.Uid))
	if owner, err := user.LookupId(name[1:]); err == nil {
		name = owner.Username
	}
	return fmt.Errorf("%s belongs to %s, whose server must be able to read what is written: run this as that user (sudo -u %s ...)", path, name, name)
}
