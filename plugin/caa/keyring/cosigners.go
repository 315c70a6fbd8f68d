package keyring

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// cosigners are the DNSKEYs of other servers that sign the same zones, each with keys of its own (RFC 8901
// 2.1.2): every server publishes the keys of all, so that a resolver with the DNSKEY RRset of one believes the
// answers of another. The keys come from files; who puts them there decides. Not safe for use by
// several goroutines.
type cosigners struct {
	files  []string
	covers func(zone string) bool // whether the block serves a zone
	infos  []fs.FileInfo          // of the files as they were read
	keys   map[string][]*zonesign.Key
}

// load reads the files, and reports whether they have changed since they were read last. On an error the
// keys stay as they were.
func (c *cosigners) load() (changed bool, err error) {
	infos := make([]fs.FileInfo, len(c.files))
	for i, file := range c.files {
		if infos[i], err = os.Stat(file); err != nil {
			return false, fmt.Errorf("cosigner: %w", err)
		}
		changed = changed || c.infos == nil || !keyfolder.Unchanged(infos[i], c.infos[i])
	}
	if !changed {
		return false, nil
	}
	keys := map[string][]*zonesign.Key{}
	for _, file := range c.files {
		if err := c.read(file, keys); err != nil {
			return false, fmt.Errorf("cosigner: %w", err)
		}
	}
	c.infos, c.keys = infos, keys
	return true, nil
}

const (
	// maxCosigner bounds what is read of a file, in octets.
	maxCosigner = 1 << 20
	// maxForeign bounds the keys of a zone's other signers: each is in every DNSKEY answer.
	maxForeign = 32
)

// read adds the DNSKEY records of a file in the syntax of zone files, such as another server's answer.
func (c *cosigners) read(file string, keys map[string][]*zonesign.Key) error {
	text, err := os.ReadFile(file)
	switch {
	case err != nil:
		return err
	case len(text) > maxCosigner:
		return fmt.Errorf("%s is longer than %d octets", file, maxCosigner)
	case strings.Contains(strings.ToUpper(string(text)), "$GENERATE"):
		return fmt.Errorf("%s holds $GENERATE, of which there may be no end", file)
	}
	parser := dns.NewZoneParser(strings.NewReader(string(text)), "", file)
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		key, isKey := rr.(*dns.DNSKEY)
		switch {
		case rr.Header().Rrtype == dns.TypeRRSIG:
			continue // of the answer that it was taken from
		case !isKey:
			return fmt.Errorf("%s holds a %s record of %s, where DNSKEY belongs", file, dns.Type(rr.Header().Rrtype), rr.Header().Name)
		}
		zone := dns.CanonicalName(key.Hdr.Name)
		if !c.covers(zone) {
			return fmt.Errorf("%s holds a key of %s, which this block does not serve", file, zone)
		}
		key.Hdr.Name = zone
		if !slices.ContainsFunc(keys[zone], func(k *zonesign.Key) bool { return k.DNSKEY.PublicKey == key.PublicKey }) {
			keys[zone] = append(keys[zone], &zonesign.Key{DNSKEY: key})
		}
		if len(keys[zone]) > maxForeign {
			return fmt.Errorf("%s holds more than %d keys of %s", file, maxForeign, zone)
		}
	}
	if parser.Err() != nil {
		return parser.Err() // it begins with the file
	}
	return nil
}

// of are the keys of a zone's other signers: those that are none of ours, whatever the file holds.
func (c *cosigners) of(zone string, ours func(keyroll.ID) bool) []*zonesign.Key {
	return slices.DeleteFunc(slices.Clone(c.keys[zone]), func(k *zonesign.Key) bool {
		return ours(keyroll.ID{Algorithm: k.DNSKEY.Algorithm, Tag: k.Tag()})
	})
}

// owns reports whether a DS names a key of a zone's other signers.
func (c *cosigners) owns(zone string, ds *dns.DS) bool {
	return slices.ContainsFunc(c.keys[zone], func(k *zonesign.Key) bool {
		o := keyroll.Observe("", []*dns.DS{ds}, []*dns.DNSKEY{k.DNSKEY})
		return len(o.Named) > 0
	})
}

// sameKeys reports whether two lists hold the same keys in the same order.
func sameKeys(a, b []*zonesign.Key) bool {
	return slices.EqualFunc(a, b, func(a, b *zonesign.Key) bool { return a.DNSKEY.String() == b.DNSKEY.String() })
}

// seps are those keys that a DS may name.
func seps(keys []*zonesign.Key) (seps []*zonesign.Key) {
	for _, key := range keys {
		if key.SEP() {
			seps = append(seps, key)
		}
	}
	return seps
}
