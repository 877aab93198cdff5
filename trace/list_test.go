package trace_test

import (
	"context"
	"encoding/base64"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/trace"
)

// fill makes executions of two workspaces in several states; created times repeat.
func fill(t testing.TB, j *trace.Journal, n int) {
	t.Helper()
	statuses := []writ.ExecutionStatus{"", writ.ExecCompleted, writ.ExecFailed}
	for i := range n {
		first := received(i / 2)
		facts := *first.Body.Intent
		facts.Workspace = []writ.WorkspaceID{"default", "ops"}[i%2]
		first.Body.Intent = &facts
		records := []writ.NewRecord{first}
		if i%4 == 3 {
			records = append(records, writ.NewRecord{
				Type: writ.RecPlanCompiled, Time: at(i), Actor: audit(),
				Body: writ.Body{Plan: &writ.CompiledFacts{ID: "pln_x", Steps: []writ.PlannedStep{{ID: "stp_x", Name: "a", Risk: writ.RiskHigh}}}},
			})
		}
		if s := statuses[i%3]; s != "" {
			records = append(records, ended(i, s))
		}
		if _, err := j.Append(context.Background(), batchOf(execID(i), 0, records...)); err != nil {
			t.Fatal(err)
		}
	}
	must(t, j, batchOf(writ.SystemStream, writ.AnySeq, note(1)))
}

func pages(t interface{ Fatal(...any) }, j *trace.Journal, query writ.ExecutionQuery) (all []*writ.Execution) {
	for {
		page, err := j.Executions(context.Background(), query)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Items...)
		if page.Next == "" {
			return all
		}
		if len(page.Items) == 0 {
			t.Fatal("an empty page that is not the last")
		}
		query.Cursor = page.Next
	}
}

func TestExecutionsFilterAndPage(t *testing.T) {
	j := open(t, options(""))
	const n = 60
	fill(t, j, n)
	everything := pages(t, j, writ.ExecutionQuery{Tenant: tenant, Limit: 500})
	if len(everything) != n {
		t.Fatalf("%d executions", len(everything))
	}
	for i := 1; i < n; i++ {
		a, b := everything[i-1], everything[i]
		if a.CreatedAt < b.CreatedAt || (a.CreatedAt == b.CreatedAt && a.ID >= b.ID) {
			t.Fatalf("%s at %d before %s at %d", a.ID, a.CreatedAt, b.ID, b.CreatedAt)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		query := writ.ExecutionQuery{
			Tenant:    tenant,
			Workspace: rapid.SampledFrom([]writ.WorkspaceID{"", "default", "ops", "none"}).Draw(t, "workspace"),
			Status:    rapid.SampledFrom([]writ.ExecutionStatus{"", writ.ExecReceived, writ.ExecCompleted, writ.ExecFailed}).Draw(t, "status"),
			Risk:      rapid.SampledFrom([]writ.Risk{"", writ.RiskLow, writ.RiskHigh}).Draw(t, "risk"),
			Limit:     rapid.IntRange(0, 20).Draw(t, "limit"),
		}
		var want, got []writ.ExecutionID
		for _, e := range everything {
			if (query.Workspace == "" || e.Workspace == query.Workspace) &&
				(query.Status == "" || e.Status == query.Status) && (query.Risk == "" || e.Risk == query.Risk) {
				want = append(want, e.ID)
			}
		}
		for _, e := range pages(t, j, query) {
			got = append(got, e.ID)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got %v want %v", got, want)
		}
	})
}

func TestExecutionsRefuse(t *testing.T) {
	j := open(t, options(""))
	fill(t, j, 4)
	page, err := j.Executions(context.Background(), writ.ExecutionQuery{Tenant: tenant, Limit: 1})
	if err != nil || page.Next == "" {
		t.Fatal(page, err)
	}
	flipped := []byte(page.Next)
	flipped[3] ^= 1
	for name, query := range map[string]writ.ExecutionQuery{
		"no tenant":                    {},
		"unknown status":               {Tenant: tenant, Status: "done"},
		"unknown risk":                 {Tenant: tenant, Risk: "huge"},
		"negative limit":               {Tenant: tenant, Limit: -1},
		"cursor of other filters":      {Tenant: tenant, Status: writ.ExecFailed, Cursor: page.Next},
		"cursor of another tenant":     {Tenant: "other", Cursor: page.Next},
		"cursor with a changed letter": {Tenant: tenant, Cursor: string(flipped)},
		"cursor cut off":               {Tenant: tenant, Cursor: page.Next[:8]},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := j.Executions(context.Background(), query)
			wantCode(t, err, writ.CodeInvalid)
		})
	}
}

func FuzzCursor(f *testing.F) {
	j := open(f, options(""))
	fill(f, j, 4)
	page, err := j.Executions(context.Background(), writ.ExecutionQuery{Tenant: tenant, Limit: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(page.Next)
	f.Add(base64.RawURLEncoding.EncodeToString(make([]byte, 24)))
	f.Fuzz(func(t *testing.T, cursor string) {
		got, err := j.Executions(context.Background(), writ.ExecutionQuery{Tenant: tenant, Cursor: cursor})
		if err != nil {
			wantCode(t, err, writ.CodeInvalid)
			return
		}
		if cursor != "" && cursor != page.Next && len(got.Items) == 4 {
			t.Fatalf("cursor %q was taken for the beginning", cursor)
		}
	})
}

func TestStoreList(t *testing.T) {
	j := open(t, options(""))
	ctx := context.Background()
	b := batchOf(writ.SystemStream, writ.AnySeq, note(1))
	for _, key := range []string{"kv/a", "kv/b", "kv/c", "kva", "token/x"} {
		b.Changes = append(b.Changes, writ.Change{Key: key, Value: []byte(key)})
	}
	must(t, j, b)
	must(t, j, &writ.Batch{
		Tenant: tenant, Stream: writ.SystemStream, Expect: writ.AnySeq, Records: b.Records,
		Changes: []writ.Change{{Key: "kv/b"}, {Key: "token/y", Value: []byte{}}},
	})
	keys := func(query writ.StoreQuery) (out []string) {
		query.Tenant = tenant
		documents, err := j.List(ctx, query)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range documents {
			out = append(out, d.Key)
		}
		return out
	}
	for _, c := range []struct {
		query writ.StoreQuery
		want  []string
	}{
		{writ.StoreQuery{}, []string{"kv/a", "kv/c", "kva", "token/x", "token/y"}},
		{writ.StoreQuery{Prefix: "kv/"}, []string{"kv/a", "kv/c"}},
		{writ.StoreQuery{Prefix: "kv/", After: "kv/a"}, []string{"kv/c"}},
		{writ.StoreQuery{Prefix: "kv", Limit: 2}, []string{"kv/a", "kv/c"}},
		{writ.StoreQuery{Prefix: "kv/", After: "zz"}, nil},
	} {
		if got := keys(c.query); !slices.Equal(got, c.want) {
			t.Errorf("%+v: got %v want %v", c.query, got, c.want)
		}
	}
	_, err := j.Get(ctx, tenant, "kv/b")
	wantCode(t, err, writ.CodeNotFound)
	value, err := j.Get(ctx, tenant, "token/y")
	if err != nil || value == nil || len(value) != 0 {
		t.Fatalf("%v %v", value, err)
	}
}
