package main

import (
	"crypto/tls"
	"net/http"
	"net/netip"
	"time"

	"github.com/writ-run/writ/egress"
)

// talksTo is a client of channels that connects to what admit lets it; nil: to everything,
// as to upstreams, which the operator named. It holds no connection: one that died
// meanwhile would make an outcome unknown. No proxy of the environment is between.
func talksTo(admit func(netip.Addr) bool) *http.Client {
	if admit == nil {
		admit = func(netip.Addr) bool { return true }
	}
	d := &egress.Dialer{Resolver: egress.System(), Admit: admit}
	return &http.Client{Transport: &http.Transport{
		DialContext: d.Dial, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true, DisableKeepAlives: true,
		TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10,
	}}
}
