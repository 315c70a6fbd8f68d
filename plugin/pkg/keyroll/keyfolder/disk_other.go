//go:build !linux

package keyfolder

import "os"

func renameNew(from, to string) error { return linkNew(from, to) }

// syncFileSystem is for systems whose call returns when it is done.
func syncFileSystem(*os.File) (synced bool, err error) { return false, nil }
