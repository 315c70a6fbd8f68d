package check

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coredns-caa/caa/checker/certname"
	"github.com/coredns-caa/caa/checker/perspective"
	"github.com/coredns-caa/caa/checker/resign"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/issuers"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// Plan is what is to be checked, from where, and how. One without names and policy is for a session of which only
// the resolver is used.
type Plan struct {
	Asked Asked
	World World
	At    time.Time // the rules of that day

	Perspectives *perspective.File // nil for none
	Patience     time.Duration     // for one answer of a perspective; 0 for perspective.DefaultLimit
	Signing      resign.History    // of earlier runs; nil for none

	Observe func(resolve.Observation) // called with every question of the run, from several goroutines; may be nil
}

// Asked is what the caller asks about: names, or all that a policy requires.
type Asked struct {
	Subjects []certname.Name  // of a policy those alone, if there are any
	Policy   *policy.Snapshot // that requires them; nil for names by hand

	// Of names by hand:
	Issuers         []string // Issuer Domain Names; none for those that the Relevant RRset names
	Account, Method string   // "" for what the Relevant RRset names
	Type            issuance.CertificateType
}

// Prepare makes a session of a plan: with a resolver that has asked nothing yet, and perspectives that are ready to be
// asked. The session has to be closed.
func Prepare(ctx context.Context, p Plan) (*Session, error) {
	jobs, err := p.Asked.jobs()
	if err != nil {
		return nil, err
	}
	cfg, notes, withoutIPv6, err := p.World.config(ctx)
	if err != nil {
		return nil, err
	}
	cfg.Observe = p.Observe
	r, err := resolve.New(cfg)
	if err != nil {
		return nil, err
	}
	set := new(perspective.Set)
	if p.Perspectives != nil {
		if set, err = p.Perspectives.Open(perspective.Options{Resolve: cfg, Self: r, Limit: p.Patience}); err != nil {
			return nil, err
		}
	}
	return New(r, jobs, Options{At: p.At, Perspectives: set, Signing: p.Signing, Notes: slices.Concat(notes, p.Asked.remarks(jobs)), WithoutIPv6: withoutIPv6}), nil
}

// jobs are what the names and the policy ask for.
func (a Asked) jobs() ([]Job, error) {
	if a.Policy == nil {
		return Jobs(a.Subjects, a.Issuers, guard.Requirement{Type: a.Type, Account: a.Account, Method: a.Method}), nil
	}
	jobs := PolicyJobs(a.Policy, a.Subjects)
	for _, s := range a.Subjects {
		if !slices.ContainsFunc(jobs, func(j Job) bool { return j.Subject == s }) {
			return nil, fmt.Errorf("%s requires nothing for %s, and has no node for it", a.Policy.File, s)
		}
	}
	if len(jobs) == 0 {
		return nil, fmt.Errorf("%s has no zones and no certificates: there is nothing to check", a.Policy.File)
	}
	return jobs, nil
}

// remarks are notes about what is asked.
func (a Asked) remarks(jobs []Job) []string {
	var out []string
	for _, issuer := range a.Issuers {
		entry, near := issuers.Lookup(issuer), issuers.Misspelt(issuer)
		switch {
		case near != "":
			out = append(out, fmt.Sprintf("--issuer %s: no public CA is known by that name; did you mean %s?", issuer, near))
		case entry.Status == issuers.Retired || entry.Status == issuers.Reseller:
			kind := map[issuers.Status]string{issuers.Retired: "no longer a CA's name", issuers.Reseller: "a reseller's name"}[entry.Status]
			out = append(out, fmt.Sprintf("--issuer %s is %s, under which no CA issues. Check %s instead.", issuer, kind, preferred(entry.CAs)))
		}
	}
	for _, job := range jobs {
		if job.Subject.TopLevel() {
			out = append(out, fmt.Sprintf("%s is a top-level domain: CAs issue for it only to its registry (Baseline Requirements 3.2.2.6).", job.Subject))
		}
	}
	return out
}

// preferred lists the names under which some CAs issue.
func preferred(cas []*issuers.CA) string {
	var out []string
	for _, ca := range cas {
		out = append(out, fmt.Sprintf("%s (%s)", ca.Preferred, ca.Operator))
	}
	return strings.Join(out, " or ")
}
