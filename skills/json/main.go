// Command json is the skill writ/json: reading and reshaping JSON values. It
// uses no tool.
package main

import (
	"maps"
	"slices"

	"github.com/writ-run/writ/sdk"
)

// QueryIn is the input of query. Exactly one of Pointer and Path is set.
type QueryIn struct {
	Value   any    `json:"value"`
	Pointer string `json:"pointer,omitempty" doc:"JSON Pointer (RFC 6901) such as /items/0/name"`
	Path    string `json:"path,omitempty" doc:"Members and indexes such as items[0].name; [*] is every element"`
}

// QueryOut is the output of query.
type QueryOut struct {
	Found  bool  `json:"found"`
	Value  any   `json:"value" doc:"The first value found, or null"`
	Values []any `json:"values" doc:"Every value found"`
}

func query(_ *sdk.Context, in QueryIn) (QueryOut, error) {
	if in.Pointer != "" && in.Path != "" {
		return QueryOut{}, sdk.Fail("bad_query", "pointer and path are both set: use one")
	}
	parse, text := parsePath, in.Path
	if in.Path == "" {
		parse, text = parsePointer, in.Pointer
	}
	steps, err := parse(text)
	if err != nil {
		return QueryOut{}, err
	}
	out := QueryOut{Values: walk(in.Value, steps)}
	if out.Found = len(out.Values) > 0; out.Found {
		out.Value = out.Values[0]
	}
	return out, nil
}

// PickIn is the input of pick.
type PickIn struct {
	Value   map[string]any `json:"value"`
	Members []string       `json:"members" doc:"Names of the members to keep; one that is absent stays absent"`
}

// ObjectOut is the output of pick and rename.
type ObjectOut struct {
	Value map[string]any `json:"value"`
}

func pick(_ *sdk.Context, in PickIn) (ObjectOut, error) {
	out := ObjectOut{Value: map[string]any{}}
	for _, name := range in.Members {
		if value, ok := in.Value[name]; ok {
			out.Value[name] = value
		}
	}
	return out, nil
}

// RenameIn is the input of rename.
type RenameIn struct {
	Value map[string]any    `json:"value"`
	Names map[string]string `json:"names" doc:"New names by old ones"`
}

// rename changes all names at once, so two can be swapped. It never drops a
// value: two members that would come to share a name are an error.
func rename(_ *sdk.Context, in RenameIn) (ObjectOut, error) {
	out := ObjectOut{Value: map[string]any{}}
	for _, old := range slices.Sorted(maps.Keys(in.Value)) {
		name := old
		if renamed, ok := in.Names[old]; ok {
			name = renamed
		}
		if _, taken := out.Value[name]; taken {
			return ObjectOut{}, sdk.Fail("name_taken", "two members would be called "+name)
		}
		out.Value[name] = in.Value[old]
	}
	return out, nil
}

// MergeIn is the input of merge_patch.
type MergeIn struct {
	Value any `json:"value"`
	Patch any `json:"patch" doc:"JSON Merge Patch (RFC 7396): null removes a member"`
}

// AnyOut is the output of merge_patch and patch.
type AnyOut struct {
	Value any `json:"value"`
}

func mergePatch(_ *sdk.Context, in MergeIn) (AnyOut, error) {
	return AnyOut{Value: merge(in.Value, in.Patch)}, nil
}

// merge is the algorithm of RFC 7396, section 2.
func merge(target, patch any) any {
	members, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	merged := map[string]any{}
	if object, ok := target.(map[string]any); ok {
		maps.Copy(merged, object)
	}
	for name, value := range members {
		if value == nil {
			delete(merged, name)
			continue
		}
		merged[name] = merge(merged[name], value)
	}
	return merged
}

var (
	_ = sdk.Action("query", query)
	_ = sdk.Action("pick", pick)
	_ = sdk.Action("rename", rename)
	_ = sdk.Action("merge_patch", mergePatch)
)

func main() {} // a skill is entered through its actions
