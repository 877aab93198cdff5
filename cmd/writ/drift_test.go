package main

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/host/wasmtest"
	"github.com/writ-run/writ/registry"
	"github.com/writ-run/writ/registry/feed/feedtest"
)

// TestTheDaemonHearsOfRevocations: it reads the feed by itself, and what that
// revokes is an event.
func TestTheDaemonHearsOfRevocations(t *testing.T) {
	h := openTestHome(t, &config{}, time.Now)
	ctx, cancel := context.WithTimeout(writ.WithPrincipal(context.Background(), itself(writ.DefaultTenant)), awaitLimit)
	defer cancel()
	repository := h.followsAFeed(t, ctx)
	if err := repository.Publish(feedtest.Edition{List: feedtest.List(`"skills":[{"skill":"acme/echo","reason":"malware","at":"2026-01-02T03:04:05Z"}]`)}); err != nil {
		t.Fatal(err)
	}
	watched, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		h.watchTrust(watched)
		close(done)
	}()
	found := errors.New("found")
	err := h.journal.Feed(ctx, writ.DefaultTenant, 0, func(s *writ.Stored) error {
		for _, e := range contract.EventsOf(s, nil) {
			if e.Type == contract.EventDriftDetected && e.Subject == "acme/echo@1.0.0" && e.Actor == "service:host" {
				return found
			}
		}
		return nil
	})
	if !errors.Is(err, found) {
		t.Errorf("no event: %v", err)
	}
	stop()
	<-done
}

// followsAFeed gives the home a skill and an empty feed.
func (h *home) followsAFeed(t *testing.T, ctx context.Context) *feedtest.Repository {
	t.Helper()
	key, err := registry.GenerateKey(registry.KeyECDSA, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join("testdata", "fixtures", "skills", "echo", manifestFile))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.registry.TrustAdd(ctx, &contract.TrustAddInput{Publisher: "acme", PublicKeyPEM: string(key.Public().PEM)}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.registry.Install(ctx, &contract.SkillInstallInput{Bundle: signedBundle(t, key, text, wasmtest.Echo())}); err != nil {
		t.Fatal(err)
	}
	repository, err := feedtest.New(time.Now, 1)
	if err == nil {
		err = repository.Publish(feedtest.Edition{})
	}
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(repository)
	t.Cleanup(server.Close)
	if _, err := h.registry.FeedAdd(ctx, &contract.FeedAddInput{Name: "acme", URL: server.URL, Root: repository.Root()}); err != nil {
		t.Fatal(err)
	}
	return repository
}

// TestStaleFeedsRefuseInstalls where the operator says so.
func TestStaleFeedsRefuseInstalls(t *testing.T) {
	for _, setting := range []string{staleReport, staleRefuse} {
		var later atomic.Int64 // what the home's clock is ahead
		h := openTestHome(t, &config{StaleFeeds: setting}, func() time.Time { return time.Now().Add(time.Duration(later.Load())) })
		ctx := writ.WithPrincipal(context.Background(), itself(writ.DefaultTenant))
		h.followsAFeed(t, ctx)
		later.Store(int64(48 * time.Hour))
		other, err := os.ReadFile(filepath.Join("testdata", "fixtures", "skills", "store", manifestFile))
		if err != nil {
			t.Fatal(err)
		}
		key, err := registry.GenerateKey(registry.KeyECDSA, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.registry.TrustAdd(ctx, &contract.TrustAddInput{Publisher: "acme", PublicKeyPEM: string(key.Public().PEM)}); err != nil {
			t.Fatal(err)
		}
		_, err = h.registry.Install(ctx, &contract.SkillInstallInput{Bundle: signedBundle(t, key, other, storeModule())})
		if refused := writ.IsCode(err, writ.CodeSkillRefused); refused != (setting == staleRefuse) {
			t.Errorf("%s: %v", setting, err)
		}
	}
}
