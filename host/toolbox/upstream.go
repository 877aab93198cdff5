package toolbox

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/writ-run/writ"
)

// upstream serves a host in its stead.
type upstream struct {
	base *url.URL // without a slash at the end of its path
}

func parseUpstreams(texts map[string]string) (map[string]upstream, error) {
	out := map[string]upstream{}
	for _, host := range slices.Sorted(maps.Keys(texts)) {
		base, err := url.Parse(texts[host])
		op := "upstream of " + host
		if err != nil || (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" ||
			base.User != nil || base.RawQuery != "" || base.Fragment != "" {
			return nil, writ.Errorf(writ.CodeInvalid, op, "is not a plain base URL").
				WithFix("write it like http://127.0.0.1:8089 or https://github.example.com/api/v3")
		}
		if host == "" || host != strings.ToLower(host) || strings.ContainsAny(host, "/* ") {
			return nil, writ.Errorf(writ.CodeInvalid, op, "is not of a host in lower case, with its port where that is not the scheme's own")
		}
		base.Path = strings.TrimSuffix(base.Path, "/")
		base.RawPath = strings.TrimSuffix(base.RawPath, "/")
		out[host] = upstream{base: base}
	}
	return out, nil
}

// rewrite is where a request for u is really sent.
func (up upstream) rewrite(u *url.URL) *url.URL {
	out := *up.base
	out.Path = up.base.Path + u.Path
	out.RawPath = up.base.EscapedPath() + u.EscapedPath()
	out.RawQuery, out.ForceQuery = u.RawQuery, u.ForceQuery
	return &out
}

// restore turns a redirect that names the upstream itself back into a URL of
// the host that it serves: the guest was granted that host.
func (up upstream) restore(target, original *url.URL) *url.URL {
	path, under := strings.CutPrefix(target.EscapedPath(), up.base.EscapedPath())
	under = under && (path == "" || path[0] == '/')
	if target.Scheme != up.base.Scheme || !strings.EqualFold(target.Host, up.base.Host) || !under {
		return target
	}
	out := *target
	out.Scheme, out.Host = original.Scheme, original.Host
	plain, err := url.PathUnescape(path)
	if err != nil {
		return target
	}
	out.Path, out.RawPath = plain, path
	return &out
}
