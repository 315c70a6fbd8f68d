package keyfolder

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/regularfile"
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
	key, text, err := zonesign.LoadPair(base)
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
				return times, fmt.Errorf("cannot read the time %s: set it with dnssec-settime", name)
			}
		}
	}
	return times, nil
}

// half is one of the two files of a key.
type half struct {
	suffix, prefix string // the latter begins the lines with times
	mode           fs.FileMode
	line           func(name string, at time.Time) string
}

// halves are the private one and the public one.
var halves = [2]half{{".private", "", 0o600, privateLine}, {".key", "; ", 0o644, publicLine}}

// texts are what the halves of a key hold, with times.
func (k *keyFiles) texts(times keyroll.Times) (texts [2]string) {
	texts[0], texts[1] = k.key.Files()
	for i, half := range halves {
		texts[i] = half.withTimes(texts[i], times)
	}
	return texts
}

// hasTimes reports whether the files have the times, to the second.
func (k *keyFiles) hasTimes(times keyroll.Times) bool {
	for _, t := range timing {
		if t.of(&k.times).Unix() != t.of(&times).Unix() {
			return false
		}
	}
	return true
}

// putTimes has the times written into both files, and leaves everything else in them as it is.
func (k *keyFiles) putTimes(j *job, times keyroll.Times) error {
	var texts [len(halves)]string
	for i, half := range halves {
		path := k.base + half.suffix
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is a symbolic link, so its times are not updated", path)
		}
		text, _, err := regularfile.Read(path, zonesign.MaxKeyFile)
		if err != nil {
			return err
		}
		texts[i] = half.withTimes(string(text), times)
	}
	for i, half := range halves {
		j.put(newTimes, k.base+half.suffix, texts[i], half.mode)
	}
	return nil
}

func privateLine(name string, t time.Time) string {
	return fmt.Sprintf("%s: %s\n", name, t.UTC().Format(bindTime))
}

func publicLine(name string, t time.Time) string {
	return fmt.Sprintf("; %s: %s (%s)\n", name, t.UTC().Format(bindTime), t.UTC().Format(time.ANSIC))
}

// withTimes replaces the lines with times of a key file: those of a .private end it, those of a .key are in
// its comment, above the record.
func (h *half) withTimes(text string, times keyroll.Times) string {
	var comment, rest, lines strings.Builder
	for l := range strings.Lines(text) {
		switch {
		case isTime(l, h.prefix):
		case h.prefix != "" && strings.HasPrefix(l, ";"):
			comment.WriteString(l)
		default:
			rest.WriteString(l)
		}
	}
	for _, t := range timing {
		if at := *t.of(&times); !at.IsZero() {
			lines.WriteString(h.line(t.name, at))
		}
	}
	if h.prefix == "" {
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
