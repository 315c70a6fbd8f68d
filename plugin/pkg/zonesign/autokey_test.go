package zonesign

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// autoKeyEnv makes this test binary a server that starts: it calls AutoKey on the folder named and
// prints the key's tag.
const autoKeyEnv = "ZONESIGN_TEST_AUTOKEY"

func TestMain(m *testing.M) {
	if dir := os.Getenv(autoKeyEnv); dir != "" {
		key, made, err := AutoKey(dir, zone)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(key.Tag(), made)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func mustAutoKey(t *testing.T, dir string) (*Key, bool) {
	t.Helper()
	key, made, err := AutoKey(dir, zone)
	if err != nil {
		t.Fatal(err)
	}
	return key, made
}

func TestAutoKeyMakesOneAndKeepsIt(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "var", "keys")
	first, made := mustAutoKey(t, dir)
	if !made || first.DNSKEY.Algorithm != dns.ECDSAP256SHA256 || first.DNSKEY.Flags != 257 || len(first.Warnings) != 0 {
		t.Errorf("made %v, %v, %q", made, first.DNSKEY, first.Warnings)
	}
	second, made := mustAutoKey(t, dir)
	if made || second.Tag() != first.Tag() {
		t.Errorf("the second start made %v, got %d instead of %d", made, second.Tag(), first.Tag())
	}
	base := filepath.Join(dir, "K"+first.String())
	for path, want := range map[string]os.FileMode{dir: 0o700, base + ".private": 0o600, base + ".key": 0o644} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want mode %04o", path, info, err, want)
		}
	}
	if other, made, err := AutoKey(dir, "Example.NET"); err != nil || !made || other.DNSKEY.Hdr.Name != "example.net." {
		t.Errorf("another zone in the same folder: %v, %v, %v", other, made, err)
	}
}

// Servers that start on one folder at once, as goroutines of one process and as processes.
func TestAutoKeyOnOneFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	var mu sync.Mutex
	got := map[string]int{}
	count := func(tag uint16, made bool) {
		mu.Lock()
		defer mu.Unlock()
		got[fmt.Sprint(tag)]++
		if made {
			got["made"]++
		}
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			key, made, err := AutoKey(dir, zone)
			if err != nil {
				t.Error(err)
				return
			}
			count(key.Tag(), made)
		})
	}
	for range 4 {
		wg.Go(func() {
			command := exec.Command(os.Args[0])
			command.Env = append(os.Environ(), autoKeyEnv+"="+dir)
			out, err := command.CombinedOutput()
			var tag uint16
			var made bool
			if _, scan := fmt.Sscan(string(out), &tag, &made); err != nil || scan != nil {
				t.Errorf("%v: %s", err, out)
				return
			}
			count(tag, made)
		})
	}
	wg.Wait()
	if len(got) != 2 || got["made"] != 1 {
		t.Errorf("12 servers got %v, want one key, made once", got)
	}
	if names := list(t, dir); len(names) != 3 { // the lock and the two halves
		t.Errorf("left in the folder: %q", names)
	}
}

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

// What a crash leaves at any moment of making a key is not used, and a whole key follows it.
func TestAutoKeyAfterACrash(t *testing.T) {
	t.Parallel()
	whole := t.TempDir()
	lost, _ := mustAutoKey(t, whole)
	base := "K" + lost.String()
	private, public := readFile(t, filepath.Join(whole, base+".private")), readFile(t, filepath.Join(whole, base+".key"))
	for _, c := range []struct {
		what    string
		files   map[string]string
		remains []string // beside the new key
		warns   int
	}{
		{"before anything", nil, nil, 0},
		{"with the lock taken", map[string]string{lockName: ""}, nil, 0},
		{"in the middle of the private half", map[string]string{tempPrefix + "Kexample.org.+1": private[:40]}, nil, 0},
		{"with the private half written", map[string]string{tempPrefix + "Kexample.org.+1": private, base + ".private": private}, []string{base + ".private"}, 1},
		{"in the middle of the public half", map[string]string{tempPrefix + "Kexample.org.+2": public[:40], base + ".private": private}, []string{base + ".private"}, 1},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for name, content := range c.files {
				writeFile(t, filepath.Join(dir, name), content, 0o600)
			}
			key, made := mustAutoKey(t, dir)
			if !made || key.Tag() == lost.Tag() || len(key.Warnings) != c.warns {
				t.Errorf("made %v, tag %d, warnings %q", made, key.Tag(), key.Warnings)
			}
			want := append([]string{lockName, "K" + key.String() + ".key", "K" + key.String() + ".private"}, c.remains...)
			slices.Sort(want)
			if got := list(t, dir); !slices.Equal(got, want) {
				t.Errorf("in the folder: %q, want %q", got, want)
			}
			if again, made := mustAutoKey(t, dir); made || again.Tag() != key.Tag() {
				t.Errorf("the next start has another key")
			}
		})
	}
}

// A key that is damaged is no reason for a new one: the parent's DS names the old one.
func TestAutoKeyRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what   string
		damage func(t *testing.T, dir, base string)
		says   []string
	}{
		{"the private half is lost", func(t *testing.T, _, base string) { remove(t, base+".private") }, []string{".private", "backup"}},
		{"the private half is damaged", func(t *testing.T, _, base string) { writeFile(t, base+".private", "Private-key-format: v1.3\n", 0o600) }, []string{".private", "backup"}},
		{"the public half is empty", func(t *testing.T, _, base string) { writeFile(t, base+".key", "", 0o644) }, []string{".key", "backup"}},
		{"two keys", func(t *testing.T, dir, base string) {
			writeFile(t, filepath.Join(dir, "Kexample.org.+013+00001.key"), readFile(t, base+".key"), 0o644)
		}, []string{"2 keys", "key file"}},
		{"a ZSK", func(t *testing.T, _, base string) {
			writeFile(t, base+".key", strings.Replace(readFile(t, base+".key"), "257 3", "256 3", 1), 0o644)
		}, []string{"ZSK", "key file"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			key, _ := mustAutoKey(t, dir)
			c.damage(t, dir, filepath.Join(dir, "K"+key.String()))
			before := list(t, dir)
			_, made, err := AutoKey(dir, zone)
			wantError(t, err, c.says...)
			if after := list(t, dir); made || !slices.Equal(before, after) {
				t.Errorf("made %v; the folder held %q, and now %q", made, before, after)
			}
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func TestAutoKeyInAnOpenFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	key, _ := mustAutoKey(t, dir)
	if len(key.Warnings) != 1 || !strings.Contains(key.Warnings[0], "chmod 0700") {
		t.Errorf("warnings %q", key.Warnings)
	}
}

// A mounted secret: the key is there, and nothing can be written beside it.
func TestAutoKeyNeedsNoLockForAKeyThatIsThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, _ := mustAutoKey(t, dir)
	remove(t, filepath.Join(dir, lockName))
	if err := os.Mkdir(filepath.Join(dir, lockName), 0o700); err != nil { // root may write everywhere: make the lock impossible
		t.Fatal(err)
	}
	if key, made := mustAutoKey(t, dir); made || key.Tag() != first.Tag() {
		t.Error("another key")
	}
	_, _, err := AutoKey(dir, "example.net.")
	wantError(t, err, lockName)
}

func TestAutoKeyFolderIsAFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	writeFile(t, path, "", 0o600)
	_, _, err := AutoKey(path, zone)
	wantError(t, err, path)
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

func TestAutoKeyTimes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keys, _, err := autoKeys(dir, []string{zone}, start)
	key := keys[zone]
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(dir, "K"+key.String())
	for path, want := range map[string]string{
		base + ".private": "Created: 20261123120000\nPublish: 20261123120000\nActivate: 20261123120000\n",
		base + ".key":     "; Activate: 20261123120000 (Mon Nov 23 12:00:00 2026)\n",
	} {
		if got := readFile(t, path); !bytes.Contains([]byte(got), []byte(want)) {
			t.Errorf("%s holds\n%s\nwithout\n%s", path, got, want)
		}
	}
}

// BenchmarkAutoKeys is the start of a server with 10,000 zones on a folder that holds their keys.
func BenchmarkAutoKeys(b *testing.B) {
	zones := make([]string, 10_000)
	for i := range zones {
		zones[i] = fmt.Sprintf("z%d.example.", i)
	}
	dir := b.TempDir()
	if _, made, err := AutoKeys(dir, zones...); err != nil || len(made) != len(zones) {
		b.Fatal(len(made), err)
	}
	for b.Loop() {
		if keys, made, err := AutoKeys(dir, zones...); err != nil || len(made) > 0 || len(keys) != len(zones) {
			b.Fatal(len(made), err)
		}
	}
}
