// Command guest calls every tool, so that a test can hold the SDK's side of the
// wire to a real host.
package main

import (
	"fmt"
	"strings"
	"sync"

	"github.com/writ-run/writ/sdk"
)

type none struct{}

type said struct {
	Lines []string `json:"lines"`
}

func (s *said) add(what string, values ...any) {
	s.Lines = append(s.Lines, what+": "+strings.TrimSuffix(fmt.Sprintln(values...), "\n"))
}

func tools(c *sdk.Context, _ none) (said, error) {
	var s said
	sdk.Log(c, sdk.LevelInfo, "begin", "n", "1")
	s.add("put", sdk.KVPut(c, "a/1", "one"))
	value, found, err := sdk.KVGet(c, "a/1")
	s.add("get", value, found, err)
	keys, more, err := sdk.KVList(c, "a/", "")
	s.add("list", keys, more, err)
	deleted, err := sdk.KVDelete(c, "a/1")
	s.add("delete", deleted, err)
	s.add("write", sdk.WriteFile(c, "f", []byte{0xff, 0xfe}))
	data, err := sdk.ReadFile(c, "f")
	s.add("read", data, err)
	entries, err := sdk.ListFiles(c, ".")
	s.add("files", entries, err)
	_, err = sdk.ReadFile(c, "absent")
	s.add("absent", err)
	response, err := sdk.HTTP(c, sdk.HTTPRequest{Method: "GET", URL: "https://example.com/"})
	if err != nil {
		return s, err
	}
	s.add("http", response.Status, len(response.Body))
	id, err := sdk.SendMessage(c, "slack/acme", "", "word")
	s.add("said", id, err)
	var answer string
	err = sdk.CallSkill(c, "acme/other#run", "word", &answer)
	s.add("skill", answer, err)
	return s, nil
}

// together makes calls from several goroutines: each must get its own answer.
func together(c *sdk.Context, _ none) (said, error) {
	var wait sync.WaitGroup
	lines := make([]string, 20)
	for i := range lines {
		wait.Go(func() {
			key := fmt.Sprintf("%02d", i)
			if err := sdk.KVPut(c, key, strings.Repeat(key, 1000)); err != nil {
				lines[i] = err.Error()
				return
			}
			value, _, err := sdk.KVGet(c, key)
			if err != nil || value != strings.Repeat(key, 1000) {
				lines[i] = fmt.Sprint("wrong value: ", value, err)
			}
		})
	}
	wait.Wait()
	return said{Lines: lines}, nil
}

type text struct {
	Text string `json:"text"`
}

func echo(_ *sdk.Context, in text) (text, error) { return in, nil }

func crash(_ *sdk.Context, in text) (none, error) { panic(in.Text) }

var (
	_ = sdk.Action("tools", tools)
	_ = sdk.Action("together", together)
	_ = sdk.Action("echo", echo)
	_ = sdk.Action("crash", crash)
)

func main() {}
