package drift

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// Running is what a host runs with, as far as nobody approves it elsewhere: digests of
// its settings, without those that are secret, and versions of its contracts.
type Running struct {
	Settings  map[string]writ.Digest `json:"settings"`
	Contracts map[string]string      `json:"contracts"`
}

// Baseline remembers what a home ran with when somebody last said that it is right.
type Baseline struct {
	store   writ.Store
	journal writ.Journal
	clock   writ.Clock
	running *Running
}

// NewBaseline makes one. CodeInvalid where something is missing.
func NewBaseline(store writ.Store, journal writ.Journal, clock writ.Clock, running *Running) (*Baseline, error) {
	if store == nil || journal == nil || clock == nil || running == nil {
		return nil, writ.Errorf(writ.CodeInvalid, "drift baseline", "an option is not set")
	}
	return &Baseline{store, journal, clock, running}, nil
}

// accepted is the document under acceptedKey.
type accepted struct {
	Running
	At writ.Time        `json:"at"`
	By writ.PrincipalID `json:"by"`
}

const acceptedKey = "host/accepted"

// Statuses of records host.accepted.
const (
	statusFirst        = "first"
	statusAcknowledged = "acknowledged"
)

func (b *Baseline) accepted(ctx context.Context, tenant writ.TenantID) (*accepted, error) {
	raw, err := b.store.Get(ctx, tenant, acceptedKey)
	if writ.IsCode(err, writ.CodeNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var a accepted
	if err := json.Unmarshal(raw, &a); err != nil {
		return nil, &writ.Error{Code: writ.CodeTampered, Op: acceptedKey, Message: "the document cannot be read", Err: err, Fix: "restore the store from a backup"}
	}
	return &a, nil
}

// Begin records what a home runs with where nothing was recorded yet: the daemon calls
// it at its start.
func (b *Baseline) Begin(ctx context.Context, by *writ.Principal) error {
	have, err := b.accepted(ctx, by.Tenant)
	if err != nil || have != nil {
		return err
	}
	return b.accept(ctx, by, writ.SystemFacts{Status: statusFirst})
}

// Acknowledge is the operation contract.ConfigAcknowledge.
func (b *Baseline) Acknowledge(ctx context.Context, in *contract.ConfigAcknowledgeInput) (*contract.ConfigAcknowledgeOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	if by.Tenant != writ.DefaultTenant {
		return nil, writ.Errorf(writ.CodeForbidden, "config ack", "%s is of another tenant", by.ID).
			WithFix("the configuration is the host's: ask an admin of the tenant %s", writ.DefaultTenant)
	}
	have, err := b.accepted(ctx, by.Tenant)
	if err != nil {
		return nil, err
	}
	facts := writ.SystemFacts{Status: statusAcknowledged, Reason: in.Reason, Details: map[string]string{}}
	out := &contract.ConfigAcknowledgeOutput{Settings: []string{}, Contracts: []string{}}
	if have != nil {
		out.Settings, out.Contracts = changed(have.Settings, b.running.Settings), changed(have.Contracts, b.running.Contracts)
		for _, name := range out.Settings {
			facts.Details["setting "+name] = orGone(string(b.running.Settings[name]))
		}
		for _, key := range out.Contracts {
			facts.Details["contract "+key] = orGone(b.running.Contracts[key])
		}
	}
	if err := b.accept(ctx, by, facts); err != nil {
		return nil, err
	}
	out.Result = contract.Result{Status: statusAcknowledged, ChangedAt: b.clock.Now()}
	return out, nil
}

func orGone(text string) string {
	if text == "" {
		return "gone"
	}
	return text
}

func (b *Baseline) accept(ctx context.Context, by *writ.Principal, facts writ.SystemFacts) error {
	now := b.clock.Now()
	raw, err := canon.MarshalJSON(&accepted{Running: *b.running, At: now, By: by.ID})
	if err != nil {
		return err
	}
	facts.Subject, facts.Digest = "host", canon.SHA256(raw)
	receipt, err := b.journal.Append(ctx, &writ.Batch{
		Tenant: by.Tenant, Stream: writ.SystemStream, Expect: writ.AnySeq,
		Records: []writ.NewRecord{{Type: writ.RecHostAccepted, Time: now, Actor: writ.AuditOf(by, ""), Body: writ.Body{System: &facts}}},
		Changes: []writ.Change{{Key: acceptedKey, Value: raw}},
	})
	if err != nil {
		return err
	}
	return b.journal.Barrier(ctx, receipt.Position)
}

const ackFix = "where that is meant: writ config ack --reason ..."

// Source is a Source of CONFIG_CHANGED, a finding for each setting, and of
// CONTRACTS_CHANGED. A home that no daemon has served yet has nothing to compare with.
func (b *Baseline) Source(ctx context.Context, tenant writ.TenantID) ([]contract.DriftFinding, error) {
	have, err := b.accepted(ctx, tenant)
	if err != nil || have == nil {
		return nil, err
	}
	since := fmt.Sprintf("since %s, when %s ran with another", have.At, have.By)
	var out []contract.DriftFinding
	for _, name := range changed(have.Settings, b.running.Settings) {
		out = append(out, contract.DriftFinding{Code: contract.DriftConfigChanged, Subject: name, Message: "the setting has another value " + since, Fix: ackFix})
	}
	if keys := changed(have.Contracts, b.running.Contracts); len(keys) > 0 {
		now, err := canon.MarshalJSON(b.running.Contracts)
		if err != nil {
			return nil, err
		}
		out = append(out, contract.DriftFinding{
			Code: contract.DriftContractsChanged, Subject: "contracts " + canon.SHA256(now).Hex()[:12],
			Message: fmt.Sprintf("%d operations or events are other ones %s: %s", len(keys), since, someOf(keys)), Fix: ackFix,
		})
	}
	return out, nil
}

// mostNamed bounds a message: an upgrade may change dozens.
const mostNamed = 5

func someOf(keys []string) string {
	if len(keys) > mostNamed {
		return strings.Join(keys[:mostNamed], ", ") + fmt.Sprintf(" and %d more", len(keys)-mostNamed)
	}
	return strings.Join(keys, ", ")
}

// changed names what differs, is new or is gone.
func changed[V comparable](before, now map[string]V) []string {
	out := map[string]bool{}
	for name, value := range now {
		if was, ok := before[name]; !ok || was != value {
			out[name] = true
		}
	}
	for name := range before {
		if _, ok := now[name]; !ok {
			out[name] = true
		}
	}
	return slices.Sorted(maps.Keys(out))
}
