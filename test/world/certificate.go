package world

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"
)

// Certificate is a server's certificate for an address, by itself alone.
type Certificate struct {
	Cert, Key string // PEM, as the plugin tls reads them from files
	Pool      *x509.CertPool
}

// NewCertificate makes one for 127.0.0.1 that is valid today.
func NewCertificate(t testing.TB) Certificate {
	t.Helper()
	return NewCertificateFor(t, "127.0.0.1")
}

// NewCertificateFor makes one for an IP address that is valid today.
func NewCertificateFor(t testing.TB, addr string) Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.ParseIP(addr)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c := Certificate{Cert: pemText("CERTIFICATE", cert), Key: pemText("PRIVATE KEY", private), Pool: x509.NewCertPool()}
	c.Pool.AppendCertsFromPEM([]byte(c.Cert))
	return c
}

func pemText(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
