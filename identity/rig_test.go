package identity

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/trace"
	"github.com/writ-run/writ/trace/tracetest"
)

// rig is a service over a real journal in memory, with a clock that tests move.
type rig struct {
	*Service
	journal *trace.Journal
	now     time.Time
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{now: time.Unix(1_767_225_600, 0)}
	r.journal = tracetest.Memory(t, r.clock)
	var err error
	r.Service, err = New(Options{Store: r.journal, Journal: r.journal, Clock: r.clock, Entropy: entropy(1), Owner: 1000, HostKey: hostKey()})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) clock() time.Time { return r.now }

// entropy is the same in every run.
func entropy(seed byte) io.Reader { return rand.NewChaCha8(sha256.Sum256([]byte{seed})) }

// hostKey attests what channels vouch for.
func hostKey() ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("host"))
	return ed25519.NewKeyFromSeed(seed[:])
}

// verify is VerifyApproval for who looks at the error alone.
func (r *rig) verify(ctx context.Context, p *writ.Principal, word writ.Word, envelope []byte) error {
	_, err := r.VerifyApproval(ctx, p, word, envelope)
	return err
}

func as(p *writ.Principal) context.Context { return writ.WithPrincipal(context.Background(), p) }

// boot makes the operator and returns it as authenticated, with its key.
func (r *rig) boot(t testing.TB) (*writ.Principal, *ApproverKey) {
	t.Helper()
	key, err := GenerateApproverKey(entropy(2))
	if err != nil {
		t.Fatal(err)
	}
	made, err := r.Bootstrap(context.Background(), "ada", key)
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.Token(context.Background(), made.Token)
	if err != nil {
		t.Fatal(err)
	}
	return p, key
}

// add makes a principal and returns it as authenticated, with its token.
func (r *rig) add(t testing.TB, by *writ.Principal, in contract.TokenCreateInput) (*writ.Principal, *contract.TokenCreateOutput) {
	t.Helper()
	out, err := r.TokenCreate(as(by), &in)
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.Token(context.Background(), out.Token)
	if err != nil {
		t.Fatal(err)
	}
	return p, out
}

func (r *rig) bot(t testing.TB, by *writ.Principal) *writ.Principal {
	t.Helper()
	p, _ := r.add(t, by, contract.TokenCreateInput{PrincipalID: "agent:bot", Kind: writ.Agent, Name: "bot"})
	return p
}

func (r *rig) records(t testing.TB) []writ.RecordType {
	t.Helper()
	stored, err := r.journal.Records(context.Background(), writ.RecordQuery{Tenant: writ.DefaultTenant, Stream: writ.SystemStream})
	if err != nil {
		t.Fatal(err)
	}
	var types []writ.RecordType
	for i := range stored {
		types = append(types, stored[i].Type)
	}
	return types
}

func wantCode(t testing.TB, err error, code writ.Code) {
	t.Helper()
	if writ.CodeOf(err) != code {
		t.Errorf("got %v; want %q", err, code)
	}
}

func get(hosts ...string) writ.Capability {
	return writ.Capability{Tool: abi.ToolHTTPRequest, Hosts: hosts, Methods: []string{"GET"}, Paths: []string{"/**"}}
}

func TestNewRefusesAnEmptyOption(t *testing.T) {
	_, err := New(Options{})
	wantCode(t, err, writ.CodeInvalid)
}

func TestBootstrap(t *testing.T) {
	r := newRig(t)
	p, key := r.boot(t)
	if p.ID != "human:ada" || p.Kind != writ.Human || p.Strength != writ.StrengthToken || p.Tenant != writ.DefaultTenant ||
		!slices.Equal(p.Roles, []string{"operator", "admin", "approver"}) || len(p.Capabilities) != len(contract.Capabilities()) {
		t.Errorf("got %+v", p)
	}
	grants, err := r.Candidates(context.Background(), p, usesOf(abi.ToolLog), nil)
	if err != nil || len(grants) != 1 || grants[0].Capability.Tool != "*" || grants[0].MaxRisk != writ.RiskHigh {
		t.Errorf("got %+v, %v", grants, err)
	}
	want := []writ.RecordType{writ.RecPrincipalAdded, writ.RecTokenCreated, writ.RecGrantChanged, writ.RecPrincipalAdded}
	if got := r.records(t); !slices.Equal(got, want) {
		t.Errorf("the journal says %v", got)
	}
	_, err = r.Bootstrap(context.Background(), "eve", key)
	wantCode(t, err, writ.CodeConflict)
	_, err = newRig(t).Bootstrap(context.Background(), "Ada/../x", key)
	wantCode(t, err, writ.CodeInvalid)
}

func TestPeer(t *testing.T) {
	r := newRig(t)
	p, err := r.Peer(t.Context(), 1000)
	if err != nil || p.Strength != writ.StrengthPeer || len(p.Roles) != 0 || p.Kind == writ.Human || slices.Contains(p.Capabilities, capabilityApproval) {
		t.Errorf("got %+v, %v", p, err)
	}
	for _, op := range contract.All() {
		if op.Kind == contract.Command && op.Permits(p) == nil {
			t.Errorf("a peer may %s", op.Key)
		}
	}
	_, err = r.Peer(t.Context(), 0)
	wantCode(t, err, writ.CodeUnauthenticated)
}
