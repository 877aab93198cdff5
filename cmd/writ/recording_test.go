package main

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/host"
)

// aRecording is the text of a valid recording with the calls.
func aRecording(calls string) string {
	seed := base64.StdEncoding.EncodeToString(make([]byte, 32))
	return `{"apiVersion":"writ/v1","kind":"Recording","skill":"acme/a@1.0.0","module":"","action":"run","input":{},` +
		`"seed":"` + seed + `","clock":"2026-03-01T12:00:00.000000000Z","calls":[` + calls + `],"output":{},"fuel":1}`
}

func TestParseRecording(t *testing.T) {
	call := `{"tool":"log","arguments":{}}`
	most := strings.TrimSuffix(strings.Repeat(call+",", host.MaxCalls), ",")
	for name, text := range map[string]string{"none": "", "one": call, "as many as a run may make": most} {
		if _, err := parseRecording(name, []byte(aRecording(text))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, text := range map[string]string{
		"empty": "", "a list": "[]", "cut": aRecording("")[:50], "one call too many": aRecording(most + "," + call),
		"another kind":          strings.Replace(aRecording(""), "Recording", "Plan", 1),
		"another version":       strings.Replace(aRecording(""), "writ/v1", "writ/v2", 1),
		"a short seed":          strings.Replace(aRecording(""), "AAAAAAAA", "", 1),
		"no output":             strings.Replace(aRecording(""), `"output":{},`, "", 1),
		"output and failure":    strings.Replace(aRecording(""), `"output":{}`, `"output":{},"failure":{"code":"a","message":"b"}`, 1),
		"no clock":              strings.Replace(aRecording(""), `"clock":"2026-03-01T12:00:00.000000000Z",`, "", 1),
		"a call of no tool":     aRecording(`{"arguments":{}}`),
		"a call of nothing":     aRecording(`{"tool":"log"}`),
		"an integer too large":  strings.Replace(aRecording(""), `"input":{}`, `"input":{"n":9007199254740993}`, 1),
		"a member twice":        strings.Replace(aRecording(""), `"input":{}`, `"input":{},"input":{}`, 1),
		"a member that is none": strings.Replace(aRecording(""), `"input":{}`, `"input":{},"extra":1`, 1),
	} {
		_, err := parseRecording(name, []byte(text))
		if !writ.IsCode(err, writ.CodeInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzRecording(f *testing.F) {
	f.Add([]byte(aRecording("")))
	f.Add([]byte(aRecording(`{"tool":"kv.get","arguments":{"key":"a"},"result":{"found":false},"at":"2026-03-01T12:00:00.000000001Z"}`)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		rec, err := parseRecording("fuzz", bytes.Clone(raw))
		if err != nil {
			if code := writ.CodeOf(err); code != writ.CodeInvalid {
				t.Fatalf("%s: %v", code, err)
			}
			return
		}
		if d := rec.differs(rec); d != nil {
			t.Fatalf("it differs from itself: %+v", d)
		}
	})
}
