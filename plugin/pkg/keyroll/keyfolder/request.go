package keyfolder

import (
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
)

// ErrNoState is a zone of which there is no state: there is nobody who would obey a request.
var ErrNoState = errors.New("no server uses the zone's keys yet: start a server on this folder first")

// Ask writes a request into a zone's state, under the folder's lock, and returns it as it was written. The next
// Update obeys it, by whichever server, and its answer is then among the zone's. What can be refused already is,
// and nothing is written. The state stays its owner's, so it must be that of this process.
func (f *Folder) Ask(zone string, now time.Time, r keyroll.Request) (asked keyroll.Request, refused *keyroll.Refusal, err error) {
	err = f.change(zone, func(z keyroll.Zone) keyroll.Zone {
		z, asked, refused = z.Ask(r, now)
		return z
	})
	return asked, refused, err
}

// TakeBack takes back the requests that no Update has seen, and returns them.
func (f *Folder) TakeBack(zone string) (taken []keyroll.Request, err error) {
	err = f.change(zone, func(z keyroll.Zone) keyroll.Zone {
		z, taken = z.TakeBack()
		return z
	})
	return taken, err
}

// State returns a zone's state as it is written; the zero value if it has none.
func (f *Folder) State(zone string) (keyroll.Zone, error) {
	zone = dns.CanonicalName(zone)
	path, _, err := f.statePath(zone)
	if err != nil {
		return keyroll.Zone{}, err
	}
	return readState(path, zone)
}

// change rewrites a zone's state where people have changed what they ask for. When the state was written by a
// server stays in it, for its age says whether it is to be believed.
func (f *Folder) change(zone string, change func(keyroll.Zone) keyroll.Zone) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("keys of %s in %s: %w", zone, f.dir, err)
		}
	}()
	zone = dns.CanonicalName(zone)
	path, stem, err := f.statePath(zone)
	if err != nil {
		return err
	}
	// Before the lock, which would make the folder.
	if state, err := readState(path, zone); err != nil {
		return err
	} else if state.Seen.IsZero() {
		return ErrNoState
	}
	if err := ours(path); err != nil {
		return err
	}
	unlock, err := f.disk.lock(f.dir)
	if err != nil {
		return err
	}
	defer unlock()
	file, err := readStateFile(path, zone)
	if err != nil {
		return err
	}
	before := len(file.State.Requests)
	if file.State = change(file.State); len(file.State.Requests) == before {
		return nil
	}
	return writeState(f.disk, path, stem, file)
}
