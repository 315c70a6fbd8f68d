package keyfolder

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// View is what a folder has of one zone, for people. It holds no private half of a key, and none was read.
type View struct {
	Zone   string
	State  keyroll.Zone // of its Keys those that have left are among them; the zero value where there is no state
	Report *Report      // nil where no server wrote one
	Public map[keyroll.ID]*dns.DNSKEY
	Found  []keyroll.Key // keys that the state does not have, as their files have them; State is not known
	Lost   []keyroll.ID  // keys in use of which a file is missing
	Err    error         // why the zone cannot be read; the rest may be empty
}

// Served reports whether a server has ever kept the zone's keys here.
func (v *View) Served() bool { return !v.State.Seen.IsZero() }

// ErrNoZone is a zone of which a folder has nothing.
var ErrNoZone = errors.New("the zone has no keys")

// Look reads what the folder has of zones; of all zones where none is named. It takes no lock, for each file is
// replaced whole, and writes nothing.
func (f *Folder) Look(now time.Time, zones ...string) ([]View, error) {
	info, err := os.Stat(f.dir)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a folder", f.dir)
	}
	if err != nil {
		return nil, err
	}
	names, err := f.zoneFiles()
	if err != nil {
		return nil, err
	}
	stems := make([]string, len(zones))
	for i, zone := range zones {
		if stems[i], err = zonesign.KeyFileStem(zone); err != nil {
			return nil, err
		}
		if len(names[stems[i]]) == 0 {
			return nil, fmt.Errorf("%s in %s: %w", zone, f.dir, ErrNoZone)
		}
	}
	if len(zones) == 0 {
		for stem := range names {
			stems = append(stems, stem)
		}
	}
	views := make([]View, len(stems))
	var group errgroup.Group
	group.SetLimit(workers)
	for i, stem := range stems {
		group.Go(func() error {
			views[i] = f.view(now, stem, names[stem])
			return nil
		})
	}
	group.Wait() // each zone has its own error
	return views, nil
}

// zoneFiles returns the names of states and public halves by the stem of their zone.
func (f *Folder) zoneFiles() (map[string][]string, error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, err
	}
	names := map[string][]string{}
	for _, entry := range entries {
		name := entry.Name()
		zone, isState := strings.CutSuffix(name, "."+stateSuffix)
		stem, _, isKey := strings.Cut(name, "+")
		switch {
		case !strings.HasPrefix(name, "K"):
		case isState:
			names[zone+".+"] = append(names[zone+".+"], name)
		case isKey && strings.HasSuffix(name, ".key"):
			names[stem+"+"] = append(names[stem+"+"], name)
		}
	}
	return names, nil
}

func (f *Folder) view(now time.Time, stem string, names []string) View {
	v := View{Zone: zoneOf(stem), Public: map[keyroll.ID]*dns.DNSKEY{}}
	if v.Zone == "" {
		v.Err = fmt.Errorf("%q is not the name of a zone with keys", names[0])
		return v
	}
	times := map[keyroll.ID]keyroll.Times{}
	for _, name := range names {
		if !strings.HasSuffix(name, ".key") {
			continue
		}
		path := filepath.Join(f.dir, name)
		if _, err := os.Stat(strings.TrimSuffix(path, ".key") + ".private"); errors.Is(err, fs.ErrNotExist) {
			continue // a key is its two files
		}
		key, text, err := zonesign.LoadPublic(path)
		if err != nil {
			v.Err = errors.Join(v.Err, err)
			continue
		}
		id := keyroll.ID{Algorithm: key.Algorithm, Tag: key.KeyTag()}
		v.Public[id] = key
		if times[id], err = timesIn(string(text), "; "); err != nil {
			v.Err = errors.Join(v.Err, fmt.Errorf("%s: %w", path, err))
		}
	}
	file, err := readStateFile(filepath.Join(f.dir, strings.TrimSuffix(stem, "+")+stateSuffix), v.Zone)
	v.State, v.Report = file.State, file.Report
	if v.Err = errors.Join(v.Err, err); v.Err == nil {
		v.compare(now, times)
	}
	return v
}

// compare finds what the state and the files do not have in common.
func (v *View) compare(now time.Time, times map[keyroll.ID]keyroll.Times) {
	known := map[keyroll.ID]bool{}
	for _, k := range v.State.Keys {
		known[k.ID] = true
		if v.Public[k.ID] == nil && k.State != keyroll.Made && k.State != keyroll.Removed {
			v.Lost = append(v.Lost, k.ID)
		}
	}
	all := func(yield func(*dns.DNSKEY, keyroll.Times) bool) {
		for id, key := range v.Public {
			if !yield(key, times[id]) {
				return
			}
		}
	}
	for id, key := range v.Public {
		if !known[id] {
			v.Found = append(v.Found, keyroll.Key{ID: id, Role: roleOf(key, now, all), Times: times[id]})
		}
	}
	sortFound(v.Found)
}

// zoneOf is the zone that a stem is of, as it is written on the wire and read off it, or "".
func zoneOf(stem string) string {
	name := strings.TrimSuffix(strings.TrimPrefix(stem, "K"), "+")
	wire := []byte{}
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		octets, err := url.PathUnescape(label) // %XX is all that it undoes
		if err != nil || len(octets) > 63 {
			return ""
		}
		if octets != "" {
			wire = append(append(wire, byte(len(octets))), octets...)
		}
	}
	zone, _, err := dns.UnpackDomainName(append(wire, 0), 0)
	if err != nil {
		return ""
	}
	return zone
}

// sortFound puts the oldest first.
func sortFound(keys []keyroll.Key) {
	slices.SortFunc(keys, func(a, b keyroll.Key) int {
		return slices.Compare(
			[]int64{a.Times.Activate.Unix(), a.Times.Created.Unix(), int64(a.ID.Algorithm), int64(a.ID.Tag)},
			[]int64{b.Times.Activate.Unix(), b.Times.Created.Unix(), int64(b.ID.Algorithm), int64(b.ID.Tag)})
	})
}
