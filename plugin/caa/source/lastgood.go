package source

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

	"github.com/coredns-caa/caa/plugin/pkg/atomicfile"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/regularfile"
)

// LastGood keeps the text of the policy that was accepted last, so that a restart with a refused or
// unreadable file still serves. The zero value keeps nothing.
type LastGood struct {
	path   string // "" where nothing is kept
	policy string // the path of the policy file
}

const lastGoodSuffix = ".last-good.yaml"

// NewLastGood names the file after the policy file and the zones, for several blocks may share a
// folder.
func NewLastGood(dir, policyFile string, zones []string) (LastGood, error) {
	if dir == "" {
		return LastGood{}, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return LastGood{}, fmt.Errorf("state: %w", err)
	}
	absolute, err := filepath.Abs(policyFile)
	if err != nil {
		return LastGood{}, fmt.Errorf("state: %w", err)
	}
	digest := sha256.Sum256([]byte(absolute + "\n" + strings.Join(zones, "\n")))
	base := strings.TrimSuffix(filepath.Base(policyFile), filepath.Ext(policyFile))
	return LastGood{filepath.Join(dir, fmt.Sprintf("%s-%s%s", base, hex.EncodeToString(digest[:6]), lastGoodSuffix)), policyFile}, nil
}

// KeyRecord is the file beside it that says which zones had which keys in a folder; "" where nothing is kept. Blocks
// with one policy, such as views, have folders of their own, and so have records of their own.
func (l LastGood) KeyRecord(folder string) string {
	if l.path == "" || folder == "" {
		return ""
	}
	digest := sha256.Sum256([]byte(folder))
	return strings.TrimSuffix(l.path, lastGoodSuffix) + "-" + hex.EncodeToString(digest[:6]) + ".keys.json"
}

// newest returns the text that was accepted last, or nil. With a text, an error is why a later one may have been missed.
func (l LastGood) newest() ([]byte, error) {
	text, err := l.load()
	if err != nil || text == nil {
		return nil, err
	}
	newer, err := l.elsewhere(l.policy)
	if newer != nil {
		return newer, nil
	}
	return text, err
}

// load returns the text kept, or nil.
func (l LastGood) load() ([]byte, error) {
	if l.path == "" {
		return nil, nil
	}
	text, _, err := regularfile.Read(l.path, policy.MaxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// elsewhere is the policy file's text if it was accepted, later than the text kept, while the block had other zones: then
// the text kept is one of long ago, and not what the file replaces. nil where it was not.
func (l LastGood) elsewhere(policyFile string) ([]byte, error) {
	own, err := os.Stat(l.path)
	if err != nil {
		return nil, err
	}
	text, _, err := regularfile.Read(policyFile, policy.MaxSize)
	if err != nil {
		return nil, nil // it is reported as the policy
	}
	dir, name := filepath.Dir(l.path), filepath.Base(l.path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	beginning := name[:strings.LastIndexByte(strings.TrimSuffix(name, lastGoodSuffix), '-')+1]
	var unreadable []error
	for _, entry := range entries {
		if entry.Name() == name || !strings.HasPrefix(entry.Name(), beginning) || !strings.HasSuffix(entry.Name(), lastGoodSuffix) {
			continue
		}
		info, err := os.Stat(filepath.Join(dir, entry.Name()))
		if err != nil || !info.ModTime().After(own.ModTime()) || info.Size() != int64(len(text)) {
			continue
		}
		accepted, _, err := regularfile.Read(filepath.Join(dir, entry.Name()), policy.MaxSize)
		if err == nil && bytes.Equal(accepted, text) {
			return text, nil
		}
		unreadable = append(unreadable, err)
	}
	return nil, errors.Join(unreadable...)
}

// save replaces the text kept.
func (l LastGood) save(text []byte) error {
	if l.path == "" {
		return nil
	}
	return atomicfile.Replace(l.path, "last-good-", text, 0o600)
}
