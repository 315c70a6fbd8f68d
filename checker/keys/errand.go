package keys

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
)

// Restore has running servers write the keys that they hold in memory into a folder: of some zones, or of all if none is
// named. The folder must exist, and may be empty. wait is
// how long to wait for a server to begin, and then without progress; progress, unless it is nil, is called with how many
// zones are done.
func Restore(ctx context.Context, dir string, wait time.Duration, progress func(done, total int), zones ...string) (*Report, error) {
	asked := zones
	if len(asked) == 0 {
		asked = []string{""}
	}
	o := &Outcome{Request: Request{What: "write the keys held in memory"}, Result: Done, progress: progress}
	for _, zone := range asked {
		if err := o.send(ctx, dir, keyfolder.Errand{Verb: keyfolder.Restore, Zone: zone}, wait); err != nil {
			return nil, err
		}
		if o.Result != Done {
			break
		}
	}
	return o.report(dir, o.Zones)
}

// StartNew has a running server give up the keys that a zone had.
func StartNew(ctx context.Context, dir, zone string, wait time.Duration) (*Report, error) {
	o := &Outcome{Request: Request{What: "start with new keys"}, Result: Done}
	if err := o.send(ctx, dir, keyfolder.Errand{Verb: keyfolder.StartNew, Zone: zone}, wait); err != nil {
		return nil, err
	}
	return o.report(dir, []string{zone})
}

// send writes an errand, waits for the answer, and removes it from the folder: a server that starts later holds no keys
// in memory. While a server works on it, it stays there.
func (o *Outcome) send(ctx context.Context, dir string, e keyfolder.Errand, wait time.Duration) (err error) {
	folder := keyfolder.New(dir)
	if e, err = folder.Send(e, time.Now()); err != nil {
		return err
	}
	if o.Asked.IsZero() {
		o.Asked = e.Asked
	}
	still := time.NewTimer(wait)
	defer still.Stop()
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	var last keyfolder.Progress
	moves := func(p *keyfolder.Progress) bool { return p != nil && !(p.Done == last.Done && p.At.Equal(last.At)) }
	for {
		is, err := folder.Answer(e)
		if err != nil {
			return err
		}
		if !is.Answered.IsZero() {
			o.take(is)
			return folder.Remove(e)
		}
		if moves(is.Progress) {
			last = *is.Progress
			o.Done, o.Total = last.Done, last.Total
			if o.progress != nil {
				o.progress(o.Done, o.Total)
			}
			still.Reset(wait)
		}
		select {
		case <-tick.C:
			continue
		case <-still.C:
		case <-ctx.Done():
		}
		is, err = folder.Cancel(e)
		switch {
		case err != nil:
			return err
		case is.Progress == nil:
			o.Result = Unanswered
			return nil
		case ctx.Err() != nil || !moves(is.Progress) && is.Answered.IsZero():
			o.Result = InProgress
			return nil
		}
	}
}

// take adds an answer to the outcome.
func (o *Outcome) take(e keyfolder.Errand) {
	o.Answered, o.Refused = e.Answered, refused(e.Refused)
	for _, zone := range e.Zones {
		o.Zones = append(o.Zones, dnsname.Bare(zone))
	}
	o.Aside = append(o.Aside, e.Aside...)
	for _, zone := range slices.Sorted(maps.Keys(e.Failed)) {
		o.Failures = append(o.Failures, fmt.Sprintf("%s: %s", dnsname.Bare(zone), e.Failed[zone]))
	}
	switch {
	case o.Refused != nil:
		o.Result = Refused
	case len(o.Failures) > 0:
		o.Result = Failed
	}
}

// report returns what the folder has of zones, with the outcome.
func (o *Outcome) report(dir string, zones []string) (*Report, error) {
	r := &Report{Version: 1, At: time.Now(), Folder: dir, Zones: []Zone{}, Asked: o}
	names := make([]string, len(zones))
	for i, zone := range zones {
		var err error
		if names[i], err = ParseZone(zone); err != nil {
			return nil, err
		}
	}
	if len(names) == 0 {
		return r, nil
	}
	found, err := FromFolder(dir, r.At, names...) // of all at once: the folder is read once
	switch {
	case errors.Is(err, keyfolder.ErrNoZone):
	case err != nil:
		return nil, err
	default:
		r.Zones = found.Zones
	}
	return r, nil
}

// errandText is the outcome of an errand as text.
func (o *Outcome) errandText(dir string) (lines []string) {
	switch {
	case o.Result == Unanswered:
		lines = append(lines, fmt.Sprintf("No server has answered the request to %s; it is canceled. A server holds keys only while it runs: make sure that one runs, and that its option key auto names %s. A server that started without the keys holds none, and does not answer: restore them from a backup, or start with new ones (caacheck keys new).", o.What, dir))
	case o.Result == InProgress:
		lines = append(lines, fmt.Sprintf("A server works on the request to %s: %d of %d zones are done. It goes on by itself, so do not stop it; its log shows what it does. Repeat the command to wait for the end.", o.What, o.Done, o.Total))
	case o.Result == Done && len(o.Zones) == 0:
		lines = append(lines, "nothing to do: all keys that the server holds are in "+dir)
	case len(o.Zones) > 0:
		lines = append(lines, fmt.Sprintf("done: %s, for %s", o.What, strings.Join(o.Zones, ", ")))
	}
	for _, failure := range o.Failures {
		lines = append(lines, "failed: "+failure)
	}
	for _, path := range o.Aside {
		lines = append(lines, "a file that differed was renamed to "+path)
	}
	return lines
}
