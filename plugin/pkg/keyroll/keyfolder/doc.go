// Package keyfolder keeps the keys of zones, as package keyroll rolls them, in a folder: each key in BIND's
// two files with its timing metadata, which dnssec-settime and dnssec-dsfromkey read, and beside them one
// small file for each zone with its state.
//
// Update runs one step of each zone: under the folder's lock it reads, lets keyroll decide, makes the keys
// that are wanted, writes them and then the states that have them, and returns what is to be served. What it returns is
// on the disk; what could not be written is not returned. The zones share a few syncs. Whenever the machine stops in
// between, the next Update finds either the old state or the new one, with all the keys that it needs.
//
// The state file alone says where keys are. The times in the key files follow it, for people and their
// tools; they say where a key is only when there is no state yet, as with keys that BIND has made.
package keyfolder
