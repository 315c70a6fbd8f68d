package zonesign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"

	"github.com/miekg/dns"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// algorithm is how one DNSSEC algorithm signs, as a row of a table.
type algorithm struct {
	public func(*dns.DNSKEY) (crypto.PublicKey, error)
	sign   func(signer crypto.Signer, rand io.Reader, data []byte) ([]byte, error)
	verify func(public crypto.PublicKey, data, signature []byte) bool
}

// algorithms are those that RFC 8624 3.1 asks signers to use.
var algorithms = map[uint8]algorithm{
	dns.ECDSAP256SHA256: {publicP256, signP256, verifyP256},
	dns.ED25519:         {publicEd25519, signEd25519, verifyEd25519},
	dns.RSASHA256:       {publicRSA, signRSA, verifyRSA},
}

func decodeKey(k *dns.DNSKEY) ([]byte, error) {
	return base64.StdEncoding.DecodeString(k.PublicKey)
}

// ECDSA P-256 (RFC 6605): x||y as the key, r||s as the signature, 32 octets each.
func publicP256(k *dns.DNSKEY) (crypto.PublicKey, error) {
	raw, err := decodeKey(k)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append([]byte{4}, raw...))
	if err != nil {
		return nil, fmt.Errorf("not an ECDSA P-256 key: %w", err)
	}
	return key, nil
}

func signP256(signer crypto.Signer, rand io.Reader, data []byte) ([]byte, error) {
	digest := sha256.Sum256(data)
	der, err := signer.Sign(rand, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	r, s, err := parseECDSA(der)
	if err != nil {
		return nil, err
	}
	signature := make([]byte, 64)
	copy(signature[32-len(r):], r)
	copy(signature[64-len(s):], s)
	return signature, nil
}

// parseECDSA takes the two integers out of an ASN.1 signature (RFC 3279 2.2.3), without leading zeros.
func parseECDSA(der []byte) (r, s []byte, err error) {
	input, inner := cryptobyte.String(der), cryptobyte.String(nil)
	if !input.ReadASN1(&inner, asn1.SEQUENCE) || !inner.ReadASN1Integer(&r) || !inner.ReadASN1Integer(&s) || len(r) > 32 || len(s) > 32 {
		return nil, nil, errors.New("the signer returned no ECDSA P-256 signature")
	}
	return r, s, nil
}

func verifyP256(public crypto.PublicKey, data, signature []byte) bool {
	digest := sha256.Sum256(data)
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	return ecdsa.Verify(public.(*ecdsa.PublicKey), digest[:], r, s)
}

// Ed25519 (RFC 8080): it signs the data themselves.
func publicEd25519(k *dns.DNSKEY) (crypto.PublicKey, error) {
	raw, err := decodeKey(k)
	if err != nil {
		return nil, err
	}
	if len(raw) != ed25519.PublicKeySize {
		return nil, errors.New("not an Ed25519 key")
	}
	return ed25519.PublicKey(raw), nil
}

func signEd25519(signer crypto.Signer, rand io.Reader, data []byte) ([]byte, error) {
	return signer.Sign(rand, data, crypto.Hash(0))
}

func verifyEd25519(public crypto.PublicKey, data, signature []byte) bool {
	return ed25519.Verify(public.(ed25519.PublicKey), data, signature)
}

// RSA/SHA-256 (RFC 5702); the key as in RFC 3110 2.
func publicRSA(k *dns.DNSKEY) (crypto.PublicKey, error) {
	raw, err := decodeKey(k)
	if err != nil {
		return nil, err
	}
	if len(raw) < 3 {
		return nil, errors.New("not an RSA key")
	}
	length, rest := int(raw[0]), raw[1:]
	if length == 0 {
		length, rest = int(raw[1])<<8|int(raw[2]), raw[3:]
	}
	if length == 0 || length > 4 || len(rest) <= length {
		return nil, errors.New("not an RSA key with a common exponent")
	}
	key := &rsa.PublicKey{N: new(big.Int).SetBytes(rest[length:]), E: int(new(big.Int).SetBytes(rest[:length]).Int64())}
	if bits := key.N.BitLen(); bits < minRSABits {
		return nil, fmt.Errorf("an RSA key of %d bits is too short; make one of %d, or better one of ECDSAP256SHA256", bits, minRSABits)
	}
	return key, nil
}

func signRSA(signer crypto.Signer, rand io.Reader, data []byte) ([]byte, error) {
	digest := sha256.Sum256(data)
	return signer.Sign(rand, digest[:], crypto.SHA256)
}

func verifyRSA(public crypto.PublicKey, data, signature []byte) bool {
	digest := sha256.Sum256(data)
	return rsa.VerifyPKCS1v15(public.(*rsa.PublicKey), crypto.SHA256, digest[:], signature) == nil
}

// inMemory reports whether a signer is a key of this process, which cannot change.
func inMemory(signer crypto.Signer) bool {
	switch signer.(type) {
	case *ecdsa.PrivateKey, ed25519.PrivateKey, *rsa.PrivateKey:
		return true
	}
	return false
}
