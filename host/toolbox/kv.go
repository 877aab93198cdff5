package toolbox

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

// Bounds of the kv tools.
const (
	maxKey         = 512
	maxValue       = 256 << 10
	defaultKVKeys  = 100
	kvPageDocument = 64 // the store returns values too: 64 of them are 16 MiB at most
)

// kvDocument is what stands in the store. By is the key of the call that wrote
// it: the overlay recognises its own change by it, and a reader of the store
// finds the call in the trace.
type kvDocument struct {
	Value string `json:"value"`
	By    string `json:"by,omitempty"`
	// Labels are of all that the writer knew. A document of a host that did not
	// keep them has none.
	Labels []writ.Label `json:"labels,omitempty"`
}

// unknownLabels are of what is stored and has no labels of its own: nobody knows
// who wrote it, nor who may know it.
var unknownLabels = []writ.Label{writ.LabelPrivate, writ.LabelStored}

// keptLabels reads the labels of a stored document.
func keptLabels(document []byte) []writ.Label {
	var kept struct {
		Labels []writ.Label `json:"labels"`
	}
	if json.Unmarshal(document, &kept) != nil || len(kept.Labels) == 0 {
		return unknownLabels
	}
	return kept.Labels
}

// kvSpace is the keyspace of a skill within its tenant.
func kvSpace(skill writ.SkillKey) (string, bool) {
	publisher, name, ok := strings.Cut(string(skill), "/")
	if !ok || publisher == "" || name == "" || strings.Contains(name, "/") {
		return "", false
	}
	return "kv/" + publisher + "/" + name + "/", true
}

// kvKey opens the keyspace and checks a key of it.
func (t *Toolbox) kvKey(inv *invocation, key string) (string, *abi.Failure) {
	if t.opts.Store == nil {
		return "", failUnsupported("this host keeps no values for skills")
	}
	space, ok := kvSpace(inv.Skill)
	if !ok {
		return "", failInvalid("the skill has no keyspace: its key is not publisher/name", "")
	}
	if len(key) > maxKey {
		return "", failTooLarge("the key", maxKey)
	}
	return space + key, nil
}

// kvStored reads what the execution sees under a store key, nil for nothing.
func (t *Toolbox) kvStored(ctx context.Context, inv *invocation, key string) ([]byte, *abi.Failure) {
	document, err := t.opts.Store.Get(ctx, inv.Tenant, key)
	if err != nil && !writ.IsCode(err, writ.CodeNotFound) {
		return nil, t.storeFailed(inv, err)
	}
	if err != nil {
		document = nil
	}
	return t.pending.get(owner{inv.Tenant, inv.Execution}, key, document), nil
}

// storeFailed tells the operator why and the guest that.
func (t *Toolbox) storeFailed(inv *invocation, err error) *abi.Failure {
	t.opts.Logger.Error("kv store failed", "tenant", string(inv.Tenant), "execution", string(inv.Execution), "code", string(writ.CodeOf(err)))
	return failUnavailable("the store cannot be read")
}

func (t *Toolbox) kvGet(ctx context.Context, inv *invocation) *writ.ToolResult {
	args, failure := decode[abi.KVKey](inv.Arguments)
	if failure != nil {
		return notDone(failure)
	}
	key, failure := t.kvKey(inv, args.Key)
	if failure != nil {
		return notDone(failure)
	}
	document, failure := t.kvStored(ctx, inv, key)
	if failure != nil {
		return notDone(failure)
	}
	if document == nil {
		return done(abi.KVValue{}, writ.LabelStored)
	}
	var stored kvDocument
	if err := json.Unmarshal(document, &stored); err != nil {
		return notDone(t.storeFailed(inv, writ.Errorf(writ.CodeTampered, "kv", "a document does not decode")))
	}
	return done(abi.KVValue{Found: true, Value: stored.Value}, keptLabels(document)...)
}

// kvPut writes nothing itself: the change commits with the tool.returned record.
func (t *Toolbox) kvPut(ctx context.Context, inv *invocation) *writ.ToolResult {
	args, failure := decode[abi.KVPut](inv.Arguments)
	if failure != nil {
		return notDone(failure)
	}
	key, failure := t.kvKey(inv, args.Key)
	if failure != nil {
		return notDone(failure)
	}
	if len(args.Value) > maxValue {
		return notDone(failTooLarge("the value", maxValue))
	}
	document, err := canon.MarshalJSON(kvDocument{Value: args.Value, By: inv.Key, Labels: inv.Labels})
	if err != nil {
		return notDone(failInvalid("the value is not valid Unicode text", ""))
	}
	return t.kvChange(ctx, inv, writ.Change{Key: key, Value: document}, done(struct{}{}))
}

func (t *Toolbox) kvDelete(ctx context.Context, inv *invocation) *writ.ToolResult {
	args, failure := decode[abi.KVKey](inv.Arguments)
	if failure != nil {
		return notDone(failure)
	}
	key, failure := t.kvKey(inv, args.Key)
	if failure != nil {
		return notDone(failure)
	}
	document, failure := t.kvStored(ctx, inv, key)
	if failure != nil {
		return notDone(failure)
	}
	labels := []writ.Label{writ.LabelStored}
	if document != nil {
		labels = keptLabels(document)
	}
	result := done(abi.KVDeleted{Deleted: document != nil}, labels...)
	return t.kvChange(ctx, inv, writ.Change{Key: key}, result)
}

func (t *Toolbox) kvChange(ctx context.Context, inv *invocation, change writ.Change, result *writ.ToolResult) *writ.ToolResult {
	who := owner{inv.Tenant, inv.Execution}
	if !t.pending.put(who, change.Key, change.Value) {
		t.settle(ctx)
		if !t.pending.put(who, change.Key, change.Value) {
			return notDone(failUnavailable("too many changes wait for the store"))
		}
	}
	result.Changes = []writ.Change{change}
	return result
}

// settle drops every entry of the overlay that the store shows by now. It reads
// the store once for each, so it runs only when the overlay is full.
func (t *Toolbox) settle(ctx context.Context) {
	for who, keys := range t.pending.all() {
		for _, key := range keys {
			document, err := t.opts.Store.Get(ctx, who.tenant, key)
			if err == nil || writ.IsCode(err, writ.CodeNotFound) {
				t.pending.get(who, key, document)
			}
		}
	}
}

func (t *Toolbox) kvList(ctx context.Context, inv *invocation) *writ.ToolResult {
	args, failure := decode[abi.KVList](inv.Arguments)
	if failure != nil {
		return notDone(failure)
	}
	prefix, failure := t.kvKey(inv, args.Prefix)
	if failure != nil {
		return notDone(failure)
	}
	if len(args.After) > maxKey {
		return notDone(failTooLarge("the key to list after", maxKey))
	}
	if args.Limit == 0 {
		args.Limit = defaultKVKeys
	}
	space, _ := kvSpace(inv.Skill)
	after := ""
	if args.After != "" {
		after = space + args.After
	}
	query := writ.StoreQuery{Tenant: inv.Tenant, Prefix: prefix, After: after, Limit: args.Limit + 1}
	kept := map[string][]writ.Label{}
	keys, err := t.kvKeys(ctx, inv, query, kept)
	if err != nil {
		return notDone(t.storeFailed(inv, err))
	}
	result := abi.KVKeys{Keys: []string{}, More: len(keys) > args.Limit}
	labels := []writ.Label{writ.LabelStored}
	for i, key := range keys[:min(len(keys), args.Limit)] {
		result.Keys = append(result.Keys, strings.TrimPrefix(key, space))
		if pending := t.pending.get(owner{inv.Tenant, inv.Execution}, key, nil); pending != nil {
			kept[key] = keptLabels(pending)
		}
		if i == 0 {
			labels = nil
		}
		labels = writ.JoinLabels(labels, kept[key])
	}
	return done(result, labels...)
}

// kvKeys collects up to query.Limit keys of store and overlay, page by page, and
// the labels of what the store holds under them.
func (t *Toolbox) kvKeys(ctx context.Context, inv *invocation, query writ.StoreQuery, kept map[string][]writ.Label) ([]string, error) {
	pending := t.pending.under(owner{inv.Tenant, inv.Execution}, query.Prefix)
	for key := range pending {
		if key <= query.After {
			delete(pending, key)
		}
	}
	want := query.Limit
	query.Limit = kvPageDocument
	var stored []string
	for {
		page, err := t.opts.Store.List(ctx, query)
		if err != nil {
			return nil, err
		}
		for _, document := range page {
			stored = append(stored, document.Key)
			kept[document.Key] = keptLabels(document.Value)
		}
		last := ""
		if len(page) == kvPageDocument {
			last = page[len(page)-1].Key
		}
		keys := merge(stored, pending, last)
		if len(keys) >= want || last == "" {
			return keys[:min(len(keys), want)], nil
		}
		query.After = last
	}
}
