package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// holds checks that a folder has one file, with a text and a mode.
func holds(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != text {
		t.Errorf("%s holds %q, %v; want %q", path, got, err, text)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != mode {
		t.Errorf("%v, %v; want mode %v", info, err, mode)
	}
	names(t, filepath.Dir(path), filepath.Base(path))
}

// names checks what is in a folder: nothing is left behind.
func names(t *testing.T, dir string, want ...string) {
	t.Helper()
	var got []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("the folder has %q, want %q", got, want)
	}
}

func TestReplace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	for _, c := range []struct {
		text string
		mode fs.FileMode
	}{{"one", 0o600}, {"two", 0o666}, {"", 0o400}, {"read-only before", 0o644}} {
		if err := Replace(path, "stem", []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
		holds(t, path, c.text, c.mode)
	}
}

// The old file stays as it was for whoever has it open or has linked to it.
func TestReplaceWritesAnotherFile(t *testing.T) {
	t.Parallel()
	path, other := filepath.Join(t.TempDir(), "f"), filepath.Join(t.TempDir(), "other")
	if err := errors.Join(os.WriteFile(path, []byte("old"), 0o600), os.Link(path, other)); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, "stem", []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	holds(t, path, "new", 0o600)
	holds(t, other, "old", 0o600)
}

func TestFailuresLeaveNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	taken := filepath.Join(dir, "folder")
	if err := errors.Join(os.Mkdir(taken, 0o700), os.WriteFile(filepath.Join(taken, "f"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := Replace(taken, "stem", []byte("text"), 0o600); err == nil {
		t.Error("a folder with a file in it was replaced")
	}
	if err := Replace(filepath.Join(dir, "gone", "f"), "stem", nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want that the folder does not exist", err)
	}
	names(t, dir, "folder")
}

// A file that takes long has its temporary name meanwhile, by which its folder's keeper knows whose it is.
func TestCreate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, replace := range []bool{false, true} {
		f, err := Create(path, "stem", 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte("new")); err != nil {
			t.Fatal(err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, Temporary+"stem*")); len(left) != 1 {
			t.Errorf("being written: %q", left)
		}
		want := "old"
		if replace {
			want = "new"
			if err := f.Replace(); err != nil {
				t.Fatal(err)
			}
		}
		f.Discard()
		holds(t, path, want, 0o600)
	}
}
