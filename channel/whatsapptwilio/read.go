package whatsapptwilio

import (
	"encoding/json"
	"net/url"
	"regexp"
	"unicode/utf8"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/channel"
)

// maxStatus is above "undelivered", the longest status.
const maxStatus = 64

// senderForm is a number, or the id of somebody who shows none. Who writes without
// "whatsapp:" writes an SMS: anybody can send that in anybody's name.
var senderForm = regexp.MustCompile(`^whatsapp:[+A-Za-z0-9._-]{1,119}$`)

// fieldsOf are what a delivery says by name. CodeInvalid.
func fieldsOf(body []byte, hints map[string]string) (map[string]string, error) {
	invalid := func(format string, args ...any) error {
		return writ.Errorf(writ.CodeInvalid, "whatsapp-twilio", format, args...)
	}
	fields := map[string]string{}
	if hints[hintFormat] == formatJSON {
		raw, err := channel.Object("whatsapp-twilio", body)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(raw, &fields); err != nil || len(fields) > maxFields {
			return nil, invalid("the body is not an object of at most %d texts", maxFields)
		}
		return fields, nil
	}
	form, err := formOf(body)
	if err != nil {
		return nil, invalid("the body is not a form of at most %d fields", maxFields)
	}
	for name, values := range form {
		if len(values) != 1 || !utf8.ValidString(name) || !utf8.ValidString(values[0]) {
			return nil, invalid("the field %q is there twice or not UTF-8", writ.Clip(name, 64))
		}
		fields[name] = values[0]
	}
	return fields, nil
}

// Read implements channel.Adapter. One delivery is one message or one receipt. The thread
// is a person's with one number of the account; the metadata is the fields as Twilio names
// them, media as their URLs.
func (Adapter) Read(d *channel.Delivery) ([]channel.Message, error) {
	fields, err := fieldsOf(d.Body, d.Hints)
	if err != nil {
		return nil, err
	}
	metadata, err := canon.MarshalJSON(fields)
	if err != nil {
		return nil, writ.Errorf(writ.CodeInvalid, "whatsapp-twilio", "the fields are no JSON: %w", err)
	}
	from, to := fields["From"], fields["To"]
	m := channel.Message{
		Kind: channel.Said, Addressed: true, ID: fields["MessageSid"], Sender: channel.Sender{ID: from, Name: fields["ProfileName"]},
		Thread: url.PathEscape(to) + "/" + url.PathEscape(from), Text: fields["Body"], Metadata: metadata,
	}
	for _, p := range []struct{ id, text string }{{"ButtonPayload", "ButtonText"}, {"ListId", "ListTitle"}} {
		if id, text := fields[p.id], fields[p.text]; id != "" || text != "" {
			m.Kind, m.Press, m.Text, m.Addressed = channel.Pressed, channel.PressOf(id), text, false
		}
	}
	why := ""
	switch {
	case fields["MessageStatus"] != "":
		why = "a receipt of what was sent: " + writ.Clip(fields["MessageStatus"], maxStatus)
	case !senderForm.MatchString(from):
		why = "it did not come over WhatsApp"
	case !sidForm.MatchString(m.ID) || to == "":
		why = "it is not understood"
	}
	if why != "" {
		m = channel.Message{Kind: channel.Passing, Why: why, Sender: channel.Sender{ID: writ.Clip(from, 128)}}
	}
	return []channel.Message{m}, nil
}
