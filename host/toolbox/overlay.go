package toolbox

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/writ-run/writ"
)

// Bounds of the overlay. Changes become durable within milliseconds, so an
// execution meets them only while the store stands still.
const (
	maxPendingBytes      = 16 << 20 // of one execution: 64 values of full size
	maxPendingKeys       = 4096     // of one execution
	maxPendingExecutions = 4096
)

type owner struct {
	tenant    writ.TenantID
	execution writ.ExecutionID
}

// overlay holds the kv changes that calls returned and that the store, which
// shows durable state only, may not show yet. Nobody but the execution that
// made a change sees it here. An entry goes as soon as the store shows it; one
// that another execution overwrote before anybody looked stays until it is
// forgotten, so its execution reads its own last word meanwhile.
type overlay struct {
	mu     *sync.Mutex // guards everything below
	owners map[owner]*pendingKeys
}

type pendingKeys struct {
	entries map[string]pendingValue // by store key
	bytes   int
}

// pendingValue is a document that was written, nil for one that was deleted.
type pendingValue struct {
	document []byte
	// late marks a deletion of what was itself not durable yet: that the store
	// has nothing may then mean that it has not come so far.
	late bool
}

func newOverlay() overlay { return overlay{mu: &sync.Mutex{}, owners: map[owner]*pendingKeys{}} }

// put remembers a change; false where a bound is reached.
func (o *overlay) put(who owner, key string, document []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	keys := o.owners[who]
	if keys == nil {
		if len(o.owners) >= maxPendingExecutions {
			return false
		}
		keys = &pendingKeys{entries: map[string]pendingValue{}}
	}
	old, replaces := keys.entries[key]
	size := keys.bytes + len(document) - len(old.document)
	if !replaces {
		size += len(key)
	}
	if size > maxPendingBytes || (!replaces && len(keys.entries) >= maxPendingKeys) {
		return false
	}
	keys.entries[key] = pendingValue{document: document, late: document == nil && replaces}
	keys.bytes = size
	o.owners[who] = keys
	return true
}

// get reports what the execution last made of the key. stored is what the store
// shows (nil: nothing): where that is the same, the entry is settled and goes.
func (o *overlay) get(who owner, key string, stored []byte) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	keys := o.owners[who]
	if keys == nil {
		return stored
	}
	entry, ok := keys.entries[key]
	if !ok {
		return stored
	}
	if string(entry.document) == string(stored) && !entry.late {
		keys.bytes -= len(key) + len(entry.document)
		delete(keys.entries, key)
		if len(keys.entries) == 0 {
			delete(o.owners, who)
		}
	}
	return entry.document
}

// under lists the execution's entries whose key has the prefix: true where the
// key has a value, false where it was deleted.
func (o *overlay) under(who owner, prefix string) map[string]bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := map[string]bool{}
	if keys := o.owners[who]; keys != nil {
		for key, entry := range keys.entries {
			if strings.HasPrefix(key, prefix) {
				out[key] = entry.document != nil
			}
		}
	}
	return out
}

func (o *overlay) all() map[owner][]string {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := map[owner][]string{}
	for who, keys := range o.owners {
		out[who] = slices.Collect(maps.Keys(keys.entries))
	}
	return out
}

func (o *overlay) forget(execution writ.ExecutionID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	maps.DeleteFunc(o.owners, func(who owner, _ *pendingKeys) bool { return who.execution == execution })
}

// merge puts the overlay's keys into a sorted page of the store's. Keys beyond
// last, where the page ends before the store does, are left for later pages.
func merge(stored []string, pending map[string]bool, last string) []string {
	set := map[string]bool{}
	for _, key := range stored {
		set[key] = true
	}
	for key, exists := range pending {
		if !exists {
			delete(set, key)
		} else if last == "" || key <= last {
			set[key] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}
