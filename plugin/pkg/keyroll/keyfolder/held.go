package keyfolder

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// Held is what a server holds of a zone: what the last Update decided, and all keys with their private halves. It
// outlives the files. Immutable.
type Held struct {
	decision keyroll.Decision
	keys     map[keyroll.ID]*keyFiles // nil for a record
}

// newHeld is what is held after a decision is written. The times of key files are copied, for they change.
func newHeld(d keyroll.Decision, files map[keyroll.ID]*keyFiles) *Held {
	h := &Held{decision: d, keys: map[keyroll.ID]*keyFiles{}}
	for _, k := range d.Zone.Keys {
		if file := files[k.ID]; file != nil {
			h.keys[k.ID] = &keyFiles{base: file.base, key: file.key, times: k.Times}
		}
	}
	return h
}

// Recorded is what a record says of a zone whose keys nobody holds any more: that it had them, in which states.
func Recorded(z keyroll.Zone) *Held { return &Held{decision: keyroll.Decision{Zone: z}} }

// Zone is the state that is held.
func (h *Held) Zone() *keyroll.Zone { return &h.decision.Zone }

// Empty reports whether nothing is known of the zone: neither keys nor that it is to have none.
func (h *Held) Empty() bool { return len(h.decision.Zone.Keys) == 0 && !h.decision.Zone.Insecure }

// HasKeys reports whether the keys themselves are held, rather than a record of them.
func (h *Held) HasKeys() bool { return h != nil && h.keys != nil }

// Missing reports whether the folder listed lacks a file of a key that caches may need.
func (h *Held) Missing(list *Listing) bool {
	return h.HasKeys() && slices.ContainsFunc(h.decision.Zone.Keys, func(k keyroll.Key) bool {
		file := h.keys[k.ID]
		return file != nil && k.Cached() && !list.hasKey(file.base)
	})
}

// Result is what to serve of a zone while the folder cannot be used: what was served. There are no Keys where
// none are held.
func (h *Held) Result(now time.Time, lost keyroll.Refusal, err error) *Result {
	r := &Result{Err: err, Lost: &lost, Held: h}
	if !h.HasKeys() {
		return r
	}
	r.Decision = h.decision
	r.Decision.Changes, r.Decision.Make, r.Decision.Delete = nil, nil, nil
	r.Decision.Wake = now.Add(retryAfter)
	r.Keys = map[keyroll.ID]*zonesign.Key{}
	for _, id := range slices.Concat(r.Sets.DNSKEY, r.Sets.Data) {
		r.Keys[id] = h.keys[id].key
	}
	return r
}

// LostError is a folder that lacks keys in use.
type LostError struct{ Refusal keyroll.Refusal }

func (e *LostError) Error() string {
	var ids []string
	for _, id := range e.Refusal.Keys {
		ids = append(ids, id.String())
	}
	return fmt.Sprintf("the files or the state of %s, which are in use, are missing or belong to another key", strings.Join(ids, ", "))
}

// Unwrap makes it an ErrKeyLost.
func (e *LostError) Unwrap() error { return ErrKeyLost }

// holdOn has what is held served on.
func (u *update) holdOn(lost keyroll.Refusal) {
	if u.held.HasKeys() {
		u.result = *u.held.Result(u.now, lost, nil)
		return
	}
	u.result = Result{Lost: &lost, Held: u.held}
}

// reconcile finds the state to go on from, or why there is none.
func (u *update) reconcile() *keyroll.Refusal {
	if u.held == nil {
		return nil
	}
	var observed []keyroll.Observation
	if u.work.Observed != nil {
		observed = u.work.Observed(u.zone, u.dnskeys())
	}
	state, lost := keyroll.Reconcile(u.held.Zone(), &u.state, u.has, observed)
	if lost == nil && state == u.held.Zone() && u.held.HasKeys() {
		u.state, u.fromMemory = *state, true
	}
	return lost
}

// has reports whether the folder has both files of the key that is held. Of a record nothing but the tag is known.
func (u *update) has(id keyroll.ID) bool {
	file, held := u.files[id], u.held.keys[id]
	return file != nil && (held == nil || samePublic(file.key.DNSKEY, held.key.DNSKEY))
}

func samePublic(a, b *dns.DNSKEY) bool {
	return a.PublicKey == b.PublicKey && a.Flags == b.Flags && a.Algorithm == b.Algorithm
}
