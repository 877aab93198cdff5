package toolbox

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// SecretSource holds the operator's secrets.
type SecretSource interface {
	// Secret returns a copy that the caller may overwrite. CodeNotFound where the
	// tenant has no secret of this name. The Op of an error names the secret and who
	// keeps it, and nothing else.
	Secret(ctx context.Context, tenant writ.TenantID, name string) ([]byte, error)
	// Known returns copies of the values that are at hand, by name, with those that were
	// replaced lately.
	Known(ctx context.Context, tenant writ.TenantID) (map[string][][]byte, error)
}

// Bounds of a secret that is injected. A shorter one stands in innocent answers
// by chance and could not be guarded; a longer one does not fit into a header.
const (
	minInjected = 8
	maxInjected = 8 << 10
	// minStranger is the least length of a secret that is looked for in calls of steps
	// that were not given it. A refusal tells a guest that it guessed right: 16 bytes of a
	// token cannot be guessed, a short password could.
	minStranger = 16
)

// watch fills the guard with what is to be found in neither direction: all values of the
// secrets that the step was given, and the long ones of all others.
func (e *exchange) watch(ctx context.Context) *abi.Failure {
	source := e.tools.opts.Secrets
	if source == nil {
		return nil
	}
	known, err := source.Known(ctx, e.call.Tenant)
	if err != nil {
		return e.unreadable(err, "the host's secrets")
	}
	own := map[string]bool{}
	for _, capability := range e.permit.Scope().Capabilities {
		for i := range capability.Secrets {
			own[capability.Secrets[i].Name] = true
		}
	}
	for name, values := range known {
		for _, value := range values {
			if least := leastLength(own[name]); len(value) >= least && len(value) <= maxInjected {
				e.guard.add(value, least)
			}
			clear(value)
		}
	}
	return nil
}

func leastLength(own bool) int {
	if own {
		return minInjected
	}
	return minStranger
}

// holdBack refuses a request that holds a secret: the host alone sends them, to their
// own host.
func (e *exchange) holdBack(h *hop) *abi.Failure {
	if !e.guard.found([]byte(h.url.String())) && !e.guard.foundInHeader("", h.header) && !e.guard.found(h.body) {
		return nil
	}
	return &abi.Failure{
		Code: abi.FailSecretLeak, Message: "the request holds a secret of this host; nothing was sent",
		Fix: "leave it out: the host adds the secrets that the manifest names, to their own host",
	}
}

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
	if e.tools.opts.Secrets == nil {
		return nil, notSet("the secret "+name, name)
	}
	raw, err := e.tools.opts.Secrets.Secret(ctx, e.call.Tenant, name)
	var known *writ.Error
	switch {
	case err == nil:
		return raw, nil
	case !errors.As(err, &known):
		known = &writ.Error{Code: writ.CodeInternal, Op: "the secret " + name}
	}
	if known.Code == writ.CodeNotFound {
		return nil, notSet(known.Op, name)
	}
	return nil, e.unreadable(err, known.Op)
}

func notSet(what, name string) *abi.Failure {
	return failInvalid(what+" is not set; nothing was sent",
		"an operator sets it with `writ secret set "+name+"`, or where its provider keeps it: `writ secret list --check` says which")
}

// unreadable says which secret of whom cannot be had, and in which way. Paths and
// servers are in the log, and for operators in the list.
func (e *exchange) unreadable(err error, what string) *abi.Failure {
	code := writ.CodeOf(err)
	args := []any{"tenant", string(e.call.Tenant), "secret", what, "code", string(code)}
	var known *writ.Error
	if errors.As(err, &known) {
		args = append(args, "fix", known.Fix)
	}
	e.tools.opts.Logger.Error("a secret cannot be read", args...)
	failure := failUnavailable(what + " cannot be read; nothing was sent")
	switch code {
	case writ.CodeTimeout:
		failure = failTimeout(what + " did not come in time; nothing was sent")
	case writ.CodeForbidden:
		failure.Message = what + " may not be read; nothing was sent"
	case writ.CodeInvalid, writ.CodeTooLarge:
		failure = failInvalid(what+" has no value that can be used; nothing was sent", "")
	}
	failure.Fix = "an operator sees why with `writ secret list --check`"
	return failure
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
		e.guard.add(c.raw, minInjected)
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
