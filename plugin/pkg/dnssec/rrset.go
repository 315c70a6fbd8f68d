package dnssec

import (
	"encoding/hex"
	"slices"
	"strconv"

	"github.com/miekg/dns"
)

// RRset is all records of one name and type in one section of an answer, and the signatures over them.
type RRset struct {
	Name string // canonical: lower case, fully qualified
	Type uint16
	TTL  uint32 // the lowest of its records (RFC 2181 5.2)
	RRs  []dns.RR
	Sigs []*dns.RRSIG
}

// RRsets groups the records of a section, in the order in which their names and types first come.
// Records of another class than IN and pseudo-records are left out; the section is not changed.
// A record that comes twice is there once (RFC 2181 5). Signatures over nothing that is there make an RRset
// without RRs.
func RRsets(section []dns.RR) []RRset {
	type key struct {
		name   string
		rrtype uint16
	}
	index := map[key]int{}
	var sets []RRset
	for _, rr := range section {
		h := rr.Header()
		if h.Class != dns.ClassINET || h.Rrtype == dns.TypeOPT {
			continue
		}
		rr = dns.Copy(rr)
		rr.Header().Name = dns.CanonicalName(h.Name)
		k := key{rr.Header().Name, h.Rrtype}
		sig, signature := rr.(*dns.RRSIG)
		if signature {
			k.rrtype = sig.TypeCovered
		}
		i, known := index[k]
		if !known {
			i = len(sets)
			index[k] = i
			sets = append(sets, RRset{Name: k.name, Type: k.rrtype})
		}
		if signature {
			sets[i].Sigs = append(sets[i].Sigs, sig)
			continue
		}
		if len(sets[i].RRs) == 0 || h.Ttl < sets[i].TTL {
			sets[i].TTL = h.Ttl
		}
		sets[i].RRs = append(sets[i].RRs, rr)
	}
	for i := range sets {
		if len(sets[i].RRs) > 1 {
			sets[i].RRs = once(sets[i].RRs)
		}
	}
	return sets
}

// once leaves records out that have come before.
func once(rrs []dns.RR) []dns.RR {
	known := map[string]bool{}
	return slices.DeleteFunc(rrs, func(rr dns.RR) bool {
		text := Text(rr)
		before := known[text]
		known[text] = true
		return before
	})
}

// Of are the RRsets of an authority section that are a zone's own denials. A server that has the target of an alias, or
// a resolver, sends along what the target's zone denies: that is signed by the other zone's keys, and proves nothing of
// this one (RFC 4035 5.3.1).
func Of(zone string, authority []RRset) []RRset {
	return slices.DeleteFunc(slices.Clone(authority), func(set RRset) bool {
		switch {
		case set.Type == dns.TypeSOA && set.Name != zone, !dns.IsSubDomain(zone, set.Name):
			return true
		case len(set.Sigs) == 0: // whose it is, nobody says
			return false
		}
		return !slices.ContainsFunc(set.Sigs, func(sig *dns.RRSIG) bool { return dns.CanonicalName(sig.SignerName) == zone })
	})
}

// Find returns the RRset of a name and type that has records.
func Find(sets []RRset, name string, rrtype uint16) (RRset, bool) {
	name = dns.CanonicalName(name)
	for _, set := range sets {
		if set.Name == name && set.Type == rrtype && len(set.RRs) > 0 {
			return set, true
		}
	}
	return RRset{}, false
}

// evidence is the RRset as it was received.
func (s RRset) evidence() []dns.RR {
	out := append([]dns.RR(nil), s.RRs...)
	for _, sig := range s.Sigs {
		out = append(out, sig)
	}
	return out
}

// exact are the records as they have to be hashed. The library keeps a CAA value's octets as they
// came, but takes a backslash in them for an escape when it packs them, and packs none over 1025
// octets; the generic form (RFC 3597) has neither fault.
func (s RRset) exact() []dns.RR {
	if s.Type != dns.TypeCAA {
		return s.RRs
	}
	out := make([]dns.RR, len(s.RRs))
	for i, rr := range s.RRs {
		caa, ok := rr.(*dns.CAA)
		if !ok {
			return s.RRs
		}
		tag := Octets(caa.Tag)
		rdata := append([]byte{caa.Flag, byte(len(tag))}, tag...)
		rdata = append(rdata, caa.Value...)
		out[i] = &dns.RFC3597{Hdr: caa.Hdr, Rdata: hex.EncodeToString(rdata)}
	}
	return out
}

// Octets undoes the escapes that the library puts into a character-string it reads off the wire, a
// CAA Property's Tag for one. (Its Value has none.)
func Octets(text string) string {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			out = append(out, text[i])
			continue
		}
		if i+3 < len(text) {
			if n, err := strconv.ParseUint(text[i+1:i+4], 10, 8); err == nil {
				out = append(out, byte(n))
				i += 3
				continue
			}
		}
		i++
		out = append(out, text[i])
	}
	return string(out)
}
