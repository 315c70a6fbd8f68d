// Package climb finds the Relevant RRset of a name as a CA does (RFC 8659 3): it asks for CAA at the
// name, follows aliases, and climbs label by label until an RRset is found. Each step is kept with
// its answer, so that a verdict can name what led to it.
//
// A lookup that fails, or whose answer does not validate, ends the climb: it could hide an RRset. Names above
// the first RRset are not queried: they do not matter.
package climb

import (
	"context"
	"slices"
	"strings"

	"github.com/miekg/dns"
	"golang.org/x/net/publicsuffix"

	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

// Looker looks up one RRset as a resolver does; *resolve.Resolver is one.
type Looker interface {
	Lookup(ctx context.Context, name string, rrtype uint16) resolve.Answer
}

// Step is one name on the way up.
type Step struct {
	Name   string
	Answer resolve.Answer
	RRset  issuance.RRset // of the name or, by an alias, of its target; empty for none
}

// Failed reports whether the step's answer could hide an RRset.
func (s Step) Failed() bool {
	return s.Answer.Err != nil || s.Answer.Result.Status == dnssec.Bogus
}

// GovernedBy returns the name whose RRset the step found: the step's own or, after aliases, their target.
func (s Step) GovernedBy() string { return s.Answer.Owner }

// Climb is the steps from one name upwards.
type Climb struct {
	Name  string // canonical, without the `*.`
	Steps []Step // from the name upwards; the last one failed, found the Relevant RRset, or is the TLD
}

// Up climbs from a canonical name.
func Up(ctx context.Context, r Looker, name string) Climb {
	c := Climb{Name: name}
	_, _, _ = issuance.Climb(name, func(name string) (issuance.RRset, error) {
		answer := r.Lookup(ctx, name, dns.TypeCAA)
		step := Step{Name: name, Answer: answer, RRset: Properties(answer.RRset)}
		c.Steps = append(c.Steps, step)
		if step.Failed() {
			return nil, errFailed
		}
		return step.RRset, nil
	})
	return c
}

// errFailed ends a climb; its last step says what failed.
var errFailed = failed{}

type failed struct{}

func (failed) Error() string { return "the lookup failed" }

// Last returns the step that decided: the one that failed, or that found an RRset, or the TLD without one.
func (c Climb) Last() Step {
	if len(c.Steps) == 0 {
		return Step{}
	}
	return c.Steps[len(c.Steps)-1]
}

// MissingDomain returns the domain in which the name is if its registry denies that it exists: then no CA can validate
// control of a name in it. It returns "" for a domain that exists, and for one that was not asked for since an RRset was
// found below it. Registries are those of the Public Suffix List, without suffixes of providers, such as github.io, where
// whoever has the suffix makes names; of a top-level domain that is not there, as of a private root, it is missing itself
// or not.
func (c Climb) MissingDomain() string {
	name := dnsname.Bare(c.Name)
	domain, registry := publicsuffix.PublicSuffix(name)
	switch {
	case registry:
		var err error
		if domain, err = publicsuffix.EffectiveTLDPlusOne(name); err != nil { // a public suffix itself
			return ""
		}
	case strings.Contains(domain, "."):
		return ""
	}
	for _, s := range c.Steps {
		if dnsname.Bare(s.Name) == domain && s.Answer.Kind == resolve.NoName && len(s.Answer.Chain) == 0 && !s.Failed() {
			return s.Name
		}
	}
	return ""
}

// Zones returns the zones that the climb rests on: those that hold its names, those of aliases on the way, and those
// above them. Each comes once, after its parent.
func (c Climb) Zones() []*resolve.Zone {
	var out []*resolve.Zone
	var add func(*resolve.Zone)
	add = func(z *resolve.Zone) {
		if z == nil || slices.Contains(out, z) {
			return
		}
		add(z.Parent)
		out = append(out, z)
	}
	for _, step := range c.Steps {
		for _, link := range step.Answer.Chain {
			add(link.Zone)
		}
		add(step.Answer.Zone)
	}
	return out
}

// WithoutMessages returns the climb with what was read of each answer and without the messages, which are too large to
// keep for thousands of names.
func (c Climb) WithoutMessages() Climb {
	out := Climb{Name: c.Name}
	for _, step := range c.Steps {
		step.Answer = step.Answer.WithoutMessages()
		out.Steps = append(out.Steps, step)
	}
	return out
}

// Above returns the steps that the climb would have made if it had not ended.
func (c Climb) Above(ctx context.Context, r Looker) []Step {
	if parent := dnsname.Parent(c.Last().Name); parent != "." {
		return Up(ctx, r, parent).Steps
	}
	return nil
}

// Replace returns the climb as it would have been with another answer at one of its steps. It asks nothing: rest holds
// the steps above that the climb did not need.
func (c Climb) Replace(rest []Step, step string, answer resolve.Answer) Climb {
	out := Climb{Name: c.Name}
	for _, s := range append(append([]Step(nil), c.Steps...), rest...) {
		if s.Name == step {
			s = Step{Name: step, Answer: answer, RRset: Properties(answer.RRset)}
		}
		out.Steps = append(out.Steps, s)
		if s.Failed() || len(s.RRset) > 0 {
			break
		}
	}
	return out
}

// Properties returns the content of a CAA RRset, with the octets that are on the wire.
func Properties(set dnssec.RRset) issuance.RRset {
	var rrset issuance.RRset
	for _, rr := range set.RRs {
		if caa, ok := rr.(*dns.CAA); ok {
			rrset = append(rrset, issuance.Property{Flags: caa.Flag, Tag: dnssec.Octets(caa.Tag), Value: caa.Value})
		}
	}
	return rrset
}
