//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/writ-run/writ/bench/peers/process"
)

// subject is one engine: the processes that it takes, and what is asked of it.
type subject struct {
	name    string
	version string
	sync    string // what makes its commits durable
	specs   []process.Spec
	before  func(ctx context.Context) error // after the first spec is started; may be nil
	check   func(ctx context.Context) error // whether executions really do what is measured; may be nil
	routes  []*route
	floor   *route // a request that does nothing durable; may be nil

	running []*process.Process
}

// route is a kind of execution.
type route struct {
	name string
	url  string
	body string
	want string // part of the right answer
	auth string
	ours bool

	client *http.Client
}

// newRoute has connections for as many clients as a measurement uses.
func newRoute(name, url, body, want string) *route {
	transport := &http.Transport{MaxIdleConnsPerHost: manyClients, MaxConnsPerHost: manyClients}
	return &route{name: name, url: url, body: body, want: want, client: &http.Client{Transport: transport, Timeout: 60 * time.Second}}
}

// send asks for one execution and waits for its answer.
func (r *route) send(ctx context.Context) error {
	_, err := r.ask(ctx)
	return err
}

func (r *route) ask(ctx context.Context) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, bytes.NewReader([]byte(r.body)))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	if r.auth != "" {
		request.Header.Set("Authorization", "Bearer "+r.auth)
	}
	response, err := r.client.Do(request)
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return nil, err
	}
	const shown = 500
	if response.StatusCode != http.StatusOK || !bytes.Contains(answer, []byte(r.want)) {
		return nil, fmt.Errorf("%s: answered %d %s", r.name, response.StatusCode, answer[:min(len(answer), shown)])
	}
	return answer, nil
}

// start runs the processes and returns how long it took until the first
// execution was answered.
func (s *subject) start(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	for i, spec := range s.specs {
		p, err := process.Start(spec)
		if err != nil {
			return 0, err
		}
		s.running = append(s.running, p)
		if i == 0 && s.before != nil {
			if err := s.poll(ctx, s.before); err != nil {
				return 0, err
			}
		}
	}
	if err := s.poll(ctx, s.routes[0].send); err != nil {
		return 0, err
	}
	return time.Since(began), nil
}

// poll tries until it works, for as long as a first start may take.
func (s *subject) poll(ctx context.Context, try func(context.Context) error) error {
	const patience, pause = 60 * time.Second, 2 * time.Millisecond
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := try(limited)
		if err == nil {
			return nil
		}
		for _, p := range s.running {
			if ended := p.Ended(); ended != nil {
				return fmt.Errorf("%s: %w", s.name, ended)
			}
		}
		select {
		case <-limited.Done():
			return fmt.Errorf("%s is not ready after %s: %w", s.name, patience, errors.Join(err, context.Cause(ctx)))
		case <-time.After(pause):
		}
	}
}

// stop ends the processes, the last started first.
func (s *subject) stop() {
	for _, r := range s.routes {
		r.client.CloseIdleConnections()
	}
	for i := len(s.running) - 1; i >= 0; i-- {
		s.running[i].Stop()
	}
	s.running = nil
}
