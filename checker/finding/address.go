package finding

import (
	"slices"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/resolve"
)

// address is one address of one name server, with its replies.
type address struct {
	zone *resolve.Zone
	id   string // for people
	seen []resolve.Observation
}

// byAddress groups the observations of a zone's servers. An address that was asked while this machine's network was
// lost is left out: nothing is known of it.
func byAddress(zone *resolve.Zone, seen []resolve.Observation) []address {
	var out []address
	for _, o := range seen {
		id := serverOf(o)
		i := slices.IndexFunc(out, func(a address) bool { return a.id == id })
		if i < 0 {
			i = len(out)
			out = append(out, address{zone: zone, id: id})
		}
		out[i].seen = append(out[i].seen, o)
	}
	return slices.DeleteFunc(out, func(a address) bool { return slices.ContainsFunc(a.seen, offline) })
}

// count is how many of an address's answers over a transport meet a condition, and of how many.
func (a address) count(transport resolve.Transport, is func(resolve.Observation) bool) (n, of int) {
	for _, o := range a.seen {
		if o.Transport != transport {
			continue
		}
		of++
		if is(o) {
			n++
		}
	}
	return n, of
}

// errors returns the failures of an address for which it sent extended errors (RFC 8914), each once.
func (a address) errors() []string {
	var known, out []string
	for _, o := range a.seen {
		words := string(o.Failure) + ", " + o.Words()
		if o.Failure == "" || len(o.Errors) == 0 || slices.Contains(known, words) {
			continue
		}
		known = append(known, words)
		out = append(out, typeName(o.Type)+" at "+where(o)+": "+words)
	}
	return out
}

// serves reports whether the address answered for the zone's SOA.
func (a address) serves() bool {
	return slices.ContainsFunc(a.seen, func(o resolve.Observation) bool { return o.Type == dns.TypeSOA && o.Failure == "" })
}
