package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/registry"
)

// pull is one bundle on its way here from one registry.
type pull struct {
	client   *Client
	from     *endpoint
	op       string
	progress Progress
	base     int64 // of progress.Done, before the blob that is under way
	fetched  int64 // bytes that came over the network
	planned  int64 // bytes of all pieces so far
}

// manifest is what a tag or digest leads to. The tag is resolved in the answer that
// carries the bytes: nothing can change in between.
func (p *pull) manifest(ctx context.Context, target string, limit int64) (*registry.Piece, error) {
	d, body, err := p.from.FetchReference(ctx, target)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	if d.Size > limit {
		return nil, registry.TooLarge(p.op, "the manifest has %d bytes, at most %d are allowed", d.Size, limit)
	}
	raw, err := content.ReadAll(body, d)
	if err != nil {
		return nil, err
	}
	p.fetched += int64(len(raw))
	return &registry.Piece{Descriptor: ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}, Data: raw}, nil
}

// attached is the manifest of a referrer; nil where the list names one that is gone.
func (p *pull) attached(ctx context.Context, d ocispec.Descriptor) (*registry.Piece, error) {
	if d.MediaType != ocispec.MediaTypeImageManifest || d.Size > p.client.opts.Limits.Document || d.Size < 0 || !writ.Digest(d.Digest).Valid() {
		return nil, nil // an index or a form of others: nothing of ours
	}
	plain := ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
	if data := p.client.cache.get(writ.Digest(d.Digest), d.Size); data != nil {
		return &registry.Piece{Descriptor: plain, Data: data}, nil
	}
	body, err := p.from.Manifests().Fetch(ctx, plain)
	if errors.Is(err, errdef.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	raw, err := content.ReadAll(body, plain)
	if err != nil {
		return nil, err
	}
	p.fetched += int64(len(raw))
	kept := p.client.cache.begin(writ.Digest(d.Digest), d.Size)
	kept.restart()
	_, _ = kept.Write(raw)
	kept.finish()
	return &registry.Piece{Descriptor: plain, Data: raw}, nil
}

// plan counts bytes before they are asked for.
func (p *pull) plan(sizes ...int64) error {
	for _, size := range sizes {
		p.planned += size
	}
	if limit := p.client.opts.Limits.Bundle; p.planned > limit {
		return registry.TooLarge(p.op, "the bundle has more than %d bytes", limit)
	}
	p.progress.Total = p.planned
	p.told()
	return nil
}

func (p *pull) told() {
	if p.client.opts.Progress != nil {
		p.client.opts.Progress(p.progress)
	}
}

// maxCuts of one blob: transfers that break without a single byte, one after another.
const maxCuts = 4

// blob fetches one blob, or goes on where an earlier transfer ended. What comes is
// bounded by the size that the manifest declares, and is not believed until it hashes.
func (p *pull) blob(ctx context.Context, d ocispec.Descriptor) (registry.Piece, error) {
	digest := writ.Digest(d.Digest)
	if data := p.client.cache.get(digest, d.Size); data != nil {
		p.progress.Done += d.Size
		p.told()
		return registry.Piece{Descriptor: d, Data: data}, nil
	}
	kept := p.client.cache.begin(digest, d.Size)
	resumed := len(kept.data) > 0
	p.base = p.progress.Done
	for {
		if err := p.transfer(ctx, d, kept); err != nil {
			kept.leave()
			return registry.Piece{}, err
		}
		if canon.SHA256(kept.data) == digest {
			kept.finish()
			p.progress.Done = p.base + d.Size
			p.told()
			return registry.Piece{Descriptor: d, Data: kept.data}, nil
		}
		kept.restart()
		if !resumed {
			kept.drop()
			return registry.Piece{}, registry.Mismatch(p.op, "the bytes of blob %s have another digest", d.Digest)
		}
		resumed = false // what was left from before may have been wrong: once more from the start
	}
}

// transfer fills kept up to the declared size, over as many connections as it takes.
func (p *pull) transfer(ctx context.Context, d ocispec.Descriptor, kept *part) error {
	wait := &patience{backoff: p.client.backoff}
	farthest := len(kept.data)
	for cuts := 0; int64(len(kept.data)) < d.Size || d.Size == 0; cuts++ {
		err := p.stream(ctx, d, kept)
		if err == nil {
			return nil
		}
		if len(kept.data) > farthest {
			farthest, cuts = len(kept.data), 0
		}
		var broken *cutError
		if cuts == maxCuts || !errors.As(err, &broken) {
			return err
		}
		if err := sleep(ctx, wait.wait(cuts)); err != nil {
			return err
		}
	}
	return nil
}

// cutError is a transfer that broke in the middle, and may go on.
type cutError struct{ cause error }

func (e *cutError) Error() string { return "the transfer broke: " + e.cause.Error() }
func (e *cutError) Unwrap() error { return e.cause }

// stream makes one request, with a range where there is something already; a registry
// that does not know ranges begins again.
func (p *pull) stream(ctx context.Context, d ocispec.Descriptor, kept *part) error {
	body, err := p.body(ctx, d, kept)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	buffer := make([]byte, 64<<10)
	for {
		n, err := body.Read(buffer)
		if int64(len(kept.data))+int64(n) > d.Size {
			kept.restart()
			return registry.Mismatch(p.op, "blob %s goes on beyond its %d bytes", d.Digest, d.Size)
		}
		_, _ = kept.Write(buffer[:n])
		p.fetched += int64(n)
		p.progress.Done = p.base + int64(len(kept.data))
		p.told()
		switch {
		case err == io.EOF && int64(len(kept.data)) == d.Size:
			return nil
		case err == io.EOF:
			return &cutError{fmt.Errorf("%d of %d bytes: %w", len(kept.data), d.Size, io.ErrUnexpectedEOF)}
		case err != nil && ctx.Err() != nil:
			return err
		case err != nil:
			return &cutError{err}
		}
	}
}

func (p *pull) body(ctx context.Context, d ocispec.Descriptor, kept *part) (io.ReadCloser, error) {
	have := int64(len(kept.data))
	if have == 0 {
		return p.from.Blobs().Fetch(ctx, d)
	}
	scheme := "https"
	if p.from.PlainHTTP {
		scheme = "http"
	}
	ref := p.from.Reference
	at := &url.URL{Scheme: scheme, Host: ref.Host(), Path: "/v2/" + ref.Repository + "/blobs/" + d.Digest.String()}
	request, err := http.NewRequestWithContext(auth.AppendRepositoryScope(ctx, ref, auth.ActionPull), http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", have, d.Size-1))
	answer, err := p.from.Client.Do(request)
	if err != nil {
		return nil, err
	}
	var start int64
	if _, err := fmt.Sscanf(answer.Header.Get("Content-Range"), "bytes %d-", &start); answer.StatusCode == http.StatusPartialContent && err == nil && start == have {
		return answer.Body, nil
	}
	kept.restart()
	if answer.StatusCode == http.StatusOK {
		return answer.Body, nil
	}
	_ = answer.Body.Close()
	return p.from.Blobs().Fetch(ctx, d)
}
