package keyfolder

import (
	"os"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// disk is what writes, each time whole or not at all.
type disk interface {
	lock(dir string) (unlock func() error, err error)
	makeKey(dir, zone string, algorithm uint8, sep bool, taken func(tag uint16) bool, now time.Time) (base string, err error)
	replace(path, stem, text string, mode os.FileMode) error
	remove(path string) error
}

// files is the disk that there is.
type files struct{}

func (files) lock(dir string) (func() error, error) { return zonesign.Lock(dir) }

func (files) makeKey(dir, zone string, algorithm uint8, sep bool, taken func(tag uint16) bool, now time.Time) (string, error) {
	return zonesign.NewKeyFiles(dir, zone, algorithm, sep, taken, now)
}

func (files) replace(path, stem, text string, mode os.FileMode) error {
	return zonesign.ReplaceFile(path, stem, text, mode)
}

func (files) remove(path string) error { return os.Remove(path) }
