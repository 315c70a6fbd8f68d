//go:build !unix || aix || solaris

package zonesign

import "errors"

// lockFile fails: without flock, two servers that start at once could make two keys.
func lockFile(string) (unlock func() error, err error) {
	return nil, errors.New("key auto cannot create keys on this system, which lacks flock: create one with dnssec-keygen -f KSK, and copy it to the folder or list it in key file")
}
