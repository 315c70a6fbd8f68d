package keyring

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/linelog"
	"github.com/coredns-caa/caa/plugin/caa/parent"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
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
	notify  func(ctx context.Context, zone string) (notified string, err error)
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
		p.serve = "copy its files to " + cfg.Folder
	case len(cfg.Files) > 0:
		p.serve = "list its files in key file"
	default:
		p.serve = "replace unsigned with key file and its files"
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
		return p // only a resolver can find the target of NOTIFY(CDS)
	}
	p.notify = asker.Notify
	if len(cfg.Parent.Via) > 0 {
		return p
	}
	var err error
	if asker.Resolvers, err = parent.SystemResolvers(); err != nil {
		log.Warningf("The parents of the zones cannot be queried: this system has no resolver configured (%v). Set parent via RESOLVER..., or parent off", err)
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
	observed := p.source(ctx, zones)
	for _, zone := range zones {
		if _, ok := observed[zone]; !ok {
			observed[zone] = nil
		}
	}
	p.logSilence(observed)
	return observed
}

// logSilence tells people when parents begin not to answer, and when all of them answer again.
func (p *parents) logSilence(observed map[string][]keyroll.Observation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	were, example := len(p.silent), ""
	for zone, of := range observed {
		delete(p.silent, zone)
		for _, o := range of {
			if o.Err != nil {
				p.silent[zone], example = true, fmt.Sprintf("%s at %s: %s", dnsname.Bare(zone), o.Server, strings.ReplaceAll(o.Err.Error(), "\n", "; "))
			}
		}
	}
	switch are := len(p.silent); {
	case were == 0 && are > 0:
		log.Warningf("The parents of %s could not be queried for DS (%s). It is unknown whether their DS matches the zones' keys; keys that wait for a DS keep waiting", linelog.Count(are, "zone"), example)
	case were > 0 && are == 0:
		log.Info("The parents of all zones answer again")
	}
}

// match says which keys the servers of a parent name.
func match(observed []keyroll.Observation, keys []*dns.DNSKEY) []keyroll.Observation {
	matched := make([]keyroll.Observation, len(observed))
	for i, o := range observed {
		matched[i] = keyroll.Observe(o.Server, o.Others, keys)
		matched[i].Err = o.Err
	}
	return matched
}

// recall returns the last answer of each server of a parent: now, or before. That one does not answer now
// does not undo its last answer.
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

func (p *parents) orphaned(zone string, refusal keyroll.Refusal, observed []keyroll.Observation) *orphaned {
	observed = slices.DeleteFunc(slices.Clone(observed), func(o keyroll.Observation) bool { return !slices.Contains(refusal.Servers, o.Server) })
	return &orphaned{zone, refusal.Servers, allDS(observed), p.serve, p.orphans[zone]}
}

// Error implements error.
func (e *orphaned) Error() string { return dnsname.Bare(e.zone) + ": " + e.cause() }

// cause is the error without the zone.
func (e *orphaned) cause() string {
	ttl := uint32(0)
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
	itsKey := fmt.Sprintf("the key of that DS: %s (%s, .key and .private)", e.serve, strings.Join(slices.Compact(files), " or "))
	text := fmt.Sprintf("no served key matches the parent's DS (key tag and algorithm %s, at %s): validating resolvers reject the zone's answers, and CAs must validate (BR 4.2.2.2). ",
		strings.Join(slices.Compact(ds), ", "), strings.Join(e.servers, ", "))
	if e.meant {
		return text + fmt.Sprintf("The zone is served anyway, because of orphan, and stays bogus until the parent has the DS of a served key and %s has passed. To end that now, serve the zone with %s", lasts, itsKey)
	}
	return text + fmt.Sprintf("Serve the zone with %s. If that key is lost, have the parent remove the DS, and serve the zone once %s has passed. To serve it anyway, write orphan %s in the caa block: the zone then stays bogus until the parent has the DS of a served key and %s has passed",
		itsKey, lasts, dnsname.Bare(e.zone), lasts)
}

// check says why a zone with fixed keys cannot be served; seps are those that sign its DNSKEY RRset.
func (p *parents) check(zone string, seps []*dns.DNSKEY, observed []keyroll.Observation) error {
	var apex []keyroll.ID
	for _, key := range seps {
		apex = append(apex, keyroll.ID{Algorithm: key.Algorithm, Tag: key.KeyTag()})
	}
	refusals := keyroll.Check(apex, match(observed, seps))
	if len(refusals) == 0 {
		return nil
	}
	return p.orphaned(zone, refusals[0], observed)
}

// allDS are the DS that any server of a parent has.
func allDS(observed []keyroll.Observation) (all []*dns.DS) {
	for _, o := range observed {
		all = append(all, o.Others...)
	}
	return all
}
