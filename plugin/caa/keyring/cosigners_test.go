package keyring

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/miekg/dns"
)

// Whatever stands in a file of other signers, what is read of it are DNSKEYs of zones that are served, each once.
func FuzzCosigners(f *testing.F) {
	f.Add("example.org. 3600 IN DNSKEY 257 3 13 MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMA==\n")
	f.Add("$TTL 60\n$ORIGIN org.\nexample DNSKEY 256 3 15 (\n l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4= )\n")
	f.Add("$GENERATE 1-3 $ A 192.0.2.$\n")
	f.Add("$INCLUDE /etc/passwd\n")
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := &cosigners{files: []string{file}, covers: func(zone string) bool { return dns.IsSubDomain("org.", zone) }}
		changed, err := c.load()
		if changed != (err == nil) {
			t.Fatalf("changed %v, error %v", changed, err)
		}
		for zone, keys := range c.keys {
			seen := map[string]bool{}
			for _, key := range keys {
				if !c.covers(zone) || key.DNSKEY.Hdr.Name != zone || key.Signer != nil || seen[key.DNSKEY.PublicKey] {
					t.Errorf("%s: %v", zone, key.DNSKEY)
				}
				seen[key.DNSKEY.PublicKey] = true
			}
		}
	})
}
