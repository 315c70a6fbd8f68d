package check

import (
	"slices"
	"strings"
	"time"

	"github.com/coredns-caa/caa/checker/certname"
	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// Job is one name with what is asked about it.
type Job struct {
	Subject      certname.Name
	Requirements []guard.Requirement // empty for those whom the Relevant RRset names
	Type         issuance.CertificateType
	Node         *policy.Node // the policy's own node at the name: what is seen must be its RRset
}

// Jobs are those of names given by hand: each issuer at each name.
func Jobs(subjects []certname.Name, issuers []string, like guard.Requirement) []Job {
	var out []Job
	for _, s := range subjects {
		job := Job{Subject: s, Type: like.Type}
		for _, issuer := range issuers {
			r := like
			r.Name, r.Wildcard, r.Domain = s.Domain, s.Wildcard, issuer
			job.Requirements = append(job.Requirements, r)
		}
		out = append(out, job)
	}
	return out
}

// PolicyJobs are all that a policy requires, and its nodes, in the order of names; only, if not empty,
// leaves others out.
func PolicyJobs(p *policy.Snapshot, only []certname.Name) []Job {
	var out []Job
	index := map[certname.Name]int{}
	at := func(s certname.Name) *Job {
		if len(only) > 0 && !slices.Contains(only, s) {
			return nil
		}
		i, known := index[s]
		if !known {
			i = len(out)
			index[s], out = i, append(out, Job{Subject: s})
		}
		return &out[i]
	}
	for _, r := range guard.Requirements(p) {
		if job := at(certname.Name{Domain: r.Name, Wildcard: r.Wildcard}); job != nil {
			job.Requirements = append(job.Requirements, r)
		}
	}
	for _, zone := range p.Zones {
		for node := range zone.Nodes() {
			if job := at(certname.Name{Domain: node.Name}); job != nil {
				job.Node = node
			}
		}
	}
	return out
}

// requirements returns the job's or, without any, one for each issuer that the policy names there or, without
// that, the Relevant RRset by any server's answer. Where nothing restricts issuance, or the lookup failed, it is one for
// any CA: without an issuer's name. So it is where no CA may issue, unless that is what a policy's node wants.
func (j Job) requirements(way climb.Climb, others []alternative) []guard.Requirement {
	if len(j.Requirements) > 0 {
		return j.Requirements
	}
	like := guard.Requirement{Name: j.Subject.Domain, Wildcard: j.Subject.Wildcard, Type: j.Type}
	var out []guard.Requirement
	for _, domain := range j.issuers(way, others) {
		r := like
		r.Domain, r.Origin, r.Unlisted = domain, guard.Published, j.unlisted(domain)
		out = append(out, r)
	}
	if len(out) == 0 && (j.Node == nil || way.Last().Failed() || verdict.Decide(way, like, time.Time{}).Outcome != verdict.LockedOut) {
		out = append(out, like)
	}
	return out
}

// issuers are those that the policy's node names or, without one, the Relevant RRset: where servers differ those of all
// of them, in an order that does not depend on which one was asked first.
func (j Job) issuers(way climb.Climb, others []alternative) []string {
	if j.Node != nil {
		return verdict.Named(j.Node.RRset, j.Type, j.Subject.Wildcard)
	}
	first := verdict.Named(way.Last().RRset, j.Type, j.Subject.Wildcard)
	all := slices.Clone(first)
	for _, a := range others {
		all = append(all, verdict.Named(a.climb.Last().RRset, j.Type, j.Subject.Wildcard)...)
	}
	sorted := slices.Compact(slices.Sorted(slices.Values(all)))
	if len(sorted) == len(first) {
		return first
	}
	return sorted
}

// unlisted reports whether the policy's node names the issuer and calls it unlisted.
func (j Job) unlisted(domain string) bool {
	return j.Node != nil && slices.ContainsFunc(j.Node.Sources, func(src *policy.Source) bool {
		return src.Issuer != nil && src.Issuer.Unlisted && strings.EqualFold(src.Issuer.Domain, domain)
	})
}
