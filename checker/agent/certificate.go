package agent

import (
	"crypto/tls"
	"os"
	"sync"
	"time"
)

// Certificate is a server's certificate in files, read anew when they change: certificates live for
// weeks, and agents for longer.
type Certificate struct {
	cert, key string

	mu      sync.Mutex
	loaded  *tls.Certificate
	changed time.Time
}

// LoadCertificate reads a certificate and its key, in PEM.
func LoadCertificate(cert, key string) (*Certificate, error) {
	c := &Certificate{cert: cert, key: key}
	return c, c.load()
}

func (c *Certificate) load() error {
	changed := c.lastChange()
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
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

// Get is for tls.Config.GetCertificate. Files that do not fit, as when one of the two is written before
// the other, leave the old certificate in use.
func (c *Certificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.lastChange().Equal(c.changed) {
		_ = c.load()
	}
	return c.loaded, nil
}
