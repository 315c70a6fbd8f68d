package zonesign

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// Flags of a DNSKEY (RFC 4034 2.1.1, RFC 5011 3).
const (
	flagZone   = 1 << 8
	flagRevoke = 1 << 7
	flagSEP    = 1
)

// minRSABits is what resolvers and the CA/B Forum still take for a key that is not factored at will.
const minRSABits = 2048

// Key is a DNSKEY with its private half behind a crypto.Signer: a file today, an HSM or a cloud's
// key service later. Immutable.
type Key struct {
	DNSKEY   *dns.DNSKEY
	Signer   crypto.Signer
	Warnings []string // about the file: told once, at the start
}

// sep reports whether the key is named by the parent's DS: a KSK or a CSK.
func (k *Key) sep() bool { return k.DNSKEY.Flags&flagSEP != 0 }

// LoadKey reads a pair of BIND's key files, named with or without .key or .private.
func LoadKey(path string) (*Key, error) {
	base := strings.TrimSuffix(strings.TrimSuffix(path, ".key"), ".private")
	public, err := os.ReadFile(base + ".key")
	if err != nil {
		return nil, err
	}
	file, err := os.Open(base + ".private")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	key, err := parseKey(base, public, file)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		key.Warnings = append(key.Warnings, fmt.Sprintf("%s.private can be read by others (mode %04o): chmod 600 it, and think of a new key", base, mode))
	}
	return key, nil
}

func parseKey(base string, public []byte, private *os.File) (*Key, error) {
	rr, err := dns.ReadRR(bytes.NewReader(public), base+".key")
	if err != nil {
		return nil, err
	}
	dnskey, ok := rr.(*dns.DNSKEY)
	if !ok {
		return nil, fmt.Errorf("%s.key holds no DNSKEY record", base)
	}
	secret, err := dnskey.ReadPrivateKey(private, base+".private")
	if err != nil {
		return nil, fmt.Errorf("%s.private: %w", base, err)
	}
	signer, ok := secret.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s.private holds no key that can sign", base)
	}
	dnskey.Hdr.Name = dns.CanonicalName(dnskey.Hdr.Name)
	key := &Key{DNSKEY: dnskey, Signer: signer}
	if err := key.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", base, err)
	}
	return key, nil
}

// check says why a key cannot sign a zone, nil when it can.
func (k *Key) check() error {
	switch {
	case k.DNSKEY.Flags&flagZone == 0:
		return errors.New("it is not a zone key (flag 256 is not set, RFC 4034 2.1.1)")
	case k.DNSKEY.Flags&flagRevoke != 0:
		return errors.New("the key is revoked (RFC 5011 2.1)")
	case k.DNSKEY.Protocol != 3:
		return fmt.Errorf("protocol %d instead of 3 (RFC 4034 2.1.2)", k.DNSKEY.Protocol)
	}
	alg, ok := algorithms[k.DNSKEY.Algorithm]
	if !ok {
		return fmt.Errorf("algorithm %d is not supported; make a key with ECDSAP256SHA256, ED25519 or RSASHA256", k.DNSKEY.Algorithm)
	}
	published, err := alg.public(k.DNSKEY)
	if err != nil {
		return err
	}
	if own, ok := k.Signer.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !own.Equal(published) {
		return errors.New("the private key does not belong to the public one")
	}
	return nil
}

// AutoKey returns the key of a zone that dir holds, and makes one (a CSK, ECDSA P-256) where there
// is none; made says so. Servers that start on one folder at the same moment get the same key.
func AutoKey(dir, zone string) (key *Key, made bool, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, false, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, false, err
	}
	defer lock.Close() // releases the lock
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return nil, false, fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	found, err := findKey(dir, zone)
	if err != nil || found != nil {
		return found, false, err
	}
	key, err = makeKey(dir, zone)
	return key, err == nil, err
}

// findKey returns the zone's key in dir, nil when there is none. The public file is written last,
// so that a key exists when its public file does.
func findKey(dir, zone string) (*Key, error) {
	files, err := filepath.Glob(filepath.Join(dir, "K"+globEscape(fileName(zone))+"+*.key"))
	if err != nil {
		return nil, err
	}
	switch len(files) {
	case 0:
		return nil, nil
	case 1:
		return LoadKey(files[0])
	}
	return nil, fmt.Errorf("%d keys of %s lie in %s, and rolling keys is not supported yet: leave one pair of files there, the one that the parent's DS names", len(files), zone, dir)
}

// fileName is the zone's name as it stands in a key's file name: BIND writes names as they are; a
// slash would be a folder.
func fileName(zone string) string { return strings.ReplaceAll(zone, "/", "%2F") }

func globEscape(s string) string {
	return strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `\`, `\\`).Replace(s)
}

func makeKey(dir, zone string) (*Key, error) {
	dnskey := &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: zone, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 3600},
		Flags: flagZone | flagSEP, Protocol: 3, Algorithm: dns.ECDSAP256SHA256,
	}
	secret, err := dnskey.Generate(256)
	if err != nil {
		return nil, err
	}
	base := filepath.Join(dir, fmt.Sprintf("K%s+%03d+%05d", fileName(zone), dnskey.Algorithm, dnskey.KeyTag()))
	now := time.Now().UTC().Format("20060102150405")
	private := dnskey.PrivateKeyString(secret) + fmt.Sprintf("Created: %s\nPublish: %[1]s\nActivate: %[1]s\n", now)
	public := fmt.Sprintf("; This is a key-signing key, keyid %d, for %s\n; Created: %s\n; Publish: %[3]s\n; Activate: %[3]s\n%s\n",
		dnskey.KeyTag(), zone, now, dnskey.String())
	if err := writeFile(base+".private", private, 0o600); err != nil {
		return nil, err
	}
	if err := writeFile(base+".key", public, 0o644); err != nil {
		return nil, err
	}
	return LoadKey(base)
}

// writeFile makes a file that is whole or absent, whenever the machine stops; it replaces none but
// the private half that a crash left alone.
func writeFile(path, text string, mode fs.FileMode) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.WriteString(text)
	if err := errors.Join(err, temp.Chmod(mode), temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}
