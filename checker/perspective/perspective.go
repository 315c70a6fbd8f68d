// Package perspective checks one issuance from several places at once, and judges the observations as the quorum of a CA.
//
// A perspective is this machine, a resolver, or an agent that serves the Open MPIC API; a file declares them with their
// locations. Each answers from its own network and shares no cache with another (BR 3.2.2.9). The observation of one
// that does not answer in time, or that cannot be reached, is unknown: neither a permission nor a denial.
package perspective

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/mpic"
	"github.com/coredns-caa/caa/checker/quorum"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/checker/transport"
	"github.com/coredns-caa/caa/plugin/pkg/catalog"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/regularfile"
)

// Defaults, each with its reason.
const (
	DefaultLimit       = 30 * time.Second // for one answer: a climb past two silent servers takes 16 s
	DefaultConcurrency = 32               // questions to one perspective at a time: half of what agents accept by default

	giveUpAfter = 3                // questions in a row without an answer: then no more are sent
	giveUpFor   = 30 * time.Second // for this long
)

// Observation is the result of one perspective for one requirement.
type Observation struct {
	Perspective string          `json:"perspective"`
	Region      quorum.Region   `json:"region"`
	Primary     bool            `json:"primary,omitempty"`
	View        quorum.View     `json:"view"`
	Reason      issuance.Reason `json:"reason,omitempty"` // stable: of package verdict, or one of this package
	Detail      string          `json:"detail,omitempty"` // as text
	FoundAt     string          `json:"found_at,omitempty"`
	Records     []string        `json:"records,omitempty"` // of the Relevant RRset, where it is known
	Took        time.Duration   `json:"took_ns"`
}

// Reasons of observations, in addition to those of package verdict.
const (
	NoAnswer     issuance.Reason = "no-answer"
	BadAnswer    issuance.Reason = "bad-answer"
	NotCompleted issuance.Reason = "not-completed"
	AgentDenies  issuance.Reason = "agent-denies"
	AgentPermits issuance.Reason = "agent-permits"
	ReadsAnother issuance.Reason = "agent-reads-differently"
)

// Reasons returns the catalog of these reasons.
func Reasons() []catalog.Entry {
	const quorum, api = "BR 3.2.2.9", "Open MPIC API 3.5.0"
	return []catalog.Entry{
		{Code: string(NoAnswer), Severity: catalog.Warning, Section: quorum, Text: "the perspective could not be reached, or did not answer in time", Fix: "make sure that the perspective runs, and is reachable from this machine"},
		{Code: string(BadAnswer), Severity: catalog.Warning, Section: api, Text: "the response of the perspective is not an answer to the question", Fix: "check the address, the code and the version of the agent"},
		{Code: string(NotCompleted), Severity: catalog.Warning, Section: api, Text: "the agent reports that it could not complete the check", Fix: "look at the agent's message, and at its network"},
		{Code: string(AgentDenies), Severity: catalog.Error, Section: api, Text: "the agent denies without a reason", Fix: "look at the agent's log"},
		{Code: string(AgentPermits), Section: api, Text: "the agent permits without the records that it saw"},
		{Code: string(ReadsAnother), Severity: catalog.Error, Section: "RFC 8659 4", Text: "the agent denies what caacheck reads as a permission in the same records", Fix: "write the records so that every CA reads them alike"},
	}
}

// Judged has the observations of all perspectives for one requirement.
type Judged struct {
	Observations []Observation   `json:"observations"` // in the file's order
	Quorum       quorum.Result   `json:"quorum"`
	Later        []quorum.Result `json:"later,omitempty"` // the outcomes by later rules, where they differ
}

// observer is one perspective that can be asked.
type observer interface {
	see(ctx context.Context, r guard.Requirement, at time.Time) Observation
}

type perspective struct {
	Spec
	observer
	slots  chan struct{}
	silent *silence
}

// silence remembers that a perspective does not answer, so that of ten thousand names not each waits for it.
type silence struct {
	mu    sync.Mutex
	count int       // of questions in a row
	until time.Time // no questions are sent
}

func (s *silence) lasts() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count >= giveUpAfter && time.Now().Before(s.until)
}

func (s *silence) learn(answered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if answered {
		s.count = 0
		return
	}
	s.count++
	s.until = time.Now().Add(giveUpFor)
}

// Set has the perspectives of a file, ready for questions. It is safe for concurrent use.
type Set struct {
	primary int
	limit   time.Duration
	all     []perspective
	close   []func()
}

// Options configure a Set.
type Options struct {
	Resolve     resolve.Config // where lookups start, what is trusted, and time limits
	Self        climb.Looker   // this machine's resolver; nil for a new one by Resolve
	Limit       time.Duration  // for one answer; 0 for DefaultLimit
	Concurrency int            // questions to one perspective at a time; 0 for DefaultConcurrency
}

// Open reads the files that the perspectives file names, tokens and certificates, and returns a Set; it sends nothing.
// Relative paths start at the folder of the perspectives file.
func (f *File) Open(o Options) (*Set, error) {
	set := &Set{primary: f.Primary, limit: cmp.Or(o.Limit, DefaultLimit)}
	agents := map[Spec]*client{}
	var wrong error
	for _, spec := range f.Specs {
		observer, err := set.observer(spec, filepath.Dir(f.Name), o, agents)
		if err != nil {
			wrong = errors.Join(wrong, fmt.Errorf("%v: the perspective %s: %w", spec.Pos, spec.Name, err))
			continue
		}
		set.all = append(set.all, perspective{spec, observer, make(chan struct{}, cmp.Or(o.Concurrency, DefaultConcurrency)), new(silence)})
	}
	if wrong != nil {
		set.Close()
		return nil, wrong
	}
	return set, nil
}

// Close ends the connections that are kept.
func (s *Set) Close() {
	for _, c := range s.close {
		c()
	}
}

// Names are those of the perspectives, in the file's order.
func (s *Set) Names() []string {
	var out []string
	for _, p := range s.all {
		out = append(out, p.Name)
	}
	return out
}

// Here reports whether this machine is one of them.
func (s *Set) Here() bool {
	return slices.ContainsFunc(s.all, func(p perspective) bool { return p.Kind == Self })
}

func (s *Set) observer(spec Spec, dir string, o Options, agents map[Spec]*client) (observer, error) {
	if spec.Kind == Self {
		if o.Self != nil {
			return local{looker: o.Self}, nil
		}
		r, err := resolve.New(o.Resolve)
		return local{looker: r}, err
	}
	config, err := tlsConfig(spec, dir)
	if err != nil {
		return nil, err
	}
	if spec.Kind == Agent {
		return s.agent(spec, dir, config, agents)
	}
	cfg := o.Resolve
	cfg.Recursive = true
	if observe := o.Resolve.Observe; observe != nil {
		cfg.Observe = func(o resolve.Observation) {
			o.Perspective = spec.Name
			observe(o)
		}
	}
	if cfg.Only, err = whereabouts(spec); err != nil {
		return nil, err
	}
	if c := transportOf(spec, config); c != nil {
		s.close = append(s.close, c.Close)
		cfg.Carry = c.Exchange
	}
	r, err := resolve.New(cfg)
	return local{looker: r, recursive: true}, err
}

// transportOf returns the transport to a resolver; nil for UDP, which package resolve has itself.
func transportOf(spec Spec, config *tls.Config) transport.Transport {
	switch spec.Kind {
	case TCP:
		return transport.TCP(spec.Address)
	case DoT:
		return transport.TLS(spec.Address, config)
	case DoQ:
		return transport.QUIC(spec.Address, config)
	case DoH:
		return transport.HTTPS(spec.Address, config)
	}
	return nil
}

// whereabouts returns a resolver's address; only the port, where a URL has a name.
func whereabouts(spec Spec) (netip.AddrPort, error) {
	if spec.Kind != DoH {
		return netip.ParseAddrPort(spec.Address)
	}
	u, err := url.Parse(spec.Address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		addr = netip.IPv4Unspecified()
	}
	return netip.AddrPortFrom(addr, 443), nil
}

// maxCertificates bounds the file of a perspective's CA, in octets: all that browsers trust take 250,000.
const maxCertificates = 4 << 20

// tlsConfig trusts the perspective's CA, or the system's CAs.
func tlsConfig(spec Spec, dir string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if spec.Kind != DoH && spec.Kind != Agent { // HTTP takes the name from the URL
		config.ServerName = cmp.Or(spec.ServerName, spec.host())
	}
	if spec.CA == "" {
		return config, nil
	}
	pem, _, err := regularfile.Read(beside(dir, spec.CA), maxCertificates)
	if err != nil {
		return nil, err
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no PEM certificate", spec.CA)
	}
	return config, nil
}

func beside(dir, file string) string {
	if filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(dir, file)
}

// agent is a client; the perspectives of one installation share it, so that one request serves all.
func (s *Set) agent(spec Spec, dir string, config *tls.Config, agents map[Spec]*client) (observer, error) {
	key := Spec{Address: spec.Address, CA: spec.CA, Token: spec.Token, Header: spec.Header}
	if agents[key] == nil {
		token := ""
		if spec.Token != "" {
			var err error
			if token, err = ReadToken(beside(dir, spec.Token)); err != nil {
				return nil, err
			}
		}
		c := newClient(strings.TrimSuffix(spec.Address, "/")+mpic.Path, config, spec.Header, token)
		agents[key] = c
		s.close = append(s.close, c.http.CloseIdleConnections)
	}
	return agent{agents[key], spec.Code}, nil
}

// maxToken bounds the file of a token, in octets: it goes into a header of HTTP, of which servers accept 8,000.
const maxToken = 8 << 10

// ReadToken reads a secret from a file: one line of ASCII without spaces. It may be a pipe, from a password manager.
func ReadToken(file string) (string, error) {
	data, err := regularfile.ReadOrPipe(file, maxToken)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(data))
	if token == "" || strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return "", fmt.Errorf("invalid token in %s: want one line of ASCII without spaces", file)
	}
	return token, nil
}

// Ask asks all perspectives at once about a requirement, and judges their observations by the rules of a date.
func (s *Set) Ask(ctx context.Context, r guard.Requirement, at time.Time) Judged {
	out := Judged{Observations: make([]Observation, len(s.all))}
	var wg sync.WaitGroup
	for i, p := range s.all {
		wg.Go(func() {
			begin := time.Now()
			out.Observations[i] = p.ask(ctx, r, at, s.limit)
			seen := &out.Observations[i]
			seen.Perspective, seen.Region, seen.Primary, seen.Took = p.Name, p.Region, i == s.primary, time.Since(begin)
		})
	}
	wg.Wait()
	primary, remotes := s.views(out.Observations)
	out.Quorum = quorum.Judge(primary, remotes, quorum.RuleOf(at))
	out.Later = quorum.Later(primary, remotes, at)
	return out
}

// ask waits for a slot, and for the answer up to the limit.
func (p perspective) ask(ctx context.Context, r guard.Requirement, at time.Time, limit time.Duration) Observation {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return Observation{Reason: NoAnswer, Detail: "not asked: the time limit was reached"}
	}
	if p.silent.lasts() {
		return Observation{Reason: NoAnswer, Detail: fmt.Sprintf("not asked: it did not answer the last %d questions", giveUpAfter)}
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	seen := p.see(limited, r, at)
	if ctx.Err() == nil {
		p.silent.learn(seen.Reason != NoAnswer)
	}
	return seen
}

func (s *Set) views(observations []Observation) (primary quorum.Perspective, remotes []quorum.Perspective) {
	for i, p := range s.all {
		seen := quorum.Perspective{Name: p.Name, Region: p.Region, Place: p.Place, View: observations[i].View}
		if i == s.primary {
			primary = seen
			continue
		}
		remotes = append(remotes, seen)
	}
	return primary, remotes
}
