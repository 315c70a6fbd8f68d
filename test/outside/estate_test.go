package outside

import (
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/catalog"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/certname"
	"github.com/coredns-caa/caa/checker/check"
	"github.com/coredns-caa/caa/checker/perspective"
	"github.com/coredns-caa/caa/checker/quorum"
	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/test/world"
)

var estates = flag.Int("estates", 8, "estates to check, from -seed on; these are what CI has")

// estatesAtATime share a set of servers.
const estatesAtATime = 40

// rulesOf is a day on which a quorum needs three remote perspectives, as many as there are kinds of resolvers here.
var rulesOf = time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)

// Of every name of an estate it is known by construction what a CA finds (RFC 8659 3); unbound finds the same, and the
// checker does, from the root, through resolvers, and by perspectives.
func TestEstates(t *testing.T) {
	t.Parallel()
	total := newTally()
	for first := 0; first < *estates; first += estatesAtATime {
		n := min(estatesAtATime, *estates-first)
		from := *seed + uint64(first)
		t.Run(fmt.Sprintf("%d-%d", from, from+uint64(n)-1), func(t *testing.T) { checkEstates(t, from, n, total) })
	}
	t.Logf("%d estates from seed %d: %v", *estates, *seed, total)
	for kind := range total.counts {
		of := observations
		if kind == misreads {
			of = agreed
		}
		if n := total.counts[kind]; (kind == misreads || strings.HasPrefix(kind, servfail)) && n > namesOfAnEstate+total.counts[of]/20 {
			t.Errorf("%s: %d of %d %s: the world is wrong", kind, n, total.counts[of], of)
		}
	}
}

// What is counted, and held against each other at the end: what resolvers do by their own fault is rare, except for one
// estate's names.
const (
	agreed       = "names that unbound sees as the model does"
	misreads     = "names to which unbound answers SERVFAIL by its own fault"
	observations = "observations of perspectives"
	servfail     = "SERVFAIL of its own by "
)

// tally counts, for people.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func newTally() *tally { return &tally{counts: map[string]int{}} }

func (c *tally) add(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[what]++
}

func (c *tally) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, what := range slices.Sorted(maps.Keys(c.counts)) {
		out = append(out, fmt.Sprintf("%s: %d", what, c.counts[what]))
	}
	return strings.Join(out, ", ")
}

// surroundings are the servers and resolvers that estates share.
type surroundings struct {
	anchor    *dns.DS
	hints     []dns.RR
	port      uint16
	unbound   netip.AddrPort
	resolvers map[string]netip.AddrPort // by kind; unbound is one
	file      *perspective.File
	zones     map[string]*domain
	total     *tally
}

func checkEstates(t *testing.T, from uint64, n int, total *tally) {
	addrs := world.FreeSubnet(t, 10)
	p := &pool{
		root: &domain{name: ".", signed: true, ds: true},
		general: []*nameserver{
			{software: "nsd", addr: addrs[1]}, {software: "nsd", addr: addrs[2]}, {software: "knot", addr: addrs[3]}, {software: "knot", addr: addrs[4]},
			{software: "bind", addr: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), addrs[0].Port())}, {software: "go", addr: addrs[5]},
		},
		ours: &nameserver{software: "ours", addr: addrs[6]},
		lame: &nameserver{software: "go", addr: addrs[7]},
		dead: &nameserver{addr: addrs[8]},
	}
	p.general = append(p.general, &nameserver{software: "knot", addr: addrs[9], primary: p.general[4]})
	rootHost := &nameserver{software: "root", addr: addrs[0]}
	p.root.hosts, p.root.listed = []*nameserver{rootHost}, []listed{{"a.root.", rootHost}}
	keys := ring{}
	var all []*estate
	for i := range n {
		all = append(all, newEstate(t, p, keys, from+uint64(i), i))
	}
	w := start(t, p, keys, all)
	w.total = total
	for round := 1; len(all) > 0; round++ {
		all = w.checkAll(t, all, round)
	}
}

// rounds is how often a resolver is asked about an estate that it sees otherwise than the model does: on a busy machine
// its own questions time out, and it remembers that for a while.
const rounds = 3

// checkAll checks estates, several at a time, and returns those that are to be checked once more.
func (w *surroundings) checkAll(t *testing.T, all []*estate, round int) (again []*estate) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	work := make(chan *estate)
	for range 4 {
		wg.Go(func() {
			for e := range work {
				failed := w.check(t, e, round)
				if len(failed) == 0 {
					continue
				}
				if round == rounds {
					for _, text := range failed {
						t.Error(text)
					}
					continue
				}
				mu.Lock()
				again = append(again, e)
				mu.Unlock()
				t.Logf("once more: %s", failed[0])
				w.total.add(fmt.Sprintf("estates asked about again by resolvers, round %d", round))
			}
		})
	}
	for _, e := range all {
		work <- e
	}
	close(work)
	wg.Wait()
	return again
}

// start starts every server of the pool, and the resolvers.
func start(t *testing.T, p *pool, keys ring, all []*estate) *surroundings {
	t.Helper()
	root := p.root
	g := &generator{now: time.Now()}
	root.zone = newZone(".")
	root.fill(root.zone, root.lines, 1)
	root.zone.ksk = keys.key(".", dns.ECDSAP256SHA256, 257, 0)
	root.zone.zsk = root.zone.ksk
	root.zone.sign(g.period())
	rootHost := root.hosts[0]
	world.NSD(t, rootHost.addr, map[string]string{".": root.zone.text()})
	for _, h := range p.general {
		switch h.software {
		case "nsd":
			world.NSD(t, h.addr, h.files())
		case "knot":
			if h.primary != nil {
				world.KnotSecondary(t, h.addr, h.primary.addr, slices.Collect(maps.Keys(h.files())))
				continue
			}
			world.Knot(t, h.addr, h.files())
		case "bind":
			world.MinimalNamed(t, h.addr, h.files())
		case "go":
			serveHere(t, h)
		}
	}
	serveHere(t, p.lame)
	if len(p.ours.domains) > 0 {
		serveOurs(t, p.ours)
	}
	w := &surroundings{anchor: root.zone.ksk.ToDS(dns.SHA256), port: rootHost.addr.Port(), zones: map[string]*domain{".": root}}
	where := map[string][]netip.AddrPort{".": {rootHost.addr}}
	for _, e := range all {
		for _, d := range e.domains {
			w.zones[d.name] = d
			where[d.name] = d.reached()
		}
	}
	var err error
	if w.hints, err = resolve.Records(fmt.Sprintf(". NS a.root.\na.root. A %s\n", rootHost.addr.Addr()), "hints"); err != nil {
		t.Fatal(err)
	}
	anchor := strings.Join(strings.Fields(w.anchor.String()), " ")
	w.unbound = world.Follower(t, anchor, where).Addr
	w.resolvers = map[string]netip.AddrPort{
		"unbound": w.unbound,
		"bind":    world.NamedRecursor(t, anchor, rootHost.addr).Addr,
		"knot":    world.KnotForwarder(t, anchor, world.Iterator(t, anchor, where).Addr).Addr,
	}
	text := "version: 1\nperspectives:\n  - {name: here, kind: self, region: ARIN, coordinates: [0, 0]}\n"
	for i, kind := range slices.Sorted(maps.Keys(w.resolvers)) {
		text += fmt.Sprintf("  - {name: %s, kind: udp, address: %q, region: %s, coordinates: [0, %d]}\n", kind, w.resolvers[kind], []string{"APNIC", "RIPE NCC"}[i%2], 20*(i+1))
	}
	if w.file, err = perspective.Parse("perspectives.yaml", []byte(text)); err != nil {
		t.Fatal(err)
	}
	return w
}

// reached are the addresses that a resolver comes to which follows delegations: where it cannot reach a zone,
// it reaches none of its children either.
func (d *domain) reached() []netip.AddrPort {
	for _, above := range slices.Backward(d.way()) {
		if above.fault.fails && above.fault.codes == nil {
			d = above
			break
		}
	}
	var out []netip.AddrPort
	for _, l := range d.listed {
		// Unbound takes a referral of a zone to itself for an answer without data.
		if d.above == nil || l.host.serves(d) || !l.host.serves(d.above) {
			out = append(out, l.host.addr)
		}
	}
	return out
}

// files are a host's zones.
func (h *nameserver) files() map[string]string {
	out := map[string]string{}
	for _, d := range h.domains {
		z := d.zone
		if d.stale != nil && d.hosts[len(d.hosts)-1] == h {
			z = d.stale
		}
		out[d.name] = d.file(z)
	}
	return out
}

// serveOurs starts our own server for its zones, each with a policy of its own.
func serveOurs(t *testing.T, h *nameserver) {
	t.Helper()
	files := map[string]string{}
	var blocks strings.Builder
	for i, d := range h.domains {
		text := "version: 1\n"
		for _, issuer := range []string{"ca", "other"} { // one that is not used is refused
			if slices.Contains(slices.Collect(maps.Values(d.policy)), "["+issuer+"]") {
				text += fmt.Sprintf("issuers: {%[1]s: {domain: %[1]s.example, unlisted: true}}\n", issuer)
			}
		}
		text = strings.Replace(text, "}}\nissuers: {", "}, ", 1) + "zones:\n  " + strings.TrimSuffix(d.name, ".") + ":\n"
		next := ""
		if d.policyOnly {
			var servers []string
			for _, l := range d.listed {
				servers = append(servers, fmt.Sprintf("{name: %s, addresses: [%s]}", strings.TrimSuffix(l.name, "."), l.host.addr.Addr()))
			}
			text += "    nameservers: [" + strings.Join(servers, ", ") + "]\n"
		} else {
			next = fmt.Sprintf("file $DIR/%d.db", i)
			files[fmt.Sprintf("%d.db", i)] = d.file(d.zone)
		}
		text += fmt.Sprintf("    issue: %s\n    names:\n      www: {issue: %s}\n", d.policy[""], d.policy["www"])
		files[fmt.Sprintf("%d.yaml", i)] = text
		maps.Copy(files, d.key.Files)
		fmt.Fprintf(&blocks, "%s:%d {\n bind %s\n caa $DIR/%d.yaml {\n  key file $DIR/%s\n }\n %s\n}\n", d.name, h.addr.Port(), h.addr.Addr(), i, d.key.Name, next)
	}
	world.CoreDNS(t, blocks.String(), files)
}

// views are what an estate looks like: one, but where it depends on where a resolver asks.
func (w *surroundings) views(e *estate, a asked) []expectation {
	views := []expectation{model{zones: w.zones}.expect(a)}
	if e.fault != nil && e.fault.fault.views {
		views = append(views, model{zones: w.zones, other: true}.expect(a))
	}
	for _, v := range views {
		for i, step := range v.steps {
			v.steps[i].misread = step.misreadable && isBogus(ofResolver(w.unbound, step.name))
		}
	}
	return views
}

// isBogus reports whether a resolver says that what it found does not validate.
func isBogus(m *dns.Msg) bool {
	opt := m.IsEdns0()
	return m.Rcode == dns.RcodeServerFailure && opt != nil && slices.ContainsFunc(opt.Option, func(o dns.EDNS0) bool {
		ede, ok := o.(*dns.EDNS0_EDE)
		return ok && ede.InfoCode == dns.ExtendedErrorCodeDNSBogus
	})
}

// anyStep reports whether a step of some views meets a condition.
func anyStep(views []expectation, is func(modelStep) bool) bool {
	return slices.ContainsFunc(views, func(v expectation) bool { return slices.ContainsFunc(v.steps, is) })
}

func misreadable(s modelStep) bool { return s.misreadable }
func variously(s modelStep) bool   { return s.variously }
func misread(s modelStep) bool     { return s.misread }

// mayMisread reports whether it is right to find that unbound misreads something: from the root one sees what unbound
// does, or what it would have seen at another server; a resolver may send fewer denials along than servers do.
func mayMisread(views []expectation, root bool) bool {
	return anyStep(views, misread) || anyStep(views, variously) || !root && anyStep(views, misreadable)
}

// check checks an estate: from the root in the first round alone, where everything is up to the checker. What resolvers
// saw otherwise is returned.
func (w *surroundings) check(t *testing.T, e *estate, round int) (failed []string) {
	var subjects []certname.Name
	views := map[string][]expectation{}
	for _, a := range e.ask {
		v := w.views(e, a)
		if slices.ContainsFunc(v, func(x expectation) bool { return x.long && !x.loops }) {
			continue
		}
		s := certname.Name{Domain: a.name, Wildcard: a.wildcard}
		subjects, views[s.String()] = append(subjects, s), v
	}
	failed = together(subjects, func(s certname.Name) []string { return w.holds(e, s.String(), views[s.String()]) })
	jobs := check.Jobs(subjects, []string{"ca.example"}, guard.Requirement{Type: issuance.TLS})
	cfg := resolve.Config{Hints: w.hints, Anchors: []dns.RR{w.anchor}, Port: w.port, Rate: -1, Timeout: 5 * time.Second, Concurrency: 16, NoIPv6: true, Memory: dnssec.NewMemory(dnssec.MemorySize)}
	r, err := resolve.New(cfg)
	if err != nil {
		return []string{err.Error()}
	}
	if round == 1 {
		for _, text := range w.judge(e, fromRoot, report.Of(check.New(r, jobs, check.Options{At: rulesOf}).Run(t.Context(), check.Progress{})), views) {
			t.Error(text)
		}
	}
	failed = append(failed, w.corroborated(t, e, cfg, r, jobs, views)...)
	kinds := slices.Sorted(maps.Keys(w.resolvers))
	kind := kinds[(e.seed+e.seed/3)%uint64(len(kinds))] // each kind for each fault
	cfg.Only, cfg.Recursive = w.resolvers[kind], true
	if r, err = resolve.New(cfg); err != nil {
		return []string{err.Error()}
	}
	return append(failed, w.judge(e, "through "+kind, report.Of(check.New(r, jobs, check.Options{At: rulesOf}).Run(t.Context(), check.Progress{})), views)...)
}

// holds holds the model against unbound, or the world is wrong: it is to see one of the views, step by step.
func (w *surroundings) holds(e *estate, name string, views []expectation) []string {
	var wrong []string
	for _, v := range views {
		difference := w.unboundSees(v)
		if difference == "" {
			w.total.add(agreed)
			if anyStep(views, misread) {
				w.total.add(misreads)
			}
			return nil
		}
		wrong = append(wrong, difference)
	}
	return []string{fmt.Sprintf("%v\n  the world is wrong: %s", e.at(name, views), strings.Join(wrong, "; and "))}
}

// ofResolver is what a resolver answers for CAA. Silence is a failure, as SERVFAIL is: some are slow to find out that
// nobody answers.
func ofResolver(at netip.AddrPort, name string) *dns.Msg {
	m := new(dns.Msg).SetQuestion(name, dns.TypeCAA)
	m.SetEdns0(dns.DefaultMsgSize, true)
	m.AuthenticatedData = true
	for _, patience := range []time.Duration{5, 10, 20} {
		for _, network := range []string{"udp", "tcp"} {
			client := dns.Client{Net: network, Timeout: patience * time.Second}
			answer, _, err := client.Exchange(m, at.String())
			if err == nil && !answer.Truncated {
				return answer
			}
			if err != nil {
				break
			}
		}
	}
	m.Rcode = dns.RcodeServerFailure
	return m
}

// unboundSees says where unbound sees otherwise, "" for nowhere.
func (w *surroundings) unboundSees(v expectation) string {
	for _, step := range v.steps {
		m := ofResolver(w.unbound, step.name)
		switch failed, got := m.Rcode == dns.RcodeServerFailure, contentOf(m); {
		case failed != (step.fails || step.misread):
			return fmt.Sprintf("of %s unbound says %s", step.name, dns.RcodeToString[m.Rcode])
		case !failed && !step.ours && !slices.Equal(got, step.caa), step.ours && len(got) == 0:
			return fmt.Sprintf("of %s unbound says %q, the model %q", step.name, got, step.caa)
		case !failed && m.AuthenticatedData && !v.secure && len(v.steps) == 1, !failed && !m.AuthenticatedData && v.secure && !v.optsOut:
			return fmt.Sprintf("of %s unbound says secure: %v, the model: %v", step.name, m.AuthenticatedData, v.secure)
		}
	}
	return ""
}

// at is where something was found, for people.
func (e *estate) at(name string, views []expectation) string {
	out := fmt.Sprintf("estate %d, %s", e.seed, name)
	if e.fault != nil {
		out += fmt.Sprintf(" (of %s: %s)", e.fault.name, e.fault.fault.what)
	}
	for _, v := range views {
		out += fmt.Sprintf("\n  by construction: %s", v.outcome)
		for _, step := range v.steps {
			out += fmt.Sprintf("; %s %q", strings.Join(append([]string{step.name}, step.chain...), " > "), step.caa)
		}
		for _, d := range v.touched[:len(v.touched)-1] {
			out += fmt.Sprintf("\n    %s", d)
		}
	}
	return out
}

func (d *domain) String() string {
	out := d.name + " delegated to"
	for _, l := range d.listed {
		out += fmt.Sprintf(" %s (%s %s)", l.name, l.host.software, l.host.addr.Addr())
	}
	for i, h := range d.hosts {
		out += []string{", served by", " and"}[min(i, 1)] + " " + h.software + " " + h.addr.Addr().String()
	}
	out += map[[2]bool]string{{true, true}: ", signed", {true, false}: ", signed without DS", {false, false}: ", unsigned"}[[2]bool{d.signed, d.ds}]
	return out + fmt.Sprintf(" %+v %+v %v", d.denial, d.style, d.policy)
}

// mixed reports whether views have different outcomes.
func mixed(views []expectation) bool {
	return slices.ContainsFunc(views, func(v expectation) bool { return v.outcome != views[0].outcome })
}

// allowed are the outcomes that are right. From the root one sees every server; through a resolver one view may be
// all that there is to see.
func allowed(views []expectation, root bool) []verdict.Outcome {
	if mixed(views) {
		out := []verdict.Outcome{verdict.AtRisk, verdict.LockedOut}
		if !root {
			out = append(out, verdict.MayIssue, verdict.Unknown)
		}
		return out
	}
	switch views[0].outcome {
	case permits:
		switch {
		case anyStep(views, misread) && len(views) == 1 && root:
			return []verdict.Outcome{verdict.AtRisk}
		case len(views) > 1, mayMisread(views, root):
			return []verdict.Outcome{verdict.MayIssue, verdict.AtRisk}
		}
		return []verdict.Outcome{verdict.MayIssue}
	case forbids:
		return []verdict.Outcome{verdict.LockedOut}
	}
	if root {
		return []verdict.Outcome{verdict.LockedOut, verdict.AtRisk}
	}
	return []verdict.Outcome{verdict.LockedOut, verdict.AtRisk, verdict.Unknown}
}

// healthy reports whether nothing on a name's way is wrong.
func healthy(views []expectation) bool {
	return !slices.ContainsFunc(views, func(v expectation) bool {
		return v.loops || slices.ContainsFunc(v.touched, func(d *domain) bool { return d.fault.what != "" })
	})
}

// codes are the findings one of which a name's fault is to have.
func codes(views []expectation) []string {
	for _, d := range views[0].touched {
		if d.fault.codes != nil {
			return append(slices.Clone(d.fault.codes), "parent-server-fails") // where the zone has none of the names
		}
	}
	return nil
}

// fromRoot is how the checker asks without a resolver.
const fromRoot = "from the root"

// judge holds what was found against the model.
func (w *surroundings) judge(e *estate, how string, found *report.Report, views map[string][]expectation) (failed []string) {
	kind, through := strings.CutPrefix(how, "through ")
	fail := func(name, format string, args ...any) {
		found := fmt.Sprintf(format, args...)
		if !through || !w.failsItself(kind, found) {
			failed = append(failed, e.at(name, views[name])+"\n  "+how+": "+found)
		}
	}
	for _, name := range found.Names {
		v := views[name.Name]
		for _, got := range name.Verdicts {
			if !slices.Contains(allowed(v, how == fromRoot), got.Outcome) {
				fail(name.Name, "%v (%s) %s", got.Outcome, got.Reason, got.Detail)
			}
		}
		var errs, all []string
		for _, f := range found.Findings {
			if !slices.Contains(f.Names, name.Name) {
				continue
			}
			all = append(all, f.Code)
			if f.Severity == catalog.Error && !(f.Code == string(verdict.Misread) && mayMisread(v, how == fromRoot)) {
				errs = append(errs, fmt.Sprintf("%s at %s: %s %q", f.Code, f.Subject, f.Text, f.Evidence))
			}
		}
		health := "something wrong"
		if healthy(v) {
			health = "healthy"
		}
		w.total.add(fmt.Sprintf("%s, %s, %s", how, health, v[0].outcome))
		if healthy(v) && len(errs) > 0 {
			fail(name.Name, "nothing is wrong, and it finds %s", strings.Join(errs, "\n    "))
		}
		if want := codes(v); how == fromRoot && want != nil && !slices.ContainsFunc(want, func(code string) bool { return slices.Contains(all, code) }) && !v[0].loops {
			fail(name.Name, "none of %q is found, but %q", want, all)
		}
		if how == fromRoot && healthy(v) && anyStep(v, misread) && !anyStep(v, variously) && !slices.Contains(all, string(verdict.Misread)) {
			fail(name.Name, "unbound misreads a wildcard's proof, and found is %q", all)
		}
	}
	if len(found.Names) != len(views) {
		failed = append(failed, fmt.Sprintf("estate %d, %s: %d of %d names", e.seed, how, len(found.Names), len(views)))
	}
	return failed
}

// failsItself reports whether what was found is a resolver's SERVFAIL where unbound and the model find something:
// knot-resolver 5.6, forwarding, answers so for some aliases of unsigned zones. These are counted, and may be few.
func (w *surroundings) failsItself(kind, found string) bool {
	addr, ok := w.resolvers[kind]
	text := strings.ToLower(found) // a look-up that failed once and was answered when it was asked again is of the same kind
	if !ok || addr == w.unbound || !strings.Contains(text, "servfail") && !strings.Contains(text, "at risk (lookup-failed-signed)") {
		return false
	}
	w.total.add(servfail + kind)
	return true
}

// outcomes are what views of perspectives stand for.
var outcomes = map[quorum.View]verdict.Outcome{quorum.Unknown: verdict.Unknown, quorum.Permits: verdict.MayIssue, quorum.Disputed: verdict.AtRisk, quorum.Denies: verdict.LockedOut}

// corroborated asks perspectives of every kind.
func (w *surroundings) corroborated(t *testing.T, e *estate, cfg resolve.Config, self *resolve.Resolver, jobs []check.Job, views map[string][]expectation) []string {
	set, err := w.file.Open(perspective.Options{Resolve: cfg, Self: self, Limit: time.Minute})
	if err != nil {
		return []string{err.Error()}
	}
	defer set.Close()
	return together(jobs, func(job check.Job) (failed []string) {
		name := job.Subject.String()
		for _, s := range set.Ask(t.Context(), job.Requirements[0], rulesOf).Observations {
			w.total.add(observations)
			if s.Perspective == "here" && mixed(views[name]) {
				continue // it climbs once
			}
			if !slices.Contains(allowed(views[name], false), outcomes[s.View]) && !w.failsItself(s.Perspective, s.Detail) {
				failed = append(failed, fmt.Sprintf("%s\n  the perspective %s %v (%s) %s %q", e.at(name, views[name]), s.Perspective, s.View, s.Reason, s.Detail, s.Records))
			}
		}
		return failed
	})
}

// together does something for all values at once, most of which wait for a resolver that waits for a dead server.
func together[T any](all []T, do func(T) []string) []string {
	out := make([][]string, len(all))
	var wg sync.WaitGroup
	for i, one := range all {
		wg.Go(func() { out[i] = do(one) })
	}
	wg.Wait()
	return slices.Concat(out...)
}
