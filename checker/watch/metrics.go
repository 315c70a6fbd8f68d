package watch

import (
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/coredns-caa/caa/checker/verdict"
)

// MaxSeries bounds the series of caacheck_finding, and those of caacheck_verdict_reason: names and servers of others are
// among their labels. The worst have series; caacheck_series_left_out counts the others.
const MaxSeries = 1000

// Metric is a metric with its labels.
type Metric struct {
	Name   string
	Labels []string
	Help   string
	desc   *prometheus.Desc
}

func metric(name, help string, labels ...string) Metric {
	name = "caacheck_" + name
	return Metric{name, labels, help, prometheus.NewDesc(name, help, labels, nil)}
}

// The metrics, of the last run that had a result unless they say otherwise.
var (
	verdictMetric      = metric("verdict", "1 for the outcome of a request, 0 for the other outcomes.", "name", "issuer", "type", "account", "method", "outcome")
	reasonMetric       = metric("verdict_reason", "1 for the reason of a verdict that is not \"may issue\"; at most 1000 series.", "name", "issuer", "type", "account", "method", "reason")
	findingMetric      = metric("finding", "1 for each code and subject of the findings; at most 1000 series, errors first.", "code", "subject", "severity")
	findingsMetric     = metric("findings", "Number of findings.", "severity")
	leftOutMetric      = metric("series_left_out", "Number of series that a metric would have beyond its limit.", "metric")
	signaturesMetric   = metric("signatures_end_timestamp_seconds", "When the first of a zone's observed signatures expires.", "zone")
	validityMetric     = metric("signatures_validity_seconds", "How long that signature is valid, from its inception to its expiration.", "zone")
	unansweredMetric   = metric("perspective_unanswered_requests", "Number of requests about which a perspective determined nothing.", "perspective")
	namesMetric        = metric("names", "Number of names checked.")
	completeMetric     = metric("last_run_timestamp_seconds", "When the last run that had a result ended.")
	tookMetric         = metric("last_run_duration_seconds", "How long it took.")
	intervalMetric     = metric("interval_seconds", "Time between the starts of two runs.")
	runsMetric         = metric("runs_total", "Number of runs, by result: completed or failed.", "result")
	notificationMetric = metric("notifications_total", "Number of notifications, by notifier and result: delivered or failed.", "notifier", "result")
	buildMetric        = metric("build_info", "1, with the version of caacheck in the labels.", "version", "revision", "goversion")
)

// Metrics returns all of them.
func Metrics() []Metric {
	return []Metric{
		verdictMetric, reasonMetric, findingMetric, findingsMetric, leftOutMetric, signaturesMetric, validityMetric, unansweredMetric, namesMetric,
		completeMetric, tookMetric, intervalMetric, runsMetric, notificationMetric, buildMetric,
	}
}

// Build is what caacheck_build_info shows.
type Build struct{ Version, Revision, GoVersion string }

// Describe implements prometheus.Collector.
func (w *Watcher) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range Metrics() {
		ch <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (w *Watcher) Collect(ch chan<- prometheus.Metric) {
	w.mu.Lock()
	last := w.last
	gauge := func(m Metric, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, value, labels...)
	}
	counter := func(m Metric, value int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(m.desc, prometheus.CounterValue, float64(value), labels...)
	}
	gauge(buildMetric, 1, w.cfg.Build.Version, w.cfg.Build.Revision, w.cfg.Build.GoVersion)
	gauge(intervalMetric, w.cfg.Interval.Seconds())
	for _, result := range []string{"completed", "failed"} {
		counter(runsMetric, w.counts[count{"run", result}], result)
	}
	for _, n := range w.cfg.Notifiers {
		for _, result := range []string{"delivered", "failed"} {
			counter(notificationMetric, w.counts[count{n.Name(), result}], n.Name(), result)
		}
	}
	w.mu.Unlock()
	if last == nil {
		return
	}
	gauge(completeMetric, float64(last.ended.UnixNano())/1e9)
	gauge(tookMetric, last.took.Seconds())
	last.found.collect(gauge)
}

// collect gives each series once.
func (m measured) collect(gauge func(Metric, float64, ...string)) {
	gauge(namesMetric, float64(m.names))
	for c, o := range m.verdicts {
		for _, other := range verdict.Outcomes() {
			value := 0.0
			if other == o.Outcome {
				value = 1
			}
			gauge(verdictMetric, value, c.Subject, c.Issuer, c.Type, c.Account, c.Method, other.String())
		}
	}
	reasons := m.reasons()
	for _, c := range reasons[:min(len(reasons), MaxSeries)] {
		gauge(reasonMetric, 1, c.Subject, c.Issuer, c.Type, c.Account, c.Method, m.verdicts[c].reason)
	}
	for _, s := range m.series[:min(len(m.series), MaxSeries)] {
		gauge(findingMetric, 1, s.code, s.subject, s.severity.String())
	}
	gauge(leftOutMetric, float64(max(len(reasons)-MaxSeries, 0)), reasonMetric.Name)
	gauge(leftOutMetric, float64(max(len(m.series)-MaxSeries, 0)), findingMetric.Name)
	for severity, n := range m.findings {
		gauge(findingsMetric, float64(n), severity.String())
	}
	for name, n := range m.unanswered {
		gauge(unansweredMetric, float64(n), name)
	}
	for zone, end := range m.ends {
		gauge(signaturesMetric, float64(end.At.Unix()), zone)
		gauge(validityMetric, end.At.Sub(end.From).Seconds(), zone)
	}
}

// Handler serves /metrics and /healthz: 200 while the service works, 503 otherwise.
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
