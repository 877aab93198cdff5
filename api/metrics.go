package api

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// meters count requests. Their labels are a contract's key or a route's pattern,
// and a code: closed sets, nothing of a tenant.
type meters struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	streams  prometheus.Gauge
	failures *prometheus.CounterVec
	refusals *prometheus.CounterVec
	spent    *prometheus.CounterVec
	*approvalMeters
}

func newMeters(opts *Options) *meters {
	registry := opts.Metrics
	m := &meters{
		registry: registry,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "writ_requests_total", Help: "Requests by operation and code; ok is success.",
		}, []string{"operation", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "writ_request_duration_seconds", Help: "Time to answer, by operation.",
			// A durable answer takes about a millisecond; an operation may wait two minutes.
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5, 30, 120},
		}, []string{"operation"}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{Name: "writ_event_streams", Help: "Open event streams."}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "writ_authentication_failures_total", Help: "Tokens and client certificates that were refused, by door (tcp, unix) and reason (invalid, throttled).",
		}, []string{"door", "reason"}),
	}
	m.refusals = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "writ_budget_refusals_total", Help: "Steps and calls that a budget refused, by its scope and kind.",
	}, []string{"scope", "kind"})
	m.spent = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "writ_budgets_exhausted_total", Help: "Spans in which a budget refused something, by its scope and kind.",
	}, []string{"scope", "kind"})
	registry.MustRegister(m.requests, m.duration, m.streams, m.failures, m.refusals, m.spent)
	if opts.Findings != nil {
		registry.MustRegister(findingsGauge{opts.Findings})
	}
	if opts.Hooks != nil {
		registry.MustRegister(hookMeters{opts.Hooks})
	}
	if opts.Channels != nil {
		registry.MustRegister(channelMeters{opts.Channels})
	}
	m.approvalMeters = newApprovalMeters(registry)
	return m
}

// findingsGauge says how many findings of drift there were at the last look. A code
// that has none is not shown.
type findingsGauge struct {
	counts func() map[contract.DriftCode]int
}

var findingsDesc = prometheus.NewDesc("writ_drift_findings", "Findings of drift at the last look, by code.", []string{"code"}, nil)

// Describe implements prometheus.Collector.
func (findingsGauge) Describe(out chan<- *prometheus.Desc) { out <- findingsDesc }

// Collect implements prometheus.Collector.
func (g findingsGauge) Collect(out chan<- prometheus.Metric) {
	for code, n := range g.counts() {
		out <- prometheus.MustNewConstMetric(findingsDesc, prometheus.GaugeValue, float64(n), string(code))
	}
}

func (m *meters) observe(operation, code string, took time.Duration) {
	m.requests.WithLabelValues(operation, code).Inc()
	m.duration.WithLabelValues(operation).Observe(took.Seconds())
}

// Refused counts what a budget refused.
func (s *Server) Refused(by writ.BudgetUse) {
	labels := []string{string(by.Scope), string(by.Kind)}
	s.meters.refusals.WithLabelValues(labels...).Inc()
	if by.First {
		s.meters.spent.WithLabelValues(labels...).Inc()
	}
}

func (s *Server) metrics(w http.ResponseWriter, r *http.Request) error {
	promhttp.HandlerFor(s.meters.registry, promhttp.HandlerOpts{}).ServeHTTP(w, r)
	return nil
}
