//go:build !unix || aix || solaris

package zonesign

import "errors"

// lockFile fails: without flock, two servers that start at once could make two keys.
func lockFile(string) (unlock func() error, err error) {
	return nil, errors.New("key auto makes no key on this system, which lacks flock: make it with dnssec-keygen -f KSK, and put it there or name it with key file")
}
