package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/writ-run/writ"
)

// Files of a home. keys/ is readable by its owner alone.
const (
	hostKeyFile     = "keys/host.key"     // Ed25519: signs anchors and evidence
	hostPublicFile  = "keys/host.pub"     // for those who verify elsewhere
	cacheKeyFile    = "keys/cache.key"    // MACs of compiled modules
	approverKeyFile = "keys/approver.key" // encrypted with a passphrase
	credentialsFile = "credentials"       // the operator's token
	socketFile      = "writ.sock"
	configFile      = "config.yaml"
)

// cacheKeyBytes is the output size of SHA-256, which the MACs are made with.
const cacheKeyBytes = 32

// homeKeys are the host's own secrets.
type homeKeys struct {
	host  ed25519.PrivateKey
	cache []byte
}

// makeKeys writes the host's keys, once.
func makeKeys(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "keys"), 0o700); err != nil {
		return usage("%s: %s", dir, plainCause(err)).WithFix("choose another directory with --home")
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	open, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return err
	}
	cache := make([]byte, cacheKeyBytes)
	if _, err := rand.Read(cache); err != nil {
		return err
	}
	return errors.Join(
		writeNew(filepath.Join(dir, hostKeyFile), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600),
		writeNew(filepath.Join(dir, hostPublicFile), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: open}), 0o644),
		writeNew(filepath.Join(dir, cacheKeyFile), cache, 0o600),
	)
}

// writeNew never replaces a file: a key that is lost cannot be made again.
func writeNew(path string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return usage("%s: %s", path, plainCause(err))
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

func readKeys(dir string) (*homeKeys, error) {
	raw, err := os.ReadFile(filepath.Join(dir, hostKeyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &writ.Error{
			Code: writ.CodeNotFound, Op: "home " + dir, Message: "it is not set up yet",
			Fix: "run `writ init`, or name another home with --home",
		}
	}
	if err != nil {
		return nil, usage("%s: %s", filepath.Join(dir, hostKeyFile), plainCause(err)).WithFix("run as the user that owns the home")
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, writ.Errorf(writ.CodeTampered, filepath.Join(dir, hostKeyFile), "is not a PEM key")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, writ.Errorf(writ.CodeTampered, filepath.Join(dir, hostKeyFile), "is not an Ed25519 key")
	}
	cache, err := os.ReadFile(filepath.Join(dir, cacheKeyFile))
	if err != nil {
		return nil, usage("%s: %s", filepath.Join(dir, cacheKeyFile), plainCause(err))
	}
	return &homeKeys{host: key, cache: cache}, nil
}
