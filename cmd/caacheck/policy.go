package main

import (
	"context"
	"errors"

	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/regularfile"
)

// load reads a policy. A signal ends it.
func load(ctx context.Context, file string) (*policy.Snapshot, error) {
	return unlessEnded(ctx, func() (*policy.Snapshot, error) {
		data, err := readPolicy(file)
		if err != nil {
			return nil, err
		}
		return loadText(ctx, file, data)
	})
}

// readPolicy reads the text of a policy, or an octet more than a policy may have.
func readPolicy(name string) ([]byte, error) {
	text, err := regularfile.ReadOrPipe(name, policy.MaxSize)
	if err != nil && !errors.Is(err, regularfile.ErrTooLarge) { // that the parser reports, with what to do
		return nil, cannotOpen(name, err)
	}
	return text, nil
}

// errEnded is the error of a command that a signal ended before it had a result.
var errEnded = errors.New("ended by a signal before there was a result")

// unlessEnded returns the result of f, or errEnded as soon as the context ends: f may wait for a pipe that nobody
// writes to. The process ends with f running.
func unlessEnded[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	go func() {
		v, err := f()
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		if ctx.Err() != nil && errors.Is(r.err, ctx.Err()) {
			r.err = errEnded
		}
		return r.v, r.err
	case <-ctx.Done():
		var none T
		return none, errEnded
	}
}

func loadText(ctx context.Context, file string, data []byte) (*policy.Snapshot, error) {
	p, err := policy.LoadContext(ctx, file, data)
	if err != nil {
		return nil, errors.Join(errors.New("the policy has mistakes"), err)
	}
	return p, nil
}
