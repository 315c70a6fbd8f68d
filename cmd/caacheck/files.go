package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/coredns-caa/caa/checker/report"
)

// reportFile is a file that a report is written to: whole, under its name, or not at all.
type reportFile struct {
	path  string // what a symbolic link leads to, so that the link stays
	temp  *os.File
	write func(*report.Report, io.Writer) error
}

// reportFiles are those that the command line asks for. They are opened before anybody is asked
// anything, so that a folder that is not there is told at once and not after an hour.
type reportFiles []reportFile

func (o options) reportFiles() (reportFiles, error) {
	var files reportFiles
	taken := map[string]string{}
	for _, kind := range []struct {
		flag, path string
		write      func(*report.Report, io.Writer) error
	}{
		{"--junit", o.junit, (*report.Report).WriteJUnit},
		{"--sarif", o.sarif, (*report.Report).WriteSARIF},
		{"--html", o.html, (*report.Report).WriteHTML},
	} {
		if kind.path == "" {
			continue
		}
		file, err := openReport(kind.path)
		if other := taken[file.path]; err == nil && other != "" {
			file.discard()
			err = fmt.Errorf("it is the file of %s, too", other)
		}
		if err != nil {
			files.discard()
			return nil, fmt.Errorf("%s %s: %w", kind.flag, kind.path, err)
		}
		file.write = kind.write
		files, taken[file.path] = append(files, file), kind.flag
	}
	return files, nil
}

// openReport makes a file beside the one that is to be, with the rights that it has or will have.
func openReport(path string) (reportFile, error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
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
		mode = info.Mode().Perm()
	}
	for n := 0; ; n++ {
		name := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%d-%d", filepath.Base(path), os.Getpid(), n))
		temp, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if path := (*fs.PathError)(nil); errors.As(err, &path) {
			err = path.Err // the name is one that nobody has written
		}
		return reportFile{path: path, temp: temp}, err
	}
}

// save writes the report into all files, and goes on to the next when one fails.
func (files reportFiles) save(r *report.Report) error {
	var errs []error
	for _, f := range files {
		var out bytes.Buffer
		err := f.write(r, &out)
		if err == nil {
			_, err = out.WriteTo(f.temp)
		}
		if err = errors.Join(err, f.temp.Sync(), f.temp.Close()); err == nil {
			err = os.Rename(f.temp.Name(), f.path)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// discard takes away what was not saved.
func (files reportFiles) discard() {
	for _, f := range files {
		f.discard()
	}
}

func (f reportFile) discard() {
	f.temp.Close()
	os.Remove(f.temp.Name())
}
