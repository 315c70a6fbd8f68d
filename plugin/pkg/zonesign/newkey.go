package zonesign

import (
	"crypto"
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// fileTTL is the TTL in .key files, where nobody reads it.
const fileTTL = 3600

// maxTags is how many keys are made at most until one has a tag of its own.
const maxTags = 100

// NewKey makes a key of a zone, a KSK or CSK with sep and else a ZSK. It is in memory alone: its files, by Files, are
// the caller's to write before anybody sees the key. taken says which key tags are not to be had.
func NewKey(zone string, algorithm uint8, sep bool, taken func(tag uint16) bool) (*Key, error) {
	if _, ok := algorithms[algorithm]; !ok {
		return nil, fmt.Errorf("algorithm %s is not supported: choose %s", algorithmName(algorithm), supported)
	}
	flags := uint16(flagZone)
	if sep {
		flags |= flagSEP
	}
	for range maxTags {
		key, err := generate(zone, flags, algorithm)
		if err != nil || !taken(key.Tag()) {
			return key, err
		}
	}
	return nil, fmt.Errorf("%d new keys of %s had tags that are in use: delete old keys", maxTags, zone)
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

func generate(zone string, flags uint16, algorithm uint8) (*Key, error) {
	dnskey := &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: dns.CanonicalName(zone), Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: fileTTL},
		Flags: flags, Protocol: dnskeyProtocol, Algorithm: algorithm,
	}
	secret, err := dnskey.Generate(keyBits(algorithm))
	if err != nil {
		return nil, err
	}
	signer, ok := secret.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of algorithm %s cannot sign", algorithmName(algorithm))
	}
	key := &Key{DNSKEY: dnskey, Signer: signer}
	return key, key.Check()
}

// Files are the contents of a key's two files, without times, for a key that is new or was read from such files: its
// private half is in memory.
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
