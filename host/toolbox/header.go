package toolbox

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/writ-run/writ/abi"
)

// ownedHeaders are set by the host alone: they frame the message, name the
// connection or the key of the call, or would make the server do something else
// than the method that was judged.
var ownedHeaders = []string{
	"Accept-Encoding", // the host must be able to read what comes back
	"Connection", "Content-Length", "Expect", "Host", "Http2-Settings", "Idempotency-Key",
	"Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "X-Idempotency-Key",
	"X-Http-Method", "X-Http-Method-Override", "X-Method-Override",
}

func hostOwned(canonical string) bool {
	return strings.HasPrefix(canonical, "Proxy-") || slices.Contains(ownedHeaders, canonical)
}

// guestHeader checks the guest's headers. Names that differ in case alone are
// one header: which of them would win is not left to chance.
func guestHeader(given map[string]string) (http.Header, *abi.Failure) {
	header := http.Header{}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		canonical := http.CanonicalHeaderKey(name)
		if hostOwned(canonical) {
			return nil, failInvalid("the header "+canonical+" is the host's", "leave it out of the call")
		}
		if _, twice := header[canonical]; twice {
			return nil, failInvalid("the header "+canonical+" is given twice", "")
		}
		header[canonical] = []string{given[name]}
	}
	return header, nil
}

// dropContent removes what describes a body that is not sent any more.
func dropContent(header http.Header) {
	for name := range header {
		if strings.HasPrefix(name, "Content-") || name == "Digest" || name == "Last-Modified" {
			delete(header, name)
		}
	}
}

// keepHarmless leaves what may be shown to a host that the guest did not name:
// any other header may hold a credential.
func keepHarmless(header http.Header) {
	for name := range header {
		switch name {
		case "Accept", "Accept-Language", "Content-Type", "User-Agent", "Range":
		default:
			delete(header, name)
		}
	}
}

// hiddenHeaders do not reach the guest: cookies are ambient state, the others
// belong to the connection (RFC 9110 section 7.6.1).
var hiddenHeaders = []string{
	"Set-Cookie", "Set-Cookie2", "Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// visibleHeader is what the guest sees: lower-case names, several values joined
// as RFC 9110 section 5.3 does.
func visibleHeader(header http.Header) map[string]string {
	hidden := slices.Clone(hiddenHeaders)
	for _, value := range header["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			hidden = append(hidden, http.CanonicalHeaderKey(strings.TrimSpace(name)))
		}
	}
	out := map[string]string{}
	for name, values := range header {
		if !slices.Contains(hidden, name) && !strings.HasPrefix(name, "Proxy-") {
			out[toLower(name)] = strings.ToValidUTF8(strings.Join(values, ", "), "\ufffd")
		}
	}
	return out
}

// toLower folds ASCII alone: Unicode has letters whose lower case is ASCII, such
// as the Kelvin sign.
func toLower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
