//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/writ-run/writ/bench/home"
	"github.com/writ-run/writ/channel/webhook"
	"github.com/writ-run/writ/contract"
)

const (
	webhookSecret = "whsec_YmVuY2htYXJrIGJlbmNobWFyayBiZW5jaG1hcms="
	webhookPath   = "/webhooks/webhook/bench"
	// floodRate is held for floodTime where -flood is given.
	floodRate, floodTime = 2000, time.Minute
	floodClients         = 64
	stormDeliveries      = 5000 // each of them sent stormTimes
	stormTimes           = 10
)

// door is a daemon with one channel, and a client of it.
type door struct {
	*served
	base   string
	http   *http.Client
	sent   atomic.Int64
	failed atomic.Int64 // answers that were not 202
}

// openDoor starts `writ serve` with a channel whose events each set off a step in C.
func (s *suite) openDoor(ctx context.Context, dir string) (*door, error) {
	h, err := home.New(ctx, s.program, dir)
	if err != nil {
		return nil, err
	}
	bundle := filepath.Join(dir, "c.skill")
	if err := errors.Join(home.Build(ctx, s.program, "c", bundle), h.Install(ctx, bundle), h.Channel(ctx, webhookSecret, chain(conformance("c"), 1))); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	d := &door{
		served: &served{client: socketClient(h.Socket())}, base: "http://" + address,
		http: &http.Client{Timeout: startTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: floodClients}},
	}
	if d.token, err = h.Token(); err != nil {
		return nil, err
	}
	_, err = d.start(ctx, h.Daemon("--listen", address))
	return d, err
}

// deliver sends one delivery; the same id is the same delivery. 202 is its durable
// acknowledgement.
func (d *door) deliver(ctx context.Context, id string) error {
	body := []byte(`{"type":"note.written","data":{"thread":"` + id[len(id)-1:] + `","text":"` + id + `"}}`)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.base+webhookPath, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for name, values := range webhook.Sign([]byte(webhookSecret), id, body, time.Now()) {
		r.Header[name] = values
	}
	answer, err := d.http.Do(r)
	if err != nil {
		return err
	}
	said, err := io.ReadAll(answer.Body)
	err = errors.Join(err, answer.Body.Close())
	if err == nil && answer.StatusCode != http.StatusAccepted {
		d.failed.Add(1)
		err = fmt.Errorf("%s was answered with %d: %s", id, answer.StatusCode, said)
	}
	d.sent.Add(1)
	return err
}

// webhooks measures from a signed request to its durable acknowledgement, over TCP on
// loopback, while what earlier ones set off runs beside it.
func (s *suite) webhooks(ctx context.Context, span time.Duration) ([]row, error) {
	dir, err := os.MkdirTemp("", "writ-webhooks-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	d, err := s.openDoor(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer d.stop()
	var rows []row
	for _, clients := range []int{1, 32} {
		took, err := d.measure(ctx, clients, span)
		if err != nil {
			return nil, err
		}
		target := map[int]float64{1: 5, 32: 20}[clients]
		name := fmt.Sprintf("webhook to durable acknowledgement (fsync), %d clients: ", clients)
		rows = append(rows,
			row{name + "p50", milliseconds(quantile(took, 0.5)), "ms", 0, "lower"},
			row{name + "p95", milliseconds(quantile(took, 0.95)), "ms", target, "lower"},
			row{name + "rate", float64(len(took)) / span.Seconds(), "/s", 0, "higher"})
	}
	if _, err := d.drained(ctx); err != nil {
		return nil, err
	}
	storm, err := d.storm(ctx)
	if err != nil || !s.flood {
		return append(rows, storm...), err
	}
	flood, err := d.flood(ctx)
	return append(append(rows, storm...), flood...), err
}

func (d *door) measure(ctx context.Context, clients int, span time.Duration) ([]time.Duration, error) {
	var mu sync.Mutex
	var all []time.Duration
	var errs []error
	var wg sync.WaitGroup
	end := time.Now().Add(span)
	for c := range clients {
		wg.Go(func() {
			var took []time.Duration
			var err error
			for i := 0; err == nil && time.Now().Before(end); i++ {
				began := time.Now()
				err = d.deliver(ctx, fmt.Sprintf("m-%d-%d-%d", clients, c, i))
				took = append(took, time.Since(began))
			}
			mu.Lock()
			defer mu.Unlock()
			all, errs = append(all, took...), append(errs, err)
		})
	}
	wg.Wait()
	sortDurations(all)
	return all, errors.Join(errs...)
}

// storm sends the same deliveries again and again from many clients at once, and counts
// the executions that came of them.
func (d *door) storm(ctx context.Context) ([]row, error) {
	before, err := d.executions(ctx)
	if err != nil {
		return nil, err
	}
	if err := d.each(floodClients, stormDeliveries*stormTimes, func(i int) error {
		return d.deliver(ctx, fmt.Sprintf("storm-%d", i%stormDeliveries))
	}); err != nil {
		return nil, err
	}
	if _, err := d.drained(ctx); err != nil {
		return nil, err
	}
	after, err := d.executions(ctx)
	return []row{{
		fmt.Sprintf("%d deliveries of %d, executions that came of them", stormDeliveries*stormTimes, stormDeliveries), float64(after - before), "", stormDeliveries, "lower",
	}}, err
}

// flood holds a rate, whoever lags behind: a delivery is due at its time.
func (d *door) flood(ctx context.Context) ([]row, error) {
	before, err := d.executions(ctx)
	if err != nil {
		return nil, err
	}
	total := floodRate * int(floodTime/time.Second)
	began := time.Now()
	d.failed.Store(0)
	if err := d.each(floodClients, total, func(i int) error {
		if wait := time.Until(began.Add(time.Duration(i) * time.Second / floodRate)); wait > 0 {
			time.Sleep(wait)
		}
		return d.deliver(ctx, fmt.Sprintf("flood-%d", i))
	}); err != nil {
		return nil, err
	}
	took := time.Since(began)
	drained, err := d.drained(ctx)
	if err != nil {
		return nil, err
	}
	after, err := d.executions(ctx)
	return []row{
		{fmt.Sprintf("%d deliveries due at %d/s: acknowledged", total, floodRate), float64(total) / took.Seconds(), "/s", floodRate * 0.99, "higher"},
		{"of them refused", float64(d.failed.Load()), "", 0, "lower"},
		{"until the backlog was handled", drained.Seconds(), "s", 0, "lower"},
		{"executions that came of them", float64(after - before), "", float64(total), "higher"},
	}, err
}

// each calls do with 0 to n-1 from some goroutines, in order as far as they are free.
func (d *door) each(clients, n int, do func(i int) error) error {
	var next atomic.Int64
	errs := make([]error, clients)
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for errs[c] == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				errs[c] = do(i)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// drained waits until nothing waits in the inbox.
func (d *door) drained(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	for {
		waiting, err := d.metric(ctx, "writ_channel_waiting")
		if err != nil || waiting == 0 {
			return time.Since(began), err
		}
		if time.Since(began) > 10*time.Minute {
			return 0, fmt.Errorf("%d deliveries still wait", waiting)
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return 0, err
		}
	}
}

// executions counts all that there are.
func (d *door) executions(ctx context.Context) (int, error) {
	n, cursor := 0, ""
	for {
		in, err := json.Marshal(contract.ExecutionListInput{Page: contract.Page{Limit: 500, Cursor: cursor}})
		if err != nil {
			return 0, err
		}
		answer, err := d.ask(ctx, http.MethodPost, "/v1/"+contract.ExecutionList.Key, in)
		if err != nil {
			return 0, err
		}
		var out contract.ExecutionListOutput
		if err := json.Unmarshal(answer, &out); err != nil {
			return 0, err
		}
		if n += len(out.Items); out.NextCursor == "" {
			return n, nil
		}
		cursor = out.NextCursor
	}
}

func (d *door) metric(ctx context.Context, name string) (int, error) {
	answer, err := d.ask(ctx, http.MethodGet, "/metrics", nil)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(answer)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			n, err := strconv.ParseFloat(value, 64)
			return int(n), err
		}
	}
	return 0, nil
}
