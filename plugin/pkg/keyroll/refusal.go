package keyroll

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/catalog"
)

// Code is the stable code of an Entry of the table.
type Code string

// The codes.
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

// Refusal is one reason why something is held or refused, or one problem.
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

// entries are all that can be reported of keys.
var entries = []catalog.Entry{
	{Code: string(Orphaned), Severity: catalog.Error, Section: "RFC 4035 5", Text: "no served key matches the parent's DS, so the zone is bogus", Fix: "restore the files of the DS's key to this folder, from a backup or from where the zone was signed; if it is lost, have the parent remove or replace the DS"},
	{Code: string(WouldOrphan), Severity: catalog.Error, Section: "RFC 7583 3.3", Text: "the change would leave the parent with a DS that matches no key", Fix: "report this as a bug; nothing was changed"},
	{Code: string(NoSuchKey), Severity: catalog.Warning, Text: "the zone has no such key", Fix: "list its keys with caacheck keys"},
	{Code: string(KeyNeeded), Severity: catalog.Warning, Section: "RFC 7583 3.3", Text: "the key is in use, or its DS has been requested from the parent", Fix: "roll it instead"},
	{Code: string(LeavesAlready), Severity: catalog.Info, Text: "the key was replaced already, and will be removed by itself", Fix: "wait: caacheck keys shows what it waits for"},
	{Code: string(ParentUnknown), Severity: catalog.Warning, Section: "RFC 7583 3.3.1", Text: "not every server of the parent has answered that it has no DS of the key", Fix: "repeat the request once each of them answers"},
	{Code: string(StaleRequest), Severity: catalog.Warning, Text: "the request is so old that it may come from a backup", Fix: "repeat the request"},
	{Code: string(TooManyRequests), Severity: catalog.Warning, Text: "too many requests wait for a server", Fix: "check that a server runs on this folder, or cancel the requests"},
	{Code: string(RollWhileInsecure), Severity: catalog.Warning, Text: "the zone is set to go insecure", Fix: "first request that it be secure again"},
	{Code: string(ParentSilent), Severity: catalog.Warning, Section: "RFC 7583 3.3.1", Text: "a server of the parent does not answer, and keys wait until every one does", Fix: "check that it is reachable from here"},
	{Code: string(ForeignDS), Severity: catalog.Warning, Section: "RFC 8901 4", Text: "the parent has a DS of a key that this folder does not have", Fix: "have the parent remove it, unless it belongs to another signer of the zone"},
	{Code: string(ParentSlow), Severity: catalog.Warning, Section: "RFC 7344 6.1", Text: "the parent has not published the DS yet", Fix: "if it does not follow CDS, submit the DS by hand"},
	{Code: string(KeysLost), Severity: catalog.Error, Text: "the folder lacks keys that are in use; the server holds them in memory only", Fix: "do not restart the server: restore the folder as it was, or write the keys in memory to it with caacheck keys restore"},
	{Code: string(KeysUnreadable), Severity: catalog.Error, Text: "the zone's key files cannot be read; the server holds its keys in memory only", Fix: "do not restart the server: repair the files, or write the keys in memory with caacheck keys restore"},
	{Code: string(FolderLost), Severity: catalog.Error, Text: "the key folder cannot be read; the server holds the keys in memory only", Fix: "do not restart the server: restore the folder, or create it and write the keys in memory to it with caacheck keys restore"},
	{Code: string(ZoneRefused), Severity: catalog.Error, Text: "the zone is not served", Fix: "restore its key files, or create new keys with caacheck keys new"},
	{Code: string(DSAtParent), Severity: catalog.Warning, Section: "RFC 4035 5", Text: "the parent has a DS, and new keys would not match it", Fix: "have the parent remove its DS and wait until it has expired from caches, or write orphan ZONE in the caa block"},
}

// Entries returns the table of all that can be reported of keys.
func Entries() []catalog.Entry { return slices.Clone(entries) }

// Entry returns the row of the table that a refusal is a case of.
func (r Refusal) Entry() catalog.Entry {
	i := slices.IndexFunc(entries, func(e catalog.Entry) bool { return e.Code == string(r.Code) })
	if i < 0 {
		return catalog.Entry{Code: string(r.Code)} // of a newer version
	}
	return entries[i]
}

// Standing reports whether the refusal is of what is, rather than of a request, which has an answer.
func (r Refusal) Standing() bool { return r.Code == Orphaned || r.Code == WouldOrphan }

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
	of := r.Entry()
	text := fmt.Sprintf("%s: %s", of.Text, of.Fix)
	if len(about) > 0 {
		text = strings.Join(about, ", ") + ": " + text
	}
	return text
}

// refuse adds a refusal.
func (s *step) refuse(r Refusal) { s.out.Refusals = append(s.out.Refusals, r) }

// warn looks for problems.
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
