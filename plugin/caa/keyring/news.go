package keyring

import (
	"fmt"
	"maps"
	"slices"
	"time"

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
	for _, refusal := range slices.Concat(result.Decision.Refusals, result.Decision.Warnings) {
		if refusal.Code != keyroll.Orphaned {
			lines = append(lines, terminal.Clean(name+": "+refusal.String()))
		}
	}
	if err := r.orphaned(name, z, slices.Concat(z.last.Refusals, z.last.Warnings)); err != nil {
		lines = append(lines, string(terminal.Text(err)))
	}
	return lines
}

// severe are the complaints that are errors, each clean.
func severe(name string, result *keyfolder.Result) (lines []string) {
	if result.Lost != nil {
		lines = append(lines, terminal.Clean(lostText(name, result)))
	}
	return lines
}

// tell logs what is wrong, and what is an error, once while it lasts. The first error is logged again now and then.
func (z *rollingZone) tell(name string, now time.Time, complaints []string, errors ...string) {
	lines := setOf(slices.Concat(complaints, errors))
	z.alarm = ""
	if len(errors) > 0 {
		z.alarm = errors[0]
	}
	for _, line := range errors {
		if !z.told[line] {
			log.Error(terminal.Lines(line))
			z.reminded = now
		}
	}
	for _, line := range complaints {
		if !z.told[line] {
			log.Warning(terminal.Lines(line))
			z.reminded = now
		}
	}
	if len(lines) == 0 && len(z.told) > 0 {
		log.Infof("%s: nothing is amiss with its keys any more", name)
	}
	z.told = lines
}

// lasting is something wrong that is logged now and then while it lasts.
type lasting struct {
	text string    // "": nothing is
	last time.Time // when it was logged
}

// tell notes what is wrong now, "" for nothing, and logs it where it is time; over is logged when it has ended.
func (l *lasting) tell(now time.Time, text string, logged func(any), over string) {
	switch {
	case text != "" && (text != l.text || now.Sub(l.last) >= reminder):
		logged(text)
		l.last = now
	case text == "" && l.text != "":
		log.Info(over)
	}
	l.text = text
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
		log.Warningf("And %d zones more, with keys that the parent's DS does not name or that %s lacks: caacheck keys shows all", more, r.dir)
	}
}

// Status implements Keyring.
func (r *rolling) Status() map[string]Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[string]Status, len(r.zones))
	for name, z := range r.zones {
		s := Status{Zone: z.last.Zone, Waits: z.last.Waits, Amiss: map[string]bool{}, Told: slices.Sorted(maps.Keys(z.told)), Said: z.said}
		for _, refusal := range slices.Concat(z.last.Refusals, z.last.Warnings) {
			s.Amiss[string(refusal.Code)] = true
		}
		theirs := slices.Clone(z.theirs)
		if z.unfit.text != "" {
			theirs = append(theirs, z.unfit.text)
		}
		s.Told = append(s.Told, theirs...)
		if len(theirs) > 0 {
			s.Amiss[CosignerFile] = true
		}
		if z.lost != "" {
			s.Amiss[string(z.lost)] = true
		}
		if z.refused != nil {
			s.Amiss[string(keyroll.ZoneRefused)] = true
		}
		out[name] = s
	}
	return out
}

// becomes says for people what it means that a key has come to a state.
var becomes = map[keyroll.State]string{
	keyroll.Made:       "is made",
	keyroll.Presigned:  "signs, before resolvers learn of it",
	keyroll.Introduced: "is published and signs; its DS is asked for when no cache has the zone without it",
	keyroll.Published:  "is published, to take over when every cache has it",
	keyroll.Ready:      "is in use, and CDS asks the parent for its DS",
	keyroll.Active:     "is in use",
	keyroll.Yielding:   "is to leave, and signs until no DS names it",
	keyroll.Retiring:   "is succeeded, and stays while a cache may need it",
	keyroll.Postsigned: "is withdrawn, and signs while a cache has it",
	keyroll.Removed:    "is out of use; its files stay for a while",
	keyroll.Unsure:     "signs everything, for nobody knows what caches have of it: its state was old, or another program made it",
}

// changeLog tells of changes of keys, some of them one by one.
type changeLog struct{ lines []string }

func (c *changeLog) add(zone string, result *keyfolder.Result, keys *Keys) {
	if result.Err != nil {
		return // nothing was written, so nothing has changed
	}
	delegation := false
	for _, change := range result.Changes {
		c.lines = append(c.lines, fmt.Sprintf("%s: the %s %s %s", terminal.Bare(zone), change.Role, change.Key, becomes[change.To]))
		delegation = delegation || change.To == keyroll.Ready
	}
	if delegation {
		c.lines = append(c.lines, keys.Publish()...)
	}
}

func (c *changeLog) flush(dir string) {
	for i, line := range c.lines {
		if i == shownKeys {
			log.Infof("And %d changes of keys more in %s: caacheck keys shows all", len(c.lines)-i, dir)
			return
		}
		log.Info(line)
	}
}
