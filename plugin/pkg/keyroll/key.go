package keyroll

import (
	"fmt"
	"time"
)

// ID names a key among those that a zone has or had. Two keys of one zone never share it: a signature
// says no more about the key that made it (RFC 4034 3.1).
type ID struct {
	Algorithm uint8
	Tag       uint16
}

// String is the end of the key's file names, such as "013+12345".
func (id ID) String() string { return fmt.Sprintf("%03d+%05d", id.Algorithm, id.Tag) }

// MarshalText is String.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is the inverse of String.
func (id *ID) UnmarshalText(text []byte) error {
	if _, err := fmt.Sscanf(string(text), "%03d+%05d", &id.Algorithm, &id.Tag); err != nil || id.String() != string(text) {
		return fmt.Errorf("%q is not a key: write it as its file names end, such as 013+12345", text)
	}
	return nil
}

// Role is what a key signs, as bits.
type Role uint8

// The roles.
const (
	KSK Role = 1 << iota // signs DNSKEY, CDS and CDNSKEY; the parent's DS names it
	ZSK                  // signs the rest, called data here
	CSK = KSK | ZSK
)

var roleNames = names[Role]{KSK: "KSK", ZSK: "ZSK", CSK: "CSK"}

// String is the role's name.
func (r Role) String() string { return roleNames.of(r) }

// MarshalText is String.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText is the inverse of String.
func (r *Role) UnmarshalText(text []byte) error { return roleNames.parse(text, r) }

// has reports whether a role includes another.
func (r Role) has(other Role) bool { return r&other != 0 }

// State is where a key is in its life.
type State uint8

// The states, in the order of a life. What is served in each is in the table meanings.
const (
	Made       State = iota // in the folder alone, so that every backup that may come back has it
	Presigned               // first key of an algorithm: signs before resolvers learn of it (RFC 6781 4.1.4)
	Introduced              // first key of a zone or algorithm: signs, and resolvers learn of it
	Published               // successor: resolvers learn of it, nothing depends on it
	Ready                   // in use; the parent is asked to name it, and may or may not have done so
	Active                  // in use; named at every server of the parent, or a ZSK
	Yielding                // last key of its algorithm, or of a zone that goes insecure: in use until no DS names it
	Retiring                // succeeded: signs no data any more, and stays while a cache may need it
	Postsigned              // last key of an algorithm: withdrawn, and signs while caches have it (RFC 6781 4.1.4)
	Removed                 // nowhere but in the folder
	Unsure                  // nobody knows what caches have of it, so it is served and signs everything
	states
)

var stateNames = names[State]{
	Made: "made", Presigned: "presigned", Introduced: "introduced", Published: "published", Ready: "ready", Active: "active",
	Yielding: "yielding", Retiring: "retiring", Postsigned: "postsigned", Removed: "removed", Unsure: "unsure",
}

// String is the state's name.
func (s State) String() string { return stateNames.of(s) }

// MarshalText is String.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is the inverse of String.
func (s *State) UnmarshalText(text []byte) error { return stateNames.parse(text, s) }

// meaning is what is served of a key in a state.
type meaning struct {
	published bool // it is in the DNSKEY RRset, and with the role KSK signs DNSKEY, CDS and CDNSKEY
	signs     bool // with the role ZSK it signs data
	named     bool // with the role KSK it is in CDS and CDNSKEY
}

// meanings is what the states are.
var meanings = [states]meaning{
	Made:       {},
	Presigned:  {signs: true},
	Introduced: {published: true, signs: true},
	Published:  {published: true},
	Ready:      {published: true, signs: true, named: true},
	Active:     {published: true, signs: true, named: true},
	Yielding:   {published: true, signs: true},
	Retiring:   {published: true},
	Postsigned: {signs: true},
	Removed:    {},
	Unsure:     {published: true, signs: true},
}

// Key is one key of a zone, without its private half.
type Key struct {
	ID    ID        `json:"key"`
	Role  Role      `json:"role"`
	State State     `json:"state"`
	Since time.Time `json:"since"`            // when it entered State
	Gone  time.Time `json:"ds_gone,omitzero"` // since when no server of the parent names it and each names one that stays
	Times Times     `json:"times"`            // as BIND's tools show them
}

// Times is the timing metadata of BIND's key files; the zero time where something has not happened.
type Times struct {
	Created     time.Time `json:"created,omitzero"`
	Publish     time.Time `json:"publish,omitzero"`      // its DNSKEY was served first
	Activate    time.Time `json:"activate,omitzero"`     // it signed first
	SyncPublish time.Time `json:"sync_publish,omitzero"` // CDS and CDNSKEY named it first
	Inactive    time.Time `json:"inactive,omitzero"`     // it signed last
	Delete      time.Time `json:"delete,omitzero"`       // its DNSKEY was served last
	SyncDelete  time.Time `json:"sync_delete,omitzero"`  // CDS and CDNSKEY named it last
}

// turn notes what begins and ends when a key of a role goes from one meaning to another.
func (t *Times) turn(role Role, was, is meaning, now time.Time) {
	change := func(before, after bool, begin, end *time.Time) {
		switch {
		case after && !before:
			*begin, *end = now, time.Time{}
		case before && !after:
			*end = now
		}
	}
	sep, data := role.has(KSK), role.has(ZSK)
	signs := func(m meaning) bool { return sep && m.published || data && m.signs }
	change(was.published, is.published, &t.Publish, &t.Delete)
	change(signs(was), signs(is), &t.Activate, &t.Inactive)
	change(sep && was.named, sep && is.named, &t.SyncPublish, &t.SyncDelete)
}

// names are those of an enumeration's values.
type names[T ~uint8] map[T]string

func (n names[T]) of(v T) string {
	if name, ok := n[v]; ok {
		return name
	}
	return fmt.Sprint(uint8(v))
}

func (n names[T]) parse(text []byte, to *T) error {
	for v, name := range n {
		if name == string(text) {
			*to = v
			return nil
		}
	}
	return fmt.Errorf("unknown value %q: was it written by a newer version?", text)
}
