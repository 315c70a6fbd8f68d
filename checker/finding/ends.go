package finding

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
)

// End is when an RRset stops validating unless it is signed again.
type End struct {
	At   time.Time
	From time.Time // when that signature began
	Name string    // of the RRset
	Type uint16
}

// Over returns the RRset's name and type, for people.
func (e End) Over() string { return dnsname.Bare(e.Name) + " " + typeName(e.Type) }

func (e End) compare(f End) int {
	return cmp.Or(e.At.Compare(f.At), dnsname.Compare(e.Name, f.Name), cmp.Compare(e.Type, f.Type))
}

// Ends returns, for each zone that signed what was observed, the first ends after now: that of the DNSKEY RRset,
// whose key may be used seldom, and that of all other RRsets; the earlier first.
func (c *Case) Ends() map[string][]End {
	type part struct {
		zone string
		keys bool
	}
	first := map[part]End{}
	for o := range c.observations() {
		for zone, ends := range lasting(o.Msg, c.Now) {
			for _, end := range ends {
				p := part{zone, end.Type == dns.TypeDNSKEY}
				if known, ok := first[p]; end.At.After(c.Now) && (!ok || end.compare(known) < 0) {
					first[p] = end
				}
			}
		}
	}
	out := map[string][]End{}
	for p, end := range first {
		out[p.zone] = append(out[p.zone], end)
	}
	for _, ends := range out {
		slices.SortFunc(ends, End.compare)
	}
	return out
}

// lasting are the ends of a message's RRsets by their signer: with several signatures one lasts as long
// as the last of them.
func lasting(m *dns.Msg, now time.Time) map[string][]End {
	if m == nil {
		return nil
	}
	out := map[string][]End{}
	for _, rr := range slices.Concat(m.Answer, m.Ns) {
		sig, ok := rr.(*dns.RRSIG)
		if !ok {
			continue
		}
		from, at := dnssec.Validity(sig, now)
		end := End{at.UTC(), from.UTC(), dns.CanonicalName(sig.Hdr.Name), sig.TypeCovered}
		signer := dns.CanonicalName(sig.SignerName)
		i := slices.IndexFunc(out[signer], func(e End) bool { return e.Name == end.Name && e.Type == end.Type })
		switch {
		case i < 0:
			out[signer] = append(out[signer], end)
		case end.At.After(out[signer][i].At):
			out[signer][i] = end
		}
	}
	return out
}

// observations yields all answers of the case: of the climb, of the zones that it rests on, and of the
// surveys.
func (c *Case) observations() iter.Seq[resolve.Observation] {
	return func(yield func(resolve.Observation) bool) {
		var all [][]resolve.Observation
		for _, step := range c.Climb.Steps {
			all = append(all, step.Answer.Seen)
		}
		for _, zone := range c.Climb.Zones() {
			all = append(all, zone.Seen)
		}
		for _, s := range c.Surveys {
			all = append(all, s.Seen)
		}
		for _, cut := range c.Cuts {
			all = append(all, cut.DS)
		}
		for _, seen := range all {
			for _, o := range seen {
				if !yield(o) {
					return
				}
			}
		}
	}
}
