package slack

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/channel"
)

const (
	sampleOutside = `"team_id":"T0ACME","api_app_id":"A0WRIT","type":"event_callback","event_id":"Ev{id}","authorizations":[{"team_id":"T0ACME","user_id":"U0WRIT","is_bot":true}]`
	samplePlace   = `"user":"U0GRACE","team":"T0ACME","channel":"C0OPS","ts":"{ts}"`
	sampleActor   = `"user":{"id":"U0GRACE","username":"grace","team_id":"T0ACME"},"team":{"id":"T0ACME","domain":"acme"},"api_app_id":"A0WRIT","trigger_id":"{ts}.{id}"`
	sampleValue   = `exe_sample/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855`
)

// samples are written here; they have the members that Slack documents and plans read.
// {id} and {ts} are of the time, so that no two are the same delivery.
var samples = map[string]string{
	"url_verification":        `{"type":"url_verification","challenge":"sample-{id}"}`,
	"message":                 `{` + sampleOutside + `,"event":{"type":"message",` + samplePlace + `,"channel_type":"channel","text":"The export of last night is empty, can somebody look?"}}`,
	"message.file_share":      `{` + sampleOutside + `,"event":{"type":"message","subtype":"file_share",` + samplePlace + `,"channel_type":"channel","text":"Here it is","files":[{"id":"F0CSV","name":"export.csv","mimetype":"text/csv","size":612}]}}`,
	"message.message_changed": `{` + sampleOutside + `,"event":{"type":"message","subtype":"message_changed","hidden":true,"channel":"C0OPS","ts":"{ts}","message":{"type":"message","user":"U0GRACE","text":"The export of Monday is empty","ts":"1767225600.000100"}}}`,
	"app_mention":             `{` + sampleOutside + `,"event":{"type":"app_mention",` + samplePlace + `,"text":"<@U0WRIT> summarise this week &amp; post it in <#C0NEWS|news>"}}`,
	"app_mention.help":        `{` + sampleOutside + `,"event":{"type":"app_mention",` + samplePlace + `,"text":"<@U0WRIT> help"}}`,
	"app_mention.feed":        `{` + sampleOutside + `,"event":{"type":"app_mention",` + samplePlace + `,"text":"<@U0WRIT> read the feed <https://feed.example.com/news.xml>"}}`,
	"command.writ":            `team_id=T0ACME&team_domain=acme&channel_id=C0OPS&channel_name=ops&user_id=U0GRACE&user_name=grace&command=%2Fwrit&text=whoami&api_app_id=A0WRIT&trigger_id={ts}.{id}`,
	"reaction_added":          `{` + sampleOutside + `,"event":{"type":"reaction_added","user":"U0GRACE","reaction":"eyes","item_user":"U0ADA","item":{"type":"message","channel":"C0OPS","ts":"1767225600.000100"}}}`,
	"command.triage":          `team_id=T0ACME&team_domain=acme&channel_id=C0OPS&channel_name=ops&user_id=U0GRACE&user_name=grace&command=%2Ftriage&text=the+empty+export&api_app_id=A0WRIT&trigger_id={ts}.{id}`,
	"block_actions":           `payload={"type":"block_actions",` + sampleActor + `,"container":{"type":"message","message_ts":"1767225600.000100","channel_id":"C0OPS"},"state":{"values":{"b1":{"written":{"type":"plain_text_input","value":"Only the rows of last night"}}}},"actions":[{"type":"button","block_id":"approval","action_id":"approve","value":"` + sampleValue + `"}]}`,
	"view_submission":         `payload={"type":"view_submission",` + sampleActor + `,"view":{"id":"V0FORM","callback_id":"reject","private_metadata":"` + sampleValue + `","state":{"values":{"reason":{"text":{"type":"plain_text_input","value":"Ask the finance team first"}}}}}}`,
	"shortcut.file_an_issue":  `payload={"type":"shortcut","callback_id":"file_an_issue",` + sampleActor + `}`,
	"message.bot":             `{` + sampleOutside + `,"event":{"type":"message","bot_id":"B0WRIT","app_id":"A0WRIT","user":"U0WRIT","channel":"C0OPS","ts":"{ts}","text":"Done."}}`,
}

// Samples implements channel.Sampler.
func (Adapter) Samples() []string { return channel.SampleNames(samples) }

// Sample implements channel.Sampler.
func (Adapter) Sample(name string, key []byte, at writ.Time) (*channel.Request, error) {
	text, ok := samples[name]
	if !ok {
		return nil, writ.Errorf(writ.CodeNotFound, "sample", "there is no such sample")
	}
	now := at.Std()
	text = strings.NewReplacer(
		"{id}", strings.ToUpper(strconv.FormatInt(int64(at), 36)),
		"{ts}", fmt.Sprintf("%d.%06d", now.Unix(), now.Nanosecond()/1000),
	).Replace(text)
	if payload, ok := strings.CutPrefix(text, "payload="); ok {
		text = url.Values{"payload": {payload}}.Encode()
	}
	return signed(key, []byte(text), now), nil
}

// signed is a request as Slack would send it.
func signed(key, body []byte, at time.Time) *channel.Request {
	stamp, media := strconv.FormatInt(at.Unix(), 10), mediaForm
	if isObject(body) {
		media = mediaJSON
	}
	header := http.Header{}
	header.Set("Content-Type", media)
	header.Set(headerTimestamp, stamp)
	header.Set(headerSignature, version+"="+hex.EncodeToString(sign(key, stamp, body)))
	return &channel.Request{Method: http.MethodPost, Header: header, Body: body, At: canon.TimeOf(at)}
}
