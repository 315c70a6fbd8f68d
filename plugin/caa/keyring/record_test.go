package keyring

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
)

// A record speaks for one folder of keys. Blocks that serve a zone with keys of their own, such as views, share the
// folder `state`, and what one of them had is not missing from the other's.
func TestRecordIsOfAFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	folder := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	internal, external := folder("internal"), folder("external")
	write := func(name, keys, zone string, tag uint16) {
		r := openRecord(filepath.Join(dir, name+recordSuffix), keys)
		r.note(zone, keys, &keyroll.Zone{Keys: []keyroll.Key{{ID: keyroll.ID{Algorithm: 13, Tag: tag}, Role: keyroll.CSK, State: keyroll.Active}}})
		r.save()
	}
	write("a", internal, "example.org.", 1)
	write("b", external, "example.org.", 2)
	write("c", external, "example.net.", 3) // when the block had other zones
	for _, c := range []struct {
		record, folder, zone string
		want                 uint16 // 0: nothing is known
	}{
		{"a", internal, "example.org.", 1},
		{"b", external, "example.org.", 2},
		{"a", internal, "example.net.", 0},
		{"b", external, "example.net.", 3},
		{"new", folder("new"), "example.org.", 0},
	} {
		r := openRecord(filepath.Join(dir, c.record+recordSuffix), c.folder)
		var got uint16
		if z := r.of(c.zone); z != nil {
			got = z.Keys[0].ID.Tag
		}
		if got != c.want {
			t.Errorf("%s, %s: got %d, want %d", c.record, c.zone, got, c.want)
		}
		others := 0
		for _, that := range r.others["example.org."] {
			if others++; SameFolder(that.Folder, c.folder) || that.path == r.path {
				t.Errorf("%s: %+v is of another folder", c.record, that)
			}
		}
		if want := map[string]int{internal: 1, external: 1}[c.folder]; others != want && c.record != "new" || c.record == "new" && others != 2 {
			t.Errorf("%s: %d records of other folders: %v", c.record, others, r.others)
		}
	}
}

// A folder is no pattern, whatever its name is.
func TestRecordInAFolderWithBrackets(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a[b]")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"own", "other"} {
		r := openRecord(filepath.Join(dir, name+recordSuffix), name)
		r.note("example.org.", name, &keyroll.Zone{Keys: []keyroll.Key{{ID: keyroll.ID{Algorithm: 13, Tag: 1}, Role: keyroll.CSK, State: keyroll.Active}}})
		r.save()
	}
	r := openRecord(filepath.Join(dir, "own"+recordSuffix), "own")
	if r.of("example.org.") == nil || len(r.others["example.org."]) != 1 || r.broken != nil {
		t.Errorf("%+v", r)
	}
}

// What the record says is not known where its folder cannot be read.
func TestRecordThatCannotBeRead(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := openRecord(filepath.Join(file, "own"+recordSuffix), "keys"); r.broken == nil {
		t.Errorf("%+v", r)
	}
	if r := openRecord(filepath.Join(filepath.Dir(file), "none", "own"+recordSuffix), "keys"); r.broken != nil {
		t.Errorf("%+v", r)
	}
}
