package keyfolder

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// keyFiles are the two files of a key.
type keyFiles struct {
	base  string
	key   *zonesign.Key
	times keyroll.Times
}

func (k *keyFiles) id() keyroll.ID {
	return keyroll.ID{Algorithm: k.key.DNSKEY.Algorithm, Tag: k.key.Tag()}
}

// timing is the timing metadata of BIND's files, in the order in which BIND writes them.
var timing = []struct {
	name string
	of   func(*keyroll.Times) *time.Time
}{
	{"Created", func(t *keyroll.Times) *time.Time { return &t.Created }},
	{"Publish", func(t *keyroll.Times) *time.Time { return &t.Publish }},
	{"Activate", func(t *keyroll.Times) *time.Time { return &t.Activate }},
	{"Inactive", func(t *keyroll.Times) *time.Time { return &t.Inactive }},
	{"Delete", func(t *keyroll.Times) *time.Time { return &t.Delete }},
	{"SyncPublish", func(t *keyroll.Times) *time.Time { return &t.SyncPublish }},
	{"SyncDelete", func(t *keyroll.Times) *time.Time { return &t.SyncDelete }},
}

// bindTime is how BIND writes times, in UTC.
const bindTime = "20060102150405"

// readKeyFiles reads a key with its times.
func readKeyFiles(base string) (*keyFiles, error) {
	key, err := zonesign.LoadKey(base)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(base + ".private")
	if err != nil {
		return nil, err
	}
	times, err := timesIn(string(text), "")
	if err != nil {
		return nil, fmt.Errorf("%s.private: %w", base, err)
	}
	return &keyFiles{base: base, key: key, times: times}, nil
}

// timesIn reads the times of a key file, whose lines begin with prefix.
func timesIn(text, prefix string) (times keyroll.Times, err error) {
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimPrefix(line, prefix), ":")
		value, _, _ = strings.Cut(strings.TrimSpace(value), " ") // in a comment the date for people follows
		for _, t := range timing {
			if !strings.HasPrefix(line, prefix) || name != t.name {
				continue
			}
			if *t.of(&times), err = time.Parse(bindTime, value); err != nil {
				return times, fmt.Errorf("the time %s cannot be read: set it with dnssec-settime", name)
			}
		}
	}
	return times, nil
}

// setTimes writes the times into both files, where they differ by a second or more, and leaves everything else
// in them as it is.
func (k *keyFiles) setTimes(disk disk, stem string, times keyroll.Times) error {
	same := true
	for _, t := range timing {
		same = same && t.of(&k.times).Unix() == t.of(&times).Unix()
	}
	if same {
		return nil
	}
	for _, half := range []struct {
		suffix, prefix string
		mode           fs.FileMode
		line           func(string, time.Time) string
	}{
		{".private", "", 0o600, privateLine},
		{".key", "; ", 0o644, publicLine},
	} {
		path := k.base + half.suffix
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is a link, and its times stay as they are", path)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := disk.replace(path, stem, withTimes(string(text), half.prefix, half.line, times), half.mode); err != nil {
			return err
		}
	}
	k.times = times
	return nil
}

func privateLine(name string, t time.Time) string {
	return fmt.Sprintf("%s: %s\n", name, t.UTC().Format(bindTime))
}

func publicLine(name string, t time.Time) string {
	return fmt.Sprintf("; %s: %s (%s)\n", name, t.UTC().Format(bindTime), t.UTC().Format(time.ANSIC))
}

// withTimes replaces the lines with times of a key file: those of a .private end it, those of a .key stand in
// its comment, above the record.
func withTimes(text, prefix string, line func(string, time.Time) string, times keyroll.Times) string {
	var comment, rest, lines strings.Builder
	for l := range strings.Lines(text) {
		switch {
		case isTime(l, prefix):
		case prefix != "" && strings.HasPrefix(l, ";"):
			comment.WriteString(l)
		default:
			rest.WriteString(l)
		}
	}
	for _, t := range timing {
		if at := *t.of(&times); !at.IsZero() {
			lines.WriteString(line(t.name, at))
		}
	}
	if prefix == "" {
		return rest.String() + lines.String()
	}
	return comment.String() + lines.String() + rest.String()
}

func isTime(line, prefix string) bool {
	for _, t := range timing {
		if strings.HasPrefix(line, prefix+t.name+":") {
			return true
		}
	}
	return false
}
