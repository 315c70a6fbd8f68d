package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/perspective"
	"github.com/coredns-caa/caa/checker/resolve"
)

// set opens the perspectives file; without one it is a set of none. This machine's own perspective asks
// through self.
func (o options) set(cfg resolve.Config, self climb.Looker) (*perspective.Set, error) {
	if o.perspectives == "" {
		return new(perspective.Set), nil
	}
	if o.patience <= 0 {
		return nil, fmt.Errorf("--perspective-timeout is more than nothing")
	}
	data, err := os.ReadFile(o.perspectives)
	if err != nil {
		return nil, err
	}
	file, err := perspective.Parse(o.perspectives, data)
	if err != nil {
		return nil, errors.Join(errors.New("the perspectives file has mistakes"), err)
	}
	return file.Open(perspective.Options{Resolve: cfg, Self: self, Limit: o.patience})
}
