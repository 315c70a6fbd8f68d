package keyroll

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Code says what is refused or amiss.
type Code string

// The codes, which are stable.
const (
	Orphaned          Code = "ds-without-key"      // held: a server of the parent names only keys that are not served
	WouldOrphan       Code = "would-orphan-ds"     // refused: the change would leave a server of the parent naming no key
	NoSuchKey         Code = "no-such-key"         // refused
	KeyNeeded         Code = "key-needed"          // refused: it is in use, or the parent may come to name it
	LeavesAlready     Code = "leaves-already"      // refused
	ParentUnknown     Code = "parent-unknown"      // refused: the parent may name the key
	RollWhileInsecure Code = "roll-while-insecure" // refused
	StaleRequest      Code = "stale-request"       // refused
	TooManyRequests   Code = "too-many-requests"   // refused
	ParentSilent      Code = "parent-silent"       // a server of the parent could not be asked, and a key waits for it
	ForeignDS         Code = "foreign-ds"          // a server of the parent names a key of which there is no file
	ParentSlow        Code = "parent-slow"         // the parent does not follow CDS, or nobody sets the DS
	KeysLost          Code = "keys-lost"           // held: the folder lacks keys in use, which are served from memory
	KeysUnreadable    Code = "keys-unreadable"     // held: the zone's files cannot be read, and its keys are served from memory
	FolderLost        Code = "folder-lost"         // held: the folder cannot be read, and the keys are served from memory
	ZoneRefused       Code = "zone-refused"        // not served: its keys are missing, or nobody knows whether it had some
	DSAtParent        Code = "ds-at-parent"        // refused: the parent has a DS, which new keys would not match
)

// Refusal is one reason why something is held or refused, or is amiss.
type Refusal struct {
	Code    Code
	Keys    []ID
	Servers []string
	Err     error // in JSON its text, as "detail"
}

// refusalJSON is a Refusal as it is written.
type refusalJSON struct {
	Code    Code     `json:"code"`
	Keys    []ID     `json:"keys,omitempty"`
	Servers []string `json:"servers,omitempty"`
	Detail  string   `json:"detail,omitempty"`
}

// MarshalJSON writes what UnmarshalJSON reads.
func (r Refusal) MarshalJSON() ([]byte, error) {
	out := refusalJSON{Code: r.Code, Keys: r.Keys, Servers: r.Servers}
	if r.Err != nil {
		out.Detail = r.Err.Error()
	}
	return json.Marshal(out)
}

// UnmarshalJSON is the inverse of MarshalJSON; of an error its text is left.
func (r *Refusal) UnmarshalJSON(text []byte) error {
	var in refusalJSON
	if err := json.Unmarshal(text, &in); err != nil {
		return err
	}
	*r = Refusal{Code: in.Code, Keys: in.Keys, Servers: in.Servers}
	if in.Detail != "" {
		r.Err = errors.New(in.Detail)
	}
	return nil
}

// refusals are the causes and remedies.
var refusals = map[Code][2]string{
	Orphaned:          {"the parent has a DS that no key here matches, so the zone is bogus there", "put the files of the key that the DS names here, from a backup or from where the zone was signed; if it is lost, have the parent remove or replace the DS"},
	WouldOrphan:       {"the change would leave the parent with a DS that no key matches", "report this: nothing has changed"},
	NoSuchKey:         {"the zone has no such key", "look at what caacheck keys shows"},
	KeyNeeded:         {"the key is in use, or the parent has been asked to name it", "roll it instead"},
	LeavesAlready:     {"the key is succeeded already, and leaves by itself", "wait: caacheck keys shows for what"},
	ParentUnknown:     {"not every server of the parent has said that it does not name the key", "ask again once each of them answers"},
	StaleRequest:      {"it was asked for so long ago that it may have come with a backup", "ask again"},
	TooManyRequests:   {"too many requests wait for a server", "see whether one is running on this folder, or take them back"},
	RollWhileInsecure: {"the zone is to be insecure", "ask for it to be secure again first"},
	ParentSilent:      {"a server of the parent could not be asked; keys wait until every one answers", "see whether it is reachable from here"},
	ForeignDS:         {"the parent has a DS of a key that is not here", "have it removed, unless another signer of the zone owns it"},
	ParentSlow:        {"the parent has not taken over the DS yet", "if it does not follow CDS, give it the DS by hand"},
	KeysLost:          {"the folder lacks keys that are in use, which are served from memory", "do not restart the server: put the folder back as it was, or write what the server holds with caacheck keys restore"},
	KeysUnreadable:    {"the zone's files cannot be read, and its keys are served from memory", "do not restart the server: repair the files, or write what the server holds with caacheck keys restore"},
	FolderLost:        {"the folder cannot be read, and the keys are served from memory", "do not restart the server: put the folder back, or make it and write what the server holds with caacheck keys restore"},
	ZoneRefused:       {"the zone is not served", "put the files of its keys back, or start with new keys by caacheck keys new"},
	DSAtParent:        {"the parent has a DS, and new keys would not match it", "have the parent remove its DS and wait until caches have let go of it, or say orphan ZONE in the caa block"},
}

// Cause is why.
func (r Refusal) Cause() string { return refusals[r.Code][0] }

// Remedy is what to do.
func (r Refusal) Remedy() string { return refusals[r.Code][1] }

// String is the refusal for people.
func (r Refusal) String() string {
	var about []string
	for _, id := range r.Keys {
		about = append(about, id.String())
	}
	about = append(about, r.Servers...)
	if r.Err != nil {
		about = append(about, r.Err.Error())
	}
	text := fmt.Sprintf("%s: %s", r.Cause(), r.Remedy())
	if len(about) > 0 {
		text = strings.Join(about, ", ") + ": " + text
	}
	return text
}

// refuse adds a refusal.
func (s *step) refuse(r Refusal) { s.out.Refusals = append(s.out.Refusals, r) }

// warn looks for what is amiss.
func (s *step) warn() {
	for i := range s.parent.servers {
		o := &s.parent.servers[i]
		switch {
		case o.Err != nil && s.any((*Key).NeedsParent):
			s.out.Warnings = append(s.out.Warnings, Refusal{Code: ParentSilent, Servers: []string{o.Server}, Err: o.Err})
		case len(o.Others) > 0 && len(o.Named) > 0:
			s.out.Warnings = append(s.out.Warnings, Refusal{Code: ForeignDS, Keys: []ID{{o.Others[0].Algorithm, o.Others[0].KeyTag}}, Servers: []string{o.Server}})
		}
	}
	for _, k := range s.keys {
		if limit := k.Since.Add(s.in.Settings.Patience); k.State == Ready && s.in.Now.After(limit) {
			s.out.Warnings = append(s.out.Warnings, Refusal{Code: ParentSlow, Keys: []ID{k.ID}, Err: fmt.Errorf("since %s", k.Since.UTC().Format(time.DateTime))})
		}
	}
}

// Check says which servers of the parent name none of the keys that sign the DNSKEY RRset, for a zone
// whose keys are given. Serving it would lock everybody out.
func Check(apex []ID, parent []Observation) []Refusal {
	s := &step{m: &standard, parent: newParent(parent)}
	for _, id := range apex {
		s.keys = append(s.keys, &Key{ID: id, Role: KSK, State: Active})
	}
	if servers := s.orphans(); len(servers) > 0 {
		return []Refusal{{Code: Orphaned, Servers: servers}}
	}
	return nil
}
