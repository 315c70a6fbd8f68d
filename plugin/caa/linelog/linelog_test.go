package linelog

import (
	"bytes"
	"errors"
	"fmt"
	golog "log"
	"os"
	"strings"
	"testing"

	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

const forged = "x\n[INFO] plugin/caa: Serving policy.yaml\x1b[2J\u202e\u009b\xff"

type stringer struct{}

func (stringer) String() string { return forged }

// Whatever an argument is, a line begins as one of ours and has no character that is obeyed.
func TestEachLineIsOurs(t *testing.T) {
	var out bytes.Buffer
	golog.SetOutput(&out)
	defer golog.SetOutput(os.Stderr)
	const clean = `x\n[INFO] plugin/caa: Serving policy.yaml\x1b[2J\u202e\u009b\xff`
	for _, c := range []struct {
		log  func(Logger)
		want []string
	}{
		{func(l Logger) { l.Infof("%s", forged) }, []string{"[INFO] plugin/caa: " + clean}},
		{func(l Logger) { l.Warningf("%v", stringer{}) }, []string{"[WARNING] plugin/caa: " + clean}},
		{func(l Logger) { l.Warningf("%s has mode %04o", "keys", os.FileMode(0o777)) }, []string{"[WARNING] plugin/caa: keys has mode 0777"}},
		{func(l Logger) { l.Infof("%5d|%-4v|%q|%x", 42, true, "a\nb", []byte{1}) }, []string{`[INFO] plugin/caa:    42|true|"a\nb"|01`}},
		{func(l Logger) { l.Error(forged) }, []string{"[ERROR] plugin/caa: " + clean}},
		{func(l Logger) { l.Errorf("first\n%v", &os.PathError{Op: "open", Path: forged, Err: os.ErrNotExist}) },
			[]string{"[ERROR] plugin/caa: first", "[ERROR] plugin/caa: open " + clean + ": file does not exist"}},
		{func(l Logger) {
			l.Errorf("%v", fmt.Errorf("two: %w", errors.Join(errors.New(forged), errors.New("second"))))
		}, []string{"[ERROR] plugin/caa: two: " + clean, "[ERROR] plugin/caa: second"}},
		{func(l Logger) { l.Warning(terminal.Lines("a\nb\x1b")) }, []string{"[WARNING] plugin/caa: a", `[WARNING] plugin/caa: b\x1b`}},
	} {
		out.Reset()
		c.log(New("caa"))
		var got []string
		for line := range strings.Lines(out.String()) {
			_, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "[")
			got = append(got, "["+text)
		}
		if strings.Join(got, "|") != strings.Join(c.want, "|") {
			t.Errorf("got\n%q\nwant\n%q", got, c.want)
		}
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	for n, want := range []string{"0 zones", "1 zone", "2 zones"} {
		if got := Count(n, "zone"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
