package toolbox

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// SecretSource holds the operator's secrets.
type SecretSource interface {
	// Secret returns a copy that the caller may overwrite. CodeNotFound where the
	// tenant has no secret of this name.
	Secret(ctx context.Context, tenant writ.TenantID, name string) ([]byte, error)
}

// Bounds of a secret that is injected. A shorter one stands in innocent answers
// by chance and could not be guarded; a longer one does not fit into a header.
const (
	minInjected = 8
	maxInjected = 8 << 10
)

// credential is where a secret goes. The members are exclusive.
type credential struct {
	header, value string // value of a header
	query         string // name of a query parameter
	raw           []byte // the secret itself, to be wiped
}

// wipe overwrites the bytes. What net/http copied into its buffers is out of
// reach.
func (c *credential) wipe() { clear(c.raw) }

// credentialOf fetches a secret and shapes it. Failures name the secret, never
// its value.
func (e *exchange) credentialOf(ctx context.Context, secret *abi.Secret) (*credential, *abi.Failure) {
	raw, failure := e.fetch(ctx, secret.Name)
	if failure != nil {
		return nil, failure
	}
	if len(raw) < minInjected || len(raw) > maxInjected || !printable(raw) {
		clear(raw)
		return nil, failInvalid("the secret "+secret.Name+" has fewer than 8 or more than 8192 bytes, or control characters",
			"set it again with `writ secret set "+secret.Name+"`")
	}
	c := &credential{raw: raw}
	kind, name, _ := strings.Cut(secret.InjectAs, ":")
	switch {
	case kind == "bearer" && name == "":
		c.header, c.value = "Authorization", "Bearer "+string(raw)
	case kind == "basic" && name == "":
		if _, password, ok := bytes.Cut(raw, []byte(":")); !ok || len(password) < minInjected {
			c.wipe()
			return nil, failInvalid("the secret "+secret.Name+" is not user:password with a password of at least 8 bytes",
				"set it again with `writ secret set "+secret.Name+"`")
		}
		c.header, c.value = "Authorization", "Basic "+base64.StdEncoding.EncodeToString(raw)
	case kind == "header" && name != "" && !hostOwned(http.CanonicalHeaderKey(name)):
		c.header, c.value = http.CanonicalHeaderKey(name), string(raw)
	case kind == "query" && name != "":
		c.query = name
	default:
		c.wipe()
		return nil, failInvalid("the secret "+secret.Name+" is to be injected in a way that this host does not know",
			"use bearer, basic, header:NAME or query:NAME in the skill's manifest")
	}
	return c, nil
}

func (e *exchange) fetch(ctx context.Context, name string) ([]byte, *abi.Failure) {
	if e.tools.opts.Secrets != nil {
		raw, err := e.tools.opts.Secrets.Secret(ctx, e.call.Tenant, name)
		if err == nil {
			return raw, nil
		}
		if !writ.IsCode(err, writ.CodeNotFound) {
			e.tools.opts.Logger.Error("secret store failed", "tenant", string(e.call.Tenant), "secret", name, "code", string(writ.CodeOf(err)))
			return nil, failUnavailable("the host cannot read its secrets; nothing was sent")
		}
	}
	return nil, failInvalid("the secret "+name+" is not set; nothing was sent", "an operator sets it with `writ secret set "+name+"`")
}

func printable(raw []byte) bool {
	for _, c := range raw {
		if c < 0x20 || c == 0x7f {
			return false
		}
	}
	return true
}

// inject puts the secrets of the hop's capability into the request, for the
// scheme and host that the manifest names. A guest's own value in the same place
// is refused rather than replaced: it would not notice.
func (e *exchange) inject(ctx context.Context, h *hop, request *http.Request) *abi.Failure {
	if h.strayed {
		return nil
	}
	for i := range h.capability.Secrets {
		secret := &h.capability.Secrets[i]
		if secret.Scheme != h.target.Scheme || secret.Host != h.target.Host {
			continue
		}
		if _, mapped := e.tools.upstreams[h.target.Host]; secret.Scheme != "https" && !mapped {
			return failInvalid("the secret "+secret.Name+" would leave the host unencrypted", "use https in the skill's manifest")
		}
		c, failure := e.credentialOf(ctx, secret)
		if failure != nil {
			return failure
		}
		e.guard.add(c.raw)
		e.secret = true
		failure = c.apply(request)
		c.wipe()
		if failure != nil {
			return failure
		}
	}
	return nil
}

func (c *credential) apply(request *http.Request) *abi.Failure {
	if c.header != "" {
		if _, taken := request.Header[c.header]; taken {
			return failInvalid("the header "+c.header+" is the host's: it holds a secret", "leave it out of the call")
		}
		request.Header[c.header] = []string{c.value}
		return nil
	}
	for pair := range strings.SplitSeq(request.URL.RawQuery, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); err != nil || plain == c.query {
			return failInvalid("the query parameter "+c.query+" is the host's: it holds a secret", "leave it out of the URL")
		}
	}
	pair := url.QueryEscape(c.query) + "=" + url.QueryEscape(string(c.raw))
	if request.URL.RawQuery != "" {
		pair = "&" + pair
	}
	request.URL.RawQuery += pair
	return nil
}
