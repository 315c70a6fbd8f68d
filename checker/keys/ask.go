package keys

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
)

const (
	// DefaultWait is how long a request waits for a server: it reads its folder every two seconds, and asks the
	// parent first.
	DefaultWait = 15 * time.Second
	// lookAgain is how often the folder is read for the answer.
	lookAgain = 100 * time.Millisecond
)

// Result is how a request ended.
type Result string

// The results.
const (
	Begun    Result = "begun"
	Planned  Result = "planned" // it will begin, at the time in Rolls
	Refused  Result = "refused"
	Queued   Result = "queued" // no server has read it yet
	Canceled Result = "canceled"

	// Of requests that need no state in the folder.
	Done       Result = "done"
	Failed     Result = "failed"
	InProgress Result = "in progress" // a server works on it, and the command did not wait for the end
	Unanswered Result = "unanswered"  // by any server, and canceled
)

// Outcome is the outcome of a request.
type Outcome struct {
	Request
	Result   Result   `json:"result"`
	Zones    []string `json:"zones,omitempty"`    // for which it was done
	Aside    []string `json:"aside,omitempty"`    // files that were there and differed, under their new names
	Failures []string `json:"failures,omitempty"` // as text
	Done     int      `json:"done,omitempty"`     // how many zones the server has done that works on it
	Total    int      `json:"total,omitempty"`

	progress func(done, total int)
}

// Ask writes a request into a folder, and waits for a server's answer. The report is of the zone after it.
func Ask(ctx context.Context, dir, zone string, r keyroll.Request, wait time.Duration) (*Report, error) {
	folder := keyfolder.New(dir)
	if _, err := folder.Look(time.Now(), zone); err != nil {
		return nil, err
	}
	r, refusal, err := folder.Ask(zone, time.Now(), r)
	if err != nil {
		return nil, err
	}
	o := &Outcome{Request: Request{What: describe(r), Asked: r.Asked, Refused: refused(refusal)}, Result: Refused}
	if refusal == nil {
		if err := o.await(ctx, folder, zone, wait); err != nil {
			return nil, err
		}
	}
	found, err := FromFolder(dir, time.Now(), zone)
	if err != nil {
		return nil, err
	}
	found.Asked = o
	if o.Result == Begun && r.Verb == keyroll.RollKey && found.Zones[0].plans(r.Role) {
		o.Result = Planned
	}
	return found, nil
}

// await looks for the answer until it is there or the time is up.
func (o *Outcome) await(ctx context.Context, folder *keyfolder.Folder, zone string, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	o.Result = Queued
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		state, err := folder.State(zone)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(state.Answers, func(a keyroll.Answer) bool { return a.Asked.Equal(o.Asked) })
		if i >= 0 {
			o.Answered, o.Refused, o.Result = state.Answers[i].Time, refused(state.Answers[i].Refused), Begun
			if o.Refused != nil {
				o.Result = Refused
			}
			return nil
		}
		if !slices.ContainsFunc(state.Requests, func(r keyroll.Request) bool { return r.Asked.Equal(o.Asked) }) {
			return fmt.Errorf("the request to %s is gone without an answer: it was canceled, or the folder was restored from a backup", o.What)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Cancel cancels requests that no server has read, and requested rolls that have not begun.
func Cancel(ctx context.Context, dir, zone string, wait time.Duration) (*Report, error) {
	folder := keyfolder.New(dir)
	if _, err := folder.Look(time.Now(), zone); err != nil {
		return nil, err
	}
	taken, err := folder.TakeBack(zone)
	if err != nil {
		return nil, err
	}
	state, err := folder.State(zone)
	if err != nil {
		return nil, err
	}
	if state.AskedKSK != keyroll.Never || state.AskedZSK != keyroll.Never {
		return Ask(ctx, dir, zone, keyroll.Request{Verb: keyroll.CallOff}, wait)
	}
	found, err := FromFolder(dir, time.Now(), zone)
	if err != nil {
		return nil, err
	}
	found.Asked = &Outcome{Request: Request{What: "there was no request", Asked: found.At}, Result: Canceled}
	for i, r := range taken {
		if i == 0 {
			found.Asked.What = ""
		} else {
			found.Asked.What += ", "
		}
		found.Asked.What += describe(r)
	}
	return found, nil
}

// plans reports whether a roll of a role, or of the one that replaces it, waits to begin.
func (z *Zone) plans(role keyroll.Role) bool {
	if z.view.Report == nil {
		return false
	}
	return slices.ContainsFunc(z.view.Report.Plans, func(p keyroll.Plan) bool {
		return slices.ContainsFunc(p.Roles, func(r keyroll.Role) bool { return r&role != 0 })
	})
}

func (o *Outcome) exitCode() int {
	switch o.Result {
	case Refused, Failed:
		return report.ExitWrong
	case Queued, Unanswered, InProgress:
		return report.ExitUnknown
	}
	return report.ExitFine
}

// RollOf is the request to roll a key of a zone: of a role, or if none is given, of the only key that it has.
func RollOf(dir, zone string, role keyroll.Role, urgent bool) (keyroll.Request, error) {
	r := keyroll.Request{Verb: keyroll.RollKey, Role: role, Urgent: urgent}
	if role != 0 {
		return r, nil
	}
	state, err := keyfolder.New(dir).State(zone)
	if err != nil {
		return r, err
	}
	r.Role = keyroll.CSK
	for _, k := range state.Keys {
		if k.Role == keyroll.ZSK && (k.State == keyroll.Active || k.State == keyroll.Introduced) {
			return r, fmt.Errorf("%s has a KSK and a ZSK: write --ksk or --zsk", dnsname.Bare(zone))
		}
	}
	return r, nil
}
