package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// echo is one way in which a server says back what it was sent.
type echo struct {
	name string
	say  func(w http.ResponseWriter, r *http.Request, secret string)
}

// body is an echo of what of makes of the secret, in the midst of other text.
func body(name string, of func(string) string) echo {
	return echo{name, func(w http.ResponseWriter, _ *http.Request, secret string) {
		_, _ = fmt.Fprintf(w, "you sent [%s], did you not?", of(secret))
	}}
}

func base64At(offset int) func(string) string {
	return func(secret string) string {
		return base64.StdEncoding.EncodeToString([]byte("abc"[:offset] + secret + " and more"))
	}
}

func jsonEscaped(secret string) string {
	text, _ := json.Marshal(secret)
	return string(text[1 : len(text)-1])
}

func percentEscaped(secret string) string {
	var out strings.Builder
	for i := range len(secret) {
		fmt.Fprintf(&out, "%%%02x", secret[i])
	}
	return out.String()
}

func unicodeEscaped(secret string) string {
	var out strings.Builder
	for _, r := range secret {
		fmt.Fprintf(&out, `\u%04x`, r)
	}
	return out.String()
}

// echoes are all of them.
func echoes() []echo {
	same := func(secret string) string { return secret }
	inHeader := func(name string, of func(string) string) echo {
		return echo{"header " + name, func(w http.ResponseWriter, _ *http.Request, secret string) { w.Header().Set(name, of(secret)) }}
	}
	return []echo{
		body("raw", same), body("base64", base64At(0)), body("base64 after one", base64At(1)), body("base64 after two", base64At(2)),
		body("base64 of URLs", func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }),
		body("query", url.QueryEscape), body("path", url.PathEscape), body("percent", percentEscaped),
		body("JSON", jsonEscaped), body("JSON throughout", unicodeEscaped), body("HTML", html.EscapeString),
		body("hexadecimal", func(s string) string { return hex.EncodeToString([]byte(s)) }),
		body("HEXADECIMAL", func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) }),
		inHeader("X-Echo", same), inHeader("Set-Cookie", same), inHeader("Www-Authenticate", base64At(1)),
		{"gzip", func(w http.ResponseWriter, _ *http.Request, secret string) {
			w.Header().Set("Content-Encoding", "gzip")
			packed := gzip.NewWriter(w)
			_, _ = packed.Write([]byte(strings.Repeat("x", 3000) + secret))
			_ = packed.Close()
		}},
		{"error", func(w http.ResponseWriter, _ *http.Request, secret string) {
			http.Error(w, "the credential "+secret+" is not valid", http.StatusUnauthorized)
		}},
		{"chunks", func(w http.ResponseWriter, _ *http.Request, secret string) {
			for i := range len(secret) {
				_, _ = w.Write([]byte{secret[i]})
				w.(http.Flusher).Flush()
			}
		}},
		{"redirect", func(w http.ResponseWriter, r *http.Request, secret string) {
			http.Redirect(w, r, r.URL.Path+"?token="+url.QueryEscape(secret), http.StatusFound)
		}},
		{"halves over redirects", halves},
	}
}

// halves sends each half of the secret through a redirect of its own, and the two
// together at the end.
func halves(w http.ResponseWriter, r *http.Request, secret string) {
	q, half := r.URL.Query(), len(secret)/2
	first, second := hex.EncodeToString([]byte(secret[:half])), hex.EncodeToString([]byte(secret[half:]))
	switch {
	case q.Get("a") == "":
		http.Redirect(w, r, r.URL.Path+"?a="+first, http.StatusFound)
	case q.Get("b") == "":
		http.Redirect(w, r, r.URL.Path+"?a="+first+"&b="+second, http.StatusTemporaryRedirect)
	default:
		_, _ = fmt.Fprint(w, q.Get("a")+q.Get("b"))
	}
}

// traces are the texts in which a secret is looked for: written here anew, so that the
// scanner of the toolbox is not its own judge.
func traces(secret string) map[string][]byte {
	out := map[string][]byte{}
	add := func(name, text string) { out[name] = []byte(text) }
	add("raw", secret)
	add("first half", secret[:len(secret)/2])
	add("second half", secret[len(secret)/2:])
	add("query", url.QueryEscape(secret))
	add("path", url.PathEscape(secret))
	add("percent", percentEscaped(secret))
	add("JSON", jsonEscaped(secret))
	add("JSON in JSON", jsonEscaped(jsonEscaped(secret)))
	add("JSON throughout", unicodeEscaped(secret))
	add("HTML", html.EscapeString(secret))
	add("hexadecimal", hex.EncodeToString([]byte(secret)))
	add("HEXADECIMAL", strings.ToUpper(hex.EncodeToString([]byte(secret))))
	add("half in hexadecimal", hex.EncodeToString([]byte(secret[:len(secret)/2])))
	for offset := range 3 {
		// Without the characters that share bits with what stands around.
		text := base64.RawStdEncoding.EncodeToString([]byte("abc"[:offset] + secret))
		text = text[(offset*8+5)/6 : (offset+len(secret))*8/6]
		add(fmt.Sprint("base64 after ", offset), text)
		add(fmt.Sprint("base64 of URLs after ", offset), strings.NewReplacer("+", "-", "/", "_").Replace(text))
	}
	return out
}

// searcher looks for secrets in what is left of a run.
type searcher struct {
	t       *testing.T
	secrets map[string]string // by what they are called
}

// in reports how many of the secrets the text holds, and fails the test for each.
func (s *searcher) in(where string, text []byte) {
	s.t.Helper()
	for name, secret := range s.secrets {
		for form, trace := range traces(secret) {
			if bytes.Contains(text, trace) {
				s.t.Errorf("%s holds the secret %s (%s)", where, name, form)
			}
		}
	}
}

// below looks through all files of a directory, and says how many bytes they have.
func (s *searcher) below(dir string) int {
	s.t.Helper()
	total := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		s.in(path, text)
		total += len(text)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return total
}
