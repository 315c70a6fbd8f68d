// Package check checks many names from outside. A [Session] is prepared whole from a [Plan]: it
// looks names up, asks perspectives about what it found, and compares that with earlier runs. A [Result]
// comes out, the working value of which everything that is shown is made. The package joins the others: climb, verdict,
// finding, perspective, resign.
package check

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/finding"
	"github.com/coredns-caa/caa/checker/perspective"
	"github.com/coredns-caa/caa/checker/resign"
	"github.com/coredns-caa/caa/checker/resolve"
)

// DefaultWorkers is how many names are checked at a time. Nearly all of them wait for their turn at a
// server, which has a rate limit, and those of other servers go on meanwhile.
const DefaultWorkers = 256

// Options say how a session checks.
type Options struct {
	At           time.Time        // the rules of that day
	Workers      int              // names at a time; 0 for DefaultWorkers
	Perspectives *perspective.Set // asked about every verdict as well; nil for none
	Signing      resign.History   // what earlier runs saw; nil for nothing
	Notes        []string         // about the run, known before it
	WithoutIPv6  string           // a note for where a server has IPv6 addresses that were not asked; "" if all are asked
}

// Progress is called as a run goes on, by one goroutine at a time; each may be nil.
type Progress struct {
	Examined     func(done, total int) // after each name
	Corroborated func(done, total int) // after each name that the perspectives were asked about, once all are examined
}

// Session is a run that is prepared: what is asked about, through whom, and how. It may run more than once, and then
// remembers what it has looked up.
type Session struct {
	resolver *resolve.Resolver
	jobs     []Job
	options  Options
}

// New returns a session that asks through a resolver.
func New(r *resolve.Resolver, jobs []Job, o Options) *Session {
	o.Workers = cmp.Or(o.Workers, DefaultWorkers)
	if o.Perspectives == nil {
		o.Perspectives = new(perspective.Set)
	}
	return &Session{r, jobs, o}
}

// Names is how many names the session checks.
func (s *Session) Names() int { return len(s.jobs) }

// Resolver is what the session asks through.
func (s *Session) Resolver() *resolve.Resolver { return s.resolver }

// Notes returns the notes about the run that are known before it.
func (s *Session) Notes() []string {
	if s.options.WithoutIPv6 == "" {
		return s.options.Notes
	}
	return append(slices.Clone(s.options.Notes), s.options.WithoutIPv6)
}

// Close ends the connections that are kept.
func (s *Session) Close() { s.options.Perspectives.Close() }

// Run examines every job, has the perspectives corroborate the verdicts, and compares the signatures with earlier
// runs. When ctx ends, the result is of what was found until then.
func (s *Session) Run(ctx context.Context, p Progress) *Result {
	began := time.Now().UTC().Truncate(time.Second)
	found := s.examineAll(ctx, p.Examined)
	complete := len(found) == len(s.jobs)
	if set := s.options.Perspectives; len(set.Names()) > 0 {
		corroborateAll(ctx, set, found, s.options.At, p.Corroborated)
		complete = complete && ctx.Err() == nil
	}
	return s.result(began, complete, found)
}

// examineAll returns what was found of the jobs, in their order; when ctx ends, of those that were done by then. After
// each job it calls report, if that is not nil.
func (s *Session) examineAll(ctx context.Context, report func(done, total int)) []*examined {
	e := examiner{s.resolver, finding.NewCollector(s.resolver), s.options.At}
	found := make([]*examined, len(s.jobs))
	next := make(chan turn)
	var wg sync.WaitGroup
	var mu sync.Mutex
	done := 0
	for range min(s.options.Workers, len(s.jobs)) {
		wg.Go(func() {
			for t := range next {
				one := e.examine(resolve.WithPriority(ctx, t.number), s.jobs[t.job])
				if ctx.Err() != nil {
					continue
				}
				mu.Lock()
				found[t.job] = one
				done++
				if report != nil {
					report(done, len(s.jobs))
				}
				mu.Unlock()
			}
		})
	}
	for number, i := range spread(len(s.jobs)) {
		if ctx.Err() == nil {
			next <- turn{i, number}
		}
	}
	close(next)
	wg.Wait()
	return slices.DeleteFunc(found, func(one *examined) bool { return one == nil })
}

// result is made of all that was found, once.
func (s *Session) result(began time.Time, complete bool, all []*examined) *Result {
	var names []Name
	var seen []resign.Seen
	for _, one := range all {
		names = append(names, one.name)
		seen = append(seen, resign.Seen{Name: one.name.Subject.String(), Ends: one.name.Ends})
	}
	history, late := s.options.Signing.Step(seen, time.Now())
	findings := append(gathered(all), late...)
	finding.Rank(findings)
	return &Result{
		At: began, RulesOf: s.options.At, Complete: complete, Notes: slices.Concat(s.options.Notes, s.offline(), s.withoutIPv6(names)),
		Names: names, Findings: findings, Signing: history,
	}
}

// gathered returns the findings of all names: one of each cause.
func gathered(all []*examined) []finding.Found {
	return finding.Gather(func(yield func(string, []finding.Sign) bool) {
		for _, one := range all {
			if !yield(one.name.Subject.String(), one.signs) {
				return
			}
		}
	})
}

// withoutIPv6 is a note where a server of a name's zones has IPv6 addresses that were not asked. The servers of the root
// and of top-level domains do not count: they all have, and are reached over IPv4.
func (s *Session) withoutIPv6(names []Name) []string {
	if s.options.WithoutIPv6 == "" {
		return nil
	}
	has := func(server resolve.Server) bool {
		return slices.ContainsFunc(server.Addrs, func(a netip.Addr) bool { return a.Is6() && !a.Is4In6() })
	}
	for _, n := range names {
		for _, z := range n.Climb.Zones() {
			if dns.CountLabel(z.Name) > 1 && slices.ContainsFunc(z.Servers, has) {
				return []string{s.options.WithoutIPv6}
			}
		}
	}
	return nil
}

// offline is a note where this machine was cut off for a while.
func (s *Session) offline() []string {
	if !s.resolver.WasOffline() || s.resolver.OneServer() {
		return nil
	}
	return []string{"For a while no server answered this machine, not even the root servers: the findings leave out the servers that were asked then."}
}
