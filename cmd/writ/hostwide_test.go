package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/freeze"
	"github.com/writ-run/writ/identity"
	"github.com/writ-run/writ/policy"
)

// everything is what the host alone freezes.
var everything = contract.FreezeSubject{All: true}

// A freeze of everything and an activation say in another tenant that the host did
// it, and nowhere who or why: not in a list, a refusal, an event, a step or the
// bytes of a record. The host's own journal says both.
func TestWhatIsTheHostsNamesNobodyElsewhere(t *testing.T) {
	h := testHome(t, nil)
	r := &rehearsal{home: h, work: &work{}}
	r.prepare(t)
	const reason = "the cause that acme must not know"
	ctx := writ.WithPrincipal(t.Context(), r.author)
	other := h.tenant(t, r.author, "acme")
	as := writ.WithPrincipal(t.Context(), other)
	x := populate(t, h, other)
	_, err := h.identity.GrantCreate(as, &contract.GrantCreateInput{PrincipalID: other.ID, Capability: writ.Capability{Tool: "*"}, MaxRisk: writ.RiskHigh})
	if err != nil {
		t.Fatal(err)
	}
	draft := "apiVersion: writ/v1\nkind: Plan\nsteps:\n  - name: send\n    uses: compat/send#run\n    with: {method: POST, url: \"https://api.example.com/items\", body: x}\n"
	held, err := h.engine.IntentSubmit(as, &contract.IntentSubmitInput{Text: "t", Draft: draft})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.engine.PlanCompile(as, &contract.PlanCompileInput{ExecutionID: held.ExecutionID}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.activatePolicy(ctx, &contract.PolicyActivateInput{Digest: h.policies.Active().Policy().Digest, Reason: reason}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.freezes.Freeze(ctx, &contract.FreezeInput{FreezeSubject: everything, Reason: reason}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.engine.ExecutionStart(as, &contract.ExecutionStartInput{ExecutionID: held.ExecutionID, Wait: true}); err != nil {
		t.Fatal(err)
	}
	if exec, err := h.journal.Execution(as, "acme", held.ExecutionID); err != nil || exec.Frozen() == nil {
		t.Fatalf("no step is held: %v", err)
	}
	caller := &direct{home: h, principal: other}
	seen := []string{}
	for _, calls := range []struct {
		key string
		in  any
	}{
		{contract.FreezeList.Key, contract.FreezeListInput{}},
		{contract.SystemStatus.Key, contract.SystemStatusInput{}},
		{contract.PolicyList.Key, contract.PolicyListInput{}},
		{contract.IntentSubmit.Key, contract.IntentSubmitInput{Text: "t"}},
		{contract.ExecutionGet.Key, contract.ExecutionGetInput{ExecutionID: held.ExecutionID, IncludeOutputs: true}},
		{contract.ExecutionList.Key, contract.ExecutionListInput{}},
		{contract.ApprovalList.Key, contract.ApprovalListInput{}},
		{contract.TraceGet.Key, contract.TraceGetInput{ExecutionID: held.ExecutionID, IncludePayloads: true}},
		{contract.DriftList.Key, contract.DriftListInput{}},
	} {
		seen = append(seen, calls.key+" "+answered(t, caller, calls.key, calls.in))
	}
	frozenSteps := 0
	for _, stream := range []writ.StreamID{writ.SystemStream, writ.StreamID(held.ExecutionID), writ.StreamID(x.Waiting)} {
		records, err := h.journal.Records(t.Context(), writ.RecordQuery{Tenant: "acme", Stream: stream})
		if err != nil {
			t.Fatal(err)
		}
		for i := range records {
			if records[i].Body.Frozen != nil {
				frozenSteps++
			}
			seen = append(seen, fmt.Sprintf("record %s of %s: %s", records[i].Type, stream, records[i].Bytes))
			for _, e := range contract.EventsOf(&records[i], nil) {
				seen = append(seen, "event "+string(mustJSON(e)))
			}
		}
	}
	if frozenSteps == 0 {
		t.Error("no record holds a freeze of a step: the test proves nothing of them")
	}
	for _, text := range seen {
		for _, secret := range []string{reason, string(r.author.ID)} {
			if strings.Contains(text, secret) {
				t.Errorf("acme sees %q: %s", secret, writ.Clip(text, 600))
			}
		}
	}
	if err := submitted(h, other); !strings.HasSuffix(strings.Split(err.Error(), "Z")[0], "everything is frozen by the host since "+h.frozenSince(t, other)[:29]) {
		t.Errorf("the refusal is %v", err)
	}
	own, err := h.journal.Records(t.Context(), writ.RecordQuery{Tenant: writ.DefaultTenant, Stream: writ.SystemStream})
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range own[len(own)-2:] {
		if !bytes.Contains(record.Bytes, []byte(reason)) || record.Actor.ActorID != r.author.ID {
			t.Errorf("the host's own record %s does not say who and why: %+v", record.Type, record.Actor)
		}
	}
}

func (h *home) frozenSince(t *testing.T, p *writ.Principal) string {
	t.Helper()
	out, err := h.freezes.FreezeList(writ.WithPrincipal(t.Context(), p), &contract.FreezeListInput{})
	if err != nil || len(out.Items) == 0 {
		t.Fatalf("%v, %+v", err, out)
	}
	return out.Items[0].At.String()
}

// tenant makes one with its first person.
func (h *home) tenant(t *testing.T, by *writ.Principal, name writ.TenantID) *writ.Principal {
	t.Helper()
	made, err := h.identity.TenantCreate(writ.WithPrincipal(t.Context(), by), &contract.TenantCreateInput{TenantID: name, Operator: "other"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := h.identity.Token(t.Context(), made.Token)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func submitted(h *home, p *writ.Principal) error {
	_, err := h.engine.IntentSubmit(writ.WithPrincipal(context.Background(), p), &contract.IntentSubmitInput{Text: "t"})
	return err
}

// A tenant that is made while everything is frozen is frozen before anybody is of
// it, and its own journal begins with that.
func TestATenantIsFrozenFromItsFirstMoment(t *testing.T) {
	h := testHome(t, nil)
	r := &rehearsal{home: h, work: &work{}}
	r.prepare(t)
	if _, err := h.freezes.Freeze(writ.WithPrincipal(t.Context(), r.author), &contract.FreezeInput{FreezeSubject: everything, Reason: "harm"}); err != nil {
		t.Fatal(err)
	}
	other := h.tenant(t, r.author, "late")
	if err := submitted(h, other); !writ.IsCode(err, writ.CodeFrozen) {
		t.Errorf("it submits: %v", err)
	}
	records, err := h.journal.Records(t.Context(), writ.RecordQuery{Tenant: "late", Stream: writ.SystemStream})
	if err != nil {
		t.Fatal(err)
	}
	if first := records[0]; first.Type != writ.RecFreezeChanged || first.Actor.ActorID != writ.HostPrincipal || first.Body.System.Status != contract.StatusFrozen {
		t.Errorf("its journal begins with %+v", first.Record)
	}
}

// stopping is a journal of a process that ends after some appends.
type stopping struct {
	writ.Journal
	left int
}

var errStopped = errors.New("the process has ended")

func (j *stopping) Append(ctx context.Context, batch *writ.Batch) (writ.Receipt, error) {
	if j.left--; j.left < 0 {
		return writ.Receipt{}, errStopped
	}
	return j.Journal.Append(ctx, batch)
}

// hostwide are the changes that concern every tenant, made by a process that has
// only so many appends left. Each is of one append for the host and one for each
// tenant.
var hostwide = map[string]struct {
	record writ.RecordType
	before func(h *home, ctx context.Context) error
	change func(h *home, ctx context.Context, j writ.Journal) error
	holds  func(h *home, p *writ.Principal) bool // whether it is in force for p
}{
	"freeze": {
		record: writ.RecFreezeChanged,
		change: func(h *home, ctx context.Context, j writ.Journal) error {
			freezes, err := h.freezesOn(j)
			if err == nil {
				_, err = freezes.Freeze(ctx, &contract.FreezeInput{FreezeSubject: everything, Reason: "harm"})
			}
			return err
		},
		holds: func(h *home, p *writ.Principal) bool { return writ.IsCode(submitted(h, p), writ.CodeFrozen) },
	},
	"unfreeze": {
		record: writ.RecFreezeChanged,
		before: func(h *home, ctx context.Context) error {
			_, err := h.freezes.Freeze(ctx, &contract.FreezeInput{FreezeSubject: everything, Reason: "harm"})
			return err
		},
		change: func(h *home, ctx context.Context, j writ.Journal) error {
			freezes, err := h.freezesOn(j)
			if err == nil {
				_, err = freezes.Unfreeze(ctx, &contract.UnfreezeInput{FreezeSubject: everything, Reason: "over"})
			}
			return err
		},
		holds: func(h *home, p *writ.Principal) bool { return submitted(h, p) == nil },
	},
	"activation": {
		record: writ.RecPolicyActivated,
		change: func(h *home, ctx context.Context, j writ.Journal) error {
			policies, err := policy.Open(ctx, policy.Options{
				Dir: filepath.Join(h.config.Home, "policy"), Store: h.journal, Journal: j, Traces: h.journal, Clock: h.clock,
			})
			if err != nil {
				return err
			}
			_, err = policies.Activate(ctx, &contract.PolicyActivateInput{Digest: policies.Active().Policy().Digest, Layer: writ.LayerTenant})
			if err == nil {
				_, err = h.identityOn(j).Announce(ctx)
			}
			return err
		},
		holds: func(h *home, _ *writ.Principal) bool {
			return h.policies.Active().Policy().Version != "" && h.layers() == 2
		},
	},
}

func (h *home) layers() int {
	out, err := h.policies.List(writ.WithPrincipal(context.Background(), itself(writ.DefaultTenant)), &contract.PolicyListInput{})
	if err != nil {
		return 0
	}
	n := 0
	for _, item := range out.Items {
		if item.Active {
			n++
		}
	}
	return n
}

func (h *home) identityOn(j writ.Journal) *identity.Service {
	s, err := identity.New(identity.Options{Store: h.journal, Journal: j, Clock: h.clock, Entropy: entropy})
	if err != nil {
		panic(err)
	}
	return s
}

func (h *home) freezesOn(j writ.Journal) (*freeze.Service, error) {
	return freeze.New(freeze.Options{Store: h.journal, Journal: j, Clock: h.clock, Announce: h.identityOn(j).Announce})
}

// Wherever a process ends in the middle of a change of everything, the next start
// has it in force everywhere or nowhere, and each tenant is told once.
func TestACrashLeavesNoTenantWithout(t *testing.T) {
	names := []writ.TenantID{"a", "b", "c"}
	for what, c := range hostwide {
		for appends := range len(names) + 2 {
			t.Run(fmt.Sprintf("%s after %d appends", what, appends), func(t *testing.T) {
				h := testHouse(t)
				r := &rehearsal{home: h.home, work: &work{}}
				r.prepare(t)
				people := map[writ.TenantID]*writ.Principal{}
				for _, name := range names {
					people[name] = h.tenant(t, r.author, name)
				}
				ctx := writ.WithPrincipal(t.Context(), r.author)
				if c.before != nil {
					if err := c.before(h.home, ctx); err != nil {
						t.Fatal(err)
					}
				}
				before := h.epochs(t, names)
				err := c.change(h.home, ctx, &stopping{h.journal, appends})
				if done := appends == len(names)+1; done != (err == nil) || err != nil && !errors.Is(err, errStopped) {
					t.Fatalf("%v", err)
				}
				for range 2 { // the second start finds nothing to tell
					h.end(t)
					h.open(t)
					for i, epoch := range h.epochs(t, names) {
						want := before[i]
						if appends > 0 {
							want++
						}
						if holds := c.holds(h.home, people[names[i]]); epoch != want || holds != (appends > 0) {
							t.Errorf("%s: epoch %d, was %d; in force: %v", names[i], epoch, before[i], holds)
						}
						if appends > 0 && h.newest(t, names[i]) != c.record {
							t.Errorf("%s: the newest record is %s", names[i], h.newest(t, names[i]))
						}
					}
				}
			})
		}
	}
}

// A tenant whose maker's process ended before it was told is told by the next start.
func TestATenantThatWasMadeHalfIsFrozenToo(t *testing.T) {
	h := testHouse(t)
	r := &rehearsal{home: h.home, work: &work{}}
	r.prepare(t)
	ctx := writ.WithPrincipal(t.Context(), r.author)
	if _, err := h.freezes.Freeze(ctx, &contract.FreezeInput{FreezeSubject: everything, Reason: "harm"}); err != nil {
		t.Fatal(err)
	}
	_, err := h.identityOn(&stopping{h.journal, 1}).TenantCreate(ctx, &contract.TenantCreateInput{TenantID: "half", Operator: "other"})
	if !errors.Is(err, errStopped) {
		t.Fatal(err)
	}
	h.end(t)
	h.open(t)
	if got := h.newest(t, "half"); got != writ.RecFreezeChanged {
		t.Errorf("its newest record is %s", got)
	}
	if err := submitted(h.home, h.tenant(t, r.author, "half")); !writ.IsCode(err, writ.CodeFrozen) {
		t.Errorf("it submits: %v", err)
	}
}

func (h *home) epochs(t *testing.T, names []writ.TenantID) []uint64 {
	t.Helper()
	out := make([]uint64, len(names))
	for i, name := range names {
		var err error
		if out[i], err = h.journal.Epoch(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func (h *home) newest(t *testing.T, tenant writ.TenantID) writ.RecordType {
	t.Helper()
	records, err := h.journal.Records(t.Context(), writ.RecordQuery{Tenant: tenant, Stream: writ.SystemStream})
	if err != nil || len(records) == 0 {
		t.Fatalf("%s has no records: %v", tenant, err)
	}
	return records[len(records)-1].Type
}

// house is a home whose process can end.
type house struct{ *home }

func testHouse(t *testing.T) *house {
	t.Helper()
	c := &config{Home: t.TempDir(), Sandbox: "writ", Payloads: time.Hour, Entries: time.Hour, LogLevel: "off"}
	if err := makeKeys(c.Home); err != nil {
		t.Fatal(err)
	}
	h := &house{&home{config: c}}
	h.open(t)
	t.Cleanup(func() { h.end(t) })
	return h
}

func (h *house) open(t *testing.T) {
	t.Helper()
	next, err := openHome(t.Context(), h.config, hclog.NewNullLogger(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	h.home = next
}

func (h *house) end(t *testing.T) {
	t.Helper()
	if err := h.close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// The host's name is nobody else's.
func TestNobodyIsTheHost(t *testing.T) {
	h := testHome(t, nil)
	r := &rehearsal{home: h, work: &work{}}
	r.prepare(t)
	_, err := h.identity.TokenCreate(writ.WithPrincipal(t.Context(), r.author), &contract.TokenCreateInput{PrincipalID: writ.HostPrincipal, Kind: writ.Service})
	if !writ.IsCode(err, writ.CodeInvalid) {
		t.Errorf("got %v", err)
	}
}
