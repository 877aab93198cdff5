package keylesstest

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Repository is a TUF repository in a directory, for a file server.
type Repository struct {
	Dir  string
	Root []byte // root.json

	t    T
	keys map[string]ed25519.PrivateKey
}

// NewRepository makes one in a directory, that has published nothing.
func NewRepository(t T, dir string) *Repository {
	t.Helper()
	r := &Repository{Dir: dir, t: t, keys: map[string]ed25519.PrivateKey{}}
	root := metadata.Root(time.Now().Add(24 * time.Hour))
	for _, role := range []string{"root", "targets", "snapshot", "timestamp"} {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		r.must(err)
		r.keys[role] = key
		public, err := metadata.KeyFromPublicKey(key.Public())
		r.must(err)
		r.must(root.Signed.AddKey(public, role))
	}
	root.Signed.ConsistentSnapshot = true
	r.sign("root", root)
	r.must(root.ToFile(filepath.Join(r.Dir, "1.root.json"), false))
	var err error
	r.Root, err = os.ReadFile(filepath.Join(r.Dir, "1.root.json"))
	r.must(err)
	return r
}

func (r *Repository) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *Repository) sign(role string, m interface {
	Sign(signature.Signer) (*metadata.Signature, error)
},
) {
	r.t.Helper()
	signer, err := signature.LoadSigner(r.keys[role], crypto.Hash(0))
	r.must(err)
	_, err = m.Sign(signer)
	r.must(err)
}

// Publish makes a file the target of a version whose metadata is good for a time;
// one that is negative has passed already.
func (r *Repository) Publish(version int64, target string, file []byte, good time.Duration) {
	r.t.Helper()
	expires := time.Now().Add(24 * time.Hour)
	targets := metadata.Targets(expires)
	targets.Signed.Version = version
	info, err := metadata.TargetFile().FromBytes(target, file, "sha256")
	r.must(err)
	targets.Signed.Targets[target] = info
	sum := sha256.Sum256(file)
	r.must(os.MkdirAll(filepath.Join(r.Dir, "targets"), 0o755))
	r.must(os.WriteFile(filepath.Join(r.Dir, "targets", hex.EncodeToString(sum[:])+"."+target), file, 0o644))
	r.sign("targets", targets)
	r.must(targets.ToFile(filepath.Join(r.Dir, fmt.Sprintf("%d.targets.json", version)), false))

	snapshot := metadata.Snapshot(expires)
	snapshot.Signed.Version = version
	snapshot.Signed.Meta["targets.json"] = metadata.MetaFile(version)
	r.sign("snapshot", snapshot)
	r.must(snapshot.ToFile(filepath.Join(r.Dir, fmt.Sprintf("%d.snapshot.json", version)), false))

	stamp := metadata.Timestamp(time.Now().Add(good))
	stamp.Signed.Version = version
	stamp.Signed.Meta["snapshot.json"] = metadata.MetaFile(version)
	r.sign("timestamp", stamp)
	r.must(stamp.ToFile(filepath.Join(r.Dir, "timestamp.json"), false))
}
