package trace

import (
	"bytes"
	"container/heap"
	"context"
	"encoding/base64"
	"encoding/binary"
	"slices"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// The lists. Every execution stands in one list of its tenant and one of its
// workspace from its first commit on, and once it has ended in two more with its
// status and risk:
//
//	x tenant NUL workspace NUL status risk ^created stream
//
// where the workspace is empty in the tenant's list, and status and risk are in
// that of all. Keys are set once and stay: what Badger deletes lies in the way of
// who reads until a compaction of its last level. Those that have not ended
// are few and change often; they are listed from memory, see open.go.

// listEntry is where the list shows an execution.
type listEntry struct {
	workspace writ.WorkspaceID
	status    byte
	risk      byte
	open      bool // it has not ended
	created   writ.Time
	stream    writ.StreamID // empty: nowhere
}

// The order is part of the stored form: append, never insert.
var (
	listStatuses = []writ.ExecutionStatus{
		"", writ.ExecReceived, writ.ExecCompiled, writ.ExecRejected, writ.ExecAwaitingApproval,
		writ.ExecRunning, writ.ExecPaused, writ.ExecCompleted, writ.ExecFailed, writ.ExecCancelled,
		writ.ExecExpired, writ.ExecBlocked, writ.ExecIndeterminate,
	}
	listRisks = []writ.Risk{"", writ.RiskLow, writ.RiskMedium, writ.RiskHigh, writ.RiskBlocked}
)

func indexOf[T comparable](list []T, value T) byte {
	for i, v := range list {
		if v == value {
			return byte(i)
		}
	}
	return 0
}

// listEntryOf is empty for a stream that did not begin with an intent.
func listEntryOf(e *writ.Execution) listEntry {
	if e.ID == "" {
		return listEntry{}
	}
	return listEntry{
		workspace: e.Workspace, status: indexOf(listStatuses, e.Status), risk: indexOf(listRisks, e.Risk),
		open: !e.Status.Final(), created: e.CreatedAt, stream: writ.StreamID(e.ID),
	}
}

func listPrefix(tenant writ.TenantID, workspace writ.WorkspaceID, status, risk byte) []byte {
	key := append(tenantKey(spaceList, tenant, string(workspace)), nul)
	return append(key, 'a'+status, 'a'+risk)
}

// listSuffix orders newest first, then by stream.
func listSuffix(created writ.Time, stream writ.StreamID) []byte {
	return append(binary.BigEndian.AppendUint64(nil, ^uint64(created)), stream...)
}

func (e *listEntry) keys(tenant writ.TenantID) [][]byte {
	if e.stream == "" {
		return nil
	}
	suffix := listSuffix(e.created, e.stream)
	keys := [][]byte{
		append(listPrefix(tenant, "", 0, 0), suffix...),
		append(listPrefix(tenant, e.workspace, 0, 0), suffix...),
	}
	if e.open {
		return keys
	}
	return append(keys,
		append(listPrefix(tenant, "", e.status, e.risk), suffix...),
		append(listPrefix(tenant, e.workspace, e.status, e.risk), suffix...))
}

// relist moves the execution to where its state belongs.
func (c *change) relist(s *strand) error {
	now := listEntryOf(s.execution)
	if now == s.listed {
		return nil
	}
	tenant := s.execution.Tenant
	before, after := s.listed.keys(tenant), now.keys(tenant)
	for _, key := range before {
		if containsKey(after, key) {
			continue
		}
		if err := c.txn.Delete(key); err != nil {
			return err
		}
	}
	for _, key := range after {
		if containsKey(before, key) {
			continue
		}
		if err := c.set(key, nil); err != nil {
			return err
		}
	}
	s.listed = now
	return c.reopen(s.name, tenant, now)
}

func containsKey(keys [][]byte, key []byte) bool {
	return slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, key) })
}

const (
	defaultPage = 50
	maxPage     = 500
)

// Executions implements writ.Traces. CodeInvalid for a filter or cursor that
// does not fit.
func (j *Journal) Executions(ctx context.Context, query writ.ExecutionQuery) (*writ.ExecutionPage, error) {
	if err := ctx.Err(); err != nil {
		return nil, contextError("executions", err)
	}
	lists, err := listsOf(&query)
	if err != nil {
		return nil, err
	}
	after, err := decodeCursor(&query)
	if err != nil {
		return nil, err
	}
	limit := min(orDefault(query.Limit, defaultPage), maxPage)
	page := &writ.ExecutionPage{Items: []*writ.Execution{}}
	// Before the view: what ends in between shows twice, where the other way
	// round it would not show at all.
	open := j.live.matching(&query, after, limit+1)
	err = j.view(func(txn *badger.Txn) error {
		m := newMerge(txn, tenantKey(spaceList, query.Tenant), lists)
		defer m.it.Close()
		m.add(open)
		m.start(after)
		for m.Len() > 0 && len(page.Items) < limit {
			at := m.pop()
			if bytes.Equal(at, after) {
				continue
			}
			after = at
			execution, _, err := readExecution(txn, query.Tenant, writ.StreamID(after[8:]))
			if err != nil {
				return err
			}
			if matches(execution, &query) {
				page.Items = append(page.Items, execution)
			}
		}
		if m.Len() > 0 || len(open) > limit {
			page.Next = encodeCursor(&query, after)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

func matches(e *writ.Execution, query *writ.ExecutionQuery) bool {
	return (query.Status == "" || e.Status == query.Status) && (query.Risk == "" || e.Risk == query.Risk) &&
		(query.Workspace == "" || e.Workspace == query.Workspace)
}

// listsOf are the prefixes of the stored lists that the query allows.
func listsOf(query *writ.ExecutionQuery) ([][]byte, error) {
	const op = "executions"
	statuses, risks := listStatuses, listRisks
	if query.Status != "" {
		statuses = []writ.ExecutionStatus{query.Status}
	}
	if query.Risk != "" {
		risks = []writ.Risk{query.Risk}
	}
	switch {
	case !validName(string(query.Tenant)):
		return nil, writ.Errorf(writ.CodeInvalid, op, "no tenant is named")
	case query.Status != "" && indexOf(listStatuses, query.Status) == 0:
		return nil, writ.Errorf(writ.CodeInvalid, op, "%q is not a status", query.Status)
	case query.Risk != "" && indexOf(listRisks, query.Risk) == 0:
		return nil, writ.Errorf(writ.CodeInvalid, op, "%q is not a risk tier", query.Risk)
	case query.Limit < 0:
		return nil, writ.Errorf(writ.CodeInvalid, op, "the limit is negative")
	}
	if query.Status == "" && query.Risk == "" {
		return [][]byte{listPrefix(query.Tenant, query.Workspace, 0, 0)}, nil
	}
	lists := make([][]byte, 0, len(statuses)*len(risks))
	for _, s := range statuses {
		if !s.Final() {
			continue
		}
		for _, r := range risks {
			lists = append(lists, listPrefix(query.Tenant, query.Workspace, indexOf(listStatuses, s), indexOf(listRisks, r)))
		}
	}
	return lists, nil
}

// merge walks several lists at once, newest first, with one iterator.
type merge struct {
	it      *badger.Iterator
	lists   [][]byte // prefixes
	current int      // list in which it stands
	more    [][]byte // suffixes of a list that is not stored, in order
	cursors []cursor // a heap
}

type cursor struct {
	list int    // len(lists): more
	at   []byte // suffix of the next key
}

func newMerge(txn *badger.Txn, prefix []byte, lists [][]byte) *merge {
	opts := badger.DefaultIteratorOptions
	opts.PrefetchValues, opts.Prefix = false, prefix
	return &merge{it: txn.NewIterator(opts), lists: lists, current: -1}
}

// Len implements heap.Interface.
func (m *merge) Len() int { return len(m.cursors) }

// Less implements heap.Interface.
func (m *merge) Less(a, b int) bool { return bytes.Compare(m.cursors[a].at, m.cursors[b].at) < 0 }

// Swap implements heap.Interface.
func (m *merge) Swap(a, b int) { m.cursors[a], m.cursors[b] = m.cursors[b], m.cursors[a] }

// Push implements heap.Interface.
func (m *merge) Push(x any) {
	if c, ok := x.(cursor); ok {
		m.cursors = append(m.cursors, c)
	}
}

// Pop implements heap.Interface.
func (m *merge) Pop() any {
	last := m.cursors[len(m.cursors)-1]
	m.cursors = m.cursors[:len(m.cursors)-1]
	return last
}

// add gives the merge one more list, of suffixes behind where it starts.
func (m *merge) add(suffixes [][]byte) { m.more = suffixes }

// start places every list behind the suffix.
func (m *merge) start(after []byte) {
	for i := range len(m.lists) + 1 {
		if at := m.next(i, after); at != nil {
			m.cursors = append(m.cursors, cursor{i, at})
		}
	}
	heap.Init(m)
}

// next is the first suffix of a list behind another one, nil at its end.
func (m *merge) next(list int, after []byte) []byte {
	if list == len(m.lists) {
		if len(m.more) == 0 {
			return nil
		}
		at := m.more[0]
		m.more = m.more[1:]
		return at
	}
	prefix := m.lists[list]
	seek := append(append([]byte{}, prefix...), after...)
	// Most pages are of one list: a step costs a fraction of a search.
	if m.current == list && m.it.Valid() && bytes.Equal(m.it.Item().Key(), seek) {
		m.it.Next()
	} else {
		if after != nil {
			seek = append(seek, 0)
		}
		m.it.Seek(seek)
	}
	m.current = list
	if !m.it.ValidForPrefix(prefix) {
		return nil
	}
	suffix := m.it.Item().KeyCopy(nil)[len(prefix):]
	if len(suffix) <= 8 {
		return nil
	}
	return suffix
}

func (m *merge) pop() []byte {
	top := m.cursors[0]
	if at := m.next(top.list, top.at); at != nil {
		m.cursors[0].at = at
		heap.Fix(m, 0)
	} else {
		heap.Remove(m, 0)
	}
	return top.at
}

// A cursor is the suffix of the last item, bound to the filters that it was made
// for by a short hash.
const cursorBinding = 8

func bindCursor(query *writ.ExecutionQuery, suffix []byte) []byte {
	sum := canon.Hash(canon.DomainLeaf, []byte("cursor"), []byte(query.Tenant), []byte(query.Workspace),
		[]byte(query.Status), []byte(query.Risk), suffix)
	return sum[:cursorBinding]
}

func encodeCursor(query *writ.ExecutionQuery, suffix []byte) string {
	return base64.RawURLEncoding.EncodeToString(append(bindCursor(query, suffix), suffix...))
}

func decodeCursor(query *writ.ExecutionQuery) ([]byte, error) {
	if query.Cursor == "" {
		return nil, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(query.Cursor)
	if err != nil || len(raw) <= cursorBinding+8 || len(raw) > cursorBinding+8+maxName ||
		!bytes.Equal(raw[:cursorBinding], bindCursor(query, raw[cursorBinding:])) {
		return nil, writ.Errorf(writ.CodeInvalid, "executions", "the cursor is not of this list").
			WithFix("take nextCursor of the page before, with the same filters")
	}
	return raw[cursorBinding:], nil
}
