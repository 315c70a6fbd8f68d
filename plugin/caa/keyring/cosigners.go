package keyring

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// cosigners are the DNSKEYs of other servers that sign the same zones, each with keys of its own (RFC 8901
// 2.1.2): every server publishes the keys of all, so that a resolver with the DNSKEY RRset of one believes the
// answers of another. The keys come from files; who puts them there decides. What a file had stays published until the
// file, at rest and whole, has something else in its place: a key of a zone is succeeded, and never just missing.
// Not safe for use by several goroutines.
type cosigners struct {
	files []*cosignerFile
	keys  map[string][]*zonesign.Key // of all files, by zone
}

// cosignerFile is one file of other signers' keys.
type cosignerFile struct {
	name    string
	covers  func(zone string) bool // whether the block serves a zone
	taken   fs.FileInfo            // the file as it was when its keys were taken; nil before the first time
	keys    map[string][]*zonesign.Key
	seen    fs.FileInfo // the file as it was at the last look, and since when
	rests   time.Time
	changes time.Time // since when it changes without a rest; zero while it does not
	err     error     // why it is not taken
	wrong   lasting   // the same, as it is logged
}

const (
	// cosignerRest is how long a file must have been as it is before it is read: as long as that of a policy.
	cosignerRest = lookAtFiles
	// cosignerPause is the same for one that looks half-written: keys are missing that it had, or its last line has no
	// end. A file that changes for so long without a rest is reported.
	cosignerPause = time.Minute
)

func newCosigners(files []string, covers func(zone string) bool) *cosigners {
	c := &cosigners{}
	for _, name := range files {
		c.files = append(c.files, &cosignerFile{name: name, covers: covers})
	}
	return c
}

// open reads the files at a start, when it is not known what they had: one without a key is an error, for to
// publish ours alone would make the others' answers bogus.
func (c *cosigners) open() error {
	for _, f := range c.files {
		info, keys, _, err := f.read()
		if err == nil && len(keys) == 0 {
			err = errNoKeys
		}
		if err != nil {
			return fmt.Errorf("cosigner: %w", f.describe(err))
		}
		f.taken, f.keys = info, keys
	}
	c.gather()
	return nil
}

var errNoKeys = errors.New("it holds no DNSKEY record: to publish our keys without those of the zone's other signers would make their answers bogus. " +
	"Write theirs there (dig @SERVER ZONE DNSKEY +tcp); while they have none yet, and when they sign no more, leave the file out of the caa block")

// describe says which file an error is about.
func (f *cosignerFile) describe(err error) error {
	if strings.Contains(err.Error(), f.name) {
		return err
	}
	return fmt.Errorf("%s: %w", f.name, err)
}

// look reads the files that have changed and rest, and reports whether their keys are others. What is wrong with one is
// logged now and then, and changes nothing.
func (c *cosigners) look(now time.Time) (changed bool) {
	for _, f := range c.files {
		took, err := f.look(now)
		text := ""
		if err != nil {
			text = fmt.Sprintf("cosigner: %v. Its keys are published as they were", f.describe(err))
		}
		f.err = err
		f.wrong.tell(now, text, log.Error, fmt.Sprintf("cosigner: %s is in order again", f.name))
		changed = changed || took
	}
	if changed {
		c.gather()
	}
	return changed
}

func (f *cosignerFile) look(now time.Time) (took bool, err error) {
	info, err := os.Stat(f.name)
	if err != nil {
		return false, err
	}
	if keyfolder.Unchanged(info, f.taken) {
		f.changes = time.Time{}
		return false, nil
	}
	if f.changes.IsZero() {
		f.changes = now
	}
	if f.seen == nil || !keyfolder.Unchanged(info, f.seen) {
		f.seen, f.rests = info, now
	}
	rested := now.Sub(f.rests)
	switch {
	case rested >= cosignerRest:
		f.changes = time.Time{}
	case now.Sub(f.changes) >= cosignerPause:
		return false, errors.New("it changes all the time, and is taken when it rests: write another file, and rename it")
	default:
		return false, f.err // not known to be over
	}
	info, keys, whole, err := f.read()
	if err != nil {
		return false, err
	}
	if after, err := os.Stat(f.name); err != nil || !keyfolder.Unchanged(after, f.seen) {
		return false, f.err // it has just been written: it will rest
	}
	var lost []string
	for zone := range f.keys {
		if len(keys[zone]) == 0 {
			lost = append(lost, zone)
		}
	}
	if slices.Sort(lost); len(lost) > 0 {
		return false, fmt.Errorf("it has no key of %s any more: write the keys there again; if their signer has left, take the file out of the caa block, and have CoreDNS reload it or restart", strings.Join(lost, ", "))
	}
	if fewer := f.fewer(keys); (fewer != "" || !whole) && rested < cosignerPause {
		return false, f.err
	} else if fewer != "" {
		log.Warningf("cosigner: %s no longer has the key %s, which is published no more", f.name, fewer)
	}
	f.taken, f.keys = info, keys
	return true, nil
}

// fewer names a key that the file had and that is not in keys, "" where all are.
func (f *cosignerFile) fewer(keys map[string][]*zonesign.Key) string {
	for zone, had := range f.keys {
		for _, key := range had {
			if !slices.ContainsFunc(keys[zone], func(k *zonesign.Key) bool { return k.DNSKEY.PublicKey == key.DNSKEY.PublicKey }) {
				return key.String()
			}
		}
	}
	return ""
}

// gather puts the keys of all files together.
func (c *cosigners) gather() {
	c.keys = map[string][]*zonesign.Key{}
	for _, f := range c.files {
		for zone, keys := range f.keys {
			for _, key := range keys {
				if !slices.ContainsFunc(c.keys[zone], func(k *zonesign.Key) bool { return k.DNSKEY.PublicKey == key.DNSKEY.PublicKey }) {
					c.keys[zone] = append(c.keys[zone], key)
				}
			}
		}
	}
}

// troubles are what is wrong with files that have keys of a zone.
func (c *cosigners) troubles(zone string) (texts []string) {
	for _, f := range c.files {
		if f.wrong.text != "" && len(f.keys[zone]) > 0 {
			texts = append(texts, f.wrong.text)
		}
	}
	return texts
}

// from names the files that have keys of a zone.
func (c *cosigners) from(zone string) string {
	var names []string
	for _, f := range c.files {
		if len(f.keys[zone]) > 0 {
			names = append(names, f.name)
		}
	}
	return strings.Join(names, ", ")
}

const (
	// maxCosigner bounds what is read of a file, in octets.
	maxCosigner = 1 << 20
	// maxForeign bounds the keys of a zone's other signers: each is in every DNSKEY answer.
	maxForeign = 32
)

// readAtMost reads the first octets of a file.
func readAtMost(name string, n int64) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, n))
}

// read reads the DNSKEY records of the file, which has the syntax of zone files, such as another server's answer. It is
// whole if its last line has an end.
func (f *cosignerFile) read() (info fs.FileInfo, keys map[string][]*zonesign.Key, whole bool, err error) {
	if info, err = os.Stat(f.name); err != nil { // before it is read, so that a later change is seen
		return nil, nil, false, err
	}
	if !info.Mode().IsRegular() { // a pipe would be waited for
		return nil, nil, false, fmt.Errorf("it is not a regular file but %s", info.Mode().Type())
	}
	text, err := readAtMost(f.name, maxCosigner+1)
	switch {
	case err != nil:
		return nil, nil, false, err
	case len(text) > maxCosigner:
		return nil, nil, false, fmt.Errorf("it is longer than %d octets", maxCosigner)
	case strings.Contains(strings.ToUpper(string(text)), "$GENERATE"):
		return nil, nil, false, errors.New("it holds $GENERATE, of which there may be no end")
	}
	keys = map[string][]*zonesign.Key{}
	parser := dns.NewZoneParser(strings.NewReader(string(text)), "", f.name)
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		if err := f.add(keys, rr); err != nil {
			return nil, nil, false, err
		}
	}
	if parser.Err() != nil {
		return nil, nil, false, parser.Err() // it begins with the file
	}
	return info, keys, strings.HasSuffix(string(text), "\n"), nil
}

// add adds a record of the file to its keys.
func (f *cosignerFile) add(keys map[string][]*zonesign.Key, rr dns.RR) error {
	key, isKey := rr.(*dns.DNSKEY)
	switch {
	case rr.Header().Rrtype == dns.TypeRRSIG:
		return nil // of the answer that it was taken from
	case !isKey:
		return fmt.Errorf("it holds a %s record of %s, where DNSKEY belongs", dns.Type(rr.Header().Rrtype), rr.Header().Name)
	}
	zone := dns.CanonicalName(key.Hdr.Name)
	if !f.covers(zone) {
		return fmt.Errorf("it holds a key of %s, which this block does not serve", zone)
	}
	key.Hdr.Name = zone
	other := &zonesign.Key{DNSKEY: key}
	if err := other.Check(); err != nil {
		return fmt.Errorf("the key %s: %w (is the record whole?)", other, err)
	}
	if !slices.ContainsFunc(keys[zone], func(k *zonesign.Key) bool { return k.DNSKEY.PublicKey == key.PublicKey }) {
		keys[zone] = append(keys[zone], other)
	}
	if len(keys[zone]) > maxForeign {
		return fmt.Errorf("it holds more than %d keys of %s", maxForeign, zone)
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
