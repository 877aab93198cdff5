package host

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

// plugin is what a guest of the Extism interface has besides its own memory. All
// of it lives for one step.
type plugin struct {
	blocks  blocks // kernel, or that of go-sdk
	kernel  kernel
	vars    map[string][]byte
	status  int               // of the last HTTP response
	headers map[string]string // of the same

	input, output, outputLength, failed uint64
}

// blocks is how host functions that both implementations share reach the memory
// between plug-in and host.
type blocks interface {
	read(offset uint64) []byte // a copy
	write(b []byte) uint64
	release(offset uint64)
}

// varOverhead is what go-sdk counts for a variable besides name and value.
const varOverhead = 40

func (p *plugin) variable(name uint64) uint64 {
	key := p.kernel.read(name)
	p.kernel.release(name)
	value, ok := p.vars[string(key)]
	if !ok {
		return 0
	}
	return p.kernel.write(value)
}

func (p *plugin) setVariable(name, value uint64) {
	key := string(p.kernel.read(name))
	p.kernel.release(name)
	if value == 0 {
		delete(p.vars, key)
		return
	}
	content := p.kernel.read(value)
	p.kernel.release(value)
	size := varOverhead + len(key) + len(content)
	for k, v := range p.vars {
		size += varOverhead + len(k) + len(v)
	}
	if size >= MaxVars {
		panic(errVars)
	}
	if p.vars == nil {
		p.vars = map[string][]byte{}
	}
	p.vars[key] = content
}

// logLevelInfo is the Extism number of the level from which on plug-ins log; it
// is fixed, for a plug-in may act on it.
const logLevelInfo = 2

// envFunctions are the part of extism:host/env that must not be go-sdk's: its
// http_request is not journaled and its log level belongs to the process.
func envFunctions(add func(importKey, hostFunc)) {
	env := func(name, params, results string, call func(ctx context.Context, g *guest, stack []uint64)) {
		add(importKey{abi.ModuleExtism, name}, hostFunc{params, results, call})
	}
	for _, level := range []string{"trace", "debug", "info", "warn", "error"} {
		env("log_"+level, "l", "", func(_ context.Context, g *guest, s []uint64) {
			message := g.plugin.blocks.read(s[0])
			g.plugin.blocks.release(s[0])
			if level != "trace" && level != "debug" {
				g.log(level, message)
			}
		})
	}
	env("get_log_level", "", "i", func(_ context.Context, _ *guest, s []uint64) { s[0] = logLevelInfo })
	env("http_request", "ll", "l", func(ctx context.Context, g *guest, s []uint64) { s[0] = g.extismHTTP(ctx, s[0], s[1]) })
	env("http_status_code", "", "i", func(_ context.Context, g *guest, s []uint64) { s[0] = uint64(uint32(g.plugin.status)) })
	env("http_headers", "", "l", func(_ context.Context, g *guest, s []uint64) {
		s[0] = 0
		if g.plugin.headers != nil {
			s[0] = g.plugin.blocks.write(mustJSON(g.plugin.headers))
		}
	})
}

// isEnv reports whether envFunctions has the function.
func isEnv(name string) bool {
	return strings.HasPrefix(name, "log_") || strings.HasPrefix(name, "http_") || name == "get_log_level"
}

// extismHTTP makes an http_request the tool http.request. A plug-in cannot see a
// request fail: as in every Extism runtime that ends its call, here with the
// tool's failure.
func (g *guest) extismHTTP(ctx context.Context, request, body uint64) uint64 {
	g.needTools(abi.ToolHTTPRequest)
	p := &g.plugin
	p.status, p.headers = 0, nil
	var r struct {
		URL     string            `json:"url"`
		Method  string            `json:"method"`
		Headers map[string]string `json:"headers"`
	}
	err := json.Unmarshal(p.blocks.read(request), &r)
	p.blocks.release(request)
	if err != nil {
		g.fail(abi.FailInvalid, "http_request: the request is not an object with url, method and headers")
	}
	args := abi.HTTPRequest{Method: strings.ToUpper(r.Method), URL: r.URL, Headers: r.Headers}
	if args.Method == "" {
		args.Method = "GET"
	}
	if body != 0 {
		content := p.blocks.read(body)
		p.blocks.release(body)
		if utf8.Valid(content) {
			args.Body = string(content)
		} else {
			args.BodyBase64 = base64.StdEncoding.EncodeToString(content)
		}
	}
	reply := g.callTool(ctx, abi.ToolHTTPRequest, mustJSON(args))
	if reply.Failure != nil {
		g.end(ending{failure: reply.Failure})
	}
	return g.extismResponse(reply.Body)
}

func (g *guest) extismResponse(raw []byte) uint64 {
	var response abi.HTTPResponse
	content := []byte(nil)
	err := json.Unmarshal(raw, &response)
	if err == nil && response.BodyBase64 != "" {
		content, err = base64.StdEncoding.DecodeString(response.BodyBase64)
	} else {
		content = []byte(response.Body)
	}
	if err != nil {
		g.end(ending{err: writ.Errorf(writ.CodeInternal, "tool "+abi.ToolHTTPRequest, "its result is not an HTTP response")})
	}
	g.plugin.status, g.plugin.headers = response.Status, response.Headers
	if g.plugin.headers == nil {
		g.plugin.headers = map[string]string{}
	}
	return g.plugin.blocks.write(content)
}

// ExtismInput is what a plug-in of abi.Extism1 reads as its input: the text of
// the member where the action's input is an object with the one member "input", a
// string, and otherwise the canonical JSON. So a plug-in made for plain text
// works, and so does one made for JSON.
func ExtismInput(input []byte) []byte {
	var object map[string]json.RawMessage
	if json.Unmarshal(input, &object) != nil || len(object) != 1 {
		return input
	}
	var text *string
	if raw, ok := object["input"]; !ok || json.Unmarshal(raw, &text) != nil || text == nil {
		return input
	}
	return []byte(*text)
}

// ExtismOutput is the action's output of what a plug-in gave: JSON is JSON and
// any other text is a JSON string. An error is what neither can be: bytes that
// are not UTF-8, and JSON without a canonical form.
func ExtismOutput(output []byte) ([]byte, error) {
	if json.Valid(output) || !utf8.Valid(output) {
		return canon.JSON(output)
	}
	return canon.MarshalJSON(string(output))
}
