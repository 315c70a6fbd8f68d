//go:build unix && !linux

package world

import "syscall"

// ownGroup makes a process the leader of a group of its own, to be ended as a whole.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
