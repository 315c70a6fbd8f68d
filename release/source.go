package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// source is the commit that is released, in a clone of its own.
type source struct {
	folder  string
	commit  string
	time    time.Time // of the commit: the only time in a release
	version string    // that was asked for; "" leaves it to Go
	cache   string    // Go's build cache; "" for the usual one
}

// checkOut clones the commit that is checked out here. A clone is clean, so that Go stamps the tag and the revision without
// "+dirty", and a tag that is given is made there alone.
func checkOut(ctx context.Context, folder, version, cache string, log func(string, ...any)) (source, error) {
	s := source{folder: folder, version: version, cache: cache}
	root, err := command(ctx, ".", nil, "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return s, fmt.Errorf("a release is made of a commit, and here is no Git repository: %w", err)
	}
	changed, err := command(ctx, root, nil, "git", "status", "--porcelain")
	if err != nil {
		return s, err
	}
	if changed != "" {
		log("warning: changes that are not committed are not in the release")
	}
	if _, err := command(ctx, root, nil, "git", "clone", "--quiet", root, folder); err != nil {
		return s, err
	}
	if s.commit, err = command(ctx, folder, nil, "git", "rev-parse", "HEAD"); err != nil {
		return s, err
	}
	seconds, err := command(ctx, folder, nil, "git", "log", "-1", "--format=%ct")
	if err != nil {
		return s, err
	}
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return s, err
	}
	s.time = time.Unix(unix, 0).UTC()
	if version == "" {
		return s, nil
	}
	// The commit's other tags would compete.
	tags, err := command(ctx, folder, nil, "git", "tag", "--points-at", "HEAD")
	if err != nil {
		return s, err
	}
	for tag := range strings.FieldsSeq(tags) {
		if _, err := command(ctx, folder, nil, "git", "tag", "-d", tag); err != nil {
			return s, err
		}
	}
	_, err = command(ctx, folder, nil, "git", "tag", version)
	if err != nil {
		return s, fmt.Errorf("the version %s is another commit's: %w", version, err)
	}
	return s, nil
}

// environment is what the go command runs with: static, the same on every machine, and of the toolchain at hand.
func (s source) environment(t target) []string {
	env := append(os.Environ(),
		"CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=", "GOFIPS140=off",
		"GOOS="+t.os, "GOARCH="+t.arch, "GOAMD64=v1", "GOARM64=v8.0",
		"SOURCE_DATE_EPOCH="+strconv.FormatInt(s.time.Unix(), 10))
	if s.cache != "" {
		env = append(env, "GOCACHE="+s.cache)
	}
	return env
}

// compile builds a target, and checks what Go has stamped into it.
func (s source) compile(ctx context.Context, t target, file string) (*buildinfo.BuildInfo, error) {
	_, err := command(ctx, s.folder, s.environment(t), "go", "build", "-mod=readonly", "-trimpath", "-buildvcs=true",
		"-ldflags=-s -w -buildid=", "-tags="+t.tags, "-o", file, t.main)
	if err != nil {
		return nil, fmt.Errorf("%s for %s: %w", t.name, t.platform(), err)
	}
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" && setting.Value != s.commit {
			return nil, fmt.Errorf("%s has revision %s, want %s", t.name, setting.Value, s.commit)
		}
	}
	if version := info.Main.Version; s.version != "" && version != s.version || version == "" || version == "(devel)" {
		return nil, fmt.Errorf("%s has version %q, want %q", t.name, version, s.version)
	}
	return info, nil
}

// read returns a file of the commit.
func (s source) read(name string) ([]byte, error) { return os.ReadFile(filepath.Join(s.folder, name)) }

// command runs a program and returns what it prints, without the last line feed; its error has what it complains of.
func command(ctx context.Context, folder string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = folder, env
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		err = fmt.Errorf("%s %s: %s", name, args[0], strings.TrimSpace(complaint.String()))
	}
	return strings.TrimSuffix(out.String(), "\n"), err
}
