package source

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// state is what is served, and what is known of the text of the source where that is another one. Immutable: a
// transition (step.go) makes the next one.
type state struct {
	good   *Good     // nil before the start
	loaded time.Time // when that was accepted

	late     bool      // at the start, the text takes so long to be judged that the last good one is served
	held     *held     // the text may be half of one, nil where it is not
	waiting  *waiting  // the text is refused for an error that may be gone later, nil where it is not
	trouble  trouble   // why the text is not served
	restless time.Time // when it was reported that the source does not rest; zero while it does
}

// waiting is a policy that was proved, and that could not be served yet.
type waiting struct {
	verdict Verdict
	tried   time.Time
}

// trouble is why the text of the source is not served. The zero value means that it is.
type trouble struct {
	problem  terminal.Lines
	refusals int       // how many the problem consists of
	reported time.Time // last
}

// Status is what the metrics show.
type Status struct {
	Loaded   time.Time      // when the policy that is served was accepted
	Problem  terminal.Lines // why the text of the source is not served; "" when it is, or waits
	Refusals int            // how many the problem consists of
	Waits    bool           // the text of the source is being judged, may be half of one, or does not rest
}

func (s state) status() Status {
	return Status{s.loaded, s.trouble.problem, s.trouble.refusals, s.late || s.held != nil || !s.restless.IsZero()}
}

// shownLines is how much of a problem is reported at a time: enough to fix it, and no flood of the log by a file that
// is not ours.
const shownLines = 100

// brief is the beginning of a text of many lines.
func brief(text string) terminal.Lines {
	lines := strings.SplitAfterN(text, "\n", shownLines+1)
	if len(lines) <= shownLines {
		return terminal.Lines(text)
	}
	more := 1 + strings.Count(lines[shownLines], "\n")
	return terminal.Lines(strings.Join(lines[:shownLines], "") + fmt.Sprintf("%d more lines: check the file with caacheck lint before you install it", more))
}

// refusals counts what an error holds against a policy.
func refusals(err error) int {
	var list policy.ErrorList
	if errors.As(err, &list) {
		return len(list)
	}
	var report *guard.Error
	if errors.As(err, &report) {
		return len(report.Report.Refusals)
	}
	return 1
}
