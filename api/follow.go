package api

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/writ-run/writ"
)

// FollowRequest says which events to read.
type FollowRequest struct {
	After     writ.Position    // 0: from the first
	Execution writ.ExecutionID // empty: all of the tenant
}

// Follow calls fn with the tenant's events after a position, in order, and goes
// on with new ones. It returns nil when the host ends the stream (it stops, or
// the token ended: ask again after the last position), the context's error as
// CodeCancelled or CodeTimeout, or what fn returns.
func (c *Client) Follow(ctx context.Context, from FollowRequest, fn func(writ.Position, *writ.Event) error) error {
	const op = "events"
	target := c.base + "/v1/events"
	if from.Execution != "" {
		target += "?executionId=" + url.QueryEscape(string(from.Execution))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return writ.Errorf(writ.CodeInvalid, op, "%w", err)
	}
	req.Header.Set("Accept", "text/event-stream")
	if from.After > 0 {
		req.Header.Set("Last-Event-ID", strconv.FormatUint(uint64(from.After), 10))
	}
	unhurried := *c
	unhurried.http = &http.Client{Transport: c.http.Transport, CheckRedirect: c.http.CheckRedirect} // no timeout of a call
	resp, err := unhurried.do(req, op)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // the stream has no end to read to
	if resp.StatusCode != http.StatusOK {
		raw, err := c.read(ctx, resp, op)
		if err != nil {
			return err
		}
		return c.problem(resp, raw, op)
	}
	return c.scan(ctx, resp, from.After, fn)
}

// maxEvent bounds one line: the data of an event has some kilobytes, a plan of
// 256 problems some hundred.
const maxEvent = 4 << 20

func (c *Client) scan(ctx context.Context, resp *http.Response, at writ.Position, fn func(writ.Position, *writ.Event) error) error {
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 0, 64<<10), maxEvent)
	var data string
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case field == "id":
			if n, err := strconv.ParseUint(value, 10, 64); err == nil {
				at = writ.Position(n)
			}
		case field == "data":
			data = value
		case lines.Text() == "" && data != "":
			var e writ.Event
			if err := json.Unmarshal([]byte(data), &e); err != nil {
				return writ.Errorf(writ.CodeInternal, "events", "%w", err)
			}
			data = ""
			if err := fn(at, &e); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil || ctx.Err() != nil {
		return c.transportError(ctx, "events", err)
	}
	return nil
}
