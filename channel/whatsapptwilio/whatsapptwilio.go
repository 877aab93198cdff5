// Package whatsapptwilio is the adapter for WhatsApp as Twilio offers it.
package whatsapptwilio

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/channel"
)

// maxBody is far above a message of 1,600 letters with the addresses of ten media, and
// as much as a plan can read.
const maxBody = 2 << 20

// maxFields is far above the thirty or so of a message with ten media.
const maxFields = 256

const (
	headerSignature = "X-Twilio-Signature"
	parameterDigest = "bodySHA256"
	hintFormat      = "format"
	formatJSON      = "json"
	formatForm      = "form"
)

// Adapter speaks the webhooks of Twilio's Programmable Messaging, called with POST.
type Adapter struct{}

var (
	_ channel.Adapter = Adapter{}
	_ channel.Sampler = Adapter{}
)

// Traits implements channel.Adapter.
func (Adapter) Traits() channel.Traits {
	return channel.Traits{Provider: "whatsapp-twilio", Title: "WhatsApp by Twilio", Methods: []string{http.MethodPost}, MaxBody: maxBody, Marks: "*_~`"}
}

var sidForm = regexp.MustCompile(`^[A-Z]{2}[0-9a-f]{32}$`)

// fromPerson is how the sender stands in what is signed. Nothing is between the fields there:
// a text with these letters in it could be cut into other fields, one of them another sender.
const fromPerson = "Fromwhatsapp:"

// accepted is TwiML that says nothing: whoever answers does so through a tool.
var accepted = channel.Answer{Status: http.StatusOK, ContentType: "text/xml; charset=utf-8", Body: []byte("<Response/>")}

// Receive implements channel.Adapter. Twilio signs the URL that it was given with the
// fields of the form, or with the digest of another body, and no time. The sid of the
// message is inside, and is the key; a receipt has its status beside it.
func (Adapter) Receive(r *channel.Request, keys [][]byte) (*channel.Receipt, error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	format := formatForm
	if err == nil && media == "application/json" {
		format = formatJSON
	}
	signature, encoding := base64.StdEncoding.DecodeString(r.Header.Get(headerSignature))
	signed, readable := whatIsSigned(r, format)
	if encoding != nil || len(signature) != sha1.Size || !readable || !isSigned(keys, signature, r.URL, signed) {
		return nil, unsigned(r.URL)
	}
	if err != nil || format == formatForm && media != "application/x-www-form-urlencoded" {
		return nil, writ.Errorf(writ.CodeInvalid, "whatsapp-twilio", "the content type is not application/x-www-form-urlencoded").
			WithFix("choose HTTP POST as the method of the webhook at Twilio")
	}
	if strings.Count(signed, fromPerson) > 1 {
		return nil, writ.Errorf(writ.CodeInvalid, "whatsapp-twilio", "what is signed can be read as from two senders")
	}
	hints := map[string]string{hintFormat: format}
	fields, err := fieldsOf(r.Body, hints)
	if err != nil {
		return nil, err
	}
	key := fields["MessageSid"]
	if !sidForm.MatchString(key) {
		return nil, writ.Errorf(writ.CodeInvalid, "whatsapp-twilio", "there is no MessageSid: this is no message, nor a receipt of one")
	}
	if status := fields["MessageStatus"]; status != "" {
		key += "/" + writ.Clip(status, maxStatus)
	}
	return &channel.Receipt{Key: key, Hints: hints, Accepted: accepted}, nil
}

// unsigned names the URL that was asked for: that it is not the one at Twilio is the
// usual cause. A query or a user may hold a secret and is left out.
func unsigned(asked string) error {
	bare := "a URL that cannot be read"
	if u, err := url.Parse(asked); err == nil {
		u.User, u.RawQuery, u.ForceQuery = nil, "", false
		bare = writ.Clip(u.String(), 200)
	}
	return writ.Errorf(writ.CodeUnauthenticated, "whatsapp-twilio", "the signature in %s is not of this channel's secret for a request to %s", headerSignature, bare).
		WithFix("that URL must be, letter by letter, the one at Twilio: set publicUrl to how Twilio reaches this host. The secret must be the account's auth token")
}

// whatIsSigned follows the URL: the fields of the form by name, each name with each of its
// values, without anything between them; nothing where the URL has the digest of the body.
// Not readable: the body is no form, or not the one of the digest.
func whatIsSigned(r *channel.Request, format string) (signed string, readable bool) {
	if format == formatJSON {
		asked, err := url.Parse(r.URL)
		if err != nil {
			return "", false
		}
		digest := sha256.Sum256(r.Body)
		said := []byte(strings.ToLower(asked.Query().Get(parameterDigest)))
		return "", hmac.Equal([]byte(hex.EncodeToString(digest[:])), said)
	}
	form, err := formOf(r.Body)
	if err != nil {
		return "", false
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(form)) {
		values := slices.Clone(form[name])
		slices.Sort(values)
		for _, v := range slices.Compact(values) {
			b.WriteString(name)
			b.WriteString(v)
		}
	}
	return b.String(), true
}

// formOf reads a form of as many fields as may be.
func formOf(body []byte) (url.Values, error) {
	if strings.Count(string(body), "&") >= maxFields {
		return nil, fmt.Errorf("more than %d fields", maxFields)
	}
	return url.ParseQuery(string(body))
}

// isSigned tries the URL with and without its port: Twilio signs either.
func isSigned(keys [][]byte, signature []byte, asked, fields string) bool {
	for _, asked := range ports(asked) {
		if channel.Signed(keys, [][]byte{signature}, func(key []byte) []byte { return sign(key, asked+fields) }) {
			return true
		}
	}
	return false
}

func sign(key []byte, text string) []byte {
	mac := hmac.New(sha1.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// ports are the ways to write a URL: as it is, and with the port left out or, where it
// is its scheme's, written down. Nothing else of it is touched.
func ports(asked string) []string {
	scheme, rest, ok := strings.Cut(asked, "://")
	if !ok {
		return []string{asked}
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	authority, path := rest[:end], rest[end:]
	if host, _, err := net.SplitHostPort(authority); err == nil {
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		return []string{asked, scheme + "://" + host + path}
	}
	port := ":443"
	if scheme == "http" {
		port = ":80"
	}
	return []string{asked, scheme + "://" + authority + port + path}
}
