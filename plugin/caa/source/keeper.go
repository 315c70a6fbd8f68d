package source

import "time"

// keeper keeps the text of the policy that is served as the last good one. Where that fails the policy is served all
// the same, and it is tried again: a restart would otherwise hold the source against an older policy, and could go back
// to that. One goroutine uses it.
type keeper struct {
	file   LastGood
	text   []byte    // that is still to be kept, nil when it is
	failed time.Time // when it was reported that it could not be; zero when it could
}

// keep keeps a text, instead of one that is still to be kept.
func (k *keeper) keep(text []byte, now time.Time) []Event {
	k.text = text
	return k.again(now)
}

// again keeps the text that is still to be kept, if there is one.
func (k *keeper) again(now time.Time) []Event {
	if k.text == nil {
		return nil
	}
	err := k.file.save(k.text)
	switch failed := k.failed; {
	case err == nil:
		k.text, k.failed = nil, time.Time{}
		if !failed.IsZero() {
			return []Event{Kept{k.file.path}}
		}
	case failed.IsZero() || now.Sub(failed) >= reminder:
		k.failed = now
		return []Event{Unkept{err}}
	}
	return nil
}
