package caa

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/coredns/coredns/plugin/metrics/vars"
	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/keyring"
	"github.com/coredns-caa/caa/plugin/caa/overlay"
	"github.com/coredns-caa/caa/plugin/caa/selfcheck"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
)

const (
	// checkEvery is how often the self-check runs: the next plugin changes its data without notice, and a CA
	// may come at any time.
	checkEvery = 5 * time.Minute
	// checkAgain is how soon it runs again while the server is not ready, say because a secondary waits
	// for its first transfer.
	checkAgain = 2 * time.Second
	// checkShare is how much of one processor it takes: a twentieth.
	checkShare = 20
	// firstShare is that of the first run, which readiness waits for: a half. An orchestrator sends no queries yet.
	firstShare = 2
	// longestWork is more than the work for one issuance takes: beyond it, the time went by in waiting for a backend.
	longestWork = 5 * time.Millisecond
)

// shownFindings is how many new findings of one run are logged; the metric counts all.
const shownFindings = 20

// selfCheck is the guard's other half: the policy alone cannot show that a required name is an alias, or is under a zone
// cut, or that the next plugin fails. So package selfcheck asks for each required issuance through the whole way that a
// query takes, and what it finds is logged and counted here.
type selfCheck struct {
	loader  *loader
	rest    func(time.Duration) bool     // waits; false when the server stops
	failing map[guard.Requirement]string // the cause of each that is not possible, at the last run
	except  string                       // what a run could say nothing of, for the log
	memory  *dnssec.Memory               // signatures that verified need not be verified again
	share   time.Duration                // how much of one processor the next run takes: one part of so many
}

func newSelfCheck(l *loader, rest func(time.Duration) bool) *selfCheck {
	return &selfCheck{loader: l, rest: rest, memory: dnssec.NewMemory(dnssec.MemorySize), share: firstShare}
}

// watch runs the check until rest says that the server stops: at the start, after each load of a policy
// and every few minutes.
func (sc *selfCheck) watch() {
	for {
		checked := sc.loader.block.serving()
		fine, ok := sc.run(context.Background(), checked)
		if fine && !sc.loader.block.handler.ready.Swap(true) {
			log.Infof("%sReady: the served answers allow every required issuance%s", sc.loader.layout.routing.label(), sc.except)
		}
		for pause := checkEvery; ok && pause > 0 && sc.loader.block.handler.ready.Load() && sc.loader.block.serving() == checked; pause -= checkAgain {
			ok = sc.rest(checkAgain)
		}
		if !ok || !sc.rest(checkAgain) {
			return
		}
	}
}

// run checks every required issuance once, and that each zone of the policy answers at all. Fine says
// that nothing of ours prevents one; not ok, that the server stops.
func (sc *selfCheck) run(ctx context.Context, s *serving) (fine, ok bool) {
	check := selfcheck.New(asServer(sc.loader.block.handler, s), sc.memory)
	counts, failing := map[string]map[selfcheck.State]int{}, map[guard.Requirement]string{}
	fine = true
	unchecked := 0
	for _, r := range sc.required(s) {
		began := time.Now()
		found := sc.look(ctx, check, s, r)
		if found.State == selfcheck.NotServed {
			unchecked++
		}
		if r.Domain != "" {
			if counts[r.Domain] == nil {
				counts[r.Domain] = map[selfcheck.State]int{}
			}
			counts[r.Domain][found.State]++
		}
		fine = fine && found.State.Acceptable()
		if found.State != selfcheck.MayIssue && (sc.loader.cfg.covers(r.Name) || r.Origin == guard.Operator) {
			failing[r] = found.Cause // zones that are not served are logged as zones
		}
		if !sc.rest(min(time.Since(began), longestWork) * (sc.share - 1)) {
			return false, false
		}
	}
	sc.share = checkShare
	sc.logChanges(failing)
	if sc.except = ""; unchecked > 0 {
		sc.except = fmt.Sprintf("; %d required issuances in zones that this server does not serve were not checked", unchecked)
	}
	sc.loader.checked.Store(&counts)
	return fine, true
}

// look checks one required issuance.
func (sc *selfCheck) look(ctx context.Context, check *selfcheck.Check, s *serving, r guard.Requirement) selfcheck.Finding {
	if !sc.loader.cfg.covers(r.Name) {
		return selfcheck.Find(selfcheck.NoZone, "no caa block of this server serves its zone")
	}
	found := check.Issuance(ctx, r)
	if r.Domain == "" && found.State == selfcheck.MayIssue {
		return sc.keyRecords(ctx, s, r.Name)
	}
	return found
}

// required are the issuances to check and, with no Domain, the zones' own names. What is in zones that
// other blocks serve is theirs to check, and what no block serves is counted by one of them.
func (sc *selfCheck) required(s *serving) []guard.Requirement {
	apexes := slices.DeleteFunc(slices.Collect(s.zones.Apexes()), func(apex string) bool { return apex == guard.Unlisted })
	out := slices.Concat(guard.Requirements(s.policy), guard.Vouching(s.policy, sc.loader.cfg.requirements(apexes)))
	out = slices.DeleteFunc(out, func(r guard.Requirement) bool {
		if sc.loader.cfg.covers(r.Name) {
			return sc.loader.layout.routing.owner(r.Name) != nil
		}
		return sc.loader.layout.routing.inAnotherBlock(r.Name) || r.Origin != guard.Operator && !sc.loader.layout.routing.speaksForFile()
	})
	for z := range s.zones.Zones() {
		if s.owner(z) == nil {
			out = append(out, guard.Requirement{Name: z.Name(), Pos: z.Policy.Pos})
		}
	}
	return out
}

// logChanges logs what has changed since the last run.
func (sc *selfCheck) logChanges(failing map[guard.Requirement]string) {
	changed := 0
	for r, cause := range failing {
		if sc.failing[r] == cause {
			continue
		}
		if changed++; changed > shownFindings {
			continue
		}
		if r.Domain == "" {
			log.Warningf("%v: %v: %s", r.Pos, r, cause)
		} else {
			log.Warningf("%v: %s may not be able to issue for %v: %s", r.Pos, r.Domain, r, cause)
		}
	}
	if changed > shownFindings {
		log.Warningf("%s%d more required issuances are failing", sc.loader.layout.routing.label(), changed-shownFindings)
	}
	recovered := 0
	for r := range sc.failing {
		if _, still := failing[r]; !still {
			recovered++
		}
	}
	if recovered > 0 {
		log.Infof("%s%d required issuances recovered or no longer required; %d still failing", sc.loader.layout.routing.label(), recovered, len(failing))
	}
	sc.failing = failing
}

// keyRecords reports CDS and CDNSKEY in the data of a zone that is signed here. They would have the
// parent name keys that sign nothing we serve (RFC 7344 4.1), and so are not served.
func (sc *selfCheck) keyRecords(ctx context.Context, s *serving, apex string) selfcheck.Finding {
	z := s.zones.Zone(apex)
	if !z.Signed() || z.PolicyOnly() {
		return selfcheck.Finding{State: selfcheck.MayIssue}
	}
	for _, qtype := range []uint16{dns.TypeCDS, dns.TypeCDNSKEY} {
		if data, err := s.overlay.Data(ctx, apex, qtype); err == nil && len(data) > 0 {
			return selfcheck.Find(selfcheck.ForeignKeys, "the zone's data have %s of keys that do not sign here; it is not served, because a DS made from it would lock everyone out. Remove it from the data",
				dns.TypeToString[qtype])
		}
	}
	return selfcheck.Finding{State: selfcheck.MayIssue}
}

// asServer is what the self-check sees of a handler under a serving.
func asServer(c *CAA, s *serving) selfcheck.Server {
	exchange := func(ctx context.Context, r *dns.Msg) (m *dns.Msg, err error) {
		defer func() {
			if p := recover(); p != nil { // CoreDNS's server does so for the questions of others
				vars.Panic.Inc()
				m, err = nil, fmt.Errorf("it panicked: %v", p)
			}
		}()
		q, w := r.Question[0], new(overlay.Loopback)
		code, err := c.respond(ctx, w, r, s, s.zones.ForQuestion(q.Name, q.Qtype), q.Name)
		switch {
		case err != nil:
			return nil, err
		case w.Wire == nil:
			return nil, fmt.Errorf("no answer was written, and the code is %s", dns.RcodeToString[code])
		}
		m = new(dns.Msg)
		return m, m.Unpack(w.Wire)
	}
	zone := func(name string) (selfcheck.Zone, bool) {
		z := s.zones.Find(name)
		if z == nil {
			return selfcheck.Zone{}, false
		}
		return selfcheck.Zone{Name: z.Name(), Signed: z.Signed(), DS: anchorsOf(z.Keys), RoutedElsewhere: s.owner(z) != nil}, true
	}
	return selfcheck.Server{Exchange: exchange, Zone: zone, Now: s.zones.Now}
}

// anchorsOf are the DS that lead to a zone's keys: those for its parent, and before it may have some, those of the keys
// that sign the DNSKEY RRset.
func anchorsOf(keys *keyring.Keys) []*dns.DS {
	if keys.Set == nil || len(keys.DS) > 0 {
		return keys.DS
	}
	var ds []*dns.DS
	for _, key := range keys.Set.SEPs() {
		ds = append(ds, key.ToDS(dns.SHA256))
	}
	return ds
}
