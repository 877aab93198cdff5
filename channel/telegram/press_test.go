package telegram

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/writ-run/writ/channel"
)

// TestKeys are of what Telegram gives back.
func TestKeys(t *testing.T) {
	button := func(label string, id int) channel.Button {
		return channel.Button{Label: label, Press: channel.Press{Action: "approve", Value: strings.Repeat("z", id-len("approve:"))}}
	}
	var eleven []channel.Button
	for range 11 {
		eleven = append(eleven, button("a", 9))
	}
	for name, c := range map[string]struct {
		buttons []channel.Button
		want    int
	}{
		"none": {nil, 0}, "64 bytes": {[]channel.Button{button("a", 64)}, 1}, "65 bytes": {[]channel.Button{button("a", 65)}, 0},
		"no label": {[]channel.Button{button("", 9)}, 0}, "ten": {eleven[:10], 10}, "eleven": {eleven, 10},
	} {
		k := keys(c.buttons)
		if (k == nil) != (c.want == 0) || k != nil && len(k.Rows) != c.want {
			t.Errorf("%s: %+v", name, k)
		}
		if k == nil {
			continue
		}
		data, err := json.Marshal(k.Rows[0][0].Data)
		if err != nil {
			t.Fatal(err)
		}
		m := one(t, updated(`"callback_query":{"id":"81",`+person+`,"message":{"message_id":1,`+private+`},"data":`+string(data)+`}`))
		if m.Kind != channel.Pressed || *m.Press != c.buttons[0].Press {
			t.Errorf("%s comes back as %+v", name, m.Press)
		}
	}
}
