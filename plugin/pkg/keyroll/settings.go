package keyroll

import (
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"
)

// Settings are what an operator may set. DefaultSettings are safe under every parent that we know of;
// shorter ones are for who knows better.
type Settings struct {
	Propagation       time.Duration `json:"propagation"`        // until every server of the zone serves what was decided
	ParentPropagation time.Duration `json:"parent_propagation"` // until every server behind the parent's addresses serves what one of them does
	ParentTTL         time.Duration `json:"parent_ttl"`         // the least TTL that the DS RRset is taken to have
	Safety            time.Duration `json:"safety"`             // added to every wait: the most by which two readings of the clock may be wrong
	Lifetime          Lifetimes     `json:"lifetime"`
	Algorithm         uint8         `json:"algorithm"`
	Split             bool          `json:"split"`      // KSK and ZSK rather than one CSK
	BackupAge         time.Duration `json:"backup_age"` // how old a backup that comes back may be
	Keep              time.Duration `json:"keep"`       // how long a removed key stays in the folder
	Heartbeat         time.Duration `json:"heartbeat"`  // how often the state is written at least
	Poll              time.Duration `json:"poll"`       // how often the parent is asked while a key waits for it
	Patience          time.Duration `json:"patience"`   // how long the parent may take before that is reported
}

// Lifetimes say how long a key is active before it is rolled; 0 is for ever.
type Lifetimes struct {
	KSK time.Duration `json:"ksk"`
	ZSK time.Duration `json:"zsk"`
	CSK time.Duration `json:"csk"`
}

const (
	// DefaultPropagation is BIND's zone-propagation-delay. Servers on one folder look at it every few
	// seconds; the rest is for whatever copies the folder.
	DefaultPropagation = 5 * time.Minute

	// DefaultParentPropagation is BIND's parent-propagation-delay: the servers of a TLD are many, behind
	// one address, and get a zone minutes apart.
	DefaultParentPropagation = time.Hour

	// DefaultParentTTL is the TTL of DS under .com, .org and most TLDs, of which few have a longer one. It
	// is a floor, so that a DS that was never seen counts, too.
	DefaultParentTTL = 24 * time.Hour

	// DefaultSafety is BIND's publish-safety and retire-safety, and the drift of clocks that we promise to
	// stand.
	DefaultSafety = time.Hour

	// DefaultLifetimeZSK is a habit (Knot has 30 days, BIND's manual 90) and no more: nothing forces a roll
	// of a key of this size that is in a file (RFC 6781 3.3).
	DefaultLifetimeZSK = 90 * 24 * time.Hour

	// DefaultLifetimeKSK and DefaultLifetimeCSK are those of BIND's default policy: a roll needs the parent
	// to follow CDS, and many do not. Who has such a parent sets a year or so.
	DefaultLifetimeKSK = time.Duration(0)
	DefaultLifetimeCSK = time.Duration(0)

	// DefaultAlgorithm makes short signatures and validates everywhere (RFC 8624 3.1).
	DefaultAlgorithm = dns.ECDSAP256SHA256

	// DefaultBackupAge is the backup of last week and a day to notice. A key that is in the folder for
	// so long before it is used is in every backup that is restored; no official reference.
	DefaultBackupAge = 8 * 24 * time.Hour

	// DefaultKeep is BIND's purge-keys. A DS that comes back at the parent finds its key for so long.
	DefaultKeep = 90 * 24 * time.Hour

	// DefaultHeartbeat is half the shortest wait that the defaults know. A state that is twice as old may
	// be that of a backup, and two changes behind the world.
	DefaultHeartbeat = 30 * time.Minute

	// DefaultPoll is Knot's ksk-submission check-interval.
	DefaultPoll = time.Hour

	// DefaultPatience is longer than any registry's cycle of looking for CDS that we know of (a day).
	DefaultPatience = 7 * 24 * time.Hour

	// missedHeartbeats make a state stale.
	missedHeartbeats = 2
)

// DefaultSettings returns the defaults.
func DefaultSettings() Settings {
	return Settings{
		Propagation: DefaultPropagation, ParentPropagation: DefaultParentPropagation, ParentTTL: DefaultParentTTL,
		Safety: DefaultSafety, Algorithm: DefaultAlgorithm, BackupAge: DefaultBackupAge, Keep: DefaultKeep,
		Lifetime:  Lifetimes{KSK: DefaultLifetimeKSK, ZSK: DefaultLifetimeZSK, CSK: DefaultLifetimeCSK},
		Heartbeat: DefaultHeartbeat, Poll: DefaultPoll, Patience: DefaultPatience,
	}
}

// Check returns an error for each setting that is unsafe for any zone. It does not know the parent: for that, keep the
// defaults.
func (s *Settings) Check() error {
	var errs []error
	for _, setting := range []struct {
		name string // in the Corefile
		time.Duration
	}{
		{"propagation", s.Propagation}, {"parent-propagation", s.ParentPropagation}, {"parent-ttl", s.ParentTTL}, {"safety", s.Safety},
		{"ksk-lifetime", s.Lifetime.KSK}, {"zsk-lifetime", s.Lifetime.ZSK}, {"csk-lifetime", s.Lifetime.CSK},
		{"backup-age", s.BackupAge}, {"keep", s.Keep}, {"patience", s.Patience},
	} {
		if setting.Duration < 0 {
			errs = append(errs, fmt.Errorf("%s %s: must not be negative", setting.name, setting.Duration))
		}
	}
	if s.Heartbeat <= 0 || s.Poll <= 0 {
		errs = append(errs, errors.New("heartbeat and poll must be positive"))
	}
	// A state of that age may be one step behind the world, and no more.
	if limit := (s.Propagation + s.Safety) / missedHeartbeats; s.Heartbeat > limit {
		errs = append(errs, fmt.Errorf("heartbeat %s: with propagation %s and safety %s it must be at most %s, so that a restored backup is noticed in time", s.Heartbeat, s.Propagation, s.Safety, limit))
	}
	return errors.Join(errs...)
}

// roles are those of the keys that a zone has.
func (s *Settings) roles() []Role {
	if s.Split {
		return splitRoles
	}
	return singleRoles
}

var splitRoles, singleRoles = []Role{KSK, ZSK}, []Role{CSK}

// of returns the lifetime of a role.
func (l *Lifetimes) of(r Role) time.Duration {
	return [...]time.Duration{KSK: l.KSK, ZSK: l.ZSK, CSK: l.CSK}[r]
}
