package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

// Exports of the two forms in which a plug-in of abi.ExtismMCP1 speaks MCP: the
// newer takes a request with its context, the older a JSON-RPC request without
// its frame.
const (
	mcpList, mcpCall        = "list_tools", "call_tool"
	mcpDescribe, mcpCallRPC = "describe", "call"
)

// maxMCPTools is how many actions a skill may have.
const maxMCPTools = 64

// plugged reports whether a guest of the interface is an Extism plug-in.
func plugged(name string) bool { return name == abi.Extism1 || name == abi.ExtismMCP1 }

// mcpEntry is what to call of a plug-in that speaks MCP.
func mcpEntry(exports func(string) bool, p phase) string {
	entry, older := mcpCall, mcpCallRPC
	if p == describing {
		entry, older = mcpList, mcpDescribe
	}
	if exports(entry) {
		return entry
	}
	return older
}

// speaksMCP reports whether exports say so and are none of a guest of ours.
func speaksMCP(exports func(string) bool) bool {
	return !exports(abi.EntryDescribe) && !exports(abi.EntryRun) &&
		(exports(mcpList) && exports(mcpCall) || exports(mcpDescribe) && exports(mcpCallRPC))
}

// pluginInput is what a plug-in reads as its input.
func (g *guest) pluginInput(entry string) []byte {
	if g.run.ABI == abi.Extism1 {
		return ExtismInput(g.run.Input)
	}
	request := map[string]any{"name": g.run.Action, "arguments": json.RawMessage(g.run.Input)}
	about := map[string]any{"_meta": struct{}{}, "id": 1} // the one request of this run
	switch entry {
	case mcpCall:
		return mustJSON(map[string]any{"context": about, "request": request})
	case mcpCallRPC:
		return mustJSON(map[string]any{"method": "tools/call", "params": request})
	case mcpList:
		return mustJSON(map[string]any{"context": about})
	}
	return nil // describe
}

// pluginOutput is the action's result of what a plug-in put out.
func (g *guest) pluginOutput(output []byte) *writ.GuestResult {
	if g.run.ABI == abi.Extism1 {
		return g.finished(ExtismOutput(output))
	}
	if g.phase == describing {
		return g.finished(canon.JSON(output))
	}
	result, failure, err := MCPOutput(output)
	if failure != nil {
		return g.resultOf(failure)
	}
	return g.finished(result, err)
}

// MCPOutput is the action's output of a plug-in's CallToolResult: an object with
// content and, where there is one, structuredContent. A result with isError is the
// action's Failure with the code GuestFailed and the text of its content.
func MCPOutput(output []byte) ([]byte, *abi.Failure, error) {
	if err := canon.CheckJSON(output); err != nil {
		return nil, nil, err
	}
	var result struct {
		Content    []json.RawMessage `json:"content"`
		Structured json.RawMessage   `json:"structuredContent"`
		IsError    bool              `json:"isError"`
	}
	if json.Unmarshal(output, &result) != nil || (result.Content == nil && len(result.Structured) == 0) {
		return nil, nil, errors.New("it is not a result of tools/call")
	}
	if result.IsError {
		message := contentText(result.Content)
		return nil, &abi.Failure{Code: GuestFailed, Message: strings.ToValidUTF8(message[:min(len(message), MaxFailure)], "\uFFFD")}, nil
	}
	kept := map[string]any{"content": result.Content}
	if result.Content == nil {
		kept["content"] = []any{}
	}
	if s := bytes.TrimSpace(result.Structured); len(s) > 0 && !bytes.Equal(s, []byte("null")) {
		kept["structuredContent"] = result.Structured
	}
	raw, err := canon.JSON(mustJSON(kept))
	return raw, nil, err
}

// contentText joins the texts of content blocks.
func contentText(blocks []json.RawMessage) string {
	var texts []string
	for _, raw := range blocks {
		var block struct {
			Type string `json:"type"`
			Text string `json:"text"`
		}
		if json.Unmarshal(raw, &block) == nil && block.Type == "text" && block.Text != "" {
			texts = append(texts, block.Text)
		}
	}
	if len(texts) == 0 {
		return "the tool failed and did not say why"
	}
	return strings.Join(texts, "\n")
}

// mcpTool is what of a tool's description is used. Its annotations are not: they
// are what the plug-in says of its own harmlessness.
type mcpTool struct {
	Name        string         `json:"name"`
	Description string         `json:"description"`
	Input       map[string]any `json:"inputSchema"`
	Output      map[string]any `json:"outputSchema"`
}

// mcpDescription is what a ListToolsResult says, as a Description.
func mcpDescription(raw []byte) (*abi.Description, error) {
	var list struct {
		Tools []mcpTool `json:"tools"`
	}
	if json.Unmarshal(raw, &list) != nil {
		return nil, errors.New("what the plug-in answered is not a list of tools")
	}
	if n := len(list.Tools); n == 0 || n > maxMCPTools {
		return nil, fmt.Errorf("the plug-in has %d tools, a skill has 1 to %d", n, maxMCPTools)
	}
	d := &abi.Description{}
	for _, tool := range list.Tools {
		input := tool.Input
		if len(input) == 0 {
			input = map[string]any{"type": "object"}
		}
		d.Actions = append(d.Actions, abi.DescribedAction{
			Name: tool.Name, Description: tool.Description, Input: input, Output: mcpOutputSchema(tool.Output),
		})
	}
	return d, nil
}

// mcpOutputSchema is the schema of what MCPOutput gives.
func mcpOutputSchema(structured map[string]any) map[string]any {
	properties := map[string]any{"content": map[string]any{"type": "array", "items": map[string]any{"type": "object"}}}
	required := []any{"content"}
	if len(structured) > 0 {
		properties["structuredContent"] = structured
		required = append(required, "structuredContent")
	} else {
		properties["structuredContent"] = map[string]any{"type": "object"}
	}
	return map[string]any{"type": "object", "properties": properties, "required": required}
}
