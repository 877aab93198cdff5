package api

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/writ-run/writ/contract"
)

// channelMeters are read when somebody asks. No channel has a label of its own.
type channelMeters struct {
	read func() contract.ChannelMeters
}

var (
	channelWaitingDesc  = prometheus.NewDesc("writ_channel_waiting", "Deliveries on disk that are not handled yet.", nil, nil)
	channelMessagesDesc = prometheus.NewDesc("writ_channel_messages_total", "Messages of channels that were handled, by outcome: submitted, ignored, refused, answered or decided.", []string{"outcome"}, nil)
	channelAgainDesc    = prometheus.NewDesc("writ_channel_repeated_total", "Deliveries that a provider sent again.", nil, nil)
	channelUnsaidDesc   = prometheus.NewDesc("writ_channel_outbox_waiting", "Messages on disk that wait to be said.", nil, nil)
	channelGivenUpDesc  = prometheus.NewDesc("writ_channel_outbox_given_up", "Messages that were given up, or of which nobody knows, and about which nobody has decided.", nil, nil)
)

// Describe implements prometheus.Collector.
func (channelMeters) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{channelWaitingDesc, channelMessagesDesc, channelAgainDesc, channelUnsaidDesc, channelGivenUpDesc} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m channelMeters) Collect(out chan<- prometheus.Metric) {
	now := m.read()
	out <- prometheus.MustNewConstMetric(channelWaitingDesc, prometheus.GaugeValue, float64(now.Waiting))
	out <- prometheus.MustNewConstMetric(channelAgainDesc, prometheus.CounterValue, float64(now.Repeated))
	out <- prometheus.MustNewConstMetric(channelUnsaidDesc, prometheus.GaugeValue, float64(now.Unsaid))
	out <- prometheus.MustNewConstMetric(channelGivenUpDesc, prometheus.GaugeValue, float64(now.GivenUp))
	for outcome, n := range now.Messages {
		out <- prometheus.MustNewConstMetric(channelMessagesDesc, prometheus.CounterValue, float64(n), string(outcome))
	}
}
