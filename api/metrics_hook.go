package api

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/writ-run/writ/contract"
)

// hookMeters are read when somebody asks. Their labels are the names of the
// configuration, of which there are a few, and a closed set of outcomes.
type hookMeters struct {
	read func() []contract.HookMeter
}

var (
	hookBehindDesc   = prometheus.NewDesc("writ_hook_behind_records", "Records on disk that a notification hook has not looked at.", []string{"hook"}, nil)
	hookDisabledDesc = prometheus.NewDesc("writ_hook_disabled", "1 where the receiver of a notification hook said that it is gone.", []string{"hook"}, nil)
	hookFailingDesc  = prometheus.NewDesc("writ_hook_failing_seconds", "Time since the event that a notification hook stands at was first tried; 0 where it was taken.", []string{"hook"}, nil)
	hookDeadDesc     = prometheus.NewDesc("writ_hook_dead_letters", "Events that a notification hook has given up and nobody has looked at.", []string{"hook"}, nil)
	hookAttemptsDesc = prometheus.NewDesc("writ_hook_attempts_total", "Attempts to deliver an event, by hook and outcome: delivered, later, refused, fault or gone.", []string{"hook", "outcome"}, nil)
)

// Describe implements prometheus.Collector.
func (hookMeters) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{hookBehindDesc, hookDisabledDesc, hookFailingDesc, hookDeadDesc, hookAttemptsDesc} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m hookMeters) Collect(out chan<- prometheus.Metric) {
	for _, h := range m.read() {
		gauge := func(d *prometheus.Desc, v float64) {
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, h.Name)
		}
		disabled := 0.0
		if h.Disabled {
			disabled = 1
		}
		gauge(hookBehindDesc, float64(h.Behind))
		gauge(hookDisabledDesc, disabled)
		gauge(hookFailingDesc, h.Failing)
		gauge(hookDeadDesc, float64(h.DeadLetters))
		for outcome, n := range h.Attempts {
			out <- prometheus.MustNewConstMetric(hookAttemptsDesc, prometheus.CounterValue, float64(n), h.Name, outcome)
		}
	}
}
