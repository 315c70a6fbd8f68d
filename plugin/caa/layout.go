package caa

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coredns/coredns/plugin"

	"github.com/coredns-caa/caa/plugin/caa/keyring"
	"github.com/coredns-caa/caa/plugin/caa/overlay"
	"github.com/coredns-caa/caa/plugin/caa/zones"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/spelling"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// layout makes servings of policies that were accepted: it knows the zones of the block, the keys and the next plugin.
type layout struct {
	cfg     *config
	routing routing
	next    plugin.Handler  // nil for none; it holds the data of overlays
	backend overlay.Backend // what is known of next
	packed  bool            // no plugin above reads or changes a message
	keys    keyring.Keyring // of all zones that are laid out, those of other blocks among them
	signer  *zonesign.Signer
	now     func() time.Time
}

// of makes a serving of a policy, with the keys as they are now and the zones that were found in the next plugin's
// answers. changed is when the policy changed; previous is what is served until then, nil at the start.
func (l *layout) of(p *policy.Snapshot, listed []*policy.Zone, changed time.Time, previous *serving) (*serving, error) {
	ctx, cancel := context.WithTimeout(context.Background(), backendPatience)
	defer cancel()
	keys := func(z *policy.Zone) (*keyring.Keys, error) {
		return l.keys.Ensure(context.Background(), z) // a block that owns its keys may have let go of them
	}
	var before *zones.Set
	if previous != nil {
		before = previous.zones
	}
	set, err := zones.NewSet(zones.Config{Policy: p, Zones: listed, Keys: keys, Servers: l.servers(ctx, keys, listed),
		TTL: zones.NewTTLs(l.cfg.ttl, l.cfg.roll.data), Signer: l.signer, Now: l.now, Changed: changed, Previous: before})
	if err != nil {
		return nil, err
	}
	routed := func(name string) plugin.Handler {
		if owner := l.routing.owner(name); owner != nil {
			return owner.handler
		}
		return nil
	}
	owners := map[string]plugin.Handler{}
	for z := range set.Zones() {
		if owner := routed(z.Name()); owner != nil {
			owners[z.Name()] = owner
		}
	}
	owned := func(z *zones.Zone) bool { return owners[z.Name()] == nil }
	return &serving{policy: p, zones: set, owners: owners, routed: routed, packed: l.packed,
		overlay: overlay.New(set, l.next, l.backend, owned, l.reportFound)}, nil
}

// servers are the names of the servers of those overlays whose keys are published under these names (RFC 9615), by the
// zones' data.
func (l *layout) servers(ctx context.Context, keysOf func(*policy.Zone) (*keyring.Keys, error), listed []*policy.Zone) map[string][]string {
	all := map[string][]string{}
	for _, z := range listed {
		if z.PolicyOnly() || ctx.Err() != nil {
			continue
		}
		if keys, err := keysOf(z); err == nil && zones.HasCDS(keys) {
			all[z.Name] = overlay.Servers(ctx, l.next, z.Name)
		}
	}
	return all
}

// reportFound logs a zone that was found in the next plugin's answers.
func (l *layout) reportFound(z *zones.Zone) {
	if !z.Signed() && z.Keys.Refused == nil && !l.cfg.unsigned {
		log.Warningf("The next plugin now serves zone %s, and no key is given for it: it is served unsigned, with the CAA of the policy's default", dnsname.Bare(z.Name()))
		return
	}
	log.Infof("The next plugin now serves zone %s: the policy's default protects it", dnsname.Bare(z.Name()))
	for _, line := range z.Keys.Publish() {
		log.Info(line)
	}
}

// listed are the zones to be served: those of the file that are in the block's zones, those of the block that the file does
// not list, which `default` protects, and those of other blocks.
func (l *layout) listed(p *policy.Snapshot) ([]*policy.Zone, error) {
	var list []*policy.Zone
	for _, z := range p.Zones {
		if l.cfg.covers(z.Name) {
			list = append(list, z)
		}
	}
	for _, apex := range l.cfg.apexes() {
		if p.Zone(apex) != nil {
			continue
		}
		z := p.ZoneOrDefault(apex)
		if z == nil {
			return nil, fmt.Errorf("%s: this block serves %s, but the policy does not list it and has no default: add either, or list this block's zones after the policy file%s", l.cfg.file, apex, meantOf(l.cfg, p, apex))
		}
		list = append(list, z)
	}
	for _, z := range list {
		if err := l.possible(z); err != nil {
			return nil, err
		}
	}
	if len(list) == 0 && !l.discovers(p) {
		return nil, fmt.Errorf("%s: none of its zones is in this block's zones (%s)", l.cfg.file, strings.Join(l.cfg.zones, " "))
	}
	return append(list, l.ofOthers(p)...), nil
}

// lacksOthers reports whether a serving lacks a zone of another block, which had not started when it was made.
func (l *layout) lacksOthers(s *serving) bool {
	return slices.ContainsFunc(l.ofOthers(s.policy), func(z *policy.Zone) bool { return s.zones.Zone(z.Name) == nil })
}

// ofOthers are the zones that other blocks serve inside this one's and that the policy does not list: the DS of their keys
// is served here. One is left out where neither policy says anything of it yet.
func (l *layout) ofOthers(p *policy.Snapshot) (list []*policy.Zone) {
	for _, other := range l.routing.table.blocks {
		for _, apex := range other.cfg.apexes() {
			if p.Zone(apex) != nil || l.cfg.covered[apex] || !l.cfg.covers(apex) || l.routing.owner(apex) != other {
				continue
			}
			z := p.ZoneOrDefault(apex)
			if s := other.serving(); s != nil { // the other block's policy has its name servers
				z = s.policy.ZoneOrDefault(apex)
			}
			if z != nil {
				list = append(list, z)
			}
		}
	}
	return list
}

// backendPatience bounds what the next plugin is asked before a policy is served: a plugin that waits for a network is not
// asked a hundred thousand questions first. What it did not get to see the self-check reports.
const backendPatience = 2 * time.Second

// possible says why a zone cannot be served by this block, nil when it can.
func (l *layout) possible(z *policy.Zone) error {
	if l.next == nil && !z.PolicyOnly() && l.routing.owner(z.Name) == nil {
		return fmt.Errorf("%v: zone %s has no nameservers, and no plugin after caa has its data: give it nameservers, or add a plugin such as file to the server block", z.Pos, z.Name)
	}
	return nil
}

// guarded are the names at which the server operator's issuers must be able to issue.
func (l *layout) guarded(p *policy.Snapshot, listed []*policy.Zone) []string {
	names := apexNames(slices.DeleteFunc(slices.Clone(listed), func(z *policy.Zone) bool {
		return p.Zone(z.Name) == nil && l.routing.owner(z.Name) != nil // the other block's policy is proved there
	}))
	if l.discovers(p) {
		names = append(names, guard.Unlisted)
	}
	return names
}

// discovers reports whether zones that are found in the next plugin's answers come under the policy.
func (l *layout) discovers(p *policy.Snapshot) bool {
	return l.next != nil && p.Default() != nil && l.cfg.covered["."]
}

func apexNames(listed []*policy.Zone) []string {
	names := make([]string, len(listed))
	for i, z := range listed {
		names[i] = z.Name
	}
	return names
}

// meantOf asks whether a zone of the policy that the block does not serve is the one that is missing.
func meantOf(cfg *config, p *policy.Snapshot, apex string) string {
	var zones []string
	for _, z := range p.Zones {
		if !cfg.covers(z.Name) {
			zones = append(zones, z.Name)
		}
	}
	near := nearest(apex, zones)
	if near == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s, which it lists (%v)?", dnsname.Bare(near), p.Zone(near).Pos)
}

// slipsInZone is how many letters of a zone's name may be wrong for it to be taken for another one.
const slipsInZone = 2

// nearest is the zone that somebody may have meant by a name, "" for none.
func nearest(name string, zones []string) string {
	return spelling.Nearest(name, zones, func(string) int { return slipsInZone })
}
