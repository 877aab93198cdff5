package secret

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// journal keeps batches, and calls before at each of them.
type journal struct {
	batches  []*writ.Batch
	barriers int
	before   func() error
}

func (j *journal) Append(_ context.Context, batch *writ.Batch) (writ.Receipt, error) {
	if j.before != nil {
		if err := j.before(); err != nil {
			return writ.Receipt{}, err
		}
	}
	j.batches = append(j.batches, batch)
	return writ.Receipt{Position: writ.Position(len(j.batches))}, nil
}

func (j *journal) Epoch(context.Context, writ.TenantID) (uint64, error) { return 1, nil }

func (j *journal) Barrier(context.Context, writ.Position) error {
	j.barriers++
	return nil
}

func caller(ctx context.Context) context.Context {
	return writ.WithPrincipal(ctx, &writ.Principal{ID: "ada", Kind: writ.Human, Tenant: tenantA, Workspace: "default"})
}

func TestOperationsRecordTheNameAlone(t *testing.T) {
	j := &journal{}
	home := t.TempDir()
	s, err := Open(t.Context(), Options{Home: home, Clock: fixedClock, Journal: j})
	if err != nil {
		t.Fatal(err)
	}
	ctx := caller(t.Context())
	// The record comes before the change.
	j.before = func() error {
		if _, err := os.Stat(filepath.Join(home, File)); err == nil {
			t.Error("the file was written before the record")
		}
		return nil
	}
	set, err := s.SecretSet(ctx, &contract.SecretSetInput{Name: "api", Value: value})
	if err != nil || set.Status != "set" || set.ChangedAt == 0 {
		t.Fatalf("%+v, %v", set, err)
	}
	j.before = nil
	list, err := s.SecretList(ctx, &contract.SecretListInput{})
	if err != nil || len(list.Items) != 1 || list.Items[0].Name != "api" || list.Items[0].UpdatedAt == 0 {
		t.Fatalf("%+v, %v", list, err)
	}
	if _, err := s.SecretRemove(ctx, &contract.SecretRemoveInput{Name: "api", Reason: "rotated"}); err != nil {
		t.Fatal(err)
	}
	if len(j.batches) != 2 || j.barriers != 2 {
		t.Fatalf("%d batches, %d barriers", len(j.batches), j.barriers)
	}
	for i, status := range []string{"set", "removed"} {
		b := j.batches[i]
		r := b.Records[0]
		if b.Tenant != tenantA || b.Stream != writ.SystemStream || b.Expect != writ.AnySeq || r.Type != writ.RecSecretChanged ||
			r.Body.System.Subject != "api" || r.Body.System.Status != status || r.Actor.ActorID != "ada" {
			t.Errorf("batch %d: %+v", i, b)
		}
		if text, _ := json.Marshal(b); strings.Contains(string(text), value) {
			t.Error("a record holds the value")
		}
	}
}

func TestOperationsThatFailRecordNoChange(t *testing.T) {
	j := &journal{}
	s, err := Open(t.Context(), Options{Home: t.TempDir(), Clock: fixedClock, Journal: j})
	if err != nil {
		t.Fatal(err)
	}
	ctx := caller(t.Context())
	_, err = s.SecretSet(ctx, &contract.SecretSetInput{Name: "bad name", Value: value})
	wantCode(t, err, writ.CodeInvalid)
	_, err = s.SecretRemove(ctx, &contract.SecretRemoveInput{Name: "absent"})
	wantCode(t, err, writ.CodeNotFound)
	_, err = s.SecretSet(t.Context(), &contract.SecretSetInput{Name: "api", Value: value})
	wantCode(t, err, writ.CodeUnauthenticated)
	if len(j.batches) != 0 {
		t.Errorf("records of what did not happen: %d", len(j.batches))
	}
	// A journal that cannot take the record stops the change.
	j.before = func() error { return writ.Errorf(writ.CodeUnavailable, "journal", "is full") }
	_, err = s.SecretSet(ctx, &contract.SecretSetInput{Name: "api", Value: value})
	wantCode(t, err, writ.CodeUnavailable)
	_, err = s.Secret(ctx, tenantA, "api")
	wantCode(t, err, writ.CodeNotFound)
}

func TestFailedReplacementIsRecorded(t *testing.T) {
	j := &journal{}
	home := t.TempDir()
	s, err := Open(t.Context(), Options{Home: home, Clock: fixedClock, Journal: j})
	if err != nil {
		t.Fatal(err)
	}
	// A directory in the place of the temporary file cannot be replaced.
	if err := os.MkdirAll(filepath.Join(home, File+".tmp", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err = s.SecretSet(caller(t.Context()), &contract.SecretSetInput{Name: "api", Value: value})
	wantCode(t, err, writ.CodeUnavailable)
	var e *writ.Error
	if !errors.As(err, &e) || e.Fix == "" {
		t.Errorf("no fix in %v", err)
	}
	if len(j.batches) != 2 || j.batches[1].Records[0].Body.System.Status != "failed" {
		t.Errorf("batches: %d", len(j.batches))
	}
}

func TestOperationsNeedAJournal(t *testing.T) {
	s := open(t, t.TempDir())
	_, err := s.SecretSet(caller(t.Context()), &contract.SecretSetInput{Name: "api", Value: value})
	wantCode(t, err, writ.CodeUnavailable)
}
