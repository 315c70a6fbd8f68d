package keyring

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
	"github.com/coredns-caa/caa/plugin/pkg/regularfile"
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
			return f.describe(err)
		}
		f.taken, f.keys = info, keys
	}
	c.gather()
	return nil
}

var errNoKeys = errors.New("the file has no DNSKEY record, and without the keys of the zone's other signers resolvers treat their answers as bogus. " +
	"Write their DNSKEY records to it (dig @SERVER ZONE DNSKEY +tcp). If they have no keys yet, or no longer sign, remove the file from the caa block")

// describe says which file an error is about.
func (f *cosignerFile) describe(err error) error { return &FileError{cosignerOption, f.name, err} }

// look reads the files that have changed and rest, and reports whether their keys are others. What is wrong with one is
// logged now and then, and changes nothing.
func (c *cosigners) look(now time.Time) (changed bool) {
	for _, f := range c.files {
		took, err := f.look(now)
		text := ""
		if err != nil {
			text = fmt.Sprintf("%v. The keys read earlier are still published", f.describe(err))
		}
		f.err = err
		f.wrong.log(now, text, log.Error, fmt.Sprintf("cosigner: %s was read again", f.name))
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
		return false, errors.New("the file keeps changing, and is read only once it is unchanged for two seconds: write to another file, then rename that")
	default:
		return false, f.err // not known to be over
	}
	info, keys, whole, err := f.read()
	if errors.Is(err, regularfile.ErrChanged) {
		return false, f.err // it will rest
	}
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
		return false, fmt.Errorf("the file no longer has a key for %s: write the keys to it again. If their signer no longer signs, remove the file from the caa block, then reload or restart CoreDNS", strings.Join(lost, ", "))
	}
	if fewer := f.fewer(keys); (fewer != "" || !whole) && rested < cosignerPause {
		return false, f.err
	} else if fewer != "" {
		log.Warningf("cosigner: %s no longer has the key %s: it is no longer published", f.name, fewer)
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

// read reads the DNSKEY records of the file, which has the syntax of zone files, such as another server's answer. It is
// whole if its last line has an end.
func (f *cosignerFile) read() (info fs.FileInfo, keys map[string][]*zonesign.Key, whole bool, err error) {
	text, info, err := regularfile.Read(f.name, maxCosigner)
	switch {
	case err != nil:
		return nil, nil, false, err
	case strings.Contains(strings.ToUpper(string(text)), "$GENERATE"):
		return nil, nil, false, errors.New("the file has a $GENERATE directive, which is not supported here: write the records out")
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
		return fmt.Errorf("the file has the record %s %s: it may have DNSKEY records only", rr.Header().Name, dns.Type(rr.Header().Rrtype))
	}
	zone := dns.CanonicalName(key.Hdr.Name)
	if !f.covers(zone) {
		return fmt.Errorf("the file has a key of %s, which this block does not serve", zone)
	}
	key.Hdr.Name = zone
	other := &zonesign.Key{DNSKEY: key}
	if err := other.Check(); err != nil {
		return fmt.Errorf("key %s: %w (is the record complete?)", other, err)
	}
	if !slices.ContainsFunc(keys[zone], func(k *zonesign.Key) bool { return k.DNSKEY.PublicKey == key.PublicKey }) {
		keys[zone] = append(keys[zone], other)
	}
	if len(keys[zone]) > maxForeign {
		return fmt.Errorf("the file has more than %d keys for %s", maxForeign, zone)
	}
	return nil
}

// of are the keys of a zone's other signers: those that are not ours, whatever the file holds.
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
