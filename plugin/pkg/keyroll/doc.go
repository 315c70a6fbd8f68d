// Package keyroll is the life of a zone's keys as a pure state machine (RFC 7583, RFC 6781 4, RFC 7344,
// RFC 8078).
//
// A Zone (its keys with their states and times, and what people have asked for) and an Input (now, settings,
// the largest TTLs served, what each server of the parent says) go into Step; the next Zone comes out, with
// the sets to serve, what each key waits for and until when, keys to make, and when to call again.
//
// Nothing is read, written or served here, and there is no clock. Who serves the Sets of a Decision has
// written its Zone first, and serves them within the propagation delay. In doubt a key stays where it
// is: a wait that nobody can know to be over is not over.
//
// The way through: key.go says what the states are and what is served in each, table.go which wait leads
// from which state to which, moments.go when each wait ends, plan.go when a roll begins, and step.go
// puts them together.
package keyroll
