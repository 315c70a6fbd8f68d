package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/coredns-caa/caa/checker/certname"
	"github.com/coredns-caa/caa/checker/check"
	"github.com/coredns-caa/caa/checker/perspective"
	"github.com/coredns-caa/caa/checker/resign"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/regularfile"
)

// plan is what the command line asks for, with the files that it names read.
func (o *options) plan(ctx context.Context, names []string, stdin io.Reader) (p check.Plan, err error) {
	if p.At = o.at; p.At.IsZero() {
		p.At = time.Now().UTC()
	}
	if p.Asked, err = o.asked(ctx, names, stdin); err != nil {
		return p, err
	}
	if p.World, err = o.world(); err != nil {
		return p, err
	}
	if p.Perspectives, err = o.perspectiveFile(); err != nil {
		return p, err
	}
	p.Patience = o.patience
	p.Signing, err = o.signed()
	return p, err
}

// asked is what the names and the policy ask for.
func (o *options) asked(ctx context.Context, args []string, stdin io.Reader) (check.Asked, error) {
	subjects, err := o.subjects(args, stdin, func(text string) (certname.Name, error) {
		if err := notAWord(text); err != nil {
			return certname.Name{}, err
		}
		if o.policy != "" {
			return certname.Parse(text) // its nodes may be of names that no certificate has, such as _acme-challenge
		}
		return certname.ParseFor(text, o.kind)
	})
	switch {
	case err != nil:
		return check.Asked{}, err
	case o.policy == "" && len(subjects) == 0:
		return check.Asked{}, errors.New("no names: write caacheck NAME..., --names FILE or --policy FILE; caacheck check --help lists the flags")
	case o.policy == "":
		return check.Asked{Subjects: subjects, Issuers: o.issuers, Account: o.account, Method: o.method, Type: o.kind}, nil
	case len(o.issuers) > 0 || o.account != "" || o.method != "" || o.kind != issuance.TLS:
		return check.Asked{}, errors.New("--policy says which CAs to check: leave out --issuer, --account, --method and --type")
	}
	p, err := load(ctx, o.policy)
	return check.Asked{Subjects: subjects, Policy: p}, err
}

// subjects are the names given, each once.
func (o *options) subjects(args []string, stdin io.Reader, parse func(string) (certname.Name, error)) ([]certname.Name, error) {
	var out []certname.Name
	for _, arg := range args {
		s, err := parse(arg)
		if err != nil {
			return nil, wrongWord{arg, err}
		}
		out = append(out, s)
	}
	if o.names == "" {
		return certname.Unique(out), nil
	}
	in, name := stdin, "standard input"
	if o.names != "-" {
		file, err := os.Open(o.names)
		if err != nil {
			return nil, cannotOpen(o.names, err)
		}
		defer file.Close()
		in, name = file, o.names
	}
	listed, err := certname.List(in, name, parse)
	return certname.Unique(append(out, listed...)), err
}

// perspectiveFile reads the perspectives file; nil without one.
func (o *options) perspectiveFile() (*perspective.File, error) {
	if o.perspectives == "" {
		return nil, nil
	}
	data, err := regularfile.ReadOrPipe(o.perspectives, perspective.MaxSize)
	if err != nil {
		return nil, cannotOpen(o.perspectives, err)
	}
	file, err := perspective.Parse(o.perspectives, data)
	if err != nil {
		return nil, errors.Join(errors.New("the perspectives file has mistakes"), err)
	}
	return file, nil
}

// signed is when zones were signed, as earlier runs saw it.
func (o *options) signed() (resign.History, error) {
	if o.history == "" {
		return nil, nil
	}
	data, _, err := regularfile.Read(o.history, resign.MaxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var out resign.History
	if err == nil {
		out, err = resign.Parse(data)
	}
	if err != nil {
		return nil, fmt.Errorf("--history %s: %w", o.history, withoutPath(err))
	}
	return out, nil
}
