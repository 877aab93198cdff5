package toolbox

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

func TestBodiesAreBounded(t *testing.T) {
	const limit = 1000
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	_, _ = w.Write(make([]byte, 20<<20))
	_ = w.Close()
	gzipped := func(n int) []byte {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		_, _ = w.Write(bytes.Repeat([]byte("x"), n))
		_ = w.Close()
		return out.Bytes()
	}
	empty := bytes.Repeat(gzipped(0), (limit+gzipSlack)/20) // members of gzip that hold nothing
	cases := map[string]struct {
		encoding string
		body     []byte
		fails    string
	}{
		"at the limit":           {"", bytes.Repeat([]byte("x"), limit), ""},
		"one past":               {"", bytes.Repeat([]byte("x"), limit+1), abi.FailTooLarge},
		"endless":                {"", make([]byte, 5<<20), abi.FailTooLarge},
		"gzip at the limit":      {"gzip", gzipped(limit), ""},
		"gzip one past":          {"gzip", gzipped(limit + 1), abi.FailTooLarge},
		"gzip bomb":              {"gzip", bomb.Bytes(), abi.FailTooLarge},
		"gzip of nothing":        {"gzip", empty, abi.FailTooLarge},
		"gzip by its other name": {"X-GZIP", gzipped(5), ""},
		"brotli":                 {"br", []byte("x"), abi.FailUnsupported},
		"gzip twice":             {"gzip, gzip", []byte("x"), abi.FailUnsupported},
		"deflate":                {"deflate", []byte("x"), abi.FailUnsupported},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := mapped(t, func(w http.ResponseWriter, _ *http.Request) {
				if c.encoding != "" {
					w.Header().Set("Content-Encoding", c.encoding)
				}
				_, _ = w.Write(c.body)
			}, Options{MaxResponse: limit})
			result := b.request("POST", "https://api.test/")
			if c.fails != "" {
				wantFailure(t, result, c.fails, writ.OutcomeDone)
				return
			}
			response := bodyOf[abi.HTTPResponse](t, result)
			if strings.Trim(response.Body, "x") != "" || response.Body == "" || response.Headers["content-encoding"] != "" {
				t.Errorf("%.50q, %v", response.Body, response.Headers)
			}
		})
	}
}

func TestRequestBodiesAreBounded(t *testing.T) {
	b := mapped(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprint(w, n)
	}, Options{MaxRequest: 100})
	post := func(n int) *writ.ToolResult {
		return b.do(abi.ToolHTTPRequest, abi.HTTPRequest{Method: "POST", URL: "https://api.test/", Body: strings.Repeat("x", n)})
	}
	if got := bodyOf[abi.HTTPResponse](t, post(100)).Body; got != "100" {
		t.Errorf("at the limit: %q", got)
	}
	wantFailure(t, post(101), abi.FailTooLarge, writ.OutcomeNotDone)
}

func TestAnswersWithoutBody(t *testing.T) {
	b := mapped(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(atoi(r.URL.Path[1:]))
	}, Options{})
	for _, c := range []struct{ method, path string }{{"HEAD", "200"}, {"GET", "204"}, {"GET", "304"}, {"POST", "204"}} {
		if response := bodyOf[abi.HTTPResponse](t, b.request(c.method, "https://api.test/"+c.path)); itoa(response.Status) != c.path {
			t.Errorf("%s %s: %+v", c.method, c.path, response)
		}
	}
}
