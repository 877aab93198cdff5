package toolbox

import (
	"context"
	"encoding/json"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// fileDocument stands in the store for a file that a step wrote. It speaks for
// that content alone: what somebody else has written since has no labels.
type fileDocument struct {
	Content writ.Digest  `json:"content"`
	Labels  []writ.Label `json:"labels"`
}

func fileKey(path string) string { return "file/" + path }

// keepFileLabels adds the labels of a file to the changes of the call that wrote
// it. Without them, as after a crash in between, the file is nobody's.
func (t *Toolbox) keepFileLabels(ctx context.Context, inv *invocation, path string, content []byte, result *writ.ToolResult) *writ.ToolResult {
	if t.opts.Store == nil || len(inv.Labels) == 0 {
		return result
	}
	document, err := canon.MarshalJSON(fileDocument{Content: canon.SHA256(content), Labels: inv.Labels})
	if err != nil {
		return result
	}
	if change := t.kvChange(ctx, inv, writ.Change{Key: fileKey(path), Value: document}, result); change.Failure == nil {
		return change
	}
	return result
}

// fileLabels are those that the file's writer left, where the content is still
// the one that was written.
func (t *Toolbox) fileLabels(ctx context.Context, inv *invocation, path string, content []byte) []writ.Label {
	if t.opts.Store == nil {
		return unknownLabels
	}
	document, failure := t.kvStored(ctx, inv, fileKey(path))
	if failure != nil || document == nil {
		return unknownLabels
	}
	var kept fileDocument
	if json.Unmarshal(document, &kept) != nil || kept.Content != canon.SHA256(content) || len(kept.Labels) == 0 {
		return unknownLabels
	}
	return kept.Labels
}
