package api

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/writ-run/writ/contract"
)

// hookMeters are read when somebody asks. Their labels are closed sets; no hook has a
// label of its own.
type hookMeters struct {
	read func() contract.HookMeters
}

var (
	hooksDesc        = prometheus.NewDesc("writ_hooks", "Notification hooks by state: active, failing or disabled.", []string{"state"}, nil)
	hookBehindDesc   = prometheus.NewDesc("writ_hook_behind_positions", "Positions on disk that a notification hook has not come to, of the one that is furthest behind.", nil, nil)
	hookFailingDesc  = prometheus.NewDesc("writ_hook_failing_seconds", "Time since the event that a notification hook stands at was first tried, the longest; 0 where all were taken.", nil, nil)
	hookDeadDesc     = prometheus.NewDesc("writ_hook_dead_letters", "Events that notification hooks have given up and nobody has looked at.", nil, nil)
	hookAttemptsDesc = prometheus.NewDesc("writ_hook_attempts_total", "Attempts to deliver an event, by outcome: delivered, later, refused, fault or gone.", []string{"outcome"}, nil)
)

// Describe implements prometheus.Collector.
func (hookMeters) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{hooksDesc, hookBehindDesc, hookFailingDesc, hookDeadDesc, hookAttemptsDesc} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m hookMeters) Collect(out chan<- prometheus.Metric) {
	now := m.read()
	for state, n := range now.States {
		out <- prometheus.MustNewConstMetric(hooksDesc, prometheus.GaugeValue, float64(n), string(state))
	}
	out <- prometheus.MustNewConstMetric(hookBehindDesc, prometheus.GaugeValue, float64(now.Behind))
	out <- prometheus.MustNewConstMetric(hookFailingDesc, prometheus.GaugeValue, now.Failing)
	out <- prometheus.MustNewConstMetric(hookDeadDesc, prometheus.GaugeValue, float64(now.DeadLetters))
	for outcome, n := range now.Attempts {
		out <- prometheus.MustNewConstMetric(hookAttemptsDesc, prometheus.CounterValue, float64(n), outcome)
	}
}
