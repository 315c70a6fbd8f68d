package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"

	"github.com/coredns-caa/caa/checker/report"
)

// reportFile is a file that a report is written to: whole, under its name, or not at all.
type reportFile struct {
	flag string // that asks for it
	path string // what a symbolic link leads to, so that the link stays
	temp *os.File
}

// reportFiles are those that the command line asks for. They are opened before anybody is asked
// anything, so that a folder that is not there is told at once and not after an hour.
type reportFiles []reportFile

// fileFlag is a flag with the file that it names, "" for none.
type fileFlag struct{ flag, path string }

func openReports(flags ...fileFlag) (reportFiles, error) {
	var files reportFiles
	for _, f := range flags {
		if f.path == "" || f.path == standardOutput {
			continue
		}
		file, err := openReport(f.path)
		if err == nil {
			file.flag = f.flag
			i := slices.IndexFunc(files, func(other reportFile) bool { return other.path == file.path })
			if files = append(files, file); i >= 0 {
				err = fmt.Errorf("it is the file of %s, too", files[i].flag)
			}
		}
		if err != nil {
			files.discard()
			return nil, fmt.Errorf("%s %s: %w", f.flag, f.path, err)
		}
	}
	return files, nil
}

// openReport makes a file beside the one that is to be, with the rights that it has or will have.
func openReport(path string) (reportFile, error) {
	if leadsToDescriptor(path) {
		return reportFile{}, errStream
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	} else if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil { // it is not there yet
		path = filepath.Join(dir, filepath.Base(path))
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return reportFile{}, err
	}
	mode := fs.FileMode(0o666)
	if info, err := os.Stat(path); err == nil {
		if !info.Mode().IsRegular() { // nobody wants /dev/null renamed over
			return reportFile{}, errors.New("it is there, and is no regular file")
		}
		if slices.ContainsFunc([]*os.File{os.Stdin, os.Stdout, os.Stderr}, func(open *os.File) bool { return same(open, info) }) {
			return reportFile{}, errStream
		}
		mode = info.Mode().Perm()
	} else if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 { // the link itself would be renamed over
		return reportFile{}, errors.New("the symbolic link leads to nothing")
	}
	for n := 0; ; n++ {
		name := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%d-%d", filepath.Base(path), os.Getpid(), n))
		temp, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		return reportFile{path: path, temp: temp}, withoutPath(err)
	}
}

// withoutPath is an error without a name that nobody has written, or that is told beside it.
func withoutPath(err error) error {
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		return path.Err
	}
	return err
}

var errStream = errors.New("it is where one of the command's own streams leads; - is standard output")

// descriptors are the folders whose files are a process's open ones (proc(5), fd(4)).
var descriptors = regexp.MustCompile(`^(/dev|/proc/[^/]+(/task/[^/]+)?)/fd$`)

// mostLinks is what Linux follows of symbolic links, path_resolution(7).
const mostLinks = 40

// leadsToDescriptor reports whether a path is that of an open file, such as /dev/stdout, whatever is open there.
func leadsToDescriptor(path string) bool {
	for range mostLinks {
		dir, err := filepath.Abs(filepath.Dir(path))
		if err != nil {
			return false
		}
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			dir = real
		}
		if descriptors.MatchString(dir) {
			return true
		}
		target, err := os.Readlink(path)
		if err != nil {
			return false
		}
		if path = target; !filepath.IsAbs(target) {
			path = filepath.Join(dir, target)
		}
	}
	return false
}

func same(open *os.File, info fs.FileInfo) bool {
	other, err := open.Stat()
	return err == nil && os.SameFile(other, info)
}

// standardOutput stands for itself where a file is expected.
const standardOutput = "-"

// kept are the flags of files that are no reports.
var kept = []string{"--observations", "--history"}

// shown is the flag of the one file that goes to standard output instead of text or JSON, "" for none.
func shown(flags []fileFlag, json bool) (string, error) {
	found := ""
	for _, f := range flags {
		switch {
		case f.path != standardOutput:
		case json || found != "" || slices.Contains(kept, f.flag):
			return "", fmt.Errorf("%s - : that cannot go to standard output beside a report", f.flag)
		default:
			found = f.flag
		}
	}
	return found, nil
}

// toStandardOutput writes a report whole. A reader who has gone, as of a pipe into head, has what he wanted.
func toStandardOutput(w io.Writer, write func(io.Writer) error) error {
	var out bytes.Buffer
	if err := write(&out); err != nil {
		return err
	}
	if _, err := out.WriteTo(w); err != nil && !errors.Is(err, syscall.EPIPE) {
		return err
	}
	return nil
}

// file is that of a flag, if the command line has it.
func (files reportFiles) file(flag string) (io.Writer, bool) {
	i := slices.IndexFunc(files, func(f reportFile) bool { return f.flag == flag })
	if i < 0 {
		return nil, false
	}
	return files[i].temp, true
}

// save writes each file as its flag says, and goes on to the next when one fails.
func (files reportFiles) save(write map[string]func(io.Writer) error) error {
	var errs []error
	for _, f := range files {
		var out bytes.Buffer
		err := write[f.flag](&out)
		if err == nil {
			_, err = out.WriteTo(f.temp)
		}
		if err = errors.Join(err, f.temp.Sync(), f.temp.Close()); err == nil {
			err = os.Rename(f.temp.Name(), f.path)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s %s: %w", f.flag, f.path, withoutPath(err)))
		}
	}
	return errors.Join(errs...)
}

// cleanUp takes away what was not saved: when the function that it returns is called, or as a second Ctrl-C ends the
// process in the middle of saving. The first one, which ends ctx, lets what is known be saved.
func (files reportFiles) cleanUp(ctx context.Context) (discard func()) {
	signals, done := make(chan os.Signal, 2), make(chan struct{})
	signal.Notify(signals, ends...)
	go func() {
		for first := ctx.Err() == nil; ; first = false {
			select {
			case <-done:
				return
			case s := <-signals:
				if !first {
					files.discard()
					endBy(s)
				}
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(done)
		files.discard()
	}
}

// endBy ends the process as a signal does that nobody waits for.
func endBy(s os.Signal) {
	signal.Reset(s)
	if self, err := os.FindProcess(os.Getpid()); err == nil && self.Signal(s) == nil {
		time.Sleep(time.Second) // it comes at once, and need not come before this returns
	}
	os.Exit(report.ExitUnknown)
}

// discard takes away what was not saved.
func (files reportFiles) discard() {
	for _, f := range files {
		f.temp.Close()
		os.Remove(f.temp.Name())
	}
}
