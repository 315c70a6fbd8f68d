package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coredns-caa/caa/checker/report"
)

// ends are the signals that end a command: at the first one it shows what is known.
var ends = []os.Signal{os.Interrupt, syscall.SIGTERM}

// endBy ends the process by the default action of a signal.
func endBy(s os.Signal) {
	signal.Reset(s)
	if self, err := os.FindProcess(os.Getpid()); err == nil && self.Signal(s) == nil {
		time.Sleep(time.Second) // the signal may arrive after Signal returns
	}
	os.Exit(report.ExitUnknown)
}
