//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	publisher  = "conformance"
	repository = "acme/skills"
	source     = "https://github.com/" + repository
	ref        = "refs/tags/v1.0.0"
	release    = source + "/.github/workflows/release.yml@" + ref
)

// keyless signs as a workflow and as a person, and shows who is let in.
func (s *session) keyless(ctx context.Context) (err error) {
	sigstore, err := start(ctx, s.dir, s.bin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sigstore.stop()) }()
	if err := s.prepare(ctx, sigstore); err != nil {
		return err
	}
	signAs := func(file, token string, more ...string) step {
		return writ(append([]string{
			"skill", "sign", file, "--keyless", "--identity-token", token, "--fulcio-url", sigstore.fulcio,
			"--tsa-url", sigstore.stamps + "/api/v1/timestamp", "--rekor-url", sigstore.log,
		}, more...)...)
	}
	return s.steps(ctx,
		signAs("release.skill", "release.token").ends(0, release),
		writ("skill", "verify", "release.skill").ends(3, "no Sigstore root is trusted"),
		writ("trust", "root", "import", "trusted_root.json").ends(0, "a signed time, a log entry"),
		writ("skill", "verify", "release.skill").ends(3, "KEY_UNTRUSTED"),
		writ("trust", "add", publisher, "--identity", release, "--issuer", sigstore.issuer.url+"/ci", "--source-repository", source),
		writ("skill", "verify", "release.skill").ends(0, "provenance:"),
		writ("skill", "install", "release.skill").ends(0, "enabled"),
		writ("skill", "list", "-o", "json").ends(0, strings.Repeat("a", 40)),

		// Another workflow of the same repository, and a fork that runs the same one.
		signAs("other.skill", "other.token"),
		writ("skill", "verify", "other.skill").ends(3, "KEY_UNTRUSTED"),
		signAs("other.skill", "fork.token"),
		writ("skill", "verify", "other.skill").ends(3, "KEY_UNTRUSTED"),

		// A root that has a log demands an entry in it.
		writ("skill", "sign", "unlogged.skill", "--keyless", "--identity-token", "release.token",
			"--fulcio-url", sigstore.fulcio, "--tsa-url", sigstore.stamps+"/api/v1/timestamp"),
		writ("skill", "verify", "unlogged.skill").ends(3, "SIGNATURE_INVALID"),

		// The policy wants a person too: the second signature stands beside the first.
		writ("trust", "add", publisher, "--identity", "ada@example.com", "--issuer", sigstore.issuer.url+"/people"),
		step{args: []string{"sh", "-c", `"$0" --home home trust list -o json | grep -o '"identityId": *"[^"]*"' | cut -d'"' -f4 | sed 's/^/- /; 1i allOf:' > policy.yaml; cat policy.yaml`, s.writ}},
		writ("trust", "policy", publisher, "--file", "policy.yaml").ends(0, "all of idn_"),
		writ("skill", "verify", "release.skill").ends(3, "SIGNATURE_MISSING"),
		signAs("release.skill", "ada.token").ends(0, "ada@example.com"),
		writ("skill", "verify", "release.skill").ends(0, "ada@example.com"),

		// What is no token is not sent, and no token stands in an error.
		signAs("other.skill", "policy.yaml").ends(2, "not a JSON web token"),
		signAs("other.skill", "stale.token").ends(3, "the certificate was not issued"),
		writ("trust", "list").ends(0, "needs all of"),
	)
}

// prepareTrust writes down the trusted root, and tokens to sign as.
func (s *session) prepareTrust(ctx context.Context, sigstore *stack) error {
	fmt.Printf("fulcio %s, timestamps %s, log %s, issuer %s\n", sigstore.fulcio, sigstore.stamps, sigstore.log, sigstore.issuer.url)
	trusted, err := sigstore.trustedRoot(ctx)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(s.dir, "trusted_root.json"), trusted, 0o600); err != nil {
		return err
	}
	return s.tokens(sigstore.issuer)
}

// prepare makes a home, and bundles to sign.
func (s *session) prepare(ctx context.Context, sigstore *stack) error {
	if err := errors.Join(s.begin(ctx), s.prepareTrust(ctx, sigstore)); err != nil {
		return err
	}
	for _, name := range []string{"release.skill", "other.skill", "unlogged.skill"} {
		if err := s.copied("unsigned.skill", name); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) tokens(i *issuer) error {
	commit := strings.Repeat("a", 40)
	made := map[string]func() (string, error){
		"release.token": func() (string, error) { return i.workflow(repository, "release.yml", ref, commit) },
		"other.token":   func() (string, error) { return i.workflow(repository, "test.yml", ref, commit) },
		"fork.token": func() (string, error) {
			return i.token("/ci", map[string]any{
				"sub": "repo:evil/skills", "repository": "evil/skills", "ref": ref, "sha": commit,
				"job_workflow_ref": repository + "/.github/workflows/release.yml@" + ref, "runner_environment": "github-hosted",
			})
		},
		"ada.token": func() (string, error) { return i.person("ada@example.com") },
		"stale.token": func() (string, error) { // of an issuer that Fulcio does not know
			return i.token("/nobody", map[string]any{"sub": "ada@example.com"})
		},
	}
	for name, make := range made {
		token, err := make()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(token), 0o600); err != nil {
			return err
		}
	}
	return nil
}
