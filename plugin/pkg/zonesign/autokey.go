package zonesign

import (
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	autoAlgorithm = dns.ECDSAP256SHA256 // short signatures, validated everywhere (RFC 8624 3.1)
	autoBits      = 256
	autoTTL       = 3600 // in the .key file, where nobody reads it

	lockName   = ".lock"
	tempPrefix = ".new-"
)

// AutoKey returns the key of a zone that dir holds, and makes one where there is none; made says so.
// The key is a CSK (flags 257, ECDSA P-256) in BIND's files, which BIND's tools read.
//
// However many servers start on one folder at once, they get the same key: it is made under a lock.
// The private half is written first and the public half last, each whole or not at all, so that what
// a crash leaves behind is never half a key that is used. No file is ever overwritten, and a key whose
// files are damaged is an error rather than a reason for a new one, which the parent's DS would not name.
//
// Errors: a folder or file that cannot be read or written, more than one key of the zone, keys that are
// no CSK. What is dangerous about the folder or left in it by a crash is in the key's Warnings.
func AutoKey(dir, zone string) (key *Key, made bool, err error) {
	return autoKey(dir, zone, time.Now())
}

func autoKey(dir, zone string, now time.Time) (key *Key, made bool, err error) {
	stem, err := keyFileStem(zone)
	if err != nil {
		return nil, false, err
	}
	// A folder with a key may be read-only, such as a mounted secret: look before locking.
	if key, err := findKey(dir, stem); key != nil || err != nil {
		return key, false, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, false, err
	}
	unlock, err := lockFile(filepath.Join(dir, lockName))
	if err != nil {
		return nil, false, err
	}
	defer unlock()
	key, err = findKey(dir, stem) // another server may have been faster
	if key != nil || err != nil {
		return key, false, err
	}
	if err := removeTemporary(dir, stem); err != nil {
		return nil, false, err
	}
	if err := makeKey(dir, stem, dns.CanonicalName(zone), now); err != nil {
		return nil, false, fmt.Errorf("make a key in %s: %w", dir, err)
	}
	key, err = findKey(dir, stem)
	if key == nil && err == nil {
		err = fmt.Errorf("the key just made for %s is no longer in %s", zone, dir)
	}
	return key, err == nil, err
}

// keyFileStem is how the names of a zone's key files begin: K, then the zone's name as BIND writes it
// in file names, in lower case and with everything but letters, digits, hyphen and underscore as %XX.
func keyFileStem(zone string) (string, error) {
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

// findKey returns the zone's CSK in dir, or nil where there is none. The public file, written last,
// makes a key.
func findKey(dir, stem string) (*Key, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	public, private := map[string]bool{}, []string(nil)
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, stem) {
			continue
		}
		if base, ok := strings.CutSuffix(name, ".key"); ok {
			public[base] = true
		}
		if base, ok := strings.CutSuffix(name, ".private"); ok {
			private = append(private, base)
		}
	}
	if len(public) == 0 {
		return nil, nil
	}
	if len(public) > 1 {
		return nil, fmt.Errorf("%s holds %d keys %s...: leave the one there that the parent's DS names, or name those that sign with key file", dir, len(public), stem)
	}
	var warnings []string
	for _, base := range private {
		if !public[base] {
			warnings = append(warnings, fmt.Sprintf("%s.private has no .key beside it and is not used: it was never published if a crash left it", filepath.Join(dir, base)))
		}
	}
	for base := range public {
		return loadCSK(dir, base, warnings)
	}
	return nil, nil
}

func loadCSK(dir, base string, warnings []string) (*Key, error) {
	key, err := LoadKey(filepath.Join(dir, base))
	if err != nil {
		return nil, fmt.Errorf("%w (restore it from a backup; a new key would not be the one that the parent's DS names)", err)
	}
	if !key.SEP() {
		return nil, fmt.Errorf("%s in %s is a ZSK (flags 256), and key auto keeps one CSK (flags 257): name it and its KSK with key file", base, dir)
	}
	key.Warnings = append(key.Warnings, warnings...)
	if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o022 != 0 {
		key.Warnings = append(key.Warnings, fmt.Sprintf("%s has mode %04o: others can put their own key there; chmod 0700 it", dir, info.Mode().Perm()))
	}
	return key, nil
}

// makeKey makes a CSK and writes its files.
func makeKey(dir, stem, zone string, now time.Time) error {
	dnskey := &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: zone, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: autoTTL},
		Flags: flagZone | flagSEP, Protocol: dnskeyProtocol, Algorithm: autoAlgorithm,
	}
	secret, err := dnskey.Generate(autoBits)
	if err != nil {
		return err
	}
	base := filepath.Join(dir, fmt.Sprintf("%s%03d+%05d", stem, dnskey.Algorithm, dnskey.KeyTag()))
	if err := writeNew(base+".private", stem, privateFile(dnskey, secret, now), 0o600); err != nil {
		return err
	}
	return writeNew(base+".key", stem, publicFile(dnskey, now), 0o644)
}

// autoTimes are the times that dnssec-settime shows for a key that is in use from the start.
var autoTimes = [...]string{"Created", "Publish", "Activate"}

func privateFile(k *dns.DNSKEY, secret crypto.PrivateKey, now time.Time) string {
	text := k.PrivateKeyString(secret)
	for _, name := range autoTimes {
		text += fmt.Sprintf("%s: %s\n", name, bindTime(now))
	}
	return text
}

func publicFile(k *dns.DNSKEY, now time.Time) string {
	text := fmt.Sprintf("; This is a key-signing key, keyid %d, for %s\n", k.KeyTag(), k.Hdr.Name)
	for _, name := range autoTimes {
		text += fmt.Sprintf("; %s: %s (%s)\n", name, bindTime(now), now.UTC().Format(time.ANSIC))
	}
	return text + k.String() + "\n"
}

// bindTime is how BIND writes a time: YYYYMMDDHHMMSS in UTC.
func bindTime(t time.Time) string { return t.UTC().Format("20060102150405") }

// writeNew makes a file that is whole or absent, whenever the machine stops, and overwrites none.
func writeNew(path, stem, text string, mode fs.FileMode) error {
	dir := filepath.Dir(path)
	temp, err := os.CreateTemp(dir, tempPrefix+stem+"*") // mode 0600 from its first octet on
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.WriteString(text)
	if err := errors.Join(err, temp.Chmod(mode), temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err := os.Link(temp.Name(), path); err != nil { // unlike a rename it fails where a file stands
		return err
	}
	return syncDir(dir)
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
func removeTemporary(dir, stem string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempPrefix+stem) {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}
