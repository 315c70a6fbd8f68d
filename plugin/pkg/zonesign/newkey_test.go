package zonesign

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/miekg/dns"
)

func TestKeyFileStem(t *testing.T) {
	t.Parallel()
	for zone, want := range map[string]string{
		"example.org.":               "Kexample.org.+",
		"Example.ORG.":               "Kexample.org.+",
		".":                          "K.+",
		"0/25.2.0.192.in-addr.arpa.": "K0%2F25.2.0.192.in-addr.arpa.+",
		`a\.b.example.`:              "Ka%2Eb.example.+",
		`..\/.\/etc.`:                "",
		`\.\./\.\./x.`:               "K%2E%2E%2F%2E%2E%2Fx.+",
	} {
		got, err := KeyFileStem(zone)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v; want %q", zone, got, err, want)
		}
	}
}

// madeKeyIn makes a CSK's files and reads them.
func madeKeyIn(t testing.TB, dir, zone string) *Key {
	t.Helper()
	made, err := NewKey(zone, dns.ECDSAP256SHA256, true, func(uint16) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	stem, err := KeyFileStem(zone)
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(dir, fmt.Sprintf("%s%03d+%05d", stem, made.DNSKEY.Algorithm, made.Tag()))
	private, public := made.Files()
	writeFile(t, base+".private", private, 0o600)
	writeFile(t, base+".key", public, 0o644)
	key, err := LoadKey(base)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// What is made is what is read of its files, by every algorithm and in both roles.
func TestNewKey(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []uint8{dns.RSASHA256, dns.ECDSAP256SHA256, dns.ED25519} {
		for _, sep := range []bool{true, false} {
			made, err := NewKey("Example.ORG", algorithm, sep, func(uint16) bool { return false })
			if err != nil {
				t.Fatal(err)
			}
			private, public := made.Files()
			read, err := parseKey("K", []byte(public), []byte(private))
			if err != nil {
				t.Fatal(err)
			}
			if read.DNSKEY.String() != made.DNSKEY.String() || !samePublic(read.Signer.Public(), made.Signer.Public()) || read.SEP() != sep || read.DNSKEY.Hdr.Name != "example.org." || read.Check() != nil {
				t.Errorf("made %v, read %v", made.DNSKEY, read.DNSKEY)
			}
		}
	}
	_, err := NewKey(zone, dns.ECDSAP256SHA256, true, func(uint16) bool { return true })
	wantError(t, err, "in use")
	_, err = NewKey(zone, dns.RSAMD5, true, func(uint16) bool { return false })
	wantError(t, err, "not supported")
}

// A tag that is taken is not made again.
func TestNewKeyIsNotTaken(t *testing.T) {
	t.Parallel()
	odd := func(tag uint16) bool { return tag%2 == 1 }
	for range 20 {
		if key, err := NewKey(zone, dns.ED25519, true, odd); err != nil || odd(key.Tag()) {
			t.Errorf("%v, %v", key, err)
		}
	}
}
