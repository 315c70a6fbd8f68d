package resolve

import (
	"slices"

	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
)

// Recursive reports whether one resolver is asked, rather than the servers of zones.
func (r *Resolver) Recursive() bool { return r.cfg.Recursive }

// OneServer reports whether one server is asked, be it a resolver, rather than those that delegations name.
func (r *Resolver) OneServer() bool { return r.cfg.Only.IsValid() }

// ResolverFault is what an answer shows to be wrong with the resolver that it came through rather than with a
// name's servers, "" for nothing: it does not answer, be it for a zone's keys, or it passes no signatures
// on, not even the root's.
func (a Answer) ResolverFault() string {
	if err := a.Err; err != nil && err.Failure != ServFail {
		return err.Error()
	}
	for z := a.Zone; z != nil; z = z.Parent {
		if z.Trust.Status != dnssec.Bogus {
			continue
		}
		if z.Parent == nil {
			return "not even the root's keys validate through it: " + z.Trust.Detail
		}
		if slices.ContainsFunc(z.Seen, func(o Observation) bool { return o.Failure.Silent() && !o.Checked }) { // it may take its time over what is wrong
			return "it leaves questions for the keys of " + z.Name + " without an answer"
		}
	}
	return ""
}
