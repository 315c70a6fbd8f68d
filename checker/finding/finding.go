// Package finding reports what is wrong with a name's CAA, its zones and their servers: what locks a CA
// out today, what will, and what admits one by accident.
//
// A [Case] holds all observations of one name: the climb, and every reply of every address of the name servers
// of the zones that hold its names, over UDP and TCP. [Collector] makes it; nothing else here does I/O. Each kind of
// finding is one row of one table: a [catalog.Entry], and a function from a Case to the signs of it. [Signs] applies
// the table to one name, and [Gather] makes one [Finding] of all signs of one cause: one for each cause, zone and set
// of servers, however many names and RRsets show it.
package finding

import "github.com/coredns-caa/caa/plugin/pkg/catalog"

// Finding is one fault: what is wrong, where, since when if that is known, and how to fix it.
type Finding struct {
	Code     string           `json:"code"` // stable
	Severity catalog.Severity `json:"severity"`
	Subject  string           `json:"subject"`            // the name, zone or server that it is about, or what several have in common
	Subjects []string         `json:"subjects,omitempty"` // each of them, for comparison with other runs
	Text     string           `json:"text"`
	Evidence []string         `json:"evidence,omitempty"` // what was observed, and where
	Section  string           `json:"section"`            // of the RFC or the Baseline Requirements
	Fix      string           `json:"fix"`

	Zone string `json:"-"` // that the fault is in; "" where the same fault shows in several
}

// Found is a finding with the names that it was found for.
type Found struct {
	Finding Finding
	Names   []string
}
