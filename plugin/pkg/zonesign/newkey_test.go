package zonesign

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/miekg/dns"
)

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestWriteNewOverwritesNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "K.key")
	writeFile(t, path, "theirs", 0o644)
	if err := writeNew(path, "K", "ours", 0o644); !os.IsExist(err) {
		t.Errorf("error %v, want that the file exists", err)
	}
	if got := readFile(t, path); got != "theirs" {
		t.Errorf("the file holds %q", got)
	}
	if names := list(t, filepath.Dir(path)); len(names) != 1 {
		t.Errorf("left behind: %q", names)
	}
}

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
	base, err := NewKeyFiles(dir, zone, dns.ECDSAP256SHA256, true, func(uint16) bool { return false }, start)
	if err != nil {
		t.Fatal(err)
	}
	key, err := LoadKey(base)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestNewKeyFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key := madeKeyIn(t, dir, "Example.ORG")
	if key.DNSKEY.Algorithm != dns.ECDSAP256SHA256 || key.DNSKEY.Flags != 257 || len(key.Warnings) != 0 || key.DNSKEY.Hdr.Name != "example.org." {
		t.Errorf("made %v, %q", key.DNSKEY, key.Warnings)
	}
	base := filepath.Join(dir, "K"+key.String())
	for path, want := range map[string]struct {
		mode os.FileMode
		text string
	}{
		base + ".private": {0o600, "Created: 20261123120000\n"},
		base + ".key":     {0o644, "; Created: 20261123120000 (Mon Nov 23 12:00:00 2026)\n"},
	} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want.mode {
			t.Errorf("%s: %v, %v; want mode %04o", path, info, err, want.mode)
		}
		if got := readFile(t, path); !bytes.Contains([]byte(got), []byte(want.text)) {
			t.Errorf("%s holds\n%s\nwithout\n%s", path, got, want.text)
		}
	}
	all := func(uint16) bool { return true }
	if _, err := NewKeyFiles(dir, zone, dns.ECDSAP256SHA256, true, all, start); err == nil {
		t.Error("a key was made though every tag is taken")
	}
	_, err := NewKeyFiles(dir, zone, dns.RSAMD5, true, all, start)
	wantError(t, err, "not supported")
}
