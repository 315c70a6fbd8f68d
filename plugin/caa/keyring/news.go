package keyring

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
)

// This file tells people and their metrics what becomes of rolling keys.

// shownKeys is how many keys' changes are logged one by one at a time.
const shownKeys = 20

// complaints are what is amiss with a zone, for people.
func (r *rolling) complaints(name string, z *rollingZone, result *keyfolder.Result, failed error) (lines []string) {
	if failed != nil && result.Lost == nil {
		lines = append(lines, failed.Error())
	}
	lines = append(lines, result.Warnings...)
	for _, refusal := range slices.Concat(result.Decision.Refusals, result.Decision.Warnings) {
		if refusal.Code != keyroll.Orphaned {
			lines = append(lines, name+": "+refusal.String())
		}
	}
	if err := r.orphaned(name, z); err != nil {
		lines = append(lines, err.Error())
	}
	return lines
}

// severe are the complaints that are errors.
func severe(name string, result *keyfolder.Result) (lines []string) {
	if result.Lost != nil {
		lines = append(lines, lostText(name, result))
	}
	return lines
}

// tell says what is amiss, and what is an error, once while it lasts.
func (z *rollingZone) tell(name string, complaints []string, errors ...string) {
	now := setOf(slices.Concat(complaints, errors))
	for _, line := range errors {
		if !z.told[line] {
			log.Error(line)
		}
	}
	for _, line := range complaints {
		if !z.told[line] {
			log.Warning(line)
		}
	}
	if len(now) == 0 && len(z.told) > 0 {
		log.Infof("%s: nothing is amiss with its keys any more", name)
	}
	z.told = now
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

func (c *changeLog) add(zone string, result *keyfolder.Result) {
	if result.Err != nil {
		return // nothing was written, so nothing has changed
	}
	for _, change := range result.Changes {
		c.lines = append(c.lines, fmt.Sprintf("%s: the %s %s %s", strings.TrimSuffix(zone, "."), change.Role, change.Key, becomes[change.To]))
		if change.To != keyroll.Ready {
			continue
		}
		if key := result.Keys[change.Key]; key != nil {
			c.lines = append(c.lines, "Publish at the parent: "+Text(key.DNSKEY.ToDS(dns.SHA256)))
		}
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
