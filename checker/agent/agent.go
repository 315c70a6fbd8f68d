// Package agent answers CAA checks over the Open MPIC API (package mpic), so that this machine can be a network
// perspective of another one.
//
// It looks names up from the root and validates, as `caacheck NAME` does. A check passes only if every reading of the
// CAA records permits, and is completed unless the lookup did not reach the name's servers. Clients authenticate with a
// token; bodies, checks at a time and their duration are limited.
package agent

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coredns-caa/caa/checker/certname"
	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/mpic"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

// Defaults, each with its reason.
const (
	DefaultLimit       = 25 * time.Second // for one check: less than the client waits (perspective.DefaultLimit)
	DefaultConcurrency = 64               // checks at a time: enough for eight clients
	DefaultMemory      = 30 * time.Second // for answers: the names of one run share zones, and no TTL in use is shorter

	maxBody    = 64 << 10 // octets: a name and a CA's Issuer Domain Names take one
	maxDomains = 100      // Issuer Domain Names of one CA: the largest has 25
)

// Config configures an agent.
type Config struct {
	Code        string              // of this perspective
	Token       string              // that clients present as a bearer token (RFC 6750 2.1)
	Domains     []string            // Issuer Domain Names for requests that give none
	Looker      func() climb.Looker // makes a resolver without memory
	Limit       time.Duration       // for one check; 0 for DefaultLimit
	Concurrency int                 // checks at a time; 0 for DefaultConcurrency
	Memory      time.Duration       // 0 for DefaultMemory
	Now         func() time.Time    // nil for the machine's clock
	Log         func(line string)   // logs what goes wrong; may be nil
}

// Agent is an http.Handler for [mpic.Path].
type Agent struct {
	cfg   Config
	token [sha256.Size]byte
	slots chan struct{}

	mu     sync.Mutex
	looker climb.Looker
	born   time.Time
}

// New returns an agent. It needs a token: any client could have it send queries to any server otherwise.
func New(cfg Config) (*Agent, error) {
	switch {
	case cfg.Token == "":
		return nil, errors.New("an agent needs a token")
	case cfg.Code == "":
		return nil, errors.New("an agent needs a code, such as the name of its location")
	case cfg.Looker == nil:
		return nil, errors.New("an agent needs a resolver")
	}
	cfg.Limit, cfg.Memory = cmp.Or(cfg.Limit, DefaultLimit), cmp.Or(cfg.Memory, DefaultMemory)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Agent{cfg: cfg, token: sha256.Sum256([]byte(cfg.Token)), slots: make(chan struct{}, cmp.Or(cfg.Concurrency, DefaultConcurrency))}, nil
}

// problem is an error with its HTTP status. The document gives 400 and 500; the others are HTTP's own.
type problem struct {
	status int
	text   string
}

func (p problem) Error() string { return p.text }

func bad(format string, args ...any) error {
	return problem{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// ServeHTTP implements http.Handler.
func (a *Agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	response, err := a.answer(w, r)
	if err == nil {
		_ = json.NewEncoder(w).Encode(response)
		return
	}
	p, ok := errors.AsType[problem](err)
	if !ok {
		p = problem{http.StatusInternalServerError, "internal error"}
		a.log("%s: %v", r.RemoteAddr, err)
	}
	switch p.status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="mpic"`)
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", http.MethodPost)
	}
	w.WriteHeader(p.status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": p.text})
}

func (a *Agent) log(format string, args ...any) {
	if a.cfg.Log != nil {
		a.cfg.Log(fmt.Sprintf(format, args...))
	}
}

// answer rejects requests without the token before it reads anything else.
func (a *Agent) answer(w http.ResponseWriter, r *http.Request) (*mpic.Response, error) {
	if !a.knows(r) {
		return nil, problem{http.StatusUnauthorized, "the token is missing or wrong"}
	}
	switch media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); {
	case r.URL.Path != mpic.Path:
		return nil, problem{http.StatusNotFound, "the API is at " + mpic.Path}
	case r.Method != http.MethodPost:
		return nil, problem{http.StatusMethodNotAllowed, "the method must be POST"}
	case media != "application/json":
		return nil, problem{http.StatusUnsupportedMediaType, "a request is of the type application/json"}
	}
	request, err := requestIn(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, err
	}
	select { // only now: a body may arrive slowly, and is not a check
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	default:
		return nil, problem{http.StatusServiceUnavailable, "too many checks at a time; try again"}
	}
	return a.check(r.Context(), request)
}

// requestIn reads a body, which is one request and nothing else.
func requestIn(body io.Reader) (*mpic.Request, error) {
	request := new(mpic.Request)
	text, err := io.ReadAll(body)
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, problem{http.StatusRequestEntityTooLarge, fmt.Sprintf("a request has at most %d octets", maxBody)}
	}
	if err == nil {
		err = json.Unmarshal(text, request)
	}
	if err != nil {
		return nil, bad("the body is not a request of the API: %v", err)
	}
	return request, nil
}

// knows compares tokens in constant time, whatever their length.
func (a *Agent) knows(r *http.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	shown := sha256.Sum256([]byte(token))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(shown[:], a.token[:]) == 1
}

// check answers a request.
func (a *Agent) check(ctx context.Context, request *mpic.Request) (*mpic.Response, error) {
	requirements, err := a.requirements(request)
	if err != nil {
		return nil, err
	}
	actual, err := effective(request.Orchestration)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Limit)
	defer cancel()
	now := a.cfg.Now()
	way := climb.Up(ctx, a.memory(now), requirements[0].Name)
	found := checked(way.Last(), best(way, requirements, now), now)
	return &mpic.Response{
		CheckType: mpic.CheckCAA, Target: request.Target, Trace: request.Trace,
		Valid: found.Passed || actual.QuorumCount == 0, Completed: found.Completed,
		Requested: request.Orchestration, Actual: actual, Parameters: request.Parameters,
		Perspectives: []mpic.Perspective{{Code: a.cfg.Code, Check: found}},
	}, nil
}

// requirements returns one for each Issuer Domain Name of the CA; without any, one of a CA that no record names.
func (a *Agent) requirements(request *mpic.Request) ([]guard.Requirement, error) {
	switch {
	case request.CheckType != mpic.CheckCAA:
		return nil, bad("check_type is %q: this agent does checks of the type %q alone", request.CheckType, mpic.CheckCAA)
	case request.Target == "":
		return nil, bad("domain_or_ip_target is missing")
	}
	name, err := certname.Parse(request.Target)
	if err != nil {
		return nil, bad("domain_or_ip_target: %v", err)
	}
	like := guard.Requirement{Name: name.Domain, Wildcard: name.Wildcard}
	domains := a.cfg.Domains
	if p := request.Parameters; p != nil {
		var known bool
		if like.Type, known = mpic.ParseCertificateType(p.CertificateType); !known {
			return nil, bad("certificate_type is %q: %q or %q", p.CertificateType, mpic.TLSServer, mpic.SMIME)
		}
		if len(p.Domains) > maxDomains {
			return nil, bad("caa_domains are %d: at most %d", len(p.Domains), maxDomains)
		}
		if len(p.Domains) > 0 {
			domains = p.Domains
		}
	}
	if like.Type != issuance.TLS && like.Wildcard {
		return nil, bad("domain_or_ip_target is a wildcard, which only %q certificates have", mpic.TLSServer)
	}
	if len(domains) == 0 {
		return []guard.Requirement{like}, nil
	}
	var out []guard.Requirement
	for _, domain := range domains {
		r := like
		r.Domain = domain
		out = append(out, r)
	}
	return out, nil
}

// effective returns the parameters of a coordinator that the agent applies: it is one perspective, and tries once.
func effective(asked *mpic.Orchestration) (mpic.Effective, error) {
	actual := mpic.Effective{PerspectiveCount: 1, QuorumCount: 1, AttemptCount: 1}
	if asked == nil {
		return actual, nil
	}
	if n := asked.PerspectiveCount; n != nil && *n != 1 {
		return actual, bad("perspective_count is %d: this agent is one perspective", *n)
	}
	if n := asked.QuorumCount; n != nil {
		if *n < 0 || *n > 1 {
			return actual, bad("quorum_count is %d: this agent is one perspective", *n)
		}
		actual.QuorumCount = *n
	}
	if n := asked.MaxAttempts; n != nil && *n < 1 {
		return actual, bad("max_attempts is %d: there is always one", *n)
	}
	return actual, nil
}

// preference orders the verdicts of a CA's Issuer Domain Names: one that permits it to issue is enough.
var preference = map[verdict.Outcome]int{verdict.LockedOut: 0, verdict.Unknown: 1, verdict.AtRisk: 2, verdict.MayIssue: 3}

func best(way climb.Climb, requirements []guard.Requirement, at time.Time) verdict.Verdict {
	var out verdict.Verdict
	for i, r := range requirements {
		if v := verdict.Decide(way, r, at); i == 0 || preference[v.Outcome] > preference[out.Outcome] {
			out = v
		}
	}
	return out
}

// checked returns a verdict as the API has it, with the records of the step that decided it.
func checked(last climb.Step, v verdict.Verdict, now time.Time) mpic.Check {
	check := mpic.Check{
		CheckType: mpic.CheckCAA, Completed: v.Outcome != verdict.Unknown, Passed: v.Outcome == verdict.MayIssue, Timestamp: now.UnixNano(),
		Details: mpic.Details{Outcome: v.Outcome.String(), Reason: string(v.Reason)},
	}
	if last.Failed() {
		check.Errors = []mpic.Error{{Type: "caa:" + string(v.Reason), Message: v.Detail}}
		return check
	}
	if len(last.RRset) > 0 {
		owner := dnsname.Bare(last.GovernedBy())
		check.Details.Present, check.Details.FoundAt, check.Details.Records = true, &owner, mpic.RecordsOf(last.RRset)
	}
	return check
}

// memory is the resolver in use. It is replaced now and then, since it keeps every answer.
func (a *Agent) memory(now time.Time) climb.Looker {
	a.mu.Lock()
	defer a.mu.Unlock()
	if age := now.Sub(a.born); a.looker == nil || age < 0 || age >= a.cfg.Memory {
		a.looker, a.born = a.cfg.Looker(), now
	}
	return a.looker
}
