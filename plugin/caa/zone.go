package caa

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/keyring"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// SOA timers (RFC 1035 3.3.13). Nobody transfers a synthesised zone; the values are RIPE-203's.
const (
	soaRefresh = 86400
	soaRetry   = 7200
	soaExpire  = 3600000
)

// acmeLabel starts the names of RFC 8555 8.4 (dns-01).
const acmeLabel = "_acme-challenge."

// zone is one served zone of a serving: the policy and what it needs on the wire. Immutable but for
// the answers kept with its names.
type zone struct {
	*policy.Zone
	meter meter
	*keyring.Keys
	ttl      ttls
	lender   *CAA                            // the block that answers for it, nil: this one
	found    bool                            // in the next plugin's answers, and not in the policy
	cuts     map[string][]dns.RR             // the zones below that are served here, too, with their DS
	caa      map[*policy.Node][][]byte       // each node's CAA RDATA in canonical order
	existing map[string]bool                 // the names that we give existence: nodes, signalling names, zones below, and what stands above them
	signals  signalled                       // the zones whose keys are published here, too
	named    map[string]*named               // the names that the policy names: their answers are never pushed out
	soa      zonesign.RRset                  // of an overlay, for when the data have none
	ns       zonesign.RRset                  // only in policy-only zones, as what follows
	glue     []zonesign.RRset                // addresses of the name servers inside the zone
	conflict sync.Once                       // tells that the data of an overlay have CAA
	dataSOA  atomic.Pointer[packedSOA]       // the last SOA of the data
	claims   atomic.Pointer[claims]          // nil while the data are not known to have odd types
	dnames   atomic.Pointer[map[string]bool] // the owners of DNAME in the data; nil where no plugin shows all of its data
	sawDNAME atomic.Bool                     // whether an answer of the data had one
	counting sync.Mutex                      // held while a new SOA is taken in
}

// named is a name that the policy names, with what exists there and the answers made so far.
type named struct {
	types   []uint16 // the first one answers ANY (RFC 8482 4.1)
	answers answerList
}

// newZone prepares what answers are made from.
func newZone(p *policy.Zone, keys *keyring.Keys, ttl ttls) (*zone, error) {
	z := &zone{Zone: p, meter: meter{zone: p.Name}, Keys: keys, ttl: ttl, cuts: map[string][]dns.RR{},
		caa: map[*policy.Node][][]byte{}, named: map[string]*named{}, existing: map[string]bool{}, signals: signalled{}}
	interned := map[string][][]byte{}
	for node := range p.Nodes() {
		z.caa[node] = caaRDATA(node, interned)
		z.named[node.Name] = &named{types: caaOnly}
		z.giveExistence(node.Name)
	}
	if err := z.buildSOA(); err != nil || !p.PolicyOnly() {
		return z, err
	}
	return z, z.buildApex()
}

// ownSOA is the zone's SOA where no data have one. An overlay has no server to name but the zone itself.
func (z *zone) ownSOA() *dns.SOA {
	mname := z.Name
	if z.PolicyOnly() {
		mname = z.Nameservers[0].Name
	}
	rname := "hostmaster." + z.Name
	if _, ok := dns.IsDomainName(rname); !ok || len(rname) > 254 {
		rname = z.Name // a zone name so long that no label fits above it
	}
	return &dns.SOA{Hdr: header(z.Name, dns.TypeSOA, z.ttl.negative), Ns: mname, Mbox: rname, Serial: z.Serial,
		Refresh: soaRefresh, Retry: soaRetry, Expire: soaExpire, Minttl: z.ttl.negative}
}

// buildSOA makes the wire form of the zone's own SOA.
func (z *zone) buildSOA() (err error) {
	if z.soa, err = zonesign.NewRRset(z.ownSOA()); err != nil {
		return fmt.Errorf("SOA of %s: %w", z.Name, err)
	}
	return nil
}

// buildApex makes NS and the addresses of a policy-only zone.
func (z *zone) buildApex() (err error) {
	var ns []dns.RR
	for _, server := range z.Nameservers {
		ns = append(ns, &dns.NS{Hdr: header(z.Name, dns.TypeNS, z.ttl.apex), Ns: server.Name})
		glue, err := addressSets(server, z.ttl.apex)
		if err != nil {
			return err
		}
		z.glue = append(z.glue, glue...)
		for _, set := range glue {
			z.exists(server.Name, set.Type)
		}
	}
	z.exists(z.Name, dns.TypeSOA, dns.TypeNS)
	z.exists(z.Name, z.Types()...)
	if z.ns, err = zonesign.NewRRset(ns...); err != nil {
		return fmt.Errorf("NS of %s: %w", z.Name, err)
	}
	return nil
}

// tellConflict says once that the data of an overlay hold CAA of their own.
func (z *zone) tellConflict(name string) {
	z.conflict.Do(func() {
		log.Warningf("The data of %s have CAA records, at %s for one; the policy's are served in their place: take them out of the data", z.Name, name)
	})
}

// giveExistence notes that a name of the zone exists, and with it what stands above (RFC 8020 2).
func (z *zone) giveExistence(name string) {
	for off, end := 0, false; !end && name[off:] != z.Name; off, end = dns.NextLabel(name, off) {
		z.existing[name[off:]] = true
	}
}

// exists notes that a name of the zone has these types beside CAA.
func (z *zone) exists(name string, types ...uint16) {
	had := caaOnly
	if n := z.named[name]; n != nil {
		had = n.types
	}
	z.named[name] = &named{types: append(slices.Clone(had), types...)}
}

func addressSets(server policy.Nameserver, ttl uint32) ([]zonesign.RRset, error) {
	byType := map[uint16][]dns.RR{}
	for _, addr := range server.Addresses {
		rr := addressRR(server.Name, addr, ttl)
		byType[rr.Header().Rrtype] = append(byType[rr.Header().Rrtype], rr)
	}
	var sets []zonesign.RRset
	for _, t := range []uint16{dns.TypeA, dns.TypeAAAA} {
		if len(byType[t]) == 0 {
			continue
		}
		set, err := zonesign.NewRRset(byType[t]...)
		if err != nil {
			return nil, fmt.Errorf("addresses of %s: %w", server.Name, err)
		}
		sets = append(sets, set)
	}
	return sets, nil
}

func addressRR(name string, addr netip.Addr, ttl uint32) dns.RR {
	if addr.Is4() {
		return &dns.A{Hdr: header(name, dns.TypeA, ttl), A: addr.AsSlice()}
	}
	return &dns.AAAA{Hdr: header(name, dns.TypeAAAA, ttl), AAAA: addr.AsSlice()}
}

// caaRDATA is a node's RRset on the wire (RFC 8659 4.1), in canonical order without duplicates
// (RFC 4034 6.3). Nodes with equal content share it.
func caaRDATA(node *policy.Node, interned map[string][][]byte) [][]byte {
	rdata := make([][]byte, len(node.RRset))
	for i, p := range node.RRset {
		octets := append([]byte{p.Flags, byte(len(p.Tag))}, p.Tag...)
		rdata[i] = append(octets, p.Value...)
	}
	slices.SortFunc(rdata, bytes.Compare)
	rdata = slices.CompactFunc(rdata, bytes.Equal)

	key := fmt.Sprintf("%q", rdata)
	if shared, ok := interned[key]; ok {
		return shared
	}
	interned[key] = rdata
	return rdata
}

func header(name string, rrtype uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl}
}
