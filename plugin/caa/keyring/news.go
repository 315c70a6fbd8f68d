package keyring

import (
	"fmt"
	"maps"
	"slices"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// This file tells people and their metrics what becomes of rolling keys.

// shownKeys is how many keys' changes are logged one by one at a time.
const shownKeys = 20

// complaints are what is wrong with a zone, for people, each clean.
func (r *rolling) complaints(name string, z *rollingZone, result *keyfolder.Result, failed error) (lines []string) {
	if failed != nil && result.Lost == nil {
		lines = append(lines, string(terminal.Text(failed)))
	}
	for _, warning := range result.Warnings {
		lines = append(lines, terminal.Clean(warning))
	}
	for _, refusal := range result.Decision.Problems() {
		if refusal.Code != keyroll.Orphaned {
			lines = append(lines, terminal.Clean(dnsname.Bare(name)+": "+refusal.String()))
		}
	}
	if err := r.orphaned(name, z, slices.Concat(z.last.Refusals, z.last.Warnings)); err != nil {
		lines = append(lines, string(terminal.Text(err)))
	}
	return lines
}

// refusedRequests logs which requests of people are refused: once, for that is their answer.
func refusedRequests(name string, result *keyfolder.Result) {
	for _, refusal := range result.Refusals {
		if result.Err == nil && !refusal.Standing() { // else the answer is not written
			log.Warningf("%s: a request made with caacheck keys is refused: %s", dnsname.Bare(name), refusal)
		}
	}
}

// severe are the complaints that are errors, each clean.
func (r *rolling) severe(name string, z *rollingZone, result *keyfolder.Result) (lines []string) {
	if result.Lost != nil {
		lines = append(lines, terminal.Clean(r.lostText(name, z, result)))
	}
	return lines
}

// remind logs again which zones are bogus, not served, or served from memory alone: a line of long ago is not seen.
func (r *rolling) remind() {
	now, shown, more := r.now(), 0, 0
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, z := range r.zones {
		switch {
		case z.bogus == "" && z.alarm == "" || now.Sub(z.reminded) < reminder:
			continue
		case shown == shownKeys:
			more++
		case z.alarm != "":
			shown++
			log.Error(terminal.Lines(z.alarm))
		default:
			shown++
			log.Warning(z.bogus)
		}
		z.reminded = now
	}
	if more > 0 {
		log.Warningf("%d more zones have keys that the parent's DS does not match or that %s lacks: caacheck keys shows all", more, r.dir)
	}
}

// Status implements Keyring.
func (r *rolling) Status() map[string]Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[string]Status, len(r.zones))
	for name, z := range r.zones {
		s := Status{Zone: z.last.Zone, Waits: z.last.Waits, Problems: map[string]bool{}, Messages: slices.Sorted(maps.Keys(z.logged)), Parent: z.observed}
		for _, refusal := range z.last.Problems() {
			s.Problems[string(refusal.Code)] = true
		}
		theirs := slices.Clone(z.theirs)
		if z.unfit.text != "" {
			theirs = append(theirs, z.unfit.text)
		}
		s.Messages = append(s.Messages, theirs...)
		if len(theirs) > 0 {
			s.Problems[CosignerFile] = true
		}
		if z.lost != "" {
			s.Problems[string(z.lost)] = true
		}
		if z.refused != nil {
			s.Problems[string(keyroll.ZoneRefused)] = true
		}
		out[name] = s
	}
	return out
}

// becomes says for people what it means that a key has come to a state.
var becomes = map[keyroll.State]string{
	keyroll.Made:       "was created",
	keyroll.Presigned:  "signs, but is not published yet",
	keyroll.Introduced: "is published and signs; CDS will request its DS once no cache has the zone without this key",
	keyroll.Published:  "is published, and will sign once every cache has it",
	keyroll.Ready:      "is in use, and CDS requests its DS from the parent",
	keyroll.Active:     "is in use",
	keyroll.Yielding:   "is being withdrawn, and signs until no DS names it",
	keyroll.Retiring:   "was replaced, and stays published while a cache may need it",
	keyroll.Postsigned: "is no longer published, and signs while a cache has it",
	keyroll.Removed:    "is no longer used; its files stay for a while",
	keyroll.Unsure:     "signs everything, because it is unknown what caches have of it: its state was old, or another program created it",
}

// changeLog logs changes of keys, some of them one by one.
type changeLog struct{ lines []string }

func (c *changeLog) add(zone string, result *keyfolder.Result, keys *Keys) {
	if result.Err != nil {
		return // nothing was written, so nothing has changed
	}
	delegation := false
	for _, change := range result.Changes {
		c.lines = append(c.lines, fmt.Sprintf("%s: the %s %s %s", dnsname.Bare(zone), change.Role, change.Key, becomes[change.To]))
		delegation = delegation || change.To == keyroll.Ready
	}
	if delegation {
		c.lines = append(c.lines, keys.Publish()...)
	}
}

func (c *changeLog) flush(dir string) {
	for i, line := range c.lines {
		if i == shownKeys {
			log.Infof("%d more key changes in %s: caacheck keys shows all", len(c.lines)-i, dir)
			return
		}
		log.Info(line)
	}
}
