package caa

import (
	"sync"

	"github.com/coredns/coredns/plugin"
	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics, by CoreDNS's conventions (plugin.md): what is counted as it happens. What is a state is
// read when somebody asks for it (collector.go). The registry keeps one of each for the process.
var (
	queryCount = promauto.NewCounterVec(prometheus.CounterOpts{
		Namespace: plugin.Namespace, Subsystem: pluginName, Name: "queries_total",
		Help: "Queries for a zone of a caa block, by type: those that decide about an issuance, or other.",
	}, []string{"server", "zone", "type"})
	failureCount = promauto.NewCounterVec(prometheus.CounterOpts{
		Namespace: plugin.Namespace, Subsystem: pluginName, Name: "failures_total",
		Help: "Queries answered with SERVFAIL: no valid signature could be made, the zone's keys are missing, or the next plugin gave no answer.",
	}, []string{"server", "zone"})
	reloadCount = promauto.NewCounterVec(prometheus.CounterOpts{
		Namespace: plugin.Namespace, Subsystem: pluginName, Name: "policy_reloads_total",
		Help: "Changes of the policy file, by outcome: accepted, refused, unreadable, waiting.",
	}, []string{"file", "outcome"})
)

// relevant are the types that decide about an issuance; all others count as "other", so that a
// flood of odd types makes no new series.
var relevant = map[uint16]string{
	dns.TypeCAA:    "CAA",
	dns.TypeDNSKEY: "DNSKEY",
	dns.TypeDS:     "DS",
	dns.TypeTXT:    "TXT", // dns-01 (RFC 8555 8.4)
	dns.TypeCNAME:  "CNAME",
	dns.TypeNS:     "NS",
	dns.TypeSOA:    "SOA",
	dns.TypeA:      "A",
	dns.TypeAAAA:   "AAAA",
}

const otherType = "other"

// meter holds one zone's counters, each resolved when it first counts: a look-up by labels at every
// query would cost more than the answer, and resolving all at once would cost memory for zones that
// nobody asks.
type meter struct {
	zone     string
	counters sync.Map // counterKey to prometheus.Counter
}

type counterKey struct{ server, kind string }

// query counts a question that came in at one of CoreDNS's server addresses.
func (m *meter) query(server string, qtype uint16) {
	kind, ok := relevant[qtype]
	if !ok {
		kind = otherType
	}
	key := counterKey{server, kind}
	counter, ok := m.counters.Load(key)
	if !ok {
		counter, _ = m.counters.LoadOrStore(key, queryCount.WithLabelValues(server, m.zone, kind))
	}
	counter.(prometheus.Counter).Inc()
}

// failed counts a question that no valid signature could be made for.
func (m *meter) failed(server string) { failureCount.WithLabelValues(server, m.zone).Inc() }
