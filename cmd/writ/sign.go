package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/writ-run/writ/registry"
	"github.com/writ-run/writ/registry/keyless"
)

// maxSigstoreBundle is the registry's own limit with room to let it say so.
const maxSigstoreBundle = 2 << 20

// signing is what `writ skill sign` was told.
type signing struct {
	key, passphrase, provenanceKey, attach, token string
	keyless                                       bool
	services                                      keyless.Services
	in                                            registry.ProvenanceInput
}

func (a *app) skillSign() *cobra.Command {
	s := &signing{}
	c := &cobra.Command{
		Use: "sign FILE", Short: "Sign a bundle and say how it was built", Args: exactly("FILE"),
		Long: `Adds a signature and signed SLSA v1 provenance to the bundle, as Sigstore bundles
over its OCI manifest digest. Signing again with another key adds to them.

With --keyless a key is made for this one signature, and a Fulcio certifies that it
belongs to whom an OIDC token names. What of the provenance is not given is what
the certificate says. The token goes to Fulcio and nowhere else.

With --attach a Sigstore bundle that another tool made is added as it is: what
it signs are the statements that ` + "`writ skill inspect FILE --export DIR`" + ` writes.`,
		Example: `  writ skill sign greeter-0.1.0.skill --key acme.key --repository https://github.com/acme/greeter --revision $(git rev-parse HEAD)
  writ skill sign greeter-0.1.0.skill --keyless --identity-token env:ID_TOKEN \
    --fulcio-url https://fulcio.example.com --tsa-url https://tsa.example.com/api/v1/timestamp --rekor-url https://rekor.example.com
  writ skill sign greeter-0.1.0.skill --attach signature.sigstore.json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.check(); err != nil {
				return err
			}
			raw, err := a.readInput(args[0], maxBundle)
			if err != nil {
				return err
			}
			signed, who, err := a.sign(cmd.Context(), raw, s)
			if err != nil {
				return err
			}
			if err := replaceFile(args[0], signed); err != nil {
				return err
			}
			document := map[string]string{"file": args[0], who.kind: who.name}
			return a.print(document, func(t *table) {
				t.pair("signed", args[0])
				t.pair(who.kind, who.name)
			})
		},
	}
	s.flags(c.Flags())
	return c
}

func (s *signing) flags(f *pflag.FlagSet) {
	f.StringVar(&s.key, "key", "", "the publisher's private key")
	f.StringVar(&s.provenanceKey, "provenance-key", "", "the builder's key (default: who signs)")
	f.StringVar(&s.passphrase, "passphrase-file", "", "file with the key's passphrase; - for standard input")
	f.BoolVar(&s.keyless, "keyless", false, "sign with a certificate for whom --identity-token names")
	f.StringVar(&s.services.Fulcio, "fulcio-url", "", "certificate authority (with --keyless)")
	f.StringVar(&s.services.Timestamp, "tsa-url", "", "timestamp authority, with its path (with --keyless)")
	f.StringVar(&s.services.Log, "rekor-url", "", "transparency log (with --keyless; default: none)")
	f.Uint32Var(&s.services.LogVersion, "rekor-version", 2, "1 or 2")
	f.StringVar(&s.token, "identity-token", "", "file with the OIDC token, - for standard input, or env:NAME")
	f.StringVar(&s.attach, "attach", "", "a Sigstore bundle that another tool made")
	provenanceFlags(f, &s.in)
}

func provenanceFlags(f *pflag.FlagSet, in *registry.ProvenanceInput) {
	f.StringVar(&in.Builder, "builder", "", "URI of what built it (default: a local build, or what the certificate says)")
	f.StringVar(&in.Repository, "repository", "", "source repository")
	f.StringVar(&in.Ref, "ref", "", "full ref of the source, such as refs/tags/v1.2.0")
	f.StringVar(&in.Revision, "revision", "", "git commit")
}

// signer is who signed, for people: a fingerprint or an identity.
type signer struct{ kind, name string }

func (s *signing) check() error {
	ways := 0
	for _, given := range []bool{s.key != "", s.keyless, s.attach != ""} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		return usage("with which key?").WithFix("give one of --key (`writ skill key` makes one), --keyless and --attach")
	}
	if s.keyless && s.token == "" {
		return usage("as whom?").WithFix("give --identity-token: a file with the OIDC token, or env:NAME")
	}
	return nil
}

func (a *app) sign(ctx context.Context, file []byte, s *signing) ([]byte, signer, error) {
	if s.attach != "" {
		raw, err := a.readInput(s.attach, maxSigstoreBundle)
		if err != nil {
			return nil, signer{}, err
		}
		signed, err := registry.Attach(file, raw, a.clock)
		return signed, signer{"attached", s.attach}, err
	}
	request := registry.SignRequest{Provenance: s.in, Clock: a.clock}
	var err error
	if s.provenanceKey != "" {
		if request.ProvenanceKey, err = a.signingKey(s.provenanceKey, s.passphrase); err != nil {
			return nil, signer{}, err
		}
	}
	if s.keyless {
		return a.signKeyless(ctx, file, s, request)
	}
	if request.Key, err = a.signingKey(s.key, s.passphrase); err != nil {
		return nil, signer{}, err
	}
	signed, err := registry.Sign(file, request)
	return signed, signer{"fingerprint", request.Key.Public().ID.Fingerprint()}, err
}

func (a *app) signKeyless(ctx context.Context, file []byte, s *signing, request registry.SignRequest) ([]byte, signer, error) {
	if _, err := registry.Inspect(file); err != nil { // before anybody is asked for a certificate
		return nil, signer{}, err
	}
	token, err := a.identityToken(s.token)
	if err != nil {
		return nil, signer{}, err
	}
	s.services.Token = keyless.Token(token)
	certified, err := keyless.NewSigner(ctx, s.services)
	if err != nil {
		return nil, signer{}, err
	}
	signed, err := registry.SignKeyless(ctx, file, certified, request)
	return signed, signer{"identity", certified.Claims().Signer()}, err
}

// export is where a bundle's parts are written to, and what its provenance is to say.
type export struct {
	dir string
	in  registry.ProvenanceInput
}

// exportBundle writes what other tools need to verify a bundle or to sign it.
func (a *app) exportBundle(to export, raw []byte, about *registry.Inspection) ([]string, error) {
	files := map[string][]byte{"manifest.json": about.ImageManifest}
	names := []string{"manifest.json"}
	add := func(name string, data []byte) {
		files[name] = data
		names = append(names, name)
	}
	kinds := map[string]string{registry.PredicateSkill: "signature", registry.PredicateProvenance: "provenance"}
	count := map[string]int{}
	for _, one := range about.Attached {
		kind := kinds[one.PredicateType]
		if kind == "" {
			kind = "other"
		}
		count[kind]++
		add(fmt.Sprintf("%s-%d.sigstore.json", kind, count[kind]), one.Bundle)
	}
	statements, err := registry.Statements(raw, registry.SignRequest{Clock: a.clock, Provenance: to.in})
	if err != nil {
		return nil, err
	}
	for _, predicateType := range []string{registry.PredicateSkill, registry.PredicateProvenance} {
		add(kinds[predicateType]+".statement.json", statements[predicateType])
	}
	if err := os.MkdirAll(to.dir, 0o755); err != nil {
		return nil, usage("%s: %s", to.dir, plainCause(err))
	}
	for i, name := range names {
		path := filepath.Join(to.dir, name)
		if err := os.WriteFile(path, files[name], 0o644); err != nil {
			return nil, usage("%s: %s", path, plainCause(err))
		}
		names[i] = path
	}
	return names, nil
}
