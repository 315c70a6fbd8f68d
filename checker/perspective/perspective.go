// Package perspective asks for one issuance from several places at once, and judges what they saw as a
// CA's quorum.
//
// A perspective is this machine, a resolver, or an agent that speaks the Open MPIC API; a file declares
// them with where they stand. Each answers from its own network and shares no cache with another (BR
// 3.2.2.9). One that does not answer in time, or that cannot be reached, could not find out: that is
// never a permission, and no lock-out either.
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
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coredns-caa/caa/checker/carrier"
	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/mpic"
	"github.com/coredns-caa/caa/checker/quorum"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

// Defaults, each with its reason.
const (
	DefaultLimit       = 30 * time.Second // for one answer: a climb past two silent servers takes 16 s
	DefaultConcurrency = 32               // questions to one perspective at a time: half of what agents take by default

	giveUpAfter = 3                // questions in a row without an answer: then it is not waited for
	giveUpFor   = 30 * time.Second // then it is tried again
)

// Sight is what one perspective saw of one requirement.
type Sight struct {
	Perspective string          `json:"perspective"`
	Region      quorum.Region   `json:"region"`
	Primary     bool            `json:"primary,omitempty"`
	View        quorum.View     `json:"view"`
	Reason      issuance.Reason `json:"reason,omitempty"` // stable: of package verdict, or one of this package
	Detail      string          `json:"detail,omitempty"` // for people
	FoundAt     string          `json:"found_at,omitempty"`
	Records     []string        `json:"records,omitempty"` // of the Relevant RRset, where it is known
	Took        time.Duration   `json:"took_ns"`
}

// Reasons beside those of package verdict.
const (
	NoAnswer     issuance.Reason = "no-answer"      // the perspective could not be reached, or not in time
	BadAnswer    issuance.Reason = "bad-answer"     // what it sent is no answer to the question
	NotCompleted issuance.Reason = "not-completed"  // it says so itself
	AgentDenies  issuance.Reason = "agent-denies"   // without saying why
	AgentPermits issuance.Reason = "agent-permits"  // without saying what it saw
	ReadsAnother issuance.Reason = "reads-it-other" // the agent denies what we read as a permission
)

// Judged is one requirement as all perspectives saw it.
type Judged struct {
	Sights []Sight         `json:"sights"` // in the file's order
	Quorum quorum.Result   `json:"quorum"`
	Later  []quorum.Result `json:"later,omitempty"` // what rules to come will make of it, where that differs
}

// observer is how one perspective sees.
type observer interface {
	see(ctx context.Context, r guard.Requirement, at time.Time) Sight
}

type perspective struct {
	Spec
	observer
	slots  chan struct{}
	silent *silence
}

// silence remembers that a perspective does not answer, so that ten thousand names do not wait for it one
// by one.
type silence struct {
	mu    sync.Mutex
	count int       // of questions in a row
	until time.Time // it is left alone
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

// Set is the perspectives of a file, ready to be asked. It is safe for concurrent use.
type Set struct {
	primary int
	limit   time.Duration
	all     []perspective
	close   []func()
}

// Options say how to ask.
type Options struct {
	Resolve     resolve.Config // where this machine starts, what is trusted, and time limits
	Self        climb.Looker   // what this machine asks through; nil for a new one by Resolve
	Limit       time.Duration  // for one answer; 0 for DefaultLimit
	Concurrency int            // questions to one perspective at a time; 0 for DefaultConcurrency
}

// Open reads what the file names, tokens and certificates, and prepares to ask. Nothing is asked yet.
// Files are looked for from where the perspectives file lies.
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
	if told := o.Resolve.Observe; told != nil {
		cfg.Observe = func(o resolve.Observation) {
			o.Perspective = spec.Name
			told(o)
		}
	}
	if cfg.Only, err = whereabouts(spec); err != nil {
		return nil, err
	}
	if c := carrierOf(spec, config); c != nil {
		s.close = append(s.close, c.Close)
		cfg.Carry = c.Carry
	}
	r, err := resolve.New(cfg)
	return local{looker: r, recursive: true}, err
}

// carrierOf is the way to a resolver; nil for UDP, which package resolve knows itself.
func carrierOf(spec Spec, config *tls.Config) carrier.Carrier {
	switch spec.Kind {
	case TCP:
		return carrier.TCP(spec.Address)
	case DoT:
		return carrier.TLS(spec.Address, config)
	case DoQ:
		return carrier.QUIC(spec.Address, config)
	case DoH:
		return carrier.HTTPS(spec.Address, config)
	}
	return nil
}

// whereabouts is a resolver's address; of one that is known by a URL's name, the port alone.
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

// tlsConfig trusts the perspective's CA, or the system's.
func tlsConfig(spec Spec, dir string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if spec.Kind != DoH && spec.Kind != Agent { // HTTP takes the name from the URL
		config.ServerName = cmp.Or(spec.ServerName, spec.host())
	}
	if spec.CA == "" {
		return config, nil
	}
	pem, err := os.ReadFile(beside(dir, spec.CA))
	if err != nil {
		return nil, err
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate in PEM", spec.CA)
	}
	return config, nil
}

func beside(dir, file string) string {
	if filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(dir, file)
}

// agent is a client; perspectives of one installation share it, so that it is asked once for all.
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

// ReadToken reads a secret from a file: one line of ASCII without spaces.
func ReadToken(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(data))
	if token == "" || strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return "", fmt.Errorf("%s is not a token: it is one line of ASCII without spaces", file)
	}
	return token, nil
}

// Ask asks all perspectives at once for a requirement, and judges what they saw by the rules of a day.
func (s *Set) Ask(ctx context.Context, r guard.Requirement, at time.Time) Judged {
	out := Judged{Sights: make([]Sight, len(s.all))}
	var wg sync.WaitGroup
	for i, p := range s.all {
		wg.Go(func() {
			begin := time.Now()
			out.Sights[i] = p.ask(ctx, r, at, s.limit)
			seen := &out.Sights[i]
			seen.Perspective, seen.Region, seen.Primary, seen.Took = p.Name, p.Region, i == s.primary, time.Since(begin)
		})
	}
	wg.Wait()
	primary, remotes := s.views(out.Sights)
	out.Quorum = quorum.Judge(primary, remotes, quorum.RuleOf(at))
	out.Later = quorum.Later(primary, remotes, at)
	return out
}

// ask waits for a slot, and for the answer no longer than the limit.
func (p perspective) ask(ctx context.Context, r guard.Requirement, at time.Time, limit time.Duration) Sight {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return Sight{Reason: NoAnswer, Detail: "it was not asked, since the time was up"}
	}
	if p.silent.lasts() {
		return Sight{Reason: NoAnswer, Detail: fmt.Sprintf("it was not asked, since it has left %d questions in a row without an answer", giveUpAfter)}
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	seen := p.see(limited, r, at)
	if ctx.Err() == nil {
		p.silent.learn(seen.Reason != NoAnswer)
	}
	return seen
}

func (s *Set) views(sights []Sight) (primary quorum.Perspective, remotes []quorum.Perspective) {
	for i, p := range s.all {
		seen := quorum.Perspective{Name: p.Name, Region: p.Region, Place: p.Place, View: sights[i].View}
		if i == s.primary {
			primary = seen
			continue
		}
		remotes = append(remotes, seen)
	}
	return primary, remotes
}
