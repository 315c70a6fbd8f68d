package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coredns-caa/caa/checker/check"
	"github.com/coredns-caa/caa/checker/perspective"
	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/checker/watch"
)

// watchOptions are those of `caacheck watch` beside those of a single check.
type watchOptions struct {
	options
	listen, state                   string
	webhook, webhookToken           string
	alertmanager, alertmanagerToken string
	interval                        time.Duration
}

// watchFor is `caacheck watch`: it checks again and again until ctx ends.
func watchFor(ctx context.Context, args []string, std stdio) (int, error) {
	o := watchOptions{}
	fs := o.flags()
	fs.StringVar(&o.listen, "listen", "127.0.0.1:9853", "")
	fs.StringVar(&o.state, "state", "", "")
	fs.StringVar(&o.webhook, "webhook", "", "")
	fs.StringVar(&o.webhookToken, "webhook-token", "", "")
	fs.StringVar(&o.alertmanager, "alertmanager", "", "")
	fs.StringVar(&o.alertmanagerToken, "alertmanager-token", "", "")
	fs.DurationVar(&o.interval, "interval", watch.DefaultInterval, "")
	names, err := parse(fs, args)
	if err != nil {
		return 0, err
	}
	if o.json || o.verbose || o.names == "-" || o.junit+o.sarif+o.html+o.observations+o.history != "" {
		return 0, fmt.Errorf("caacheck watch writes no report (--json, -v, --junit, --sarif, --html, --observations, --history), and reads no names from standard input")
	}
	tried, err := o.prepare(ctx, names) // what is wrong already is told at once
	if err != nil {
		return 0, err
	}
	tried.perspectives.Close()
	notifiers, err := o.notifiers()
	if err != nil {
		return 0, err
	}
	w, err := watch.New(watch.Config{
		Interval: o.interval, State: o.state, Notifiers: notifiers, Log: logTo(std.err),
		Run: func(ctx context.Context) (*report.Report, error) {
			p, err := o.prepare(ctx, names)
			if err != nil {
				return nil, err
			}
			return p.run(ctx), nil
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

// prepared is one run's beginning: files may have changed since the last one, and nothing is remembered.
type prepared struct {
	at           time.Time
	jobs         []check.Job
	resolver     *resolve.Resolver
	perspectives *perspective.Set
	notes        []string
}

func (o watchOptions) prepare(ctx context.Context, names []string) (p prepared, err error) {
	if p.at, err = o.date(); err != nil {
		return p, err
	}
	if p.jobs, err = o.jobs(ctx, names, strings.NewReader("")); err != nil {
		return p, err
	}
	cfg, notes, err := o.config(ctx)
	if err != nil {
		return p, err
	}
	p.notes = append(notes, o.remarks(p.jobs)...)
	if p.resolver, err = resolve.New(cfg); err != nil {
		return p, err
	}
	p.perspectives, err = o.set(cfg, p.resolver)
	return p, err
}

func (p prepared) run(ctx context.Context) *report.Report {
	defer p.perspectives.Close()
	found := check.Run(ctx, p.resolver, p.jobs, check.Options{At: p.at, Perspectives: p.perspectives})
	found.Notes = slices.Concat(p.notes, found.Notes)
	return found
}

// notifiers are whom the command line names.
func (o watchOptions) notifiers() ([]watch.Notifier, error) {
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
				return nil, fmt.Errorf("--%s-token without --%s: there is nobody to show it to", n.flag, n.flag)
			}
			continue
		}
		u, err := url.Parse(n.url)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, fmt.Errorf("--%s is a URL, such as https://alerts.example.org", n.flag)
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
