package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/registry"
	"github.com/writ-run/writ/registry/remote"
)

// registries makes the client of this command's user, who may reach what they like.
func (a *app) registries(plainHTTP bool, progress func(remote.Progress)) (*remote.Client, error) {
	return a.config.remote(func(o *remote.Options) {
		o.Private, o.PlainLoopback, o.Progress, o.Clock = true, plainHTTP, progress, a.clock
	})
}

func plainHTTPFlag(c *cobra.Command) *bool {
	return c.Flags().Bool("plain-http", false, "speak plain HTTP to a registry on loopback; for others say so in the setting registries")
}

func (a *app) skillPush() *cobra.Command {
	c := &cobra.Command{
		Use: "push FILE REFERENCE", Short: "Bring a signed bundle to a registry", Args: exactly("FILE", "REFERENCE"),
		Long: `Pushes the bundle with its signatures and provenance, and tags it: with its version
where the reference has no tag. Credentials are those of Docker (docker login HOST).
A tag that is the bundle's version is never moved to another bundle.`,
		Example: "  writ skill push greeter-0.1.0.skill oci://registry.example/acme/greeter\n  writ skill push greeter-0.1.0.skill oci://localhost:5000/acme/greeter --plain-http",
	}
	plainHTTP := plainHTTPFlag(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		ref, err := remote.ParseReference(args[1])
		if err != nil {
			return err
		}
		file, err := a.readInput(args[0], maxBundle)
		if err != nil {
			return err
		}
		bar := a.progressBar("pushing")
		client, err := a.registries(*plainHTTP, bar.show)
		if err != nil {
			return err
		}
		out, err := client.Push(cmd.Context(), file, ref)
		bar.end()
		if err != nil {
			return err
		}
		document := map[string]any{
			"reference": out.Reference.String(), "digest": out.Reference.Digest, "signatures": out.Signatures, "bytesSent": out.Sent,
		}
		return a.print(document, func(t *table) {
			t.pair("pushed", out.Reference.String())
			t.pair("digest", string(out.Reference.Digest))
			t.pair("signatures", fmt.Sprint(out.Signatures))
			t.pair("sent", byteCount(out.Sent))
			t.line("next: writ skill install %s", out.Reference)
		})
	}
	return c
}

func (a *app) skillPull() *cobra.Command {
	var to string
	c := &cobra.Command{
		Use: "pull REFERENCE", Short: "Fetch a bundle with its signatures; nobody has verified it yet", Args: exactly("REFERENCE"),
		Long: `Writes a .skill file. A tag is resolved once and its digest reported; a reference with
@sha256:... must match. What a broken transfer fetched is kept and not fetched again.`,
		Example: "  writ skill pull oci://registry.example/acme/greeter:0.1.0\n  writ skill pull oci://registry.example/acme/greeter@sha256:... --to greeter.skill",
	}
	c.Flags().StringVar(&to, "to", "", "file to write (default NAME-VERSION.skill)")
	plainHTTP := plainHTTPFlag(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		ref, err := remote.ParseReference(args[0])
		if err != nil {
			return err
		}
		bar := a.progressBar("pulling")
		client, err := a.registries(*plainHTTP, bar.show)
		if err != nil {
			return err
		}
		out, err := client.Pull(cmd.Context(), ref)
		bar.end()
		if err != nil {
			return err
		}
		file := cmp.Or(to, pulledName(out))
		if have, err := os.ReadFile(file); to == "" && err == nil && !bytes.Equal(have, out.File) {
			return usage("%s is there already, with other bytes", file).WithFix("give --to FILE: the name is what the bundle calls itself")
		}
		if err := replaceFile(file, out.File); err != nil {
			return err
		}
		document := map[string]any{
			"file": file, "reference": out.Reference.String(), "digest": out.Reference.Digest, "from": out.From,
			"signatures": out.Signatures, "bytes": len(out.File), "bytesFetched": out.Fetched,
		}
		return a.print(document, func(t *table) {
			t.pair("bundle", fmt.Sprintf("%s  (%d bytes)", file, len(out.File)))
			t.pair("reference", out.Reference.String())
			t.pair("digest", string(out.Reference.Digest))
			t.pair("from", out.From)
			t.pair("signatures", fmt.Sprint(out.Signatures))
			t.pair("fetched", byteCount(out.Fetched))
			t.line("next: writ skill verify %s", file)
		})
	}
	return c
}

// pulledName is NAME-VERSION.skill, of the name that the bundle gives itself, which
// has no separators.
func pulledName(p *remote.Pulled) string {
	if p.Key == "" {
		return p.Reference.Digest.Hex()[:16] + ".skill"
	}
	_, name, _ := strings.Cut(string(p.Key), "/")
	return name + "-" + p.Version + ".skill"
}

// installInput is one thing to install, with what to call it.
type installInput struct {
	name  string
	input *contract.SkillInstallInput
}

// installInputs are the sources, or what a lock file pins. Everything is checked
// before anything is installed.
func (a *app) installInputs(sources []string, lockFile string) ([]installInput, error) {
	var out []installInput
	if lockFile == "" {
		if len(sources) == 0 {
			return nil, usage("what is to be installed?").WithFix("name .skill files or oci:// references, or give --lock FILE")
		}
		for _, source := range sources {
			in, err := a.bundleInput(source)
			if err != nil {
				return nil, err
			}
			out = append(out, installInput{source, in})
		}
		return out, nil
	}
	lock, err := a.readLock(lockFile)
	if err != nil {
		return nil, err
	}
	if len(sources) == 0 {
		for i := range lock.Skills {
			e := &lock.Skills[i]
			if e.Source == "" {
				return nil, usage("%s: %s@%s has no source", lockFile, e.Key, e.Version).
					WithFix("give its file, or the name of a skill that comes with Writ: writ skill install --lock %s FILE; or push it and lock it again", lockFile)
			}
			in, err := pinnedInput(e, e.Source)
			if err != nil {
				return nil, err
			}
			out = append(out, in)
		}
		return out, nil
	}
	for _, source := range sources {
		in, err := a.lockedInput(lock, source)
		if err != nil {
			return nil, err
		}
		out = append(out, in)
	}
	return out, nil
}

// pinnedInput has the host refuse everything but the entry.
func pinnedInput(e *registry.LockedSkill, source string) (installInput, error) {
	ref, err := remote.ParseReference(source)
	if err != nil {
		return installInput{}, err
	}
	in := &contract.SkillInstallInput{Source: ref.Pinned(e.Digest).String()}
	expectLocked(e, in)
	return installInput{in.Source, in}, nil
}

func expectLocked(e *registry.LockedSkill, in *contract.SkillInstallInput) {
	in.SkillKey, in.Version, in.ArtifactDigest = e.Key, e.Version, e.Digest
}

// lockedInput finds the entry of a source: by the digest of a file or reference, or by
// a reference as the lock has it.
func (a *app) lockedInput(lock *registry.Lock, source string) (installInput, error) {
	notLocked := func(what any) error {
		return writ.Errorf(writ.CodeSkillRefused, source, "%v is not in the lock file", what).
			WithFix("install what is locked, or lock this one: writ skill lock REFERENCE...")
	}
	if strings.HasPrefix(source, registry.OCIScheme) {
		ref, err := remote.ParseReference(source)
		if err != nil {
			return installInput{}, err
		}
		for i := range lock.Skills {
			if e := &lock.Skills[i]; e.Digest == ref.Digest || (ref.Digest == "" && e.Source == source) {
				return pinnedInput(e, lockSource(source))
			}
		}
		return installInput{}, notLocked("it")
	}
	raw, err := a.bundleBytes(source)
	if err != nil {
		return installInput{}, err
	}
	about, err := registry.Inspect(raw)
	if err != nil {
		return installInput{}, err
	}
	e := lock.Find(about.Ref.Digest)
	if e == nil {
		return installInput{}, notLocked(about.Ref)
	}
	in := &contract.SkillInstallInput{Bundle: raw}
	if source != "-" {
		if in, err = a.bundleInput(source); err != nil {
			return installInput{}, err
		}
	}
	expectLocked(e, in)
	return installInput{source, in}, nil
}

func (a *app) readLock(file string) (*registry.Lock, error) {
	text, err := a.readInput(file, maxLock)
	if err != nil {
		return nil, err
	}
	return registry.ParseLock(file, text)
}

// maxLock has room for the largest lock file, so that its own limit says what is wrong.
const maxLock = 2 << 20

// fromInstalled is the word for what the host has.
const fromInstalled = "installed"

func (a *app) skillLock() *cobra.Command {
	var from, to string
	c := &cobra.Command{
		Use: "lock [REFERENCE...]", Short: "Pin bundles by their digests, for a fleet", Args: cobra.ArbitraryArgs,
		Long: `Resolves each reference once and writes name, version, digest and source to a lock
file. Names and versions are what the bundles say of themselves: the install, which
verifies them, refuses one that is signed as something else.`,
		Example: `  writ skill lock oci://registry.example/acme/greeter:0.1.0 oci://registry.example/acme/mail:2.0.1
  writ skill lock --from installed               what this host has enabled
  writ skill install --lock skills.lock`,
	}
	c.Flags().StringVar(&from, "from", "", "installed: what the host has enabled")
	c.Flags().StringVar(&to, "to", "skills.lock", "file to write")
	plainHTTP := plainHTTPFlag(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if from != "" && from != fromInstalled {
			return usage("--from %s: want installed", from)
		}
		if from == "" && len(args) == 0 {
			return usage("what is to be locked?").WithFix("name oci:// references, or give --from installed")
		}
		lock := &registry.Lock{}
		if from != "" {
			if err := a.lockInstalled(cmd.Context(), lock); err != nil {
				return err
			}
		}
		if err := a.lockReferences(cmd.Context(), lock, args, *plainHTTP); err != nil {
			return err
		}
		if err := a.writeLock(to, lock); err != nil {
			return err
		}
		return a.print(map[string]any{"file": to, "skills": lock.Skills}, func(t *table) {
			t.head("skill", "version", "digest", "source")
			for _, e := range lock.Skills {
				t.row(string(e.Key), e.Version, string(e.Digest), cmp.Or(e.Source, "(a file)"))
			}
			t.line("%d locked in %s", len(lock.Skills), to)
		})
	}
	return c
}

func (a *app) lockInstalled(ctx context.Context, lock *registry.Lock) error {
	in := &contract.SkillListInput{}
	for {
		out, err := call(ctx, a, contract.SkillList, in)
		if err != nil {
			return err
		}
		for i := range out.Items {
			s := &out.Items[i]
			if err := lock.Add(registry.LockedSkill{Key: s.SkillKey, Version: s.Version, Digest: s.Digest, Source: lockSource(s.Origin)}); err != nil {
				return err
			}
		}
		if in.Cursor = out.NextCursor; in.Cursor == "" {
			return nil
		}
	}
}

func (a *app) lockReferences(ctx context.Context, lock *registry.Lock, references []string, plainHTTP bool) error {
	client, err := a.registries(plainHTTP, nil)
	if err != nil {
		return err
	}
	for _, text := range references {
		ref, err := remote.ParseReference(text)
		if err != nil {
			return err
		}
		found, err := client.Resolve(ctx, ref)
		if err != nil {
			return err
		}
		if found.Key == "" {
			return writ.Errorf(writ.CodeSkillRefused, text, "the bundle does not say its name").WithFix("check the reference: it is of something else")
		}
		err = lock.Add(registry.LockedSkill{Key: found.Key, Version: found.Version, Digest: found.Reference.Digest, Source: lockSource(found.Reference.String())})
		if err != nil {
			return err
		}
	}
	return nil
}

// writeLock replaces a lock file. A version that it had with another digest is not
// replaced silently.
func (a *app) writeLock(file string, lock *registry.Lock) error {
	before, err := os.ReadFile(file)
	if err == nil {
		old, err := registry.ParseLock(file, before)
		if err != nil {
			return err
		}
		both := registry.Lock{}
		for _, e := range append(old.Skills, lock.Skills...) {
			if err := both.Add(e); err != nil {
				return err
			}
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return usage("%s: %s", file, plainCause(err))
	}
	text, err := lock.YAML()
	if err != nil {
		return err
	}
	return replaceFile(file, text)
}
