package registry

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/host"
	"github.com/writ-run/writ/host/wasmtest"
	"github.com/writ-run/writ/trace"
	"github.com/writ-run/writ/trace/tracetest"
)

// memory is a journal and store for tests: durable at once.
type memory struct {
	mu      sync.Mutex
	docs    map[writ.TenantID]map[string][]byte
	records []writ.NewRecord
	fail    error // of the next Append
}

func (m *memory) Append(_ context.Context, b *writ.Batch) (writ.Receipt, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return writ.Receipt{}, m.fail
	}
	if m.docs == nil {
		m.docs = map[writ.TenantID]map[string][]byte{}
	}
	if m.docs[b.Tenant] == nil {
		m.docs[b.Tenant] = map[string][]byte{}
	}
	m.records = append(m.records, b.Records...)
	for _, c := range b.Changes {
		if c.Value == nil {
			delete(m.docs[b.Tenant], c.Key)
		} else {
			m.docs[b.Tenant][c.Key] = c.Value
		}
	}
	return writ.Receipt{Position: writ.Position(len(m.records))}, nil
}

func (m *memory) Barrier(context.Context, writ.Position) error { return nil }

func (m *memory) Epoch(context.Context, writ.TenantID) (uint64, error) { return 1, nil }

func (m *memory) Get(_ context.Context, tenant writ.TenantID, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.docs[tenant][key]; ok {
		return v, nil
	}
	return nil, writ.Errorf(writ.CodeNotFound, key, "no document")
}

func (m *memory) List(_ context.Context, q writ.StoreQuery) ([]writ.Document, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []writ.Document
	for _, key := range slices.Sorted(maps.Keys(m.docs[q.Tenant])) {
		if strings.HasPrefix(key, q.Prefix) && key > q.After && (q.Limit == 0 || len(out) < q.Limit) {
			out = append(out, writ.Document{Key: key, Value: m.docs[q.Tenant][key]})
		}
	}
	return out, nil
}

func (m *memory) last() *writ.NewRecord {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.records) == 0 {
		return &writ.NewRecord{}
	}
	return &m.records[len(m.records)-1]
}

func (m *memory) put(key string, value []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.docs[writ.DefaultTenant][key] = value
}

// home is a registry with publisher acme trusted.
type home struct {
	*Registry
	t      testing.TB
	ctx    context.Context
	by     *writ.Principal
	memory *memory
	now    time.Time
	key    *Key
}

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func mustKey(t testing.TB, kind KeyKind) *Key {
	t.Helper()
	key, err := GenerateKey(kind, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newHome(t testing.TB, edit ...func(*Options)) *home {
	t.Helper()
	h := bareHome(t, edit...)
	h.trustKey("acme", h.key)
	return h
}

// bareHome trusts nobody.
func bareHome(t testing.TB, edit ...func(*Options)) *home {
	t.Helper()
	h := &home{t: t, memory: &memory{}, now: epoch, key: mustKey(t, KeyECDSA)}
	h.by = &writ.Principal{ID: "ada", Kind: writ.Human, Tenant: writ.DefaultTenant, Workspace: writ.DefaultWorkspace, Source: "test"}
	h.ctx = writ.WithPrincipal(context.Background(), h.by)
	opts := Options{
		Dir: filepath.Join(t.TempDir(), "skills"), Store: h.memory, Journal: h.memory,
		Inspector: host.NewInspector(), Clock: h.clock(),
	}
	for _, e := range edit {
		e(&opts)
	}
	r, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	h.Registry = r
	return h
}

func (h *home) clock() writ.Clock { return func() time.Time { return h.now } }

func (h *home) trustKey(publisher string, key *Key, purposes ...contract.TrustPurpose) {
	h.t.Helper()
	if _, err := h.Trust(h.ctx, h.by, TrustedKey{Publisher: publisher, PEM: string(key.Public().PEM), Purposes: purposes}); err != nil {
		h.t.Fatal(err)
	}
}

// mailer is a valid manifest that declares log and http.request.
func mailer(edit ...func(*abi.Manifest)) *abi.Manifest {
	m := &abi.Manifest{
		APIVersion: abi.ManifestVersion, Name: "acme/mailer", Version: "1.0.0", Description: "Sends mail.", ABI: abi.V1,
		Requires: abi.Requires{Host: ">=0.1.0 <1.0.0", ABI: "^1.0.0", Contracts: "^1.0.0"},
		Capabilities: []abi.Capability{
			{Tool: abi.ToolLog},
			{Tool: abi.ToolHTTPRequest, Hosts: []string{"api.acme.dev"}, Methods: []string{"POST"}, Paths: []string{"/v1/**"}},
		},
		Actions: []abi.Action{{
			Name: "send", Description: "Sends one mail.", Effects: []abi.Effect{abi.EffectWriteExternal},
			Input:  json.RawMessage(`{"type":"object","properties":{"to":{"type":"string"}},"required":["to"]}`),
			Output: json.RawMessage(`{"type":"object"}`), Sinks: []string{"to"},
		}},
	}
	for _, e := range edit {
		e(m)
	}
	return m
}

func version(v string) func(*abi.Manifest) { return func(m *abi.Manifest) { m.Version = v } }

func guest() []byte { return wasmtest.ToolCaller(abi.ToolHTTPRequest) }

func (h *home) pack(m *abi.Manifest, module []byte) []byte {
	h.t.Helper()
	file, err := Pack(m, module)
	if err != nil {
		h.t.Fatal(err)
	}
	return file
}

func (h *home) sign(file []byte, edit ...func(*SignRequest)) []byte {
	h.t.Helper()
	req := SignRequest{Key: h.key, Clock: h.clock(), Provenance: ProvenanceInput{Repository: "https://github.com/acme/mailer", Revision: strings.Repeat("a", 40)}}
	for _, e := range edit {
		e(&req)
	}
	signed, err := Sign(file, req)
	if err != nil {
		h.t.Fatal(err)
	}
	return signed
}

// bundle is a packed and signed mailer.
func (h *home) bundle(edit ...func(*abi.Manifest)) []byte {
	h.t.Helper()
	return h.sign(h.pack(mailer(edit...), guest()))
}

func (h *home) install(file []byte) *Report {
	h.t.Helper()
	report, _, err := h.InstallBundle(h.ctx, h.by, file, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return report
}

// load does so when the last look at the files is no longer good.
func (h *home) load(ref writ.SkillRef) (*writ.Skill, error) {
	h.now = h.now.Add(glance)
	return h.Load(h.ctx, writ.LoadRequest{Tenant: h.by.Tenant, Ref: ref})
}

// refused installs and demands a refusal with exactly these codes, a record of
// it, and a directory that did not change.
func (h *home) refused(file []byte, want ...writ.IssueCode) *Report {
	h.t.Helper()
	before := h.files()
	report, _, err := h.InstallBundle(h.ctx, h.by, file, nil)
	if !writ.IsCode(err, writ.CodeSkillRefused) {
		h.t.Fatalf("want a refusal with %v, got %v", want, err)
	}
	if got := codes(report.Issues); !slices.Equal(got, want) {
		h.t.Errorf("issues %v, want %v: %s", got, want, describe(report.Issues))
	}
	for _, i := range report.Issues {
		if i.Message == "" || i.Fix == "" {
			h.t.Errorf("%s has no message or no fix: %+v", i.Code, i)
		}
	}
	record := h.memory.last()
	if record.Type != writ.RecSkillRejected || len(record.Body.System.Issues) != len(report.Issues) {
		h.t.Errorf("the refusal is not recorded: %+v", record)
	}
	if after := h.files(); !maps.Equal(before, after) {
		h.t.Errorf("a refusal changed the directory: %v -> %v", before, after)
	}
	return report
}

func codes(issues []writ.SkillIssue) []writ.IssueCode {
	out := make([]writ.IssueCode, len(issues))
	for i := range issues {
		out[i] = issues[i].Code
	}
	return out
}

// files are the paths under the registry's directory with their digests.
func (h *home) files() map[string]writ.Digest {
	h.t.Helper()
	out := map[string]writ.Digest{}
	err := filepath.WalkDir(h.opts.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			out[path] = ""
			return err
		}
		data, err := os.ReadFile(path)
		out[path] = canon.SHA256(data)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

// rebuild opens a bundle, lets edit change the layout and packs it again: what an
// attacker without the key can do.
func (h *home) rebuild(file []byte, edit func(*layout)) []byte {
	h.t.Helper()
	l, issue := open(file, Limits{}.orDefaults())
	if issue != nil {
		h.t.Fatal(issue.Message)
	}
	edit(l)
	out, err := l.tar()
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

// forge signs any statement with any key.
func (h *home) forge(l *layout, key *Key, s *statement) {
	h.t.Helper()
	if err := l.attach(key.bundle, h.clock().Now(), s); err != nil {
		h.t.Fatal(err)
	}
}

func replaceOnce(t testing.TB, data []byte, old, with string) []byte {
	t.Helper()
	if bytes.Count(data, []byte(old)) != 1 {
		t.Fatalf("%q stands %d times", old, bytes.Count(data, []byte(old)))
	}
	return bytes.Replace(data, []byte(old), []byte(with), 1)
}

func realJournal(t testing.TB) *trace.Journal {
	t.Helper()
	return tracetest.Memory(t, func() time.Time { return epoch })
}
