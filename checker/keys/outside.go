package keys

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/dnssec"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// FromOutside is what can be seen of zones' keys in the DNS: what each server of a zone and of its parent says.
func FromOutside(ctx context.Context, r *resolve.Resolver, zones ...string) *Report {
	out := &Report{Version: 1, At: r.Now(), Zones: make([]Zone, len(zones))}
	for i, zone := range zones {
		o := outside{zone: Zone{Zone: terminal.Bare(zone), Status: Unknown, Keys: []Key{}, Amiss: []Amiss{}, TimeLine: []Event{}}, keys: map[keyroll.ID]*seenKey{}}
		o.look(ctx, r, zone)
		out.Zones[i] = o.zone
	}
	return out
}

// outside is one zone while it is looked at.
type outside struct {
	zone    Zone
	keys    map[keyroll.ID]*seenKey
	remove  bool                // CDS asks for the DS to be removed (RFC 8078 4)
	answers int                 // of servers to the question for DNSKEY
	sets    map[string][]string // servers by the DNSKEY RRset that they have, as text
}

// seenKey is what was seen of a key, by any server.
type seenKey struct {
	key                        *dns.DNSKEY // nil where only its signatures or CDS were seen
	cds, signsDNSKEY, signsSOA bool
}

func (o *outside) look(ctx context.Context, r *resolve.Resolver, name string) {
	z, err := r.Zone(ctx, name)
	switch {
	case err != nil:
		o.zone.Error = err.Error()
		return
	case z.Name != name:
		o.zone.Error = fmt.Sprintf("it is no zone of its own: it lies in %s", terminal.Bare(z.Name))
		return
	}
	o.sets = map[string][]string{}
	var questions []resolve.Question
	for _, t := range []uint16{dns.TypeDNSKEY, dns.TypeCDS, dns.TypeCDNSKEY, dns.TypeSOA} {
		questions = append(questions, resolve.Question{Name: name, Type: t})
	}
	for _, seen := range whole(r.Survey(ctx, z, questions...)) {
		o.read(seen, z.Read(seen, name, seen.Type))
	}
	if o.answers == 0 {
		o.zone.Error = "no server of the zone says what its keys are"
		return
	}
	o.compare()
	o.askParent(ctx, r, z)
	o.conclude(z)
}

// whole leaves of the answers to one question of one server that over UDP, or over TCP where that was truncated.
func whole(all []resolve.Observation) (out []resolve.Observation) {
	for i := 0; i+1 < len(all); i += 2 {
		o := all[i]
		if o.Truncated || o.Failure != "" {
			o = all[i+1]
		}
		out = append(out, o)
	}
	return out
}

// ownFailures are those of this machine, which say nothing about a server.
var ownFailures = []resolve.Failure{resolve.NotAsked, resolve.Offline, resolve.Cancelled}

// read takes in one server's answer.
func (o *outside) read(seen resolve.Observation, said resolve.Reading) {
	if said.Kind == resolve.Failed {
		if seen.Type == dns.TypeDNSKEY && !slices.Contains(ownFailures, said.Failure) {
			o.zone.Amiss = append(o.zone.Amiss, Amiss{Code: "server-silent", Servers: []string{where(seen)}, Detail: string(said.Failure),
				Cause: "a server of the zone does not say what its keys are", Remedy: "see whether it is reachable, and serves the zone"})
		}
		return
	}
	if seen.Type == dns.TypeDNSKEY {
		o.answers++
		var keys []string
		for _, rr := range said.RRset.RRs {
			keys = append(keys, idOf(rr.(*dns.DNSKEY)).String())
		}
		slices.Sort(keys)
		text := strings.Join(keys, ", ")
		o.sets[text] = append(o.sets[text], where(seen))
	}
	for _, rr := range said.RRset.RRs {
		switch rr := rr.(type) {
		case *dns.DNSKEY:
			o.key(idOf(rr)).key = rr
		case *dns.CDNSKEY:
			if o.remove = o.remove || rr.Algorithm == 0; rr.Algorithm != 0 {
				o.key(idOf(&rr.DNSKEY)).cds = true
			}
		case *dns.CDS:
			if o.remove = o.remove || rr.Algorithm == 0; rr.Algorithm != 0 {
				o.key(keyroll.ID{Algorithm: rr.Algorithm, Tag: rr.KeyTag}).cds = true
			}
		}
	}
	for _, sig := range said.RRset.Sigs {
		k := o.key(keyroll.ID{Algorithm: sig.Algorithm, Tag: sig.KeyTag})
		k.signsDNSKEY = k.signsDNSKEY || seen.Type == dns.TypeDNSKEY
		k.signsSOA = k.signsSOA || seen.Type == dns.TypeSOA
	}
}

func (o *outside) key(id keyroll.ID) *seenKey {
	if o.keys[id] == nil {
		o.keys[id] = new(seenKey)
	}
	return o.keys[id]
}

// compare says where servers differ.
func (o *outside) compare() {
	if len(o.sets) < 2 {
		return
	}
	var has []string
	for keys, servers := range o.sets {
		if keys == "" {
			keys = "none"
		}
		has = append(has, fmt.Sprintf("%s at %s", keys, strings.Join(servers, ", ")))
	}
	slices.Sort(has)
	o.zone.Amiss = append(o.zone.Amiss, Amiss{Code: "servers-differ", Detail: strings.Join(has, "; "),
		Cause: "the zone's servers have different keys", Remedy: "look again in some minutes; if it stays so, one of them is not kept up to date"})
}

// askParent asks each server of the parent for the DS. Those of the root are not asked so much: what the look-up
// found will do.
func (o *outside) askParent(ctx context.Context, r *resolve.Resolver, z *resolve.Zone) {
	if z.Parent == nil {
		return
	}
	if z.Parent.Name == "." {
		o.observe("the root", r.Now(), z.DS, "")
		return
	}
	for _, seen := range whole(r.Survey(ctx, z.Parent, resolve.Question{Name: z.Name, Type: dns.TypeDS})) {
		said := z.Parent.Read(seen, z.Name, dns.TypeDS)
		var set []*dns.DS
		for _, rr := range said.RRset.RRs {
			if ds, ok := rr.(*dns.DS); ok {
				set = append(set, ds)
			}
		}
		o.observe(where(seen), seen.At, set, string(said.Failure))
	}
}

func (o *outside) observe(server string, at time.Time, set []*dns.DS, failure string) {
	p := Parent{Server: server, At: at, Named: []keyroll.ID{}, Others: []keyroll.ID{}, Error: failure}
	seen := keyroll.Observe(server, set, o.dnskeys())
	p.Named = append(p.Named, seen.Named...)
	for _, ds := range seen.Others {
		p.Others = append(p.Others, keyroll.ID{Algorithm: ds.Algorithm, Tag: ds.KeyTag})
	}
	p.TTL = seconds(seen.TTL)
	o.zone.Parent = append(o.zone.Parent, p)
	if failure == "" && len(keyroll.Check(o.apex(), []keyroll.Observation{seen})) > 0 {
		o.zone.Amiss = append(o.zone.Amiss, fromRefusal(keyroll.Refusal{Code: keyroll.Orphaned, Servers: []string{server}}))
	} else if failure == "" && len(seen.Others) > 0 {
		o.zone.Amiss = append(o.zone.Amiss, fromRefusal(keyroll.Refusal{Code: keyroll.ForeignDS, Keys: p.Others[:1], Servers: []string{server}}))
	}
}

func (o *outside) dnskeys() (keys []*dns.DNSKEY) {
	for _, k := range o.keys {
		if k.key != nil {
			keys = append(keys, k.key)
		}
	}
	return keys
}

// apex are the keys that are in DNSKEY and sign it.
func (o *outside) apex() (ids []keyroll.ID) {
	for id, k := range o.keys {
		if k.key != nil && k.signsDNSKEY {
			ids = append(ids, id)
		}
	}
	return ids
}

// conclude lists the keys, and says how the zone is to be seen.
func (o *outside) conclude(z *resolve.Zone) {
	silent := 0
	for _, p := range o.zone.Parent {
		if p.Error != "" {
			silent++
		}
	}
	for id, k := range o.keys {
		names := 0
		for _, p := range o.zone.Parent {
			if slices.Contains(p.Named, id) {
				names++
			}
		}
		o.zone.Keys = append(o.zone.Keys, Key{Key: id, Role: k.role(), InDS: sight(names, silent, len(o.zone.Parent)),
			InDNSKEY: k.key != nil, InCDS: k.cds, SignsDNSKEY: k.signsDNSKEY, SignsData: k.signsSOA})
	}
	slices.SortFunc(o.zone.Keys, func(a, b Key) int {
		return slices.Compare([]int{int(a.Key.Algorithm), int(a.Key.Tag)}, []int{int(b.Key.Algorithm), int(b.Key.Tag)})
	})
	switch {
	case len(o.keys) == 0:
		o.zone.Status = Insecure
	case o.remove:
		o.zone.Status = GoingInsecure
	default:
		o.zone.Status = Signed
	}
	if z.Trust.Status == dnssec.Bogus {
		o.zone.Amiss = append(o.zone.Amiss, Amiss{Code: "bogus", Detail: z.Trust.String(), Cause: "the zone does not validate", Remedy: "caacheck -v " + o.zone.Zone + " shows the chain"})
	}
}

// role is what a key does; "" where only a tag of it was seen.
func (k *seenKey) role() string {
	switch {
	case k.key == nil:
		return ""
	case k.key.Flags&dns.SEP == 0:
		return keyroll.ZSK.String()
	case k.signsSOA:
		return keyroll.CSK.String()
	}
	return keyroll.KSK.String()
}

func idOf(key *dns.DNSKEY) keyroll.ID { return keyroll.ID{Algorithm: key.Algorithm, Tag: key.KeyTag()} }

// where is a server and its address, for people.
func where(o resolve.Observation) string {
	switch {
	case o.Server == "":
		return o.Addr.String()
	case !o.Addr.IsValid():
		return terminal.Bare(o.Server)
	}
	return fmt.Sprintf("%s (%s)", terminal.Bare(o.Server), o.Addr.Addr())
}
