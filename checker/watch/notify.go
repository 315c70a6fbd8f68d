package watch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/coredns-caa/caa/checker/verdict"
)

// Notifier notifies somebody.
type Notifier interface {
	Name() string
	// Notify sends what has changed and what is bad. An error means that it was not delivered.
	Notify(ctx context.Context, n News) error
	// Repeats reports whether each run sends what is bad again, so that a change that was not delivered need not be.
	Repeats() bool
}

// News is what is sent after a run.
type News struct {
	At      time.Time
	Changes []Change
	Bad     []Item
	Expires time.Time // when Bad ends unless it is sent again
}

// Limits of notifications.
const (
	notifyTime  = 10 * time.Second // for one try
	notifyTries = 3                // then the next run repeats it
	notifyPause = 2 * time.Second  // after the first failure; twice that after the second
)

// post sends JSON; any 2xx means that it was delivered. A request that is under way when the service ends is finished:
// otherwise it would be repeated after the restart.
func post(ctx context.Context, client *http.Client, url, token string, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), notifyTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(data))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	reply, _ := io.ReadAll(io.LimitReader(response.Body, 200))
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("HTTP status %s: %q", response.Status, reply)
	}
	return nil
}

// retried posts until it succeeds or has tried often enough.
func retried(ctx context.Context, try func() error) error {
	pause := notifyPause
	for n := 1; ; n++ {
		err := try()
		if err == nil || n == notifyTries || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
		pause *= 2
	}
}

// Webhook posts each change once, as `{"version": 1, "at": ..., "changes": [...]}`.
type Webhook struct {
	URL    string
	Token  string // a bearer's; "" for none
	Client *http.Client
}

// Name implements Notifier.
func (w Webhook) Name() string { return "webhook" }

// Repeats implements Notifier.
func (w Webhook) Repeats() bool { return false }

// Notify implements Notifier.
func (w Webhook) Notify(ctx context.Context, n News) error {
	if len(n.Changes) == 0 {
		return nil
	}
	message := struct {
		Version int       `json:"version"`
		At      time.Time `json:"at"`
		Changes []Change  `json:"changes"`
	}{1, n.At, n.Changes}
	return retried(ctx, func() error { return post(ctx, w.Client, w.URL, w.Token, message) })
}

// Alertmanager posts what is bad as alerts, at each run: Alertmanager itself sends each alert once, and ends those that
// are not repeated.
type Alertmanager struct {
	URL    string // without /api/v2/alerts
	Token  string
	Client *http.Client
}

// Name implements Notifier.
func (a Alertmanager) Name() string { return "alertmanager" }

// Repeats implements Notifier.
func (a Alertmanager) Repeats() bool { return true }

// alert is one of the API's postableAlerts.
type alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
}

// alertNames are those of the alerts by the outcome, the same as in the rules file.
var alertNames = map[string]struct{ name, severity string }{
	verdict.LockedOut.String(): {"CaacheckLockedOut", "critical"},
	verdict.AtRisk.String():    {"CaacheckAtRisk", "warning"},
	verdict.Unknown.String():   {"CaacheckUnknown", "warning"},
	notNamed:                   {"CaacheckNoLongerNamed", "warning"},
	"error":                    {"CaacheckError", "warning"},
}

// Notify implements Notifier.
func (a Alertmanager) Notify(ctx context.Context, n News) error {
	alerts := []alert{}
	for _, item := range n.Bad {
		alerts = append(alerts, asAlert(item.Condition, item.Now, item.Since, n.Expires))
	}
	for _, c := range n.Changes { // the alert of what it was ends
		if _, alerted := alertNames[c.Was.Outcome]; alerted && c.Was.Outcome != c.Now.Outcome {
			alerts = append(alerts, asAlert(c.Condition, c.Was, c.Since, n.At))
		}
	}
	if len(alerts) == 0 {
		return nil
	}
	return retried(ctx, func() error { return post(ctx, a.Client, a.URL+"/api/v2/alerts", a.Token, alerts) })
}

func asAlert(c Condition, s Status, starts, ends time.Time) alert {
	kind := alertNames[s.Outcome]
	labels := map[string]string{"alertname": kind.name, "severity": kind.severity, "name": c.Subject}
	for label, value := range map[string]string{"issuer": c.Issuer, "type": c.Type, "account": c.Account, "method": c.Method, "code": c.Code} {
		if value != "" {
			labels[label] = value
		}
	}
	if !starts.Before(ends) {
		starts = ends.Add(-time.Second) // the API wants an end after the start
	}
	return alert{labels, map[string]string{"summary": c.line(s), "description": s.Detail}, starts, ends}
}

// String returns the change in one line.
func (c Change) String() string {
	if c.Was.Outcome == notSeen {
		return c.line(c.Now) + "; first seen"
	}
	return fmt.Sprintf("%s; before: %s", c.line(c.Now), c.Was.Outcome)
}

// line returns a condition's status in one line.
func (c Condition) line(s Status) string {
	if c.Kind == kindFinding {
		return fmt.Sprintf("%s: %s (%s)", c.Subject, s.Outcome, c.Code)
	}
	issuer := c.Issuer
	switch {
	case issuer == "" && s.Outcome == verdict.LockedOut.String():
		issuer = "every CA"
	case issuer == "":
		issuer = "any CA"
	}
	if s.Reason == "" {
		return fmt.Sprintf("%s for %s: %s", issuer, c.Subject, s.Outcome)
	}
	return fmt.Sprintf("%s for %s: %s (%s)", issuer, c.Subject, s.Outcome, s.Reason)
}
