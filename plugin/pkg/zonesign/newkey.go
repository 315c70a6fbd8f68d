package zonesign

import (
	"crypto"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// fileTTL is the TTL in .key files, where nobody reads it.
const fileTTL = 3600

// maxTags is how many keys are made at most until one has a tag of its own.
const maxTags = 100

// NewKeyFiles makes a key and its files in dir, and returns their path without a suffix. The private half is
// written first and the public half last, each whole or not at all, and nothing is overwritten. It is a KSK
// or CSK with sep, or else a ZSK, and its files say no more than
// when it was made; taken says which key tags are not to be had. The lock of the folder is held.
func NewKeyFiles(dir, zone string, algorithm uint8, sep bool, taken func(tag uint16) bool, now time.Time) (base string, err error) {
	stem, err := KeyFileStem(zone)
	if err != nil {
		return "", err
	}
	if _, ok := algorithms[algorithm]; !ok {
		return "", fmt.Errorf("algorithm %s is not supported: choose %s", algorithmName(algorithm), supported)
	}
	flags := uint16(flagZone)
	if sep {
		flags |= flagSEP
	}
	for range maxTags {
		key, err := generate(dir, zone, stem, flags, algorithm, now)
		if err != nil {
			return "", err
		}
		if taken(tagOf(key.base)) {
			continue
		}
		err = writeNew(key.base+".private", stem, key.private, 0o600)
		if errors.Is(err, os.ErrExist) {
			continue // a crash left it
		}
		if err != nil {
			return "", err
		}
		// The private half must not be lost once somebody may see the public one.
		if err := errors.Join(syncDir(dir), writeNew(key.base+".key", stem, key.public, 0o644), syncDir(dir)); err != nil {
			return "", err
		}
		return key.base, nil
	}
	return "", fmt.Errorf("%d keys had tags that are taken: remove old keys of %s from %s", maxTags, zone, dir)
}

// tagOf is the key tag in the name of a key's files.
func tagOf(base string) (tag uint16) {
	fmt.Sscan(strings.TrimLeft(base[strings.LastIndexByte(base, '+')+1:], "0"), &tag)
	return tag
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

// madeKey is a new key as its files have it.
type madeKey struct{ base, private, public string }

// generate makes a key of a zone whose files begin with stem.
func generate(dir, zone, stem string, flags uint16, algorithm uint8, now time.Time) (madeKey, error) {
	dnskey := &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: dns.CanonicalName(zone), Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: fileTTL},
		Flags: flags, Protocol: dnskeyProtocol, Algorithm: algorithm,
	}
	secret, err := dnskey.Generate(keyBits(algorithm))
	if err != nil {
		return madeKey{}, err
	}
	base := filepath.Join(dir, fmt.Sprintf("%s%03d+%05d", stem, dnskey.Algorithm, dnskey.KeyTag()))
	return madeKey{base, privateFile(dnskey, secret, now), publicFile(dnskey, now)}, nil
}

// Files are the contents of a key's two files, without times, for a key that was read from such files: its private
// half is in memory, and they may have been lost.
func (k *Key) Files() (private, public string) {
	dnskey := dns.Copy(k.DNSKEY).(*dns.DNSKEY)
	dnskey.Hdr.Ttl = fileTTL
	does := "zone"
	if k.SEP() {
		does = "key"
	}
	return dnskey.PrivateKeyString(k.Signer), fmt.Sprintf("; This is a %s-signing key, keyid %d, for %s\n%s\n", does, k.Tag(), dnskey.Hdr.Name, dnskey)
}

// keyBits is the length of keys that are made: RSA's is the least that RFC 8624 leaves at ease.
func keyBits(algorithm uint8) int {
	if algorithm == dns.RSASHA256 {
		return 2048
	}
	return 256
}

func privateFile(k *dns.DNSKEY, secret crypto.PrivateKey, now time.Time) string {
	return k.PrivateKeyString(secret) + fmt.Sprintf("Created: %s\n", bindTime(now))
}

func publicFile(k *dns.DNSKEY, now time.Time) string {
	does := "zone"
	if k.Flags&flagSEP != 0 {
		does = "key"
	}
	text := fmt.Sprintf("; This is a %s-signing key, keyid %d, for %s\n", does, k.KeyTag(), k.Hdr.Name)
	text += fmt.Sprintf("; Created: %s (%s)\n", bindTime(now), now.UTC().Format(time.ANSIC))
	return text + k.String() + "\n"
}

// bindTime is how BIND writes a time: YYYYMMDDHHMMSS in UTC.
func bindTime(t time.Time) string { return t.UTC().Format("20060102150405") }
