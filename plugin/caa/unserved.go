package caa

import (
	"fmt"
	"slices"
	"strings"

	"github.com/coredns-caa/caa/plugin/caa/linelog"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// This file is about zones of the policy that this block does not serve. Other blocks of the server may, or other
// servers that read the same file: then it is their business. But it may also be that somebody misspelt a zone. So
// what no block of the server serves is a warning, and its required issuances do not count as proved.

// unserved reports which zones of a policy a block does not serve.
type unserved struct {
	routing  routing
	reported string // what was logged last
}

// proved says how many issuances that a policy and the block's issuer lines require were proved, and of which this block
// can prove nothing.
func (u *unserved) proved(p *policy.Snapshot, operator []guard.Requirement) string {
	var here, others, nowhere int
	for _, r := range slices.Concat(guard.Requirements(p), operator) {
		switch {
		case u.routing.own.cfg.covers(r.Name) && u.routing.owner(r.Name) == nil:
			here++
		case u.routing.inAnotherBlock(r.Name):
			others++
		default:
			nowhere++
		}
	}
	text := linelog.Count(here, "required issuance") + " proved"
	if others > 0 {
		text += fmt.Sprintf(", %d in other blocks", others)
	}
	if nowhere > 0 {
		text += fmt.Sprintf(", %d in zones that this server does not serve", nowhere)
	}
	return text
}

// report logs once which zones of the file this block does not serve.
func (u *unserved) report() {
	p := u.routing.own.serving().policy
	var others, nowhere, slips []string
	candidates := u.unlisted()
	for _, z := range p.Zones {
		switch {
		case u.routing.own.cfg.covers(z.Name):
		case u.routing.inAnotherBlock(z.Name):
			others = append(others, z.Name)
		case u.routing.speaksForFile():
			nowhere = append(nowhere, z.Name)
			if near := nearest(z.Name, candidates); near != "" && len(slips) < shownSlips {
				slips = append(slips, fmt.Sprintf("%v: the policy lists %s, but this server serves %s, which the policy does not list: is one of them misspelt?", z.Pos, dnsname.Bare(z.Name), dnsname.Bare(near)))
			}
		}
	}
	text := strings.Join(slices.Concat(others, []string{"/"}, nowhere), " ")
	if text == u.reported {
		return
	}
	u.reported = text
	if len(others) > 0 {
		log.Infof("%s%s: this block does not serve %s of the policy; another block does", u.routing.label(), u.routing.own.cfg.file, count(others))
	}
	if len(nowhere) > 0 {
		alone := ""
		if s := u.routing.own.serving(); len(u.routing.own.cfg.issuers) == 0 && !slices.ContainsFunc(guard.Requirements(p), func(r guard.Requirement) bool { return s.zones.Find(r.Name) != nil }) {
			alone = ", and nothing is required in this block's zones, so the policy protects nothing"
		}
		log.Warningf("%s: no caa block of this server serves %s of the policy: what is required there is not checked here%s", u.routing.own.cfg.file, count(nowhere), alone)
	}
	for _, slip := range slips {
		log.Warning(slip)
	}
}

// shownSlips is how many zones are logged that may be misspelt.
const shownSlips = 20

// maxCandidates bounds the zones among which one is looked for that somebody may have meant.
const maxCandidates = 1000

// unlisted are the first zones of the server's blocks that their policies do not list.
func (u *unserved) unlisted() (zones []string) {
	for _, other := range u.routing.table.blocks {
		s := other.serving()
		for _, apex := range other.cfg.apexes() {
			if s != nil && s.policy.Zone(apex) == nil && len(zones) < maxCandidates {
				zones = append(zones, apex)
			}
		}
	}
	return zones
}

// count says how many zones there are, and the first few of them.
func count(names []string) string {
	const shown = 3
	var first []string
	for _, name := range names[:min(len(names), shown)] {
		first = append(first, dnsname.Bare(name))
	}
	switch n := len(names); {
	case n == 1:
		return "the zone " + first[0]
	case n <= shown:
		return fmt.Sprintf("the zones %s", strings.Join(first, ", "))
	default:
		return fmt.Sprintf("%d zones (%s and %d more)", n, strings.Join(first, ", "), n-shown)
	}
}
