package resolve

import (
	"context"
	"fmt"
	"slices"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
)

// Link is one alias on the way to an answer.
type Link struct {
	Owner  string // of the CNAME or DNAME
	Type   uint16
	From   string // the name that it makes an alias
	Target string
	Zone   *Zone
	Result dnssec.Result

	LeftOut dnssec.Result // a denial that came along without a signature

	denials []dnssec.RRset // that came along signed
}

// String is the record that makes the alias, for people.
func (l Link) String() string {
	return dnsname.Bare(l.Owner) + " " + dns.Type(l.Type).String() + " " + dnsname.Bare(l.Target)
}

// Answer is the result of a lookup.
type Answer struct {
	Name  string
	Type  uint16
	Chain []Link
	Owner string       // the name at the end of the chain
	Zone  *Zone        // of that name
	Kind  Kind         // Data, NoData or NoName; Alias for one that is Bogus; Failed with Err
	RRset dnssec.RRset // of Data and Alias
	// Result is the weakest of the chain's links and the answer at its end.
	Result dnssec.Result
	// WithoutSOA is set for a negative answer without SOA, which some resolvers discard.
	WithoutSOA bool
	Seen       []Observation // the questions for the name itself and its aliases' targets
	Err        *LookupError

	denials []dnssec.RRset // that came signed with the answer at the end
}

// Endless says how the chain of aliases does not end, "" where it does or nothing is known of that.
func (a Answer) Endless() string {
	switch {
	case a.Err == nil || a.Err.Failure != AliasLoop:
		return ""
	case slices.ContainsFunc(a.Chain, func(l Link) bool { return l.From == a.Owner }):
		return "the CNAME chain loops"
	}
	return "the CNAME chain is longer than resolvers follow"
}

// Aliases are the records of the chain, for people.
func (a Answer) Aliases() []string {
	var out []string
	for _, l := range a.Chain {
		out = append(out, l.String())
	}
	return out
}

// WithoutMessages is the answer with what was read of the messages that it was found in, and without them.
func (a Answer) WithoutMessages() Answer {
	a.Seen = withoutMessages(a.Seen)
	if a.Err != nil {
		err := *a.Err
		err.Seen = withoutMessages(err.Seen)
		a.Err = &err
	}
	return a
}

func withoutMessages(seen []Observation) []Observation {
	seen = slices.Clone(seen)
	for i := range seen {
		seen[i].Msg, seen[i].Raw = nil, nil
	}
	return seen
}

// LookupError is why a lookup ended without an answer.
type LookupError struct {
	Failure Failure
	Name    string
	Type    uint16
	Zone    *Zone // whose servers did not answer; nil where none was reached
	Seen    []Observation
}

// Error implements error.
func (e *LookupError) Error() string {
	if e.Zone == nil {
		return fmt.Sprintf("%s %s: %s", e.Name, dns.TypeToString[e.Type], e.Failure)
	}
	return fmt.Sprintf("%s %s: %s, at the servers of %s", e.Name, dns.TypeToString[e.Type], e.Failure, e.Zone.Name) + e.why()
}

// why is the last extended error that a server sent (RFC 8914), "" for none.
func (e *LookupError) why() string {
	for _, o := range slices.Backward(e.Seen) {
		if words := o.Words(); words != "" {
			return " (" + words + ")"
		}
	}
	return ""
}

// Trust returns the security status of the zone that did not answer: whether a CA may take the failure as
// permission (BR 4.2.2.1) depends on it.
func (e *LookupError) Trust() dnssec.Result {
	if e.Zone == nil {
		return dnssec.Result{}
	}
	return e.Zone.Trust
}

// Lookup looks a name up as a resolver does: aliases are followed, and of each zone's servers one is
// asked after the other until one gives an answer that validates.
//
// An answer is remembered, as zones are; a failure is not.
func (r *Resolver) Lookup(ctx context.Context, name string, rrtype uint16) Answer {
	return r.lookUp(ctx, newTask(), name, rrtype)
}

// lookUp is Lookup as a part of a task, whose questions it shares.
func (r *Resolver) lookUp(ctx context.Context, t *task, name string, rrtype uint16) Answer {
	key := Question{dns.CanonicalName(name), rrtype}
	for {
		r.mu.Lock()
		known := r.answers[key]
		if known == nil {
			known = &found{done: make(chan struct{})}
			r.answers[key] = known
			r.mu.Unlock()
			return r.answer(ctx, t, key, known)
		}
		r.mu.Unlock()
		select {
		case <-known.done:
			if known.answer.Err == nil {
				return known.answer
			}
		case <-ctx.Done():
			return Answer{Name: key.Name, Type: key.Type, Owner: key.Name}.fail(&LookupError{Failure: Cancelled, Name: key.Name, Type: key.Type})
		}
	}
}

// found is an answer, once done is closed.
type found struct {
	done   chan struct{}
	answer Answer
}

// answer looks up what is not being looked up already. A failure is removed before others see it, so
// that those who waited look it up themselves.
func (r *Resolver) answer(ctx context.Context, t *task, key Question, f *found) Answer {
	f.answer = r.lookup(ctx, t, key.Name, key.Type)
	if f.answer.Result.Status == dnssec.Bogus && ctx.Err() != nil { // it may lack what another question would have brought
		f.answer = f.answer.fail(&LookupError{Failure: Cancelled, Name: key.Name, Type: key.Type, Zone: f.answer.Zone})
	}
	if f.answer.Err != nil {
		r.mu.Lock()
		delete(r.answers, key)
		r.mu.Unlock()
	}
	close(f.done)
	return f.answer
}

func (r *Resolver) lookup(ctx context.Context, t *task, name string, rrtype uint16) Answer {
	a := Answer{Name: name, Type: rrtype, Owner: name, Result: dnssec.Result{Status: dnssec.Secure, Reason: dnssec.Signed}}
	visited := map[string]bool{}
	for {
		if visited[a.Owner] || len(a.Chain) > maxAliases {
			return a.fail(&LookupError{Failure: AliasLoop, Name: a.Owner, Type: rrtype, Zone: a.Zone})
		}
		visited[a.Owner] = true
		p := r.locate(ctx, t, sideOf(a.Owner, rrtype))
		if p.failure != nil {
			return a.fail(p.failure)
		}
		reading := a.resolveIn(ctx, t, p.zone)
		if reading.Kind == Failed {
			return a
		}
		a.Result = weakest(a.Chain, reading.Result)
		if reading.Kind != Alias || reading.Result.Status == dnssec.Bogus { // an alias that no resolver would follow
			a.Kind, a.RRset, a.WithoutSOA, a.denials = reading.Kind, reading.RRset, reading.WithoutSOA, reading.denials
			a.missLeftOut()
			return a
		}
		a.Chain = append(a.Chain, reading.link(a.Owner, a.Zone))
		a.Owner = reading.Target
	}
}

// sideOf is the name whose zone answers: for DS, which is on the parent's side of a zone cut, the parent
// (RFC 4035 2.4, 3.1.4.1).
func sideOf(name string, rrtype uint16) string {
	if rrtype == dns.TypeDS {
		return dnsname.Parent(name)
	}
	return name
}

func (a Answer) fail(err *LookupError) Answer {
	a.Kind, a.Err, a.Result = Failed, err, dnssec.Result{}
	if err.Zone != nil {
		a.Zone = err.Zone
	}
	return a
}

// link is what an alias adds to the chain of the name that it was found at.
func (r Reading) link(from string, zone *Zone) Link {
	return Link{r.RRset.Name, r.RRset.Type, from, r.Target, zone, r.Result, r.LeftOut, r.denials}
}

// weakest is the weakest result of some links and their end; of several the first.
func weakest(chain []Link, end dnssec.Result) dnssec.Result {
	for _, l := range slices.Backward(chain) {
		if strength[l.Result.Status] <= strength[end.Status] {
			end = l.Result
		}
	}
	return end
}

// missLeftOut makes an answer Bogus that is Secure except for an unsigned denial of one of its aliases.
func (a *Answer) missLeftOut() {
	for _, l := range a.Chain {
		if a.Result.Status == dnssec.Secure && l.LeftOut.Status == dnssec.Bogus {
			a.Result = l.LeftOut
		}
	}
}

// aliases is the status of the chain so far; Indeterminate where the name is its own.
func (a *Answer) aliases() dnssec.Status {
	if len(a.Chain) == 0 {
		return dnssec.Indeterminate
	}
	return a.Result.Status
}

var strength = map[dnssec.Status]int{dnssec.Bogus: 0, dnssec.Indeterminate: 1, dnssec.Insecure: 2, dnssec.Secure: 3}

// resolveIn asks a zone's servers for the owner, and those that they refer to on the way down.
func (a *Answer) resolveIn(ctx context.Context, t *task, zone *Zone) Reading {
	r := zone.resolver
	for {
		a.Zone = zone
		reading, seen := zone.best(ctx, t, a.Owner, a.Type, a.aliases())
		a.Seen = append(a.Seen, seen...)
		switch reading.Kind {
		case Failed:
			*a = a.fail(&LookupError{Failure: r.blame(ctx, seen, reading.Failure), Name: a.Owner, Type: a.Type, Zone: zone, Seen: seen})
			return reading
		case Referral: // a cut that its own question did not show
			child, _, failure := zone.cut(ctx, t, reading.Target)
			if failure != nil {
				*a = a.fail(failure)
				return Reading{Failure: failure.Failure}
			}
			if child == zone {
				*a = a.fail(&LookupError{Failure: NotAuthoritative, Name: a.Owner, Type: a.Type, Zone: zone, Seen: seen})
				return Reading{Failure: NotAuthoritative}
			}
			r.remember(reading.Target, child)
			zone = child
		default:
			if reading.Result.Reason == dnssec.SignatureMissing && len(reading.RRset.RRs) > 0 {
				reading.Result = zone.leftOut(ctx, t, a.Owner, reading.Result)
			}
			return reading
		}
	}
}

// leftOut reads data without a signature once more: under opt-out they may be in a child zone whose delegation
// no NSEC3 record shows, and then they are Insecure rather than Bogus (RFC 5155 6). Validators go down from
// the zone, and the first name decides for which more is proven than that it is not a delegation.
func (z *Zone) leftOut(ctx context.Context, t *task, name string, result dnssec.Result) dnssec.Result {
	for _, at := range slices.Backward(slices.Collect(dnsname.UpTo(name, z.Name))) {
		if at == z.Name {
			continue
		}
		switch ds := z.deniedDS(ctx, t, at); ds.Reason {
		case dnssec.OptOut:
			return ds
		case dnssec.NotACut, dnssec.NoSuchName:
		default:
			return result
		}
	}
	return result
}

// deniedDS is what the zone's servers answer for DS at a name that need not be a delegation. An alias that validates is
// not one.
func (z *Zone) deniedDS(ctx context.Context, t *task, name string) dnssec.Result {
	var last dnssec.Result
	for o := range z.ask(ctx, t, question{name: name, rrtype: dns.TypeDS}) {
		if o.Failure != "" {
			continue
		}
		if alias, target := aliasIn(dnssec.RRsets(o.Msg.Answer), name, z.Name); target != "" {
			if last = dnssec.VerifyRRset(alias, z.Keys, z.resolver.Now()); last.Status == dnssec.Secure {
				return dnssec.Result{Status: dnssec.Secure, Reason: dnssec.NotACut}
			}
			continue
		}
		if _, last = z.readDS(o.Msg, name); last.Status != dnssec.Bogus || last.Reason == dnssec.NotACut || last.Reason == dnssec.NoSuchName {
			return last
		}
	}
	return last
}

// remember records that a name is the apex of a zone.
func (r *Resolver) remember(name string, zone *Zone) {
	done := make(chan struct{})
	close(done)
	r.mu.Lock()
	r.locations[name] = &location{done: done, zone: zone}
	r.mu.Unlock()
}

// best asks a zone's servers in turn until one answers validly. Without one, it is the last answer that
// came, and without any the last failure. alias is the status of the aliases that led to the name.
func (z *Zone) best(ctx context.Context, t *task, name string, rrtype uint16, alias dnssec.Status) (Reading, []Observation) {
	var seen []Observation
	last := Reading{Failure: NoServer}
	for o := range z.ask(ctx, t, question{name: name, rrtype: rrtype}) {
		seen = append(seen, o)
		reading := z.read(o, name, rrtype, alias)
		if reading.Kind != Failed && reading.Result.Status != dnssec.Bogus {
			return reading, seen
		}
		if reading.Kind != Failed || last.Kind == Failed {
			last = reading
		}
	}
	if why := stop(seen); why != "" && z.Trust.Status != dnssec.Bogus { // of which every server's answer would be Bogus
		last = Reading{Failure: why}
	}
	return last, seen
}

// lastFailure is that of the last question that was put.
func lastFailure(seen []Observation) Failure {
	if len(seen) == 0 {
		return NoServer
	}
	return seen[len(seen)-1].Failure
}
