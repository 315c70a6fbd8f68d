package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// artifact is a target that is built, with all that its files are made from.
type artifact struct {
	target
	path    string // of the binary
	version string
	bom     []byte
	notices []byte
}

// build makes a release in a folder.
func build(ctx context.Context, version string, targets []target, out, cache string, log func(string, ...any)) error {
	work, err := os.MkdirTemp("", "release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	s, err := checkOut(ctx, filepath.Join(work, "source"), version, cache, log)
	if err != nil {
		return err
	}
	log("commit %s of %s", s.commit[:12], s.time.Format("2006-01-02"))

	var artifacts []artifact
	for _, t := range targets {
		a, err := s.artifact(ctx, t, work, log)
		if err != nil {
			return err
		}
		artifacts = append(artifacts, a)
	}
	log("manual pages, completion scripts")
	pages, err := s.manuals(ctx, artifacts, work)
	if err != nil {
		return err
	}
	for _, a := range artifacts {
		if err := s.publish(a, pages, out, log); err != nil {
			return err
		}
	}
	if images := slices.DeleteFunc(slices.Clone(artifacts), func(a artifact) bool { return !a.image }); len(images) > 0 {
		log("OCI image of %d platforms", len(images))
		if err := s.image(images, filepath.Join(out, "coredns-caa-image")); err != nil {
			return err
		}
	}
	log("SHA256SUMS")
	return sums(out)
}

// artifact compiles a target and describes what is in it.
func (s source) artifact(ctx context.Context, t target, work string, log func(string, ...any)) (artifact, error) {
	log("%s for %s", t.name, t.platform())
	a := artifact{target: t, path: filepath.Join(work, t.name, t.os+"-"+t.arch, t.file())}
	info, err := s.compile(ctx, t, a.path)
	if err != nil {
		return a, err
	}
	a.version = info.Main.Version
	licences, err := s.licences(ctx, t)
	if err != nil {
		return a, err
	}
	a.notices = notices(t, licences)
	a.bom, err = s.bom(a, info, licences)
	return a, err
}

// publish writes an artifact's archive, bill of materials and packages.
func (s source) publish(a artifact, pages []page, out string, log func(string, ...any)) error {
	stem := fmt.Sprintf("%s_%s_%s_%s", a.name, strings.TrimPrefix(a.version, "v"), a.os, a.arch)
	if err := os.WriteFile(filepath.Join(out, stem+".cdx.json"), a.bom, 0o644); err != nil {
		return err
	}
	log("archive %s", stem)
	if err := s.archive(a, pages, filepath.Join(out, stem)); err != nil {
		return err
	}
	if !a.packaged {
		return nil
	}
	log("packages of %s for %s", a.name, a.arch)
	return s.packages(a, pages, out)
}

// sums writes SHA256SUMS of all files in a folder, in the form that sha256sum -c reads.
func sums(folder string) error {
	var lines strings.Builder
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		digest, err := sum(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(folder, path)
		fmt.Fprintf(&lines, "%x  %s\n", digest, filepath.ToSlash(name))
		return err
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "SHA256SUMS"), []byte(lines.String()), 0o644)
}

func sum(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	h := sha256.New()
	_, err = io.Copy(h, file)
	return h.Sum(nil), err
}

// again builds the release a second time, elsewhere and with an empty build cache, and compares.
func again(ctx context.Context, version string, targets []target, first string, log func(string, ...any)) error {
	folder, err := os.MkdirTemp("", "release-again-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	log("a second time, with an empty build cache")
	second := filepath.Join(folder, "out")
	if err := os.Mkdir(second, 0o755); err != nil {
		return err
	}
	if err := build(ctx, version, targets, second, filepath.Join(folder, "cache"), log); err != nil {
		return err
	}
	if different, err := compare(first, second); err != nil || len(different) > 0 {
		return fmt.Errorf("the two builds differ in %s", strings.Join(different, ", "))
	}
	log("both builds are equal")
	return nil
}

// compare returns the lines of two releases' SHA256SUMS that differ.
func compare(first, second string) ([]string, error) {
	a, err := os.ReadFile(filepath.Join(first, "SHA256SUMS"))
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(second, "SHA256SUMS"))
	if err != nil {
		return nil, err
	}
	var different []string
	for line := range bytes.Lines(slices.Concat(a, b)) {
		if bytes.Count(slices.Concat(a, b), line) == 1 {
			different = append(different, string(bytes.Fields(line)[1]))
		}
	}
	slices.Sort(different)
	return slices.Compact(different), nil
}
