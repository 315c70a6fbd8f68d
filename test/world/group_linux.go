package world

import "syscall"

// ownGroup makes a process the leader of a group of its own, to be ended as a whole; the kernel
// ends it too if the test itself is killed.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
