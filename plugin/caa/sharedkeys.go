package caa

import (
	"context"
	"errors"

	"github.com/coredns-caa/caa/plugin/caa/keyring"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// sharedKeys is the keyring of a block in which zones of other blocks have the keys that they have there (routes.go).
type sharedKeys struct {
	keyring.Keyring // the block's own
	routing         routing
	rekey           func() // serves the keys as they are now; called when those of another block change
}

// Of implements keyring.Keyring.
func (k *sharedKeys) Of(zone string) (*keyring.Keys, error) {
	owner := k.routing.owner(zone)
	if owner == nil {
		return k.Keyring.Of(zone)
	}
	if served := owner.served(zone); served != nil {
		return served.Keys, nil
	}
	return owner.keys.Of(zone)
}

// Ensure implements keyring.Keyring.
func (k *sharedKeys) Ensure(ctx context.Context, zone *policy.Zone) (*keyring.Keys, error) {
	owner := k.routing.owner(zone.Name)
	if owner == nil {
		return k.Keyring.Ensure(ctx, zone)
	}
	owner.sharers.add(k.routing.own, k.rekey)
	if served := owner.served(zone.Name); served != nil {
		return served.Keys, nil
	}
	return owner.keys.Ensure(ctx, zone)
}

// Prepare implements keyring.Keyring.
func (k *sharedKeys) Prepare(ctx context.Context, zones []*policy.Zone) error {
	byRing := map[keyring.Keyring][]*policy.Zone{}
	var rings []keyring.Keyring // in the order of their first zones: errors and logs are the same in every run
	add := func(ring keyring.Keyring, z *policy.Zone) {
		if byRing[ring] == nil {
			rings = append(rings, ring)
		}
		byRing[ring] = append(byRing[ring], z)
	}
	for _, z := range zones {
		switch owner := k.routing.owner(z.Name); {
		case owner == nil:
			add(k.Keyring, z)
		case owner.served(z.Name) == nil:
			add(owner.keys, z)
		}
	}
	var errs []error
	for _, ring := range rings {
		errs = append(errs, ring.Prepare(ctx, byRing[ring]))
	}
	return errors.Join(errs...)
}
