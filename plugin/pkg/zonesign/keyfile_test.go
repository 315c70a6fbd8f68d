package zonesign

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/regularfile/regularfiletest"
)

// Keys that dnssec-keygen of BIND 9.18 made.
const (
	bindCSK     = "Kbind.example.+013+05997"
	bindZSK     = "Kbind.example.+013+58348"
	bindEd25519 = "Kbind.example.+015+64260"
	bindRSA     = "Kbind.example.+008+37289"
	bindRSA1024 = "Kbind.example.+008+32771"
	bindP384    = "Kbind.example.+014+26403"
)

func TestLoadKeyOfBIND(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		base string
		alg  uint8
		tag  uint16
		sep  bool
	}{
		{bindCSK, dns.ECDSAP256SHA256, 5997, true},
		{bindZSK, dns.ECDSAP256SHA256, 58348, false},
		{bindEd25519, dns.ED25519, 64260, true},
		{bindRSA, dns.RSASHA256, 37289, true},
	} {
		base := copyKey(t, c.base)
		for _, suffix := range []string{"", ".key", ".private"} {
			key, err := LoadKey(base + suffix)
			if err != nil {
				t.Fatal(err)
			}
			if key.DNSKEY.Algorithm != c.alg || key.Tag() != c.tag || key.SEP() != c.sep || key.DNSKEY.Hdr.Name != "bind.example." {
				t.Errorf("%s%s: %v", c.base, suffix, key.DNSKEY)
			}
			if len(key.Warnings) != 0 {
				t.Errorf("%s%s: warnings %q", c.base, suffix, key.Warnings)
			}
		}
	}
}

func TestLoadKeyWarnsOfModes(t *testing.T) {
	t.Parallel()
	for mode, warns := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o640: true, 0o644: true, 0o602: true} {
		base := copyKey(t, bindCSK)
		if err := os.Chmod(base+".private", mode); err != nil {
			t.Fatal(err)
		}
		key, err := LoadKey(base)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(key.Warnings) == 1 && strings.Contains(key.Warnings[0], "chmod 0600"); got != warns {
			t.Errorf("mode %04o: warnings %q, want one: %v", mode, key.Warnings, warns)
		}
	}
}

func TestLoadKeyFollowsSymlinks(t *testing.T) {
	t.Parallel()
	base, dir := copyKey(t, bindCSK), t.TempDir() // as Kubernetes mounts a Secret
	for _, suffix := range []string{".key", ".private"} {
		if err := os.Symlink(base+suffix, filepath.Join(dir, "zone"+suffix)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := LoadKey(filepath.Join(dir, "zone")); err != nil {
		t.Error(err)
	}
}

func TestLoadKeyRefuses(t *testing.T) {
	t.Parallel()
	csk := copyKey(t, bindCSK)
	public, private := readFile(t, csk+".key"), readFile(t, csk+".private")
	another := readFile(t, copyKey(t, bindZSK)+".private")
	rsa := copyKey(t, bindRSA)
	rsaPublic, rsaPrivate := readFile(t, rsa+".key"), readFile(t, rsa+".private")
	ed := copyKey(t, bindEd25519)
	without := func(text, field string) string {
		var kept []string
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, field+":") {
				kept = append(kept, line)
			}
		}
		return strings.Join(kept, "")
	}
	for _, c := range []struct {
		what, public, private string
		says                  []string
	}{
		{"halves of two keys", public, another, []string{"does not match the public key"}},
		{"halves of two algorithms", public, rsaPrivate, []string{".private", `"8 (RSASHA256)"`, "ECDSAP256SHA256 (13)"}},
		{"an algorithm that is not supported", readFile(t, copyKey(t, bindP384)+".key"), private, []string{"ECDSAP384SHA384 (14) is not supported", "create a key"}},
		{"RSA of 1024 bits", readFile(t, copyKey(t, bindRSA1024)+".key"), rsaPrivate, []string{"1024 bits"}},
		{"not a zone key", strings.Replace(public, "257 3 13", "1 3 13", 1), private, []string{"flag 256"}},
		{"protocol", strings.Replace(public, "257 3 13", "257 2 13", 1), private, []string{"protocol is 2"}},
		{"an empty public file", "", private, []string{".key has no record"}},
		{"another record", "bind.example. IN A 192.0.2.1\n", private, []string{".key has a A record"}},
		{"two records", public + public, private, []string{"more than one record"}},
		{"a broken record, with its line", "; comment\nbind.example. IN DNSKEY 257 3\n", private, []string{".key", "line: 2"}},
		{"an include", "$INCLUDE /etc/passwd\n", private, []string{".key"}},
		{"an empty private file", public, "", []string{".private", "Private-key-format"}},
		{"a foreign format", public, strings.Replace(private, "v1.3", "v2.0", 1), []string{"Private-key-format"}},
		{"PEM", public, "-----BEGIN PRIVATE KEY-----\n", []string{".private:1:", "NAME: VALUE"}},
		{"a field twice", public, private + "Created: 1\n", []string{".private:7:", `"Created"`, "twice"}},
		{"a key in an HSM", public, private + "Label: pkcs11:object=x\n", []string{"HSM"}},
		{"no PrivateKey", public, without(private, "PrivateKey"), []string{"PrivateKey is missing"}},
		{"PrivateKey not in base64", public, without(private, "PrivateKey") + "PrivateKey: ?\n", []string{"PrivateKey is not in base64"}},
		{"PrivateKey zero", public, without(private, "PrivateKey") + "PrivateKey: AA==\n", []string{"not a P-256 key"}},
		{"PrivateKey too long", public, without(private, "PrivateKey") + "PrivateKey: " + strings.Repeat("AAAA", 20) + "\n", []string{"longer than 32"}},
		{"Ed25519 too short", readFile(t, ed+".key"), without(readFile(t, ed+".private"), "PrivateKey") + "PrivateKey: AAAA\n", []string{"32 octets"}},
		{"an RSA number missing", rsaPublic, without(rsaPrivate, "Prime1"), []string{"Prime1 is missing"}},
		{"an RSA number wrong", rsaPublic, without(rsaPrivate, "Prime1") + "Prime1: AAAA\n", []string{"do not make an RSA key"}},
		{"a megabyte", public, private + strings.Repeat(";\n", 1<<19), []string{"longer than 65536"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			base := filepath.Join(t.TempDir(), "K")
			writeFile(t, base+".key", c.public, 0o644)
			writeFile(t, base+".private", c.private, 0o600)
			key, err := LoadKey(base)
			wantError(t, err, c.says...)
			if key != nil {
				t.Error("a key beside the error")
			}
		})
	}
}

// No error may show what is in a private file.
func TestErrorsKeepTheSecret(t *testing.T) {
	t.Parallel()
	base := copyKey(t, bindCSK)
	private := readFile(t, base+".private")
	_, secret, _ := strings.Cut(private, "PrivateKey: ")
	secret, _, _ = strings.Cut(secret, "\n")
	for _, broken := range []string{
		strings.Replace(private, "PrivateKey: ", "PrivateKey ", 1),
		strings.Replace(private, secret, "?"+secret, 1),
		private + "PrivateKey: " + secret + "\n",
		strings.Replace(private, secret, secret[:8]+secret, 1),
	} {
		writeFile(t, base+".private", broken, 0o600)
		_, err := LoadKey(base)
		if err == nil || strings.Contains(err.Error(), secret[:8]) {
			t.Errorf("the error is %v", err)
		}
	}
}

func TestLoadKeyWithoutFiles(t *testing.T) {
	t.Parallel()
	base := copyKey(t, bindCSK)
	if err := os.Remove(base + ".private"); err != nil {
		t.Fatal(err)
	}
	_, err := LoadKey(base)
	wantError(t, err, base+".private")
	_, err = LoadKey(t.TempDir() + "/none")
	wantError(t, err, "none.key")
	if err := os.Mkdir(base+".private", 0o700); err != nil {
		t.Fatal(err)
	}
	_, err = LoadKey(base)
	wantError(t, err, "not a regular file")
}

// FuzzParseKey: whatever the files hold, there is a key that signs or an error.
func FuzzParseKey(f *testing.F) {
	for _, base := range []string{bindCSK, bindZSK, bindEd25519, bindRSA, bindP384} {
		f.Add([]byte(readFile(f, "testdata/"+base+".key")), []byte(readFile(f, "testdata/"+base+".private")))
	}
	f.Fuzz(func(t *testing.T, public, private []byte) {
		key, err := parseKey("K", public, private)
		if (key == nil) == (err == nil) {
			t.Fatalf("key %v, error %v", key, err)
		}
		if err != nil {
			return
		}
		if _, err := NewKeySet(key.DNSKEY.Hdr.Name, 3600, key); err != nil && key.SEP() {
			t.Fatal(err)
		}
		if !key.SEP() {
			return
		}
		ks, _ := NewKeySet(key.DNSKEY.Hdr.Name, 3600, key)
		if _, err := NewSigner(Config{}).Sign(t.Context(), ks, ks.DNSKEYs(), Kept); err != nil {
			t.Fatal(err)
		}
	})
}

func TestKeyFilesAreRegular(t *testing.T) {
	t.Parallel()
	regularfiletest.Refuses(t, "K.key", MaxKeyFile, func(_, path string) error {
		_, _, err := LoadPublic(path)
		return err
	})
	regularfiletest.Refuses(t, bindCSK+".key", MaxKeyFile, func(_, path string) error {
		_, err := LoadKey(path)
		return err
	})
	public := readFile(t, copyKey(t, bindCSK)+".key")
	regularfiletest.Refuses(t, bindCSK+".private", MaxKeyFile, func(dir, path string) error {
		writeFile(t, filepath.Join(dir, bindCSK+".key"), public, 0o644)
		_, err := LoadKey(path)
		return err
	})
}
