package caa

import (
	"time"

	"github.com/coredns-caa/caa/plugin/caa/linelog"
	"github.com/coredns-caa/caa/plugin/caa/source"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// This file logs and counts what happens to the policy file.

// Report implements source.Server.
func (l *loader) Report(e source.Event) {
	file, of := l.cfg.file, l.layout.routing.label()
	switch e := e.(type) {
	case source.Started:
		l.announce(e.Candidate, e.From)
	case source.Accepted:
		l.countReload("accepted")
		l.announce(e.Candidate, file)
		l.unserved.report()
	case source.Refused:
		outcome := "refused"
		if e.Unreadable {
			outcome = "unreadable"
		}
		l.countReload(outcome)
		l.logRefused(e.Problem)
	case source.StillRefused:
		l.logRefused(e.Problem)
	case source.Held:
		l.countReload("waiting")
		log.Warningf("%s%s may be half-written: %s. Revision %s is still served; if the file does not change, it is served from %s",
			of, file, e.Why, l.revision(), e.Until.Format(time.RFC3339))
	case source.Rested:
		log.Warningf("%s%s has not changed for %v and is now served, although %s", of, file, e.For, e.Why)
	case source.Restless:
		log.Warningf("%s%s has kept changing for %v, and a file is read only once it is unchanged between two looks; revision %s is still served. Find out what keeps writing to it",
			of, file, e.For.Round(time.Second), l.revision())
	case source.Slow:
		log.Infof("%s%s is still being checked after %v: serving %s meanwhile", of, file, e.After, e.From)
	case source.Unkept:
		log.Errorf("%sThe policy is served, but could not be saved as the last good one, so a restart may go back to an older policy: %v. Saving is retried", of, e.Err)
	case source.Kept:
		log.Infof("%sThe policy was saved as the last good one to %s", of, e.Path)
	case source.Unsure:
		log.Warningf("%sThe last good policy in %s may be an old one, because not all of its folder can be read: %v", of, e.Path, e.Err)
	case source.Useless:
		log.Warningf("%sThe last good policy in %s cannot be used: %v", of, e.Path, e.Err)
	}
}

// announce logs a policy that came into service, and where it was read.
func (l *loader) announce(c source.Candidate, from string) {
	for _, warning := range c.Report.Warnings {
		log.Warning(warning.String())
	}
	reportReplaced(c)
	log.Infof("%sServing %s, revision %s: %s, %s", l.layout.routing.label(), from, c.Policy.Revision, linelog.Count(len(c.Zones), "zone"), l.unserved.proved(c.Policy, c.Operator))
}

func (l *loader) logRefused(problem terminal.Lines) {
	log.Errorf("%sThe policy file is refused; revision %s is still served.\n%s", l.layout.routing.label(), l.revision(), problem)
}

func (l *loader) countReload(outcome string) {
	reloadCount.WithLabelValues(l.cfg.file, outcome).Inc()
}

// revision is that of the policy that is served.
func (l *loader) revision() string { return l.block.serving().policy.Revision }

// shownZones is how many zones the start prints an example question for.
const shownZones = 8

// greet prints what to ask and what to publish, for a newcomer's first minute.
func (l *loader) greet(address, port string) {
	s := l.block.serving()
	if s.zones.Len() > shownZones {
		return
	}
	for _, z := range s.policy.Zones {
		served := s.zones.Zone(z.Name)
		if served == nil || s.owner(served) != nil {
			continue
		}
		log.Infof("Ask: dig @%s -p %s %s CAA +dnssec", address, port, dnsname.Bare(z.Name))
		for _, line := range served.Keys.Publish() {
			log.Info(line)
		}
	}
}
