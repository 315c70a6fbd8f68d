package caa

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coredns/coredns/plugin"
	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/keyring"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// reminder is how often a refused policy is told again while an earlier one is served.
const reminder = 10 * time.Minute

// loader brings the policy file into service, once at the start and again whenever it changes:
// text, policy, guard, serving, swap. Whatever fails on the way leaves served what was served.
type loader struct {
	cfg     *config
	next    plugin.Handler // below, nil for none; it holds the data of overlays
	around  surroundings
	keys    keyring.Keyring
	signer  *zonesign.Signer
	now     func() time.Time
	state   lastGood
	source  source
	serving atomic.Pointer[serving]
	status  atomic.Pointer[status]
	sights  atomic.Pointer[map[string]map[sight]int] // by issuer, at the last self-check; nil before it
	stop    chan struct{}                            // closed at the end of the watch

	closer    func(name string) *CAA // that of the block which answers for a name in this one's place (blocks.go)
	borrowers borrowers

	mu       sync.Mutex // held while another serving is made: the policy changes, and so do the keys
	trouble  string     // the problem told last; "" while the file is the policy served
	told     time.Time  // when it was told
	unserved string     // the zones of the file told of as not served here
}

// status is what the metrics show of a loader beside its serving. Immutable.
type status struct {
	loaded   time.Time // when the policy that is served was accepted
	refusals int       // of the file as it lies on disk; 0 when it is the policy served
}

func newLoader(cfg *config) (*loader, error) { return newLoaderOn(cfg, cfg.keyring()) }

func newLoaderOn(cfg *config, of keyring.Config) (*loader, error) {
	state, err := newLastGood(cfg.stateDir, cfg.file, cfg.zones)
	if err != nil {
		return nil, err
	}
	of.Record = state.keyRecord()
	keys, err := keyring.Open(of)
	if err != nil {
		return nil, err
	}
	return &loader{cfg: cfg, keys: keys, state: state, now: time.Now, source: source{path: cfg.file},
		signer: zonesign.NewSigner(zonesign.Config{}), stop: make(chan struct{})}, nil
}

// start brings the first policy into service: the file's or, when that is refused, the last good
// one. Without either the server does not start.
func (l *loader) start() error {
	text, kept, err := l.lastServed()
	if err != nil {
		log.Warningf("The last good policy in %s is of no use: %v", l.state.path, err)
	}
	next, refused := l.load(kept)
	if refused == nil {
		l.announce(l.cfg.file, next)
		return nil
	}
	if kept == nil {
		return refused
	}
	// What the last good policy itself requires was proved when it was accepted; the operator's
	// lines may be new, so it is proved again.
	next, err = l.serve(kept, nil, text, false)
	if err != nil {
		return errors.Join(refused, fmt.Errorf("and the last good policy, %s, is of no help:\n%w", l.state.path, err))
	}
	l.announce("the last good policy, "+l.state.path, next)
	l.complain(refused)
	return nil
}

// lastServed is the policy kept in the state folder, nil when there is none.
func (l *loader) lastServed() ([]byte, *policy.Snapshot, error) {
	text, err := l.state.load()
	if err != nil || text == nil {
		return nil, nil, err
	}
	p, err := policy.Load(l.state.path, text)
	return text, p, err
}

// accepted is a policy that came into service, with what is to be told of it.
type accepted struct {
	*serving
	report guard.Report
}

// unreadable is why there is no policy to be refused.
type unreadable struct{ error }

func (u unreadable) Unwrap() error { return u.error }

// load reads the file and serves it unless it is refused. previous is the policy that it replaces.
func (l *loader) load(previous *policy.Snapshot) (accepted, error) {
	text, err := l.source.read()
	if err != nil {
		return accepted{}, unreadable{err}
	}
	p, err := policy.Load(l.cfg.file, text)
	if err != nil {
		return accepted{}, err
	}
	return l.serve(p, previous, text, true)
}

// serve brings a policy into service that the guard accepts and, if it is the file's, keeps its text.
func (l *loader) serve(p, previous *policy.Snapshot, text []byte, keep bool) (accepted, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	zones, err := l.zones(p)
	if err != nil {
		return accepted{}, err
	}
	report := guard.Check(p, guard.Options{Zones: l.cfg.zones, Operator: l.cfg.requirements(l.guarded(p, zones)), Previous: previous, At: l.now()})
	if err := report.Err(); err != nil {
		return accepted{}, err
	}
	if err := l.ring().Prepare(context.Background(), zones); err != nil {
		return accepted{}, err
	}
	next, err := l.layOut(p, zones)
	if err != nil {
		return accepted{}, err
	}
	if err := l.nodesAtAliases(next); err != nil {
		return accepted{}, err
	}
	if keep {
		if err := l.state.save(text); err != nil {
			// The policy is good and must be served; a restart with a bad one would not have it.
			log.Errorf("The policy is served, but it could not be kept as the last good one: %v", err)
		}
	}
	l.put(next)
	l.status.Store(&status{loaded: l.now()})
	l.trouble = ""
	return accepted{next, report}, nil
}

// layOut makes a serving of a policy, with the keys as they are now and the zones that have appeared below.
func (l *loader) layOut(p *policy.Snapshot, zones []*policy.Zone) (*serving, error) {
	next, err := newServing(p, zones, l.ring(), newTTLs(l.cfg), l.signer, l.now)
	if err != nil {
		return nil, err
	}
	if l.closer != nil {
		for _, z := range next.zones {
			z.lender = l.closer(z.Name)
		}
	}
	if was := l.serving.Load(); was != nil {
		next.inherit(was)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patienceForNodes)
	defer cancel()
	next.signalAll(ctx, l.inquire(next))
	return next, nil
}

// put brings a serving into service.
func (l *loader) put(next *serving) {
	l.serving.Store(next)
	l.keys.Retain(slices.Collect(next.apexes()))
}

// ring has the keys of all zones that are laid out, those of other blocks among them.
func (l *loader) ring() keyring.Keyring {
	if l.closer == nil {
		return l.keys
	}
	return &borrowing{l.keys, l}
}

// outdone reports whether another block answers for a name.
func (l *loader) outdone(name string) bool { return l.closer != nil && l.closer(name) != nil }

// served is the zone with that apex as it is served now, nil when there is none.
func (l *loader) served(apex string) *zone {
	s := l.serving.Load()
	if s == nil {
		return nil
	}
	if z := s.zones[apex]; z != nil {
		return z
	}
	return s.found.all()[apex]
}

// rekey serves the same policy with the keys as they are now, and has those do so who borrow some.
func (l *loader) rekey() {
	l.serveKeys()
	l.borrowers.rekey()
}

func (l *loader) serveKeys() {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.serving.Load()
	var zones []*policy.Zone
	for _, z := range was.zones {
		zones = append(zones, z.Zone)
	}
	next, err := l.layOut(was.policy, zones)
	if err != nil {
		log.Errorf("The zones are served with the keys that they had: %v", err)
		return
	}
	l.put(next)
}

// zones are the zones to be served: those of the file that lie in the block's zones, and those of
// the block that the file does not list, which `default` protects.
func (l *loader) zones(p *policy.Snapshot) ([]*policy.Zone, error) {
	var zones []*policy.Zone
	var unserved []string
	for _, z := range p.Zones {
		if l.cfg.covers(z.Name) {
			zones = append(zones, z)
		} else {
			unserved = append(unserved, z.Name)
		}
	}
	l.tellUnserved(unserved)
	for _, apex := range l.apexes() {
		if p.Zone(apex) != nil {
			continue
		}
		z := p.ZoneOrDefault(apex)
		if z == nil {
			return nil, fmt.Errorf("%s: the block serves %s, but the policy lists no such zone and has no default; add one of them, or name the zones that the block shall serve after the policy file", l.cfg.file, apex)
		}
		zones = append(zones, z)
	}
	for _, z := range zones {
		if err := l.possible(z); err != nil {
			return nil, err
		}
	}
	if len(zones) == 0 && !l.discovers(p) {
		return nil, fmt.Errorf("%s: none of its zones lies in those of the block (%s)", l.cfg.file, strings.Join(l.cfg.zones, " "))
	}
	return zones, nil
}

// patienceForNodes bounds the look for nodes at aliases, and for the servers of overlays: a next plugin that
// waits for a network is not asked a hundred thousand questions before a policy is served. What it did not get
// to see the self-check reports.
const patienceForNodes = 2 * time.Second

// nodesAtAliases refuses nodes of overlays that are aliases in the zone's data: their CAA could never be
// answered (RFC 1034 3.6.2), whatever the policy says. A name that cannot be looked at passes.
func (l *loader) nodesAtAliases(s *serving) error {
	ctx, cancel := context.WithTimeout(context.Background(), patienceForNodes)
	defer cancel()
	q := l.inquire(s)
	var report guard.Report
	for _, z := range s.zones {
		if z.PolicyOnly() || z.lender != nil {
			continue
		}
		for node := range z.Nodes() {
			if ctx.Err() != nil {
				log.Infof("The names of the policy were not all looked at in the data below within %v: the self-check will", patienceForNodes)
				break
			}
			if f, err := q.ask(ctx, z, node.Name, dns.TypeCAA); err == nil && f.kind == alias {
				report.Refusals = append(report.Refusals, nodeAtAlias(node, f.target))
			}
		}
	}
	return report.Err()
}

// inquire is how the loader itself asks the data below.
func (l *loader) inquire(s *serving) *inquiry {
	return &inquiry{serving: s, surroundings: l.around, below: newBelow(l.next, new(loopback), new(dns.Msg))}
}

func nodeAtAlias(node *policy.Node, target string) guard.Refusal {
	name, target := strings.TrimSuffix(node.Name, "."), strings.TrimSuffix(target, ".")
	return guard.Refusal{Pos: node.Pos, Code: "node-at-alias", Names: []string{name},
		Cause:  fmt.Sprintf("it is an alias to %s in the zone's data, so that its own CAA can never be answered (RFC 1034 3.6.2): a CA follows the alias and reads the CAA there (RFC 8659 3)", target),
		Remedy: fmt.Sprintf("take the node away, and say at %s what shall hold, or make %s a name of its own", target, name)}
}

// apexes are the block's zones as zones of their own. The root is none: `.` says that the block
// answers for whatever the file lists.
func (l *loader) apexes() []string {
	var apexes []string
	for _, zone := range l.cfg.zones {
		if zone != "." {
			apexes = append(apexes, zone)
		}
	}
	return apexes
}

// possible says why a zone cannot be served by this block, nil when it can.
func (l *loader) possible(z *policy.Zone) error {
	switch {
	case z.PolicyOnly() || l.outdone(z.Name):
		return nil
	case l.next == nil:
		return fmt.Errorf("%v: the zone %s has no nameservers, and no plugin below caa holds its data; give it nameservers, or put a plugin such as file into the server block", z.Pos, z.Name)
	}
	return nil
}

// guarded are the names at which the server operator's issuers must be able to issue.
func (l *loader) guarded(p *policy.Snapshot, zones []*policy.Zone) []string {
	names := apexNames(zones)
	if l.discovers(p) {
		names = append(names, guard.Unlisted)
	}
	return names
}

// discovers reports whether zones that appear below come under a policy.
func (l *loader) discovers(p *policy.Snapshot) bool {
	return l.next != nil && p.Default() != nil && l.cfg.covered["."]
}

func apexNames(zones []*policy.Zone) []string {
	names := make([]string, len(zones))
	for i, z := range zones {
		names[i] = z.Name
	}
	return names
}

// tellUnserved says once which zones of the file are other servers' business.
func (l *loader) tellUnserved(names []string) {
	told := strings.Join(names, " ")
	if told != l.unserved && told != "" {
		log.Infof("%s: this block does not serve %s of the file", l.cfg.file, count(names))
	}
	l.unserved = told
}

// count says how many zones there are, and the first few of them.
func count(names []string) string {
	const shown = 3
	switch n := len(names); {
	case n == 1:
		return "the zone " + names[0]
	case n <= shown:
		return fmt.Sprintf("the zones %s", strings.Join(names, ", "))
	default:
		return fmt.Sprintf("%d zones (%s and %d more)", n, strings.Join(names[:shown], ", "), n-shown)
	}
}

// watch looks at the file until the loader is stopped.
func (l *loader) watch() {
	interval := l.cfg.reload
	if interval == 0 {
		interval = defaultReload
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
			l.remind()
			if l.cfg.reload > 0 {
				l.look()
			}
		}
	}
}

// look loads the file if it has changed and rests.
func (l *loader) look() {
	if !l.source.news() {
		return
	}
	next, err := l.load(l.serving.Load().policy)
	switch {
	case errors.Is(err, errUnsettled):
		return // it is news again when it rests
	case err != nil:
		l.complain(err)
	default:
		reloadCount.WithLabelValues(l.cfg.file, "accepted").Inc()
		l.announce(l.cfg.file, next)
	}
}

// complain tells of a policy file that is not served.
func (l *loader) complain(err error) {
	outcome := "refused"
	if errors.As(err, new(unreadable)) {
		outcome = "unreadable"
	}
	l.trouble, l.told = brief(err.Error()), l.now()
	reloadCount.WithLabelValues(l.cfg.file, outcome).Inc()
	l.status.Store(&status{loaded: l.status.Load().loaded, refusals: refusals(err)})
	l.tell()
}

func (l *loader) tell() {
	log.Errorf("The policy file is not served; revision %s still is.\n%s", l.serving.Load().policy.Revision, l.trouble)
}

// shownLines is how much of a trouble is told at a time: enough to mend by, and no flood of the log
// by a file that is none of ours.
const shownLines = 100

// brief is the beginning of a text of many lines.
func brief(text string) string {
	lines := strings.SplitAfterN(text, "\n", shownLines+1)
	if len(lines) <= shownLines {
		return text
	}
	more := 1 + strings.Count(lines[shownLines], "\n")
	return strings.Join(lines[:shownLines], "") + fmt.Sprintf("and %d lines more: check the file before it is put in place", more)
}

// remind has the file loaded again while there is trouble, which tells of it again unless it has gone: a
// parent that had another DS, say, or an alias in the data below.
func (l *loader) remind() {
	if l.trouble != "" && l.now().Sub(l.told) >= reminder {
		l.told = l.now()
		if l.cfg.reload > 0 {
			l.source.again()
		} else {
			l.tell()
		}
	}
}

// refusals counts what an error holds against a policy.
func refusals(err error) int {
	var list policy.ErrorList
	if errors.As(err, &list) {
		return len(list)
	}
	var report *guard.Error
	if errors.As(err, &report) {
		return len(report.Report.Refusals)
	}
	return 1
}

// announce tells of a policy that came into service, and where it was read.
func (l *loader) announce(source string, a accepted) {
	for _, warning := range a.report.Warnings {
		log.Warning(warning.String())
	}
	log.Infof("Serving %s, revision %s: %d zones, %d required issuances proved", source, a.policy.Revision, len(a.zones), len(guard.Requirements(a.policy)))
}

// shownZones is how many zones the start prints an example question for.
const shownZones = 8

// greet prints what to ask and what to publish, for a newcomer's first minute.
func (l *loader) greet(address, port string) {
	s := l.serving.Load()
	if len(s.zones) > shownZones {
		return
	}
	for _, z := range s.policy.Zones {
		served := s.zones[z.Name]
		if served == nil || served.lender != nil {
			continue
		}
		log.Infof("Ask: dig @%s -p %s %s CAA +dnssec", address, port, strings.TrimSuffix(z.Name, "."))
		for _, line := range served.Publish() {
			log.Info(line)
		}
	}
}
