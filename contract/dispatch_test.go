package contract_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

func allCapabilities() []string {
	var keys []string
	for _, c := range contract.Capabilities() {
		keys = append(keys, c.Key)
	}
	return keys
}

func caller(change func(*writ.Principal)) context.Context {
	p := &writ.Principal{
		ID: "ada", Kind: writ.Human, Tenant: "default", Workspace: "default",
		Capabilities: allCapabilities(), Strength: writ.StrengthToken,
	}
	if change != nil {
		change(p)
	}
	return writ.WithPrincipal(context.Background(), p)
}

var instant = time.Date(2026, time.March, 1, 9, 30, 0, 0, time.UTC)

func newDispatcher() *contract.Dispatcher {
	d := contract.NewDispatcher(contract.DispatcherOptions{MaxInput: 1 << 10, Clock: func() time.Time { return instant }})
	contract.Bind(d, contract.IntentSubmit, func(_ context.Context, in *contract.IntentSubmitInput) (*contract.IntentSubmitOutput, error) {
		return &contract.IntentSubmitOutput{ExecutionID: "exe_" + writ.ExecutionID(in.Text), IntentID: "int_1"}, nil
	})
	contract.Bind(d, contract.ExecutionList, func(context.Context, *contract.ExecutionListInput) (*contract.ExecutionListOutput, error) {
		return &contract.ExecutionListOutput{}, nil
	})
	contract.Bind(d, contract.SkillDisable, func(context.Context, *contract.SkillDisableInput) (*contract.SkillDisableOutput, error) {
		return nil, nil
	})
	contract.Bind(d, contract.TrustAdd, func(context.Context, *contract.TrustAddInput) (*contract.TrustAddOutput, error) {
		return &contract.TrustAddOutput{}, nil
	})
	contract.Bind(d, contract.ExecutionExpire, func(context.Context, *contract.ExecutionExpireInput) (*contract.ExecutionExpireOutput, error) {
		return &contract.ExecutionExpireOutput{}, nil
	})
	return d
}

const good = `{"workspaceId":"default","text":"hello"}`

func TestCallRefuses(t *testing.T) {
	d := newDispatcher()
	none := func(p *writ.Principal) { p.Capabilities = nil }
	peer := func(p *writ.Principal) { p.Strength = writ.StrengthPeer }
	role := func(r string) func(*writ.Principal) { return func(p *writ.Principal) { p.Roles = []string{r} } }
	for name, tc := range map[string]struct {
		ctx       context.Context
		key, in   string
		code      writ.Code
		place     string
		mentioned string
	}{
		"nobody":              {context.Background(), "controlPlane.intent.submit", good, writ.CodeUnauthenticated, "", ""},
		"no capability":       {caller(none), "controlPlane.intent.submit", good, writ.CodeForbidden, "", "control-plane.core"},
		"peer commands":       {caller(peer), "controlPlane.intent.submit", good, writ.CodeForbidden, "", "token"},
		"no strength queries": {caller(func(p *writ.Principal) { p.Strength = "" }), "controlPlane.execution.list", `{}`, writ.CodeForbidden, "", ""},
		"user as operator":    {caller(nil), "controlPlane.skill.disable", `{"skillKey":"a/b"}`, writ.CodeForbidden, "", "operator"},
		"operator as admin":   {caller(role("operator")), "controlPlane.trust.add", `{}`, writ.CodeForbidden, "", "admin"},
		"admin as system":     {caller(role("admin")), "controlPlane.execution.expire", `{}`, writ.CodeForbidden, "", "system"},
		"unknown key":         {caller(nil), "controlPlane.nonsense.completely", good, writ.CodeNotFound, "", "contract list"},
		"slip in key":         {caller(nil), "controlPlane.intent.submti", good, writ.CodeNotFound, "", "controlPlane.intent.submit"},
		"no prefix":           {caller(nil), "intent.submit", good, writ.CodeNotFound, "", "controlPlane.intent.submit"},
		"endless key":         {caller(nil), strings.Repeat("k", 1<<20), good, writ.CodeNotFound, "", ""},
		"not bound":           {caller(nil), "controlPlane.plan.compile", `{}`, writ.CodeUnavailable, "", ""},
		"syntax":              {caller(nil), "controlPlane.intent.submit", `{"text":`, writ.CodeInvalid, "/text", ""},
		"trailing data":       {caller(nil), "controlPlane.intent.submit", good + "{}", writ.CodeInvalid, "", ""},
		"twice the same key":  {caller(nil), "controlPlane.intent.submit", `{"text":"a","text":"b","workspaceId":"default"}`, writ.CodeInvalid, "/text", "once"},
		"large integer":       {caller(nil), "controlPlane.intent.submit", `{"workspaceId":"d","text":"a","metadata":{"n":9007199254740993}}`, writ.CodeInvalid, "/metadata/n", ""},
		"lone surrogate":      {caller(nil), "controlPlane.intent.submit", `{"workspaceId":"d","text":"\ud800"}`, writ.CodeInvalid, "", ""},
		"not an object":       {caller(nil), "controlPlane.intent.submit", `[]`, writ.CodeInvalid, "/", "object"},
		"null":                {caller(nil), "controlPlane.intent.submit", `null`, writ.CodeInvalid, "/", "object"},
		"missing":             {caller(nil), "controlPlane.intent.submit", ``, writ.CodeInvalid, "/workspaceId", "add workspaceId"},
		"wrong type":          {caller(nil), "controlPlane.intent.submit", `{"workspaceId":"d","text":7}`, writ.CodeInvalid, "/text", "string"},
		"unknown member":      {caller(nil), "controlPlane.intent.submit", `{"workspaceId":"d","txt":"a","text":"b"}`, writ.CodeInvalid, "/txt", "text"},
		"other case":          {caller(nil), "controlPlane.intent.submit", `{"workspaceid":"d","text":"b"}`, writ.CodeInvalid, "/workspaceId", ""},
		"no value of enum":    {caller(nil), "controlPlane.intent.submit", `{"workspaceId":"d","text":"b","origin":"god"}`, writ.CodeInvalid, "/origin", "human"},
		"bad pattern":         {caller(role("operator")), "controlPlane.skill.disable", `{"skillKey":"nope"}`, writ.CodeInvalid, "/skillKey", ""},
		"bad time":            {caller(role("admin")), "controlPlane.trust.add", `{"publisher":"a","publicKeyPem":"b","validFrom":"soon"}`, writ.CodeInvalid, "", ""},
		"fraction as integer": {caller(nil), "controlPlane.execution.list", `{"limit":1.5}`, writ.CodeInvalid, "/limit", "integer"},
		"no output":           {caller(role("operator")), "controlPlane.skill.disable", `{"skillKey":"a/b"}`, writ.CodeInternal, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := d.Call(tc.ctx, tc.key, json.RawMessage(tc.in))
			var e *writ.Error
			if !errors.As(err, &e) || e.Code != tc.code {
				t.Fatalf("got %v, want %s", err, tc.code)
			}
			if tc.place != "" && e.Place != tc.place {
				t.Errorf("place %q, want %q", e.Place, tc.place)
			}
			if said := e.Message + " " + e.Fix; !strings.Contains(said, tc.mentioned) || len(said) > 4096 {
				t.Errorf("%.4096q does not mention %q", said, tc.mentioned)
			}
			if e.Fix == "" && tc.code != writ.CodeInternal {
				t.Error("there is no fix")
			}
		})
	}
}

func TestCallAtTheSizeLimit(t *testing.T) {
	d := newDispatcher()
	fit := func(n int) json.RawMessage {
		return json.RawMessage(strings.Replace(good, "hello", strings.Repeat("x", n-len(good)+len("hello")), 1))
	}
	if _, err := d.Call(caller(nil), "controlPlane.intent.submit", fit(1<<10)); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	if _, err := d.Call(caller(nil), "controlPlane.intent.submit", fit(1<<10+1)); !writ.IsCode(err, writ.CodeTooLarge) {
		t.Errorf("one past the limit: %v", err)
	}
}

func TestCallFillsTheOutput(t *testing.T) {
	peer := caller(func(p *writ.Principal) { p.Strength = writ.StrengthPeer })
	out, err := newDispatcher().Call(peer, "controlPlane.execution.list", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"status":"ok","changedAt":"` + canon.TimeOf(instant).String() + `","items":[]}`
	if string(out) != want {
		t.Errorf("got %s, want %s", out, want)
	}
	if err := contract.ExecutionList.CheckOutput(out); err != nil {
		t.Error(err)
	}
}

func TestInvoke(t *testing.T) {
	out, err := contract.Invoke(caller(nil), newDispatcher(), contract.IntentSubmit,
		&contract.IntentSubmitInput{WorkspaceID: "default", Text: "hello", Metadata: contract.Object(`{"a":1}`)})
	if err != nil || out.ExecutionID != "exe_hello" || out.Status != "ok" || out.ChangedAt != canon.TimeOf(instant) {
		t.Fatalf("%+v, %v", out, err)
	}
	_, err = contract.Invoke(context.Background(), newDispatcher(), contract.IntentSubmit, &contract.IntentSubmitInput{})
	if !writ.IsCode(err, writ.CodeUnauthenticated) {
		t.Errorf("without a caller: %v", err)
	}
}

func TestEveryContractRefusesTheWrongCaller(t *testing.T) {
	for _, c := range contract.All() {
		everything := &writ.Principal{ID: "ada", Strength: writ.StrengthToken, Capabilities: allCapabilities(), Roles: []string{"admin", "operator", "system"}}
		if err := c.Permits(everything); err != nil {
			t.Errorf("%s: %v", c.Key, err)
		}
		without := *everything
		without.Capabilities = nil
		for _, k := range allCapabilities() {
			if k != c.Capability {
				without.Capabilities = append(without.Capabilities, k)
			}
		}
		peer, nobody := *everything, *everything
		peer.Strength, nobody.Strength = writ.StrengthPeer, ""
		if !writ.IsCode(c.Permits(&without), writ.CodeForbidden) || !writ.IsCode(c.Permits(&nobody), writ.CodeForbidden) || c.Permits(nil) == nil {
			t.Errorf("%s lets the wrong caller in", c.Key)
		}
		if allowed := c.Permits(&peer) == nil; allowed != (c.Kind == contract.Query) {
			t.Errorf("%s (%s): a peer is allowed: %v", c.Key, c.Kind, allowed)
		}
		chat := *everything
		chat.Strength = writ.StrengthChannel
		mayChat := slices.Contains([]string{
			contract.IntentSubmit.Key, contract.ExecutionGet.Key, contract.ExecutionCancel.Key, contract.ExecutionApprove.Key, contract.ExecutionReject.Key,
		}, c.Key)
		if allowed := c.Permits(&chat) == nil; allowed != mayChat {
			t.Errorf("%s: a sender known by a channel alone is allowed: %v", c.Key, allowed)
		}
		odd := *c
		odd.Auth = ""
		if odd.Permits(everything) == nil {
			t.Errorf("%s: an empty level lets everybody in", c.Key)
		}
	}
}

func TestASenderOfAChannelHasWhatItAskedForAlone(t *testing.T) {
	asked := &writ.Execution{ID: "exe_1", Principal: &writ.Principal{ID: "human:ada"}}
	for _, p := range []*writ.Principal{
		{ID: "human:ada", Strength: writ.StrengthChannel}, {ID: "human:bo", Strength: writ.StrengthToken}, {ID: "human:bo", Strength: writ.StrengthPeer},
	} {
		if err := contract.Own(p, asked); err != nil {
			t.Errorf("%s by %s: %v", p.ID, p.Strength, err)
		}
	}
	shared := func(session string) *writ.Principal {
		return &writ.Principal{ID: "human:ada", Strength: writ.StrengthChannel, Session: session}
	}
	if err := contract.Own(shared("snd_1"), &writ.Execution{ID: "exe_1", Principal: shared("snd_1")}); err != nil {
		t.Error(err)
	}
	for _, e := range []*writ.Execution{asked, {ID: "exe_1", Principal: shared("snd_2")}} {
		if err := contract.Own(shared("snd_1"), e); !writ.IsCode(err, writ.CodeNotFound) {
			t.Errorf("of another session: %v", err)
		}
	}
	for _, e := range []*writ.Execution{asked, {ID: "exe_1"}, {ID: "exe_1", Principal: &writ.Principal{}}} {
		for _, id := range []writ.PrincipalID{"human:bo", ""} {
			if err := contract.Own(&writ.Principal{ID: id, Strength: writ.StrengthChannel}, e); !writ.IsCode(err, writ.CodeNotFound) {
				t.Errorf("%q: %v", id, err)
			}
		}
	}
}

func TestUnboundAndBindTwice(t *testing.T) {
	d := newDispatcher()
	unbound := d.Unbound()
	if len(unbound) != len(contract.All())-5 {
		t.Errorf("%d unbound", len(unbound))
	}
	defer func() {
		if recover() == nil {
			t.Error("binding twice must panic")
		}
	}()
	contract.Bind(d, contract.IntentSubmit, func(context.Context, *contract.IntentSubmitInput) (*contract.IntentSubmitOutput, error) {
		return nil, nil
	})
}

// FuzzCall: whatever comes in, the answer is the handler's or a coded refusal
// that says where and does not repeat the input at length.
func FuzzCall(f *testing.F) {
	for _, c := range contract.All() {
		for _, e := range c.Examples {
			if raw, err := json.Marshal(e.Input); err == nil {
				f.Add(c.Key, raw)
			}
		}
	}
	f.Add("x", []byte(`{"a":{"a":{"a":[]}}}`))
	d := newDispatcher()
	f.Fuzz(func(t *testing.T, key string, raw []byte) {
		out, err := d.Call(caller(func(p *writ.Principal) { p.Roles = []string{"admin"} }), key, raw)
		if err == nil {
			if !json.Valid(out) {
				t.Fatalf("the output is no JSON: %q", out)
			}
			return
		}
		var e *writ.Error
		if !errors.As(err, &e) || e.Code == "" || len(e.Message) > 2048+len(raw) {
			t.Fatalf("not a refusal: %v", err)
		}
	})
}
