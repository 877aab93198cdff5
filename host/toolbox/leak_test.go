package toolbox

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// percentAll escapes every byte, in upper or lower case by turns.
func percentAll(b []byte) []byte {
	var out []byte
	for i, c := range b {
		out = fmt.Appendf(out, [...]string{"%%%02X", "%%%02x"}[i%2], c)
	}
	return out
}

// unicodeAll escapes every UTF-16 unit as JSON may.
func unicodeAll(b []byte) []byte {
	var out []byte
	for _, r := range string(b) {
		if r > 0xffff {
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04X\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
			continue
		}
		out = fmt.Appendf(out, `\u%04x`, r)
	}
	return out
}

func jsonText(b []byte) []byte {
	out, err := json.Marshal(string(b))
	if err != nil {
		panic(err)
	}
	return out[1 : len(out)-1]
}

// folded breaks text into lines as MIME does.
func folded(text string) []byte {
	var out []byte
	for i := 0; i < len(text); i += 20 {
		out = append(out, text[i:min(len(text), i+20)]...)
		out = append(out, "\r\n"...)
	}
	return out
}

// encodings are what an echo may make of the bytes around and of the secret.
var encodings = []struct {
	name string
	text bool // the encoding is of text alone
	of   func(before, secret, after []byte) []byte
}{
	{"raw", false, func(b, s, a []byte) []byte { return join(b, s, a) }},
	{"base64", false, func(b, s, a []byte) []byte {
		return []byte(base64.StdEncoding.EncodeToString(join(b, s, a)))
	}},
	{"base64 of URLs", false, func(b, s, a []byte) []byte {
		return []byte(base64.RawURLEncoding.EncodeToString(join(b, s, a)))
	}},
	{"base64 in lines", false, func(b, s, a []byte) []byte {
		return folded(base64.StdEncoding.EncodeToString(join(b, s, a)))
	}},
	{"base64 in lines in JSON", false, func(b, s, a []byte) []byte {
		return jsonText(folded(base64.StdEncoding.EncodeToString(join(b, s, a))))
	}},
	{"base64 in a query", false, func(b, s, a []byte) []byte {
		return []byte(url.QueryEscape(base64.StdEncoding.EncodeToString(join(b, s, a))))
	}},
	{"hexadecimal", false, func(b, s, a []byte) []byte { return join(b, []byte(hex.EncodeToString(s)), a) }},
	{"HEXADECIMAL", false, func(b, s, a []byte) []byte { return join(b, bytes.ToUpper([]byte(hex.EncodeToString(s))), a) }},
	{"percent", false, func(b, s, a []byte) []byte { return join(b, percentAll(s), a) }},
	{"query", false, func(b, s, a []byte) []byte { return join(b, []byte(url.QueryEscape(string(s))), a) }},
	{"path", false, func(b, s, a []byte) []byte { return join(b, []byte(url.PathEscape(string(s))), a) }},
	{"JSON", true, func(b, s, a []byte) []byte { return join(b, jsonText(s), a) }},
	{"JSON throughout", true, func(b, s, a []byte) []byte { return join(b, unicodeAll(s), a) }},
	{"HTML", true, func(b, s, a []byte) []byte { return join(b, []byte(html.EscapeString(string(s))), a) }},
	{"JSON in JSON", true, func(b, s, a []byte) []byte { return jsonText(join(b, jsonText(s), a)) }},
	{"a query in JSON", true, func(b, s, a []byte) []byte { return jsonText(join(b, []byte(url.QueryEscape(string(s))), a)) }},
	{"JSON in a query", true, func(b, s, a []byte) []byte { return []byte(url.QueryEscape(string(join(b, jsonText(s), a)))) }},
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func checkPlanted(t interface{ Fatalf(string, ...any) }, before, secret, after []byte) {
	text := utf8.Valid(before) && utf8.Valid(secret) && utf8.Valid(after)
	for _, encoding := range encodings {
		if encoding.text && !text {
			continue
		}
		var guard leakGuard
		guard.add(secret, minInjected)
		planted := encoding.of(before, secret, after)
		if !guard.found(planted) {
			t.Fatalf("%s: %q is not found in %q", encoding.name, secret, planted)
		}
	}
}

// secretBytes are what the toolbox injects: no control characters.
func secretBytes(raw []byte) []byte {
	out := []byte{}
	for _, c := range raw {
		if c >= 0x20 && c != 0x7f {
			out = append(out, c)
		}
	}
	return out
}

func TestPlantedSecretsAreFound(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		secret := []byte(rapid.OneOf(
			rapid.StringMatching(`[A-Za-z0-9+/_=.-]{8,40}`),
			rapid.StringMatching(`[%\\"&+ u0-9a-f;#x<>]{8,24}`), // what escapes are made of
			rapid.StringMatching(`[ä€😀 "]{8,12}`),
		).Draw(rt, "secret"))
		around := rapid.OneOf(
			rapid.Just(""), rapid.StringMatching(`[%\\&u0-9a-f]{0,4}`), rapid.StringN(0, 6, -1))
		checkPlanted(rt, []byte(around.Draw(rt, "before")), secret, []byte(around.Draw(rt, "after")))
	})
}

func FuzzLeakScanner(f *testing.F) {
	f.Add([]byte("ab"), []byte("s3cr3t+/=&\"\\% value"), []byte("yz"))
	f.Add([]byte("%"), []byte("ab%41cdefgh"), []byte("%4"))
	f.Add([]byte(`\u12`), []byte(`\u0041bcdefgh`), []byte(`\`))
	f.Fuzz(func(t *testing.T, before, secret, after []byte) {
		if secret = secretBytes(secret); len(secret) < minInjected || len(secret) > 256 {
			return
		}
		checkPlanted(t, before, secret, after)
		var guard leakGuard
		guard.add(secret, minInjected)
		guard.found(before) // never panics, whatever the text
	})
}

func TestInnocentTextPasses(t *testing.T) {
	var guard leakGuard
	guard.add([]byte("s3cr3t-value"), minInjected)
	for _, text := range []string{
		"", "s3cr3t-valu", "S3CR3T-VALUE", "s3cr3t value", "%", "%7", "&", "&;", "&#", `\`, `\u`, `\ud800`, "+",
		base64.StdEncoding.EncodeToString([]byte("s3cr3t-valu")), strings.Repeat("%41&amp;\\u0041", 100),
	} {
		if guard.found([]byte(text)) {
			t.Errorf("%q holds no secret", text)
		}
	}
	var empty leakGuard
	if empty.found([]byte("anything")) {
		t.Error("without secrets nothing leaks")
	}
}

func TestThePasswordIsASecretOfItsOwn(t *testing.T) {
	var guard leakGuard
	guard.add([]byte("user:correct-horse"), minInjected)
	for _, text := range []string{"user:correct-horse", "correct-horse", hex.EncodeToString([]byte("correct-horse"))} {
		if !guard.found([]byte(text)) {
			t.Errorf("%q passes", text)
		}
	}
	if guard.found([]byte("user")) {
		t.Error("the name is no secret")
	}
}

func TestHeadersAreSearched(t *testing.T) {
	var guard leakGuard
	guard.add([]byte("s3cr3t-value"), minInjected)
	for _, header := range []http.Header{
		{"X-Echo": {"a", "Bearer s3cr3t-value"}}, {"S3cr3t-Value": {""}, "X": {"s3cr3t-value"}},
	} {
		if !guard.foundInHeader("200 OK", header) {
			t.Errorf("%v passes", header)
		}
	}
	if !guard.foundInHeader("401 s3cr3t-value", nil) || guard.foundInHeader("200 OK", http.Header{"A": {"b"}}) {
		t.Error("the status line is not searched, or too well")
	}
}

func TestWipe(t *testing.T) {
	var guard leakGuard
	guard.add([]byte("s3cr3t-value"), minInjected)
	text := guard.needles[0].text
	guard.wipe()
	if !bytes.Equal(text, make([]byte, len(text))) || guard.found([]byte("s3cr3t-value")) {
		t.Error("the pattern is still there")
	}
}

// TestScanningIsLinear: an answer of nothing but escapes and half matches does
// not make the work explode, whatever the secret looks like.
func TestScanningIsLinear(t *testing.T) {
	for _, secret := range []string{
		"s3cr3t-value-with-some-length", strings.Repeat(`\`, 100) + "x", strings.Repeat("%25", 50) + "x", strings.Repeat("&amp;", 50) + "x",
	} {
		var guard leakGuard
		guard.add([]byte(secret), minInjected)
		for _, unit := range []string{`\`, "%25", "%2525", "&amp;", "&amp;amp;", "%73%33%63", `\u0073\u0033`, "&#115;", "s3cr3t-value", "+"} {
			if guard.found([]byte(strings.Repeat(unit, 64<<10/len(unit)))) {
				t.Errorf("%q repeated does not hold %q", unit, secret)
			}
		}
	}
}

// BenchmarkLeakGuard looks for the secrets of a busy host in a long answer.
func BenchmarkLeakGuard(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprint(n, " secrets"), func(b *testing.B) {
			var guard leakGuard
			for i := range n {
				guard.add(fmt.Appendf(nil, "%c%d-token-of-some-length-%d", 'A'+i%57, i*7919, i), minStranger)
			}
			text := []byte(strings.Repeat(`{"id":12345,"name":"some notes \u00e4","url":"https://api.example.test/a?b=c%20d"},`, 1<<20/82))
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if guard.found(text) {
					b.Fatal("found")
				}
			}
		})
	}
}
