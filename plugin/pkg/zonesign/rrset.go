// Package zonesign signs RRsets online and denies existence, on the wire form of the records.
//
// Keys and canonical RRsets go in, RRSIG RDATA comes out (RFC 4034, RFC 4035 2). Time and randomness
// are parameters. A Signer never signs with a key outside the DNSKEY RRset as served, and never
// returns nothing: it is signatures or an error.
package zonesign

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/miekg/dns"
)

// RRset is one RRset of class IN in canonical wire form (RFC 4034 6.2, 6.3).
type RRset struct {
	Owner string // fully qualified, lower case, presentation format
	Type  uint16
	TTL   uint32
	RDATA [][]byte // sorted, without duplicates
}

// ErrNotRRset is returned for records that do not form one RRset.
var ErrNotRRset = errors.New("the records do not form one RRset")

// NewRRset makes the canonical form of records that share owner, type and TTL.
func NewRRset(rrs ...dns.RR) (RRset, error) {
	if len(rrs) == 0 {
		return RRset{}, ErrNotRRset
	}
	h := rrs[0].Header()
	set := RRset{Owner: dns.CanonicalName(h.Name), Type: h.Rrtype, TTL: h.Ttl}
	for _, rr := range rrs {
		other := rr.Header()
		if dns.CanonicalName(other.Name) != set.Owner || other.Rrtype != set.Type || other.Ttl != set.TTL || other.Class != dns.ClassINET {
			return RRset{}, fmt.Errorf("%w: %s beside %s", ErrNotRRset, other.String(), h.String())
		}
		rdata, err := canonicalRDATA(rr)
		if err != nil {
			return RRset{}, err
		}
		set.RDATA = append(set.RDATA, rdata)
	}
	slices.SortFunc(set.RDATA, bytes.Compare)
	set.RDATA = slices.CompactFunc(set.RDATA, bytes.Equal)
	return set, nil
}

// canonicalRDATA packs a record's RDATA with the names in it in lower case, for the types that
// RFC 4034 6.2 (as corrected by RFC 6840 5.1) lists and a zone of ours can hold.
func canonicalRDATA(rr dns.RR) ([]byte, error) {
	rr = dns.Copy(rr)
	switch rr := rr.(type) {
	case *dns.NS:
		rr.Ns = dns.CanonicalName(rr.Ns)
	case *dns.CNAME:
		rr.Target = dns.CanonicalName(rr.Target)
	case *dns.SOA:
		rr.Ns, rr.Mbox = dns.CanonicalName(rr.Ns), dns.CanonicalName(rr.Mbox)
	case *dns.PTR:
		rr.Ptr = dns.CanonicalName(rr.Ptr)
	case *dns.MX:
		rr.Mx = dns.CanonicalName(rr.Mx)
	case *dns.SRV:
		rr.Target = dns.CanonicalName(rr.Target)
	case *dns.DNAME:
		rr.Target = dns.CanonicalName(rr.Target)
	}
	rr.Header().Name = "."
	wire := make([]byte, dns.Len(rr)+1)
	end, err := dns.PackRR(rr, wire, 0, nil, false)
	if err != nil {
		return nil, err
	}
	const fixed = 1 + 2 + 2 + 4 + 2 // the root's octet, type, class, TTL, RDLENGTH
	return wire[fixed:end], nil
}

// OwnerWire is the wire form of a name in presentation format, in the case it has.
func OwnerWire(name string) ([]byte, error) {
	var buf [256]byte
	end, err := dns.PackDomainName(name, buf[:], 0, nil, false)
	if err != nil {
		return nil, err
	}
	return slices.Clone(buf[:end]), nil
}
