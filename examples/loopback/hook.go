package loopback

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Delivery is one thing that a provider told the daemon.
type Delivery struct {
	Number int    `json:"number"`
	Event  string `json:"event"`
	Status int    `json:"status,omitempty"` // of the last answer
	Times  int    `json:"times"`            // it was sent
	Error  string `json:"error,omitempty"`
}

// Sent is what is signed and sent.
type Sent struct {
	Event  string
	Header http.Header
	Body   []byte
}

// Hook sends what happened to the URL of a channel, and keeps it, so that it can be sent
// again. Sign gives the headers of the signature, each time anew.
type Hook struct {
	Patience time.Duration // how long an answer may take
	Sign     func(body []byte) http.Header

	mu    sync.Mutex
	url   string
	sent  []Sent
	known []Delivery
}

// SetURL says where to send to; empty: nothing is sent.
func (h *Hook) SetURL(url string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.url = url
}

// Deliveries are all that were sent, in their order.
func (h *Hook) Deliveries() []Delivery {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.known)
}

// Send tells the daemon something. An error means that it was not taken.
func (h *Hook) Send(ctx context.Context, s *Sent) (*Delivery, error) {
	h.mu.Lock()
	h.sent = append(h.sent, *s)
	h.known = append(h.known, Delivery{Number: len(h.sent), Event: s.Event})
	number := len(h.sent)
	h.mu.Unlock()
	return h.Again(ctx, number)
}

// Again sends the same bytes once more.
func (h *Hook) Again(ctx context.Context, number int) (*Delivery, error) {
	h.mu.Lock()
	if number < 1 || number > len(h.sent) {
		h.mu.Unlock()
		return nil, fmt.Errorf("there is no delivery %d", number)
	}
	s, url := h.sent[number-1], h.url
	h.known[number-1].Times++
	h.mu.Unlock()
	status, err := h.post(ctx, url, &s)
	h.mu.Lock()
	defer h.mu.Unlock()
	d := &h.known[number-1]
	d.Status, d.Error = status, ""
	if err != nil {
		d.Error = err.Error()
		return nil, fmt.Errorf("delivery %d, %s: %w", number, s.Event, err)
	}
	out := *d
	return &out, nil
}

func (h *Hook) post(ctx context.Context, url string, s *Sent) (int, error) {
	if url == "" {
		return 0, fmt.Errorf("nobody has said where to send it")
	}
	ctx, cancel := context.WithTimeout(ctx, h.Patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(s.Body))
	if err != nil {
		return 0, err
	}
	for _, header := range []http.Header{s.Header, h.Sign(s.Body)} {
		for name, values := range header {
			request.Header[name] = values
		}
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = answer.Body.Close() }()
	said, err := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	if err == nil && answer.StatusCode >= 300 {
		err = fmt.Errorf("it was answered %s: %s", answer.Status, said)
	}
	return answer.StatusCode, err
}

// MAC is the HMAC-SHA256 of parts in hexadecimal, as both providers sign.
func MAC(secret string, parts ...[]byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	for _, part := range parts {
		mac.Write(part)
	}
	return hex.EncodeToString(mac.Sum(nil))
}
