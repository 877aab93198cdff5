package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/writ-run/writ"
)

// Bounds of one update. TUF's own documents are some KiB each; a list of MaxEntries
// entries with a sentence for each has some two MiB.
const (
	maxRoot      = 128 << 10
	maxTimestamp = 16 << 10
	maxSnapshot  = 64 << 10
	maxTargets   = 256 << 10
	maxTarget    = 4 << 20
	maxUpdate    = 16 << 20 // all that is downloaded for one update
	maxRotations = 64       // new roots in one update
	maxTime      = time.Minute
)

// newTransport dials for one update and keeps nothing open after it. It reads no
// proxy from the environment.
func newTransport() *http.Transport {
	return &http.Transport{
		DisableKeepAlives: true, ResponseHeaderTimeout: 20 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// fetcher implements go-tuf's Fetcher: bounded in time, size and place.
type fetcher struct {
	ctx    context.Context
	client *http.Client
	left   int64 // of maxUpdate
}

func newFetcher(ctx context.Context) *fetcher {
	return &fetcher{ctx: ctx, left: maxUpdate, client: &http.Client{
		Transport: newTransport(),
		// A redirect would let the server choose whom this host talks to.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// errTooLarge ends an update whose server sends more than may be read.
var errTooLarge = errors.New("larger than allowed")

// DownloadFile implements fetcher.Fetcher. Nothing is allocated by what the server
// says of a length.
func (f *fetcher) DownloadFile(address string, limit int64, _ time.Duration) ([]byte, error) {
	limit = min(limit, f.left)
	request, err := http.NewRequestWithContext(f.ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", "writ/"+writ.Version)
	response, err := f.client.Do(request)
	if err != nil {
		return nil, &unreachable{err}
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, &metadata.ErrDownloadHTTP{StatusCode: response.StatusCode, URL: address}
	}
	if response.ContentLength > limit {
		return nil, fmt.Errorf("%s: %w", lastPart(address), errTooLarge)
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err != nil {
		return nil, &unreachable{err}
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s: %w", lastPart(address), errTooLarge)
	}
	f.left -= int64(len(data))
	return data, nil
}

// unreachable is an error of the way to the server.
type unreachable struct{ err error }

// Error leaves out the address, which net/http puts before each message.
func (u *unreachable) Error() string {
	var e *url.Error
	if errors.As(u.err, &e) {
		return e.Err.Error()
	}
	return u.err.Error()
}

func (u *unreachable) Unwrap() error { return u.err }

func lastPart(address string) string { return address[strings.LastIndexByte(address, '/')+1:] }

// CheckURL is CodeInvalid where a repository cannot be there.
func CheckURL(text string) error {
	wrong := func(format string, args ...any) error {
		return writ.Errorf(writ.CodeInvalid, "feed: url", format, args...).
			WithFix("give the base of a TUF repository, such as https://trust.example.com/tuf")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || len(text) > maxText:
		return wrong("not a URL")
	case u.Scheme != "https" && u.Scheme != "http", u.Host == "":
		return wrong("want http or https with a host")
	case u.User != nil:
		return wrong("a URL with a password would be shown to everyone who lists feeds")
	case u.RawQuery != "" || u.Fragment != "" || u.Opaque != "":
		return wrong("a base has no query and no fragment")
	}
	return nil
}

// clip keeps a server's text in messages short and on one line.
func clip(s string) string { return writ.Clip(s, 160) }
