package keyroll

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// This file is a world for the state machine to run in: the servers of the zone, of which some lag, the
// servers of its parent, of which some lag too, and what caches may hold. Time goes by in units.
//
// Caches are modelled by what any of them may hold: each version of an RRset that some server serves or
// served, with the time for which it can still be in a cache. Resolvers fetch the RRsets of a zone at
// times of their own, so a cache may hold any mixture; an invariant must hold for each.

const (
	unit = time.Hour

	propagation, parentPropagation = 1, 1
	dataTTL, keyTTL, parentTTL     = 3, 2, 2
	loweredTTL                     = 1 // of data and DNSKEY, when settings are changed
	jump                           = 1 // of clocks
	backupAge                      = 6
	horizon                        = 10 // ages beyond it make no difference: no wait is as long, by any clock
)

var epoch = time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)

// mask is a set of keys, by slots. The upper half are keys of the second algorithm.
type mask uint16

const (
	slots                     = 16
	firstAlgorithm, secondAlg = 13, 15
	firsts, seconds           = mask(0x00ff), mask(0xff00)
)

func slotID(slot int) ID {
	if slot < slots/2 {
		return ID{firstAlgorithm, uint16(slot)}
	}
	return ID{secondAlg, uint16(slot)}
}

func maskOf(ids []ID) mask {
	var m mask
	for _, id := range ids {
		m |= 1 << id.Tag
	}
	return m
}

func (m mask) ids() (ids []ID) {
	for ; m != 0; m &= m - 1 {
		ids = append(ids, slotID(bits.TrailingZeros16(uint16(m))))
	}
	return ids
}

// version is one content of an RRset, as it is served and cached.
type version struct {
	keys    mask // of DNSKEY: published; of data: their signers; of DS: named
	apex    mask // of DNSKEY: its signers
	cds     mask // served beside DNSKEY
	remove  bool // the CDS that asks for the DS to be removed
	ttl     int8
	serving int8 // always, or for how long servers that lag serve it yet
	left    int8 // for how long a cache may hold it yet
	old     bool // the parent has followed a newer CDS, and follows none that is older (RFC 7344 6.2)
}

const always = int8(127)

// versions are those of one RRset that are served or cached.
type versions []version

// serve makes v what up-to-date servers serve; what they served before is served for lag yet.
func (vs *versions) serve(v version, lag int8) {
	vs.stop(lag)
	v.serving, v.left = always, v.ttl
	for i, old := range *vs {
		old.serving, old.left, old.old = v.serving, v.left, v.old
		if old == v {
			(*vs)[i] = v
			return
		}
	}
	*vs = append(*vs, v)
}

func (vs *versions) stop(lag int8) {
	for i := range *vs {
		if (*vs)[i].serving == always {
			(*vs)[i].serving = lag
		}
	}
}

func (vs *versions) tick() {
	for i := range *vs {
		v := &(*vs)[i]
		switch {
		case v.serving == always:
		case v.serving > 0:
			v.serving--
		default:
			v.left--
		}
	}
	*vs = slices.DeleteFunc(*vs, func(v version) bool { return v.serving == 0 && v.left <= 0 })
}

// budget is what people set and ask for, and how often in one exploration the world may do what.
type budget struct {
	rolls, urgent, zskRolls, zskUrgent, retires, insecure, back int8
	callOffs                                                    int8
	ttls, algorithms, splits                                    int8
	early, backups, jumps, crashes                              int8
	losses, restarts                                            int8 // with losses, the server holds what it serves
}

// world is all that may differ.
type world struct {
	now           int   // true time
	clock         int8  // how far the server's clock is ahead
	safety        int8  // added to every wait: 0 where clocks do not jump, so that each wait must be just long enough
	zone          Zone  // as written
	made          []Key // in the folder, and not in zone
	down          bool  // the server is not running
	dnskeys, data versions
	ds            versions
	servers       [2]mask // of the parent
	master        mask    // the parent's newest
	second, split bool    // settings
	lowered       bool
	saved         *Zone // a backup
	savedMade     []Key
	savedAt       int
	lax           bool // caches may lack signatures by one of the algorithms, and RFC 6840 5.11 is relied on
	full          bool // more keys were made than this world has room for
	holds         bool // the server holds what it served, and keeps a record for a restart
	held          Zone
	heldMade      []Key
	gone          mask    // keys whose files are missing, while the state is there
	away          *folder // what was in the folder before it was lost
	broken        error   // what the last step did with what people asked for, and should not have done
	budget        budget
}

// folder is the content of one that may be put in the place of another.
type folder struct {
	zone Zone
	made []Key
}

func (w *world) time() time.Time { return epoch.Add(time.Duration(w.now+int(w.clock)) * unit) }

func (w *world) settings() Settings {
	s := Settings{
		Propagation: propagation * unit, ParentPropagation: parentPropagation * unit, ParentTTL: parentTTL * unit,
		Safety: time.Duration(w.safety) * unit, Algorithm: firstAlgorithm, Split: w.split, BackupAge: backupAge * unit,
		Keep: 2 * unit, Heartbeat: unit, Poll: unit, Patience: 1000 * unit,
	}
	if w.second {
		s.Algorithm = secondAlg
	}
	return s
}

func (w *world) ttls() (data, keys int8) {
	if w.lowered {
		return loweredTTL, loweredTTL
	}
	return dataTTL, keyTTL
}

var errSilent = errors.New("silent")

// asked says which servers of the parent answer.
type asked uint8

const (
	bothAnswer asked = iota
	oneAnswers
	noneAsked
)

// foreign are DS records that name no key in the folder.
var foreign = []*dns.DS{{}}

var serverNames = [2]string{"a", "b"}

func (w *world) observe(which asked) []Observation {
	if which == noneAsked {
		return nil
	}
	out := make([]Observation, len(w.servers))
	for i, named := range w.servers {
		out[i] = Observation{Server: serverNames[i], Named: (named & w.known()).ids()}
		if named&^w.known() != 0 {
			out[i].Others = foreign
		}
		if named != 0 {
			out[i].TTL = parentTTL * unit
		}
	}
	if which == oneAnswers {
		out[1] = Observation{Server: serverNames[1], Err: errSilent}
	}
	return out
}

// known are the keys that the folder has.
func (w *world) known() mask { return known(w.zone.Keys) | known(w.made) }

func known(keys []Key) (m mask) {
	for i := range keys {
		m |= 1 << keys[i].ID.Tag
	}
	return m
}

// rules are how a server behaves; tests of the test make it behave worse.
type rules struct {
	machine machine
	read    func(*Zone)                                                                         // what is not read of what is written
	forget  func(was Zone, is *Zone)                                                            // what is not written
	twist   func(*Input)                                                                        // what is seen wrongly
	hold    func(held, read *Zone, has func(ID) bool, observed []Observation) (*Zone, *Refusal) // nil: Reconcile
	changes func(Change)                                                                        // is called for each
	visit   func(n int, text string, trace func() []string)                                     // is called for each state
}

func (r *rules) reconcile(held, read *Zone, has func(ID) bool, observed []Observation) (*Zone, *Refusal) {
	if r.hold != nil {
		return r.hold(held, read, has, observed)
	}
	return Reconcile(held, read, has, observed)
}

// step runs the state machine once, as a server does: it reads, decides, writes and serves. A crash after
// the write leaves the server down.
func (w *world) step(r *rules, which asked, crash bool) Decision {
	data, keys := w.ttls()
	if w.holds {
		next, lost := r.reconcile(&w.held, &w.zone, w.has, w.observe(which))
		if lost != nil {
			w.broken = nil // what is held stays served, or after a restart nothing is
			return Decision{}
		}
		w.zone = *next
		w.made = slices.DeleteFunc(slices.Clone(w.made), func(k Key) bool { return w.zone.key(k.ID) != nil })
		w.dropGone()
	}
	was := w.zone
	read := was
	if r.read != nil {
		r.read(&read)
	}
	in := Input{Now: w.time(), Settings: w.settings(), DataTTL: time.Duration(data) * unit, KeyTTL: time.Duration(keys) * unit,
		Parent: w.observe(which), Found: w.made}
	if r.twist != nil {
		r.twist(&in)
	}
	d := r.machine.step(read, &in)
	for _, change := range d.Changes {
		w.lax = w.lax || change.To == Unsure
		if r.changes != nil {
			r.changes(change)
		}
	}
	if d.Write {
		w.zone, w.made = d.Zone, nil
		if r.forget != nil {
			r.forget(was, &w.zone)
		}
	}
	w.broken = obeyed(was, w.zone, d)
	for _, id := range d.Delete {
		w.zone.Keys = slices.DeleteFunc(slices.Clone(w.zone.Keys), func(k Key) bool { return k.ID == id })
	}
	if crash {
		w.restart()
		return d
	}
	w.down = false
	w.dnskeys.serve(version{keys: maskOf(d.Sets.DNSKEY), apex: maskOf(d.Sets.Apex), cds: maskOf(d.Sets.CDS), remove: d.Sets.Delete, ttl: keys}, propagation)
	w.data.serve(version{keys: maskOf(d.Sets.Data), ttl: data}, propagation)
	for _, spec := range d.Make {
		w.make(spec)
	}
	if w.holds {
		w.held, w.heldMade = w.zone, w.made
	}
	return d
}

// has reports whether the folder has a key's files.
func (w *world) has(id ID) bool { return (w.known()&^w.gone)>>id.Tag&1 == 1 }

// repair is people who put the folder back and, where that has not all that is in use, ask for what the server
// holds.
func (w *world) repair() {
	if w.away != nil {
		w.comeBack()
	}
	if !w.holds {
		return
	}
	if _, lost := Reconcile(&w.held, &w.zone, w.has, nil); lost != nil {
		w.restore()
	}
}

// dropGone forgets keys without files that nobody has seen, as package keyfolder does.
func (w *world) dropGone() {
	gone := func(k Key) bool { return w.gone>>k.ID.Tag&1 == 1 }
	w.zone.Keys = slices.DeleteFunc(slices.Clone(w.zone.Keys), gone)
	w.made, w.gone = slices.DeleteFunc(slices.Clone(w.made), gone), 0
}

// lose has the folder replaced by another; what it had can come back.
func (w *world) lose(other folder) {
	w.budget.losses--
	w.away = &folder{w.zone, w.made}
	w.zone, w.made = other.zone, other.made
}

// comeBack undoes a loss.
func (w *world) comeBack() {
	w.zone, w.made, w.away, w.gone = w.away.zone, w.away.made, nil, 0
}

// restore is a running server that writes what it holds.
func (w *world) restore() {
	w.zone, w.made, w.away, w.gone = w.held, w.heldMade, nil, 0
}

// restart ends the server, and with it what it served.
func (w *world) restart() {
	w.down = true
	w.dnskeys.stop(propagation)
	w.data.stop(propagation)
}

// obeyed says what became of requests, other than that each was answered once and done, or left alone.
func obeyed(was, is Zone, d Decision) error {
	answers := is.Answers[max(0, len(is.Answers)-len(was.Requests)):]
	if len(is.Requests) > 0 || len(answers) < len(was.Requests) {
		return fmt.Errorf("of %v there is left %v, and the answers are %v", was.Requests, is.Requests, answers)
	}
	want := was
	want.begun(d.Changes, func(c Change) bool { return c.To == Unsure }) // for the state was old, before requests are handled
	for i, request := range was.Requests {
		if answers[i].Request != request {
			return fmt.Errorf("%v was answered as %v", request, answers[i])
		}
		if answers[i].Refused == nil {
			want.wish(request)
		}
	}
	want.begun(d.Changes, func(c Change) bool { return c.To != Unsure })
	if is.Insecure != want.Insecure || is.AskedKSK != want.AskedKSK || is.AskedZSK != want.AskedZSK {
		return fmt.Errorf("after %v it is %v %v %v, and should be %v %v %v", answers, is.Insecure, is.AskedKSK, is.AskedZSK, want.Insecure, want.AskedKSK, want.AskedZSK)
	}
	return nil
}

// begun strikes out the rolls that begin with changes.
func (z *Zone) begun(changes []Change, counts func(Change) bool) {
	for _, c := range changes {
		if c.From != Made || c.To == Removed || !counts(c) {
			continue
		}
		if c.Role.has(KSK) {
			z.AskedKSK = Never
		}
		if c.Role.has(ZSK) {
			z.AskedZSK = Never
		}
	}
}

// wish is what a request that is not refused leaves to do.
func (z *Zone) wish(r Request) {
	urgency := map[bool]Urgency{false: Planned, true: Urgent}[r.Urgent]
	switch {
	case r.Verb == GoInsecure || r.Verb == ComeBack:
		z.Insecure = r.Verb == GoInsecure
		if z.Insecure {
			z.AskedKSK, z.AskedZSK = Never, Never
		}
	case r.Verb == CallOff:
		z.AskedKSK, z.AskedZSK = Never, Never
	case r.Verb == RollKey && r.Role == ZSK:
		z.AskedZSK = max(z.AskedZSK, urgency)
	case r.Verb == RollKey:
		z.AskedKSK = max(z.AskedKSK, urgency)
	}
}

// ask is a person whose request gets into the folder, whether or not the server is running.
func (w *world) ask(r Request) { w.zone, _, _ = w.zone.Ask(r, w.time()) }

// make puts a key into the folder.
func (w *world) make(spec Spec) {
	used := w.used()
	for slot := range slots {
		if id := slotID(slot); used>>slot&1 == 0 && id.Algorithm == spec.Algorithm {
			w.made = append(slices.Clone(w.made), Key{ID: id, Role: spec.Role, Times: Times{Created: w.time()}})
			return
		}
	}
	w.full = true
}

// used are the keys that a cache, a copy or somebody's memory may have.
func (w *world) used() mask {
	used := w.known() | w.master
	for _, vs := range []versions{w.dnskeys, w.data, w.ds} {
		for _, v := range vs {
			used |= v.keys | v.apex | v.cds
		}
	}
	if w.saved != nil {
		used |= known(w.saved.Keys) | known(w.savedMade)
	}
	if w.holds {
		used |= known(w.held.Keys) | known(w.heldMade)
	}
	if w.away != nil {
		used |= known(w.away.zone.Keys) | known(w.away.made)
	}
	return used
}

// follow is the parent that finds CDS on a server of the zone, up to date or not.
func (w *world) follow(cds version) {
	w.master = cds.cds
	for i := range w.dnskeys {
		v := &w.dnskeys[i]
		v.old = v.old || v.serving < cds.serving || v.serving == cds.serving && v.serving < always && v.cds != cds.cds
	}
}

// sync brings a server of the parent up to date.
func (w *world) sync(server int) {
	w.servers[server] = w.master
	w.serveDS()
}

func (w *world) serveDS() {
	w.ds.stop(parentPropagation)
	for _, named := range w.servers {
		v := version{keys: named, ttl: parentTTL, serving: always, left: parentTTL}
		i := slices.IndexFunc(w.ds, func(o version) bool { return o.keys == named })
		if i < 0 {
			w.ds = append(w.ds, v)
		} else {
			w.ds[i] = v
		}
	}
}

// tick lets a unit of time go by.
func (w *world) tick() {
	w.now++
	w.dnskeys.tick()
	w.data.tick()
	w.ds.tick()
}

// bogus returns a mixture that a cache may hold and that does not validate.
func (w *world) bogus() error {
	if w.full {
		return errors.New("keys are made without end")
	}
	if w.broken != nil {
		return w.broken
	}
	for _, ds := range w.ds {
		if ds.keys == 0 {
			continue // insecure, whatever the rest is
		}
		for _, k := range w.dnskeys {
			if !chains(ds.keys, k.keys&k.apex, k.apex, !w.lax) {
				return fmt.Errorf("DS %016b, DNSKEY %016b signed by %016b", ds.keys, k.keys, k.apex)
			}
			for _, data := range w.data {
				if !chains(k.keys, data.keys, data.keys, !w.lax) {
					return fmt.Errorf("DS %016b, DNSKEY %016b, data signed by %016b", ds.keys, k.keys, data.keys)
				}
			}
		}
	}
	return nil
}

// chains reports whether one of the keys trusted has signed, and by the strictest reading of RFC 4035 2.2, one
// of each of their algorithms.
func chains(trusted, signers, all mask, strict bool) bool {
	if trusted&signers == 0 {
		return false
	}
	if !strict {
		return true
	}
	return (trusted&firsts == 0 || all&firsts != 0) && (trusted&seconds == 0 || all&seconds != 0)
}

// age turns times into numbers that do not move with the epoch.
func (w *world) age(t time.Time) int8 {
	if t.IsZero() {
		return -100
	}
	return int8(max(-horizon, min(horizon, int(w.time().Sub(t)/unit))))
}

// at is the inverse of age.
func (w *world) at(age int8) time.Time {
	if age == -100 {
		return time.Time{}
	}
	return w.time().Add(-time.Duration(age) * unit)
}

// encode writes a world so that two in which the same can happen are equal.
func (w *world) encode() string {
	e := encoder{w: w}
	e.put(w.clock, w.safety)
	e.zone(&w.zone)
	e.keys(w.made)
	e.bools(w.down, w.second, w.split, w.lowered, w.lax)
	e.versions(w.dnskeys)
	e.versions(w.data)
	e.versions(w.ds)
	e.masks(w.servers[0], w.servers[1], w.master)
	e.bools(w.saved != nil)
	if w.saved != nil {
		e.put(int8(min(horizon, w.now-w.savedAt)))
		e.zone(w.saved)
		e.keys(w.savedMade)
	}
	e.bools(w.holds)
	if w.holds {
		e.zone(&w.held)
		e.keys(w.heldMade)
		e.masks(w.gone)
		e.bools(w.away != nil)
		if w.away != nil {
			e.zone(&w.away.zone)
			e.keys(w.away.made)
		}
	}
	b := &w.budget
	e.put(b.rolls, b.urgent, b.zskRolls, b.zskUrgent, b.retires, b.insecure, b.back, b.callOffs, b.ttls, b.algorithms, b.splits, b.early, b.backups, b.jumps, b.crashes, b.losses, b.restarts)
	return string(e.out)
}

func decode(text string) world {
	w := world{}
	d := decoder{w: &w, in: text}
	w.clock, w.safety = d.next(), d.next()
	w.zone = d.zone()
	w.made = d.keys()
	w.down, w.second, w.split, w.lowered, w.lax = d.next() == 1, d.next() == 1, d.next() == 1, d.next() == 1, d.next() == 1
	w.dnskeys, w.data, w.ds = d.versions(), d.versions(), d.versions()
	w.servers = [2]mask{d.mask(), d.mask()}
	w.master = d.mask()
	if d.next() == 1 {
		w.savedAt = -int(d.next())
		saved := d.zone()
		w.saved, w.savedMade = &saved, d.keys()
	}
	if w.holds = d.next() == 1; w.holds {
		w.held, w.heldMade, w.gone = d.zone(), d.keys(), d.mask()
		if d.next() == 1 {
			w.away = &folder{d.zone(), d.keys()}
		}
	}
	b := &w.budget
	for _, field := range []*int8{&b.rolls, &b.urgent, &b.zskRolls, &b.zskUrgent, &b.retires, &b.insecure, &b.back, &b.callOffs, &b.ttls, &b.algorithms, &b.splits, &b.early, &b.backups, &b.jumps, &b.crashes, &b.losses, &b.restarts} {
		*field = d.next()
	}
	return w
}

type encoder struct {
	w   *world
	out []byte
}

func (e *encoder) put(numbers ...int8) {
	for _, n := range numbers {
		e.out = append(e.out, byte(n))
	}
}

func (e *encoder) masks(masks ...mask) {
	for _, m := range masks {
		e.put(int8(m), int8(m>>8))
	}
}

func (e *encoder) bools(values ...bool) {
	for _, v := range values {
		e.put(map[bool]int8{true: 1}[v])
	}
}

func (e *encoder) mark(m Mark) {
	e.put(int8(m.Largest/unit), e.w.age(m.Lowered), int8(m.Later/unit))
}

func (e *encoder) zone(z *Zone) {
	e.keys(z.Keys)
	e.bools(z.Insecure)
	e.put(int8(z.AskedKSK), int8(z.AskedZSK), e.w.age(z.Seen))
	e.mark(z.DataTTL)
	e.mark(z.KeyTTL)
	e.mark(z.DSTTL)
	e.put(int8(len(z.Requests)))
	for _, r := range z.Requests {
		e.put(int8(r.Verb), int8(r.Role), int8(r.Key.Tag), e.w.age(r.Asked))
		e.bools(r.Urgent)
	}
}

func (e *encoder) keys(keys []Key) {
	e.put(int8(len(keys)))
	for i := range keys {
		k := &keys[i]
		created := int8(horizon)
		if k.State == Made { // it matters to no other
			created = e.w.age(k.Times.Created)
		}
		e.put(int8(k.ID.Tag), int8(k.Role), int8(k.State), e.w.age(k.Since), e.w.age(k.Gone), created)
	}
}

func (e *encoder) versions(vs versions) {
	slices.SortFunc(vs, func(a, b version) int {
		return cmp.Or(cmp.Compare(a.keys, b.keys), cmp.Compare(a.apex, b.apex), cmp.Compare(a.cds, b.cds), cmp.Compare(a.ttl, b.ttl), cmp.Compare(a.left, b.left))
	})
	e.put(int8(len(vs)))
	for _, v := range vs {
		e.masks(v.keys, v.apex, v.cds)
		e.put(v.ttl, v.serving, v.left)
		e.bools(v.remove, v.old)
	}
}

type decoder struct {
	w  *world
	in string
}

func (d *decoder) next() int8 {
	n := int8(d.in[0])
	d.in = d.in[1:]
	return n
}

func (d *decoder) mask() mask { return mask(uint8(d.next())) | mask(uint8(d.next()))<<8 }

func (d *decoder) mark() Mark {
	return Mark{time.Duration(d.next()) * unit, d.w.at(d.next()), time.Duration(d.next()) * unit}
}

func (d *decoder) zone() Zone {
	z := Zone{Keys: d.keys(), Insecure: d.next() == 1, AskedKSK: Urgency(d.next()), AskedZSK: Urgency(d.next()), Seen: d.w.at(d.next())}
	z.DataTTL, z.KeyTTL, z.DSTTL = d.mark(), d.mark(), d.mark()
	for range d.next() {
		r := Request{Verb: Verb(d.next()), Role: Role(d.next())}
		if tag := int(d.next()); r.Verb == RetireKey {
			r.Key = slotID(tag)
		}
		r.Asked, r.Urgent = d.w.at(d.next()), d.next() == 1
		z.Requests = append(z.Requests, r)
	}
	return z
}

func (d *decoder) keys() []Key {
	keys := make([]Key, d.next())
	for i := range keys {
		keys[i] = Key{ID: slotID(int(d.next())), Role: Role(d.next()), State: State(d.next()), Since: d.w.at(d.next()), Gone: d.w.at(d.next())}
		keys[i].Times.Created = d.w.at(d.next())
	}
	return keys
}

func (d *decoder) versions() versions {
	vs := make(versions, d.next())
	for i := range vs {
		v := &vs[i]
		v.keys, v.apex, v.cds = d.mask(), d.mask(), d.mask()
		v.ttl, v.serving, v.left = d.next(), d.next(), d.next()
		v.remove, v.old = d.next() == 1, d.next() == 1
	}
	return vs
}

// fingerprint is a hash of 64 bits (FNV-1a, eight octets at a time).
func fingerprint(text string) uint64 {
	h := uint64(14695981039346656037)
	mix := func(v uint64) {
		h ^= v
		h *= 1099511628211
		h ^= h >> 29
	}
	for ; len(text) >= 8; text = text[8:] {
		mix(binary.LittleEndian.Uint64([]byte(text[:8])))
	}
	for i := range len(text) {
		mix(uint64(text[i]) + 256)
	}
	return h
}
