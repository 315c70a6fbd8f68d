package outside

import (
	"crypto"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
)

// denial is how a zone denies.
type denial struct {
	nsec3      bool
	optOut     bool
	iterations uint16
	salt       string
}

// zone is a zone that is built in memory, signed, broken, and then written for a real server.
type zone struct {
	name     string
	rrs      map[string]map[uint16][]dns.RR // by owner and type
	sigs     map[string]map[uint16][]*dns.RRSIG
	ksk, zsk *key // the same for a key that signs everything; nil for an unsigned zone
	denial   denial
	ds       []*dns.DS // at the parent
	broken   string    // the RRset that was, for people
}

// key is a DNSKEY with its private half.
type key struct {
	*dns.DNSKEY
	private crypto.Signer
}

// ring holds key pairs by algorithm, for zones to share: making new ones for each zone would take
// longer than all the rest.
type ring map[uint8][]pair

type pair struct {
	public  string
	private crypto.Signer
}

var bits = map[uint8]int{dns.RSASHA1: 1024, dns.RSASHA256: 1024, dns.RSASHA512: 1024, dns.ECDSAP256SHA256: 256, dns.ECDSAP384SHA384: 384, dns.ED25519: 256}

// key makes a zone's key of an algorithm; n tells the keys of one zone apart.
func (r ring) key(zone string, algorithm uint8, flags uint16, n int) *key {
	k := &dns.DNSKEY{Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 300}, Flags: flags, Protocol: 3, Algorithm: algorithm}
	for len(r[algorithm]) <= n {
		private, err := k.Generate(bits[algorithm])
		if err != nil {
			panic(err)
		}
		r[algorithm] = append(r[algorithm], pair{k.PublicKey, private.(crypto.Signer)})
	}
	k.PublicKey = r[algorithm][n].public
	return &key{k, r[algorithm][n].private}
}

func newZone(name string) *zone {
	z := &zone{name: name, rrs: map[string]map[uint16][]dns.RR{}, sigs: map[string]map[uint16][]*dns.RRSIG{}}
	return z
}

// add adds records in zone file syntax, their names relative to the zone.
func (z *zone) add(format string, args ...any) {
	parser := dns.NewZoneParser(strings.NewReader("$TTL 300\n"+fmt.Sprintf(format, args...)+"\n"), z.name, z.name)
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		z.put(rr)
	}
	if err := parser.Err(); err != nil {
		panic(fmt.Sprintf("%s: %v", fmt.Sprintf(format, args...), err))
	}
}

func (z *zone) put(rr dns.RR) {
	h := rr.Header()
	if z.rrs[h.Name] == nil {
		z.rrs[h.Name] = map[uint16][]dns.RR{}
	}
	z.rrs[h.Name][h.Rrtype] = append(z.rrs[h.Name][h.Rrtype], rr)
}

// cut is the delegation at or above a name, "" for none.
func (z *zone) cut(name string) string {
	found := ""
	for ; name != z.name; name = dnsname.Parent(name) {
		if z.rrs[name][dns.TypeNS] != nil {
			found = name
		}
	}
	return found
}

// sign makes the denials and the signatures, valid from begin to end.
func (z *zone) sign(begin, end time.Time) {
	if z.ksk == nil {
		return
	}
	z.put(z.ksk.DNSKEY)
	if z.zsk != z.ksk {
		z.put(z.zsk.DNSKEY)
	}
	if z.denial.nsec3 {
		z.chainNSEC3()
	} else {
		z.chainNSEC()
	}
	for name, sets := range z.rrs {
		cut := z.cut(name)
		for rrtype, set := range sets {
			if cut != "" && (cut != name || rrtype != dns.TypeDS && rrtype != dns.TypeNSEC) {
				continue
			}
			z.resign(name, rrtype, set, begin, end)
		}
	}
}

func (z *zone) resign(name string, rrtype uint16, set []dns.RR, begin, end time.Time) {
	by := z.zsk
	if rrtype == dns.TypeDNSKEY {
		by = z.ksk
	}
	sig := &dns.RRSIG{
		Hdr:       dns.RR_Header{Ttl: set[0].Header().Ttl},
		Algorithm: by.Algorithm, KeyTag: by.KeyTag(), SignerName: z.name,
		Inception: uint32(begin.Unix()), Expiration: uint32(end.Unix()),
	}
	if err := sig.Sign(by.private, set); err != nil {
		panic(err)
	}
	if z.sigs[name] == nil {
		z.sigs[name] = map[uint16][]*dns.RRSIG{}
	}
	z.sigs[name][rrtype] = []*dns.RRSIG{sig}
}

func (z *zone) types(name string, signed bool, more ...uint16) []uint16 {
	types := slices.Collect(maps.Keys(z.rrs[name]))
	if z.cut(name) != "" {
		types = slices.DeleteFunc(types, func(t uint16) bool { return t != dns.TypeNS && t != dns.TypeDS })
	}
	if signed {
		types = append(types, dns.TypeRRSIG)
	}
	types = append(types, more...)
	slices.Sort(types)
	return types
}

// authoritative are the names that the zone answers for itself, those of its delegations included.
func (z *zone) authoritative() []string {
	var names []string
	for name := range z.rrs {
		if cut := z.cut(name); cut == "" || cut == name {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, dnsname.Compare)
	return names
}

func (z *zone) chainNSEC() {
	names := z.authoritative()
	for i, name := range names {
		z.put(&dns.NSEC{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeNSEC, Class: dns.ClassINET, Ttl: 60},
			NextDomain: names[(i+1)%len(names)], TypeBitMap: z.types(name, true, dns.TypeNSEC)})
	}
}

// chainNSEC3 adds empty non-terminals, and with opt-out leaves unsigned delegations out (RFC 5155 7.1).
func (z *zone) chainNSEC3() {
	z.put(&dns.NSEC3PARAM{Hdr: dns.RR_Header{Name: z.name, Rrtype: dns.TypeNSEC3PARAM, Class: dns.ClassINET},
		Hash: dns.SHA1, Iterations: z.denial.iterations, SaltLength: uint8(len(z.denial.salt) / 2), Salt: z.denial.salt})
	owners := map[string]string{}
	for _, name := range z.authoritative() {
		if z.denial.optOut && z.cut(name) != "" && z.rrs[name][dns.TypeDS] == nil {
			continue
		}
		for n := range dnsname.UpTo(name, z.name) {
			owners[dns.HashName(n, dns.SHA1, z.denial.iterations, z.denial.salt)] = n
		}
	}
	hashes := slices.Sorted(maps.Keys(owners))
	flags := uint8(0)
	if z.denial.optOut {
		flags = 1
	}
	for i, hash := range hashes {
		name := owners[hash]
		signed := len(z.rrs[name]) > 0 && (z.cut(name) == "" || z.rrs[name][dns.TypeDS] != nil)
		z.put(&dns.NSEC3{Hdr: dns.RR_Header{Name: strings.ToLower(hash) + "." + z.name, Rrtype: dns.TypeNSEC3, Class: dns.ClassINET, Ttl: 60},
			Hash: dns.SHA1, Flags: flags, Iterations: z.denial.iterations, SaltLength: uint8(len(z.denial.salt) / 2), Salt: z.denial.salt,
			HashLength: 20, NextDomain: hashes[(i+1)%len(hashes)], TypeBitMap: z.types(name, signed)})
	}
}

// bare is the zone without its signatures, denials and keys.
func (z *zone) bare() *zone {
	out := newZone(z.name)
	for _, sets := range z.rrs {
		for rrtype, set := range sets {
			if slices.Contains([]uint16{dns.TypeNSEC, dns.TypeNSEC3, dns.TypeNSEC3PARAM, dns.TypeDNSKEY}, rrtype) {
				continue
			}
			for _, rr := range set {
				out.put(rr)
			}
		}
	}
	return out
}

// addressOf is an address as records have it.
func addressOf(addr netip.AddrPort) string {
	if addr.Addr().Is6() {
		return "AAAA " + addr.Addr().String()
	}
	return "A " + addr.Addr().String()
}

// text is the zone as a file.
func (z *zone) text() string {
	var soa, out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(z.rrs)) {
		for _, rrtype := range slices.Sorted(maps.Keys(z.rrs[name])) {
			for _, rr := range z.rrs[name][rrtype] {
				if rrtype == dns.TypeSOA {
					fmt.Fprintln(&soa, rr)
					continue
				}
				fmt.Fprintln(&out, generic(rr))
			}
			for _, sig := range z.sigs[name][rrtype] {
				fmt.Fprintln(&out, sig)
			}
		}
	}
	return soa.String() + out.String()
}

// generic writes a CAA record so that every server reads it (RFC 3597 5): NSD 4.6 takes no capitals in a
// tag.
func generic(rr dns.RR) string {
	caa, ok := rr.(*dns.CAA)
	if !ok {
		return rr.String()
	}
	rdata := append([]byte{caa.Flag, byte(len(caa.Tag))}, caa.Tag+caa.Value...)
	return fmt.Sprintf("%s\t%d\tIN\tTYPE257\t\\# %d %x", caa.Hdr.Name, caa.Hdr.Ttl, len(rdata), rdata)
}
