package caa

import (
	"slices"

	"github.com/coredns-caa/caa/plugin/caa/source"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// This file is about zones that get their first policy. Until then the CAA of their data was what CAs saw, so an issuer
// that it permits may be in use: the policy must not lock it out, unless it says under removed that it means to. Whatever
// changes is logged, name by name. Data that cannot be read whole (those of forward, kubernetes or template), or not yet
// (those of a secondary that has not transferred them), are not compared.

// replaced compares the data of the block's zones that no policy has governed with a policy for them.
func (l *loader) replaced(p, previous *policy.Snapshot, listed []*policy.Zone) (all []guard.Replacement) {
	for _, z := range listed {
		if z.PolicyOnly() || l.layout.routing.owner(z.Name) != nil || previous != nil && wasServed(l.cfg, previous, z.Name) != nil {
			continue
		}
		if data := l.layout.backend.CAA(z.Name); data != nil {
			all = append(all, guard.Replacements(p, z, data, l.layout.now())...)
		}
	}
	return all
}

// requirementsOf are those of all replacements.
func requirementsOf(all []guard.Replacement) (required []guard.Requirement) {
	for _, r := range all {
		required = append(required, r.Requirements...)
	}
	return required
}

// shownReplacements is how many names are logged; those that lose an issuer come first.
const shownReplacements = 20

// reportReplaced logs at which names a policy that came into service replaces the CAA of the data.
func reportReplaced(c source.Candidate) {
	all := slices.Clone(c.Replaces)
	slices.SortStableFunc(all, func(a, b guard.Replacement) int { return min(1, len(b.Lost)) - min(1, len(a.Lost)) })
	for i, r := range all {
		if i == shownReplacements {
			log.Infof("%d more names have other CAA by the policy than by their zone's data: caacheck diff --zone shows them", len(all)-i)
			return
		}
		if len(r.Lost) > 0 {
			log.Warning(r.String())
		} else {
			log.Info(r.String())
		}
	}
}
