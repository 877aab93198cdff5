// Package identity knows who calls: principals, bearer tokens, approver keys and
// grants. What it knows are documents of the tenant's store, changed through the
// system journal alone.
package identity

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"io"
	"sync"

	"github.com/writ-run/writ"
)

// Options are what a Service works with; every member but Certificates is required.
type Options struct {
	Store   writ.Store
	Journal writ.Journal
	Clock   writ.Clock
	Entropy io.Reader
	// Owner is the user id that the daemon runs under: Peer knows it alone.
	Owner uint32
	// HostKey signs what a channel's provider vouches for; nil: nobody decides in channels.
	HostKey ed25519.PrivateKey
	// Certificates that services come with; nil: none count.
	Certificates *Certificates
}

// Service implements writ.Authenticator and writ.ApprovalVerifier, and looks
// after tokens and grants. It is safe for concurrent use.
type Service struct {
	opts Options

	mu     sync.Mutex // one change at a time: a check and its batch belong together
	tokens sync.Map   // token id -> *token: what was read and has not changed since
	grants sync.Map   // principal -> *holding, likewise
	counts sync.Map   // grant -> int: uses that the journal has accepted

	telling sync.Mutex // one at a time tells tenants of what is the host's; taken after mu
}

// New checks the options. CodeInvalid where one is missing.
func New(opts Options) (*Service, error) {
	if opts.Store == nil || opts.Journal == nil || opts.Clock == nil || opts.Entropy == nil {
		return nil, writ.Errorf(writ.CodeInvalid, "identity", "Store, Journal, Clock and Entropy must be set")
	}
	if opts.Certificates != nil {
		if opts.Certificates.Roots == nil {
			return nil, invalid("tls.clientCA", "there are no authorities")
		}
		if err := opts.Certificates.Check(); err != nil {
			return nil, err
		}
	}
	return &Service{opts: opts}, nil
}

var (
	_ writ.Authenticator    = (*Service)(nil)
	_ writ.ApprovalVerifier = (*Service)(nil)
)

// Keys of the documents.
const (
	principalPrefix = "principal/"
	tokenPrefix     = "token/"
	approverPrefix  = "approver/"
	grantPrefix     = "grant/"
	usePrefix       = "grant-use/"   // of a grant that is counted
	glassPrefix     = "grant-glass/" // of one that was given in an emergency
)

// get reads a document into v; CodeNotFound where there is none.
func (s *Service) get(ctx context.Context, tenant writ.TenantID, key string, v any) error {
	raw, err := s.opts.Store.Get(ctx, tenant, key)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return writ.Errorf(writ.CodeTampered, key, "the stored document does not decode: %w", err)
	}
	return nil
}

// change is one entry of the system journal with the documents that it sets.
type change struct {
	record    writ.RecordType
	facts     writ.SystemFacts
	documents map[string]any // nil deletes
}

// commit appends changes as one batch and waits for the disk. The caller holds
// mu where it checked something first.
func (s *Service) commit(ctx context.Context, by *writ.Principal, changes ...change) error {
	batch := &writ.Batch{Tenant: by.Tenant, Stream: writ.SystemStream, Expect: writ.AnySeq}
	for i := range changes {
		batch.Records = append(batch.Records, writ.NewRecord{
			Type: changes[i].record, Time: s.opts.Clock.Now(), Actor: writ.AuditOf(by, ""),
			Body: writ.Body{System: &changes[i].facts},
		})
		for key, document := range changes[i].documents {
			var raw []byte
			if document != nil {
				var err error
				if raw, err = json.Marshal(document); err != nil {
					return writ.Errorf(writ.CodeInternal, key, "cannot be encoded: %w", err)
				}
			}
			batch.Changes = append(batch.Changes, writ.Change{Key: key, Value: raw})
		}
	}
	receipt, err := s.opts.Journal.Append(ctx, batch)
	if err != nil {
		return err
	}
	// What is accepted is waited for, even if the caller is gone: nobody may read
	// and keep the state before it.
	return s.opts.Journal.Barrier(context.WithoutCancel(ctx), receipt.Position)
}

func (s *Service) draw(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(s.opts.Entropy, b); err != nil {
		return nil, writ.Errorf(writ.CodeInternal, "identity", "the source of randomness failed: %w", err)
	}
	return b, nil
}

// Peer implements writ.Authenticator: the daemon's own user may look, and
// nothing else. An agent may run under it too.
func (s *Service) Peer(_ context.Context, uid uint32) (*writ.Principal, error) {
	if uid != s.opts.Owner {
		return nil, unauthenticated()
	}
	return &writ.Principal{
		ID: "peer:local", Kind: writ.Service, Name: "local user", Tenant: writ.DefaultTenant, Workspace: writ.DefaultWorkspace,
		Capabilities: []string{capabilityCore, capabilityAudit, capabilitySkills}, Source: "socket", Strength: writ.StrengthPeer,
	}, nil
}

// Capabilities of the control plane that identity hands out.
const (
	capabilityCore     = "control-plane.core"
	capabilityApproval = "control-plane.approval"
	capabilityAudit    = "control-plane.audit"
	capabilitySkills   = "control-plane.skill-registry"
	capabilityChannels = "control-plane.channel-runtime"
)

func unauthenticated() *writ.Error {
	return &writ.Error{
		Code: writ.CodeUnauthenticated, Op: "authenticate", Message: "the credential is not valid",
		Fix: "use a token of `writ token create`, or run `writ init` on this machine",
	}
}
