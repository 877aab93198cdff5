// Package feedtest makes TUF repositories with a feed of revocations, honest ones
// and those of an attacker who lacks a key. It is for tests.
package feedtest

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/writ-run/writ/registry/feed"
)

// Repository is a TUF repository in memory that serves itself over HTTP.
type Repository struct {
	clock func() time.Time
	keys  map[string][]ed25519.PrivateKey // by role
	root  *metadata.Metadata[metadata.RootType]

	mu      sync.Mutex
	files   map[string][]byte // by path, without the first slash
	version int64
	asked   int
}

// Edition is one publication.
type Edition struct {
	List    string        // of the target revocations.json; empty: a list without entries
	Life    time.Duration // of the timestamp; 0: a day
	Signers int           // how many keys sign targets; 0: all
	Target  string        // path of the target; empty: revocations.json
	Version int64         // 0: the next
}

// List is a feed's target with these members, such as `"keys":[...]`.
func List(members ...string) string {
	return `{"apiVersion":"` + feed.APIVersion + `","kind":"` + feed.Kind + `",` + strings.Join(members, ",") + "}"
}

var roles = []string{metadata.ROOT, metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP}

// New makes a repository whose targets need so many signatures, without an
// edition. Its other roles have one key each.
func New(clock func() time.Time, threshold int) (*Repository, error) {
	r := &Repository{clock: clock, keys: map[string][]ed25519.PrivateKey{}, files: map[string][]byte{}}
	r.root = metadata.Root(clock().Add(365 * 24 * time.Hour))
	r.root.Signed.ConsistentSnapshot = true
	for _, role := range roles {
		n := 1
		if role == metadata.TARGETS {
			n = threshold
		}
		for range n {
			if err := r.addKey(role); err != nil {
				return nil, err
			}
		}
		r.root.Signed.Roles[role].Threshold = n
	}
	return r, r.publishRoot(r.keys[metadata.ROOT])
}

func (r *Repository) addKey(role string) error {
	public, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	key, err := metadata.KeyFromPublicKey(public)
	if err != nil {
		return err
	}
	r.keys[role] = append(r.keys[role], secret)
	return r.root.Signed.AddKey(key, role)
}

func (r *Repository) publishRoot(signers []ed25519.PrivateKey) error {
	r.root.ClearSignatures()
	if err := sign(r.root, signers); err != nil {
		return err
	}
	raw, err := r.root.ToBytes(false)
	r.put(fmt.Sprintf("%d.root.json", r.root.Signed.Version), raw)
	return err
}

// Root is the newest root metadata.
func (r *Repository) Root() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.files[fmt.Sprintf("%d.root.json", r.root.Signed.Version)]
}

// Rotate gives the timestamp another key, in a next root.
func (r *Repository) Rotate() error {
	r.root.Signed.Version++
	for _, id := range r.root.Signed.Roles[metadata.TIMESTAMP].KeyIDs {
		if err := r.root.Signed.RevokeKey(id, metadata.TIMESTAMP); err != nil {
			return err
		}
	}
	r.keys[metadata.TIMESTAMP] = nil
	if err := r.addKey(metadata.TIMESTAMP); err != nil {
		return err
	}
	return r.publishRoot(r.keys[metadata.ROOT])
}

// Publish makes an edition the newest.
func (r *Repository) Publish(e Edition) error {
	if e.List == "" {
		e.List = List(`"keys":[]`)
	}
	if e.Target == "" {
		e.Target = feed.Target
	}
	if e.Life == 0 {
		e.Life = 24 * time.Hour
	}
	if r.version++; e.Version != 0 {
		r.version = e.Version
	}
	version, later := r.version, r.clock().Add(30*24*time.Hour)
	targets := metadata.Targets(later)
	targets.Signed.Version = version
	file, err := metadata.TargetFile().FromBytes(e.Target, []byte(e.List), "sha256")
	if err != nil {
		return err
	}
	targets.Signed.Targets[e.Target] = file
	sum := sha256.Sum256([]byte(e.List))
	r.put("targets/"+hex.EncodeToString(sum[:])+"."+e.Target, []byte(e.List))
	signers := r.keys[metadata.TARGETS]
	if e.Signers > 0 {
		signers = signers[:e.Signers]
	}
	if err := publish(r, targets, signers, fmt.Sprintf("%d.targets.json", version)); err != nil {
		return err
	}
	snapshot := metadata.Snapshot(later)
	snapshot.Signed.Version = version
	snapshot.Signed.Meta["targets.json"] = metadata.MetaFile(version)
	if err := publish(r, snapshot, r.keys[metadata.SNAPSHOT], fmt.Sprintf("%d.snapshot.json", version)); err != nil {
		return err
	}
	timestamp := metadata.Timestamp(r.clock().Add(e.Life))
	timestamp.Signed.Version = version
	timestamp.Signed.Meta["snapshot.json"] = metadata.MetaFile(version)
	return publish(r, timestamp, r.keys[metadata.TIMESTAMP], "timestamp.json")
}

type signable interface {
	Sign(signature.Signer) (*metadata.Signature, error)
}

func sign(m signable, keys []ed25519.PrivateKey) error {
	for _, key := range keys {
		signer, err := signature.LoadSigner(key, crypto.Hash(0))
		if err != nil {
			return err
		}
		if _, err := m.Sign(signer); err != nil {
			return err
		}
	}
	return nil
}

func publish[T metadata.Roles](r *Repository, m *metadata.Metadata[T], keys []ed25519.PrivateKey, path string) error {
	if err := sign(m, keys); err != nil {
		return err
	}
	raw, err := m.ToBytes(false)
	r.put(path, raw)
	return err
}

func (r *Repository) put(path string, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files[path] = data
}

// Files is a copy of all that is served: an attacker can bring it back.
func (r *Repository) Files() map[string][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.files)
}

// Serve serves these files from now on.
func (r *Repository) Serve(files map[string][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files = maps.Clone(files)
}

// Asked counts requests.
func (r *Repository) Asked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

// ServeHTTP implements http.Handler.
func (r *Repository) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	r.asked++
	data, ok := r.files[strings.TrimPrefix(request.URL.Path, "/")]
	r.mu.Unlock()
	if !ok {
		http.NotFound(w, request)
		return
	}
	_, _ = w.Write(data) // a client that is gone is nobody's fault
}
