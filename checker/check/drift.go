package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/finding"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// drift compares what each server answers at a node's name with the policy, whose RRsets include what they
// inherit. An alias there has no RRset of its own, and is drift where the policy has one.
func drift(node *policy.Node, seen *finding.Case) []Drift {
	want := sorted(node.RRset)
	var out []Drift
	for o, turn := range seen.PerServer() {
		if turn.Name != node.Name {
			continue
		}
		d := Drift{Pos: node.Pos, Policy: want, Server: o.Source()}
		same := len(want) == 0
		if turn.Reading.Kind == resolve.Alias {
			d.Alias = turn.Reading.Target
		} else {
			d.Seen = sorted(climb.Properties(turn.Reading.RRset))
			same = slices.Equal(d.Seen, want)
		}
		known := slices.ContainsFunc(out, func(other Drift) bool { return other.Server == d.Server })
		if !same && !known {
			out = append(out, d)
		}
	}
	return out
}

// sorted is an RRset as a set: in one order, and each property once (RFC 2181 5).
func sorted(rrset issuance.RRset) issuance.RRset {
	out := slices.Clone(rrset)
	for i := range out {
		out[i].Tag = strings.ToLower(out[i].Tag)
	}
	slices.SortFunc(out, func(a, b issuance.Property) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return slices.Compact(out)
}
