package keyring

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/parent"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// patienceAtStart bounds how long the parents may take before zones are served without their word.
const patienceAtStart = 5 * time.Second

// patienceForParents is the same while zones are served, and nobody waits.
const patienceForParents = time.Minute

// parents tells what the parents of zones say of their keys.
type parents struct {
	// source asks for what the parents of zones have; no keys are matched yet. It is nil where nobody is asked.
	source func(ctx context.Context, zones []string) map[string][]keyroll.Observation
	// notify tells the parent of a zone of new CDS, nil as source.
	notify  func(ctx context.Context, zone string) (told string, err error)
	orphans map[string]bool // zones that are served though the parent's DS names none of their keys
	serve   string          // how a key is given to a zone, for messages; the key's files follow

	mu     sync.Mutex
	silent map[string]bool // zones of whose parent a server could not be asked
}

func newParents(cfg *Config) *parents {
	p := &parents{orphans: map[string]bool{}, silent: map[string]bool{}}
	for _, zone := range cfg.Orphans {
		p.orphans[zone] = true
	}
	switch {
	case cfg.Folder != "":
		p.serve = "put its files into " + cfg.Folder
	case len(cfg.Files) > 0:
		p.serve = "list its files in key file"
	default:
		p.serve = "list its files in key file, in place of unsigned"
	}
	switch {
	case cfg.Parent.Off:
		return p
	case cfg.Ask != nil:
		p.source, p.notify = cfg.Ask, cfg.Notify
		return p
	}
	asker := &parent.Asker{Resolvers: cfg.Parent.Via, Servers: cfg.Parent.At}
	p.source = asker.DS
	if len(cfg.Parent.At) > 0 {
		return p // whom to tell of new CDS a resolver would have to say
	}
	p.notify = asker.Notify
	if len(cfg.Parent.Via) > 0 {
		return p
	}
	var err error
	if asker.Resolvers, err = parent.SystemResolvers(); err != nil {
		log.Warningf("The parents of the zones cannot be asked: this system names no resolver (%v); name resolvers with parent via RESOLVER..., or say parent off", err)
	}
	return p
}

// ask asks the parents of zones, for no longer than patience. Each zone has an entry, empty where it has no parent;
// nil is for where nobody is asked.
func (p *parents) ask(ctx context.Context, patience time.Duration, zones []string) map[string][]keyroll.Observation {
	if p.source == nil || len(zones) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	said := p.source(ctx, zones)
	for _, zone := range zones {
		if _, ok := said[zone]; !ok {
			said[zone] = nil
		}
	}
	p.tellSilence(said)
	return said
}

// tellSilence tells people when parents begin not to answer, and when all of them answer again.
func (p *parents) tellSilence(said map[string][]keyroll.Observation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	were, example := len(p.silent), ""
	for zone, of := range said {
		delete(p.silent, zone)
		for _, o := range of {
			if o.Err != nil {
				p.silent[zone], example = true, fmt.Sprintf("that of %s: %s: %s", terminal.Bare(zone), o.Server, strings.ReplaceAll(o.Err.Error(), "\n", "; "))
			}
		}
	}
	switch are := len(p.silent); {
	case were == 0 && are > 0:
		log.Warningf("The parents of %d zones cannot be asked for their DS, such as %s. Whether it names the zones' keys is not known, and keys that wait for it go on to wait", are, example)
	case were > 0 && are == 0:
		log.Info("All parents answer again")
	}
}

// reminder is how often it is logged again that a zone is bogus, or that a file of cosigner is of no use: as often as
// that a policy is refused.
const reminder = 10 * time.Minute

// match says which keys the servers of a parent name.
func match(said []keyroll.Observation, keys []*dns.DNSKEY) []keyroll.Observation {
	matched := make([]keyroll.Observation, len(said))
	for i, o := range said {
		matched[i] = keyroll.Observe(o.Server, o.Others, keys)
		matched[i].Err = o.Err
	}
	return matched
}

// recall returns what each server of a parent said when it answered last: now, or before. That one is silent
// does not end what it said.
func recall(before, now []keyroll.Observation) []keyroll.Observation {
	silent := func(o keyroll.Observation) bool { return o.Err != nil }
	if !slices.ContainsFunc(now, func(o keyroll.Observation) bool { return !silent(o) }) && len(before) > 0 {
		return before // perhaps not even its servers' names are known
	}
	answered := slices.Clone(now)
	for i, o := range answered {
		was := slices.IndexFunc(before, func(b keyroll.Observation) bool { return b.Server == o.Server })
		if silent(o) && was >= 0 {
			answered[i] = before[was]
		}
	}
	return answered
}

// orphaned says that a zone is or would be bogus, as its parent has a DS that names none of its keys.
type orphaned struct {
	zone    string
	servers []string  // of the parent
	found   []*dns.DS // what the parent has
	serve   string    // how a key is given to the zone, after its files
	meant   bool      // it is served all the same
}

func (p *parents) orphaned(zone string, refusal keyroll.Refusal, said []keyroll.Observation) *orphaned {
	said = slices.DeleteFunc(slices.Clone(said), func(o keyroll.Observation) bool { return !slices.Contains(refusal.Servers, o.Server) })
	return &orphaned{zone, refusal.Servers, allDS(said), p.serve, p.orphans[zone]}
}

func (e *orphaned) Error() string {
	zone, ttl := terminal.Bare(e.zone), uint32(0)
	stem, err := zonesign.KeyFileStem(e.zone)
	if err != nil {
		stem = e.zone // it is only for people
	}
	var ds, files []string
	for _, rr := range e.found {
		id := keyroll.ID{Algorithm: rr.Algorithm, Tag: rr.KeyTag}
		ds = append(ds, fmt.Sprintf("%d %d", rr.KeyTag, rr.Algorithm))
		files = append(files, stem+id.String())
		ttl = max(ttl, rr.Hdr.Ttl)
	}
	slices.Sort(ds)
	slices.Sort(files)
	lasts := fmt.Sprintf("the TTL of the old DS (%s)", time.Duration(ttl)*time.Second)
	itsKey := fmt.Sprintf("the key that the DS names: %s (%s, .key and .private)", e.serve, strings.Join(slices.Compact(files), " or "))
	text := fmt.Sprintf("%s: its parent has a DS (key tag and algorithm %s, at %s), and no key that is served here matches it: whoever validates takes its answers for bogus, and CAs must validate (BR 4.2.2.2). ",
		zone, strings.Join(slices.Compact(ds), ", "), strings.Join(e.servers, ", "))
	if e.meant {
		return text + fmt.Sprintf("It is served all the same, as orphan asks for, and stays bogus until the parent has the DS of a key that is served here and %s is over. To end that now, serve it with %s", lasts, itsKey)
	}
	return text + fmt.Sprintf("Serve it with %s. If that key is lost, have the parent remove the DS, and serve the zone when %s is over. Only if it is to be served in spite of that, say orphan %s in the caa block: it then stays bogus until the parent has the DS of a key that is served here and %s is over",
		itsKey, lasts, zone, lasts)
}

// check says why a zone with fixed keys cannot be served; seps are those that sign its DNSKEY RRset.
func (p *parents) check(zone string, seps []*dns.DNSKEY, said []keyroll.Observation) error {
	var apex []keyroll.ID
	for _, key := range seps {
		apex = append(apex, keyroll.ID{Algorithm: key.Algorithm, Tag: key.KeyTag()})
	}
	refusals := keyroll.Check(apex, match(said, seps))
	if len(refusals) == 0 {
		return nil
	}
	return p.orphaned(zone, refusals[0], said)
}

// allDS are the DS that any server of a parent has.
func allDS(said []keyroll.Observation) (all []*dns.DS) {
	for _, o := range said {
		all = append(all, o.Others...)
	}
	return all
}
