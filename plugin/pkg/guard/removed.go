package guard

import (
	"fmt"
	"slices"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// This file is about issuers that a policy gives up on purpose, under removed.

// inUse returns what was permitted or required before the policy, and is not given up by it on purpose nor required by
// itself: what the policy being replaced required, and what the data of a zone permit that had no policy.
func (c *check) inUse(own []Requirement) []Requirement {
	all := slices.Concat(inherited(own, c.options.Previous, c.options.At), without(own, Vouching(c.policy, c.options.Data)))
	return slices.DeleteFunc(all, func(r Requirement) bool {
		name, wildcard := r.Name, r.Wildcard
		if dnsname.IsWildcard(name) { // of the data: the names that it covers
			name, wildcard = dnsname.Parent(name), true
		}
		return c.policy.GivesUp(exact(r.Domain), name, wildcard)
	})
}

// without returns the requirements that are not among others.
func without(others, requirements []Requirement) []Requirement {
	known := make(map[Requirement]bool, len(others))
	for _, r := range others {
		known[r.issuance()] = true
	}
	return slices.DeleteFunc(slices.Clone(requirements), func(r Requirement) bool { return known[r.issuance()] })
}

// contradictions refuses what is given up and required or permitted by one policy.
func (c *check) contradictions() {
	if len(c.policy.Removed) == 0 {
		return
	}
	for _, cert := range c.policy.Certificates {
		if c.policy.GivesUp(exact(cert.Issuer.Domain), cert.Name, cert.Wildcard) {
			r := Requirement{Name: cert.Name, Wildcard: cert.Wildcard}
			c.refuse(Refusal{Pos: cert.Pos, Code: removedRequired, Names: []string{r.String()},
				Text: fmt.Sprintf("certificates requires %s here, and removed gives it up", cert.Issuer.Key)})
		}
	}
	for _, removed := range c.policy.Removed {
		if !c.work.Take(1) {
			return
		}
		c.contradicted(removed)
	}
}

// contradicted refuses an entry of removed whose issuer the policy permits there.
func (c *check) contradicted(removed policy.Removed) {
	if removed.Name == "" {
		if key := c.keys[removed.Domain]; key != "" {
			c.refuse(Refusal{Pos: removed.Pos, Code: removedGranted,
				Text: fmt.Sprintf("removed gives up %s at all names, and the policy still declares it under issuers (%v)", key, c.declared[key].Pos)})
		}
		return
	}
	z := c.zone(removed.Name)
	if z == nil {
		return // what is there is another block's
	}
	r := Requirement{Name: removed.Name, Wildcard: removed.Wildcard, Domain: removed.Domain, Type: issuance.TLS, Origin: Published}
	made := Judge(r, z.Closest(removed.Name).RRset, c.options.At)
	if made.Outcome != MayIssue || made.Index < 0 {
		return // where no property decides, every CA is permitted, and nobody has named this one
	}
	c.refuse(Refusal{Pos: removed.Pos, Code: removedGranted, Names: []string{r.String()},
		Text: fmt.Sprintf("removed gives up %s here, and the policy still permits it (%v)", removed.Domain, z.Closest(removed.Name).Sources[made.Index].Pos)})
}
