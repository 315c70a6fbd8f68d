// Package keyring has the keys of the zones that a caa block serves: those of a folder, which roll (package
// keyroll), those of files, or none. It asks the zones' parents for their DS and refuses zones that these name
// no key of, looks after the keys while they are served, and tells people what becomes of them.
//
// A zone is prepared, its keys are had from Of, and somebody calls Look again and again (Watch): where it says that
// keys are others, the serving is to be made again. A zone that appears between two loads is ensured.
package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/linelog"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

var log = linelog.New("caa")

// Keyring has the keys of the zones that a block serves. It is safe for use by several goroutines, except for
// Look, which is for one.
type Keyring interface {
	// Prepare gets ready for zones that are about to be served. Its error is why one of them cannot be,
	// which may be that its parent's DS names none of its keys. At a start, a zone of key auto whose keys are
	// missing is no error: its Keys say that it is refused.
	Prepare(ctx context.Context, zones []*policy.Zone) error
	// Of returns the keys of one zone as they are now, and does nothing. The error is ErrNoKey where none is given for
	// the zone, or it was neither prepared nor ensured.
	Of(zone string) (*Keys, error)
	// Ensure returns the keys of one zone, and prepares it first where nobody has, without asking its parent: a
	// question may wait. The error is ErrNoKey where none is given for it.
	Ensure(ctx context.Context, zone *policy.Zone) (*Keys, error)
	// Retain says which zones are served; the others' keys are no longer looked after.
	Retain(zones []string)
	// Look does what is due, and reports whether zones have other keys and when something will be due again.
	Look(ctx context.Context) (changed bool, next time.Time)
	// Status says of each zone what is known of its keys.
	Status() map[string]Status
}

// Keys are the keys of a zone at one moment. Immutable, except for the TTLs that are seen.
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
		return publishing(d.Until.UTC().Format(" from 2006-01-02 15:04 UTC"), d.DS(public))
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

// Same reports whether other keys make the same records: DNSKEY, CDS and CDNSKEY.
func (k *Keys) Same(other *Keys) bool {
	for _, rrtype := range []uint16{dns.TypeDNSKEY, dns.TypeCDS, dns.TypeCDNSKEY} {
		a, has := k.RRset(rrtype)
		b, had := other.RRset(rrtype)
		if has != had || a.TTL != b.TTL || !slices.EqualFunc(a.RDATA, b.RDATA, bytes.Equal) {
			return false
		}
	}
	return true
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
	Zone     keyroll.Zone // as it is written; the zero value for keys that do not roll
	Waits    []keyroll.Wait
	Problems map[string]bool       // their codes
	Messages []string              // the same as it was logged, in plain text
	Parent   []keyroll.Observation // what each server of the parent answered to the last query
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
	// OwnedElsewhere reports whether another block of the server answers for a zone with keys of that folder, as views
	// do; nil: none does. It is called from the first Prepare on.
	OwnedElsewhere func(zone, folder string) bool

	// Now, Ask and Notify are the clock and the ways to the parents; nil for those that there are. Ask returns for
	// each zone what the servers of its parent have, all of it among Others. Notify tells the parent of a zone
	// that its CDS have changed, and returns the target that it notified, if there is one (RFC 9859).
	Now    func() time.Time
	Ask    func(ctx context.Context, zones []string) map[string][]keyroll.Observation
	Notify func(ctx context.Context, zone string) (notified string, err error)
}

// Parent says how the servers of the zones' parents are found.
type Parent struct {
	Off bool             // nobody is asked
	Via []netip.AddrPort // resolvers; none: the system's
	At  []netip.AddrPort // the parent's servers, where they are given
}

// CosignerFile is the code in Status of a zone whose other signers' keys are published as they were, for a file that
// has them is lost, half-written, or of no use.
const CosignerFile = "cosigner-file"

// ErrNoKey is a zone for which no key is given.
var ErrNoKey = errors.New("no key for the zone")

// lookAtFiles is how often a folder and files are looked at for what other servers and people wrote.
const lookAtFiles = 2 * time.Second

func setOf(names []string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}

// seps are those keys that a DS may name.
func seps(keys []*zonesign.Key) (seps []*zonesign.Key) {
	for _, key := range keys {
		if key.SEP() {
			seps = append(seps, key)
		}
	}
	return seps
}
