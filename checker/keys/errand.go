package keys

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// Restore has running servers write the keys of zones that they hold in memory into a folder: of all that they hold
// where none is named. The folder has to be there, and may be empty.
func Restore(ctx context.Context, dir string, wait time.Duration, zones ...string) (*Report, error) {
	asked := zones
	if len(asked) == 0 {
		asked = []string{""}
	}
	o := &Outcome{Request: Request{What: "write the keys held in memory"}, Result: Done}
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

// StartNew has a running server forget which keys a zone had.
func StartNew(ctx context.Context, dir, zone string, wait time.Duration) (*Report, error) {
	o := &Outcome{Request: Request{What: "start with new keys"}, Result: Done}
	if err := o.send(ctx, dir, keyfolder.Errand{Verb: keyfolder.StartNew, Zone: zone}, wait); err != nil {
		return nil, err
	}
	return o.report(dir, []string{zone})
}

// send writes an errand, waits for the answer, and takes it out of the folder again: a server that starts later
// holds nothing.
func (o *Outcome) send(ctx context.Context, dir string, e keyfolder.Errand, wait time.Duration) (err error) {
	folder := keyfolder.New(dir)
	if e, err = folder.Send(e, time.Now()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, folder.Remove(e)) }()
	if o.Asked.IsZero() {
		o.Asked = e.Asked
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		is, err := folder.Answer(e)
		if err != nil {
			return err
		}
		if !is.Answered.IsZero() {
			o.take(is)
			return nil
		}
		select {
		case <-ctx.Done():
			o.Result = Unanswered
			return nil
		case <-tick.C:
		}
	}
}

// take adds an answer to the outcome.
func (o *Outcome) take(e keyfolder.Errand) {
	o.Answered, o.Refused = e.Answered, refused(e.Refused)
	for _, zone := range e.Zones {
		o.Zones = append(o.Zones, terminal.Bare(zone))
	}
	o.Aside = append(o.Aside, e.Aside...)
	for _, zone := range slices.Sorted(maps.Keys(e.Failed)) {
		o.Failures = append(o.Failures, fmt.Sprintf("%s: %s", terminal.Bare(zone), e.Failed[zone]))
	}
	switch {
	case o.Refused != nil:
		o.Result = Refused
	case len(o.Failures) > 0:
		o.Result = Failed
	}
}

// report is what the folder has of zones, as far as it has something, with the outcome.
func (o *Outcome) report(dir string, zones []string) (*Report, error) {
	r := &Report{Version: 1, At: time.Now(), Folder: dir, Zones: []Zone{}, Asked: o}
	for _, zone := range zones {
		name, err := ParseZone(zone)
		if err != nil {
			return nil, err
		}
		found, err := FromFolder(dir, r.At, name)
		if errors.Is(err, keyfolder.ErrNoZone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		r.Zones = append(r.Zones, found.Zones...)
	}
	return r, nil
}

// errandText is the outcome of an errand for people.
func (o *Outcome) errandText(dir string) (lines []string) {
	switch {
	case o.Result == Unanswered:
		lines = append(lines, fmt.Sprintf("No server has answered the request to %s, and it is taken back. A server holds keys only while it runs: see that one does, and that its key auto names %s. One that was started without the keys holds none, and does not answer: put them back from a backup, or start with new ones (caacheck keys new).", o.What, dir))
	case o.Result == Done && len(o.Zones) == 0:
		lines = append(lines, "nothing to do: all keys that the server holds are in "+dir)
	case len(o.Zones) > 0:
		lines = append(lines, fmt.Sprintf("done: %s, for %s", o.What, strings.Join(o.Zones, ", ")))
	}
	for _, failure := range o.Failures {
		lines = append(lines, "failed: "+failure)
	}
	for _, path := range o.Aside {
		lines = append(lines, "a file that was there and differed is now "+path)
	}
	return lines
}
