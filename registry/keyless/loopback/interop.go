//go:build linux

package main

import (
	"context"
	"os"
	"path/filepath"
)

const (
	skillType      = "https://writ.dev/attestations/skill/v1"
	provenanceType = "https://slsa.dev/provenance/v1"
	// noLog is a signing configuration of cosign that asks nobody.
	noLog = `{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json","rekorTlogConfig":{"selector":"ANY"},"tsaConfig":{"selector":"ANY"}}`
	// noRoot keeps cosign from fetching one.
	noRoot = `{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`
)

func verify(key, bundle, predicateType, blob string) step {
	return step{args: []string{
		"cosign", "verify-blob-attestation", "--key", key, "--bundle", bundle, "--type", predicateType, "--insecure-ignore-tlog", blob,
	}}
}

func attest(key, statement, bundle string) step {
	return step{args: []string{
		"cosign", "attest-blob", "--key", key, "--statement", statement, "--bundle", bundle,
		"--signing-config", "no-log.json", "--trusted-root", "no-root.json", "-y",
	}}
}

// interop shows cosign what Writ signs, and Writ what cosign signs.
func (s *session) interop(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	for name, text := range map[string]string{"no-log.json": noLog, "no-root.json": noRoot, "another.json": `{"another":"manifest"}`} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	for _, name := range []string{"ours.skill", "ed.skill", "theirs.skill"} {
		if err := s.copied("unsigned.skill", name); err != nil {
			return err
		}
	}
	err := s.steps(ctx,
		// Writ signs, cosign verifies; also with Ed25519, and never something else.
		writ("skill", "key", "--out", "ours"),
		writ("skill", "sign", "ours.skill", "--key", "ours.key"),
		writ("skill", "inspect", "ours.skill", "--export", "ours"),
		verify("ours.pub", "ours/signature-1.sigstore.json", skillType, "ours/manifest.json").ends(0, "Verified OK"),
		verify("ours.pub", "ours/provenance-1.sigstore.json", provenanceType, "ours/manifest.json").ends(0, "Verified OK"),
		verify("ours.pub", "ours/signature-1.sigstore.json", provenanceType, "ours/manifest.json").ends(1, ""),
		verify("ours.pub", "ours/signature-1.sigstore.json", skillType, "another.json").ends(1, ""),
		writ("skill", "key", "--out", "ed", "--kind", "ed25519"),
		writ("skill", "sign", "ed.skill", "--key", "ed.key"),
		writ("skill", "inspect", "ed.skill", "--export", "ed"),
		verify("ed.pub", "ed/signature-1.sigstore.json", skillType, "ed/manifest.json").ends(0, "Verified OK"),
	)
	if err != nil {
		return err
	}
	if err := s.theirs(ctx); err != nil {
		return err
	}
	return s.certified(ctx)
}

// theirs is what cosign signs, installed where its key is trusted.
func (s *session) theirs(ctx context.Context) error {
	return s.steps(ctx,
		step{args: []string{"cosign", "generate-key-pair", "--output-key-prefix", "theirs"}},
		writ("skill", "inspect", "theirs.skill", "--export", "theirs"),
		attest("theirs.key", "theirs/signature.statement.json", "s.json"),
		attest("theirs.key", "theirs/provenance.statement.json", "p.json"),
		writ("skill", "sign", "theirs.skill", "--attach", "s.json"),
		writ("skill", "sign", "theirs.skill", "--attach", "p.json"),
		writ("skill", "verify", "theirs.skill").ends(3, "KEY_UNTRUSTED"),
		writ("trust", "add", publisher, "--key", "theirs.pub"),
		writ("skill", "verify", "theirs.skill").ends(0, "compatible:"),
		writ("skill", "install", "theirs.skill").ends(0, "enabled"),
		verify("theirs.pub", "s.json", skillType, "theirs/manifest.json").ends(0, "Verified OK"),

		// A key that cosign made signs with Writ as well, and what is about another
		// bundle is not attached.
		writ("skill", "sign", "ours.skill", "--key", "theirs.key", "--passphrase-file", "pass"),
		writ("skill", "verify", "ours.skill").ends(0, "compatible:"),
		writ("skill", "build", filepath.Join(s.source, "examples", "conformance", "rust"), "--module",
			filepath.Join(s.source, "examples", "conformance", "built", "rust.wasm"), "--to", "rust.skill"),
		writ("skill", "sign", "rust.skill", "--attach", "s.json").ends(2, "is not about"),
	)
}
