package zonesign

import (
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
)

const (
	autoAlgorithm = dns.ECDSAP256SHA256 // short signatures, validated everywhere (RFC 8624 3.1)
	autoBits      = 256
	autoTTL       = 3600 // in the .key file, where nobody reads it

	lockName   = ".lock"
	tempPrefix = ".new-"
)

// AutoKeys returns the keys of zones that dir holds, and makes those that are missing; made names these
// zones. A key is a CSK (flags 257, ECDSA P-256) in BIND's files, which BIND's tools read.
//
// However many servers start on one folder at once, they get the same keys: they are made under a lock.
// Private halves are written first and public halves last, each whole or not at all, so that what a
// crash leaves behind is never half a key that is used. No file is ever overwritten, and a key whose
// files are damaged is an error rather than a reason for a new one, which the parent's DS would not name.
// The folder is read once for all zones, of which there may be ten thousand.
//
// Errors: a folder or file that cannot be read or written, more than one key of a zone, keys that are
// no CSK. What is dangerous about the folder or left in it by a crash is in a key's Warnings.
func AutoKeys(dir string, zones ...string) (keys map[string]*Key, made []string, err error) {
	return autoKeys(dir, zones, time.Now())
}

// AutoKey is AutoKeys for one zone.
func AutoKey(dir, zone string) (key *Key, made bool, err error) {
	keys, zones, err := AutoKeys(dir, zone)
	return keys[zone], len(zones) > 0, err
}

func autoKeys(dir string, zones []string, now time.Time) (keys map[string]*Key, made []string, err error) {
	// A folder with every key may be read-only, such as a mounted secret: look before locking.
	keys, missing, err := loadKeys(dir, zones)
	if err != nil || len(missing) == 0 {
		return keys, nil, err
	}
	unlock, err := Lock(dir)
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	keys, missing, err = loadKeys(dir, zones) // another server may have been faster
	if err != nil || len(missing) == 0 {
		return keys, nil, err
	}
	if err := errors.Join(removeTemporary(dir, missing), makeKeys(dir, missing, now)); err != nil {
		return nil, nil, fmt.Errorf("make keys in %s: %w", dir, err)
	}
	keys, lost, err := loadKeys(dir, zones)
	if err == nil && len(lost) > 0 {
		err = fmt.Errorf("the key just made for %s is no longer in %s", lost[0].zone, dir)
	}
	for _, one := range missing {
		made = append(made, one.zone)
	}
	return keys, made, err
}

// stemmed is a zone with how the names of its key files begin.
type stemmed struct{ zone, stem string }

// loadKeys reads the keys of zones that dir holds, and says which zones have none.
func loadKeys(dir string, zones []string) (keys map[string]*Key, missing []stemmed, err error) {
	folder, err := readFolder(dir)
	if err != nil {
		return nil, nil, err
	}
	keys = make(map[string]*Key, len(zones))
	for _, zone := range zones {
		stem, err := KeyFileStem(zone)
		if err != nil {
			return nil, nil, err
		}
		key, err := folder.key(stem)
		if err != nil {
			return nil, nil, err
		}
		if key == nil {
			missing = append(missing, stemmed{zone, stem})
			continue
		}
		keys[zone] = key
	}
	return keys, missing, nil
}

// KeyFileStem is how the names of a zone's key files begin, such as "Kexample.org.+": K, then the zone's name as BIND writes it
// in file names, in lower case and with everything but letters, digits, hyphen and underscore as %XX.
func KeyFileStem(zone string) (string, error) {
	wire, err := OwnerWire(dns.CanonicalName(zone))
	if err != nil {
		return "", err
	}
	var stem strings.Builder
	stem.WriteByte('K')
	for off := 0; wire[off] != 0; off += 1 + int(wire[off]) {
		for _, octet := range wire[off+1 : off+1+int(wire[off])] {
			if octet == '-' || octet == '_' || isDigit(octet) || 'a' <= octet && octet <= 'z' {
				stem.WriteByte(octet)
			} else {
				fmt.Fprintf(&stem, "%%%02X", octet)
			}
		}
		stem.WriteByte('.')
	}
	if wire[0] == 0 {
		stem.WriteByte('.')
	}
	stem.WriteByte('+')
	return stem.String(), nil
}

// folder is what a folder of keys holds: by stem, the files' names without their suffix.
type folder struct {
	dir             string
	mode            fs.FileMode
	public, private map[string][]string
}

// readFolder lists a folder; one that is not there is empty.
func readFolder(dir string) (*folder, error) {
	f := &folder{dir: dir, public: map[string][]string{}, private: map[string][]string{}}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(dir); err == nil {
		f.mode = info.Mode().Perm()
	}
	for _, e := range entries {
		name := e.Name()
		stem, _, ok := strings.Cut(name, "+")
		if !ok || !strings.HasPrefix(name, "K") {
			continue
		}
		stem += "+" // what a zone's name has of these is written as %2B
		if base, ok := strings.CutSuffix(name, ".key"); ok {
			f.public[stem] = append(f.public[stem], base)
		}
		if base, ok := strings.CutSuffix(name, ".private"); ok {
			f.private[stem] = append(f.private[stem], base)
		}
	}
	return f, nil
}

// key returns the CSK with a stem, or nil where there is none. The public file, written last, makes a key.
func (f *folder) key(stem string) (*Key, error) {
	public := f.public[stem]
	switch {
	case len(public) == 0:
		return nil, nil
	case len(public) > 1:
		return nil, fmt.Errorf("%s holds %d keys %s...: leave the one there that the parent's DS names, or name those that sign with key file", f.dir, len(public), stem)
	}
	key, err := f.loadCSK(public[0])
	if err != nil {
		return nil, err
	}
	for _, base := range f.private[stem] {
		if base != public[0] {
			key.Warnings = append(key.Warnings, fmt.Sprintf("%s.private has no .key beside it and is not used: it was never published if a crash left it", filepath.Join(f.dir, base)))
		}
	}
	if f.mode&0o022 != 0 {
		key.Warnings = append(key.Warnings, fmt.Sprintf("%s has mode %04o: others can put their own key there; chmod 0700 it", f.dir, f.mode))
	}
	return key, nil
}

func (f *folder) loadCSK(base string) (*Key, error) {
	key, err := LoadKey(filepath.Join(f.dir, base))
	if err != nil {
		return nil, fmt.Errorf("%w (restore it from a backup; a new key would not be the one that the parent's DS names)", err)
	}
	if !key.SEP() {
		return nil, fmt.Errorf("%s in %s is a ZSK (flags 256), and key auto keeps one CSK (flags 257): name it and its KSK with key file", base, f.dir)
	}
	return key, nil
}

// writers is how many key files are written at once: a disk syncs many files in the time of one.
const writers = 16

// makeKeys makes a CSK for each zone, and writes first all private halves, then the public ones.
func makeKeys(dir string, zones []stemmed, now time.Time) error {
	keys := make([]madeKey, len(zones))
	if err := each(len(zones), func(i int) (err error) {
		keys[i], err = generate(dir, zones[i], now)
		return errors.Join(err, writeNew(keys[i].base+".private", zones[i].stem, keys[i].private, 0o600))
	}); err != nil {
		return err
	}
	if err := syncDir(dir); err != nil {
		return err
	}
	if err := each(len(zones), func(i int) error {
		return writeNew(keys[i].base+".key", zones[i].stem, keys[i].public, 0o644)
	}); err != nil {
		return err
	}
	return syncDir(dir)
}

// each calls f for 0 to n-1, some of them at once, and returns the first error.
func each(n int, f func(i int) error) error {
	var group errgroup.Group
	group.SetLimit(writers)
	for i := range n {
		group.Go(func() error { return f(i) })
	}
	return group.Wait()
}

// madeKey is a new key as its files have it.
type madeKey struct{ base, private, public string }

// generate makes a CSK by the algorithm that is best.
func generate(dir string, z stemmed, now time.Time) (madeKey, error) {
	return generateKey(dir, z, flagZone|flagSEP, autoAlgorithm, now, autoTimes)
}

// generateKey makes a key; each of times is now.
func generateKey(dir string, z stemmed, flags uint16, algorithm uint8, now time.Time, times []string) (madeKey, error) {
	dnskey := &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: dns.CanonicalName(z.zone), Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: autoTTL},
		Flags: flags, Protocol: dnskeyProtocol, Algorithm: algorithm,
	}
	secret, err := dnskey.Generate(keyBits(algorithm))
	if err != nil {
		return madeKey{}, err
	}
	base := filepath.Join(dir, fmt.Sprintf("%s%03d+%05d", z.stem, dnskey.Algorithm, dnskey.KeyTag()))
	return madeKey{base, privateFile(dnskey, secret, now, times), publicFile(dnskey, now, times)}, nil
}

// keyBits is the length of keys that are made: RSA's is the least that RFC 8624 leaves at ease.
func keyBits(algorithm uint8) int {
	if algorithm == dns.RSASHA256 {
		return 2048
	}
	return autoBits
}

// autoTimes are the times that dnssec-settime shows for a key that is in use from the start.
var autoTimes = []string{"Created", "Publish", "Activate"}

func privateFile(k *dns.DNSKEY, secret crypto.PrivateKey, now time.Time, times []string) string {
	text := k.PrivateKeyString(secret)
	for _, name := range times {
		text += fmt.Sprintf("%s: %s\n", name, bindTime(now))
	}
	return text
}

func publicFile(k *dns.DNSKEY, now time.Time, times []string) string {
	does := "zone"
	if k.Flags&flagSEP != 0 {
		does = "key"
	}
	text := fmt.Sprintf("; This is a %s-signing key, keyid %d, for %s\n", does, k.KeyTag(), k.Hdr.Name)
	for _, name := range times {
		text += fmt.Sprintf("; %s: %s (%s)\n", name, bindTime(now), now.UTC().Format(time.ANSIC))
	}
	return text + k.String() + "\n"
}

// bindTime is how BIND writes a time: YYYYMMDDHHMMSS in UTC.
func bindTime(t time.Time) string { return t.UTC().Format("20060102150405") }

// writeNew makes a file that is whole or absent, whenever the machine stops, and overwrites none. Its
// name is safe once the folder is synced.
func writeNew(path, stem, text string, mode fs.FileMode) error {
	return writeBeside(path, stem, text, mode, os.Link) // unlike a rename it fails where a file stands
}

// writeBeside writes a whole file beside path, synced, and puts it there by put.
func writeBeside(path, stem, text string, mode fs.FileMode, put func(from, to string) error) error {
	temp, err := os.CreateTemp(filepath.Dir(path), tempPrefix+stem+"*") // mode 0600 from its first octet on
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.WriteString(text)
	if err := errors.Join(err, temp.Chmod(mode), temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return put(temp.Name(), path)
}

func syncDir(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}

// removeTemporary removes what a crash left of writeNew. Under the lock nobody is writing.
func removeTemporary(dir string, zones []stemmed) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), tempPrefix)
		if ok && slices.ContainsFunc(zones, func(z stemmed) bool { return strings.HasPrefix(rest, z.stem) }) {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}
