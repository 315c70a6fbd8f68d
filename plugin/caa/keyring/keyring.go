// Package keyring has the keys of the zones that a caa block serves: those of a folder, which roll (package
// keyroll), those of files, or none. It asks the zones' parents for their DS and refuses zones that these name
// no key of, looks after the keys while they are served, and tells people what becomes of them.
//
// A zone is prepared, its keys are had from Of, and somebody calls Look again and again (Watch): where it says that
// keys are others, what is served is to be made anew.
package keyring

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/linelog"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

var log = linelog.New("caa")

// Keyring has the keys of the zones that a block serves. It is safe for use by several goroutines, but for
// Look, which is for one.
type Keyring interface {
	// Prepare gets ready for zones that are about to be served. Its error is why one of them cannot be,
	// which may be that its parent's DS names none of its keys. At a start, a zone of key auto whose keys are
	// missing is no error: its Keys say that it is refused.
	Prepare(ctx context.Context, zones []*policy.Zone) error
	// Of returns the keys of one zone as they are now. The error is ErrNoKey where none is given for it.
	Of(zone *policy.Zone) (*Keys, error)
	// Retain says which zones are served; the others' keys are no longer looked after.
	Retain(zones []string)
	// Look does what is due, and reports whether zones have other keys and when something will be due again.
	Look(ctx context.Context) (changed bool, next time.Time)
	// Status says of each zone what is known of its keys.
	Status() map[string]Status
}

// Keys are the keys of a zone at one moment. Immutable, but for the TTLs that are seen.
type Keys struct {
	Set *zonesign.KeySet // nil when unsigned
	DS  []*dns.DS        // what a parent that is served by the same server has
	// Refused is why the zone must not be answered for: its keys are missing, or nobody knows yet whether it had
	// some. Nil where it is served.
	Refused error

	publish []string   // what to do about the parent's DS, as Publish has it
	served  *servedTTL // shared by all Keys of the zone
}

// Publish says what to do about the DS at the parent, and when: what `caacheck keys ds` says.
func (k *Keys) Publish() (lines []string) { return k.publish }

// publishing are lines that say to publish DS records.
func publishing(when string, all []*dns.DS) (lines []string) {
	for _, ds := range all {
		lines = append(lines, fmt.Sprintf("Publish at the parent%s: %s", when, keyroll.TextOf(ds)))
	}
	return lines
}

// delegating are lines that say what belongs at the parent of a zone whose keys roll, with the keys of its other signers.
func delegating(zone string, result *keyfolder.Result, others []*zonesign.Key) []string {
	public := make(map[keyroll.ID]*dns.DNSKEY, len(result.Keys))
	for id, key := range result.Keys {
		public[id] = key.DNSKEY
	}
	switch d := result.Zone.Delegation(result.Waits); {
	case d.Advice == keyroll.Publish:
		ds := d.DS(public)
		for _, key := range seps(others) {
			ds = append(ds, key.DNSKEY.ToDS(dns.SHA256))
		}
		return publishing("", ds)
	case d.Advice == keyroll.TooEarly && !d.Until.IsZero():
		return publishing(d.Until.UTC().Format(" from 2006-01-02 15:04 UTC on"), d.DS(public))
	case d.Advice == keyroll.NoDS:
		return nil
	default:
		return []string{d.Note(zone)}
	}
}

// Unsigned are those of a zone without DNSSEC.
func Unsigned() *Keys { return &Keys{served: new(servedTTL)} }

// See notes the TTL of data that go out, in seconds.
func (k *Keys) See(ttl uint32) { k.served.see(ttl) }

// RRset is the RRset of a type that the keys make at the apex: DNSKEY, CDS or CDNSKEY.
func (k *Keys) RRset(rrtype uint16) (set zonesign.RRset, ok bool) {
	if k.Set == nil {
		return set, false
	}
	cds, cdnskey, sync := k.Set.CDS()
	switch rrtype {
	case dns.TypeDNSKEY:
		return k.Set.DNSKEYs(), true
	case dns.TypeCDS:
		return cds, sync
	case dns.TypeCDNSKEY:
		return cdnskey, sync
	}
	return set, false
}

// Types are the types that RRset has.
func (k *Keys) Types() (types []uint16) {
	for _, t := range []uint16{dns.TypeDNSKEY, dns.TypeCDS, dns.TypeCDNSKEY} {
		if _, ok := k.RRset(t); ok {
			types = append(types, t)
		}
	}
	return types
}

// ParentDS are the DS records of the zone for a parent that is served here, too.
func (k *Keys) ParentDS(ttl uint32) (ds []dns.RR) {
	for _, rr := range k.DS {
		rr := dns.Copy(rr)
		rr.Header().Ttl = ttl
		ds = append(ds, rr)
	}
	return ds
}

// Status is what is known of a zone's keys, for people and metrics.
type Status struct {
	Zone  keyroll.Zone // as it is written; the zero value for keys that do not roll
	Waits []keyroll.Wait
	Amiss map[string]bool       // the codes of what is refused or amiss
	Told  []string              // the same in words, as it was logged
	Said  []keyroll.Observation // what each server of the parent said when it was asked last
}

// Next is when the first wait ends whose end is known, zero for none.
func (s *Status) Next() (next time.Time) {
	for _, wait := range s.Waits {
		if !wait.Until.IsZero() && (next.IsZero() || wait.Until.Before(next)) {
			next = wait.Until
		}
	}
	return next
}

// Config is what a block says of its keys.
type Config struct {
	Folder    string   // of keys that roll; "": they are in Files
	Files     []string // of BIND, without suffix; with no Folder and no Files the zones are unsigned
	Zones     []string // those of the block, for messages
	Covers    func(zone string) bool
	TTL       uint32                    // of DNSKEY, CDS and CDNSKEY, in seconds
	Largest   func(*policy.Zone) uint32 // the largest TTL of all that a zone is known to hold, in seconds
	Roll      keyroll.Settings
	Parent    Parent
	Orphans   []string // zones that are served though the parent's DS names none of their keys
	Cosigners []string // files with the DNSKEYs of other signers
	Record    string   // the file that says which zones of Folder had which keys; "": none is kept

	// Now, Ask and Notify are the clock and the ways to the parents; nil for those that there are. Ask returns for
	// each zone what the servers of its parent have, all of it among Others. Notify tells the parent of a zone
	// that its CDS have changed, and returns whom it told, if anybody wants to know (RFC 9859).
	Now    func() time.Time
	Ask    func(ctx context.Context, zones []string) map[string][]keyroll.Observation
	Notify func(ctx context.Context, zone string) (told string, err error)
}

// Parent says how the servers of the zones' parents are found.
type Parent struct {
	Off bool             // nobody is asked
	Via []netip.AddrPort // resolvers; none: the system's
	At  []netip.AddrPort // the parent's servers, where they are given
}

// Open opens the keys that a block names.
func Open(cfg Config) (Keyring, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	above := newParents(&cfg)
	others := newCosigners(cfg.Cosigners, cfg.Covers)
	if err := others.open(); err != nil {
		return nil, err
	}
	switch {
	case cfg.Folder != "":
		return newRolling(&cfg, above, others), nil
	case len(cfg.Files) == 0:
		return newFixed(&cfg, nil, above), nil
	}
	sets, err := readKeys(&cfg, others)
	return newFixed(&cfg, sets, above), err
}

// readKeys reads the keys of `key file`: what was given is all there is.
func readKeys(cfg *Config, others *cosigners) (map[string]*zonesign.KeySet, error) {
	byZone := map[string][]*zonesign.Key{}
	for _, file := range cfg.Files {
		key, err := zonesign.LoadKey(file)
		if err != nil {
			return nil, fmt.Errorf("key file %s: %w", file, err)
		}
		for _, warning := range key.Warnings {
			log.Warning(warning)
		}
		zone := dns.CanonicalName(key.DNSKEY.Hdr.Name)
		if !cfg.Covers(zone) {
			return nil, fmt.Errorf("key file %s: it is a key of %s, which this block does not serve; name the keys of its own zones (%s)", file, zone, strings.Join(cfg.Zones, " "))
		}
		byZone[zone] = append(byZone[zone], key)
	}
	sets := map[string]*zonesign.KeySet{}
	for zone, keys := range byZone {
		keys = append(keys, others.of(zone, func(id keyroll.ID) bool {
			return slices.ContainsFunc(keys, func(k *zonesign.Key) bool { return k.Tag() == id.Tag && k.DNSKEY.Algorithm == id.Algorithm })
		})...)
		set, err := zonesign.NewKeySet(zone, cfg.TTL, keys...)
		if err != nil {
			return nil, fmt.Errorf("key file: %w", err)
		}
		sets[zone] = set
	}
	return sets, nil
}

// CosignerFile is the code in Status of a zone whose other signers' keys are published as they were, for a file that
// has them is lost, half-written, or of no use.
const CosignerFile = "cosigner-file"

// ErrNoKey is a zone for which no key is given.
var ErrNoKey = errors.New("no key for the zone")

// lookAtFiles is how often a folder and files are looked at for what other servers and people wrote.
const lookAtFiles = 2 * time.Second

// Watch looks after keys until stop is closed, and calls changed when zones have other keys.
func Watch(k Keyring, stop <-chan struct{}, changed func()) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer running.add(k)()
	go func() {
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		other, next := k.Look(ctx)
		if other {
			changed()
		}
		pause.Reset(min(max(time.Until(next), 0), lookAtFiles))
	}
}

func setOf(names []string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}
