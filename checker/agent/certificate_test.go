package agent_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/coredns-caa/caa/checker/agent"
	"github.com/coredns-caa/caa/plugin/pkg/regularfile/regularfiletest"
	"github.com/coredns-caa/caa/test/world"
)

// A renewed certificate is shown without a restart; while only one of its files is there, the old one.
func TestCertificateIsReadAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	minutes := 0
	write := func(path, text string) {
		t.Helper()
		world.WriteFile(t, path, text)
		minutes++
		at := time.Now().Add(time.Duration(minutes) * time.Minute) // two writes are two times
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := agent.LoadCertificate(cert, key); err == nil {
		t.Error("files that are not there were loaded")
	}
	first, second := world.NewCertificate(t), world.NewCertificate(t)
	write(cert, first.Cert)
	write(key, first.Key)
	c, err := agent.LoadCertificate(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	shown := func() string {
		t.Helper()
		got, err := c.Get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return string(got.Certificate[0])
	}
	old := shown()
	write(cert, second.Cert)
	if shown() != old {
		t.Error("half of a certificate was taken")
	}
	write(key, second.Key)
	if shown() == old {
		t.Error("the renewed certificate is not shown")
	}
}

func TestCertificateIsARegularFile(t *testing.T) {
	t.Parallel()
	for i := range 2 {
		regularfiletest.Refuses(t, "file.pem", 1<<20, func(dir, path string) error {
			files := []string{filepath.Join(dir, "other.pem"), filepath.Join(dir, "other.pem")}
			if err := os.WriteFile(files[0], nil, 0o600); err != nil {
				return err
			}
			files[i] = path
			_, err := agent.LoadCertificate(files[0], files[1])
			return err
		})
	}
}
