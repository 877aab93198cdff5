package registry

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/registry"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

func TestPackIsDeterministic(t *testing.T) {
	h := newHome(t)
	one, two := h.pack(mailer(), guest()), h.pack(mailer(), guest())
	if !bytes.Equal(one, two) {
		t.Error("the same sources give other bytes")
	}
	if bytes.Equal(one, h.pack(mailer(version("1.0.1")), guest())) {
		t.Error("another version gives the same bytes")
	}
	about, err := Inspect(one)
	if err != nil || about.Ref.String() != "acme/mailer@1.0.0" || len(about.KeyIDs) != 0 || about.Ref.Module != canon.SHA256(guest()) {
		t.Errorf("%v %+v", err, about)
	}
	if FileName(about.Manifest) != "mailer-1.0.0.skill" {
		t.Error(FileName(about.Manifest))
	}
	if _, err := Pack(mailer(func(m *abi.Manifest) { m.Actions = nil }), guest()); !writ.IsCode(err, writ.CodeInvalid) {
		t.Error(err)
	}
	if _, err := Pack(mailer(), make([]byte, 64<<20+1)); !writ.IsCode(err, writ.CodeTooLarge) {
		t.Error(err)
	}
}

// What oras-go reads from the file is what was signed, with its referrers, and a
// copy of it by oras-go still installs.
func TestOCIToolsReadTheBundle(t *testing.T) {
	h := newHome(t)
	ctx := context.Background()
	file := h.bundle()
	path := filepath.Join(t.TempDir(), "mailer-1.0.0.skill")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	store, err := oci.NewFromTar(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	image, err := store.Resolve(ctx, "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	about, err := Inspect(file)
	if err != nil || string(image.Digest) != string(about.Ref.Digest) {
		t.Errorf("%v: %s is not %s", err, image.Digest, about.Ref.Digest)
	}
	referrers, err := registry.Referrers(ctx, store, image, mediaSigstore)
	if err != nil || len(referrers) != 2 {
		t.Fatalf("%v: %d referrers", err, len(referrers))
	}
	for _, r := range referrers {
		raw, err := content.FetchAll(ctx, store, r)
		if err != nil || !bytes.Contains(raw, []byte(`"artifactType":"`+mediaSigstore)) {
			t.Error(err, string(raw))
		}
	}
	dir := t.TempDir()
	target, err := oci.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := oras.ExtendedCopy(ctx, store, "1.0.0", target, "1.0.0", oras.DefaultExtendedCopyOptions); err != nil {
		t.Fatal(err)
	}
	h.install(h.tarOf(dir))
}

// tarOf packs a layout directory that another tool wrote.
func (h *home) tarOf(dir string) []byte {
	h.t.Helper()
	var entries []entry
	for _, pattern := range []string{layoutFile, indexFile, blobPrefix + "*"} {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			h.t.Fatal(err)
		}
		for _, p := range paths {
			data, err := os.ReadFile(p)
			if err != nil {
				h.t.Fatal(err)
			}
			name, err := filepath.Rel(dir, p)
			if err != nil {
				h.t.Fatal(err)
			}
			entries = append(entries, entry{filepath.ToSlash(name), data})
		}
	}
	file, err := writeTar(entries)
	if err != nil {
		h.t.Fatal(err)
	}
	return file
}

// The manifest is what oras-go packs of the same parts.
func TestManifestIsThatOfOras(t *testing.T) {
	h := newHome(t)
	l, issue := open(h.pack(mailer(), guest()), Limits{}.orDefaults())
	if issue != nil {
		t.Fatal(issue.Message)
	}
	var m ocispec.Manifest
	if issue := readJSON("manifest", l.blobs[l.digest()], &m); issue != nil {
		t.Fatal(issue.Message)
	}
	store, err := oci.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	d, err := oras.PackManifest(context.Background(), store, oras.PackManifestVersion1_1, "", oras.PackManifestOptions{
		ConfigDescriptor: &m.Config, Layers: m.Layers, ManifestAnnotations: m.Annotations,
	})
	if err != nil || string(d.Digest) != string(l.digest()) {
		t.Errorf("%v: %s is not %s", err, d.Digest, l.digest())
	}
}

func TestSignAddsAndReplaces(t *testing.T) {
	h := newHome(t)
	second, builder := mustKey(t, KeyEd25519), mustKey(t, KeyECDSA)
	file := h.bundle()
	file = h.sign(file) // the same key again replaces
	about, err := Inspect(file)
	if err != nil || len(about.KeyIDs) != 1 {
		t.Fatal(err, about.KeyIDs)
	}
	file = h.sign(file, func(r *SignRequest) { r.Key, r.ProvenanceKey = second, builder })
	again, err := Inspect(file)
	if err != nil || again.Ref != about.Ref || !slices.Equal(again.KeyIDs, []KeyID{h.key.Public().ID, second.Public().ID, builder.Public().ID}) {
		t.Errorf("%v %+v", err, again)
	}
	h.install(file)
	for i := 0; ; i++ {
		next, err := Sign(file, SignRequest{Key: mustKey(t, KeyEd25519), Clock: h.clock()})
		if err == nil {
			file = next
			continue
		}
		if !writ.IsCode(err, writ.CodeTooLarge) || i != 14 { // 2 and 2 are there, 28 of 32 are free
			t.Errorf("after %d: %v", i, err)
		}
		break
	}
	if _, err := Sign(file[:512], SignRequest{Key: second, Clock: h.clock()}); !writ.IsCode(err, writ.CodeSkillRefused) {
		t.Error(err)
	}
	if _, err := Sign(file, SignRequest{Clock: h.clock()}); !writ.IsCode(err, writ.CodeInvalid) {
		t.Error(err)
	}
}

func TestKeys(t *testing.T) {
	for _, kind := range []KeyKind{"", KeyEd25519} {
		key := mustKey(t, kind)
		plain, err := key.PEM(nil)
		if err != nil || !bytes.HasPrefix(plain, []byte("-----BEGIN PRIVATE KEY-----")) {
			t.Fatal(err, string(plain))
		}
		sealed, err := key.PEM([]byte("correct horse"))
		if err != nil || !bytes.HasPrefix(sealed, []byte("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----")) {
			t.Fatal(err, string(sealed))
		}
		say := func(word string) func() ([]byte, error) { return func() ([]byte, error) { return []byte(word), nil } }
		for _, c := range []struct {
			pem  []byte
			ask  func() ([]byte, error)
			code writ.Code
		}{
			{plain, nil, ""},
			{sealed, say("correct horse"), ""},
			{sealed, say("wrong"), writ.CodeUnauthenticated},
			{sealed, nil, writ.CodeUnauthenticated},
			{sealed, func() ([]byte, error) { return nil, errors.New("no terminal") }, writ.CodeUnauthenticated}, // asks before it derives
			{key.Public().PEM, nil, writ.CodeInvalid},
			{nil, nil, writ.CodeInvalid},
		} {
			again, err := ParseKey(c.pem, c.ask)
			if writ.CodeOf(err) != c.code {
				t.Errorf("%v, want %q", err, c.code)
			}
			if err == nil && again.Public().ID != key.Public().ID {
				t.Error("another key came back")
			}
		}
		block, _ := pem.Decode(plain)
		for _, shown := range []string{fmt.Sprint(key), fmt.Sprintf("%v %+v %#v %s", key, key, key, key)} {
			if !strings.Contains(shown, string(key.Public().ID)) || strings.Contains(shown, fmt.Sprint(block.Bytes[len(block.Bytes)-8:])) {
				t.Errorf("printed as %q", shown)
			}
		}
		shown := key.Public().ID.Fingerprint()
		if len(shown) != len("SHA256")+16*5 || strings.ReplaceAll(strings.TrimPrefix(shown, "SHA256"), " ", "") != key.Public().ID.hex() {
			t.Error(shown)
		}
	}
	if _, err := GenerateKey("rsa", rand.Reader); !writ.IsCode(err, writ.CodeInvalid) {
		t.Error(err)
	}
}

func TestPublicKeysOfOtherKindsAreRefused(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(p384.Public())
	if err != nil {
		t.Fatal(err)
	}
	private, err := mustKey(t, KeyECDSA).PEM(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"P-384":       pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		"private key": private,
		"nothing":     nil,
		"too long":    bytes.Repeat([]byte("x"), 9<<10),
	} {
		if _, err := ParsePublicKey(bad); !writ.IsCode(err, writ.CodeInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTrustStore(t *testing.T) {
	h := bareHome(t)
	text := string(h.key.Public().PEM)
	add := func(in contract.TrustAddInput) writ.Code { _, err := h.TrustAdd(h.ctx, &in); return writ.CodeOf(err) }
	now := h.clock().Now()
	for name, c := range map[string]struct {
		in   contract.TrustAddInput
		code writ.Code
	}{
		"no key":            {contract.TrustAddInput{Publisher: "acme"}, writ.CodeInvalid},
		"bad publisher":     {contract.TrustAddInput{Publisher: "Acme/x", PublicKeyPEM: text}, writ.CodeInvalid},
		"bad purpose":       {contract.TrustAddInput{Publisher: "acme", PublicKeyPEM: text, Purposes: []contract.TrustPurpose{"all"}}, writ.CodeInvalid},
		"window backwards":  {contract.TrustAddInput{Publisher: "acme", PublicKeyPEM: text, ValidFrom: now, ValidUntil: now - 1}, writ.CodeInvalid},
		"first party twice": {contract.TrustAddInput{Publisher: "writ", PublicKeyPEM: text, FirstParty: true}, writ.CodeInvalid},
		"another's key":     {contract.TrustAddInput{Publisher: "acme", FirstParty: true}, writ.CodeInvalid},
		"carries no key":    {contract.TrustAddInput{Publisher: "writ", FirstParty: true}, writ.CodeNotFound},
	} {
		if got := add(c.in); got != c.code {
			t.Errorf("%s: %q", name, got)
		}
	}
	if len(h.memory.records) != 0 {
		t.Error("a refused change is recorded")
	}
	if code := add(contract.TrustAddInput{Publisher: "acme", PublicKeyPEM: text, Reason: "met in person"}); code != "" {
		t.Fatal(code)
	}
	if r := h.memory.last(); r.Type != writ.RecTrustChanged || r.Body.System.Subject != trustKeys+h.key.Public().ID.hex() {
		t.Errorf("%+v", r.Body.System)
	}
	if code := add(contract.TrustAddInput{Publisher: "zed", PublicKeyPEM: text}); code != writ.CodeConflict {
		t.Errorf("one key for two publishers: %q", code)
	}
	h.now = h.now.Add(time.Hour)
	if code := add(contract.TrustAddInput{Publisher: "acme", PublicKeyPEM: text}); code != "" {
		t.Error(code)
	}
	list, err := h.TrustList(h.ctx, &contract.TrustListInput{Publisher: "acme"})
	if err != nil || len(list.Items) != 1 || list.Items[0].ValidFrom != now || len(list.Items[0].Purposes) != 2 {
		t.Errorf("%v %+v", err, list)
	}
	if _, err := h.TrustRevoke(h.ctx, &contract.TrustRevokeInput{Publisher: "acme", KeyID: "x"}); !writ.IsCode(err, writ.CodeNotFound) {
		t.Error(err)
	}
	if _, err := h.TrustRevoke(h.ctx, &contract.TrustRevokeInput{Publisher: "acme", Reason: "leaked"}); err != nil {
		t.Fatal(err)
	}
	if list, err = h.TrustList(h.ctx, &contract.TrustListInput{}); err != nil || list.Items[0].RevokedAt == 0 || list.Items[0].Reason != "leaked" {
		t.Errorf("%v %+v", err, list)
	}
	if code := add(contract.TrustAddInput{Publisher: "acme", PublicKeyPEM: text}); code != writ.CodeConflict {
		t.Errorf("a revoked key comes back: %q", code)
	}
	if err := h.RevokeKey(h.ctx, h.by, "../x", ""); !writ.IsCode(err, writ.CodeInvalid) {
		t.Error(err)
	}
	if err := h.DenyDigest(h.ctx, h.by, "sha256:x", ""); !writ.IsCode(err, writ.CodeInvalid) {
		t.Error(err)
	}
}

func TestFirstParty(t *testing.T) {
	key := mustKey(t, KeyECDSA)
	h := bareHome(t, func(o *Options) { o.FirstParty = key.Public().PEM })
	trusted, err := h.AddFirstParty(h.ctx, h.by)
	if err != nil || trusted.Publisher != FirstPartyPublisher || trusted.KeyID != key.Public().ID || !trusted.FirstParty {
		t.Fatal(err, trusted)
	}
	file := h.sign(h.pack(mailer(func(m *abi.Manifest) { m.Name = "writ/hello" }), guest()), func(r *SignRequest) { r.Key = key })
	h.install(file)
	h.refused(h.sign(h.pack(mailer(), guest()), func(r *SignRequest) { r.Key = key }), writ.IssuePublisherUntrusted, writ.IssueProvenanceUntrusted)
}
