package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/writ-run/writ/sdk"
)

type everyKind struct {
	Any    json.RawMessage `json:"any" doc:"Any value"`
	Flag   bool            `json:"flag" doc:"A flag"`
	Number int64           `json:"number" doc:"A number"`
	Text   string          `json:"text" doc:"A text"`
}

func typed(_ *sdk.Context, in everyKind) (everyKind, error) { return in, nil }

type callIn struct {
	Input json.RawMessage `json:"input" doc:"Its input"`
	Skill string          `json:"skill" doc:"publisher/name#action"`
}

type callOut struct {
	Output json.RawMessage `json:"output" doc:"Its output"`
}

func call(c *sdk.Context, in callIn) (out callOut, err error) {
	return out, sdk.CallSkill(c, in.Skill, in.Input, &out.Output)
}

type tellIn struct {
	Channel string `json:"channel" doc:"PROVIDER/NAME"`
	Text    string `json:"text" doc:"Plain text"`
	Thread  string `json:"thread" doc:"Empty: the channel's own"`
}

type tellOut struct {
	ID string `json:"id" doc:"The provider's"`
}

func tell(c *sdk.Context, in tellIn) (out tellOut, err error) {
	out.ID, err = sdk.SendMessage(c, in.Channel, in.Thread, in.Text)
	return out, err
}

type lines struct {
	Lines []string `json:"lines"`
}

// say adds what a call came to, or the code of its failure.
func (l *lines) say(what, came string, err error) {
	var failure *sdk.Failure
	if errors.As(err, &failure) {
		came = failure.Code
	}
	l.Lines = append(l.Lines, what+" "+came)
}

func world(c *sdk.Context, _ nothing) (lines, error) {
	var l lines
	sdk.Log(c, sdk.LevelInfo, "every tool", "of", "conformance")
	askStore(c, &l)
	askFiles(c, &l)
	askServer(c, &l, sdk.HTTPRequest{Method: "GET", URL: "https://example.com/a", Headers: map[string]string{"accept": "text/plain"}})
	post := sdk.HTTPRequest{Method: "POST", URL: "https://example.com/b", TimeoutMS: 5000}
	sdk.SetBody(&post, []byte{0xff, 0})
	askServer(c, &l, post)
	return l, nil
}

func askStore(c *sdk.Context, l *lines) {
	const key = "conformance/a"
	l.say("put", "done", sdk.KVPut(c, key, "é\n"))
	for _, one := range []string{key, "conformance/none"} {
		value, found, err := sdk.KVGet(c, one)
		l.say("get", fmt.Sprint(found, " ", value), err)
	}
	keys, more, err := sdk.KVList(c, "conformance/", "conformance/0")
	l.say("list", fmt.Sprint(strings.Join(keys, ","), " ", more), err)
	deleted, err := sdk.KVDelete(c, key)
	l.say("delete", fmt.Sprint(deleted), err)
}

func askFiles(c *sdk.Context, l *lines) {
	const path = "conformance/f"
	l.say("write", "done", sdk.WriteFile(c, path, []byte{0xff, 0xfe, 0, 1}))
	l.say("write", "done", sdk.WriteFile(c, "conformance/t", []byte("é")))
	content, err := sdk.ReadFile(c, path)
	l.say("read", hex.EncodeToString(content), err)
	entries, err := sdk.ListFiles(c, "conformance")
	var all []string
	for _, e := range entries {
		all = append(all, fmt.Sprint(e.Name, " ", e.Dir, " ", e.Size))
	}
	l.say("files", strings.Join(all, ","), err)
}

func askServer(c *sdk.Context, l *lines, request sdk.HTTPRequest) {
	came, err := "", error(nil)
	var response *sdk.HTTPResponse
	if response, err = sdk.HTTP(c, request); err == nil {
		var body []byte
		body, err = sdk.Body(response)
		kind, told := response.Headers["content-type"]
		if !told {
			kind = "-"
		}
		came = fmt.Sprint(response.Status, " ", kind, " ", hex.EncodeToString(body))
	}
	l.say("http", came, err)
}
