package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/api"
	"github.com/writ-run/writ/contract"
)

func step(id writ.StepID) writ.Record {
	return writ.Record{Type: writ.RecStepStarted, Step: id, Attempt: 1, Body: writ.Body{Started: &writ.StartedFacts{}}}
}

func ended() writ.Record {
	return writ.Record{Type: writ.RecExecutionEnded, Body: writ.Body{End: &writ.EndFacts{Status: writ.ExecCompleted}}}
}

var errEnough = errors.New("enough")

// read follows until it has n events.
func read(t *testing.T, c *api.Client, from api.FollowRequest, n int) (at []writ.Position, list []writ.Event) {
	t.Helper()
	err := c.Follow(t.Context(), from, func(p writ.Position, e *writ.Event) error {
		at, list = append(at, p), append(list, *e)
		if len(list) == n {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatalf("Follow: %v after %d events", err, len(list))
	}
	return at, list
}

func TestEventsResume(t *testing.T) {
	r := newRig(t, nil)
	r.traces.add("default", "exe_1", step("stp_1"))                     // 1
	r.traces.add("other", "exe_9", ended())                             // 2, of another tenant
	r.traces.add("default", "exe_2", ended())                           // 3
	r.traces.add("default", "exe_1", writ.Record{Type: writ.RecSealed}) // 4, no event
	r.traces.add("default", "exe_1", ended())                           // 5
	c := r.client(nil)
	at, list := read(t, c, api.FollowRequest{}, 3)
	if !slices.Equal(at, []writ.Position{1, 3, 5}) || list[0].Type != contract.EventStepStarted || list[1].Subject != "exe_2" {
		t.Fatalf("%v %+v", at, list)
	}
	var data contract.StepEvent
	if err := json.Unmarshal(list[0].Data, &data); err != nil || data.Name != "file" {
		t.Errorf("the step has no name: %+v, %v", data, err)
	}
	again, same := read(t, c, api.FollowRequest{After: 1}, 2)
	if !slices.Equal(again, []writ.Position{3, 5}) || same[0].ID != list[1].ID {
		t.Errorf("after 1: %v", again)
	}
	if only, _ := read(t, c, api.FollowRequest{Execution: "exe_1"}, 2); !slices.Equal(only, []writ.Position{1, 5}) {
		t.Errorf("of exe_1: %v", only)
	}
	eve := r.client(func(o *api.ClientOptions) { o.Token = "other" })
	if theirs, list := read(t, eve, api.FollowRequest{}, 1); theirs[0] != 2 || list[0].Tenant != "other" {
		t.Errorf("another tenant sees %v", theirs)
	}
}

func TestEventsGoOn(t *testing.T) {
	r := newRig(t, nil)
	r.traces.add("default", "exe_1", step("stp_1"))
	seen := 0
	err := r.client(nil).Follow(t.Context(), api.FollowRequest{}, func(p writ.Position, _ *writ.Event) error {
		if seen++; seen == 3 {
			return errEnough
		}
		r.traces.add("default", "exe_1", ended()) // written while the stream is open
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Error(err)
	}
}

func TestEventsEndWithTheToken(t *testing.T) {
	r := newRig(t, func(o *api.Options) { o.Heartbeat = time.Millisecond })
	r.traces.add("default", "exe_1", ended())
	err := r.client(nil).Follow(t.Context(), api.FollowRequest{}, func(writ.Position, *writ.Event) error {
		r.auth.revoke("good")
		return nil
	})
	if err != nil {
		t.Errorf("the host ends the stream in good order: %v", err)
	}
}

func TestEventsEndWithTheHost(t *testing.T) {
	r := newRig(t, nil)
	r.traces.add("default", "exe_1", ended())
	err := r.client(nil).Follow(t.Context(), api.FollowRequest{}, func(writ.Position, *writ.Event) error {
		go func() { _ = r.stop() }()
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := r.stop(); err != nil {
		t.Errorf("an open stream must not hold up the shutdown: %v", err)
	}
}

func TestEventsAreBounded(t *testing.T) {
	r := newRig(t, func(o *api.Options) { o.MaxStreams = 1 })
	r.traces.add("default", "exe_1", ended())
	c := r.client(nil)
	err := c.Follow(t.Context(), api.FollowRequest{}, func(writ.Position, *writ.Event) error {
		err := c.Follow(t.Context(), api.FollowRequest{}, func(writ.Position, *writ.Event) error { return nil })
		if !writ.IsCode(err, writ.CodeLimited) {
			t.Errorf("a second stream: %v", err)
		}
		// Operations have slots of their own.
		if _, err := c.Call(t.Context(), contract.ExecutionList.Key, nil); err != nil {
			t.Error(err)
		}
		return errEnough
	})
	if !errors.Is(err, errEnough) {
		t.Error(err)
	}
}

// gate is a Caller whose calls wait until they are let go.
type gate struct{ entered, leave chan struct{} }

func (g *gate) Call(ctx context.Context, _ string, _ json.RawMessage) (json.RawMessage, error) {
	g.entered <- struct{}{}
	select {
	case <-g.leave:
		return json.RawMessage(`{"status":"ok","changedAt":"2026-03-01T09:30:00.000000000Z","items":[]}`), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestShutdownDrains(t *testing.T) {
	g := &gate{make(chan struct{}), make(chan struct{})}
	r := newRig(t, func(o *api.Options) { o.Caller = g })
	c := r.client(nil)
	answered := make(chan error, 1)
	go func() {
		_, err := c.Call(context.Background(), contract.ExecutionList.Key, nil)
		answered <- err
	}()
	<-g.entered
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop() }()
	for { // the listeners close first
		resp, err := http.Get("http://" + r.addr + "/healthz")
		if err != nil {
			break
		}
		_ = resp.Body.Close()
	}
	select {
	case err := <-stopped:
		t.Fatalf("Serve returned (%v) while a request was in flight", err)
	default:
	}
	close(g.leave)
	if err := <-answered; err != nil {
		t.Errorf("the request in flight: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Serve: %v", err)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestShutdownCutsWhatTakesTooLong(t *testing.T) {
	g := &gate{make(chan struct{}), make(chan struct{})}
	r := newRig(t, func(o *api.Options) { o.Caller, o.DrainTimeout = g, time.Millisecond })
	c := r.client(nil)
	answered := make(chan error, 1)
	go func() {
		_, err := c.Call(context.Background(), contract.ExecutionList.Key, nil)
		answered <- err
	}()
	<-g.entered
	if err := r.stop(); !writ.IsCode(err, writ.CodeTimeout) {
		t.Errorf("Serve: %v", err)
	}
	if err := <-answered; !writ.IsCode(err, writ.CodeUnavailable) {
		t.Errorf("the request that was cut: %v", err)
	}
	r.stop = func() error { return nil }
}

func TestRequestTimeoutAndBound(t *testing.T) {
	g := &gate{make(chan struct{}, 1), make(chan struct{})}
	r := newRig(t, func(o *api.Options) { o.Caller, o.RequestTimeout = g, time.Millisecond })
	_, err := r.client(nil).Call(t.Context(), contract.ExecutionList.Key, nil)
	var e *writ.Error
	if !errors.As(err, &e) || e.Code != writ.CodeTimeout || e.Fix == "" {
		t.Errorf("got %v", err)
	}

	full := &gate{make(chan struct{}), make(chan struct{})}
	r = newRig(t, func(o *api.Options) { o.Caller, o.MaxInFlight = full, 1 })
	c := r.client(nil)
	first := make(chan error, 1)
	go func() {
		_, err := c.Call(context.Background(), contract.ExecutionList.Key, nil)
		first <- err
	}()
	<-full.entered
	if _, err := c.Call(t.Context(), contract.ExecutionList.Key, nil); !writ.IsCode(err, writ.CodeLimited) {
		t.Errorf("one past the bound: %v", err)
	}
	close(full.leave)
	if err := <-first; err != nil {
		t.Error(err)
	}
}

func TestSlowBodyIsCut(t *testing.T) {
	r := newRig(t, func(o *api.Options) { o.BodyTimeout = 10 * time.Millisecond })
	for token, status := range map[string]string{"good": " 408 ", "bad": " 401 "} { // refused or not, nobody is waited for
		lines := r.rawOpen("POST " + submit + " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + token + "\r\n" +
			"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
		if len(lines) != 1 || !strings.Contains(lines[0], status) {
			t.Errorf("%s: %q", token, lines)
		}
	}
}

// TestHostileBytes sends what a proxy and a server could read differently. No
// hidden second request may reach a handler.
func TestHostileBytes(t *testing.T) {
	n := itoa(len(intent))
	const head = "POST " + submit + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	const auth = "Authorization: Bearer good\r\n"
	hidden := "POST " + submit + " HTTP/1.1\r\nHost: localhost\r\n" + auth + "Content-Type: application/json\r\nContent-Length: " + n + "\r\n\r\n" + intent
	for name, tc := range map[string]struct {
		text  string
		calls int
	}{
		"two lengths":          {head + auth + "Content-Length: " + n + "\r\nContent-Length: 0\r\n\r\n" + intent, 0},
		"list of lengths":      {head + auth + "Content-Length: " + n + ", 0\r\n\r\n" + intent, 0},
		"signed length":        {head + auth + "Content-Length: +" + n + "\r\n\r\n" + intent, 0},
		"odd encoding":         {head + auth + "Transfer-Encoding: xchunked\r\n\r\n" + intent, 0},
		"two encodings":        {head + auth + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 0},
		"space before colon":   {head + "Authorization : Bearer good\r\nContent-Length: " + n + "\r\n\r\n" + intent, 0},
		"folded header":        {head + "Authorization:\r\n Bearer good\r\n X: y\r\nContent-Length: " + n + "\r\n\r\n" + intent, 0},
		"no host":              {"POST " + submit + " HTTP/1.1\r\n" + auth + "Content-Length: " + n + "\r\n\r\n" + intent, 0},
		"two hosts":            {head + "Host: localhost\r\n" + auth + "Content-Length: " + n + "\r\n\r\n" + intent, 0},
		"absolute foreign":     {"POST http://evil.example.net" + submit + " HTTP/1.1\r\nHost: localhost\r\n" + auth + "Content-Type: application/json\r\nContent-Length: " + n + "\r\n\r\n" + intent, 0},
		"body that is refused": {head + "Content-Length: " + itoa(len(hidden)) + "\r\n\r\n" + hidden, 0},
		"bad chunk":            {head + auth + "Transfer-Encoding: chunked\r\n\r\nzz\r\n" + hidden, 0},
		"endless chunk line":   {head + auth + "Transfer-Encoding: chunked\r\n\r\n1;" + strings.Repeat("x", 1<<16) + "\r\n", 0},
		"cut body":             {head + auth + "Content-Length: 1000\r\n\r\n" + intent, 0},
		"huge header":          {head + auth + "X: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", 0},
		"connect":              {"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\n\r\n", 0},
		"HTTP/2 preface":       {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0},
		"not HTTP":             {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 0},
		"upgrade":              {head + auth + "Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: " + n + "\r\n\r\n" + intent, 1},
		"pipelined":            {hidden + hidden, 2},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			lines := r.raw(tc.text)
			if n := len(r.calls); n != tc.calls {
				t.Errorf("%d calls, want %d: %q", n, tc.calls, lines)
			}
			for _, line := range lines {
				if tc.calls == 0 && strings.Contains(line, " 200 ") {
					t.Errorf("answered %q", lines)
				}
			}
		})
	}
}

func itoa(n int) string {
	raw, _ := json.Marshal(n)
	return string(raw)
}
