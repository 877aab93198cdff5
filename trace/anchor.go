package trace

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	badger "github.com/dgraph-io/badger/v4"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/writ-run/writ"
)

// hostSigner signs notes and envelopes with the host's key.
type hostSigner struct {
	name     string
	key      crypto.Signer
	public   ed25519.PublicKey
	verifier note.Verifier
}

func newHostSigner(opts *Options) (*hostSigner, error) {
	const op = "journal: host key"
	key := opts.Signer
	if key == nil {
		_, private, err := ed25519.GenerateKey(opts.Entropy)
		if err != nil {
			return nil, writ.Errorf(writ.CodeUnavailable, op, "%w", err)
		}
		key = private
	}
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, writ.Errorf(writ.CodeInvalid, op, "want an Ed25519 key, not %T", key.Public())
	}
	verifier, err := noteVerifier(opts.Origin, public)
	if err != nil {
		return nil, writ.Errorf(writ.CodeInvalid, op, "origin %q: %w", opts.Origin, err)
	}
	return &hostSigner{name: opts.Origin, key: key, public: public, verifier: verifier}, nil
}

func noteVerifier(origin string, public ed25519.PublicKey) (note.Verifier, error) {
	text, err := note.NewEd25519VerifierKey(origin, public)
	if err != nil {
		return nil, err
	}
	return note.NewVerifier(text)
}

// Name implements note.Signer.
func (s *hostSigner) Name() string { return s.name }

// KeyHash implements note.Signer.
func (s *hostSigner) KeyHash() uint32 { return s.verifier.KeyHash() }

// Sign implements note.Signer.
func (s *hostSigner) Sign(message []byte) ([]byte, error) {
	return s.key.Sign(nil, message, crypto.Hash(0))
}

// checkpoint is a C2SP tlog-checkpoint with two extension lines: the position of
// the last record and the digest of the chain over all records.
type checkpoint struct {
	origin string
	root   tlog.Hash
	state
}

func (c *checkpoint) text() string {
	return fmt.Sprintf("%s\n%d\n%s\nposition %d\nchain %s\n", c.origin, c.Leaves,
		c.root, c.Position, base64.StdEncoding.EncodeToString(c.Chain))
}

var errCheckpoint = errors.New("not a checkpoint of a journal")

// parseCheckpoint accepts exactly what text writes.
func parseCheckpoint(text string) (*checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 6 {
		return nil, errCheckpoint
	}
	c := &checkpoint{origin: lines[0]}
	var err error
	if c.Leaves, err = strconv.ParseInt(lines[1], 10, 64); err != nil || c.Leaves < 0 {
		return nil, errCheckpoint
	}
	if c.root, err = tlog.ParseHash(lines[2]); err != nil {
		return nil, errCheckpoint
	}
	position, err := strconv.ParseUint(strings.TrimPrefix(lines[3], "position "), 10, 64)
	if err != nil {
		return nil, errCheckpoint
	}
	c.Position = writ.Position(position)
	if c.Chain, err = base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[4], "chain ")); err != nil {
		return nil, errCheckpoint
	}
	if len(c.Chain) != 32 || c.text() != text {
		return nil, errCheckpoint
	}
	return c, nil
}

// openCheckpoint verifies a signed note and reads it.
func openCheckpoint(signed []byte, known ...note.Verifier) (*checkpoint, error) {
	n, err := note.Open(signed, note.VerifierList(known...))
	if err != nil {
		return nil, err
	}
	return parseCheckpoint(n.Text)
}

// checkpoint signs what is durable now.
func (j *Journal) checkpoint() ([]byte, *checkpoint, error) {
	c := &checkpoint{origin: j.opts.Origin}
	err := j.view(func(txn *badger.Txn) error {
		s, err := readState(txn)
		if err != nil {
			return err
		}
		c.state = *s
		c.root, err = rootAt(txn, c.Leaves)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	signed, err := note.Sign(&note.Note{Text: c.text()}, j.signer)
	if err != nil {
		return nil, nil, writ.Errorf(writ.CodeUnavailable, "checkpoint", "the host key does not sign: %w", err)
	}
	return signed, c, nil
}

// anchorTries is how often in a row the anchor may fail to be written before the
// journal counts as failed: without a new one, what was acknowledged since could
// be taken away unnoticed. A full disk is not such a failure; it stops intake.
const anchorTries = 5

// keepAnchor signs what has become durable, at most once in AnchorEvery.
func (j *Journal) keepAnchor() {
	if j.disk == nil {
		return
	}
	failures := 0
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-j.stop:
			return
		}
		j.disk.restoreBallast()
		changed, err := j.changed()
		if err != nil {
			return
		}
		if !j.anchorBehind() {
			select {
			case <-changed:
			case <-j.stop:
				return
			}
		}
		switch err := j.writeAnchor(); {
		case err == nil:
			failures = 0
		case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
			j.log.Error("the anchor cannot be written", "error", err)
		default:
			j.log.Error("the anchor cannot be written", "error", err)
			if failures++; failures == anchorTries {
				j.poison(err)
				return
			}
		}
		pause.Reset(j.opts.AnchorEvery)
	}
}

// Checkpoint signs what is durable now, writes it to the anchor file and returns
// the note: for a witness, or to hold against the store later.
func (j *Journal) Checkpoint(ctx context.Context) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, contextError("checkpoint", err)
	}
	if err := j.writeAnchor(); err != nil {
		return nil, err
	}
	signed, _, err := j.checkpoint()
	return signed, err
}

func (j *Journal) anchorBehind() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.anchored < j.durable
}

// writeAnchor replaces the anchor file by one of what is durable now.
func (j *Journal) writeAnchor() error {
	if j.disk == nil {
		return nil
	}
	j.anchorMu.Lock()
	defer j.anchorMu.Unlock()
	signed, c, err := j.checkpoint()
	if err != nil {
		return err
	}
	j.mu.Lock()
	current := j.anchorWritten && c.Position == j.anchored
	j.mu.Unlock()
	if current {
		return nil
	}
	if err := replaceFile(j.anchorPath(), signed); err != nil {
		return writ.Errorf(writ.CodeUnavailable, "anchor", "%w", err)
	}
	j.mu.Lock()
	j.anchored, j.anchorWritten = c.Position, true
	j.mu.Unlock()
	return nil
}

// replaceFile is atomic and durable: a new file, synced, renamed, and the
// directory synced.
func replaceFile(path string, data []byte) error {
	temporary := path + ".new"
	file, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
