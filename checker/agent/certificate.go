package agent

import (
	"cmp"
	"crypto/tls"
	"os"
	"sync"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/regularfile"
)

// Certificate is a server's certificate in files, which are read again when they change: certificates are valid for
// weeks, and agents run for longer.
type Certificate struct {
	cert, key string

	mu      sync.Mutex
	loaded  *tls.Certificate
	changed time.Time
}

// maxPEM bounds what is read of each of the two files, in octets: a chain of ten certificates takes 20,000.
const maxPEM = 1 << 20

// LoadCertificate reads a certificate and its key, in PEM.
func LoadCertificate(cert, key string) (*Certificate, error) {
	c := &Certificate{cert: cert, key: key}
	return c, c.load()
}

func (c *Certificate) load() error {
	changed := c.lastChange()
	cert, _, certErr := regularfile.Read(c.cert, maxPEM)
	key, _, keyErr := regularfile.Read(c.key, maxPEM)
	if err := cmp.Or(certErr, keyErr); err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return err
	}
	c.loaded, c.changed = &pair, changed
	return nil
}

// lastChange is that of the later of the two files.
func (c *Certificate) lastChange() time.Time {
	var last time.Time
	for _, file := range []string{c.cert, c.key} {
		if info, err := os.Stat(file); err == nil && info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last
}

// Get is for tls.Config.GetCertificate. While the files do not match, as when only one of them has been replaced, the old
// certificate stays in use.
func (c *Certificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.lastChange().Equal(c.changed) {
		_ = c.load()
	}
	return c.loaded, nil
}
