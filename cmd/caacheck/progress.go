package main

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

const (
	// progressFrom is how long a run has to last to be worth a word.
	progressFrom = time.Second
	// progressEvery is how often the line is written: fast enough to look alive, and nothing beside
	// what a name costs.
	progressEvery = 500 * time.Millisecond
	// clearLine takes away what stands in a terminal's line (ECMA-48: EL).
	clearLine = "\r\x1b[K"
)

// progress tells on a terminal how far a run is, in one line that is gone when it ends.
type progress struct {
	done  atomic.Int64
	quit  chan struct{}
	ended chan struct{}
}

// startProgress begins to tell, if there is a terminal to tell it to and more than one name.
func startProgress(w io.Writer, total int) *progress {
	p := &progress{quit: make(chan struct{}), ended: make(chan struct{})}
	if total > 1 && isTerminal(w) {
		go p.tell(w, total)
	} else {
		close(p.ended)
	}
	return p
}

// report takes what check.Run says.
func (p *progress) report(done, _ int) { p.done.Store(int64(done)) }

// stop ends it, and leaves the line empty.
func (p *progress) stop() {
	close(p.quit)
	<-p.ended
}

func (p *progress) tell(w io.Writer, total int) {
	defer close(p.ended)
	begin := time.Now()
	ticker := time.NewTicker(progressEvery)
	defer ticker.Stop()
	told := false
	for {
		select {
		case <-ticker.C:
			if took := time.Since(begin); took >= progressFrom {
				told = true
				fmt.Fprint(w, clearLine, progressLine(int(p.done.Load()), total, took))
			}
		case <-p.quit:
			if told {
				fmt.Fprint(w, clearLine)
			}
			return
		}
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
