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

	"github.com/coredns-caa/caa/plugin/pkg/atomicfile"
)

// reportFile is a file that a report is written to. It gets its name when it is complete.
type reportFile struct {
	flag string // that names it
	path string // the target of a symbolic link, so that the link stays
	temp *atomicfile.File
}

// reportFiles are those of the command line. They are opened before the first query, so that a folder that does not exist
// is an error at once and not after an hour.
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
				err = fmt.Errorf("it is also the file of %s", files[i].flag)
			}
		}
		if err != nil {
			files.discard()
			return nil, fmt.Errorf("%s %s: %w", f.flag, f.path, err)
		}
	}
	return files, nil
}

// openReport makes a temporary file next to the report, with the permissions of the file that it replaces.
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
	had, err := os.Stat(path)
	if err == nil {
		if !had.Mode().IsRegular() { // nobody wants /dev/null renamed over
			return reportFile{}, errors.New("it exists, and is not a regular file")
		}
		if slices.ContainsFunc([]*os.File{os.Stdin, os.Stdout, os.Stderr}, func(open *os.File) bool { return same(open, had) }) {
			return reportFile{}, errStream
		}
	} else if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 { // the link itself would be renamed over
		return reportFile{}, errors.New("the symbolic link is broken")
	}
	temp, err := atomicfile.Create(path, filepath.Base(path)+".", 0o666)
	if errors.Is(err, fs.ErrNotExist) {
		return reportFile{}, fmt.Errorf("there is no folder %s", filepath.Dir(path))
	}
	if err == nil && had != nil {
		err = temp.Chmod(had.Mode().Perm())
	}
	return reportFile{path: path, temp: temp}, withoutPath(err)
}

// cannotOpen is the error of a file that cannot be read, with its absolute path: a relative one depends on where the
// command was started.
func cannotOpen(path string, err error) error {
	if absolute, wrong := filepath.Abs(path); wrong == nil {
		path = absolute
	}
	return fmt.Errorf("cannot open %s: %w", path, withoutPath(err))
}

// withoutPath returns an error without its path, which is written beside it or is that of a temporary file.
func withoutPath(err error) error {
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		return path.Err
	}
	return err
}

var errStream = errors.New("it is one of the command's own streams; write - for standard output")

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

// standardOutput is written for a file.
const standardOutput = "-"

// kept are the flags of files that are not reports.
var kept = []string{"--observations", "--history"}

// shown returns the flag of the one file that goes to standard output instead of text or JSON; "" for none.
func shown(flags []fileFlag, json bool) (string, error) {
	found := ""
	for _, f := range flags {
		switch {
		case f.path != standardOutput:
		case json || found != "" || slices.Contains(kept, f.flag):
			return "", fmt.Errorf("%s - : standard output has another report", f.flag)
		default:
			found = f.flag
		}
	}
	return found, nil
}

// file returns the file of a flag, if the command line has it.
func (files reportFiles) file(flag string) (io.Writer, bool) {
	i := slices.IndexFunc(files, func(f reportFile) bool { return f.flag == flag })
	if i < 0 {
		return nil, false
	}
	return files[i].temp, true
}

// save writes each file, by its flag, and continues with the next when one fails.
func (files reportFiles) save(write map[string]func(io.Writer) error) error {
	var errs []error
	for _, f := range files {
		var out bytes.Buffer
		err := write[f.flag](&out)
		if err == nil {
			_, err = out.WriteTo(f.temp)
		}
		if err == nil {
			err = f.temp.Replace()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s %s: %w", f.flag, f.path, withoutPath(err)))
		}
	}
	return errors.Join(errs...)
}

// cleanUp removes files that were not saved: when the function that it returns is called, or when a second Ctrl-C ends the
// process while they are saved. The first one ends ctx, and what is known is saved.
func (files reportFiles) cleanUp(ctx context.Context) (discard func()) {
	first := ctx.Err() == nil // before the signals: the goroutine may begin after the first has come
	signals, done := make(chan os.Signal, 2), make(chan struct{})
	signal.Notify(signals, ends...)
	go func() {
		for ; ; first = false {
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

// discard removes files that were not saved.
func (files reportFiles) discard() {
	for _, f := range files {
		f.temp.Discard()
	}
}
