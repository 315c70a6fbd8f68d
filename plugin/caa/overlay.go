package caa

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/metrics"
	"github.com/miekg/dns"
)

// maxChain is how many aliases are followed inside the zones that are served here; beyond it a resolver
// asks on by itself.
const maxChain = 16

// passed are the questions about an overlay that are not ours to answer or sign.
func passed(r *dns.Msg) bool { return r.Opcode != dns.OpcodeQuery }

// overlay answers for a zone whose data a next plugin holds: CAA is the policy's wherever the name is
// the zone's to answer for (RFC 8659 3), everything else is that plugin's, completed and signed.
func (c *CAA) overlay(ctx context.Context, w dns.ResponseWriter, r *dns.Msg, s *serving, z *zone, name string) (int, error) {
	qtype := r.Question[0].Qtype
	growStack()
	if passed(r) || z.Set == nil && qtype != dns.TypeCAA {
		return c.unsigned(ctx, w, r, s, z, name)
	}
	if depth, ok := ctx.Value(asking{c}).(int); ok {
		return c.handOn(ctx, w, r, depth+1)
	}
	if no, ok := refusalOf(r); ok {
		return c.refuse(w, r, no)
	}
	q := &inquiry{serving: s, below: newBelow(c.Next, w, r), surroundings: c.surroundings(), qtype: qtype}
	if opt := r.IsEdns0(); opt != nil {
		q.do, q.co = opt.Do(), opt.Co()
	}
	m, err := q.answer(context.WithValue(ctx, asking{c}, 0), z, name)
	var other *otherZone
	switch {
	case errors.As(err, &other):
		return c.inside(ctx, w, r, s, other.apex, name)
	case errors.Is(err, errNobody) && z.found:
		s.forget(z)
		return c.elsewhere(ctx, w, r, s, name)
	case err != nil:
		return c.unanswerable(ctx, w, r, z, err)
	}
	err = c.write(ctx, w, r, m)
	if q.b != nil {
		q.b.release()
	}
	return dns.RcodeSuccess, err
}

// asking marks the context of what we ask below. A plugin that follows an alias there (file, template) asks
// the whole server again, us included: what it needs are the data. If we followed the alias, too, each hop
// would cost as much as all hops after it together, and a loop as good as for ever. The value is how deep
// such questions lie within each other.
type asking struct{ *CAA }

// handOn passes on what the next plugin asks for itself. CoreDNS's template goes round in a loop of aliases
// until the process dies of it, unless somebody ends it.
func (c *CAA) handOn(ctx context.Context, w dns.ResponseWriter, r *dns.Msg, depth int) (int, error) {
	if depth > maxChain {
		return dns.RcodeServerFailure, nil
	}
	return plugin.NextOrFailure(pluginName, c.Next, context.WithValue(ctx, asking{c}, depth), w, r)
}

// growStack makes room at once for the plugins below, for what is made of their answer, and for what a
// crypto library needs. The goroutine of a query begins with little, and to double that again and again,
// deeper each time, costs a tenth of an answer.
//
//go:noinline
func growStack() byte {
	var room [8 << 10]byte
	return room[sink]
}

var sink uint8 // unknown to the compiler, which would else do without the room

// unsigned passes on what the next plugin says of an unsigned zone. A name that the policy gives existence is not
// denied, and a denial has the zone's SOA, for without it no resolver keeps the denial (RFC 2308 5).
func (c *CAA) unsigned(ctx context.Context, w dns.ResponseWriter, r *dns.Msg, s *serving, z *zone, name string) (int, error) {
	if passed(r) || transfers[r.Question[0].Qtype] {
		return plugin.NextOrFailure(pluginName, c.Next, ctx, w, r)
	}
	answer := &capture{ResponseWriter: w}
	code, err := plugin.NextOrFailure(pluginName, c.Next, ctx, answer, r)
	m := answer.msg
	if m == nil {
		return code, err // nothing was written, so the server writes the code
	}
	if m.Rcode == dns.RcodeNameError && len(m.Answer) == 0 && z.knows(name) {
		m.Rcode = dns.RcodeSuccess // RFC 8020: what stands above a name exists
	}
	if deniesWithoutSOA(m) {
		q := &inquiry{serving: s, below: newBelow(c.Next, w, r), surroundings: c.surroundings()}
		soa := q.dataSOA(ctx, z)
		soa.Hdr.Ttl = min(soa.Hdr.Ttl, soa.Minttl, z.ttl.negative)
		m.Ns = append(m.Ns, soa)
	}
	return dns.RcodeSuccess, w.WriteMsg(m)
}

// deniesWithoutSOA reports whether a message is a denial that lacks the SOA; with NS it would be a referral
// (RFC 2308 2.2).
func deniesWithoutSOA(m *dns.Msg) bool {
	denies := len(m.Answer) == 0 && (m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError)
	return denies && !slices.ContainsFunc(m.Ns, func(rr dns.RR) bool {
		return rr.Header().Rrtype == dns.TypeSOA || rr.Header().Rrtype == dns.TypeNS
	})
}

// unanswerable is SERVFAIL with the reason (RFC 8914), never an unsigned answer or a denial.
func (c *CAA) unanswerable(ctx context.Context, w dns.ResponseWriter, r *dns.Msg, z *zone, err error) (int, error) {
	z.meter.failed(metrics.WithServer(ctx))
	ede := &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeOther, ExtraText: "no valid signature can be made"}
	var lost *lostBelow
	if errors.As(err, &lost) {
		ede = &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeNotReady, ExtraText: "the zone's data cannot be had"}
	}
	code, _ := c.refuse(w, r, refused{dns.RcodeServerFailure, ede})
	return code, fmt.Errorf("answer %s %s: %w", r.Question[0].Name, dns.TypeToString[r.Question[0].Qtype], err)
}

// lostBelow says that the next plugin gave no answer that could be used.
type lostBelow struct {
	name  string
	qtype uint16
	err   error
}

func (e *lostBelow) Error() string {
	return fmt.Sprintf("the plugin below, asked for %s %s: %v", e.name, dns.TypeToString[e.qtype], e.err)
}

func (e *lostBelow) Unwrap() error { return e.err }

// knows reports whether the policy gives a name existence: it has a node, or stands above one.
func (z *zone) knows(name string) bool { return name == z.Name && !z.found || z.existing[name] }

// inquiry is one question about an overlay's zone on its way to an answer.
type inquiry struct {
	*serving
	surroundings
	below  *below
	qtype  uint16
	do     bool // DNSSEC was asked for
	co     bool // a compact denial may have the code NXDOMAIN (RFC 9824 5.1)
	b      *builder
	dnames map[string]uint32 // the TTLs of the DNAME that the answer has: a chain may come by one again
}

// answer finds out what the data say, and makes the message.
func (q *inquiry) answer(ctx context.Context, z *zone, name string) (*message, error) {
	f, err := q.find(ctx, z, name, q.qtype)
	if err != nil {
		return nil, err
	}
	if f.kind == exists && (q.qtype == dns.TypeCAA || q.qtype == dns.TypeANY) {
		// What CAs ask most: the answer is prepared.
		p := place{zone: z, name: name, types: caaOnly, named: z.named[name]}
		return q.serving.answer(ctx, p, p.shape(dns.TypeCAA, q.do))
	}
	if q.b, err = newBuilder(name, noData); err != nil {
		return nil, err
	}
	if err := q.follow(ctx, z, name, f); err != nil {
		return nil, err
	}
	return q.b.borrow(), nil
}

// follow goes from alias to alias through the zones that are served here (RFC 1034 4.3.2 3a), and ends
// with what the last name has. Where it cannot go on it stops: the resolver asks on by itself.
func (q *inquiry) follow(ctx context.Context, z *zone, name string, f finding) error {
	for visited := []string{name}; f.kind == alias && q.goesOn(z, f, name); visited = append(visited, name) {
		if err := q.putAlias(ctx, z, name, f); err != nil {
			return err
		}
		into := q.serving.find(f.target)
		switch {
		case q.qtype == dns.TypeCNAME:
			return nil // what DNAME makes is the answer (RFC 6672 3.2)
		case into == nil:
			return q.putForeign(f)
		case slices.Contains(visited, f.target) || len(visited) > maxChain:
			return nil
		case into.lender != nil:
			return nil // its data are not below us, and its policy may be another file's
		case into.PolicyOnly():
			return q.putLocal(ctx, into, f.target)
		}
		next, err := q.hop(ctx, z, into, f)
		if err != nil || next.kind == cut {
			return nil
		}
		z, name, f = into, f.target, next
	}
	return q.put(ctx, z, name, f)
}

// hop finds what an alias leads to: in the answer that has the alias, where the next plugin has followed
// it to data of the zone, else by another question.
func (q *inquiry) hop(ctx context.Context, z, into *zone, f finding) (finding, error) {
	told, ok := apexOf(f.extra, f.target)
	if into == z && (!ok || told == z.Name) && q.hasHop(z, f) {
		return z.read(f.target, q.qtype, f.extra)
	}
	return q.find(ctx, into, f.target, q.qtype)
}

// hasHop reports whether an answer says what stands at the target of its alias. Whether the policy's types
// are answered there, existence decides, which needs a question.
func (q *inquiry) hasHop(z *zone, f finding) bool {
	if f.target != z.Name && recordsAt(f.extra.Answer, f.target, dns.TypeCNAME) != nil {
		return true
	}
	plain := !ours(q.qtype) && !replaced[q.qtype] && q.qtype != dns.TypeDS && (!q.byType || isAddress[q.qtype])
	return plain && recordsAt(f.extra.Answer, f.target, q.qtype) != nil
}

// goesOn reports whether an alias leads the question on. CNAME answers ANY (RFC 1034 4.3.2 3a), and NSEC and RRSIG
// exist beside it (RFC 4034 4, RFC 4035 2.5); nothing exists below a DNAME.
func (q *inquiry) goesOn(z *zone, f finding, name string) bool {
	answered := q.qtype == dns.TypeANY || signing[q.qtype] && z.Set != nil
	return !answered || f.owner != name
}

// signing are the types that we add at every name of a signed zone.
var signing = map[uint16]bool{dns.TypeNSEC: true, dns.TypeRRSIG: true}

// find asks what the zone has at a name. Where the policy gives the name existence, a next plugin that
// fails or knows no such name does not take the policy's CAA away.
func (q *inquiry) find(ctx context.Context, z *zone, name string, qtype uint16) (finding, error) {
	_, ofKeys := z.keysAt(name, qtype)
	switch {
	case ofKeys && name == z.Name:
		return finding{kind: exists, owner: name}, nil
	case qtype == dns.TypeDS && name == z.Name:
		return finding{kind: noType}, nil // the parent's question (RFC 4035 3.1.4.1)
	}
	if ds, ours := q.childDS(z, name); ours && qtype == dns.TypeDS {
		return finding{kind: kindOf(ds), owner: name, set: ds, types: atCut}, nil
	}
	asked := qtype
	elsewhere := qtype == dns.TypeSOA && name != z.Name // etcd answers with the zone's, whatever the name
	if ours(qtype) || replaced[qtype] || elsewhere {
		asked = dns.TypeCAA // whose answer says whether the name exists
		if q.byType {
			asked = dns.TypeA // whose answer shows an alias
		}
	}
	f, err := q.ask(ctx, z, name, asked)
	var other *otherZone
	switch {
	case errors.As(err, &other) && other.apex == name && qtype == dns.TypeDS:
		return q.findCut(name)
	case other != nil:
		return f, err
	case err != nil && z.knows(name) && ours(qtype):
		return finding{kind: exists, owner: name}, nil
	case err != nil:
		return f, err
	case f.kind == noName && z.knows(name):
		f.kind = noType
	}
	switch {
	case signing[qtype] && z.Set == nil:
		if f.kind == exists {
			f.kind = noType // an unsigned zone has neither NSEC nor RRSIG
		}
	case f.kind == noType && ours(qtype), ofKeys && (f.kind == noType || f.kind == exists):
		f.kind, f.owner = exists, name
	case f.kind == exists && (elsewhere || replaced[qtype] && !signing[qtype]):
		f.kind = noType
	case f.kind == noType && qtype == dns.TypeDS && !q.byType: // else the question for an alias has shown it
		return q.findNoDS(ctx, z, name, f)
	case f.kind == noType && qtype == dns.TypeSOA && name == z.Name:
		f.kind, f.owner = exists, name // the zone's own where the data have none, as hosts: denials hold it
	}
	return f, nil
}

// kindOf tells a set that is there from one that is not.
func kindOf(rrs []dns.RR) kind {
	if len(rrs) == 0 {
		return noType
	}
	return exists
}

// ours reports whether the answer to a type is the policy's wherever the name exists. ANY is answered
// with CAA (RFC 8482 4.1).
func ours(qtype uint16) bool { return qtype == dns.TypeCAA || qtype == dns.TypeANY || signing[qtype] }

// ask puts a question to the next plugin and reads the answer. Where plugins answer by type, or several share the
// names, what the answer says is held against what the name is for all types.
func (q *inquiry) ask(ctx context.Context, z *zone, name string, qtype uint16) (finding, error) {
	f, err := q.askOnce(ctx, z, name, qtype)
	if err != nil || !q.byType && !q.partial {
		return f, err
	}
	return q.forAllTypes(ctx, z, name, qtype, f)
}

// askOnce puts one question, and reads what its answer says by itself.
func (q *inquiry) askOnce(ctx context.Context, z *zone, name string, qtype uint16) (finding, error) {
	ask := q.below.ask
	if (qtype == dns.TypeCAA || ours(q.qtype)) && z.knows(name) && !q.prompt {
		ask = q.below.askBriefly
	}
	m, err := ask(ctx, name, qtype)
	if errors.Is(err, errNobody) && q.alive(ctx, z) {
		return finding{kind: noName, extra: new(dns.Msg)}, nil
	}
	if err != nil {
		return finding{}, &lostBelow{name, qtype, err}
	}
	if apex, ok := apexOf(m, name); ok && apex != z.Name && dns.IsSubDomain(z.Name, apex) {
		return finding{}, &otherZone{apex}
	}
	f, err := z.read(name, qtype, m)
	switch {
	case err != nil:
		return f, &lostBelow{name, qtype, err}
	case f.kind == exists && qtype == dns.TypeCAA:
		z.tellConflict(name)
	case f.kind == exists && qtype == dns.TypeDNAME, f.kind == alias && f.set[0].Header().Rrtype == dns.TypeDNAME:
		z.sawDNAME.Store(true)
	}
	return f, nil
}

// alive reports whether the next plugin has the zone at all: what a plugin says of one name while it
// does not hold the zone, say because its file has gone, denies nothing.
func (q *inquiry) alive(ctx context.Context, z *zone) bool {
	m, err := q.below.ask(ctx, z.Name, dns.TypeSOA)
	return err == nil && len(recordsAt(m.Answer, z.Name, dns.TypeSOA)) > 0
}

// findCut is the cut above a zone that answers for itself below: the next plugin, asked for DS, answers
// from that zone, so that the parent's data cannot be seen. With a zone of ours the DS are our keys'; any
// other is proved unsigned, which is never bogus.
func (q *inquiry) findCut(apex string) (finding, error) {
	child, err := q.adopt(apex)
	if err != nil || child == nil {
		return finding{kind: noType, types: atCut}, err
	}
	ds := child.ParentDS(child.ttl.apex)
	return finding{kind: kindOf(ds), owner: apex, set: ds, types: atCut}, nil
}

// findNoDS tells a cut without DS, which proves the zone below it unsigned, from an ordinary name.
func (q *inquiry) findNoDS(ctx context.Context, z *zone, name string, f finding) (finding, error) {
	there, err := q.ask(ctx, z, name, dns.TypeCAA)
	if err == nil && there.kind == cut && there.owner == name {
		f.types = atCut
	}
	return f, err
}
