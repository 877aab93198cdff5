package remote

import (
	"bytes"
	"context"
	"errors"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/registry"
)

// Pushed says where a bundle is now.
type Pushed struct {
	Reference  Reference // with tag and digest
	Signatures int
	Sent       int64 // bytes of manifests, and of blobs that the registry did not have
}

// Push brings a signed bundle to a registry and tags it, with its version where ref
// has no tag. The tag comes last: whoever finds it finds the signatures too. A tag
// that is the bundle's version is never moved to another bundle. The errors are
// CodeSkillRefused where the file is no intact bundle, CodeInvalid where it is not
// signed or ref has a digest of something else, CodeConflict where the version is
// taken or somebody attaches at the same time, and those of Pull.
func (c *Client) Push(ctx context.Context, file []byte, ref Reference) (*Pushed, error) {
	a, err := registry.Unpack(file, c.opts.Limits)
	if err != nil {
		return nil, err
	}
	image := a.Manifest()
	if ref.Tag == "" {
		ref.Tag = a.Name
	}
	op := ref.String()
	switch {
	case len(a.Signatures) == 0:
		return nil, writ.Errorf(writ.CodeInvalid, op, "the bundle is not signed: nobody could install it").WithFix("sign it first: writ skill sign FILE --key KEY")
	case ref.Digest != "" && ref.Digest != writ.Digest(image.Digest):
		return nil, writ.Errorf(writ.CodeInvalid, op, "the bundle is %s", image.Digest).WithFix("leave the digest out, or push the bundle that it names")
	}
	ctx, end, err := c.begin(ctx, op)
	if err != nil {
		return nil, err
	}
	defer end()
	to, err := c.open(ref.Host, ref.Repository)
	if err != nil {
		return nil, err
	}
	defer to.close()
	p := &push{client: c, to: to, artifact: a}
	if err := p.run(ctx, op, ref.Tag); err != nil {
		return nil, explain(op, ref.Host, err)
	}
	return &Pushed{Reference: ref.Pinned(writ.Digest(image.Digest)), Signatures: len(a.Signatures), Sent: p.sent}, nil
}

type push struct {
	client   *Client
	to       *endpoint
	artifact *registry.Artifact
	progress Progress
	sent     int64
}

func (p *push) run(ctx context.Context, op, tag string) error {
	image := p.artifact.Manifest()
	there, err := p.to.Resolve(ctx, tag)
	switch {
	case errors.Is(err, errdef.ErrNotFound):
	case err != nil:
		return err
	case there.Digest != image.Digest && tag == p.artifact.Name:
		return writ.Errorf(writ.CodeConflict, op, "the version is there already, as %s", there.Digest).
			WithFix("a released version never changes: build it again with a new version number")
	}
	for _, pieces := range append([][]registry.Piece{p.artifact.Image}, p.artifact.Signatures...) {
		for _, piece := range pieces {
			p.progress.Total += piece.Size
		}
	}
	if err := p.pieces(ctx, p.artifact.Image); err != nil {
		return err
	}
	if err := p.attach(ctx, op); err != nil {
		return err
	}
	return p.to.PushReference(ctx, image.Descriptor, bytes.NewReader(image.Data), tag)
}

// maxAttach is how often signatures are attached again: without the referrers API
// their list is read, changed and written by each client, and of two one may lose.
const maxAttach = 4

func (p *push) attach(ctx context.Context, op string) error {
	missing := p.artifact.Signatures
	for range maxAttach {
		for _, pieces := range missing {
			if err := p.pieces(ctx, pieces); err != nil {
				return err
			}
		}
		look := &pull{client: p.client, from: p.to, op: op}
		listed, err := look.referrers(ctx, p.artifact.Manifest().Descriptor)
		if err != nil {
			return err
		}
		if missing = unlisted(missing, listed); len(missing) == 0 {
			return nil
		}
	}
	return writ.Errorf(writ.CodeConflict, op, "the registry does not list %d of the signatures", len(missing)).
		WithFix("push again; if it stays so, the registry can hold no signatures")
}

func unlisted(signatures [][]registry.Piece, listed []ocispec.Descriptor) [][]registry.Piece {
	there := map[string]bool{}
	for _, d := range listed {
		there[string(d.Digest)] = true
	}
	var out [][]registry.Piece
	for _, pieces := range signatures {
		if !there[string(pieces[len(pieces)-1].Digest)] {
			out = append(out, pieces)
		}
	}
	return out
}

// pieces pushes blobs that are not there, and the manifest after them.
func (p *push) pieces(ctx context.Context, pieces []registry.Piece) error {
	for i, piece := range pieces {
		var err error
		if i == len(pieces)-1 {
			err = p.to.Push(ctx, piece.Descriptor, bytes.NewReader(piece.Data))
			p.sent += piece.Size
		} else {
			err = p.blob(ctx, piece)
		}
		if err != nil {
			return err
		}
		p.progress.Done = min(p.progress.Done+piece.Size, p.progress.Total)
		if p.client.opts.Progress != nil {
			p.client.opts.Progress(p.progress)
		}
	}
	return nil
}

func (p *push) blob(ctx context.Context, piece registry.Piece) error {
	there, err := p.to.Blobs().Exists(ctx, piece.Descriptor)
	if err != nil || there {
		return err
	}
	p.sent += piece.Size
	return p.to.Blobs().Push(ctx, piece.Descriptor, bytes.NewReader(piece.Data))
}
