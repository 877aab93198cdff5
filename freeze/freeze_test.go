package freeze_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/freeze"
	"github.com/writ-run/writ/identity"
	"github.com/writ-run/writ/trace"
	"github.com/writ-run/writ/trace/tracetest"
)

const other = writ.TenantID("elsewhere")

type rig struct {
	*freeze.Service
	t       testing.TB
	now     time.Time
	journal *trace.Journal
	told    []writ.TenantID
	others  []writ.TenantID // of the host, besides the default tenant
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), others: []writ.TenantID{other}}
	r.journal = tracetest.Memory(t, r.clock)
	r.restart()
	return r
}

func (r *rig) clock() time.Time { return r.now }

// restart is a new process on the same store.
func (r *rig) restart() {
	r.t.Helper()
	people, err := identity.New(identity.Options{Store: tenants{r.journal, r}, Journal: r.journal, Clock: r.clock, Entropy: strings.NewReader("")})
	if err != nil {
		r.t.Fatal(err)
	}
	r.Service, err = freeze.New(freeze.Options{
		Store: r.journal, Journal: r.journal, Clock: r.clock, Announce: people.Announce,
		Changed: func(_ context.Context, tenant writ.TenantID) { r.told = append(r.told, tenant) },
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// tenants is a store in which the rig's others are.
type tenants struct {
	writ.Store
	rig *rig
}

func (s tenants) List(ctx context.Context, q writ.StoreQuery) ([]writ.Document, error) {
	if q.Prefix != "tenant/" {
		return s.Store.List(ctx, q)
	}
	var out []writ.Document
	for _, name := range s.rig.others {
		out = append(out, writ.Document{Key: q.Prefix + string(name), Value: []byte(`{"name":"` + name + `"}`)})
	}
	return out, nil
}

func as(tenant writ.TenantID) context.Context {
	return writ.WithPrincipal(context.Background(), &writ.Principal{ID: "human:ada", Kind: writ.Human, Tenant: tenant, Workspace: writ.DefaultWorkspace})
}

func (r *rig) freeze(s contract.FreezeSubject, mode writ.FreezeMode) {
	r.t.Helper()
	if _, err := r.Freeze(as(writ.DefaultTenant), &contract.FreezeInput{FreezeSubject: s, Mode: mode, Reason: "harm"}); err != nil {
		r.t.Fatalf("%+v: %v", s, err)
	}
}

func (r *rig) unfreeze(s contract.FreezeSubject) error {
	_, err := r.Unfreeze(as(writ.DefaultTenant), &contract.UnfreezeInput{FreezeSubject: s, Reason: "over"})
	return err
}

func (r *rig) epoch(tenant writ.TenantID) uint64 {
	r.t.Helper()
	epoch, err := r.journal.Epoch(context.Background(), tenant)
	if err != nil {
		r.t.Fatal(err)
	}
	return epoch
}

// covered reports what freezes the work: "" where nothing does.
func (r *rig) covered(tenant writ.TenantID, target writ.FreezeTarget) string {
	r.t.Helper()
	f, err := r.Frozen(context.Background(), tenant, &target)
	if err != nil {
		r.t.Fatal(err)
	}
	if f == nil {
		return ""
	}
	return f.Name()
}

func bot(onBehalfOf ...writ.PrincipalID) *writ.Principal {
	return &writ.Principal{ID: "agent:bot", OnBehalfOf: onBehalfOf}
}

func mail(version string) []writ.SkillRef {
	return []writ.SkillRef{{Key: "acme/mail", Version: version}}
}

// TestWhatAFreezeCovers: exactly what it names.
func TestWhatAFreezeCovers(t *testing.T) {
	for name, c := range map[string]struct {
		subject contract.FreezeSubject
		target  writ.FreezeTarget
		want    bool
	}{
		"everything":                     {contract.FreezeSubject{All: true}, writ.FreezeTarget{}, true},
		"the tenant":                     {contract.FreezeSubject{Tenant: true}, writ.FreezeTarget{}, true},
		"a principal":                    {contract.FreezeSubject{PrincipalID: "agent:bot"}, writ.FreezeTarget{Principal: bot()}, true},
		"who acts for it":                {contract.FreezeSubject{PrincipalID: "human:eve"}, writ.FreezeTarget{Principal: bot("human:bob", "human:eve")}, true},
		"another principal":              {contract.FreezeSubject{PrincipalID: "agent:bo"}, writ.FreezeTarget{Principal: bot()}, false},
		"a principal of no name":         {contract.FreezeSubject{PrincipalID: "agent:bot"}, writ.FreezeTarget{}, false},
		"a channel":                      {contract.FreezeSubject{ChannelKey: "slack:T1"}, writ.FreezeTarget{Channel: "slack:T1"}, true},
		"a longer channel":               {contract.FreezeSubject{ChannelKey: "slack:T1"}, writ.FreezeTarget{Channel: "slack:T12"}, false},
		"a prefix":                       {contract.FreezeSubject{ChannelKey: "slack:*"}, writ.FreezeTarget{Channel: "slack:T12"}, true},
		"a prefix of another":            {contract.FreezeSubject{ChannelKey: "slack:*"}, writ.FreezeTarget{Channel: "Slack:T12"}, false},
		"any channel":                    {contract.FreezeSubject{ChannelKey: "*"}, writ.FreezeTarget{Channel: "x"}, true},
		"any channel, and there is none": {contract.FreezeSubject{ChannelKey: "*"}, writ.FreezeTarget{}, false},
		"a channel that ends in a star":  {contract.FreezeSubject{ChannelKey: "a*"}, writ.FreezeTarget{Channel: "a*"}, true},
		"a skill":                        {contract.FreezeSubject{Skill: "acme/mail"}, writ.FreezeTarget{Skills: mail("9.9.9")}, true},
		"another skill":                  {contract.FreezeSubject{Skill: "acme/mailer"}, writ.FreezeTarget{Skills: mail("1.0.0")}, false},
		"a version in the range":         {contract.FreezeSubject{Skill: "acme/mail <1.4.2"}, writ.FreezeTarget{Skills: mail("1.4.1")}, true},
		"a prerelease before its end":    {contract.FreezeSubject{Skill: "acme/mail <1.4.2"}, writ.FreezeTarget{Skills: mail("1.4.2-rc.1")}, true},
		"the version after the range":    {contract.FreezeSubject{Skill: "acme/mail <1.4.2"}, writ.FreezeTarget{Skills: mail("1.4.2")}, false},
		"a version that is none":         {contract.FreezeSubject{Skill: "acme/mail <1.4.2"}, writ.FreezeTarget{Skills: mail("next")}, true},
		"what it was called by":          {contract.FreezeSubject{Skill: "acme/mail"}, writ.FreezeTarget{Skills: append([]writ.SkillRef{{Key: "acme/echo", Version: "1.0.0"}}, mail("1.0.0")...)}, true},
		"an intent, which has no skill":  {contract.FreezeSubject{Skill: "acme/mail"}, writ.FreezeTarget{Principal: bot()}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.freeze(c.subject, "")
			if got := r.covered(writ.DefaultTenant, c.target); (got != "") != c.want {
				t.Errorf("covered by %q", got)
			}
			r.restart()
			if got := r.covered(writ.DefaultTenant, c.target); (got != "") != c.want {
				t.Errorf("after a restart: covered by %q", got)
			}
			if err := r.unfreeze(c.subject); err != nil || r.covered(writ.DefaultTenant, c.target) != "" {
				t.Errorf("unfrozen, and covered still: %v", err)
			}
		})
	}
}

// TestWhatCanBeFrozen, at each limit and one past it.
func TestWhatCanBeFrozen(t *testing.T) {
	r := newRig(t)
	long := strings.Repeat("x", 512)
	for name, c := range map[string]struct {
		in   contract.FreezeInput
		code writ.Code
	}{
		"nothing":               {contract.FreezeInput{Reason: "x"}, writ.CodeInvalid},
		"two things":            {contract.FreezeInput{FreezeSubject: contract.FreezeSubject{All: true, Tenant: true}, Reason: "x"}, writ.CodeInvalid},
		"no skill":              {contract.FreezeInput{FreezeSubject: contract.FreezeSubject{Skill: "mail"}, Reason: "x"}, writ.CodeInvalid},
		"no range":              {contract.FreezeInput{FreezeSubject: contract.FreezeSubject{Skill: "acme/mail soon"}, Reason: "x"}, writ.CodeInvalid},
		"a control character":   {contract.FreezeInput{FreezeSubject: contract.FreezeSubject{ChannelKey: "a\nb"}, Reason: "x"}, writ.CodeInvalid},
		"a space around it":     {contract.FreezeInput{FreezeSubject: contract.FreezeSubject{PrincipalID: " agent:bot"}, Reason: "x"}, writ.CodeInvalid},
		"a name at the limit":   {contract.FreezeInput{FreezeSubject: contract.FreezeSubject{ChannelKey: long}, Reason: "x"}, ""},
		"a name past it":        {contract.FreezeInput{FreezeSubject: contract.FreezeSubject{ChannelKey: long + "x"}, Reason: "x"}, writ.CodeInvalid},
		"without a reason":      {contract.FreezeInput{FreezeSubject: contract.FreezeSubject{All: true}}, writ.CodeInvalid},
		"a reason of spaces":    {contract.FreezeInput{FreezeSubject: contract.FreezeSubject{All: true}, Reason: " "}, writ.CodeInvalid},
		"a reason at the limit": {contract.FreezeInput{FreezeSubject: contract.FreezeSubject{Tenant: true}, Reason: strings.Repeat("x", 1024)}, ""},
		"a reason past it":      {contract.FreezeInput{FreezeSubject: contract.FreezeSubject{Tenant: true}, Reason: strings.Repeat("x", 1025)}, writ.CodeInvalid},
		"an unknown mode":       {contract.FreezeInput{FreezeSubject: contract.FreezeSubject{Tenant: true}, Mode: "melt", Reason: "x"}, writ.CodeInvalid},
	} {
		if _, err := r.Freeze(as(writ.DefaultTenant), &c.in); writ.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := r.Freeze(context.Background(), &contract.FreezeInput{FreezeSubject: contract.FreezeSubject{All: true}, Reason: "x"}); !writ.IsCode(err, writ.CodeUnauthenticated) {
		t.Errorf("nobody froze: %v", err)
	}
	if _, err := freeze.New(freeze.Options{}); !writ.IsCode(err, writ.CodeInvalid) {
		t.Errorf("a service of nothing: %v", err)
	}
}

// TestAThousandThings, and the tenant can be frozen besides.
func TestAThousandThings(t *testing.T) {
	r := newRig(t)
	for i := range 1000 {
		r.freeze(contract.FreezeSubject{ChannelKey: fmt.Sprint("c", i)}, "")
	}
	more := &contract.FreezeInput{FreezeSubject: contract.FreezeSubject{ChannelKey: "one more"}, Reason: "x"}
	if _, err := r.Freeze(as(writ.DefaultTenant), more); !writ.IsCode(err, writ.CodeConflict) {
		t.Errorf("%v", err)
	}
	r.freeze(contract.FreezeSubject{ChannelKey: "c7"}, writ.FreezeFail)
	r.freeze(contract.FreezeSubject{Tenant: true}, "")
	if out, err := r.FreezeList(as(writ.DefaultTenant), &contract.FreezeListInput{}); err != nil || len(out.Items) != 1001 || out.Items[0].Scope != writ.FreezeTenant {
		t.Errorf("%v", err)
	}
}

// TestOneIsLiftedAndNoOther: each freeze stands for itself, and the strictest of
// those that cover a thing decides what becomes of it.
func TestOneIsLiftedAndNoOther(t *testing.T) {
	r := newRig(t)
	target := writ.FreezeTarget{Principal: bot(), Skills: mail("1.0.0")}
	principal, skill, wide := contract.FreezeSubject{PrincipalID: "agent:bot"}, contract.FreezeSubject{Skill: "acme/mail <2"}, contract.FreezeSubject{Skill: "acme/mail"}
	for _, s := range []contract.FreezeSubject{{All: true}, {Tenant: true}, principal, wide} {
		r.freeze(s, writ.FreezeWait)
	}
	r.freeze(skill, writ.FreezeFail)
	if got := r.covered(writ.DefaultTenant, target); got != "skill acme/mail <2" {
		t.Errorf("decided by %q", got)
	}
	if err := r.unfreeze(contract.FreezeSubject{Skill: "acme/mail <3"}); !writ.IsCode(err, writ.CodeNotFound) {
		t.Errorf("another range of versions was unfrozen: %v", err)
	}
	for _, c := range []struct {
		lift contract.FreezeSubject
		left string
	}{
		{skill, "all"},
		{contract.FreezeSubject{All: true}, "tenant"},
		{wide, "tenant"},
		{contract.FreezeSubject{Tenant: true}, "principal agent:bot"},
		{principal, ""},
	} {
		if err := r.unfreeze(c.lift); err != nil {
			t.Fatal(err)
		}
		if got := r.covered(writ.DefaultTenant, target); got != c.left {
			t.Errorf("after %+v: covered by %q, want %q", c.lift, got, c.left)
		}
		if err := r.unfreeze(c.lift); !writ.IsCode(err, writ.CodeNotFound) {
			t.Errorf("unfrozen twice: %v", err)
		}
	}
}

// TestFrozenAgain replaces mode and reason; the same said again is frozen since
// the first time.
func TestFrozenAgain(t *testing.T) {
	r := newRig(t)
	first := r.now
	r.freeze(contract.FreezeSubject{Tenant: true}, "")
	r.now = first.Add(time.Hour)
	r.freeze(contract.FreezeSubject{Tenant: true}, writ.FreezeWait)
	list := func() contract.Frozen {
		out, err := r.FreezeList(as(writ.DefaultTenant), &contract.FreezeListInput{})
		if err != nil || len(out.Items) != 1 {
			t.Fatalf("%v %+v", err, out)
		}
		return out.Items[0]
	}
	if f := list(); f.At.Std() != first || f.Mode != writ.FreezeWait || f.By != "human:ada" || f.Reason != "harm" {
		t.Errorf("%+v", f)
	}
	r.freeze(contract.FreezeSubject{Tenant: true}, writ.FreezeFail)
	if f := list(); f.At.Std() != r.now || f.Mode != writ.FreezeFail {
		t.Errorf("%+v", f)
	}
}

// TestEachChangeIsARecord with who did it and why, moves the epoch, is told, and is
// an event.
func TestEachChangeIsARecord(t *testing.T) {
	r := newRig(t)
	before := r.epoch(writ.DefaultTenant)
	r.freeze(contract.FreezeSubject{PrincipalID: "agent:bot"}, writ.FreezeFail)
	if err := r.unfreeze(contract.FreezeSubject{PrincipalID: "agent:bot"}); err != nil {
		t.Fatal(err)
	}
	if r.epoch(writ.DefaultTenant) != before+2 || !slices.Equal(r.told, []writ.TenantID{writ.DefaultTenant, writ.DefaultTenant}) {
		t.Errorf("epoch %d, told %v", r.epoch(writ.DefaultTenant), r.told)
	}
	records, err := r.journal.Records(context.Background(), writ.RecordQuery{Tenant: writ.DefaultTenant, Stream: writ.SystemStream})
	if err != nil || len(records) != 2 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	for i, want := range []string{
		`{"scope":"principal","subject":"agent:bot","mode":"fail","status":"frozen","reason":"harm"}`,
		`{"scope":"principal","subject":"agent:bot","mode":"fail","status":"unfrozen","reason":"over"}`,
	} {
		events := contract.EventsOf(&records[i], nil)
		if records[i].Actor.ActorID != "human:ada" || len(events) != 1 || events[0].Type != contract.EventFreezeChanged || string(events[0].Data) != want {
			t.Errorf("%+v %+v", records[i].Actor, events)
		}
	}
}

// TestTenants: one does not freeze the other, but the host all of them.
func TestTenants(t *testing.T) {
	r := newRig(t)
	r.freeze(contract.FreezeSubject{Tenant: true}, "")
	if got := r.covered(other, writ.FreezeTarget{}); got != "" {
		t.Errorf("another tenant is frozen by %q", got)
	}
	for name, err := range map[string]error{
		"frozen": func() error {
			_, err := r.Freeze(as(other), &contract.FreezeInput{FreezeSubject: contract.FreezeSubject{All: true}, Reason: "x"})
			return err
		}(),
		"unfrozen": func() error {
			r.freeze(contract.FreezeSubject{All: true}, "")
			_, err := r.Unfreeze(as(other), &contract.UnfreezeInput{FreezeSubject: contract.FreezeSubject{All: true}, Reason: "x"})
			return err
		}(),
	} {
		if !writ.IsCode(err, writ.CodeForbidden) {
			t.Errorf("a tenant has %s all of them: %v", name, err)
		}
	}
	if got := r.covered(other, writ.FreezeTarget{}); got != "all" || r.epoch(other) != 2 || !slices.Contains(r.told, other) {
		t.Errorf("covered by %q, epoch %d, told %v", got, r.epoch(other), r.told)
	}
	out, err := r.FreezeList(as(other), &contract.FreezeListInput{})
	if err != nil || len(out.Items) != 1 || out.Items[0].Scope != writ.FreezeAll || out.Items[0].By != writ.HostPrincipal || out.Items[0].Reason != "" {
		t.Errorf("%v %+v", err, out)
	}
	if err := r.unfreeze(contract.FreezeSubject{All: true}); err != nil || r.covered(other, writ.FreezeTarget{}) != "" || r.epoch(other) != 3 {
		t.Errorf("%v, epoch %d", err, r.epoch(other))
	}
}

// TestATenantThatIsMadeLater is one of all of them: at once where all are frozen
// already, and each change after it moves its epoch and is told.
func TestATenantThatIsMadeLater(t *testing.T) {
	r := newRig(t)
	const late = writ.TenantID("late")
	r.freeze(contract.FreezeSubject{All: true}, "")
	if slices.Contains(r.told, late) {
		t.Fatalf("told %v", r.told)
	}
	r.others = append(r.others, late)
	before := r.epoch(late)
	if got := r.covered(late, writ.FreezeTarget{}); got != "all" {
		t.Errorf("covered by %q", got)
	}
	if err := r.unfreeze(contract.FreezeSubject{All: true}); err != nil || r.covered(late, writ.FreezeTarget{}) != "" || r.epoch(late) != before+1 || !slices.Contains(r.told, late) {
		t.Errorf("%v, epoch %d, was %d, told %v", err, r.epoch(late), before, r.told)
	}
	r.freeze(contract.FreezeSubject{All: true}, "")
	if got := r.covered(late, writ.FreezeTarget{}); got != "all" || r.epoch(late) != before+2 {
		t.Errorf("covered by %q, epoch %d, was %d", got, r.epoch(late), before)
	}
}

// TestWhatIsNoFreezeStopsEverything: a document that was altered is not taken for
// nothing.
func TestWhatIsNoFreezeStopsEverything(t *testing.T) {
	for name, change := range map[string]writ.Change{
		"no JSON":            {Key: "freeze/all", Value: []byte("{")},
		"another name":       {Key: "freeze/all", Value: []byte(`{"scope":"tenant","mode":"wait"}`)},
		"an unknown scope":   {Key: "freeze/moon", Value: []byte(`{"scope":"moon","mode":"wait"}`)},
		"no mode":            {Key: "freeze/all", Value: []byte(`{"scope":"all"}`)},
		"a subject too many": {Key: "freeze/tenant", Value: []byte(`{"scope":"tenant","subject":"x","mode":"wait"}`)},
	} {
		r := newRig(t)
		receipt, err := r.journal.Append(t.Context(), &writ.Batch{
			Tenant: writ.DefaultTenant, Stream: writ.SystemStream, Expect: writ.AnySeq, Changes: []writ.Change{change},
			Records: []writ.NewRecord{{Type: writ.RecFreezeChanged, Body: writ.Body{System: &writ.SystemFacts{Subject: "x"}}}},
		})
		if err == nil {
			err = r.journal.Barrier(t.Context(), receipt.Position)
		}
		if err != nil {
			t.Fatal(err)
		}
		if f, err := r.Frozen(t.Context(), writ.DefaultTenant, &writ.FreezeTarget{}); !writ.IsCode(err, writ.CodeTampered) {
			t.Errorf("%s: %+v %v", name, f, err)
		}
	}
}

// TestPropertyFreezesStandForThemselves: after any sequence, what is frozen is what
// was frozen and not unfrozen, and a restart changes nothing.
func TestPropertyFreezesStandForThemselves(t *testing.T) {
	subjects := []contract.FreezeSubject{
		{All: true},
		{Tenant: true},
		{PrincipalID: "agent:bot"},
		{PrincipalID: "human:eve"},
		{ChannelKey: "slack:*"},
		{ChannelKey: "slack:T1"},
		{Skill: "acme/mail <1.4.2"},
		{Skill: "acme/mail"},
		{Skill: "acme/echo"},
	}
	targets := []struct {
		target writ.FreezeTarget
		by     []int // of subjects
	}{
		{writ.FreezeTarget{Principal: bot(), Skills: mail("1.4.1")}, []int{0, 1, 2, 6, 7}},
		{writ.FreezeTarget{Principal: bot("human:eve"), Channel: "slack:T1", Skills: mail("2.0.0")}, []int{0, 1, 2, 3, 4, 5, 7}},
		{writ.FreezeTarget{Principal: &writ.Principal{ID: "human:bob"}, Channel: "mail:x"}, []int{0, 1}},
	}
	rapid.Check(t, func(draw *rapid.T) {
		r := newRig(t)
		frozen := map[int]bool{}
		for range rapid.IntRange(1, 20).Draw(draw, "steps") {
			i := rapid.IntRange(0, len(subjects)-1).Draw(draw, "subject")
			switch rapid.SampledFrom([]string{"freeze", "fail", "unfreeze", "restart"}).Draw(draw, "operation") {
			case "freeze":
				r.freeze(subjects[i], writ.FreezeWait)
				frozen[i] = true
			case "fail":
				r.freeze(subjects[i], writ.FreezeFail)
				frozen[i] = true
			case "unfreeze":
				if err := r.unfreeze(subjects[i]); (err == nil) != frozen[i] {
					draw.Fatalf("unfreeze %+v: %v", subjects[i], err)
				}
				delete(frozen, i)
			case "restart":
				r.restart()
			}
			for _, c := range targets {
				want := slices.ContainsFunc(c.by, func(i int) bool { return frozen[i] })
				if got := r.covered(writ.DefaultTenant, c.target); (got != "") != want {
					draw.Fatalf("%+v is covered by %q, frozen are %v", c.target, got, frozen)
				}
			}
		}
	})
}

// TestHammer: once a freeze is acknowledged nobody is told that there is none, and
// no epoch is older than what is found under it.
func TestHammer(t *testing.T) {
	r := newRig(t)
	subject := contract.FreezeSubject{PrincipalID: "agent:bot"}
	var work sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		work.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				// An odd number of changes has frozen it: the epoch is 1 and those.
				before := r.epoch(writ.DefaultTenant)
				got := r.covered(writ.DefaultTenant, writ.FreezeTarget{Principal: bot()})
				if after := r.epoch(writ.DefaultTenant); before == after && (got != "") != (before%2 == 0) {
					t.Errorf("epoch %d: covered by %q", before, got)
					return
				}
			}
		})
	}
	for range 50 {
		r.freeze(subject, "")
		if err := r.unfreeze(subject); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	work.Wait()
}
