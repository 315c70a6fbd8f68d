package caa

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/coredns-caa/caa/plugin/caa/source"
	"github.com/coredns-caa/caa/plugin/caa/zones"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// This file refuses zones whose data nobody has. Without `nameservers` a zone is what the next plugin says of it;
// where that says nothing, all but the policy's own names are answered with SERVFAIL, and a CA issues nothing. So a
// policy that replaces another one must not turn a complete zone into one without data, nor bring a zone without
// data in which an issuance is required. What the replaced policy had as an overlay already is not judged here: a
// backend that fails for a while is no reason to refuse a change, and the self-check reports it. Nor is the first
// policy after a start, for which nothing else could be served.

// probedNames is how many names of a zone are asked for, beside its SOA. Plugins such as hosts and template
// have data of names, and no SOA.
const probedNames = 8

// withoutData refuses the zones of a serving that had nameservers in the policy being replaced, or that are new and
// in which issuances are required, where the next plugin does not have their data.
func withoutData(cfg *config, s *serving, previous *policy.Snapshot, operator []guard.Requirement) error {
	if previous == nil {
		return nil
	}
	required, seen := map[*zones.Zone][]guard.Requirement{}, map[string]bool{}
	for _, r := range slices.Concat(guard.Requirements(s.policy), operator, guard.Requirements(previous)) {
		if z, name := s.zones.Find(r.Name), r.String(); z != nil && !seen[name] {
			seen[name] = true
			required[z] = append(required[z], r)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), backendPatience)
	defer cancel()
	var report guard.Report
	for _, z := range slices.SortedFunc(s.zones.Zones(), func(a, b *zones.Zone) int { return strings.Compare(a.Name(), b.Name()) }) {
		was := wasServed(cfg, previous, z.Name())
		if z.PolicyOnly() || s.owner(z) != nil || was != nil && !was.PolicyOnly() || was == nil && len(required[z]) == 0 {
			continue
		}
		if ctx.Err() != nil {
			log.Warningf("The next plugin did not answer for all new zones within %v: the self-check will check the rest", backendPatience)
			break
		}
		if err := s.overlay.HasData(ctx, z, was, namesToProbe(s, z)); err != nil {
			report.Refusals = append(report.Refusals, refuseNoData(z, required[z], err))
		}
	}
	for _, was := range previous.Zones {
		if ctx.Err() != nil {
			break
		}
		if refusal, lame := leftLame(ctx, cfg, s, previous, was, required); lame {
			report.Refusals = append(report.Refusals, refusal)
		}
	}
	if err := report.Err(); err != nil {
		return source.Temporary{Err: err} // the next plugin may have the data later
	}
	return nil
}

// leftLame refuses to drop a complete zone in which issuances are required while the zone above, whose data the next
// plugin has, delegates it to the same name servers: they would refer a CA's resolver to themselves for ever. Where
// the delegation names others, the zone has moved to them.
func leftLame(ctx context.Context, cfg *config, s *serving, previous *policy.Snapshot, was *policy.Zone, required map[*zones.Zone][]guard.Requirement) (r guard.Refusal, lame bool) {
	above := s.zones.Find(was.Name)
	if !was.PolicyOnly() || !cfg.covers(was.Name) || s.zones.Zone(was.Name) != nil || above == nil || above.PolicyOnly() || s.owner(above) != nil {
		return r, false
	}
	inside := slices.DeleteFunc(slices.Clone(required[above]), func(r guard.Requirement) bool { return previous.Covering(r.Name) != was })
	if len(inside) == 0 {
		return r, false
	}
	for _, ns := range s.overlay.Delegation(ctx, above, was.Name) {
		if slices.ContainsFunc(was.Nameservers, func(server policy.Nameserver) bool { return server.Name == ns }) {
			return guard.Refusal{Pos: s.policy.ZonesPos, Code: "lame-delegation", Names: namesOf(inside),
				Text: fmt.Sprintf("the policy no longer lists zone %s, but the data of %s still delegate it to %s: that would be a lame delegation", dnsname.Bare(was.Name), dnsname.Bare(above.Name()), dnsname.Bare(ns)),
				Fix:  fmt.Sprintf("list %s again, or first change or remove its delegation in the data of %s", dnsname.Bare(was.Name), dnsname.Bare(above.Name()))}, true
		}
	}
	return r, false
}

// wasServed is a zone as this block served it under an earlier policy, nil where it did not.
func wasServed(cfg *config, previous *policy.Snapshot, apex string) *policy.Zone {
	if z := previous.Zone(apex); z != nil || !cfg.covered[apex] {
		return z
	}
	return previous.ZoneOrDefault(apex)
}

// namesOf are the names of requirements, for people.
func namesOf(required []guard.Requirement) []string {
	names := make([]string, len(required))
	for i, r := range required {
		names[i] = r.String()
	}
	return names
}

func refuseNoData(z *zones.Zone, required []guard.Requirement, err error) guard.Refusal {
	names := append([]string{dnsname.Bare(z.Name())}, namesOf(required)...)
	return guard.Refusal{Pos: z.Policy.Pos, Code: "no-data", Names: slices.Compact(names),
		Text: fmt.Sprintf("the zone has no nameservers, and the next plugin does not have its data (%v): queries would be answered with SERVFAIL, or as if the zone were empty", err),
		Fix:  "write nameservers: for a policy-only zone, or have another plugin of the server block, such as file, serve the zone first"}
}

// namesToProbe are the first names that are required in a zone or have a policy of their own.
func namesToProbe(s *serving, z *zones.Zone) []string {
	names := []string{z.Name()}
	for _, cert := range s.policy.Certificates {
		if len(names) > probedNames {
			return names
		}
		if s.zones.Find(cert.Name) == z {
			names = append(names, cert.Name)
		}
	}
	for node := range z.Policy.Nodes() {
		if len(names) > probedNames {
			return names
		}
		names = append(names, node.Name)
	}
	return names
}

// nodesAtAliases refuses nodes of overlays that are aliases in the zone's data: their CAA could never be
// answered (RFC 1034 3.6.2), whatever the policy says. A name that cannot be looked at passes.
func nodesAtAliases(s *serving) error {
	ctx, cancel := context.WithTimeout(context.Background(), backendPatience)
	defer cancel()
	var report guard.Report
	for z := range s.zones.Zones() {
		if z.PolicyOnly() || s.owner(z) != nil {
			continue
		}
		for node := range z.Policy.Nodes() {
			if ctx.Err() != nil {
				log.Infof("Not all names of the policy were looked up in the next plugin within %v: the self-check will look them up", backendPatience)
				break
			}
			if target, err := s.overlay.Alias(ctx, z, node.Name); err == nil && target != "" {
				report.Refusals = append(report.Refusals, nodeAtAlias(node, target))
			}
		}
	}
	return report.Err()
}

func nodeAtAlias(node *policy.Node, target string) guard.Refusal {
	name, target := dnsname.Bare(node.Name), dnsname.Bare(target)
	return guard.Refusal{Pos: node.Pos, Code: "node-at-alias", Names: []string{name},
		Text: fmt.Sprintf("the name is an alias of %s in the zone's data, so its own CAA can never be answered (RFC 1034 3.6.2): a CA follows the alias and uses the CAA there (RFC 8659 3)", target),
		Fix:  fmt.Sprintf("remove the name from the policy and write its CAA at %s, or remove the alias at %s", target, name)}
}
