package main

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/policy"
	"github.com/writ-run/writ/registry"
)

func (a *app) policyBuild() *cobra.Command {
	var key, passphrase, to, name string
	c := &cobra.Command{
		Use: "build DIR", Short: "Make a signed bundle of a directory of rules", Args: exactly("DIR"),
		Long: `Compiles the rules, signs their files as OPA does (.signatures.json) and writes them as
one archive. The key is one that ` + "`writ skill key`" + ` or openssl made: ECDSA P-256 (ES256)
or Ed25519 (EdDSA). Whoever activates the bundle needs the public key in policy.keys.`,
		Example: "  writ skill key --out ops\n  writ policy build ./my-policy --key ops.key --to my-policy.tar.gz",
		RunE: func(cmd *cobra.Command, args []string) error {
			if key == "" {
				return usage("with which key?").WithFix("give --key; `writ skill key` makes one")
			}
			signer, err := a.signingKey(key, passphrase)
			if err != nil {
				return err
			}
			if name == "" {
				name = strings.TrimSuffix(filepath.Base(key), filepath.Ext(key))
			}
			b, archive, err := buildPolicy(cmd.Context(), args[0], signer, name)
			if err != nil {
				return err
			}
			if err := replaceFile(to, archive); err != nil {
				return err
			}
			ref := b.Ref()
			document := map[string]string{
				"file": to, "digest": string(ref.Digest), "version": ref.Version, "fingerprint": signer.Public().ID.Fingerprint(),
			}
			return a.print(document, func(t *table) {
				t.pair("bundle", to)
				t.pair("digest", string(ref.Digest))
				t.pair("version", ref.Version)
				t.pair("signed by", document["fingerprint"])
			})
		},
	}
	c.Flags().StringVar(&key, "key", "", "private key (required)")
	c.Flags().StringVar(&passphrase, "passphrase-file", "", "file with the key's passphrase; - for standard input")
	c.Flags().StringVar(&to, "to", "bundle.tar.gz", "file to write")
	c.Flags().StringVar(&name, "key-id", "", "name of the key in the signature (default: the file's name)")
	return c
}

// buildPolicy compiles, signs and packs, and reads the result as an activation will.
func buildPolicy(ctx context.Context, dir string, signer *registry.Key, name string) (*policy.Bundle, []byte, error) {
	b, err := policy.LoadBundle(dir)
	if err != nil {
		return nil, nil, err
	}
	if _, err := policy.Compile(ctx, b, 0); err != nil {
		return nil, nil, err
	}
	secret, err := signer.PEM(nil)
	if err != nil {
		return nil, nil, err
	}
	archive, err := b.Pack(name, secret)
	if err != nil {
		return nil, nil, err
	}
	return b, archive, provePacked(archive, b, string(signer.Public().PEM))
}

// provePacked reads what is about to be written as an activation will.
func provePacked(archive []byte, b *policy.Bundle, public string) error {
	again, err := policy.ReadBundle(archive)
	if err != nil {
		return err
	}
	if _, err := again.Verify(map[string]string{"key": public}); err != nil {
		return err
	}
	if again.Ref() != b.Ref() {
		return writ.Errorf(writ.CodeInternal, "policy build", "the archive is another bundle than the directory")
	}
	return nil
}
