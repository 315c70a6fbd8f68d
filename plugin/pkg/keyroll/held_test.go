package keyroll

import (
	"slices"
	"testing"

	"github.com/miekg/dns"
)

// What a folder has takes the place of what is held where no key is lost by that, or the parent says so.
func TestReconcile(t *testing.T) {
	t.Parallel()
	a, b, c, foreign := slotID(0), slotID(1), slotID(2), slotID(7)
	zone := func(keys ...Key) Zone { return Zone{Seen: epoch, Keys: keys} }
	key := func(id ID, state State) Key { return Key{ID: id, Role: CSK, State: state} }
	says := func(named []ID, others ...uint16) []Observation {
		o := Observation{Server: "a", Named: named}
		for _, tag := range others {
			o.Others = append(o.Others, &dns.DS{KeyTag: tag, Algorithm: firstAlgorithm})
		}
		return []Observation{o, {Server: "b", Named: o.Named, Others: o.Others}}
	}
	silent := append(says([]ID{foreign}), Observation{Server: "c", Err: errSilent})
	insecure := zone()
	insecure.Insecure = true
	const wantRead, wantHeld = "read", "held"
	for _, tt := range []struct {
		name       string
		held, read Zone
		has        []ID
		observed   []Observation
		want       string
		lost       []ID
	}{
		{"nothing has changed", zone(key(a, Active)), zone(key(a, Active)), []ID{a}, nil, wantRead, nil},
		{"another server went on", zone(key(a, Active)), zone(key(a, Active), key(b, Published)), []ID{a, b}, nil, wantRead, nil},
		{"another server went on by a whole roll", zone(key(a, Active)), zone(key(a, Removed), key(b, Active)), []ID{a, b}, nil, wantRead, nil},
		{"an older state with all keys", zone(key(a, Retiring), key(b, Active)), zone(key(a, Active), key(b, Made)), []ID{a, b}, nil, wantRead, nil},
		{"a key that nobody saw is lost", zone(key(a, Active), key(b, Made)), zone(key(a, Active)), []ID{a}, nil, wantRead, nil},
		{"a removed key is lost", zone(key(a, Removed), key(b, Active)), zone(key(b, Active)), []ID{b}, nil, wantRead, nil},
		{"a key that left is deleted", zone(key(a, Retiring), key(b, Active)), zone(key(b, Active)), []ID{b}, nil, wantRead, nil},
		{"an old algorithm is deleted", zone(key(a, Postsigned), key(b, Active)), zone(key(a, Removed), key(b, Active)), []ID{b}, nil, wantRead, nil},
		{"an insecure zone's last key is deleted", Zone{Seen: epoch, Insecure: true, Keys: []Key{key(a, Yielding)}}, insecure, nil, nil, wantRead, nil},
		{"all is lost", zone(key(a, Active)), Zone{}, nil, nil, wantHeld, []ID{a}},
		{"the files are lost", zone(key(a, Active)), zone(key(a, Active)), nil, nil, wantHeld, []ID{a}},
		{"the state alone is lost", zone(key(a, Active)), Zone{}, []ID{a}, nil, wantHeld, nil},
		{"an older folder without a key in use", zone(key(a, Retiring), key(b, Ready)), zone(key(a, Active)), []ID{a}, nil, wantHeld, []ID{b}},
		{"an older state, and the key's files", zone(key(a, Retiring), key(b, Ready)), zone(key(a, Active)), []ID{a, b}, nil, wantHeld, []ID{b}},
		{"a key that leaves, and no successor", zone(key(a, Retiring), key(b, Active)), zone(key(c, Active)), []ID{c}, nil, wantHeld, []ID{a, b}},
		{"a foreign folder", zone(key(a, Active)), zone(key(foreign, Active)), []ID{foreign}, nil, wantHeld, []ID{a}},
		{"a foreign folder, and a DS of the key held", zone(key(a, Active)), zone(key(foreign, Active)), []ID{foreign}, says(nil, a.Tag), wantHeld, []ID{a}},
		{"a foreign folder, and a DS of both", zone(key(a, Active)), zone(key(foreign, Active)), []ID{foreign}, says([]ID{foreign}, a.Tag), wantHeld, []ID{a}},
		{"a foreign folder, and its DS everywhere", zone(key(a, Active)), zone(key(foreign, Active)), []ID{foreign}, says([]ID{foreign}), wantRead, nil},
		{"a foreign folder, and its DS where somebody answers", zone(key(a, Active)), zone(key(foreign, Active)), []ID{foreign}, silent, wantHeld, []ID{a}},
		{"a foreign folder without the key of the DS", zone(key(a, Active)), zone(key(foreign, Active)), nil, says([]ID{foreign}), wantHeld, []ID{a}},
		{"an unsigned zone gets its first key", zone(), zone(key(a, Introduced)), []ID{a}, nil, wantRead, nil},
		{"an unsigned zone has its key back", zone(key(a, Removed)), zone(key(a, Yielding)), []ID{a}, nil, wantRead, nil},
		{"an unsigned zone, and a foreign folder", insecure, zone(key(foreign, Active)), []ID{foreign}, nil, wantHeld, []ID{foreign}},
		{"an unsigned zone, and no folder", insecure, Zone{}, nil, nil, wantHeld, nil},
		{"nothing is held", Zone{}, zone(key(a, Active)), []ID{a}, nil, wantRead, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			next, refusal := Reconcile(&tt.held, &tt.read, func(id ID) bool { return slices.Contains(tt.has, id) }, tt.observed)
			var lost []ID
			if refusal != nil {
				lost = refusal.Keys
			}
			if got := map[*Zone]string{&tt.held: wantHeld, &tt.read: wantRead}[next]; got != tt.want || !slices.Equal(lost, tt.lost) {
				t.Errorf("%s, lost %v; want %s, %v", got, lost, tt.want, tt.lost)
			}
		})
	}
}
