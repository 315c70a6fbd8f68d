package overlay

import (
	"context"
	"errors"
	"fmt"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/zones"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// This file puts single questions, and reads what each answer says by itself.

// OtherZone is the error for a name that is in another zone of the next plugin's than was thought: in one under it.
type OtherZone struct{ Apex string }

func (e *OtherZone) Error() string { return fmt.Sprintf("the name is in the zone %s", e.Apex) }

// LostError says that the next plugin gave no answer that can be used.
type LostError struct {
	Name string
	Type uint16
	Err  error
}

func (e *LostError) Error() string {
	return fmt.Sprintf("the next plugin, queried for %s %s: %v", e.Name, dns.TypeToString[e.Type], e.Err)
}

func (e *LostError) Unwrap() error { return e.Err }

// way is what was found on the way of a question through our zones: all that its answer is made from.
type way struct {
	prepared bool        // the answer is the policy's CAA at the name asked for
	aliases  []nameData  // in the order of the way
	ends     bool        // whether its end is in a zone with data of ours; else a resolver has to go on by itself
	end      nameData    // what is at its end
	local    *zones.View // the end, where it is in a policy-only zone; nil elsewhere
	foreign  []dns.RR    // what the next plugin answered for the last alias's target, which is in no zone of ours
}

// nameData is what there is at one name.
type nameData struct {
	reading
	view zones.View // the contents of the zone at the name

	// What a denial has.
	soaSet    zonesign.RRset
	negative  uint32 // the TTL of SOA and of what proves the denial, in seconds
	existence existence
	bitmap    zonesign.Bitmap

	// What a referral has.
	ds   []dns.RR // none where the zone under the cut is unsigned
	glue []dns.RR
}

// gathering is one question on its way.
type gathering struct {
	o        *Overlay
	asker    asker
	question Question
	way      way // what was found so far
}

// newGathering begins one on behalf of a query.
func newGathering(o *Overlay, w dns.ResponseWriter, r *dns.Msg, q Question) *gathering {
	g := &gathering{o: o, question: q}
	g.asker.init(o.next, w, r)
	return g
}

// askOnce puts one question, and reads what its answer says by itself.
func (g *gathering) askOnce(ctx context.Context, z *zones.Zone, name string, qtype uint16) (reading, error) {
	ask := g.asker.ask
	if (qtype == dns.TypeCAA || ours(g.question.Type)) && z.Exists(name) && !g.o.backend.nonblocking {
		ask = g.asker.askBriefly
	}
	m, err := ask(ctx, name, qtype)
	if errors.Is(err, ErrNobody) && g.alive(ctx, z) {
		return reading{kind: noName, answer: new(dns.Msg)}, nil
	}
	if err != nil {
		return reading{}, &LostError{name, qtype, err}
	}
	if apex, ok := apexOf(m, name); ok && apex != z.Name() && dns.IsSubDomain(z.Name(), apex) {
		return reading{}, &OtherZone{apex}
	}
	r, err := read(z.Name(), name, qtype, m)
	switch {
	case err != nil:
		return r, &LostError{name, qtype, err}
	case r.kind == exists && qtype == dns.TypeCAA:
		g.o.logConflict(z, name)
	case r.kind == exists && qtype == dns.TypeDNAME, r.kind == alias && r.set[0].Header().Rrtype == dns.TypeDNAME:
		g.o.of(z).sawDNAME.Store(true)
	}
	return r, nil
}

// logConflict says once that the data of an overlay hold CAA of their own.
func (o *Overlay) logConflict(z *zones.Zone, name string) {
	o.of(z).conflict.Do(func() {
		log.Warningf("The data of %s have CAA records, for example at %s; the policy's CAA is served instead. Remove CAA from the data", dnsname.Bare(z.Name()), dnsname.Bare(name))
	})
}

// alive reports whether the next plugin has the zone at all: what a plugin says of one name while it
// does not hold the zone, say because its file has gone, denies nothing.
func (g *gathering) alive(ctx context.Context, z *zones.Zone) bool {
	m, err := g.asker.ask(ctx, z.Name(), dns.TypeSOA)
	return err == nil && len(recordsAt(m.Answer, z.Name(), dns.TypeSOA)) > 0
}
