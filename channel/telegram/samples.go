package telegram

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/channel"
)

const (
	sampleFrom  = `"from":{"id":601001,"is_bot":false,"first_name":"Grace","username":"grace","language_code":"en"}`
	sampleChat  = `"date":{date},"chat":{"id":601001,"type":"private","first_name":"Grace","username":"grace"}`
	sampleForum = `"date":{date},"chat":{"id":-1001000000601,"type":"supergroup","title":"Operations","is_forum":true},"message_thread_id":12,"is_topic_message":true`
	sampleBot   = `{"id":701001,"is_bot":true,"first_name":"Writ","username":"writ_bot"}`
)

// samples are written here; they have the members that Telegram documents and plans
// read. {update} and {date} are of the time, so that no two are the same delivery.
var samples = map[string]string{
	"message":        `"message":{"message_id":31,` + sampleFrom + `,` + sampleChat + `,"text":"/summary of this week","entities":[{"type":"bot_command","offset":0,"length":8}]}`,
	"message.topic":  `"message":{"message_id":32,` + sampleFrom + `,` + sampleForum + `,"text":"The export of last night is empty, can somebody look?"}`,
	"message.photo":  `"message":{"message_id":33,` + sampleFrom + `,` + sampleChat + `,"caption":"This is what it shows","photo":[{"file_id":"AgACsample","file_unique_id":"AQADsample","width":320,"height":200,"file_size":6120}]}`,
	"message.bot":    `"message":{"message_id":34,"from":` + sampleBot + `,` + sampleForum + `,"text":"Done."}`,
	"edited_message": `"edited_message":{"message_id":31,` + sampleFrom + `,` + sampleChat + `,"edit_date":{date},"text":"/summary of this month"}`,
	"channel_post":   `"channel_post":{"message_id":35,"date":{date},"chat":{"id":-1001000000602,"type":"channel","title":"Releases"},"sender_chat":{"id":-1001000000602,"type":"channel","title":"Releases"},"text":"Version 2 is out"}`,
	"callback_query": `"callback_query":{"id":"8001{update}",` + sampleFrom + `,"message":{"message_id":36,"from":` + sampleBot + `,` + sampleForum + `,"text":"May it be sent?"},"chat_instance":"-71","data":"approve:47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"}`,
	"my_chat_member": `"my_chat_member":{` + sampleFrom + `,` + sampleForum + `,"old_chat_member":{"status":"left","user":` + sampleBot + `},"new_chat_member":{"status":"member","user":` + sampleBot + `}}`,
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
	body := strings.NewReplacer("{update}", strconv.FormatInt(now.UnixMicro(), 10), "{date}", strconv.FormatInt(now.Unix(), 10)).
		Replace(`{"update_id":{update},` + text + `}`)
	r := sent(key, []byte(body))
	r.At = at
	return r, nil
}

// sent is a request as Telegram would send it.
func sent(key, body []byte) *channel.Request {
	header := http.Header{}
	header.Set("Content-Type", "application/json")
	header.Set(headerSecret, string(key))
	return &channel.Request{Method: http.MethodPost, Header: header, Body: body}
}
