package zonesign

import (
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/miekg/dns"
)

// Flags of a DNSKEY (RFC 4034 2.1.1, RFC 5011 7).
const (
	flagZone   = 1 << 8
	flagRevoke = 1 << 7
	flagSEP    = 1
)

// dnskeyProtocol is the only value of the Protocol field (RFC 4034 2.1.2).
const dnskeyProtocol = 3

// Key is a DNSKEY with its private half behind a crypto.Signer: a file today, an HSM or a cloud's key
// service later. Without a Signer it is published and signs nothing: the next key of a rollover, or
// that of another provider of the zone (RFC 8901). It must not be changed once it is in a KeySet.
type Key struct {
	DNSKEY   *dns.DNSKEY
	Signer   crypto.Signer // Sign may be slow, and is called concurrently
	Warnings []string      // what is dangerous about its files, for people
}

// Tag is the key tag (RFC 4034 appendix B).
func (k *Key) Tag() uint16 { return k.DNSKEY.KeyTag() }

// SEP reports whether the key is a secure entry point, which the parent's DS names: a KSK, or a CSK,
// which signs the zone's data as well.
func (k *Key) SEP() bool { return k.DNSKEY.Flags&flagSEP != 0 }

// String names the key as its files are named, such as "example.org.+013+12345".
func (k *Key) String() string {
	return fmt.Sprintf("%s+%03d+%05d", dns.CanonicalName(k.DNSKEY.Hdr.Name), k.DNSKEY.Algorithm, k.Tag())
}

// Check says why a key cannot be one of a zone.
func (k *Key) Check() error {
	_, _, err := k.check()
	return err
}

// check returns the key's algorithm and public half, or why it cannot be a key of a zone.
func (k *Key) check() (*algorithm, crypto.PublicKey, error) {
	switch {
	case k.DNSKEY.Hdr.Class != dns.ClassINET:
		return nil, nil, fmt.Errorf("the key is in class %s, but only IN is signed", dns.Class(k.DNSKEY.Hdr.Class))
	case k.DNSKEY.Flags&flagZone == 0:
		return nil, nil, errors.New("the key is not a zone key: flag 256 is not set (RFC 4034 2.1.1)")
	case k.DNSKEY.Flags&flagRevoke != 0:
		return nil, nil, errors.New("the key is revoked: flag 128 is set (RFC 5011 2.1)")
	case k.DNSKEY.Protocol != dnskeyProtocol:
		return nil, nil, fmt.Errorf("its protocol is %d and must be 3 (RFC 4034 2.1.2)", k.DNSKEY.Protocol)
	}
	alg, ok := algorithms[k.DNSKEY.Algorithm]
	if !ok {
		return nil, nil, fmt.Errorf("its algorithm %s is not supported: create a key with %s", algorithmName(k.DNSKEY.Algorithm), supported)
	}
	wire, err := base64.StdEncoding.DecodeString(k.DNSKEY.PublicKey)
	if err != nil {
		return nil, nil, fmt.Errorf("its public key is not in base64: %w", err)
	}
	public, err := alg.public(wire)
	if err != nil {
		return nil, nil, err
	}
	if k.Signer != nil && !samePublic(k.Signer.Public(), public) {
		return nil, nil, errors.New("the private key does not match the public key: one of the two files belongs to another key")
	}
	return alg, public, nil
}

func algorithmName(number uint8) string {
	if name, ok := dns.AlgorithmToString[number]; ok {
		return fmt.Sprintf("%s (%d)", name, number)
	}
	return fmt.Sprint(number)
}

// samePublic compares public keys; all of Go's own can.
func samePublic(a, b crypto.PublicKey) bool {
	comparable, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && comparable.Equal(b)
}
