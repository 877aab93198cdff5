package hook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/writ-run/writ"
)

// Bounds of Standard Webhooks for a key. maxKeys bounds the header: a secret that is
// rotated once has two.
const (
	keyPrefix = "whsec_"
	minKey    = 24
	maxKey    = 64
	maxKeys   = 4
)

// parseKey reads a secret in the form whsec_BASE64.
func parseKey(value []byte) ([]byte, bool) {
	text, ok := bytes.CutPrefix(bytes.TrimSpace(value), []byte(keyPrefix))
	if !ok {
		return nil, false
	}
	key := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(key, text)
	if err != nil || n < minKey || n > maxKey {
		clear(key)
		return nil, false
	}
	return key[:n], true
}

// keys are those to sign with now: the one in force first, then what it replaced and
// is still kept, so that a receiver may change over at its leisure. The caller
// overwrites them.
func (w *worker) keys(ctx context.Context) ([][]byte, error) {
	value, err := w.opts.Secrets.Secret(ctx, w.hook.Tenant, w.hook.Secret)
	if err != nil {
		return nil, err
	}
	defer clear(value)
	first, ok := parseKey(value)
	if !ok {
		return nil, writ.Errorf(writ.CodeInvalid, "secret "+w.hook.Secret, "is no key of a webhook: want whsec_ and 24 to 64 bytes in base64").
			WithFix("echo \"whsec_$(openssl rand -base64 32)\" | writ secret set %s", w.hook.Secret)
	}
	keys := [][]byte{first}
	known, err := w.opts.Secrets.Known(ctx, w.hook.Tenant)
	if err != nil {
		return keys, nil // an old key is a convenience
	}
	for _, values := range known {
		defer func() {
			for _, v := range values {
				clear(v)
			}
		}()
	}
	for _, old := range known[w.hook.Secret] {
		key, ok := parseKey(old)
		if ok && len(keys) < maxKeys && !containsKey(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

func containsKey(keys [][]byte, key []byte) bool {
	for _, have := range keys {
		if hmac.Equal(have, key) {
			return true
		}
	}
	return false
}

// signature is the header webhook-signature: v1,BASE64 for each key, over
// id.timestamp.body (Standard Webhooks, "Signature scheme").
func signature(keys [][]byte, id string, at time.Time, body []byte) string {
	signatures := make([]string, 0, len(keys))
	for _, key := range keys {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
		mac.Write(body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(signatures, " ")
}
