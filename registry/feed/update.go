package feed

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// State is all that is known of a repository, verified as a whole. It is kept by
// the caller, in a place where an older one does not come back: it is what an
// older timestamp is held against.
type State struct {
	Root      []byte `json:"root"` // the newest that the trusted one leads to
	Timestamp []byte `json:"timestamp,omitempty"`
	Snapshot  []byte `json:"snapshot,omitempty"`
	Targets   []byte `json:"targets,omitempty"`
}

// Update is a State with the list that it vouches for.
type Update struct {
	State
	List      *Revocations
	Raw       []byte      // of the list, as it was signed
	Digest    writ.Digest // of Raw
	Version   int64       // of the signed targets
	ExpiresAt writ.Time   // the earliest end of what was signed: past it, newer data may be kept back
}

// CheckRoot is CodeInvalid where raw is no root metadata that is signed by itself.
func CheckRoot(raw []byte) error {
	if len(raw) > maxRoot {
		return writ.Errorf(writ.CodeTooLarge, "feed: root", "has more than %d bytes", maxRoot).WithFix("give the repository's root.json")
	}
	if _, err := trustedmetadata.New(raw); err != nil {
		return writ.Errorf(writ.CodeInvalid, "feed: root", "is no root metadata signed by its own keys: %s", clip(err.Error())).
			WithFix("give the repository's root.json, as its publisher shows it elsewhere")
	}
	return nil
}

// Fetch updates a repository from where known stands, by TUF's client workflow.
// CodeUnavailable where the server cannot be read, CodeTampered for what is not
// signed as the root demands or is older than known, CodeExpired where the server
// keeps an end that has passed, CodeTooLarge, CodeInvalid for a list that cannot be
// understood. known stays true after any error.
func Fetch(ctx context.Context, base string, known *State, clock writ.Clock) (*Update, error) {
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	dir, err := os.MkdirTemp("", "writ-feed-")
	if err != nil {
		return nil, &writ.Error{Code: writ.CodeUnavailable, Op: "feed: update", Message: "no temporary directory", Err: err}
	}
	defer func() { _ = os.RemoveAll(dir) }()
	u := &update{dir: dir, fetcher: newFetcher(ctx), clock: clock}
	out, err := u.run(base, known)
	if err != nil {
		return nil, failure(err)
	}
	return out, nil
}

// update is one run of the TUF client. Its directory is private to the run: what
// is kept is read back from it only when all of it has been verified.
type update struct {
	dir     string
	fetcher *fetcher
	clock   writ.Clock
}

func (u *update) run(base string, known *State) (*Update, error) {
	for name, data := range map[string][]byte{
		metadata.TIMESTAMP: known.Timestamp, metadata.SNAPSHOT: known.Snapshot, metadata.TARGETS: known.Targets,
	} {
		if len(data) == 0 {
			continue
		}
		if err := os.WriteFile(u.path(name), data, 0o600); err != nil {
			return nil, err
		}
	}
	client, err := u.client(base, known.Root)
	if err != nil {
		return nil, err
	}
	if err := client.Refresh(); err != nil {
		return nil, err
	}
	target := client.GetTopLevelTargets()[Target]
	if target == nil {
		return nil, writ.Errorf(writ.CodeInvalid, "feed: "+Target, "the repository has no such target").WithFix("%s", askPublisher)
	}
	if target.Length <= 0 || target.Length > maxTarget {
		return nil, writ.Errorf(writ.CodeTooLarge, "feed: "+Target, "it has %d bytes, at most %d are read", target.Length, maxTarget).WithFix("%s", askPublisher)
	}
	_, raw, err := client.DownloadTarget(target, filepath.Join(u.dir, "target"), "")
	if err != nil {
		return nil, err
	}
	list, err := Parse(raw)
	if err != nil {
		return nil, err
	}
	out := &Update{List: list, Raw: raw, Digest: canon.SHA256(raw)}
	trusted := client.GetTrustedMetadataSet()
	out.Version, out.ExpiresAt = trusted.Targets[metadata.TARGETS].Signed.Version, earliest(&trusted)
	return out, u.readBack(&out.State)
}

func (u *update) client(base string, root []byte) (*updater.Updater, error) {
	cfg, err := config.New(base, root)
	if err != nil {
		return nil, err
	}
	cfg.RootMaxLength, cfg.TimestampMaxLength = maxRoot, maxTimestamp
	cfg.SnapshotMaxLength, cfg.TargetsMaxLength = maxSnapshot, maxTargets
	cfg.MaxRootRotations, cfg.MaxDelegations = maxRotations, 0
	cfg.Fetcher, cfg.LocalMetadataDir, cfg.LocalTargetsDir = u.fetcher, u.dir, u.dir
	client, err := updater.New(cfg)
	if err != nil {
		return nil, err
	}
	// Not only for tests here: the clock of the whole host is injected.
	client.UnsafeSetRefTime(u.clock().UTC())
	return client, nil
}

func (u *update) path(role string) string { return filepath.Join(u.dir, role+".json") }

func (u *update) readBack(state *State) (err error) {
	for role, into := range map[string]*[]byte{
		metadata.ROOT: &state.Root, metadata.TIMESTAMP: &state.Timestamp, metadata.SNAPSHOT: &state.Snapshot, metadata.TARGETS: &state.Targets,
	} {
		if *into, err = os.ReadFile(u.path(role)); err != nil {
			return err
		}
	}
	return nil
}

// earliest is the first end among the four documents.
func earliest(t *trustedmetadata.TrustedMetadata) writ.Time {
	return min(
		canon.TimeOf(t.Root.Signed.Expires), canon.TimeOf(t.Timestamp.Signed.Expires),
		canon.TimeOf(t.Snapshot.Signed.Expires), canon.TimeOf(t.Targets[metadata.TARGETS].Signed.Expires),
	)
}

// failure gives what the client says a code. Of what the server sent and this
// machine could read, all that is wrong is the repository's.
func failure(err error) error {
	var known *writ.Error
	if errors.As(err, &known) {
		return known
	}
	const still = "; what was known of the feed stays in force"
	e := &writ.Error{Code: writ.CodeTampered, Op: "feed: update", Message: clip(err.Error()), Err: err}
	e.Fix = "find out who changed the repository or the way to it" + still
	var status *metadata.ErrDownloadHTTP
	var network *unreachable
	var file *os.PathError
	var text *json.SyntaxError
	var value *json.UnmarshalTypeError
	switch {
	case errors.Is(err, errTooLarge):
		e.Code, e.Fix = writ.CodeTooLarge, askPublisher
	case errors.As(err, &status):
		e.Code, e.Message = writ.CodeUnavailable, "the server answers with status "+strconv.Itoa(status.StatusCode)+" for "+lastPart(status.URL)
		e.Fix = "check the URL and the server" + still
	case errors.As(err, &network), errors.As(err, &file):
		e.Code, e.Fix = writ.CodeUnavailable, "look at the server and the network"+still
	case errors.Is(err, &metadata.ErrExpiredMetadata{}):
		e.Code, e.Fix = writ.CodeExpired, "the server keeps data back, or its publisher has stopped: ask"+still
	case errors.As(err, &text), errors.As(err, &value):
		e.Message, e.Fix = "what the server sends is no TUF metadata", "check the URL"+still
	}
	return e
}
