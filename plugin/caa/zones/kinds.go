package zones

import (
	"fmt"
	"net/netip"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/keyring"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// kind is a kind of synthesised record: one row makes everything of it, in answers, ANY, denials and All.
type kind struct {
	name string
	// overData says that these records are laid over the data of a next plugin, too. The others are in policy-only
	// zones alone: an overlay has them in its data.
	overData bool
	// records are those of a zone, each with its owner name.
	records func(p *plan) []dns.RR
	// sets are RRsets that are packed already.
	sets func(p *plan) []zonesign.RRset
}

// kinds is the table of what zones contain at names of their own. What they contain at names without end are CAA and
// the challenge aliases: View has them.
var kinds = []kind{
	{name: "start of authority", records: func(p *plan) []dns.RR { return []dns.RR{ownSOA(p)} }},
	{name: "name servers", records: (*plan).nameServers},
	{name: "name server addresses", records: (*plan).addresses},
	{name: "keys", overData: true, sets: (*plan).ownKeys},
	{name: "signalling names", overData: true, sets: (*plan).signalSets},
	{name: "delegations", overData: true, records: (*plan).delegations},
}

// SOA timers (RFC 1035 3.3.13). Nobody transfers a synthesised zone; the values are RIPE-203's.
const (
	soaRefresh = 86400
	soaRetry   = 7200
	soaExpire  = 3600000
)

// ownSOA is the SOA of a zone where no data have one.
func ownSOA(p *plan) *dns.SOA {
	return &dns.SOA{Hdr: header(p.policy.Name, dns.TypeSOA, p.ttl.Negative), Ns: primary(p.policy), Mbox: mailbox(p.policy.Name), Serial: p.serial,
		Refresh: soaRefresh, Retry: soaRetry, Expire: soaExpire, Minttl: p.ttl.Negative}
}

// primary is MNAME. An overlay has no server to name but the zone itself.
func primary(z *policy.Zone) string {
	if z.PolicyOnly() {
		return z.Nameservers[0].Name
	}
	return z.Name
}

// mailbox is RNAME.
func mailbox(zone string) string {
	if name := dnsname.Join("hostmaster.", zone); dnsname.Valid(name) {
		return name
	}
	return zone // so long that no label fits above it
}

// IsOwnSOA reports whether a record is the SOA of a zone as a server with its policy makes it, whatever its serial.
func IsOwnSOA(rr dns.RR, z *policy.Zone) bool {
	soa, ok := rr.(*dns.SOA)
	return ok && dns.CanonicalName(soa.Hdr.Name) == z.Name && dns.CanonicalName(soa.Ns) == primary(z) && dns.CanonicalName(soa.Mbox) == mailbox(z.Name) &&
		soa.Refresh == soaRefresh && soa.Retry == soaRetry && soa.Expire == soaExpire
}

func (p *plan) nameServers() []dns.RR {
	return nameServers(p.policy.Name, p.policy.Nameservers, p.ttl.Apex)
}

func nameServers(zone string, servers []policy.Nameserver, ttl uint32) (rrs []dns.RR) {
	for _, server := range servers {
		rrs = append(rrs, &dns.NS{Hdr: header(zone, dns.TypeNS, ttl), Ns: server.Name})
	}
	return rrs
}

func (p *plan) addresses() (rrs []dns.RR) {
	for _, server := range p.policy.Nameservers {
		for _, addr := range server.Addresses {
			rrs = append(rrs, addressRR(server.Name, addr, p.ttl.Apex))
		}
	}
	return rrs
}

func addressRR(name string, addr netip.Addr, ttl uint32) dns.RR {
	if addr.Is4() {
		return &dns.A{Hdr: header(name, dns.TypeA, ttl), A: addr.AsSlice()}
	}
	return &dns.AAAA{Hdr: header(name, dns.TypeAAAA, ttl), AAAA: addr.AsSlice()}
}

// ownKeys are DNSKEY, CDS and CDNSKEY of the zone.
func (p *plan) ownKeys() []zonesign.RRset {
	return keySets(p.keys, p.policy.Name, dns.TypeDNSKEY, dns.TypeCDS, dns.TypeCDNSKEY)
}

// keySets are the RRsets that keys make, at a name.
func keySets(keys *keyring.Keys, owner string, types ...uint16) (sets []zonesign.RRset) {
	for _, rrtype := range types {
		if set, ok := keys.RRset(rrtype); ok {
			set.Owner = owner
			sets = append(sets, set)
		}
	}
	return sets
}

// signalSets are the keys of other zones at their signalling names (RFC 9615 4.1).
func (p *plan) signalSets() (sets []zonesign.RRset) {
	for name, keys := range p.signals {
		sets = append(sets, keySets(keys, name, dns.TypeCDS, dns.TypeCDNSKEY)...)
	}
	return sets
}

// delegations are NS and DS of the zones that are served here, too, and whose parent this zone is.
func (p *plan) delegations() (rrs []dns.RR) {
	for apex, cut := range p.cuts {
		rrs = append(rrs, cut.ds...)
		rrs = append(rrs, nameServers(apex, cut.servers, p.ttl.Apex)...)
	}
	return rrs
}

// rrsets are the RRsets of one kind in a zone.
func (k *kind) rrsets(p *plan) ([]zonesign.RRset, error) {
	if k.sets != nil {
		return k.sets(p), nil
	}
	type key struct {
		owner  string
		rrtype uint16
	}
	var order []key
	byKey := map[key][]dns.RR{}
	for _, rr := range k.records(p) {
		at := key{rr.Header().Name, rr.Header().Rrtype}
		if byKey[at] == nil {
			order = append(order, at)
		}
		byKey[at] = append(byKey[at], rr)
	}
	var sets []zonesign.RRset
	for _, at := range order {
		set, err := zonesign.NewRRset(byKey[at]...)
		if err != nil {
			return nil, fmt.Errorf("%s of %s: %w", k.name, p.policy.Name, err)
		}
		sets = append(sets, set)
	}
	return sets, nil
}

func header(name string, rrtype uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl}
}
