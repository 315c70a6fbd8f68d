package zonesign

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/miekg/dns"
)

// RRset is one RRset of class IN in canonical wire form (RFC 4034 6.2, 6.3): RDATA sorted, without
// duplicates, and names in it in lower case where RFC 4034 6.2 and RFC 6840 5.1 say so. What is signed
// is what is served. Nothing in it may be changed once it was handed to a Signer, which keeps it.
type RRset struct {
	Owner string // a fully qualified name in presentation format, lower case
	Type  uint16
	TTL   uint32 // seconds; the Original TTL of the signatures over it
	RDATA [][]byte
}

// NewRRset returns the canonical form of an RRset: all records of one owner and type, in class IN. Where
// their TTLs differ the lowest counts (RFC 2181 5.2).
func NewRRset(rrs ...dns.RR) (RRset, error) {
	if len(rrs) == 0 {
		return RRset{}, errors.New("an RRset must have at least one record")
	}
	h := rrs[0].Header()
	set := RRset{Owner: dns.CanonicalName(h.Name), Type: h.Rrtype, TTL: h.Ttl, RDATA: make([][]byte, 0, len(rrs))}
	for _, rr := range rrs {
		if err := set.admit(rr.Header()); err != nil {
			return RRset{}, fmt.Errorf("%s: %w", dns.TypeToString[h.Rrtype], err)
		}
		rdata, err := canonicalRDATA(rr)
		if err != nil {
			return RRset{}, fmt.Errorf("%s of %s: %w", dns.TypeToString[h.Rrtype], h.Name, err)
		}
		set.RDATA, set.TTL = append(set.RDATA, rdata), min(set.TTL, rr.Header().Ttl)
	}
	slices.SortFunc(set.RDATA, bytes.Compare)
	set.RDATA = slices.CompactFunc(set.RDATA, bytes.Equal)
	return set, nil
}

// admit says why a record is not one of the set (RFC 2181 5).
func (r RRset) admit(h *dns.RR_Header) error {
	switch {
	case h.Class != dns.ClassINET:
		return fmt.Errorf("%s is in class %s, but only IN is signed", h.Name, dns.Class(h.Class))
	case dns.CanonicalName(h.Name) != r.Owner || h.Rrtype != r.Type:
		return fmt.Errorf("%s %s in the RRset %s %s: an RRset has one owner and one type", h.Name, dns.Type(h.Rrtype), r.Owner, dns.Type(r.Type))
	}
	return nil
}

// canonicalRDATA packs a record's RDATA without compression and lowers the names in it.
func canonicalRDATA(rr dns.RR) ([]byte, error) {
	p := packers.Get().(*packer)
	defer packers.Put(p)
	wire, err := p.pack(rr)
	if err != nil {
		return nil, err
	}
	owner := 0
	for wire[owner] != 0 {
		owner += 1 + int(wire[owner])
	}
	const fixed = 1 + 10 // the root, type, class, TTL, RDLENGTH (RFC 1035 4.1.3)
	rdata := slices.Clip(slices.Clone(wire[owner+fixed:]))
	if int(binary.BigEndian.Uint16(wire[owner+fixed-2:])) != len(rdata) {
		return nil, errors.New("its RDATA is longer than 65535 octets")
	}
	lowerNames(rdata, rdataNames[rr.Header().Rrtype])
	return rdata, nil
}

// layout says where the domain names of an RDATA lie: behind so many octets and character strings.
type layout struct{ octets, strings, names int }

// rdataNames lists the types whose names are lowered in canonical form: those of RFC 4034 6.2 item 3,
// without HINFO, which has none, and without NSEC and RRSIG's like in newer types (RFC 6840 5.1).
// A6 is missing: it is historic (RFC 6563), and no name is to be found in it without parsing more.
var rdataNames = map[uint16]layout{
	dns.TypeNS:    {names: 1},
	dns.TypeMD:    {names: 1},
	dns.TypeMF:    {names: 1},
	dns.TypeCNAME: {names: 1},
	dns.TypeSOA:   {names: 2},
	dns.TypeMB:    {names: 1},
	dns.TypeMG:    {names: 1},
	dns.TypeMR:    {names: 1},
	dns.TypePTR:   {names: 1},
	dns.TypeMINFO: {names: 2},
	dns.TypeMX:    {octets: 2, names: 1},
	dns.TypeRP:    {names: 2},
	dns.TypeAFSDB: {octets: 2, names: 1},
	dns.TypeRT:    {octets: 2, names: 1},
	dns.TypeSIG:   {octets: 18, names: 1},
	dns.TypePX:    {octets: 2, names: 2},
	dns.TypeNXT:   {names: 1},
	dns.TypeNAPTR: {octets: 4, strings: 3, names: 1},
	dns.TypeKX:    {octets: 2, names: 1},
	dns.TypeSRV:   {octets: 6, names: 1},
	dns.TypeDNAME: {names: 1},
}

// lowerNames lowers the names of an RDATA in place. RDATA that is shorter than its type wants (it came
// in as unknown RDATA, RFC 3597) is left as it is from there on.
func lowerNames(rdata []byte, l layout) {
	rest := rdata[min(l.octets, len(rdata)):]
	for range l.strings {
		if len(rest) == 0 {
			return
		}
		rest = rest[min(1+int(rest[0]), len(rest)):]
	}
	for range l.names {
		rest = lowerName(rest)
	}
}

// lowerName lowers the wire name that wire begins with, and returns what follows it.
func lowerName(wire []byte) []byte {
	for len(wire) > 0 && wire[0] != 0 {
		end := min(1+int(wire[0]), len(wire))
		for i := 1; i < end; i++ {
			wire[i] = lower(wire[i])
		}
		wire = wire[end:]
	}
	return wire[min(1, len(wire)):]
}

// equal reports whether two RRsets are the same in every octet.
func (r RRset) equal(o RRset) bool {
	return r.Type == o.Type && r.TTL == o.TTL && r.Owner == o.Owner && slices.EqualFunc(r.RDATA, o.RDATA, bytes.Equal)
}

// check says why an RRset cannot be signed.
func (r RRset) check() error {
	switch {
	case len(r.RDATA) == 0:
		return errors.New("an RRset must have at least one record")
	case r.Type == dns.TypeRRSIG:
		return errors.New("RRSIG records are not signed (RFC 4035 2.2)")
	case !isData(r.Type):
		return fmt.Errorf("%s is a pseudo-type and is not signed (RFC 6895 3.1)", dns.Type(r.Type))
	case r.TTL > MaxTTL:
		return fmt.Errorf("the TTL of %d seconds is too long for signatures that last 14 days: lower it to %d", r.TTL, MaxTTL)
	}
	for i, rdata := range r.RDATA {
		if len(rdata) > 0xFFFF {
			return errors.New("an RDATA is longer than 65535 octets")
		}
		if i > 0 && bytes.Compare(r.RDATA[i-1], rdata) >= 0 {
			return errors.New("the RDATA is not in canonical order without duplicates (RFC 4034 6.3)")
		}
	}
	return nil
}

// isData tells types of data from the pseudo-types: 0, OPT, and the range of question and meta-types
// 128 to 255 (RFC 6895 3.1).
func isData(rrtype uint16) bool {
	return rrtype != 0 && rrtype != dns.TypeOPT && (rrtype < 128 || rrtype > 255)
}
