package keyring

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/coredns-caa/caa/plugin/caa/linelog"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// This file is about zones whose keys are in another folder than before: a new path in the Corefile, which may be a
// typing error, or another block that answers for the zone now. The records next to this block's own one are of such
// folders. A zone of which the own record says nothing, and one of another folder that it had keys there, counts as one
// whose keys this folder has lost: an old instance that holds them has them served on, and else the zone is refused. So does
// a zone of which an old instance holds keys of another folder, where no record is kept.
//
// That is not so where another block of the server answers for the zone with the keys of that folder: blocks such as views
// have keys of their own for a zone.
//
// A zone that is served with its keys from this folder, for its files were moved or people wanted new keys, is taken out
// of the records of folders from which no block serves it any more (dropMoved). Else they would hold good keys against
// it: one whose files come back later, when the keys have rolled, would have lost keys by the record of long ago.

// movedZones are those of the zones that had keys in another folder, and in this one not, by the records and by what the
// keyrings at work on this folder (here) and on others hold.
func (r *rolling) movedZones(zones []string, here peers) map[string]*recordedThat {
	elsewhere := running.elsewhere(r)
	candidates := map[string][]recordedThat{}
	for _, name := range zones {
		if here.inMemory(name) == nil {
			candidates[name] = elsewhere.holding(name)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	moved := map[string]*recordedThat{}
	for _, name := range zones {
		if z := r.zones[name]; z == nil || z.fresh || z.held != nil || r.record.of(name) != nil {
			continue
		}
		for _, that := range slices.Concat(r.record.others[name], candidates[name]) {
			if last := moved[name]; (last == nil || that.Seen.After(last.Seen)) && !(r.ownedElsewhere(name, that.Folder) && that.hasKeys(name)) {
				moved[name] = &that
			}
		}
	}
	return moved
}

// hasKeys reports whether a recorded key of a zone is in the folder.
func (z *recordedZone) hasKeys(zone string) bool {
	folder := keyfolder.New(z.Folder)
	return slices.ContainsFunc(z.Keys, func(k recordedKey) bool { return folder.HasKey(zone, k.Key) })
}

// movedRefusal is why a zone is refused whose keys were in another folder, and what to do about it.
func (r *rolling) movedRefusal(name string, z *rollingZone, ids string, err error) error {
	return fmt.Errorf("%s is not served: a record next to %s shows that it had the keys %s in %s, and now key auto names %s, which lacks them (%w). %s. To create new keys on purpose: caacheck keys new %[5]s %[1]s",
		dnsname.Bare(name), r.record.path, ids, z.movedFrom, r.dir, err, r.moveBack(name, z))
}

// movedText is why a zone is served from memory whose keys were in another folder, and what to do about it.
func (r *rolling) movedText(name string, z *rollingZone, result *keyfolder.Result) string {
	return fmt.Sprintf("%s: its keys were in %s, and now key auto names %s, which lacks them (%v); the server holds them in memory only, so do not restart it. %s. Or write the keys in memory to %[3]s with caacheck keys restore %[3]s. To create new keys on purpose, restart the server, then: caacheck keys new %[3]s %[1]s",
		dnsname.Bare(name), z.movedFrom, r.dir, result.Err, r.moveBack(name, z))
}

// moveBack is how a zone and its keys come together again.
func (r *rolling) moveBack(name string, z *rollingZone) string {
	files, err := zonesign.KeyFileStem(name)
	if err != nil {
		files = name // it is only for people
	}
	return fmt.Sprintf("Set key auto back to %s, or move or copy the zone's files (%s*) from there to %s", z.movedFrom, strings.TrimSuffix(files, "+"), r.dir)
}

// dropMoved takes zones that are served with keys of this folder out of the records of folders from which no block serves
// them.
func (r *rolling) dropMoved() {
	drop := map[string][]string{} // zones by record
	for name, others := range r.movedHere() {
		for _, that := range others {
			keepers, done := running.keeping(that.path, name)
			if !done {
				r.putBack(name, that) // an old instance serves it from there, for a moment
				continue
			}
			for _, ring := range keepers {
				ring.forgetRecord(name)
			}
			if len(keepers) == 0 {
				drop[that.path] = append(drop[that.path], name)
			}
		}
	}
	for path, names := range drop {
		zones, err := readRecord(path)
		if err == nil {
			maps.DeleteFunc(zones, func(name string, _ recordedZone) bool { return slices.Contains(names, name) })
			err = writeRecord(path, zones)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			log.Warningf("The record %s still lists %s whose keys are in %s now, and could not be written: %v", path, linelog.Count(len(names), "zone"), r.dir, err)
		}
	}
}

// movedHere takes out of what is known what the records of other folders say of zones that are served with keys of this
// one, and returns it as far as no other block serves them from there.
func (r *rolling) movedHere() map[string][]recordedThat {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := map[string][]recordedThat{}
	if r.record.dirty || r.record.broken != nil {
		return all // the own record comes first
	}
	for name, others := range r.record.others {
		if z := r.zones[name]; z == nil || z.keys == nil || z.refused != nil || z.lost != "" {
			continue
		}
		delete(r.record.others, name)
		for _, that := range others {
			if !r.ownedElsewhere(name, that.Folder) {
				all[name] = append(all[name], that)
			}
		}
	}
	return all
}

func (r *rolling) putBack(name string, that recordedThat) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record.others[name] = append(r.record.others[name], that)
}

// forgetRecord takes a zone that is not served out of the record.
func (r *rolling) forgetRecord(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record.forget(name)
}
