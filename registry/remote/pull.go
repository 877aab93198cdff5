package remote

import (
	"context"
	"errors"
	"path"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	oras "oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/registry"
)

// Pulled is a bundle that was fetched. Its pieces fit together; nobody has verified it.
type Pulled struct {
	File       []byte
	Reference  Reference // as asked for, with the digest that it led to
	From       string    // the registry or mirror that it came from
	Key        writ.SkillKey
	Version    string // as the bundle calls itself
	Signatures int
	Fetched    int64 // bytes that were not in the cache
}

// maxAttached bounds how many referrers are looked at: anybody who may push can
// attach, and 32 of them may be signatures.
const maxAttached = 128

// Pull fetches a bundle with its signatures, from the first mirror that has all of it
// or from the registry itself. A tag is resolved once. The errors are CodeInvalid
// without a tag or digest, CodeNotFound, CodeUnauthenticated, CodeForbidden (also for
// an address that must not be reached), CodeLimited, CodeTimeout, CodeUnavailable, and
// CodeSkillRefused where what came is too large, no skill or not what was asked for.
func (c *Client) Pull(ctx context.Context, ref Reference) (*Pulled, error) {
	var out *Pulled
	err := c.anywhere(ctx, ref, func(ctx context.Context, p *pull, at Reference) error {
		pulled, err := p.bundle(ctx, at)
		if err == nil && pulled.Signatures == 0 && at.Host != ref.Host {
			err = writ.Errorf(writ.CodeNotFound, p.op, "the mirror has no signatures")
		}
		if err == nil {
			pulled.Reference = ref.Pinned(pulled.Reference.Digest)
			out = pulled
		}
		return err
	})
	return out, err
}

// Resolved is what a reference leads to, with the name that the bundle gives itself.
type Resolved struct {
	Reference Reference // with its digest
	Key       writ.SkillKey
	Version   string
}

// Resolve finds digest and name without fetching the module. Its errors are Pull's.
func (c *Client) Resolve(ctx context.Context, ref Reference) (*Resolved, error) {
	var out *Resolved
	err := c.anywhere(ctx, ref, func(ctx context.Context, p *pull, at Reference) error {
		manifest, config, _, err := p.head(ctx, at)
		if err != nil {
			return err
		}
		out = &Resolved{Reference: ref.Pinned(writ.Digest(manifest.Digest))}
		out.Key, out.Version = registry.ReadConfigName(config.Data)
		return nil
	})
	return out, err
}

// anywhere asks the mirrors of a registry and then the registry.
func (c *Client) anywhere(ctx context.Context, ref Reference, do func(context.Context, *pull, Reference) error) error {
	op := ref.String()
	if ref.target() == "" {
		return writ.Errorf(writ.CodeInvalid, op, "which version?").WithFix("add :TAG or @sha256:...; there is no tag that stands for the newest")
	}
	ctx, end, err := c.begin(ctx, op)
	if err != nil {
		return err
	}
	defer end()
	c.cache.sweep()
	places := make([]Reference, 0, 1+len(c.hosts[ref.Host].mirrors))
	for _, m := range c.hosts[ref.Host].mirrors {
		at := ref
		at.Host, at.Repository = m.host, path.Join(m.prefix, ref.Repository)
		places = append(places, at)
	}
	places = append(places, ref)
	for _, at := range places {
		if err = c.at(ctx, op, at, do); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err // the registry's own word
}

func (c *Client) at(ctx context.Context, op string, at Reference, do func(context.Context, *pull, Reference) error) error {
	from, err := c.open(at.Host, at.Repository)
	if err != nil {
		return err
	}
	defer from.close()
	return c.kept(explain(op, at.Host, do(ctx, &pull{client: c, from: from, op: op}, at)))
}

// kept says of a transfer that broke that the next one goes on there.
func (c *Client) kept(err error) error {
	var e *writ.Error
	if c.opts.CacheDir == "" || !errors.As(err, &e) {
		return err
	}
	switch e.Code {
	case writ.CodeUnavailable, writ.CodeTimeout, writ.CodeCancelled:
		broken := *e
		broken.Fix += ": what was fetched so far is kept"
		return &broken
	}
	return err
}

// head fetches what tells a skill from something else, and how large it is.
func (p *pull) head(ctx context.Context, at Reference) (manifest, config *registry.Piece, module ocispec.Descriptor, err error) {
	limits := p.client.opts.Limits
	manifest, err = p.manifest(ctx, at.target(), limits.Document)
	if err != nil {
		return nil, nil, module, err
	}
	if at.Digest != "" && writ.Digest(manifest.Digest) != at.Digest {
		return nil, nil, module, registry.Mismatch(p.op, "the registry gave %s", manifest.Digest)
	}
	if manifest.MediaType != ocispec.MediaTypeImageManifest {
		return nil, nil, module, registry.Mismatch(p.op, "it is %s, want an image manifest", registry.Clip(manifest.MediaType))
	}
	configured, module, err := registry.ReadImageManifest(manifest.Data, limits)
	if err != nil {
		return nil, nil, module, err
	}
	if err := p.plan(manifest.Size, configured.Size, module.Size); err != nil {
		return nil, nil, module, err
	}
	p.progress.Done += manifest.Size
	piece, err := p.blob(ctx, configured)
	return manifest, &piece, module, err
}

func (p *pull) bundle(ctx context.Context, at Reference) (*Pulled, error) {
	manifest, config, described, err := p.head(ctx, at)
	if err != nil {
		return nil, err
	}
	module, err := p.blob(ctx, described)
	if err != nil {
		return nil, err
	}
	key, version := registry.ReadConfigName(config.Data)
	a := &registry.Artifact{Name: version, Image: []registry.Piece{*config, module, *manifest}}
	if a.Name == "" {
		a.Name = "unnamed" // the gate wants a name and believes none
	}
	if a.Signatures, err = p.signatures(ctx, manifest.Descriptor); err != nil {
		return nil, err
	}
	file, err := a.File()
	if err != nil {
		return nil, err
	}
	return &Pulled{
		File: file, Reference: at.Pinned(writ.Digest(manifest.Digest)), From: at.Host, Key: key, Version: version,
		Signatures: len(a.Signatures), Fetched: p.fetched,
	}, nil
}

// signatures fetches the Sigstore bundles that are attached to an image. Others who
// may push can attach what they like: what is not one is left where it is.
func (p *pull) signatures(ctx context.Context, image ocispec.Descriptor) ([][]registry.Piece, error) {
	limits := p.client.opts.Limits
	listed, err := p.referrers(ctx, image)
	if err != nil {
		return nil, err
	}
	var out [][]registry.Piece
	for _, d := range listed {
		manifest, err := p.attached(ctx, d)
		if err != nil {
			return nil, err
		}
		if manifest == nil {
			continue
		}
		config, bundle, ok := registry.ReadSignatureManifest(manifest.Data, image, limits)
		if !ok {
			continue
		}
		if len(out) == limits.Referrers {
			return nil, registry.TooLarge(p.op, "more than %d signatures are attached", limits.Referrers)
		}
		if err := p.plan(manifest.Size, config.Size, bundle.Size); err != nil {
			return nil, err
		}
		p.progress.Done += manifest.Size
		pieces := make([]registry.Piece, 0, 3)
		for _, blob := range []ocispec.Descriptor{config, bundle} {
			piece, err := p.blob(ctx, blob)
			if err != nil {
				return nil, err
			}
			pieces = append(pieces, piece)
		}
		out = append(out, append(pieces, *manifest))
	}
	return out, nil
}

// referrers lists what is attached: by the API, and by the tag that stood for it
// before, where the API does not exist or knows nothing.
func (p *pull) referrers(ctx context.Context, image ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	listed, err := p.listReferrers(ctx, p.from.Repository, image)
	var answer *errcode.ErrorResponse
	unknown := errors.As(err, &answer) && (answer.StatusCode == 400 || answer.StatusCode == 405 || answer.StatusCode == 501)
	if (err != nil && !unknown) || len(listed) > 0 {
		return listed, err
	}
	old := &oras.Repository{
		Client: p.from.Client, Reference: p.from.Reference, PlainHTTP: p.from.PlainHTTP, MaxMetadataBytes: p.from.MaxMetadataBytes,
	}
	if err := old.SetReferrersCapability(false); err != nil {
		return nil, err
	}
	return p.listReferrers(ctx, old, image)
}

func (p *pull) listReferrers(ctx context.Context, repo *oras.Repository, image ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	var out []ocispec.Descriptor
	seen := map[string]bool{}
	err := repo.Referrers(ctx, image, "", func(page []ocispec.Descriptor) error {
		for _, d := range page {
			if seen[string(d.Digest)] {
				continue
			}
			seen[string(d.Digest)] = true
			if out = append(out, d); len(out) > maxAttached {
				return registry.TooLarge(p.op, "more than %d documents are attached", maxAttached)
			}
		}
		return nil
	})
	return out, err
}
