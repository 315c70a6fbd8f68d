package keyroll

import "time"

// Zone is what is kept of a zone from one step to the next: the state file. The zero value is a zone that
// is not known yet.
type Zone struct {
	Keys     []Key     `json:"keys"`                // in the order in which they came or will come into use
	Insecure bool      `json:"insecure,omitempty"`  // people want the zone to be insecure
	AskedKSK Urgency   `json:"asked_ksk,omitempty"` // a roll that people want and that has not begun: of the KSK or CSK
	AskedZSK Urgency   `json:"asked_zsk,omitempty"`
	Requests []Request `json:"requests,omitempty"` // what people asked for since the last step, the oldest first
	Answers  []Answer  `json:"answers,omitempty"`  // the last, the oldest first
	DataTTL  Mark      `json:"data_ttl"`
	KeyTTL   Mark      `json:"dnskey_ttl"`
	DSTTL    Mark      `json:"ds_ttl"`
	Seen     time.Time `json:"seen"` // when this was written
}

// Urgency is how a roll was asked for.
type Urgency uint8

// The urgencies.
const (
	Never   Urgency = iota
	Planned         // when a key has lain in the folder for long enough and no other roll is under way
	Urgent          // at once
)

// Mark is the largest TTL of a kind that may still count down in a cache. A TTL that is lowered counts
// only when what was served with the larger one has run out everywhere.
type Mark struct {
	Largest time.Duration `json:"largest"`
	Lowered time.Time     `json:"lowered,omitzero"` // since when less is served; zero while Largest is
	Later   time.Duration `json:"later,omitempty"`  // the largest since then
}

// seen notes a TTL that is served now. What servers serve lags by up to linger.
func (m Mark) seen(ttl time.Duration, now time.Time, linger time.Duration) Mark {
	switch {
	case ttl >= m.Largest:
		return Mark{Largest: ttl}
	case m.Lowered.IsZero():
		return Mark{Largest: m.Largest, Lowered: now, Later: ttl}
	case now.Before(m.Lowered.Add(m.Largest + linger)):
		return Mark{Largest: m.Largest, Lowered: m.Lowered, Later: max(m.Later, ttl)}
	}
	// What was served in between may have been served until now.
	return Mark{Largest: m.Later}.seen(ttl, now, linger)
}
