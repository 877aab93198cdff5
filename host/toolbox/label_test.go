package toolbox

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// doAs makes a call of a guest that has seen data of these labels.
func (b *bench) doAs(labels []writ.Label, tool string, args any) *writ.ToolResult {
	b.t.Helper()
	call := b.callOf(tool, args)
	call.Labels = labels
	result, err := b.Perform(b.t.Context(), b.permit, call)
	if err != nil || result.Failure != nil {
		b.t.Fatalf("%s: %+v %v", tool, result, err)
	}
	return result
}

var (
	ours    = []writ.Label{writ.LabelPrincipal}
	fetched = []writ.Label{writ.LabelHTTP, writ.LabelPrincipal, writ.LabelSecret}
)

func TestStoredValuesKeepTheirLabels(t *testing.T) {
	store := &memoryStore{}
	b := kvBench(t, store)
	store.commit(b.doAs(ours, abi.ToolKVPut, abi.KVPut{Key: "a", Value: "1"}).Changes[0])
	pending := b.doAs(fetched, abi.ToolKVPut, abi.KVPut{Key: "b", Value: "2"}).Changes[0]
	store.commit(writ.Change{Key: "kv/pub/skill/old", Value: []byte(`{"value":"3"}`)})
	want := func(what string, got *writ.ToolResult, labels []writ.Label) {
		t.Helper()
		if !slices.Equal(got.Labels, labels) {
			t.Errorf("%s: labels %v, want %v", what, got.Labels, labels)
		}
	}
	get := func(key string) *writ.ToolResult { return b.do(abi.ToolKVGet, abi.KVKey{Key: key}) }
	want("stored", get("a"), ours)
	want("not durable yet", get("b"), fetched)
	want("of a host that kept none", get("old"), unknownLabels)
	want("absent", get("nothing"), []writ.Label{writ.LabelStored})
	want("one key", b.do(abi.ToolKVList, abi.KVList{Prefix: "a"}), ours)
	want("no key", b.do(abi.ToolKVList, abi.KVList{Prefix: "x"}), []writ.Label{writ.LabelStored})
	want("two keys", b.do(abi.ToolKVList, abi.KVList{Limit: 2}), writ.JoinLabels(ours, fetched))
	want("all keys", b.do(abi.ToolKVList, abi.KVList{}), writ.JoinLabels(ours, fetched, unknownLabels))
	store.commit(pending)
	want("durable", get("b"), fetched)
	want("deleted", b.do(abi.ToolKVDelete, abi.KVKey{Key: "b"}), fetched)
	want("deleted again", b.do(abi.ToolKVDelete, abi.KVKey{Key: "b"}), []writ.Label{writ.LabelStored})
}

func TestFilesKeepTheirLabels(t *testing.T) {
	root, store := t.TempDir(), &memoryStore{}
	b := newBench(t, Options{FileRoot: root, Home: t.TempDir(), Store: store}, every(abi.ToolFileRead), every(abi.ToolFileWrite))
	read := func() []writ.Label { return b.do(abi.ToolFileRead, abi.FilePath{Path: "note"}).Labels }
	writeFile(t, filepath.Join(root, "note"), "the operator's")
	if got := read(); !slices.Equal(got, unknownLabels) {
		t.Errorf("a file of the host: %v", got)
	}
	changes := b.doAs(ours, abi.ToolFileWrite, abi.FileContent{Path: "note", Text: "a step's"}).Changes
	if len(changes) != 1 || changes[0].Key != "file/note" {
		t.Fatalf("changes %+v", changes)
	}
	for _, durable := range []bool{false, true} {
		if durable {
			store.commit(changes[0])
		}
		if got := read(); !slices.Equal(got, ours) {
			t.Errorf("durable %v: %v", durable, got)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "note"), []byte("a step'S"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := read(); !slices.Equal(got, unknownLabels) {
		t.Errorf("changed by somebody else: %v", got)
	}
}

func TestWhatASecretFetchedIsPrivate(t *testing.T) {
	b := mapped(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) },
		Options{Secrets: secrets{"token": planted}}, abi.Secret{Name: "token", Scheme: "https", Host: "api.test", InjectAs: "bearer"})
	call := b.callOf(abi.ToolHTTPRequest, abi.HTTPRequest{Method: "GET", URL: "https://api.test/path"})
	for sensitivity, want := range map[abi.Sensitivity][]writ.Label{
		"": {writ.LabelHTTP, writ.LabelSecret}, abi.SensitivityInternal: {writ.LabelHTTP, writ.LabelSecret},
		abi.SensitivityPrivate: {writ.LabelHTTP, writ.LabelSecret}, "open": {writ.LabelHTTP, writ.LabelSecret},
		abi.SensitivityPublic: {writ.LabelHTTP},
	} {
		call.Sensitivity = sensitivity
		result, err := b.Perform(context.Background(), b.permit, call)
		if err != nil || result.Failure != nil || !slices.Equal(result.Labels, want) {
			t.Errorf("sensitivity %q: %+v %v", sensitivity, result, err)
		}
	}
}
