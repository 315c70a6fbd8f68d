// Command release builds everything that is published of a commit: static binaries, archives, deb and rpm packages, an
// OCI image layout, manual pages, bills of materials, third-party notices and checksums.
//
//	go run -C release . [-o DIR] [--version V] [--platform OS/ARCH]... [--twice]
//
// What goes in is the commit that is checked out, never the work tree's changes; nothing is published. The same commit,
// version and Go release make the same bytes: no file has a time other than the commit's, and no path or name of the
// machine. Reproducing is --twice, or running it elsewhere and comparing SHA256SUMS.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/mod/semver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stderr)
	if errors.Is(err, pflag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "release: %v\n", err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	out       string
	version   string
	platforms []string
	twice     bool
}

func run(ctx context.Context, args []string, progress io.Writer) error {
	o, err := parse(args, progress)
	if err != nil {
		return err
	}
	targets, err := choose(o.platforms)
	if err != nil {
		return err
	}
	out, err := emptyFolder(o.out)
	if err != nil {
		return err
	}
	start := time.Now()
	log := func(format string, a ...any) {
		fmt.Fprintf(progress, "%5.0f s  %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, a...))
	}
	if err := build(ctx, o.version, targets, out, "", log); err != nil {
		return err
	}
	if o.twice {
		if err := again(ctx, o.version, targets, out, log); err != nil {
			return err
		}
	}
	log("done: %s", out)
	return nil
}

func parse(args []string, progress io.Writer) (o options, err error) {
	fs := pflag.NewFlagSet("release", pflag.ContinueOnError)
	fs.SetOutput(progress)
	fs.SortFlags = false
	fs.StringVarP(&o.out, "output", "o", filepath.Join("..", "dist"), "write into `DIR`, which must be empty or not exist")
	fs.StringVar(&o.version, "version", "", "release it as `V`, such as v1.2.3 (default: the commit's tag, or a pseudo-version)")
	fs.StringArrayVar(&o.platforms, "platform", nil, "build for `OS/ARCH` alone; may be repeated (default: all)")
	fs.BoolVar(&o.twice, "twice", false, "build a second time, with empty caches, and compare every byte")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q: there are only flags", fs.Arg(0))
	}
	// Go stamps a tag into a binary only in its canonical form.
	if o.version != "" && (semver.Canonical(o.version) != o.version || semver.Build(o.version) != "") {
		return o, fmt.Errorf("invalid --version %q: want a semantic version with v, such as v1.2.3 or v1.2.3-rc.1", o.version)
	}
	return o, nil
}

// choose returns the targets for some platforms, all of them for none.
func choose(platforms []string) ([]target, error) {
	if len(platforms) == 0 {
		return targets, nil
	}
	var chosen []target
	for _, p := range platforms {
		found := false
		for _, t := range targets {
			if t.platform() == p {
				chosen, found = append(chosen, t), true
			}
		}
		if !found {
			return nil, fmt.Errorf("nothing is released for --platform %q: there are %s", p, strings.Join(allPlatforms(), ", "))
		}
	}
	return chosen, nil
}

// emptyFolder makes a folder, or refuses one with files in it: what is left of another release would be published.
func emptyFolder(name string) (string, error) {
	abs, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	entries, err := os.ReadDir(abs)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return abs, os.MkdirAll(abs, 0o755)
	case err != nil:
		return "", fmt.Errorf("cannot write into -o: %w", err)
	case len(entries) > 0:
		return "", fmt.Errorf("-o %s is not empty: remove it, or give another folder", abs)
	}
	return abs, nil
}
