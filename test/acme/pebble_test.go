package acme

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/go-acme/lego/v5/acme"
	"github.com/go-acme/lego/v5/certcrypto"
	"github.com/go-acme/lego/v5/certificate"
	"github.com/go-acme/lego/v5/lego"
	"github.com/go-acme/lego/v5/registration"
	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
)

// caIdentity is Pebble's Issuer Domain Name (RFC 8659 4.2).
const caIdentity = "pebble.letsencrypt.org"

// retryAfter is what Pebble tells clients to wait between looks, in seconds.
const retryAfter = 1

// newPebble starts Let's Encrypt's Pebble, put together as its own command does, with a resolver
// for its validations.
func newPebble(t *testing.T, resolver netip.AddrPort) *httptest.Server {
	t.Helper()
	logger := log.New(t.Output(), "pebble: ", 0)
	store := db.NewMemoryStore()
	authority := ca.New(logger, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {}})
	validation := va.New(logger, 0, 0, true, resolver.String(), store)
	frontEnd := wfe.New(logger, store, validation, authority, []string{caIdentity}, true, false, retryAfter, retryAfter)
	server := httptest.NewTLSServer(frontEnd.Handler())
	t.Cleanup(server.Close)
	return server
}

// subscriber is who has an account at the CA.
type subscriber struct {
	*lego.Client
	key     crypto.Signer
	account *acme.ExtendedAccount
}

func (s *subscriber) GetEmail() string                       { return "" }
func (s *subscriber) GetRegistration() *acme.ExtendedAccount { return s.account }
func (s *subscriber) GetPrivateKey() crypto.Signer           { return s.key }

// newSubscriber registers a new account.
func newSubscriber(t *testing.T, pebble *httptest.Server) *subscriber {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &subscriber{key: key}
	config := lego.NewConfig(s)
	config.CADirURL, config.HTTPClient = pebble.URL+wfe.DirectoryPath, pebble.Client()
	if s.Client, err = lego.NewClient(config); err != nil {
		t.Fatal(err)
	}
	if s.account, err = s.Registration.Register(t.Context(), registration.RegisterOptions{TermsOfServiceAgreed: true}); err != nil {
		t.Fatal(err)
	}
	return s
}

// obtain orders a certificate and returns the names in it.
func (s *subscriber) obtain(ctx context.Context, names ...string) ([]string, error) {
	resource, err := s.Certificate.Obtain(ctx, certificate.ObtainRequest{Domains: names, KeyType: certcrypto.EC256})
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(resource.Certificate)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	return cert.DNSNames, nil
}
