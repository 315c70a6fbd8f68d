package zonesign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"

	"github.com/miekg/dns"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Bounds of an RSA modulus in bits: below, it is factored within reach of the rich; above, a signature
// fills a UDP answer and some validators refuse it.
const (
	minRSABits = 2048
	maxRSABits = 4096
)

// algorithm is one DNSSEC algorithm as a row of a table: how its key, its input and its signature look.
type algorithm struct {
	hash      crypto.Hash                                 // what the crypto.Signer is given: a digest, or with 0 the message itself
	public    func(wire []byte) (crypto.PublicKey, error) // the Public Key field of a DNSKEY (RFC 4034 2.1.4)
	private   func(keyFields) (crypto.Signer, error)      // the fields of a BIND .private file
	signature func(made []byte) ([]byte, error)           // from what a crypto.Signer returns to the Signature field
	verify    func(crypto.PublicKey, []byte, []byte) bool // input as the signer had it, Signature field
}

// algorithms are those that RFC 8624 3.1 wants signers to use, and RSA for zones that come with it.
var algorithms = map[uint8]*algorithm{
	dns.RSASHA256:       {crypto.SHA256, publicRSA, privateRSA, asIs, verifyRSA},
	dns.ECDSAP256SHA256: {crypto.SHA256, publicP256, privateP256, joinECDSA, verifyP256},
	dns.ED25519:         {0, publicEd25519, privateEd25519, asIs, verifyEd25519},
}

// supported is the table for people.
const supported = "ECDSAP256SHA256 (13), ED25519 (15) or RSASHA256 (8)"

// input returns what the crypto.Signer signs for a message. The digest is written to buf.
func (a *algorithm) input(message []byte, buf *[sha256.Size]byte) []byte {
	if a.hash == 0 {
		return message
	}
	*buf = sha256.Sum256(message)
	return buf[:]
}

func asIs(made []byte) ([]byte, error) { return made, nil }

// RSA/SHA-256 (RFC 5702). The public key is the exponent behind its length, then the modulus
// (RFC 3110 2).
func publicRSA(wire []byte) (crypto.PublicKey, error) {
	if len(wire) < 3 {
		return nil, errors.New("the public key is not an RSA key (RFC 3110 2)")
	}
	length, rest := int(wire[0]), wire[1:]
	if length == 0 {
		length, rest = int(binary.BigEndian.Uint16(wire[1:])), wire[3:]
	}
	if length == 0 || length > len(rest) {
		return nil, errors.New("the public key is not an RSA key (RFC 3110 2)")
	}
	exponent, modulus := new(big.Int).SetBytes(rest[:length]), new(big.Int).SetBytes(rest[length:])
	if exponent.BitLen() > 31 || exponent.Bit(0) == 0 || exponent.BitLen() < 2 {
		return nil, errors.New("the public exponent is not an odd number from 3 to 2^31-1: use 65537")
	}
	if bits := modulus.BitLen(); bits < minRSABits || bits > maxRSABits {
		return nil, fmt.Errorf("the modulus has %d bits, but %d to %d are supported: create a new key, preferably with ECDSAP256SHA256", bits, minRSABits, maxRSABits)
	}
	return &rsa.PublicKey{N: modulus, E: int(exponent.Int64())}, nil
}

func privateRSA(f keyFields) (crypto.Signer, error) {
	var key rsa.PrivateKey
	var n, e, d, p, q big.Int
	for name, number := range map[string]*big.Int{"Modulus": &n, "PublicExponent": &e, "PrivateExponent": &d, "Prime1": &p, "Prime2": &q} {
		octets, err := f.octets(name)
		if err != nil {
			return nil, err
		}
		number.SetBytes(octets)
	}
	if e.BitLen() > 31 || n.BitLen() > maxRSABits || max(d.BitLen(), p.BitLen(), q.BitLen()) > maxRSABits {
		return nil, errors.New("the RSA key is larger than supported")
	}
	key.N, key.E, key.D, key.Primes = &n, int(e.Int64()), &d, []*big.Int{&p, &q}
	if err := key.Validate(); err != nil {
		return nil, fmt.Errorf("the numbers do not make an RSA key: %w", err)
	}
	key.Precompute()
	return &key, nil
}

func verifyRSA(public crypto.PublicKey, input, signature []byte) bool {
	return rsa.VerifyPKCS1v15(public.(*rsa.PublicKey), crypto.SHA256, input, signature) == nil
}

// ECDSA P-256 (RFC 6605 4): x | y as the key, r | s as the signature, 32 octets each.
const p256Octets = 32

func publicP256(wire []byte) (crypto.PublicKey, error) {
	const uncompressed = 4
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append([]byte{uncompressed}, wire...))
	if err != nil {
		return nil, fmt.Errorf("the public key is not a point of P-256 (RFC 6605 4): %w", err)
	}
	return key, nil
}

func privateP256(f keyFields) (crypto.Signer, error) {
	scalar, err := f.octets("PrivateKey")
	if err != nil {
		return nil, err
	}
	if len(scalar) > p256Octets {
		return nil, errors.New("the PrivateKey is longer than 32 octets")
	}
	padded := make([]byte, p256Octets) // some writers leave out leading zeros
	copy(padded[p256Octets-len(scalar):], scalar)
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), padded)
	if err != nil {
		return nil, fmt.Errorf("the PrivateKey is not a P-256 key: %w", err)
	}
	return key, nil
}

// joinECDSA turns the ASN.1 signature that a crypto.Signer returns (RFC 3279 2.2.3) into r | s.
func joinECDSA(der []byte) ([]byte, error) {
	input, sequence := cryptobyte.String(der), cryptobyte.String(nil)
	var r, s []byte
	if !input.ReadASN1(&sequence, asn1.SEQUENCE) || !input.Empty() ||
		!sequence.ReadASN1Integer(&r) || !sequence.ReadASN1Integer(&s) || !sequence.Empty() ||
		len(r) > p256Octets || len(s) > p256Octets {
		return nil, errors.New("the signer did not return a P-256 ECDSA signature")
	}
	joined := make([]byte, 2*p256Octets)
	copy(joined[p256Octets-len(r):], r)
	copy(joined[2*p256Octets-len(s):], s)
	return joined, nil
}

func verifyP256(public crypto.PublicKey, input, signature []byte) bool {
	if len(signature) != 2*p256Octets {
		return false
	}
	r, s := new(big.Int).SetBytes(signature[:p256Octets]), new(big.Int).SetBytes(signature[p256Octets:])
	return ecdsa.Verify(public.(*ecdsa.PublicKey), input, r, s)
}

// Ed25519 (RFC 8080): it signs the message, not a digest.
func publicEd25519(wire []byte) (crypto.PublicKey, error) {
	if len(wire) != ed25519.PublicKeySize {
		return nil, errors.New("the public key is not an Ed25519 key, which has 32 octets (RFC 8080 3)")
	}
	return ed25519.PublicKey(wire), nil
}

func privateEd25519(f keyFields) (crypto.Signer, error) {
	seed, err := f.octets("PrivateKey")
	if err != nil {
		return nil, err
	}
	if len(seed) != ed25519.SeedSize {
		return nil, errors.New("the PrivateKey does not have the 32 octets of an Ed25519 key")
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

func verifyEd25519(public crypto.PublicKey, input, signature []byte) bool {
	return ed25519.Verify(public.(ed25519.PublicKey), input, signature)
}

// inProcess reports whether a signer is a key of Go's own library: it computes in this process, in
// bounded time, and cannot change its key.
func inProcess(signer crypto.Signer) bool {
	switch signer.(type) {
	case *ecdsa.PrivateKey, ed25519.PrivateKey, *rsa.PrivateKey:
		return true
	}
	return false
}
