package watch

import (
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/coredns-caa/caa/checker/quorum"
	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/checker/verdict"
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("caacheck_"+name, help, labels, nil)
}

// The metrics, read from the last run that brought a report.
var (
	verdictDesc      = desc("verdict", "1 for the outcome of a request at the last run, 0 for the others.", "name", "issuer", "type", "account", "method", "outcome")
	findingsDesc     = desc("findings", "What must be mended, by severity.", "severity")
	signaturesDesc   = desc("signatures_end_timestamp_seconds", "When the first of a zone's signatures that were seen ends.", "zone")
	silentDesc       = desc("perspective_silent_requests", "Requests that a perspective could not find anything out about.", "perspective")
	namesDesc        = desc("names", "Names checked at the last run.")
	completeDesc     = desc("last_run_timestamp_seconds", "When the last run that brought a report ended.")
	tookDesc         = desc("last_run_duration_seconds", "How long it took.")
	intervalDesc     = desc("interval_seconds", "Between the starts of two runs.")
	runsDesc         = desc("runs_total", "Runs, by result: completed or failed.", "result")
	notificationDesc = desc("notifications_total", "Notifications, by whom and result: delivered or failed.", "notifier", "result")
)

var outcomes = []verdict.Outcome{verdict.Unknown, verdict.MayIssue, verdict.AtRisk, verdict.LockedOut}

// Describe implements prometheus.Collector.
func (w *Watcher) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{verdictDesc, findingsDesc, signaturesDesc, silentDesc, namesDesc, completeDesc, tookDesc, intervalDesc, runsDesc, notificationDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (w *Watcher) Collect(ch chan<- prometheus.Metric) {
	w.mu.Lock()
	last := w.last
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	gauge(intervalDesc, w.cfg.Interval.Seconds())
	for _, result := range []string{"completed", "failed"} {
		ch <- prometheus.MustNewConstMetric(runsDesc, prometheus.CounterValue, float64(w.counts[count{"run", result}]), result)
	}
	for _, n := range w.cfg.Notifiers {
		for _, result := range []string{"delivered", "failed"} {
			ch <- prometheus.MustNewConstMetric(notificationDesc, prometheus.CounterValue, float64(w.counts[count{n.Name(), result}]), n.Name(), result)
		}
	}
	w.mu.Unlock()
	if last == nil {
		return
	}
	gauge(completeDesc, float64(last.ended.UnixNano())/1e9)
	gauge(tookDesc, last.took.Seconds())
	gauge(namesDesc, float64(len(last.report.Names)))
	collect(last.report, gauge)
}

// collect reads a report, each series once.
func collect(r *report.Report, gauge func(*prometheus.Desc, float64, ...string)) {
	silent, ends := map[string]int{}, map[string]time.Time{}
	verdicts := map[Condition]verdict.Outcome{}
	for _, n := range r.Names {
		for _, v := range n.Verdicts {
			verdicts[conditionOf(n, v)] = v.Outcome
			if v.Corroboration == nil {
				continue
			}
			for _, s := range v.Corroboration.Sights {
				silent[s.Perspective] += 0
				if s.View == quorum.Unknown {
					silent[s.Perspective]++
				}
			}
		}
		for _, z := range n.Zones {
			for _, e := range z.Ends {
				if was, known := ends[text(z.Name)]; !known || e.At.Before(was) {
					ends[text(z.Name)] = e.At
				}
			}
		}
	}
	for c, outcome := range verdicts {
		for _, o := range outcomes {
			value := 0.0
			if o == outcome {
				value = 1
			}
			gauge(verdictDesc, value, c.Subject, c.Issuer, c.Type, c.Account, c.Method, o.String())
		}
	}
	severities := map[string]int{"error": 0, "warning": 0, "info": 0}
	for _, f := range r.Findings {
		severities[f.Severity.String()]++
	}
	for severity, n := range severities {
		gauge(findingsDesc, float64(n), severity)
	}
	for name, n := range silent {
		gauge(silentDesc, float64(n), name)
	}
	for zone, at := range ends {
		gauge(signaturesDesc, float64(at.Unix()), zone)
	}
}

// Handler serves /metrics and /healthz: 200 while the service does its work, 503 otherwise.
func (w *Watcher) Handler() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(w)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(rw http.ResponseWriter, _ *http.Request) {
		if err := w.Healthy(); err != nil {
			http.Error(rw, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(rw, "ok")
	})
	return mux
}
