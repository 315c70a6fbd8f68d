package keyroll

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
)

// Delegation is what belongs at the parent of a zone now: the one answer of the server's log and of `caacheck keys ds`.
type Delegation struct {
	Advice Advice
	Keys   []ID      // those that the parent's DS name or are to name; of no use with Remove and NoDS
	Until  time.Time // when another advice is expected; zero where that is not known
}

// Advice is what to do about the DS of a zone.
type Advice uint8

// The advices.
const (
	Publish  Advice = iota // the DS of Keys belong at the parent
	TooEarly               // caches have the zone without these keys, and would take it for bogus
	Leave                  // nobody knows which keys caches need: the DS stay as they are
	Remove                 // the zone goes insecure: the parent removes its DS
	NoDS                   // the zone is not signed
)

// Delegation returns what belongs at the parent of a zone whose keys wait for these.
func (z *Zone) Delegation(waits []Wait) Delegation {
	sets := z.Sets()
	served := len(sets.DNSKEY)+len(sets.Data) > 0
	switch {
	case z.Insecure && served:
		return Delegation{Advice: Remove}
	case !served:
		return Delegation{Advice: NoDS}
	case len(sets.CDS) > 0:
		return Delegation{Advice: Publish, Keys: sets.CDS}
	}
	d := Delegation{Advice: TooEarly, Keys: sets.Apex}
	if slices.ContainsFunc(z.Keys, func(k Key) bool { return k.State == Unsure }) {
		d.Advice = Leave
	}
	first := slices.IndexFunc(z.Keys, func(k Key) bool { return slices.Contains(sets.Apex, k.ID) })
	for _, w := range waits {
		if first >= 0 && w.Key == z.Keys[first].ID && w.State == z.Keys[first].State {
			d.Until = w.Until
		}
	}
	return d
}

// Note says what to know about the DS of a zone, "" where they just belong at the parent.
func (d *Delegation) Note(zone string) string {
	until := ""
	if !d.Until.IsZero() {
		until = d.Until.UTC().Format(" until 2006-01-02 15:04 UTC")
	}
	zone = dnsname.Bare(zone)
	switch d.Advice {
	case TooEarly:
		return fmt.Sprintf("Do not publish a DS for %s%s: caches still have the zone without these keys, and would treat it as bogus.", zone, until)
	case Leave:
		return fmt.Sprintf("Leave the parent's DS of %s unchanged%s: it is not known yet which keys caches have.", zone, until)
	case Remove:
		return zone + " is going insecure: have the parent remove its DS."
	case NoDS:
		return zone + " is not signed: the parent must have no DS for it."
	}
	return ""
}

// DS returns the records that name keys, by SHA-256 (RFC 4509).
func (d *Delegation) DS(public map[ID]*dns.DNSKEY) (ds []*dns.DS) {
	for _, id := range d.Keys {
		if key := public[id]; key != nil {
			ds = append(ds, key.ToDS(dns.SHA256))
		}
	}
	return ds
}

// TextOf returns a DS record on one line, in the syntax of zone files and as people paste it. It has no TTL: that is
// the parent's, and that of a key's file is another.
func TextOf(ds *dns.DS) string {
	return fmt.Sprintf("%s IN DS %d %d %d %s", ds.Hdr.Name, ds.KeyTag, ds.Algorithm, ds.DigestType, strings.ToUpper(ds.Digest))
}
