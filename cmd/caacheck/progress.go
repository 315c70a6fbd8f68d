package main

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// progressFrom is how long a run lasts before the line is shown.
	progressFrom = time.Second
	// progressEvery is how often the line is written: it costs little compared with a name.
	progressEvery = 500 * time.Millisecond
	// clearLine clears a terminal's line (ECMA-48: EL).
	clearLine = "\r\x1b[K"
)

// stages shows on a terminal how far a run is, in the first of its stages and then in the second.
type stages struct {
	w     io.Writer
	names int
	line  *progress
	then  sync.Once
}

func startStages(w io.Writer, names int) *stages {
	return &stages{w: w, names: names, line: startProgress(w, names)}
}

// first takes what the first stage reports.
func (s *stages) first(done, _ int) { s.line.report(done) }

// second takes what the second stage reports: the first has ended.
func (s *stages) second(done, _ int) {
	s.then.Do(func() {
		s.line.stop()
		s.line = startProgress(s.w, s.names)
	})
	s.line.report(done)
}

// stop ends it, and leaves the line empty.
func (s *stages) stop() { s.line.stop() }

// progress shows on a terminal how far a run is, in one line that is cleared when it ends.
type progress struct {
	done  atomic.Int64
	quit  chan struct{}
	ended chan struct{}
}

// startProgress shows progress if w is a terminal and there is more than one name.
func startProgress(w io.Writer, total int) *progress {
	p := &progress{quit: make(chan struct{}), ended: make(chan struct{})}
	if total > 1 && isTerminal(w) {
		go p.show(w, total)
	} else {
		close(p.ended)
	}
	return p
}

// report sets how many names are done.
func (p *progress) report(done int) { p.done.Store(int64(done)) }

// stop ends it, and leaves the line empty.
func (p *progress) stop() {
	close(p.quit)
	<-p.ended
}

func (p *progress) show(w io.Writer, total int) {
	defer close(p.ended)
	begin := time.Now()
	ticker := time.NewTicker(progressEvery)
	defer ticker.Stop()
	shown := false
	for {
		select {
		case <-ticker.C:
			if took := time.Since(begin); took >= progressFrom {
				shown = true
				fmt.Fprint(w, clearLine, progressLine(int(p.done.Load()), total, took))
			}
		case <-p.quit:
			if shown {
				fmt.Fprint(w, clearLine)
			}
			return
		}
	}
}

// restoreLine shows on a terminal how far a server is that restores keys.
type restoreLine struct {
	w     io.Writer
	shown bool
}

func (l *restoreLine) show(done, total int) {
	if l.shown = isTerminal(l.w); l.shown {
		fmt.Fprintf(l.w, "%sa server works on it: %d of %d zones", clearLine, done, total)
	}
}

// clear leaves the line empty.
func (l *restoreLine) clear() {
	if l.shown {
		fmt.Fprint(l.w, clearLine)
	}
}

// progressLine is what is known after a while: names done, rate and the time left at that rate.
func progressLine(done, total int, took time.Duration) string {
	line := fmt.Sprintf("%d of %d names", done, total)
	if done > 0 {
		rate := float64(done) / took.Seconds()
		left := time.Duration(float64(total-done) / rate * float64(time.Second)).Round(time.Second)
		line += fmt.Sprintf(", %.3g a second, %v left", rate, left)
	}
	return line + "; Ctrl-C shows what is known"
}
