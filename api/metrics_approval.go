package api

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// approvalMeters count how people decide. Rules are words of a policy, which could
// make up any number of them: a few hundred series are kept apart.
type approvalMeters struct {
	took    *prometheus.HistogramVec
	fast    *prometheus.CounterVec
	expired *prometheus.CounterVec

	mu    sync.Mutex
	rules map[string]bool
}

// maxRules bounds the series; the default policy has four rules that ask.
const maxRules = 64

// otherRules is the label of rules beyond them.
const otherRules = "(other)"

// fastDecision is faster than a request can be read.
const fastDecision = 3 * time.Second

func newApprovalMeters(registry *prometheus.Registry) *approvalMeters {
	m := &approvalMeters{
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "writ_approval_decision_seconds", Help: "Time from a request to a person's word, by rule, risk and what was said.",
			// From faster than reading to the day after which most requests expire.
			Buckets: []float64{1, 3, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600},
		}, []string{"rule", "risk", "outcome"}),
		fast: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "writ_approval_decisions_fast_total", Help: "Words less than 3 seconds after the request, by rule and risk.",
		}, []string{"rule", "risk"}),
		expired: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "writ_approvals_expired_total", Help: "Requests that nobody decided in time, by rule and risk.",
		}, []string{"rule", "risk"}),
		rules: map[string]bool{},
	}
	registry.MustRegister(m.took, m.fast, m.expired)
	return m
}

// label is the rule, as long as there are not too many.
func (m *approvalMeters) label(rule string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.rules[rule] {
		if len(m.rules) >= maxRules {
			return otherRules
		}
		m.rules[rule] = true
	}
	return rule
}

// Decided counts a person's word on an approval, or a deadline that passed.
func (s *Server) Decided(sample contract.ApprovalSample) {
	m := s.meters.approvalMeters
	for _, rule := range sample.Rules {
		rule, risk := m.label(rule), string(sample.Risk)
		if sample.Outcome == writ.ApprovalExpired {
			m.expired.WithLabelValues(rule, risk).Inc()
			continue
		}
		outcome := string(sample.Outcome)
		if sample.Edited {
			outcome = "edited"
		}
		m.took.WithLabelValues(rule, risk, outcome).Observe(sample.Took.Seconds())
		if sample.Took < fastDecision {
			m.fast.WithLabelValues(rule, risk).Inc()
		}
	}
}
