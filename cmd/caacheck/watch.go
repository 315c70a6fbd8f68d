package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coredns-caa/caa/checker/check"
	"github.com/coredns-caa/caa/checker/perspective"
	"github.com/coredns-caa/caa/checker/resign"
	"github.com/coredns-caa/caa/checker/watch"
)

// watchOptions are those of caacheck watch in addition to those of a check.
type watchOptions struct {
	options
	listen, state                   string
	webhook, webhookToken           string
	alertmanager, alertmanagerToken string
	interval                        time.Duration
}

// watchCommand is caacheck watch.
func watchCommand(f *flags) action {
	o := new(watchOptions)
	o.requestFlags(f.group(whatToCheck))
	fs := f.group(service)
	duration(fs, &o.interval, "interval", watch.DefaultInterval, "the time between the starts of two runs, at least 1m")
	fs.StringVar(&o.state, "state", "", "keep in `FOLDER` what was notified, so that a restart does not repeat it")
	fs.StringVar(&o.listen, "listen", "127.0.0.1:9853", "serve /metrics and /healthz on `ADDRESS`")
	fs.StringVar(&o.webhook, "webhook", "", "post each change once, as JSON, to `URL`")
	fs.StringVar(&o.webhookToken, "webhook-token", "", "the webhook's bearer token, the only line of `FILE`")
	fs.StringVar(&o.alertmanager, "alertmanager", "", "post alerts to the Alertmanager at `URL`, by its API v2")
	fs.StringVar(&o.alertmanagerToken, "alertmanager-token", "", "the Alertmanager's bearer token, the only line of `FILE`")
	o.perspectiveFlags(f.group(whereToAsk))
	o.targetFlags(f.group(whereToAsk))
	o.askFlags(f)
	return o.watch
}

// watch checks at intervals until ctx ends.
func (o *watchOptions) watch(ctx context.Context, names []string, std stdio) (int, error) {
	if o.names == standardOutput {
		return 0, errors.New("--names - is for a single check: caacheck watch reads the names before each run")
	}
	notifiers, err := o.notifiers()
	if err != nil {
		return 0, err
	}
	tried, err := o.prepare(ctx, names, nil) // a mistake in the files or the command line ends the command
	if err != nil {
		return 0, err
	}
	tried.Close()
	w, err := watch.New(watch.Config{
		Interval: o.interval, State: o.state, Notifiers: notifiers, Log: logTo(std.err), Build: thisBuild(),
		Run: func(ctx context.Context, signed resign.History) (*check.Result, error) {
			session, err := o.prepare(ctx, names, signed)
			if err != nil {
				return nil, err
			}
			defer session.Close()
			return session.Run(ctx, check.Progress{}), nil
		},
	})
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Watch(ctx)
	}()
	code, err := serve(ctx, std, &http.Server{Handler: w.Handler(), WriteTimeout: answerTime}, o.listen)
	cancel() // also where the server could not start
	<-done
	return code, err
}

// prepare begins one run. It reads all files again, and keeps nothing of earlier runs except when zones were signed.
func (o *watchOptions) prepare(ctx context.Context, names []string, signed resign.History) (*check.Session, error) {
	plan, err := o.plan(ctx, names, strings.NewReader(""))
	if err != nil {
		return nil, err
	}
	plan.Signing = signed
	return check.Prepare(ctx, plan)
}

// notifiers are those of the command line.
func (o *watchOptions) notifiers() ([]watch.Notifier, error) {
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	var out []watch.Notifier
	for _, n := range []struct {
		flag, url, token string
		of               func(url, token string) watch.Notifier
	}{
		{"webhook", o.webhook, o.webhookToken, func(url, token string) watch.Notifier { return watch.Webhook{URL: url, Token: token, Client: client} }},
		{"alertmanager", o.alertmanager, o.alertmanagerToken, func(url, token string) watch.Notifier {
			return watch.Alertmanager{URL: strings.TrimSuffix(url, "/"), Token: token, Client: client}
		}},
	} {
		if n.url == "" {
			if n.token != "" {
				return nil, fmt.Errorf("--%s-token needs --%s", n.flag, n.flag)
			}
			continue
		}
		u, err := url.Parse(n.url)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, fmt.Errorf("invalid --%s %q: want a URL, such as https://alerts.example.org", n.flag, n.url)
		}
		secret := ""
		if n.token != "" {
			if secret, err = perspective.ReadToken(n.token); err != nil {
				return nil, err
			}
		}
		out = append(out, n.of(n.url, secret))
	}
	return out, nil
}
