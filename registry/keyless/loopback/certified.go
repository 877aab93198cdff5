//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// certified is cosign and Writ with certificates of the same Sigstore, each way.
func (s *session) certified(ctx context.Context) (err error) {
	sigstore, err := start(ctx, s.dir, s.bin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sigstore.stop()) }()
	if err := s.prepareTrust(ctx, sigstore); err != nil {
		return err
	}
	config, err := sigstore.signingConfig()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(s.dir, "signing_config.json"), config, 0o600); err != nil {
		return err
	}
	for _, name := range []string{"certified.skill", "certified-theirs.skill"} {
		if err := s.copied("unsigned.skill", name); err != nil {
			return err
		}
	}
	issuer := sigstore.issuer.url + "/ci"
	return s.steps(ctx,
		writ("skill", "sign", "certified.skill", "--keyless", "--identity-token", "release.token", "--fulcio-url", sigstore.fulcio,
			"--tsa-url", sigstore.stamps+"/api/v1/timestamp", "--rekor-url", sigstore.log),
		writ("skill", "inspect", "certified.skill", "--export", "certified"),
		certifiedAs(release, issuer).ends(0, "Verified OK"),
		certifiedAs(release+".evil", issuer).ends(1, ""),

		writ("trust", "root", "import", "trusted_root.json"),
		writ("trust", "add", publisher, "--identity", release, "--issuer", issuer, "--source-repository", source),
		writ("skill", "inspect", "certified-theirs.skill", "--export", "certified-theirs"),
		certify("certified-theirs/signature.statement.json", "cs.json"),
		writ("skill", "sign", "certified-theirs.skill", "--attach", "cs.json"),
		writ("skill", "verify", "certified-theirs.skill").ends(3, "PROVENANCE_MISSING"),
		// What Writ would say of a local build is a lie in a workflow's mouth.
		certify("certified-theirs/provenance.statement.json", "cp.json"),
		writ("skill", "sign", "certified-theirs.skill", "--attach", "cp.json"),
		writ("skill", "verify", "certified-theirs.skill").ends(3, "PROVENANCE_UNTRUSTED"),
		writ("skill", "inspect", "certified-theirs.skill", "--export", "certified-theirs", "--builder", release,
			"--repository", source, "--ref", ref, "--revision", strings.Repeat("a", 40)),
		certify("certified-theirs/provenance.statement.json", "cp.json"),
		writ("skill", "sign", "certified-theirs.skill", "--attach", "cp.json"),
		writ("skill", "verify", "certified-theirs.skill").ends(0, "compatible:"),
		writ("skill", "install", "certified-theirs.skill").ends(0, "enabled"),
	)
}

func certifiedAs(identity, issuer string) step {
	return step{args: []string{
		"cosign", "verify-blob-attestation", "--certificate-identity", identity, "--certificate-oidc-issuer", issuer,
		"--trusted-root", "trusted_root.json", "--bundle", "certified/signature-1.sigstore.json", "--type", skillType,
		"--use-signed-timestamps", "--insecure-ignore-sct", "certified/manifest.json", // this Fulcio has no certificate log
	}}
}

func certify(statement, bundle string) step {
	return step{args: []string{
		"cosign", "attest-blob", "--identity-token", "release.token", "--statement", statement, "--bundle", bundle,
		"--signing-config", "signing_config.json", "--trusted-root", "trusted_root.json", "-y",
	}}
}

// signingConfig is what cosign is told of the services.
func (s *stack) signingConfig() ([]byte, error) {
	service := func(url string, version int) []map[string]any {
		return []map[string]any{{
			"url": url, "majorApiVersion": version, "operator": "loopback",
			"validFor": map[string]any{"start": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)},
		}}
	}
	one := map[string]any{"selector": "ANY"}
	return json.Marshal(map[string]any{
		"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
		"caUrls":    service(s.fulcio, 1), "oidcUrls": service(s.issuer.url, 1), "rekorTlogUrls": service(s.log, 2),
		"tsaUrls": service(s.stamps+"/api/v1/timestamp", 1), "rekorTlogConfig": one, "tsaConfig": one,
	})
}
