package keyring

import (
	"encoding/base64"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/regularfile/regularfiletest"
)

// Whatever is in a file of other signers, what is read of it are DNSKEYs of zones that are served, each once.
func FuzzCosigners(f *testing.F) {
	f.Add("example.org. 3600 IN DNSKEY 257 3 13 MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMA==\n")
	f.Add("$TTL 60\n$ORIGIN org.\nexample DNSKEY 256 3 15 (\n l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4= )\n")
	f.Add("$GENERATE 1-3 $ A 192.0.2.$\n")
	f.Add("$INCLUDE /etc/passwd\n")
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		covers := func(zone string) bool { return dns.IsSubDomain("org.", zone) }
		c := newCosigners([]string{file}, covers)
		if err := c.open(); (err == nil) != (len(c.keys) > 0) {
			t.Fatalf("%d zones have keys, error %v", len(c.keys), err)
		}
		for zone, keys := range c.keys {
			seen := map[string]bool{}
			for _, key := range keys {
				if !covers(zone) || key.DNSKEY.Hdr.Name != zone || key.Signer != nil || seen[key.DNSKEY.PublicKey] {
					t.Errorf("%s: %v", zone, key.DNSKEY)
				}
				seen[key.DNSKEY.PublicKey] = true
			}
		}
	})
}

// RFC 8901 2.1.2: what a file of another signer had stays published until the file, whole and at rest, has another key
// in its place. It is looked at every two seconds.
func TestCosignerFiles(t *testing.T) {
	t.Parallel()
	key := func(zone string, n byte) string {
		public := make([]byte, 32)
		public[31] = n
		return (&dns.DNSKEY{Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 3600},
			Flags: 257, Protocol: 3, Algorithm: dns.ED25519, PublicKey: base64.StdEncoding.EncodeToString(public)}).String() + "\n"
	}
	const a, b = "a.example.", "b.example."
	before := key(a, 1) + key(a, 2) + key(b, 3)
	held := map[string]int{a: 2, b: 1}
	for name, c := range map[string]struct {
		text  string        // "-": the file is removed; "...": it changes at every look
		after time.Duration // since it was written
		keys  map[string]int
		wrong string // what is logged by then, "" for nothing
	}{
		"a key comes":                  {before + key(b, 4), 4 * time.Second, map[string]int{a: 2, b: 2}, ""},
		"a key comes, not at rest yet": {before + key(b, 4), 0, held, ""},
		"a key is succeeded":           {key(a, 1) + key(a, 4) + key(b, 3), 2 * time.Minute, held, ""},
		"a key goes, half a minute":    {key(a, 1) + key(b, 3), 30 * time.Second, held, ""},
		"a key goes":                   {key(a, 1) + key(b, 3), 2 * time.Minute, map[string]int{a: 1, b: 1}, ""},
		"no end, half a minute":        {strings.TrimSuffix(before+key(b, 4), "\n"), 30 * time.Second, held, ""},
		"no end":                       {strings.TrimSuffix(before+key(b, 4), "\n"), 2 * time.Minute, map[string]int{a: 2, b: 2}, ""},
		"empty":                        {"", time.Hour, held, "the file no longer has a key for a.example., b.example."},
		"comments alone":               {";; communications error: timed out\n;; no servers could be reached\n", time.Hour, held, "the file no longer has a key for a.example., b.example."},
		"those of one zone alone":      {key(a, 1) + key(a, 2), time.Hour, held, "the file no longer has a key for b.example."},
		"half a record":                {before[:len(before)-20] + "\n", time.Hour, held, "FILE: key b.example.+015+"},
		"half of base64's four":        {before[:len(before)-10], time.Hour, held, "FILE: key b.example.+015+"},
		"half of a line":               {before[:len(before)-60], time.Hour, held, "FILE: "},
		"another type":                 {before + "a.example. 60 IN A 192.0.2.1\n", time.Hour, held, "FILE: the file has the record a.example. A"},
		"another's zone":               {before + key("example.net.", 1), time.Hour, held, "FILE: the file has a key of example.net."},
		"gone":                         {"-", time.Hour, held, "FILE: no such file"},
		"changes, half a minute":       {"...", 30 * time.Second, held, ""},
		"changes at every look":        {"...", 2 * time.Minute, held, "FILE: the file keeps changing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file, now := filepath.Join(t.TempDir(), "keys"), time.Unix(1e9, 0)
			put := func(text string) {
				t.Helper()
				if text == "-" {
					if err := os.Remove(file); err != nil {
						t.Fatal(err)
					}
					return
				}
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Chtimes(file, now, now); err != nil {
					t.Fatal(err)
				}
			}
			put(before)
			cs := newCosigners([]string{file}, func(zone string) bool { return dns.IsSubDomain("example.", zone) })
			if err := cs.open(); err != nil {
				t.Fatal(err)
			}
			want := func(keys map[string]int, wrong string) {
				t.Helper()
				got := map[string]int{}
				for zone, all := range cs.keys {
					got[zone] = len(all)
				}
				observed := strings.Join(cs.troubles(a), "")
				if !maps.Equal(got, keys) || !strings.Contains(observed, strings.ReplaceAll(wrong, "FILE", file)) || (wrong == "") != (observed == "") {
					t.Errorf("keys %v and %q, want %v and %q", got, observed, keys, wrong)
				}
			}
			now = now.Add(time.Hour)
			if c.text != "..." {
				put(c.text)
			}
			for end, n := now.Add(c.after), 0; !now.After(end); now, n = now.Add(lookAtFiles), n+1 {
				if c.text == "..." {
					put(before + strings.Repeat(";\n", n%7))
				}
				cs.look(now)
			}
			want(c.keys, c.wrong)
			now = now.Add(time.Hour)
			put(before)
			for range 3 {
				now = now.Add(lookAtFiles)
				cs.look(now)
			}
			for range 40 { // where it has a key less than before
				now = now.Add(lookAtFiles)
				cs.look(now)
			}
			want(held, "")
		})
	}
}

// What is wrong is logged now and then while it lasts, and once when it has ended.
func TestLasting(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	var l lasting
	for i, c := range []struct {
		later  time.Duration
		text   string
		logged bool
	}{
		{0, "", false}, {0, "a", true}, {0, "a", false}, {reminder - 1, "a", false}, {1, "a", true}, {reminder / 2, "a", false},
		{0, "b", true}, {reminder / 2, "b", false}, {reminder / 2, "b", true}, {0, "", false}, {0, "b", true},
	} {
		now = now.Add(c.later)
		logged := false
		if l.log(now, c.text, func(any) { logged = true }, "over"); logged != c.logged {
			t.Errorf("%d, %q: logged %v", i, c.text, logged)
		}
	}
}

func TestFilesAreRegular(t *testing.T) {
	t.Parallel()
	regularfiletest.Refuses(t, "other.key", maxCosigner, func(_, path string) error {
		return newCosigners([]string{path}, func(string) bool { return true }).open()
	})
	regularfiletest.Refuses(t, "x"+recordSuffix, maxRecord, func(_, path string) error {
		return openRecord(path, "").broken
	})
}
