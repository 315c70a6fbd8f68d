package caa

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// lastGood keeps the text of the policy that was accepted last, so that a restart with a refused or
// unreadable file still serves. The zero value keeps nothing.
type lastGood struct{ path string }

const lastGoodSuffix = ".last-good.yaml"

// newLastGood names the file after the policy file and the zones, for several blocks may share a
// folder.
func newLastGood(dir, policyFile string, zones []string) (lastGood, error) {
	if dir == "" {
		return lastGood{}, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return lastGood{}, fmt.Errorf("state: %w", err)
	}
	absolute, err := filepath.Abs(policyFile)
	if err != nil {
		return lastGood{}, fmt.Errorf("state: %w", err)
	}
	digest := sha256.Sum256([]byte(absolute + "\n" + strings.Join(zones, "\n")))
	base := strings.TrimSuffix(filepath.Base(policyFile), filepath.Ext(policyFile))
	return lastGood{filepath.Join(dir, fmt.Sprintf("%s-%s%s", base, hex.EncodeToString(digest[:6]), lastGoodSuffix))}, nil
}

// keyRecord is the file beside it that says which zones had which keys in a folder; "" where nothing is kept. Blocks
// with one policy, such as views, have folders of their own, and so have records of their own.
func (l lastGood) keyRecord(folder string) string {
	if l.path == "" || folder == "" {
		return ""
	}
	digest := sha256.Sum256([]byte(folder))
	return strings.TrimSuffix(l.path, lastGoodSuffix) + "-" + hex.EncodeToString(digest[:6]) + ".keys.json"
}

// load returns the text kept, nil when there is none.
func (l lastGood) load() ([]byte, error) {
	if l.path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// elsewhere is the policy file's text if it was accepted, later than the text kept, while the block had other zones: then
// the text kept is one of long ago, and not what the file replaces. nil where it was not.
func (l lastGood) elsewhere(policyFile string) []byte {
	own, err := os.Stat(l.path)
	if err != nil {
		return nil
	}
	text, err := os.ReadFile(policyFile)
	if err != nil || len(text) > policy.MaxSize {
		return nil
	}
	name := filepath.Base(l.path)
	others, _ := filepath.Glob(filepath.Join(filepath.Dir(l.path), name[:strings.LastIndexByte(strings.TrimSuffix(name, lastGoodSuffix), '-')]+"-*"+lastGoodSuffix))
	for _, other := range others {
		info, err := os.Stat(other)
		if err != nil || other == l.path || !info.ModTime().After(own.ModTime()) || info.Size() != int64(len(text)) {
			continue
		}
		if accepted, err := os.ReadFile(other); err == nil && bytes.Equal(accepted, text) {
			return text
		}
	}
	return nil
}

// save replaces the text kept: written beside, synced, renamed over, the folder synced, so that a
// crash leaves the old one or the new one.
func (l lastGood) save(text []byte) error {
	if l.path == "" {
		return nil
	}
	dir := filepath.Dir(l.path)
	temp, err := os.CreateTemp(dir, ".last-good-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	if err := writeSync(temp, text); err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), l.path); err != nil {
		return err
	}
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}

func writeSync(file *os.File, text []byte) error {
	_, err := file.Write(text)
	return errors.Join(err, file.Sync(), file.Close())
}
