package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// DefaultMaxAnswer bounds what a Client reads of one answer: the evidence of a
// long execution has tens of megabytes.
const DefaultMaxAnswer = 256 << 20

// ClientOptions say where a host is and who calls. Exactly one of Socket and URL
// is set.
type ClientOptions struct {
	Socket string // path of a Unix socket
	URL    string // such as https://writ.example.com
	Token  string // empty over a socket: the process's own user
	// TLS of an https URL, with a client certificate instead of a token or with
	// authorities of its own; nil: the system's authorities.
	TLS *tls.Config
	// Timeout of one call; 0: none but the context's.
	Timeout time.Duration
	// PlaintextUnsafe sends the token over http to a host that is not this one.
	PlaintextUnsafe bool
	MaxAnswer       int64 // bytes; 0: DefaultMaxAnswer
	// Proxy for a URL, such as http.ProxyFromEnvironment; nil: none.
	Proxy func(*http.Request) (*url.URL, error)
}

// Client calls the operations of another process. It implements contract.Caller.
type Client struct {
	base   string
	where  string // for people
	token  string
	answer int64
	http   *http.Client
}

var (
	_ contract.Caller = (*Client)(nil)
	_ writ.Logins     = (*Client)(nil)
)

// NewClient makes a Client; nothing is dialled yet. CodeInvalid for options that
// do not name one host, or that would send a token in the clear.
func NewClient(opts ClientOptions) (*Client, error) {
	c := &Client{token: opts.Token, answer: opts.MaxAnswer}
	if c.answer <= 0 {
		c.answer = DefaultMaxAnswer
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute}
	switch {
	case (opts.Socket == "") == (opts.URL == ""):
		return nil, writ.Errorf(writ.CodeInvalid, "client", "name either a socket or a URL").WithFix("use --server URL, or start `writ serve` here")
	case opts.Socket != "":
		c.base, c.where = "http://localhost", opts.Socket
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", opts.Socket)
		}
	default:
		u, err := url.Parse(opts.URL)
		if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return nil, writ.Errorf(writ.CodeInvalid, "client", "the server is not an http or https URL").WithFix("use one such as https://writ.example.com")
		}
		if u.Scheme == "http" && opts.Token != "" && !opts.PlaintextUnsafe && !isLoopback(u.Hostname()) {
			return nil, writ.Errorf(writ.CodeInvalid, "client", "a token would go over %s unencrypted", u.Host).WithFix("use https")
		}
		if opts.TLS != nil && u.Scheme != "https" {
			return nil, writ.Errorf(writ.CodeInvalid, "client", "certificates are of no use over http").WithFix("use https")
		}
		if opts.TLS != nil && len(opts.TLS.Certificates) > 0 && opts.Token != "" {
			return nil, writ.Errorf(writ.CodeInvalid, "client", "a client certificate and a token are two credentials").WithFix("give one of the two")
		}
		transport.Proxy, transport.TLSClientConfig = opts.Proxy, opts.TLS
		c.base, c.where = strings.TrimSuffix(u.String(), "/"), u.Host
	}
	c.http = &http.Client{
		Transport: transport, Timeout: opts.Timeout,
		// A redirect would carry the token to where nobody meant it to go.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && addr.IsLoopback())
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Call implements contract.Caller. An error of the host comes back as the
// *writ.Error that it was; CodeUnavailable where no host answers.
func (c *Client) Call(ctx context.Context, key string, in json.RawMessage) (json.RawMessage, error) {
	if len(in) == 0 {
		in = json.RawMessage("{}")
	}
	return c.post(ctx, "/v1/"+url.PathEscape(key), key, in)
}

// Begin implements writ.Logins.
func (c *Client) Begin(ctx context.Context, in *writ.LoginRequest) (*writ.LoginStart, error) {
	return ask[writ.LoginStart](ctx, c, "/v1/login/begin", in)
}

// Finish implements writ.Logins.
func (c *Client) Finish(ctx context.Context, in *writ.LoginAnswer) (*writ.LoginSession, error) {
	return ask[writ.LoginSession](ctx, c, "/v1/login/finish", in)
}

// ask is a call of what is no contract.
func ask[Out any](ctx context.Context, c *Client, path string, in any) (*Out, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, writ.Errorf(writ.CodeInternal, "login", "cannot be encoded: %w", err)
	}
	raw, err := c.post(ctx, path, "login", body)
	if err != nil {
		return nil, err
	}
	out := new(Out)
	if err := json.Unmarshal(raw, out); err != nil {
		return nil, writ.Errorf(writ.CodeUnavailable, "login", "%s does not answer as a Writ host", c.where).WithFix("check the server's address")
	}
	return out, nil
}

func (c *Client) post(ctx context.Context, path, op string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, writ.Errorf(writ.CodeInvalid, op, "%w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.do(req, op)
	if err != nil {
		return nil, err
	}
	defer discard(resp)
	raw, err := c.read(ctx, resp, op)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, c.problem(resp, raw, op)
	}
	return bytes.TrimSuffix(raw, []byte("\n")), nil
}

func (c *Client) do(req *http.Request, op string) (*http.Response, error) {
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.transportError(req.Context(), op, err)
	}
	return resp, nil
}

// transportError tells a deadline of the caller's from a host that is not there.
func (c *Client) transportError(ctx context.Context, op string, err error) error {
	var netErr net.Error
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return writ.Errorf(writ.CodeCancelled, op, "%w", ctx.Err())
	case ctx.Err() != nil, errors.As(err, &netErr) && netErr.Timeout():
		return writ.Errorf(writ.CodeTimeout, op, "%s did not answer in time", c.where).
			WithFix("look whether it had its effect before you call again")
	}
	cause := err
	if wrapped := new(url.Error); errors.As(err, &wrapped) {
		cause = wrapped.Err // the outer one repeats the URL
	}
	var alert *net.OpError
	var doubted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &alert) && alert.Op == "remote error": // as crypto/tls calls an alert
		return writ.Errorf(writ.CodeUnauthenticated, op, "%s ends the connection: %w", c.where, alert.Err).
			WithFix("the client certificate must be of an authority that the host knows, and of now")
	case errors.As(err, &doubted):
		return writ.Errorf(writ.CodeUnavailable, op, "%s is not who it says: %w", c.where, doubted.Err).
			WithFix("name the authority of its certificate with --ca")
	}
	return writ.Errorf(writ.CodeUnavailable, op, "no host answers at %s: %w", c.where, cause).
		WithFix("start it with `writ serve`, or name another with --server")
}

func (c *Client) read(ctx context.Context, resp *http.Response, op string) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(resp.Body, c.answer+1))
	if err != nil {
		return nil, c.transportError(ctx, op, err)
	}
	if int64(len(raw)) > c.answer {
		return nil, writ.Errorf(writ.CodeTooLarge, op, "the answer has more than %d bytes", c.answer).WithFix("ask for less, page by page")
	}
	return raw, nil
}

// problem turns an answer that is no success into an error. What is no problem
// document did not come from a host of ours.
func (c *Client) problem(resp *http.Response, raw []byte, op string) error {
	media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	var p Problem
	if err != nil || media != problemType || json.Unmarshal(raw, &p) != nil || p.Code == "" {
		return writ.Errorf(writ.CodeUnavailable, op, "%s answers %d, and not as a Writ host", c.where, resp.StatusCode).
			WithFix("check the server's address; a proxy may stand between")
	}
	return p.Err()
}

// discard reads a little of what is left, so that the connection can be used
// again, and closes it.
func discard(resp *http.Response) {
	_, err := io.CopyN(io.Discard, resp.Body, 4<<10)
	_ = errors.Join(err, resp.Body.Close()) // nothing can be done about either
}
