package caa

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

const (
	// checkEvery is how often the self-check runs: the data below change without a word to us, and a CA
	// may come at any time.
	checkEvery = 5 * time.Minute
	// checkAgain is how soon it runs again while the server is not ready, say because a secondary waits
	// for its first transfer.
	checkAgain = 2 * time.Second
	// checkShare is how much of one processor it takes: a twentieth.
	checkShare = 20
)

// sight is what a CA would see of one required issuance.
type sight string

// The sights; they are values of a metric's label. The last four keep a server from becoming ready. What is not served
// does not: other servers may read the same policy, and serve it.
const (
	mayIssue   sight = "may_issue"
	governed   sight = "governed_elsewhere" // an alias or a zone cut leads out of our zones: their CAA decides
	notServed  sight = "not_served"         // no caa block of the server serves its zone: nothing was asked
	atRisk     sight = "at_risk"            // some CAs or resolvers deny, or nobody is known to make such a request
	lockedOut  sight = "locked_out"
	unanswered sight = "unanswered"
	bogus      sight = "bogus"
)

var sights = []sight{mayIssue, governed, notServed, atRisk, lockedOut, unanswered, bogus}

// shownFindings is how many new findings of one run are logged; the metric counts all.
const shownFindings = 20

// selfCheck is the guard's other half: the policy alone cannot show that a required name is an alias, or
// lies under a zone cut, or that the plugin below fails. So each required issuance is asked for as a CA
// would ask, through the whole way that a query takes, and decided by the one evaluator.
type selfCheck struct {
	*CAA
	rest   func(time.Duration) bool     // waits; false when the server stops
	told   map[guard.Requirement]string // the cause of each that is not possible, at the last run
	except string                       // what a run could say nothing of, for the log
	valid  map[string]bool              // signatures that verified at the last run, which need not be verified again
}

// watch runs the check until rest says that the server stops: at the start, after each load of a policy
// and every few minutes.
func (sc *selfCheck) watch() {
	for {
		checked := sc.loader.serving.Load()
		fine, ok := sc.run(context.Background(), checked)
		if fine && !sc.ready.Swap(true) {
			log.Info("Ready: what is required may be issued, by what is served" + sc.except)
		}
		for pause := checkEvery; ok && pause > 0 && sc.ready.Load() && sc.loader.serving.Load() == checked; pause -= checkAgain {
			ok = sc.rest(checkAgain)
		}
		if !ok || !sc.rest(checkAgain) {
			return
		}
	}
}

// run checks every required issuance once, and that each zone of the policy answers at all. Fine says
// that nothing of ours stands in the way of one; not ok, that the server stops.
func (sc *selfCheck) run(ctx context.Context, s *serving) (fine, ok bool) {
	o := &observer{CAA: sc.CAA, serving: s, known: sc.valid, valid: map[string]bool{}, answers: map[string]observation{}, keys: map[*zone][]*dns.DNSKEY{}}
	counts, told := map[string]map[sight]int{}, map[guard.Requirement]string{}
	fine = true
	unchecked := 0
	for _, r := range sc.required(s) {
		began := time.Now()
		what, cause := notServed, "no caa block of this server serves its zone"
		if sc.loader.cfg.covers(r.Name) {
			what, cause = o.issuance(ctx, r)
		}
		if what == notServed {
			unchecked++
		}
		if r.Domain != "" {
			if counts[r.Domain] == nil {
				counts[r.Domain] = map[sight]int{}
			}
			counts[r.Domain][what]++
		}
		fine = fine && (what == mayIssue || what == governed || what == notServed)
		if what != mayIssue && (sc.loader.cfg.covers(r.Name) || r.Origin == guard.Operator) {
			told[r] = cause // zones that are not served are logged as zones
		}
		if !sc.rest(time.Since(began) * (checkShare - 1)) {
			return false, false
		}
	}
	sc.tell(told)
	if sc.except = ""; unchecked > 0 {
		sc.except = fmt.Sprintf("; nothing is known of %d required issuances in zones that it does not serve", unchecked)
	}
	sc.valid = o.valid
	sc.loader.sights.Store(&counts)
	return fine, true
}

// required are the issuances to check and, with no Domain, the zones' own names. What lies in zones that
// other blocks serve is theirs to check, and what no block serves is counted by one of them.
func (sc *selfCheck) required(s *serving) []guard.Requirement {
	apexes := slices.DeleteFunc(slices.Collect(s.apexes()), func(apex string) bool { return apex == guard.Unlisted })
	out := slices.Concat(guard.Requirements(s.policy), guard.Vouching(s.policy, sc.loader.cfg.requirements(apexes)))
	out = slices.DeleteFunc(out, func(r guard.Requirement) bool {
		if sc.loader.cfg.covers(r.Name) {
			return sc.loader.outdone(r.Name)
		}
		return sc.loader.inAnotherBlock(r.Name) || r.Origin != guard.Operator && !sc.loader.speaksForFile()
	})
	for _, z := range s.zones {
		if z.lender == nil {
			out = append(out, guard.Requirement{Name: z.Name, Pos: z.Pos})
		}
	}
	return out
}

// tell logs what has changed since the last run.
func (sc *selfCheck) tell(told map[guard.Requirement]string) {
	changed := 0
	for r, cause := range told {
		if sc.told[r] == cause {
			continue
		}
		if changed++; changed > shownFindings {
			continue
		}
		if r.Domain == "" {
			log.Warningf("%v: %v: %s", r.Pos, r, cause)
		} else {
			log.Warningf("%v: %s cannot be relied on to issue for %v: %s", r.Pos, r.Domain, r, cause)
		}
	}
	if changed > shownFindings {
		log.Warningf("And %d required issuances more that cannot be relied on", changed-shownFindings)
	}
	mended := 0
	for r := range sc.told {
		if _, still := told[r]; !still {
			mended++
		}
	}
	if mended > 0 {
		log.Infof("%d required issuances that could not be relied on can be again, or are no longer required; %d are left", mended, len(told))
	}
	sc.told = told
}

// observation is what was found at and above one name.
type observation struct {
	rrset issuance.RRset
	owner string // of the RRset, canonical
	what  sight  // mayIssue: the RRset decides
	cause string
}

// observer asks the server itself.
type observer struct {
	*CAA
	*serving
	known, valid map[string]bool
	answers      map[string]observation
	keys         map[*zone][]*dns.DNSKEY // as served
}

// issuance says whether a required issuance is possible in what is served.
func (o *observer) issuance(ctx context.Context, r guard.Requirement) (sight, string) {
	seen, ok := o.answers[r.Name]
	if !ok {
		seen = o.climb(ctx, r.Name)
		o.answers[r.Name] = seen
	}
	if r.Domain == "" && seen.what == mayIssue {
		return o.keyRecords(ctx, r.Name)
	}
	if seen.what == governed && o.serving.find(r.Name) == nil {
		return notServed, "it is in no zone that this server serves"
	}
	if seen.what != mayIssue {
		return seen.what, seen.cause
	}
	judged := guard.Judge(r, seen.rrset, o.now())
	if judged.Outcome == guard.MayIssue {
		return mayIssue, ""
	}
	where := "no CAA stands at or above it"
	if seen.owner != "" {
		where = "the CAA of " + terminal.Bare(seen.owner)
		if seen.owner != r.Name && !dns.IsSubDomain(seen.owner, r.Name) {
			where += ", to which it is an alias,"
		}
	}
	if judged.Outcome == guard.AtRisk {
		return atRisk, fmt.Sprintf("%s puts it at risk (%s)", where, judged.Reason)
	}
	return lockedOut, fmt.Sprintf("%s denies it (%s)", where, judged.Reason)
}

// keyRecords tells of CDS and CDNSKEY in the data of a zone that is signed here. They would have the
// parent name keys that sign nothing we serve (RFC 7344 4.1), and so are not served.
func (o *observer) keyRecords(ctx context.Context, apex string) (sight, string) {
	z := o.serving.zones[apex]
	if z.Set == nil || z.PolicyOnly() {
		return mayIssue, ""
	}
	b := newBelow(o.Next, new(loopback), new(dns.Msg))
	for _, qtype := range []uint16{dns.TypeCDS, dns.TypeCDNSKEY} {
		if m, err := b.ask(ctx, apex, qtype); err == nil && len(recordsAt(m.Answer, apex, qtype)) > 0 {
			return governed, fmt.Sprintf("the data of the zone hold %s, of keys that do not sign here; it is not served, for the parent's DS made from it would be a lock-out: take it out of the data", dns.TypeToString[qtype])
		}
	}
	return mayIssue, ""
}

// climb finds the Relevant RRset of a name in our own answers (RFC 8659 3).
func (o *observer) climb(ctx context.Context, name string) observation {
	seen := observation{what: mayIssue}
	rrset, owner, err := issuance.Climb(name, func(name string) (issuance.RRset, error) {
		at := o.look(ctx, name)
		if at.what != mayIssue {
			seen = at
			return nil, errors.New(at.cause)
		}
		seen.owner = at.owner
		return at.rrset, nil
	})
	if err == nil {
		seen.rrset = rrset
	}
	if owner == "" {
		seen.owner = ""
	}
	return seen
}

// look asks for CAA at one name, as a resolver would: with DO, following aliases in our zones.
func (o *observer) look(ctx context.Context, name string) observation {
	m, err := o.ask(ctx, name, dns.TypeCAA)
	if err != nil {
		return observation{what: unanswered, cause: err.Error()}
	}
	if err := o.validate(ctx, m); err != nil {
		return observation{what: bogus, cause: "the answer does not validate: " + err.Error()}
	}
	at := name
	for range maxChain {
		next := alias1(m, at)
		if next == "" {
			break
		}
		at = next
	}
	z := o.serving.find(at)
	switch {
	case z == nil || z.lender != nil:
		return observation{what: governed, cause: fmt.Sprintf("it is an alias to %s, whose CAA is not this block's: look there", terminal.Bare(at))}
	case !m.Authoritative && len(m.Ns) > 0:
		return observation{what: governed, cause: fmt.Sprintf("it lies under the zone cut %s, whose servers give its CAA: look there", strings.TrimSuffix(m.Ns[0].Header().Name, "."))}
	}
	seen := observation{owner: at, what: mayIssue}
	for _, rr := range recordsAt(m.Answer, at, dns.TypeCAA) {
		p, err := propertyOf(rr)
		if err != nil {
			return observation{what: bogus, cause: err.Error()}
		}
		seen.rrset = append(seen.rrset, p)
	}
	return seen
}

// alias1 is the target of the alias at a name in an answer, "" when there is none.
func alias1(m *dns.Msg, name string) string {
	for _, rr := range recordsAt(m.Answer, name, dns.TypeCNAME) {
		return lower(rr.(*dns.CNAME).Target)
	}
	return ""
}

// propertyOf reads a CAA record's content off the wire (RFC 8659 4.1).
func propertyOf(rr dns.RR) (issuance.Property, error) {
	wire, err := zonesign.AppendRR(nil, rr)
	if err != nil {
		return issuance.Property{}, err
	}
	_, off, err := dns.UnpackDomainName(wire, 0)
	if err != nil {
		return issuance.Property{}, err
	}
	rdata := wire[off+fixedRRLen:]
	tag := 2 + int(rdata[1])
	return issuance.Property{Flags: rdata[0], Tag: string(rdata[2:tag]), Value: string(rdata[tag:])}, nil
}

// ask sends one question through the whole server, from message to message.
func (o *observer) ask(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	r := new(dns.Msg).SetQuestion(name, qtype)
	r.SetEdns0(maxUDP, true)
	w := new(loopback)
	code, err := o.respond(ctx, w, r, o.serving, o.zoneOf(name, qtype), name)
	switch {
	case err != nil:
		return nil, err
	case w.wire == nil:
		return nil, fmt.Errorf("no answer was written; the code is %s", dns.RcodeToString[code])
	}
	m := new(dns.Msg)
	if err := m.Unpack(w.wire); err != nil {
		return nil, err
	}
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return nil, fmt.Errorf("the answer is %s", dns.RcodeToString[m.Rcode])
	}
	return m, nil
}

// validate checks that each RRset which is a signed zone's own has a signature that verifies with the
// keys as served, and that a denial denies no more than it may (RFC 4035 5.3, RFC 9824 3).
func (o *observer) validate(ctx context.Context, m *dns.Msg) error {
	for _, section := range [][]dns.RR{m.Answer, m.Ns} {
		for i, rr := range section {
			h := rr.Header()
			z := o.serving.find(lower(h.Name))
			made := h.Rrtype == dns.TypeCNAME && i > 0 && dnameAbove(section, h.Name)
			cut := h.Rrtype == dns.TypeNS && !m.Authoritative
			if h.Rrtype == dns.TypeRRSIG || z == nil || z.Set == nil || made || cut {
				continue
			}
			keys, err := o.keysOf(ctx, z)
			if err != nil {
				return err
			}
			if err := o.verify(section, rr, keys); err != nil {
				return err
			}
		}
	}
	return nil
}

func dnameAbove(section []dns.RR, name string) bool {
	return slices.ContainsFunc(section, func(rr dns.RR) bool {
		return rr.Header().Rrtype == dns.TypeDNAME && dns.IsSubDomain(rr.Header().Name, name)
	})
}

// keysOf are the keys of a zone as they are served, signed by one of themselves.
func (o *observer) keysOf(ctx context.Context, z *zone) ([]*dns.DNSKEY, error) {
	if keys := o.keys[z]; keys != nil {
		return keys, nil
	}
	m, err := o.ask(ctx, z.Name, dns.TypeDNSKEY)
	if err != nil {
		return nil, err
	}
	var keys []*dns.DNSKEY
	for _, rr := range recordsAt(m.Answer, z.Name, dns.TypeDNSKEY) {
		keys = append(keys, rr.(*dns.DNSKEY))
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s has no DNSKEY", z.Name)
	}
	if err := o.verify(m.Answer, keys[0], keys); err != nil {
		return nil, err
	}
	o.keys[z] = keys
	return keys, nil
}

// verify finds a signature over the RRset of a record.
func (o *observer) verify(section []dns.RR, rr dns.RR, keys []*dns.DNSKEY) error {
	h := rr.Header()
	err := fmt.Errorf("%s %s is not signed", h.Name, dns.TypeToString[h.Rrtype])
	for _, other := range recordsAt(section, h.Name, dns.TypeRRSIG) {
		sig := other.(*dns.RRSIG)
		if sig.TypeCovered != h.Rrtype {
			continue
		}
		if err = o.verifyOne(sig, recordsAt(section, h.Name, h.Rrtype), keys); err == nil {
			return nil
		}
	}
	return err
}

func (o *observer) verifyOne(sig *dns.RRSIG, rrset []dns.RR, keys []*dns.DNSKEY) error {
	if !sig.ValidityPeriod(o.now()) {
		return fmt.Errorf("the signature over %s %s is not valid now", sig.Hdr.Name, dns.TypeToString[sig.TypeCovered])
	}
	id := fmt.Sprint(sig, rrset)
	if o.known[id] || o.valid[id] {
		o.valid[id] = true
		return nil
	}
	err := fmt.Errorf("the signature over %s %s is by a key that is not served", sig.Hdr.Name, dns.TypeToString[sig.TypeCovered])
	for _, key := range keys {
		if key.KeyTag() == sig.KeyTag && key.Algorithm == sig.Algorithm {
			if err = sig.Verify(key, rrset); err == nil {
				o.valid[id] = true
				return nil
			}
		}
	}
	return err
}

// loopback is where the server's questions to itself come from, over TCP: nothing is truncated.
type loopback struct {
	dns.ResponseWriter // none: nothing else of it is used
	wire               []byte
}

func (l *loopback) Write(wire []byte) (int, error) {
	l.wire = slices.Clone(wire)
	return len(wire), nil
}

func (l *loopback) WriteMsg(m *dns.Msg) (err error) {
	l.wire, err = m.Pack()
	return err
}

func (l *loopback) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
func (l *loopback) LocalAddr() net.Addr  { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
func (l *loopback) TsigStatus() error    { return nil }
