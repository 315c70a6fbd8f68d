package caa

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// This file refuses zones whose data nobody has. Without `nameservers` a zone is what the next plugin says of it;
// where that says nothing, all but the policy's own names are answered with SERVFAIL, and a CA issues nothing. So a
// policy that replaces another one must not turn a complete zone into one without data, nor bring a zone without
// data in which an issuance is required. What the replaced policy had as an overlay already is not judged here: a
// backend that fails for a while is no reason to refuse a change, and the self-check reports it. Nor is the first
// policy after a start, for which nothing else could be served.

const (
	// dataRetry is how often a policy that was refused for want of data is tried again.
	dataRetry = 10 * time.Second
	// probedNames is how many names of a zone are asked for, beside its SOA. Plugins such as hosts and template
	// have data of names, and no SOA.
	probedNames = 8
)

// missingData is a refusal because the next plugin does not have the data of a zone. It may have them later.
type missingData struct{ error }

func (m missingData) Unwrap() error { return m.error }

// waiting is a policy that the guard has accepted, and that was refused for want of data.
type waiting struct {
	verdict
	tried time.Time
}

// wait keeps a policy to be tried again, if it is data that it was refused for.
func (l *loader) wait(v verdict, refused error) {
	l.waiting = nil
	if errors.As(refused, new(missingData)) {
		l.waiting = &waiting{v, l.now()}
	}
}

// retry tries the policy again that waits for data, when it is time to.
func (l *loader) retry() {
	if l.waiting != nil && l.now().Sub(l.waiting.tried) >= dataRetry {
		l.retryNow()
	}
}

// retryNow serves the policy that waits for data if these are there. If they are not, it goes on waiting: the
// refusal has been logged, and is from time to time.
func (l *loader) retryNow() {
	w := l.waiting
	if w == nil {
		return
	}
	next, err := l.serve(w.verdict, true)
	l.wait(w.verdict, err)
	switch {
	case l.waiting != nil:
	case err != nil:
		l.complain(err)
	default:
		l.accept(next)
	}
}

// withoutData refuses the zones of a serving that had nameservers in the policy being replaced, or that are new and
// in which issuances are required, where the next plugin does not have their data.
func (l *loader) withoutData(s *serving, previous *policy.Snapshot, operator []guard.Requirement) error {
	if previous == nil {
		return nil
	}
	required, seen := map[*zone][]guard.Requirement{}, map[string]bool{}
	for _, r := range slices.Concat(guard.Requirements(s.policy), operator, guard.Requirements(previous)) {
		if z, name := s.find(r.Name), r.String(); z != nil && !seen[name] {
			seen[name] = true
			required[z] = append(required[z], r)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patienceForNodes)
	defer cancel()
	var report guard.Report
	for _, apex := range slices.Sorted(maps.Keys(s.zones)) {
		z, was := s.zones[apex], l.wasServed(previous, apex)
		if z.PolicyOnly() || z.lender != nil || was != nil && !was.PolicyOnly() || was == nil && len(required[z]) == 0 {
			continue
		}
		if ctx.Err() != nil {
			log.Warningf("The next plugin was not asked for the data of all new zones within %v: the self-check will", patienceForNodes)
			break
		}
		if err := l.inquire(s).hasData(ctx, z, was); err != nil {
			report.Refusals = append(report.Refusals, refuseNoData(z, required[z], err))
		}
	}
	for _, was := range previous.Zones {
		if ctx.Err() != nil {
			break
		}
		if refusal, lame := l.leftLame(ctx, s, previous, was, required); lame {
			report.Refusals = append(report.Refusals, refusal)
		}
	}
	if err := report.Err(); err != nil {
		return missingData{err}
	}
	return nil
}

// leftLame refuses to drop a complete zone in which issuances are required while the zone above, whose data the next
// plugin has, delegates it to the same name servers: they would refer a CA's resolver to themselves for ever. Where
// the delegation names others, the zone has moved to them.
func (l *loader) leftLame(ctx context.Context, s *serving, previous *policy.Snapshot, was *policy.Zone, required map[*zone][]guard.Requirement) (r guard.Refusal, lame bool) {
	above := s.find(was.Name)
	if !was.PolicyOnly() || !l.cfg.covers(was.Name) || s.zones[was.Name] != nil || above == nil || above.PolicyOnly() || above.lender != nil {
		return r, false
	}
	inside := slices.DeleteFunc(slices.Clone(required[above]), func(r guard.Requirement) bool { return previous.Covering(r.Name) != was })
	if len(inside) == 0 {
		return r, false
	}
	f, err := l.inquire(s).ask(ctx, above, was.Name, dns.TypeNS)
	if err != nil || f.kind != cut || f.owner != was.Name {
		return r, false
	}
	for _, rr := range f.set {
		ns := lower(rr.(*dns.NS).Ns)
		if slices.ContainsFunc(was.Nameservers, func(server policy.Nameserver) bool { return server.Name == ns }) {
			return guard.Refusal{Pos: s.policy.ZonesPos, Code: "lame-delegation", Names: namesOf(inside),
				Cause:  fmt.Sprintf("the policy no longer lists the zone %s, and the data of %s still delegate it to %s, which would be a lame delegation", terminal.Bare(was.Name), terminal.Bare(above.Name), terminal.Bare(ns)),
				Remedy: fmt.Sprintf("list %s again; or change or remove its delegation in the data of %s first", terminal.Bare(was.Name), terminal.Bare(above.Name))}, true
		}
	}
	return r, false
}

// wasServed is a zone as this block served it under an earlier policy, nil where it did not.
func (l *loader) wasServed(previous *policy.Snapshot, apex string) *policy.Zone {
	if z := previous.Zone(apex); z != nil || !l.cfg.covered[apex] {
		return z
	}
	return previous.ZoneOrDefault(apex)
}

// namesOf are the names of requirements, for people.
func namesOf(required []guard.Requirement) []string {
	names := make([]string, len(required))
	for i, r := range required {
		names[i] = r.String()
	}
	return names
}

func refuseNoData(z *zone, required []guard.Requirement, err error) guard.Refusal {
	names := append([]string{terminal.Bare(z.Name)}, namesOf(required)...)
	return guard.Refusal{Pos: z.Pos, Code: "no-data", Names: slices.Compact(names),
		Cause:  fmt.Sprintf("it has no nameservers, and the next plugin does not have its data (%v): questions about it would be answered with SERVFAIL, or as if it were empty", err),
		Remedy: "write nameservers: for a zone that is complete by its policy; or have another plugin of the server block, such as file, serve the zone first"}
}

// hasData says why the next plugin does not have the data of a zone, nil where it has. was is the zone as it was
// served before, nil where it was not.
func (q *inquiry) hasData(ctx context.Context, z *zone, was *policy.Zone) error {
	ask := q.below.ask
	if !q.prompt {
		ask = q.below.askBriefly
	}
	m, reason := ask(ctx, z.Name, dns.TypeSOA)
	if errors.Is(reason, errNobody) {
		reason = errors.New("no plugin answers for it")
	}
	if reason == nil {
		if reason = q.isData(z, was, m); reason == nil || errors.Is(reason, errEcho) {
			return reason
		}
	}
	for _, name := range q.namesToProbe(z) {
		for _, qtype := range []uint16{dns.TypeCAA, dns.TypeA} {
			if m, err := ask(ctx, name, qtype); err == nil && q.isData(z, was, m) == nil {
				return nil
			}
		}
	}
	return reason
}

// namesToProbe are the first names that are required in a zone or have a policy of their own.
func (q *inquiry) namesToProbe(z *zone) []string {
	names := []string{z.Name}
	for _, cert := range q.serving.policy.Certificates {
		if len(names) > probedNames {
			return names
		}
		if q.serving.find(cert.Name) == z {
			names = append(names, cert.Name)
		}
	}
	for node := range z.Nodes() {
		if len(names) > probedNames {
			return names
		}
		names = append(names, node.Name)
	}
	return names
}

var errEcho = errors.New("its answer is what this server itself has served, perhaps by way of a resolver")

// isData says why an answer of the next plugin shows no data of a zone, nil where it does.
func (q *inquiry) isData(z *zone, was *policy.Zone, m *dns.Msg) error {
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return fmt.Errorf("it answered %s", dns.RcodeToString[m.Rcode])
	}
	if was != nil && slices.ContainsFunc(m.Answer, func(rr dns.RR) bool { return isSOAOf(rr, was) }) {
		return errEcho
	}
	if slices.ContainsFunc(m.Answer, func(rr dns.RR) bool { return dns.IsSubDomain(z.Name, lower(rr.Header().Name)) }) {
		return nil
	}
	if !m.Authoritative {
		return errors.New("its answer has no records of the zone and is not authoritative")
	}
	apex, ok := apexOf(m, z.Name)
	if !ok || apex == z.Name {
		return nil
	}
	if above := q.serving.zones[apex]; was == nil && above != nil && !above.PolicyOnly() {
		return nil // the names lie in the data of a zone above that is served here, too
	}
	return fmt.Errorf("it answers from the zone %s", terminal.Bare(apex))
}

// isSOAOf reports whether a record is the SOA that we served of a policy-only zone.
func isSOAOf(rr dns.RR, z *policy.Zone) bool {
	soa, ok := rr.(*dns.SOA)
	return ok && z.PolicyOnly() && lower(soa.Hdr.Name) == z.Name && soa.Serial == z.Serial && lower(soa.Ns) == z.Nameservers[0].Name
}
