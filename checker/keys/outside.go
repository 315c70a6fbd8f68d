package keys

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
)

// FromOutside returns what the DNS has of zones' keys: the answers of each server of a zone and of its parent.
func FromOutside(ctx context.Context, r *resolve.Resolver, zones ...string) *Report {
	out := &Report{Version: 1, At: r.Now(), Zones: make([]Zone, len(zones))}
	for i, zone := range zones {
		o := outside{zone: Zone{Zone: dnsname.Bare(zone), Status: Unknown, Keys: []Key{}, Problems: []Problem{}, TimeLine: []Event{}}, keys: map[keyroll.ID]*seenKey{}}
		o.look(ctx, r, zone)
		out.Zones[i] = o.zone
	}
	return out
}

// outside is one zone while its servers are asked.
type outside struct {
	zone    Zone
	keys    map[keyroll.ID]*seenKey
	remove  bool                // CDS requests that the DS be removed (RFC 8078 4)
	answers int                 // of servers to the query for DNSKEY
	failed  map[string][]string // servers without an answer for DNSKEY, by the failure
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
	case (err != nil || z.Name != name) && r.WasOffline():
		o.zone.Error = "no server answers this machine, not even the root servers"
		return
	case err != nil:
		o.zone.Error = err.Error()
		return
	case z.Name != name:
		o.zone.Error = fmt.Sprintf("it is not a zone: it is a name in the zone %s", dnsname.Bare(z.Name))
		return
	}
	o.sets, o.failed = map[string][]string{}, map[string][]string{}
	var questions []resolve.Question
	for _, t := range []uint16{dns.TypeDNSKEY, dns.TypeCDS, dns.TypeCDNSKEY, dns.TypeSOA} {
		questions = append(questions, resolve.Question{Name: name, Type: t})
	}
	for _, seen := range whole(r.Survey(ctx, z, questions...)) {
		o.read(seen, z.Read(seen, name, seen.Type))
	}
	for _, failure := range slices.Sorted(maps.Keys(o.failed)) {
		o.zone.Problems = append(o.zone.Problems, problem(dnskeyNotAnswered, Problem{Servers: o.failed[failure], Detail: failure}))
	}
	if o.answers == 0 {
		o.zone.Error = "the zone's keys could not be determined: no server of the zone answers for its DNSKEY RRset"
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

// ownFailures are those of this machine: they are not the server's.
var ownFailures = []resolve.Failure{resolve.NotAsked, resolve.Offline, resolve.Cancelled}

// read adds one server's answer.
func (o *outside) read(seen resolve.Observation, reading resolve.Reading) {
	if reading.Kind == resolve.Failed {
		if seen.Type == dns.TypeDNSKEY && !slices.Contains(ownFailures, reading.Failure) {
			o.failed[string(reading.Failure)] = append(o.failed[string(reading.Failure)], seen.Source())
		}
		return
	}
	if seen.Type == dns.TypeDNSKEY {
		o.answers++
		var keys []string
		for _, rr := range reading.RRset.RRs {
			keys = append(keys, idOf(rr.(*dns.DNSKEY)).String())
		}
		slices.Sort(keys)
		text := strings.Join(keys, ", ")
		o.sets[text] = append(o.sets[text], seen.Source())
	}
	for _, rr := range reading.RRset.RRs {
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
	for _, sig := range reading.RRset.Sigs {
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

// compare reports where servers differ.
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
	o.zone.Problems = append(o.zone.Problems, problem(serversDiffer, Problem{Detail: strings.Join(has, "; ")}))
}

// askParent asks each server of the parent for the DS. The root's servers are not asked: the answer of the lookup is
// used.
func (o *outside) askParent(ctx context.Context, r *resolve.Resolver, z *resolve.Zone) {
	if z.Parent == nil {
		return
	}
	if z.Parent.Name == "." {
		o.observe("the root", r.Now(), z.DS, "")
		return
	}
	for _, seen := range whole(r.Survey(ctx, z.Parent, resolve.Question{Name: z.Name, Type: dns.TypeDS})) {
		reading := z.Parent.Read(seen, z.Name, dns.TypeDS)
		var set []*dns.DS
		for _, rr := range reading.RRset.RRs {
			if ds, ok := rr.(*dns.DS); ok {
				set = append(set, ds)
			}
		}
		o.observe(seen.Source(), seen.At, set, string(reading.Failure))
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
		o.zone.Problems = append(o.zone.Problems, problem(string(keyroll.Orphaned), Problem{Servers: []string{server}}))
	} else if failure == "" && len(seen.Others) > 0 {
		o.zone.Problems = append(o.zone.Problems, problem(string(keyroll.ForeignDS), Problem{Keys: p.Others[:1], Servers: []string{server}}))
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

// conclude lists the keys, and sets the status of the zone.
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
		o.zone.Keys = append(o.zone.Keys, Key{Key: id, Role: k.role(), InDS: seenBy(names, silent, len(o.zone.Parent)),
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
		o.zone.Problems = append(o.zone.Problems, problem(bogus, Problem{Detail: z.Trust.String()}))
	}
}

// role is the role of a key; "" where only its tag was seen.
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
