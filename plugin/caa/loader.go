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
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// reminder is how often a refused policy is told again while an earlier one is served.
const reminder = 10 * time.Minute

// startPatience is how long a start waits for the file to be judged while there is a last good policy to serve:
// what took no longer was judged before anybody's resolver has asked twice.
const startPatience = 2 * time.Second

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
	good    atomic.Pointer[good]                     // what is served, with its text
	sights  atomic.Pointer[map[string]map[sight]int] // by issuer, at the last self-check; nil before it
	stop    chan struct{}                            // closed at the end of the watch

	site      []string               // the zones of the server block
	above     []plugin.Handler       // the other plugins of the server block, before caa in the chain
	under     []plugin.Handler       // and after it
	siblings  *siblings              // those of all blocks of the Corefile, this one included
	closer    func(name string) *CAA // that of the block which answers for a name in this one's place (blocks.go)
	borrowers borrowers

	check    func(context.Context, *policy.Snapshot, guard.Options) (guard.Report, error)
	patience time.Duration // of a start with the judgement of the file
	judging  *judgement    // of the file's text, nil when there is none under way
	held     *held         // a text of the file that may be a half, nil when there is none
	noticed  time.Time     // when it was logged that the file does not rest

	mu       sync.Mutex     // held while another serving is made: the policy changes, and so do the keys
	trouble  terminal.Lines // the problem logged last; "" while the file is the policy served
	told     time.Time      // when it was logged
	unserved string         // what was logged last of zones that are not served here (unserved.go)
	warned   []string       // what was logged last of other plugins (neighbours.go)
	waiting  *waiting       // the file's policy while it is refused for want of data (zonedata.go)

	unkept     []byte    // the text that is served, while it is not kept as the last good one
	keepFailed time.Time // when it was logged that it could not be kept; zero when it could
}

// status is what the metrics show of a loader beside its serving. Immutable.
type status struct {
	loaded   time.Time // when the policy that is served was accepted
	refusals int       // of the file as it lies on disk; 0 when it is the policy served, or waits
	waits    bool      // the file on disk waits: it is being judged or may be a half, or does not rest
}

func newLoader(cfg *config) (*loader, error) { return newLoaderOn(cfg, cfg.keyring()) }

func newLoaderOn(cfg *config, of keyring.Config) (*loader, error) {
	state, err := newLastGood(cfg.stateDir, cfg.file, cfg.zones)
	if err != nil {
		return nil, err
	}
	of.Record = state.keyRecord(of.Folder)
	keys, err := keyring.Open(of)
	if err != nil {
		return nil, err
	}
	l := &loader{cfg: cfg, keys: keys, state: state, now: time.Now, source: source{path: cfg.file},
		signer: zonesign.NewSigner(zonesign.Config{}), check: guard.CheckContext, patience: startPatience, stop: make(chan struct{})}
	l.siblings = newSiblings(l) // until the other blocks are known
	return l, nil
}

// start brings the first policy into service: the file's or the last good one, when the file's is refused, may
// be a half, or takes long to be judged. Without either the server does not start.
func (l *loader) start() error {
	kept, from := l.lastServed()
	replaced := kept
	if kept != nil && kept.restarted {
		replaced = nil // what an earlier start required was never held against a restart
	}
	if err := l.read(replaced); err != nil {
		return l.startWith(kept, from, err)
	}
	var patience <-chan time.Time
	if kept != nil {
		timer := time.NewTimer(l.patience)
		defer timer.Stop()
		patience = timer.C
	}
	select {
	case v := <-l.judging.done:
		l.judging = nil
		return l.startJudged(v, kept, from)
	case <-patience:
	}
	next, err := l.serveKept(kept)
	if err != nil {
		v := <-l.judging.done
		l.judging = nil
		return l.startJudged(v, nil, "")
	}
	log.Infof("%s has been judged for %v and is not done: %s is served meanwhile", l.cfg.file, l.patience, from)
	l.announce(from, next)
	l.waits(true, 0)
	return nil
}

// startJudged starts with the file's policy, unless it must wait or is refused.
func (l *loader) startJudged(v verdict, kept *good, from string) error {
	if why := v.half(kept); why != "" {
		if next, err := l.serveKept(kept); err == nil {
			l.announce(from, next)
			l.hold(v.text, why)
			return nil
		}
	}
	next, err := l.serveFile(v)
	l.wait(v, err)
	if err != nil {
		return l.startWith(kept, from, err)
	}
	l.announce(l.cfg.file, next)
	return nil
}

// startWith starts with the last good policy, for the file's was refused.
func (l *loader) startWith(kept *good, from string, refused error) error {
	if kept == nil || kept.restarted {
		return refused
	}
	next, err := l.serveKept(kept)
	if err != nil {
		return errors.Join(refused, fmt.Errorf("and the last good policy, %s, is of no help", l.state.path), err)
	}
	l.announce(from, next)
	l.complain(refused)
	return nil
}

// serveKept serves the last good policy. What it requires itself was proved when it was accepted; the operator's
// lines may be new, so it is proved again.
func (l *loader) serveKept(kept *good) (accepted, error) {
	v := l.prove(context.Background(), verdict{text: kept.text, policy: kept.policy}, nil)
	if v.err != nil {
		return accepted{}, v.err
	}
	return l.serve(v, false)
}

// lastServed is the last good policy, and what to call it: what the block serves that a restart by CoreDNS itself is
// about to replace, since the state folder may not have it, or else the one kept there. nil when there is none.
func (l *loader) lastServed() (kept *good, from string) {
	if before := live.goodOf(l.cfg); before != nil {
		return &good{text: before.text, policy: before.policy, restarted: l.state.path == ""}, "the policy from before the restart"
	}
	text, err := l.state.load()
	if newer := l.state.elsewhere(l.cfg.file); err == nil && text != nil && newer != nil {
		text = newer
	}
	if err == nil && text != nil {
		var p *policy.Snapshot
		if p, err = policy.Load(l.state.path, text); err == nil {
			return &good{text: text, policy: p}, "the last good policy, " + l.state.path
		}
	}
	if err != nil {
		log.Warningf("The last good policy in %s is of no use: %v", l.state.path, err)
	}
	return nil, ""
}

// accepted is a policy that came into service, with what is to be told of it.
type accepted struct {
	*serving
	report guard.Report
}

// unreadable is why there is no policy to be refused.
type unreadable struct{ error }

func (u unreadable) Unwrap() error { return u.error }

// judgement is one that is under way.
type judgement struct {
	end  context.CancelFunc
	done chan verdict // takes the one verdict, whether somebody waits for it or not
}

// verdict is a text of the policy file with what was judged of it.
type verdict struct {
	text   []byte
	policy *policy.Snapshot
	zones  []*policy.Zone
	report guard.Report
	err    error // why it is refused; the others are not to be used then

	previous *policy.Snapshot    // the policy that it replaces, nil for none
	operator []guard.Requirement // what the server's issuer lines require under it
}

// read reads the file and has it judged, instead of what is being judged. previous is the policy that it
// replaces, nil for none.
func (l *loader) read(previous *good) error {
	text, err := l.source.read(l.now())
	if errors.Is(err, errUnsettled) {
		return unreadable{err}
	}
	l.endJudging()
	l.waiting = nil
	if err != nil {
		return unreadable{err}
	}
	var replaced *policy.Snapshot
	if previous != nil {
		replaced = previous.policy
	}
	ctx, cancel := context.WithCancel(context.Background())
	j := &judgement{cancel, make(chan verdict, 1)}
	go func() {
		defer cancel()
		j.done <- l.judge(ctx, text, replaced)
	}()
	l.judging = j
	return nil
}

// endJudging ends the judgement that is under way, if one is: a newer text is there, or nobody waits.
func (l *loader) endJudging() {
	if l.judging != nil {
		l.judging.end()
		<-l.judging.done
		l.judging = nil
	}
}

// judge reads a text and proves it. previous is the policy that it replaces.
func (l *loader) judge(ctx context.Context, text []byte, previous *policy.Snapshot) verdict {
	p, err := policy.LoadContext(ctx, l.cfg.file, text)
	if err != nil {
		return verdict{text: text, err: err}
	}
	return l.prove(ctx, verdict{text: text, policy: p}, previous)
}

// prove is the guard's part of a verdict.
func (l *loader) prove(ctx context.Context, v verdict, previous *policy.Snapshot) verdict {
	l.mu.Lock()
	v.zones, v.err = l.zones(v.policy)
	l.mu.Unlock()
	if v.err != nil {
		return v
	}
	v.previous, v.operator = previous, l.cfg.requirements(l.guarded(v.policy, v.zones))
	v.report, v.err = l.check(ctx, v.policy, guard.Options{Zones: l.cfg.zones, Operator: v.operator, Previous: previous, At: l.now()})
	if v.err == nil {
		v.err = v.report.Err()
	}
	return v
}

// serveFile brings the file's policy into service if it is accepted, and keeps its text.
func (l *loader) serveFile(v verdict) (accepted, error) {
	if v.err != nil {
		return accepted{}, v.err
	}
	return l.serve(v, true)
}

// serve brings a policy into service that the guard has accepted and, if it is the file's, keeps its text.
func (l *loader) serve(v verdict, keep bool) (accepted, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ring().Prepare(context.Background(), v.zones); err != nil {
		return accepted{}, err
	}
	next, err := l.layOut(v.policy, v.zones)
	if err != nil {
		return accepted{}, err
	}
	if err := errors.Join(l.compatible(next), l.nodesAtAliases(next), l.withoutData(next, v.previous, v.operator)); err != nil {
		return accepted{}, err
	}
	if keep {
		l.unkept = v.text
		l.keepText()
	}
	l.put(next)
	l.good.Store(&good{text: v.text, policy: v.policy})
	l.status.Store(&status{loaded: l.now()})
	l.trouble, l.held = "", nil
	return accepted{next, v.report}, nil
}

// keepText keeps the text of the policy that is served as the last good one, if that is still to be done. Where it fails
// the policy is served all the same, and it is tried again: a restart would otherwise hold the file against an older
// policy, and could go back to that.
func (l *loader) keepText() {
	if l.unkept == nil {
		return
	}
	err := l.state.save(l.unkept)
	switch now := l.now(); {
	case err == nil:
		if !l.keepFailed.IsZero() {
			log.Infof("The policy is kept as the last good one in %s again", l.state.path)
		}
		l.unkept, l.keepFailed = nil, time.Time{}
	case l.keepFailed.IsZero() || now.Sub(l.keepFailed) >= reminder:
		l.keepFailed = now
		log.Errorf("The policy is served, but it could not be kept as the last good one, so that a restart may go back to an older one: %v; it is tried again", err)
	}
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
	for _, z := range p.Zones {
		if l.cfg.covers(z.Name) {
			zones = append(zones, z)
		}
	}
	for _, apex := range l.apexes() {
		if p.Zone(apex) != nil {
			continue
		}
		z := p.ZoneOrDefault(apex)
		if z == nil {
			return nil, fmt.Errorf("%s: the block serves %s, but the policy lists no such zone and has no default; add one of them, or name the zones that the block shall serve after the policy file%s", l.cfg.file, apex, l.meantOf(p, apex))
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
	name, target := terminal.Bare(node.Name), terminal.Bare(target)
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
	interval := defaultReload // what waits is looked after as often, however seldom the file is looked at
	if l.cfg.reload > 0 {
		interval = min(interval, l.cfg.reload)
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	looked := l.now()
	for {
		select {
		case <-l.stop:
			l.endJudging()
			return
		case v := <-l.verdicts():
			l.judging = nil
			l.decide(v)
		case <-tick.C:
			l.remind()
			l.keepAgain()
			l.retry()
			due := l.cfg.reload > 0 && l.now().Sub(looked) >= l.cfg.reload-interval/2
			if due || l.held != nil {
				looked = l.now()
				l.consider()
			}
		}
	}
}

// keepAgain tries again to keep the text that is served.
func (l *loader) keepAgain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keepText()
}

// verdicts is where the verdict comes from that is waited for, nil when none is.
func (l *loader) verdicts() <-chan verdict {
	if l.judging == nil {
		return nil
	}
	return l.judging.done
}

// consider has the file judged if it has changed and rests, or has rested for so long that it is no half.
func (l *loader) consider() {
	now := l.now()
	news := l.source.news(now)
	l.noticeRestless(now)
	if !news && (l.judging != nil || !l.held.over(&l.source, now)) {
		return
	}
	if err := l.read(l.good.Load()); err != nil && !errors.Is(err, errUnsettled) { // that is news again when it rests
		l.held = nil
		l.complain(err)
	}
}

// decide brings a judged policy of the file into service, or says why not.
func (l *loader) decide(v verdict) {
	why := v.half(l.good.Load())
	if why != "" && !l.held.rested(v.text, &l.source, l.now()) {
		l.hold(v.text, why)
		return
	}
	next, err := l.serveFile(v)
	l.wait(v, err)
	if err != nil {
		l.held = nil
		l.complain(err)
		return
	}
	if why != "" {
		log.Warningf("%s has rested for %v and is served from now on, though %s", l.cfg.file, rest, why)
	}
	l.accept(next)
}

// accept reports a changed policy of the file that is served now.
func (l *loader) accept(next accepted) {
	reloadCount.WithLabelValues(l.cfg.file, "accepted").Inc()
	l.announce(l.cfg.file, next)
	l.reportUnserved()
}

// complain tells of a policy file that is not served.
func (l *loader) complain(err error) {
	outcome := "refused"
	if errors.As(err, new(unreadable)) {
		outcome = "unreadable"
	}
	l.trouble, l.told = brief(string(terminal.Text(err))), l.now()
	reloadCount.WithLabelValues(l.cfg.file, outcome).Inc()
	l.waits(false, refusals(err))
	l.tell()
}

// waits has the metrics show whether the file on disk waits, and how often it was refused.
func (l *loader) waits(waits bool, refusals int) {
	l.status.Store(&status{loaded: l.status.Load().loaded, refusals: refusals, waits: waits})
}

func (l *loader) tell() {
	log.Errorf("The policy file is not served; revision %s still is.\n%s", l.serving.Load().policy.Revision, l.trouble)
}

// shownLines is how much of a trouble is told at a time: enough to mend by, and no flood of the log
// by a file that is none of ours.
const shownLines = 100

// brief is the beginning of a text of many lines.
func brief(text string) terminal.Lines {
	lines := strings.SplitAfterN(text, "\n", shownLines+1)
	if len(lines) <= shownLines {
		return terminal.Lines(text)
	}
	more := 1 + strings.Count(lines[shownLines], "\n")
	return terminal.Lines(strings.Join(lines[:shownLines], "") + fmt.Sprintf("and %d lines more: check the file before it is put in place", more))
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
	log.Infof("Serving %s, revision %s: %d zones, %s", source, a.policy.Revision, len(a.zones), l.proved(a.policy))
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
		log.Infof("Ask: dig @%s -p %s %s CAA +dnssec", address, port, terminal.Bare(z.Name))
		for _, line := range served.Publish() {
			log.Info(line)
		}
	}
}
