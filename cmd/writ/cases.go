package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/tools/txtar"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// maxCase is far more than an input and some replies take.
const maxCase = 1 << 20

// testCase is a file of testdata: what an action is given, what its tools answer and
// what comes of it. Exactly one of Output and Failure is set.
type testCase struct {
	Action string            `json:"action"`
	Input  json.RawMessage   `json:"input"`
	Calls  []scriptedCall    `json:"calls,omitempty"` // nil: the tools are real; else these calls and no others
	HTTP   []exchange        `json:"http,omitempty"`  // replies to requests in any order
	KV     map[string]string `json:"kv,omitempty"`    // what is stored
	Output json.RawMessage   `json:"output,omitempty"`
	// Failure is its code, or the code, a space and the message.
	Failure string `json:"failure,omitempty"`
}

// scriptedCall is a call that an action is to make, and what it is answered.
type scriptedCall struct {
	Tool      string          `json:"tool"`
	Arguments json.RawMessage `json:"arguments"` // nil: any
	Result    json.RawMessage `json:"result"`    // nil: an empty object
	Failure   *abi.Failure    `json:"failure"`
}

// exchange is one prepared HTTP reply, and the JSON body that its request must have,
// where one is given.
type exchange struct {
	Method   string           `json:"method"`
	URL      string           `json:"url"`
	Sent     json.RawMessage  `json:"sent"`
	Response abi.HTTPResponse `json:"response"`
}

func badCase(file, format string, args ...any) *writ.Error {
	return writ.Errorf(writ.CodeInvalid, "case "+filepath.Base(file), format, args...)
}

// readCase reads a case of either form, and refuses what it does not know.
func readCase(file string) (*testCase, error) {
	info, err := os.Stat(file)
	if err == nil && info.Size() > maxCase {
		return nil, writ.Errorf(writ.CodeTooLarge, "case "+filepath.Base(file), "it has %d bytes and at most %d are allowed", info.Size(), maxCase)
	}
	raw, readErr := os.ReadFile(file)
	if err = errors.Join(err, readErr); err != nil {
		return nil, badCase(file, "%s", plainCause(err))
	}
	c := &testCase{}
	if filepath.Ext(file) == ".txtar" {
		err = c.readArchive(file, raw)
	} else if err = checkJSON(filepath.Base(file), raw); err == nil {
		decoder := json.NewDecoder(bytes.NewReader(raw))
		decoder.DisallowUnknownFields()
		if decodeErr := decoder.Decode(c); decodeErr != nil {
			err = badCase(file, "%s", strings.TrimPrefix(decodeErr.Error(), "json: "))
		}
	}
	if err != nil {
		return nil, err
	}
	return c, c.check(file)
}

func (c *testCase) check(file string) error {
	switch {
	case c.Action == "":
		return badCase(file, "it names no action")
	case (c.Output == nil) == (c.Failure == ""):
		return badCase(file, "want exactly one of output and failure")
	case c.Calls != nil && (c.HTTP != nil || c.KV != nil):
		return badCase(file, "calls stands for every tool: http and kv do not go with it")
	}
	for i := range c.Calls {
		one := &c.Calls[i]
		switch _, known := writ.LookupTool(one.Tool); {
		case !known:
			return badCase(file, "call %d: there is no tool %q", i+1, one.Tool)
		case one.Tool == abi.ToolSkillCall:
			return badCase(file, "call %d: what another skill answers cannot be written down: test the action that it calls", i+1)
		case one.Result != nil && one.Failure != nil:
			return badCase(file, "call %d: want at most one of result and failure", i+1)
		case one.Failure != nil && one.Failure.Code == "":
			return badCase(file, "call %d: its failure has no code", i+1)
		}
	}
	if c.Input == nil {
		c.Input = json.RawMessage(`{}`)
	}
	return nil
}

// readArchive reads the form for people: files of a txtar archive behind a comment.
func (c *testCase) readArchive(file string, raw []byte) error {
	seen := map[string]bool{}
	for _, section := range txtar.Parse(raw).Files {
		if seen[section.Name] {
			return badCase(file, "%s stands there twice", section.Name)
		}
		seen[section.Name] = true
		text := bytes.TrimSpace(section.Data)
		var err error
		switch section.Name {
		case "action":
			c.Action = string(text)
		case "input":
			c.Input, err = text, checkJSON("input", text)
		case "output":
			c.Output, err = text, checkJSON("output", text)
		case "failure":
			c.Failure = string(text)
		case "calls":
			c.Calls, err = readCalls(string(section.Data))
		default:
			err = errors.New("there is no such part: use action, input, calls, output and failure")
		}
		if err != nil {
			return badCase(file, "%s: %w", section.Name, err)
		}
	}
	return nil
}

// readCalls reads a line for each call, its tool and its arguments, and behind those
// that have one an indented line with the reply: JSON, or ! CODE MESSAGE.
func readCalls(text string) ([]scriptedCall, error) {
	calls := []scriptedCall{}
	number := 0
	for line := range strings.Lines(text) {
		number++
		plain := strings.TrimSpace(line)
		place := fmt.Sprintf("line %d", number)
		switch reply := line[0] == ' ' || line[0] == '\t'; {
		case plain == "":
		case reply && (len(calls) == 0 || calls[len(calls)-1].Result != nil || calls[len(calls)-1].Failure != nil):
			return nil, fmt.Errorf("%s is a reply without a call", place)
		case reply && plain[0] == '!':
			code, message, _ := strings.Cut(strings.TrimSpace(plain[1:]), " ")
			calls[len(calls)-1].Failure = &abi.Failure{Code: code, Message: message}
		case reply:
			if err := checkJSON(place, []byte(plain)); err != nil {
				return nil, err
			}
			calls[len(calls)-1].Result = json.RawMessage(plain)
		default:
			tool, arguments, _ := strings.Cut(plain, " ")
			one := scriptedCall{Tool: tool}
			if arguments = strings.TrimSpace(arguments); arguments != "" {
				if err := checkJSON(place, []byte(arguments)); err != nil {
					return nil, err
				}
				one.Arguments = json.RawMessage(arguments)
			}
			calls = append(calls, one)
		}
	}
	return calls, nil
}

// try runs one case and says what is wrong, "" where nothing is.
func (r *rehearsal) try(ctx context.Context, file string) string {
	c, err := readCase(file)
	if err != nil {
		return err.Error()
	}
	script := newScript(c)
	r.home.stage.set(script)
	defer r.home.stage.set(nil)
	x, err := r.start(ctx, c.Action, c.Input)
	for err == nil && script != nil && x.Status == writ.ExecAwaitingApproval {
		x, err = r.allow(ctx, x)
	}
	if err != nil {
		return err.Error()
	}
	if fault := script.fault(); fault != "" {
		return fault
	}
	return r.differs(c, x)
}

// allow approves what a scripted case proposes: no change of it reaches the world,
// see script.answer.
func (r *rehearsal) allow(ctx context.Context, x *contract.Execution) (*contract.Execution, error) {
	item, err := r.proposed(ctx, x)
	if err != nil {
		return nil, err
	}
	return r.approve(ctx, item)
}

// differs says in what an execution is not as the case has it.
func (r *rehearsal) differs(c *testCase, x *contract.Execution) string {
	step := &x.Steps[0]
	code, message, told := strings.Cut(c.Failure, " ")
	switch {
	case step.Failure != nil && code == step.Failure.Code && (!told || message == step.Failure.Message):
		return ""
	case step.Failure != nil && c.Failure != "":
		return fmt.Sprintf("failed with %s: %s, want %s%s", step.Failure.Code, step.Failure.Message, c.Failure, r.home.heard.traced().where())
	case step.Failure != nil:
		return step.Failure.Code + ": " + step.Failure.Message + r.home.heard.traced().where()
	case x.Status != writ.ExecCompleted:
		return "the execution is " + string(x.Status)
	case c.Failure != "":
		return fmt.Sprintf("output %s, want the failure %s", step.Output, c.Failure)
	}
	want, err := canon.JSON(c.Output)
	if err != nil {
		return err.Error()
	}
	got, err := canon.JSON(step.Output)
	if err != nil || !bytes.Equal(want, got) {
		return fmt.Sprintf("output %s, want %s", got, want)
	}
	return ""
}
