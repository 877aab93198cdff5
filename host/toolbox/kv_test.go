package toolbox

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

func kvBench(t *testing.T, store *memoryStore) *bench {
	return newBench(t, Options{Store: store}, every(abi.ToolKVGet), every(abi.ToolKVPut), every(abi.ToolKVDelete), every(abi.ToolKVList))
}

// as is the same toolbox seen by another execution.
func (b *bench) as(execution writ.ExecutionID) *bench {
	return &bench{
		Toolbox: b.Toolbox, t: b.t, execution: execution,
		permit: mint(b.t, execution, every(abi.ToolKVGet), every(abi.ToolKVPut), every(abi.ToolKVDelete), every(abi.ToolKVList)),
	}
}

func (b *bench) get(key string) string {
	b.t.Helper()
	result := b.do(abi.ToolKVGet, abi.KVKey{Key: key})
	if !slices.Equal(result.Labels, []writ.Label{writ.LabelStored}) {
		b.t.Errorf("labels %v", result.Labels)
	}
	v := bodyOf[abi.KVValue](b.t, result)
	if !v.Found {
		return "-"
	}
	return v.Value
}

func (b *bench) put(key, value string) writ.Change {
	b.t.Helper()
	result := b.do(abi.ToolKVPut, abi.KVPut{Key: key, Value: value})
	if result.Outcome != writ.OutcomeDone || len(result.Changes) != 1 {
		b.t.Fatalf("put: %+v", result)
	}
	return result.Changes[0]
}

func TestKVWritesNothingItself(t *testing.T) {
	store := &memoryStore{}
	b := kvBench(t, store)
	change := b.put("a/b", "1")
	if change.Key != "kv/pub/skill/a/b" || !strings.Contains(string(change.Value), `"value":"1"`) {
		t.Errorf("change %+v", change)
	}
	if len(store.documents) != 0 {
		t.Error("the tool wrote to the store")
	}
	removal := b.do(abi.ToolKVDelete, abi.KVKey{Key: "a/b"})
	if !bodyOf[abi.KVDeleted](t, removal).Deleted || len(removal.Changes) != 1 || removal.Changes[0].Value != nil {
		t.Errorf("removal %+v", removal)
	}
	if again := b.do(abi.ToolKVDelete, abi.KVKey{Key: "a/b"}); bodyOf[abi.KVDeleted](t, again).Deleted {
		t.Error("deleted twice")
	}
}

func TestOwnChangesShowBeforeTheyAreDurable(t *testing.T) {
	store := &memoryStore{}
	b := kvBench(t, store)
	other := b.as("exe_2")
	first := b.put("k", "mine")
	if got := b.get("k"); got != "mine" {
		t.Errorf("own value %q", got)
	}
	if got := other.get("k"); got != "-" {
		t.Errorf("another execution sees %q", got)
	}
	if keys := bodyOf[abi.KVKeys](t, other.do(abi.ToolKVList, abi.KVList{})); len(keys.Keys) != 0 {
		t.Errorf("another execution lists %v", keys.Keys)
	}
	store.commit(first)
	if got := other.get("k"); got != "mine" {
		t.Errorf("another execution sees %q once it is durable", got)
	}
	// Once seen in the store, the entry is settled: later words of others count.
	b.get("k")
	store.commit(other.put("k", "theirs"))
	if got := b.get("k"); got != "theirs" {
		t.Errorf("a settled entry hides %q", got)
	}
}

func TestForgetDropsOneExecution(t *testing.T) {
	b := kvBench(t, &memoryStore{})
	other := b.as("exe_2")
	b.put("k", "1")
	other.put("k", "2")
	b.Forget(b.execution)
	if mine, theirs := b.get("k"), other.get("k"); mine != "-" || theirs != "2" {
		t.Errorf("got %q and %q", mine, theirs)
	}
}

func TestKVBounds(t *testing.T) {
	b := kvBench(t, &memoryStore{})
	b.put(strings.Repeat("k", maxKey), strings.Repeat("v", maxValue))
	wantFailure(t, b.do(abi.ToolKVPut, abi.KVPut{Key: "k", Value: strings.Repeat("v", maxValue+1)}), abi.FailTooLarge, writ.OutcomeNotDone)
	// 512 characters, but 1,024 bytes.
	wantFailure(t, b.do(abi.ToolKVGet, abi.KVKey{Key: strings.Repeat("ä", maxKey)}), abi.FailTooLarge, writ.OutcomeNotDone)
	wantFailure(t, b.do(abi.ToolKVList, abi.KVList{After: strings.Repeat("ä", maxKey)}), abi.FailTooLarge, writ.OutcomeNotDone)
	if b.put("empty", ""); b.get("empty") != "" {
		t.Error("an empty value is no value")
	}
}

func TestOverlayIsBoundedAndSettles(t *testing.T) {
	store := &memoryStore{}
	b := kvBench(t, store)
	big := writ.Change{Key: "kv/pub/skill/big", Value: make([]byte, maxPendingBytes-1000)}
	if !b.pending.put(owner{testTenant, b.execution}, big.Key, big.Value) {
		t.Fatal("refused below the bound")
	}
	changes := []writ.Change{big}
	full := false
	for i := 0; !full; i++ {
		result := b.do(abi.ToolKVPut, abi.KVPut{Key: fmt.Sprint(i), Value: strings.Repeat("v", 100)})
		if full = result.Failure != nil; full {
			wantFailure(t, result, abi.FailUnavailable, writ.OutcomeNotDone)
			if len(result.Changes) != 0 {
				t.Error("a refused change is returned")
			}
		}
		changes = append(changes, result.Changes...)
		if i > 10 {
			t.Fatal("the overlay has no bound")
		}
	}
	// The store catches up, and the next change finds room by itself.
	store.commit(changes...)
	b.put("next", strings.Repeat("v", 100))
	if n := len(b.pending.all()[owner{testTenant, b.execution}]); n != 1 {
		t.Errorf("%d entries are left", n)
	}
}

func TestOverlayBoundsKeysAndExecutions(t *testing.T) {
	o := newOverlay()
	who := owner{testTenant, "e"}
	for i := range maxPendingKeys {
		if !o.put(who, fmt.Sprint(i), nil) {
			t.Fatalf("key %d is refused", i)
		}
	}
	if o.put(who, "one more", nil) || !o.put(who, "0", []byte("again")) {
		t.Error("the bound on keys does not hold, or stops replacing")
	}
	o.forget("e")
	for i := range maxPendingExecutions {
		if !o.put(owner{testTenant, writ.ExecutionID(fmt.Sprint(i))}, "k", nil) {
			t.Fatalf("execution %d is refused", i)
		}
	}
	if o.put(who, "k", nil) {
		t.Error("the bound on executions does not hold")
	}
}

func TestKVSpacesAreApart(t *testing.T) {
	store := &memoryStore{}
	store.commit(writ.Change{Key: "kv/pub/skill2/k", Value: []byte(`{"value":"2"}`)}, writ.Change{Key: "kv/pub/skill/k", Value: []byte(`{"value":"1"}`)})
	b := kvBench(t, store)
	if keys := bodyOf[abi.KVKeys](t, b.do(abi.ToolKVList, abi.KVList{})); !slices.Equal(keys.Keys, []string{"k"}) {
		t.Errorf("keys %v", keys.Keys)
	}
	// Dots and slashes are characters of a key, not ways out of the space.
	if got := b.get("../skill2/k"); got != "-" {
		t.Errorf("got %q", got)
	}
	for _, key := range []writ.SkillKey{"", "a", "/a", "a/", "a/b/c"} {
		if space, ok := kvSpace(key); ok {
			t.Errorf("%q has the space %q", key, space)
		}
	}
}

func TestKVStoreTrouble(t *testing.T) {
	store := &memoryStore{}
	b := kvBench(t, store)
	store.commit(writ.Change{Key: "kv/pub/skill/bad", Value: []byte("{")})
	wantFailure(t, b.do(abi.ToolKVGet, abi.KVKey{Key: "bad"}), abi.FailUnavailable, writ.OutcomeNotDone)
	store.err = writ.Errorf(writ.CodeTampered, "store", "at /home/x: a detail")
	for tool, args := range map[string]any{
		abi.ToolKVGet: abi.KVKey{Key: "k"}, abi.ToolKVDelete: abi.KVKey{Key: "k"}, abi.ToolKVList: abi.KVList{},
	} {
		result := b.do(tool, args)
		wantFailure(t, result, abi.FailUnavailable, writ.OutcomeNotDone)
		if strings.Contains(result.Failure.Message, "detail") {
			t.Errorf("%s tells the guest %q", tool, result.Failure.Message)
		}
	}
	none := newBench(t, Options{}, every(abi.ToolKVGet))
	wantFailure(t, none.do(abi.ToolKVGet, abi.KVKey{Key: "k"}), abi.FailUnsupported, writ.OutcomeNotDone)
}

// TestKVModel: whatever becomes durable when, an execution reads its own writes
// and pages through exactly its keys.
func TestKVModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		store := &memoryStore{}
		b := kvBench(t, store)
		model := map[string]string{}
		var queue []writ.Change
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			key := rapid.StringMatching(`[ab]{1,2}`).Draw(rt, "key")
			switch rapid.IntRange(0, 3).Draw(rt, "what") {
			case 0:
				value := rapid.StringN(0, 4, -1).Draw(rt, "value")
				queue = append(queue, b.put(key, value))
				model[key] = value
			case 1:
				result := b.do(abi.ToolKVDelete, abi.KVKey{Key: key})
				queue = append(queue, result.Changes...)
				if _, was := model[key]; bodyOf[abi.KVDeleted](t, result).Deleted != was {
					rt.Fatalf("delete %q: the model has it: %v", key, was)
				}
				delete(model, key)
			case 2:
				n := rapid.IntRange(0, len(queue)).Draw(rt, "durable")
				store.commit(queue[:n]...)
				queue = queue[n:]
			}
			want, ok := model[key]
			if got := b.get(key); (ok && got != want) || (!ok && got != "-") {
				rt.Fatalf("get %q: %q, want %q (%v)", key, got, want, ok)
			}
		}
		checkPages(rt, b, model)
	})
}

func checkPages(rt *rapid.T, b *bench, model map[string]string) {
	prefix := rapid.SampledFrom([]string{"", "a", "b", "ab", "c"}).Draw(rt, "prefix")
	limit := rapid.IntRange(1, 3).Draw(rt, "limit")
	var want, got []string
	for key := range model {
		if strings.HasPrefix(key, prefix) {
			want = append(want, key)
		}
	}
	slices.Sort(want)
	for after := ""; ; {
		page := bodyOf[abi.KVKeys](b.t, b.do(abi.ToolKVList, abi.KVList{Prefix: prefix, After: after, Limit: limit}))
		got = append(got, page.Keys...)
		if len(page.Keys) > limit || (page.More && len(page.Keys) != limit) {
			rt.Fatalf("page %v of at most %d, more %v", page.Keys, limit, page.More)
		}
		if !page.More {
			break
		}
		after = page.Keys[len(page.Keys)-1]
	}
	if !slices.Equal(got, want) {
		rt.Fatalf("listed %v, want %v", got, want)
	}
}

// TestKVListPages goes beyond one page of the store, with changes on every side.
func TestKVListPages(t *testing.T) {
	store := &memoryStore{}
	b := kvBench(t, store)
	var want []string
	for i := range 3 * kvPageDocument {
		key := fmt.Sprintf("k%04d", i)
		store.commit(writ.Change{Key: "kv/pub/skill/" + key, Value: []byte(`{"value":""}`)})
		if i%3 == 0 {
			b.do(abi.ToolKVDelete, abi.KVKey{Key: key})
			continue
		}
		want = append(want, key)
	}
	for _, key := range []string{"a", "k0001x", "z"} {
		b.put(key, "")
		want = append(want, key)
	}
	slices.Sort(want)
	page := bodyOf[abi.KVKeys](t, b.do(abi.ToolKVList, abi.KVList{Limit: 1000}))
	if !slices.Equal(page.Keys, want) || page.More {
		t.Errorf("listed %d keys, more %v; want %d", len(page.Keys), page.More, len(want))
	}
	if page := bodyOf[abi.KVKeys](t, b.do(abi.ToolKVList, abi.KVList{})); len(page.Keys) != defaultKVKeys || !page.More {
		t.Errorf("the default page has %d keys, more %v", len(page.Keys), page.More)
	}
	for _, q := range store.listed {
		if q.Limit != kvPageDocument {
			t.Fatalf("asked the store for %d documents at once", q.Limit)
		}
	}
}

// TestALateDeletionWaits: the store has nothing under a key both before the put
// arrived and after the deletion did.
func TestALateDeletionWaits(t *testing.T) {
	store := &memoryStore{}
	b := kvBench(t, store)
	put := b.put("k", "v")
	b.do(abi.ToolKVDelete, abi.KVKey{Key: "k"})
	before := b.get("k")
	store.commit(put)
	if after := b.get("k"); before != "-" || after != "-" {
		t.Errorf("a deleted key reads %q, then %q", before, after)
	}
}
