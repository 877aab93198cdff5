package keyless

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/sigstore/sigstore-go/pkg/tuf"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/fetcher"

	"github.com/writ-run/writ"
)

// DefaultTarget is where Sigstore's own repositories keep their trusted root.
const DefaultTarget = "trusted_root.json"

// fetchTimeout bounds each of the few small files of a repository.
const fetchTimeout = 30 * time.Second

// Repository is a TUF repository that a trusted root is fetched from.
type Repository struct {
	URL    string
	Root   []byte // root.json that the first metadata is judged by
	Target string // ""; DefaultTarget
	// Dir keeps the metadata that was seen, so that older metadata is refused the
	// next time. It must be the same for the same repository.
	Dir string
}

// Fetch gets the target. CodeInvalid where the request is unusable, CodeTampered
// where metadata is older than what was seen, expired (by the machine's clock) or
// not signed as it must be, CodeUnavailable where the repository cannot be read.
func Fetch(ctx context.Context, r Repository) ([]byte, error) {
	op := "TUF repository " + clip(r.URL)
	if !webAddress(r.URL) {
		return nil, writ.Errorf(writ.CodeInvalid, op, "not a URL").WithFix("give --tuf, such as https://tuf.example.com")
	}
	if len(r.Root) == 0 || len(r.Root) > MaxRoot {
		return nil, writ.Errorf(writ.CodeInvalid, op, "a root.json of at most %d bytes is needed", MaxRoot).
			WithFix("get the repository's root.json over a way that you trust, and give --root")
	}
	if r.Target == "" {
		r.Target = DefaultTarget
	}
	if !filepath.IsLocal(r.Target) {
		return nil, writ.Errorf(writ.CodeInvalid, op, "%q cannot name a target", clip(r.Target))
	}
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		return nil, &writ.Error{Code: writ.CodeUnavailable, Op: op, Message: "the directory of its metadata cannot be made", Err: err}
	}
	get := fetcher.NewDefaultFetcher()
	get.SetHTTPClient(&patient{ctx, http.Client{Timeout: fetchTimeout}})
	client, err := tuf.New(&tuf.Options{Root: r.Root, RepositoryBaseURL: r.URL, CachePath: r.Dir, Fetcher: get})
	if err != nil {
		return nil, refused(op, err)
	}
	raw, err := client.GetTarget(r.Target)
	if err != nil {
		return nil, refused(op, err)
	}
	return raw, nil
}

// patient gives requests the caller's context, which the fetcher does not take.
type patient struct {
	ctx    context.Context
	client http.Client
}

// Do implements what the fetcher asks of a client.
func (p *patient) Do(req *http.Request) (*http.Response, error) {
	return p.client.Do(req.WithContext(p.ctx))
}

func refused(op string, err error) error {
	var status *metadata.ErrDownloadHTTP
	var download *metadata.ErrDownload
	var transport interface{ Timeout() bool } // *url.Error
	if errors.As(err, &status) || errors.As(err, &download) || errors.As(err, &transport) {
		return writ.Errorf(writ.CodeUnavailable, op, "it cannot be read: %s", clip(err.Error())).WithFix("check --tuf, and that this host can reach it")
	}
	return writ.Errorf(writ.CodeTampered, op, "its metadata is refused: %s", clip(err.Error())).
		WithFix("ask who runs the repository; until then the roots that are trusted stay as they are")
}
