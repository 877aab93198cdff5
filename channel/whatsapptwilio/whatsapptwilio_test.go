package whatsapptwilio

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/channel"
	"github.com/writ-run/writ/channel/channeltest"
)

var testKey = []byte("0d4be8f0a1b2c3d4e5f607183f1c0c2a")

const testURL = "https://writ.example.com/webhooks/whatsapp-twilio/ops"

// form is one message; fields replace what it has, and an empty one takes it away.
func form(fields map[string]string) []byte {
	all := url.Values{}
	for name, value := range sampleFields {
		all.Set(name, value)
	}
	for name, value := range fields {
		all.Set(name, value)
	}
	if !all.Has("MessageSid") {
		sum := sha256.Sum256([]byte(all.Encode()))
		all.Set("MessageSid", "SM"+hex.EncodeToString(sum[:16]))
	}
	for name := range all {
		if all.Get(name) == "" {
			all.Del(name)
		}
	}
	return []byte(all.Encode())
}

func vector(name, to, fields, signature string) channeltest.Vector {
	r := &channel.Request{Method: http.MethodPost, URL: to, Body: []byte(fields), Header: http.Header{
		headerSignature: {signature}, "Content-Type": {"application/x-www-form-urlencoded; charset=UTF-8"},
	}}
	if strings.HasPrefix(fields, "{") {
		r.Header.Set("Content-Type", "application/json")
	}
	return channeltest.Vector{Name: name, Key: []byte("12345"), Request: r}
}

func suite() *channeltest.Suite {
	const call = "CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212"
	return &channeltest.Suite{
		Adapter: Adapter{}, Key: testKey, Direct: true,
		// twilio.com/docs/usage/security, and the tests of Twilio's own libraries.
		Vectors: []channeltest.Vector{
			vector("the guide", "https://mycompany.com/myapp.php?foo=1&bar=2", strings.ReplaceAll(call, "309", "310"), "GvWf1cFY/Q7PnoempGyD5oXAezc="),
			vector("a form", "https://mycompany.com/myapp.php?foo=1&bar=2", call, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
			vector("the port is left out", "https://mycompany.com:1234/myapp.php?foo=1&bar=2", call, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
			vector("the port of https is added", "https://mycompany.com/myapp.php?foo=1&bar=2", call, "kvajT1Ptam85bY51eRf/AJRuM3w="),
			vector("the port of http is added", "http://mycompany.com/myapp.php?foo=1&bar=2", call, "0ZXoZLH/DfblKGATFgpif+LLRf4="),
			vector("another port of http", "http://mycompany.com:1234/myapp.php?foo=1&bar=2", call, "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
			vector("a field twice", "https://mycompany.com/myapp.php?foo=1&bar=2", "Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234", "IK+Dwps556ElfBT0I3Rgjkr1wJU="),
			vector("JSON", "https://mycompany.com/myapp.php?foo=1&bar=2&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620", `{"property": "value", "boolean": true}`, "a9nBmqA0ju/hNViExpshrM61xv4="),
		},
		Sign: func(key, body []byte, _ time.Time) *channel.Request { return signed(testURL, key, body) },
		Text: func(thread, sender, text string) []byte {
			return form(map[string]string{"To": "whatsapp:" + thread, "From": "whatsapp:" + sender, "Body": text})
		},
		Attached: func(text, file string) []byte {
			return form(map[string]string{"Body": text, "NumMedia": "1", "MediaUrl0": "https://api.example.com/media/" + file, "MediaContentType0": "text/csv"})
		},
		Place: func(place, thread, _, text string) []byte {
			return form(map[string]string{"To": "whatsapp:+" + place, "From": "whatsapp:+" + thread, "Body": text})
		},
		Echoes: map[string][]byte{
			"a receipt": form(map[string]string{"MessageStatus": "read"}), "what was sent": form(map[string]string{"MessageStatus": "sent", "Body": "/approve"}),
		},
		Passing: map[string][]byte{
			"an SMS":   form(map[string]string{"From": "+15550100601", "Body": "/approve"}),
			"nobody's": form(map[string]string{"From": ""}), "to nobody": form(map[string]string{"To": ""}), "a number with more in it": form(map[string]string{"From": "whatsapp:+1555 0100601"}),
		},
		Pressed: func(thread, sender, action, value string) []byte {
			return form(map[string]string{"To": "whatsapp:" + thread, "From": "whatsapp:" + sender, "Body": "Yes", "ButtonText": "Yes", "ButtonPayload": action + ":" + value})
		},
	}
}

func TestConformance(t *testing.T) { channeltest.Run(t, suite()) }

func read(t *testing.T, body []byte) channel.Message {
	t.Helper()
	messages, err := Adapter{}.Read(&channel.Delivery{Body: body})
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d messages, %v", len(messages), err)
	}
	return messages[0]
}

func TestFields(t *testing.T) {
	m := read(t, form(map[string]string{"Body": "look", "NumMedia": "1", "MediaUrl0": "https://api.example.com/1", "MediaContentType0": "image/png"}))
	if m.Kind != channel.Said || m.Text != "look" || !m.Addressed || m.Sender != (channel.Sender{ID: "whatsapp:+15550100601", Name: "Grace"}) ||
		m.Thread != "whatsapp:+15550100200/whatsapp:+15550100601" || !strings.Contains(string(m.Metadata), `"MediaUrl0":"https://api.example.com/1"`) || !sidForm.MatchString(m.ID) {
		t.Errorf("%+v %s", m, m.Metadata)
	}
	m = read(t, form(map[string]string{"Body": "Seven", "ListId": "choose:7", "ListTitle": "Seven"}))
	if m.Kind != channel.Pressed || m.Text != "Seven" || m.Addressed || *m.Press != (channel.Press{Action: "choose", Value: "7"}) {
		t.Errorf("%+v", m)
	}
	m = read(t, form(map[string]string{"From": "whatsapp:US.13491208655302741918", "Body": "x"}))
	if m.Kind != channel.Said || m.Sender.ID != "whatsapp:US.13491208655302741918" {
		t.Errorf("who shows no number: %+v", m)
	}
}

// TestKeys: a message has one, and each receipt of it another.
func TestKeys(t *testing.T) {
	sid := "SM" + strings.Repeat("a", 32)
	for status, want := range map[string]string{"": sid, "delivered": sid + "/delivered", "read": sid + "/read"} {
		receipt, err := Adapter{}.Receive(signed(testURL, testKey, form(map[string]string{"MessageSid": sid, "MessageStatus": status})), [][]byte{testKey})
		if err != nil || receipt.Key != want || string(receipt.Accepted.Body) != "<Response/>" || receipt.Accepted.Status != http.StatusOK || !strings.HasPrefix(receipt.Accepted.ContentType, "text/xml") {
			t.Errorf("%q: %+v, %v", status, receipt, err)
		}
	}
	for _, sid := range []string{"", "SM1", sid + "a", strings.ToUpper(sid), "SM" + strings.Repeat("g", 32)} {
		if _, err := (Adapter{}).Receive(signed(testURL, testKey, form(map[string]string{"MessageSid": sid})), [][]byte{testKey}); !writ.IsCode(err, writ.CodeInvalid) {
			t.Errorf("the sid %q: %v", sid, err)
		}
	}
}

// TestTheOrderOfFieldsIsFree and nothing else: another value or name is another signature.
func TestTheOrderOfFieldsIsFree(t *testing.T) {
	text := rapid.StringOf(rapid.RuneFrom([]rune("aZ &=+%\x00\né🦉")))
	rapid.Check(t, func(t *rapid.T) {
		fields := rapid.MapOfN(rapid.StringMatching(`[A-Z][a-z]{3,8}`), text, 1, 8).Draw(t, "fields")
		fields["MessageSid"] = "SM" + strings.Repeat("e", 32)
		encode := func(names []string) []byte {
			pairs := make([]string, len(names))
			for i, name := range names {
				pairs[i] = url.QueryEscape(name) + "=" + url.QueryEscape(fields[name])
			}
			return []byte(strings.Join(pairs, "&"))
		}
		names := slices.Sorted(maps.Keys(fields))
		r := signed(testURL, testKey, encode(names))
		r.Body = encode(rapid.Permutation(names).Draw(t, "order"))
		if _, err := (Adapter{}).Receive(r, [][]byte{testKey}); err != nil {
			t.Fatalf("in another order: %v", err)
		}
		fields[rapid.SampledFrom(names).Draw(t, "which")] += "x"
		r.Body = encode(names)
		if _, err := (Adapter{}).Receive(r, [][]byte{testKey}); !writ.IsCode(err, writ.CodeUnauthenticated) {
			t.Fatalf("with another value: %v", err)
		}
	})
}

// TestAnotherURL is what a wrong publicUrl looks like: the refusal names the URL, and
// nothing of its query.
func TestAnotherURL(t *testing.T) {
	body := form(map[string]string{"Body": "x"})
	for at, bare := range map[string]string{
		"http://writ.example.com/webhooks/whatsapp-twilio/ops":  "http://writ.example.com/webhooks/whatsapp-twilio/ops",
		"https://writ.example.org/webhooks/whatsapp-twilio/ops": "https://writ.example.org/webhooks/whatsapp-twilio/ops",
		testURL + "/": testURL + "/", testURL + "?a=hidden": testURL, "https://twilio:hidden@writ.example.com/x": "https://writ.example.com/x",
		"https://writ.example.com:8443/x": "https://writ.example.com:8443/x", "://hidden": "cannot be read", "": "", "https://writ.example.com/" + strings.Repeat("x", 9999): "xxx...",
	} {
		r := signed(testURL, testKey, body)
		r.URL = at
		_, err := Adapter{}.Receive(r, [][]byte{testKey})
		var e *writ.Error
		if !errors.As(err, &e) || e.Code != writ.CodeUnauthenticated || !strings.Contains(err.Error(), bare) || !strings.Contains(e.Fix, "publicUrl") || strings.Contains(err.Error(), "hidden") || len(err.Error()) > 500 || strings.Contains(err.Error(), string(testKey)) {
			t.Errorf("%s: %v", at, err)
		}
	}
	if _, err := (Adapter{}).Receive(signed(testURL+"?a=b&c=%20d", testKey, body), [][]byte{testKey}); err != nil {
		t.Errorf("a query: %v", err)
	}
}

func TestPorts(t *testing.T) {
	for asked, want := range map[string]string{
		"https://a.example": "https://a.example:443", "https://a.example:443/x?y=:1": "https://a.example/x?y=:1", "http://a.example?x=1": "http://a.example:80?x=1",
		"https://a.example:8443/x": "https://a.example/x", "https://[2001:db8::1]:8443/x": "https://[2001:db8::1]/x", "https://[2001:db8::1]/x": "https://[2001:db8::1]:443/x", "https://a.example/%41?b=%2B": "https://a.example:443/%41?b=%2B",
	} {
		if got := ports(asked); len(got) != 2 || got[0] != asked || got[1] != want {
			t.Errorf("%s: %q", asked, got)
		}
	}
}

// TestWhatIsNotSignedCounts for nothing: the content type is a header that whoever stands
// in between may change.
func TestWhatIsNotSignedCounts(t *testing.T) {
	body := []byte(`{"MessageSid":"SM` + strings.Repeat("b", 32) + `","From":"whatsapp:+1","To":"whatsapp:+2","Body":"hi"}`)
	digest := sha256.Sum256(body)
	send := func(to, media string, body []byte) (*channel.Receipt, error) {
		r := &channel.Request{Method: http.MethodPost, URL: to, Header: http.Header{}, Body: body}
		r.Header.Set("Content-Type", media)
		r.Header.Set(headerSignature, base64.StdEncoding.EncodeToString(sign(testKey, to)))
		return Adapter{}.Receive(r, [][]byte{testKey})
	}
	to := testURL + "?bodySHA256=" + hex.EncodeToString(digest[:])
	receipt, err := send(to, "application/json", body)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := (Adapter{}).Read(&channel.Delivery{Body: body, Hints: receipt.Hints}); err != nil || m[0].Text != "hi" {
		t.Errorf("%+v, %v", m, err)
	}
	for what, c := range map[string]struct {
		to, media string
		body      []byte
		code      writ.Code
	}{
		"another body":   {to, "application/json", append(body[:len(body):len(body)], ' '), writ.CodeUnauthenticated},
		"no digest":      {testURL, "application/json", body, writ.CodeUnauthenticated},
		"read as a form": {to, "application/x-www-form-urlencoded", body, writ.CodeUnauthenticated},
		"as text":        {to, "text/plain", body, writ.CodeUnauthenticated},
		"an empty form":  {testURL, "application/x-www-form-urlencoded", nil, writ.CodeInvalid},
		"no type at all": {testURL, "", nil, writ.CodeInvalid},
	} {
		if _, err := send(c.to, c.media, c.body); !writ.IsCode(err, c.code) {
			t.Errorf("%s: %v, want %s", what, err, c.code)
		}
	}
}

// TestASignatureIsOfOneSender: whoever sees a message that it wrote itself on its way here
// could else cut it so that another has written it.
func TestASignatureIsOfOneSender(t *testing.T) {
	sid := "SM" + strings.Repeat("d", 32)
	cut := func(fields map[string]string) url.Values {
		form := url.Values{"Body": {"stop all of it"}, "From": {"whatsapp:+15550100999"}, "MessageSid": {sid}, "To": {"whatsapp:+15550100200"}}
		for name, value := range fields {
			form.Set(name, value)
		}
		return form
	}
	body := "stop all of itFromwhatsapp:+15550100999MessageSid" + sid + "Towhatsapp:+15550100200Z"
	sent := signed(testURL, testKey, []byte(cut(map[string]string{"Body": body, "From": "whatsapp:+15550100601"}).Encode()))
	for what, forged := range map[string]url.Values{
		"as it was sent":    cut(map[string]string{"Body": body, "From": "whatsapp:+15550100601"}),
		"a field that ends": cut(map[string]string{"Z": "Fromwhatsapp:+15550100601MessageSid" + sid + "Towhatsapp:+15550100200"}),
		"a name":            cut(map[string]string{"ZFrom": "whatsapp:+15550100601MessageSid" + sid + "Towhatsapp:+15550100200"}),
		"a name in two":     cut(map[string]string{"ZFromwhats": "app:+15550100601MessageSid" + sid + "Towhatsapp:+15550100200"}),
	} {
		r := signed(testURL, testKey, []byte(forged.Encode()))
		if r.Header.Get(headerSignature) != sent.Header.Get(headerSignature) {
			t.Fatalf("%s: it is not the same text", what)
		}
		if _, err := (Adapter{}).Receive(r, [][]byte{testKey}); !writ.IsCode(err, writ.CodeInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestBounds: as many fields as may be, and one more; a field twice; bytes that are no text.
func TestBounds(t *testing.T) {
	fields := func(n int) []byte {
		return []byte("MessageSid=SM" + strings.Repeat("c", 32) + strings.Repeat("&", n-2) + "&a=1")
	}
	if _, err := (Adapter{}).Receive(signed(testURL, testKey, fields(maxFields)), [][]byte{testKey}); err != nil {
		t.Errorf("%d fields: %v", maxFields, err)
	}
	if _, err := (Adapter{}).Receive(signed(testURL, testKey, fields(maxFields+1)), [][]byte{testKey}); !writ.IsCode(err, writ.CodeUnauthenticated) {
		t.Errorf("one more: %v", err)
	}
	for _, more := range []string{"&Body=a&Body=b", "&Body=a&Body=a", "&Body=%ff", "&%ff=a"} {
		_, err := Adapter{}.Receive(signed(testURL, testKey, append(fields(2), more...)), [][]byte{testKey})
		if !writ.IsCode(err, writ.CodeInvalid) {
			t.Errorf("%s: %v", more, err)
		}
	}
}

func FuzzReceive(f *testing.F) {
	f.Add(testURL, "application/json", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=", []byte(`{}`))
	f.Add(testURL+"?bodySHA256=", "application/x-www-form-urlencoded", "", form(nil))
	key := []byte("a key that nobody has guessed")
	f.Fuzz(func(t *testing.T, to, media, signature string, body []byte) {
		r := &channel.Request{Method: http.MethodPost, URL: to, Body: body, Header: http.Header{headerSignature: {signature}, "Content-Type": {media}}}
		if receipt, err := (Adapter{}).Receive(r, [][]byte{key}); err == nil {
			t.Fatalf("taken: %+v", receipt)
		}
		if _, err := (Adapter{}).Receive(signed(to, key, body), [][]byte{key}); err != nil && !writ.IsCode(err, writ.CodeInvalid) && !writ.IsCode(err, writ.CodeUnauthenticated) {
			t.Fatal(err)
		}
	})
}

func FuzzRead(f *testing.F) {
	for _, body := range channeltest.Hostile() {
		f.Add(formatJSON, body)
		f.Add(formatForm, body)
	}
	for _, fields := range samples {
		f.Add(formatForm, form(fields))
	}
	f.Fuzz(func(t *testing.T, format string, body []byte) {
		channeltest.Read(t, Adapter{}, body, map[string]string{hintFormat: format})
	})
}
