package registry

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// Taken apart and put together a bundle is the same bytes, in whatever order a
// registry lists its signatures; what else is attached is left out.
func TestUnpackAndFile(t *testing.T) {
	h := newHome(t)
	file := h.sign(h.bundle(), func(r *SignRequest) { r.Key = mustKey(t, KeyECDSA) })
	a, err := Unpack(file, Limits{})
	if err != nil || len(a.Image) != 3 || len(a.Signatures) != 4 || a.Name != "1.0.0" {
		t.Fatalf("%v: not what was packed", err)
	}
	for range len(a.Signatures) {
		a.Signatures = append(a.Signatures[1:], a.Signatures[0])
		back, err := a.File()
		if err != nil || len(back) != len(file) {
			t.Fatalf("%v", err)
		}
		h.refuseNothing(back)
	}
	signed := h.bundle()
	if a, err = Unpack(signed, Limits{}); err != nil {
		t.Fatal(err)
	}
	slices.Reverse(a.Signatures)
	if back, err := a.File(); err != nil || !bytes.Equal(back, signed) {
		t.Errorf("the bytes differ: %v", err)
	}
	unsigned := h.rebuild(signed, func(l *layout) { l.referrers[0].manifest.ArtifactType = "application/other" })
	if _, err := Unpack(unsigned, Limits{}); err != nil && !writ.IsCode(err, writ.CodeSkillRefused) {
		t.Errorf("%v", err)
	}
	if _, err := Unpack(file[:len(file)-1], Limits{}); !writ.IsCode(err, writ.CodeSkillRefused) {
		t.Errorf("%v", err)
	}
	if _, err := Unpack(file, Limits{Bundle: int64(len(file)) - 1}); !writ.IsCode(err, writ.CodeSkillRefused) {
		t.Errorf("%v", err)
	}
}

func (h *home) refuseNothing(file []byte) {
	h.t.Helper()
	report, err := h.Examine(h.ctx, h.by.Tenant, file)
	if err != nil || !report.OK() {
		h.t.Fatalf("%v %+v", err, report)
	}
}

func TestReadManifestsOfStrangers(t *testing.T) {
	digest := "sha256:" + strings.Repeat("ab", 32)
	image := func(edit ...string) string {
		return strings.NewReplacer(edit...).Replace(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"` + mediaConfig + `","digest":"` + digest + `","size":10},"layers":[{"mediaType":"` + mediaModule + `","digest":"` + digest + `","size":20}]}`)
	}
	limits := Limits{Document: 10, Module: 20}
	if c, m, err := ReadImageManifest([]byte(image()), limits); err != nil || c.Size != 10 || m.Size != 20 {
		t.Errorf("%v", err)
	}
	for _, raw := range []string{
		"", "[]", "{}", image(`"size":10`, `"size":11`), image(`"size":20`, `"size":21`), image(`"size":20`, `"size":-1`), image("sha256", "sha512"),
		image(mediaModule, "text/plain"), image(mediaConfig, "text/plain"), image(digest, digest[:40]), image(`"layers":[`, `"layers":[{},`),
	} {
		if _, _, err := ReadImageManifest([]byte(raw), limits); !writ.IsCode(err, writ.CodeSkillRefused) {
			t.Errorf("%s: %v", raw, err)
		}
	}
	subject := ocispec.Descriptor{Digest: "sha256:1"}
	attached := `{"artifactType":"` + mediaSigstore + `","config":{"digest":"` + digest + `","size":2},"subject":{"digest":"sha256:1"},"layers":[{"mediaType":"` + mediaSigstore + `","digest":"` + digest + `","size":10}]}`
	if _, b, ok := ReadSignatureManifest([]byte(attached), subject, limits); !ok || b.Size != 10 {
		t.Error("a signature is not found")
	}
	for _, edit := range [][2]string{
		{`"digest":"sha256:1"`, `"digest":"sha256:2"`}, {`"size":10`, `"size":11`}, {`"size":2`, `"size":-2`}, {`"artifactType"`, `"type"`}, {"subject", "object"}, {"{", "["},
	} {
		if _, _, ok := ReadSignatureManifest([]byte(strings.Replace(attached, edit[0], edit[1], 1)), subject, limits); ok {
			t.Errorf("%v passes", edit)
		}
	}
	for raw, want := range map[string]string{
		`{"skill":{"name":"acme/mailer","version":"1.0.0"}}`: "acme/mailer1.0.0", `{"skill":{"name":"../x","version":"1.0.0"}}`: "", `{"skill":{"name":"a/b","version":"../1"}}`: "",
		`{"skill":{"name":"a/b","version":""}}`: "", `{}`: "", ``: "", `{"skill":[]}`: "",
	} {
		if key, version := ReadConfigName([]byte(raw)); string(key)+version != want {
			t.Errorf("%s: %s %s", raw, key, version)
		}
	}
}

func FuzzStrangersManifests(f *testing.F) {
	f.Add([]byte(`{"config":{"mediaType":"` + mediaConfig + `"},"layers":[{"mediaType":"` + mediaModule + `"}],"subject":{},"artifactType":"` + mediaSigstore + `"}`))
	f.Add([]byte(`{"skill":{"name":"a/b","version":"1.0.0"}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		limits := Limits{}.WithDefaults()
		if config, module, err := ReadImageManifest(raw, limits); err == nil && (config.Size > limits.Document || module.Size > limits.Module || !writ.Digest(module.Digest).Valid()) {
			t.Errorf("%+v %+v", config, module)
		}
		if config, bundle, ok := ReadSignatureManifest(raw, ocispec.Descriptor{}, limits); ok && config.Size+bundle.Size > 2*limits.Document {
			t.Errorf("%+v %+v", config, bundle)
		}
		if key, version := ReadConfigName(raw); strings.ContainsAny(version, "/\\") || strings.Count(string(key), "/") > 1 {
			t.Errorf("%s %s", key, version)
		}
	})
}

type fetcher struct {
	file []byte
	err  error
}

func (f *fetcher) Fetch(_ context.Context, reference string) ([]byte, string, error) {
	return f.file, reference + "@sha256:x", f.err
}

// A source in a registry is fetched, judged like any file, and remembered.
func TestInstallFromARegistry(t *testing.T) {
	from := &fetcher{}
	h := newHome(t, func(o *Options) { o.Fetcher = from })
	ctx := writ.WithPrincipal(h.ctx, h.by)
	from.file = h.bundle()
	in := &contract.SkillInstallInput{Source: "oci://registry.example/acme/mailer:1.0.0"}
	if _, err := h.Registry.Install(ctx, in); err != nil {
		t.Fatal(err)
	}
	list, err := h.Registry.List(ctx, &contract.SkillListInput{})
	if err != nil || len(list.Items) != 1 || list.Items[0].Origin != in.Source+"@sha256:x" {
		t.Errorf("%+v %v", list, err)
	}
	if got := h.memory.last().Body.System.Details["origin"]; got != in.Source+"@sha256:x" {
		t.Errorf("the record says %q", got)
	}
	from.file = bytes.Replace(from.file, []byte("wasip1"), []byte("wasip2"), 1)
	if out, err := h.Registry.Verify(ctx, (*contract.SkillVerifyInput)(in)); err != nil || out.Verified {
		t.Errorf("%+v %v", out, err)
	}
	from.err = writ.Errorf(writ.CodeUnavailable, "registry", "is down")
	if _, err := h.Registry.Install(ctx, in); !writ.IsCode(err, writ.CodeUnavailable) {
		t.Errorf("%v", err)
	}
	bare := newHome(t)
	if _, err := bare.Registry.Install(ctx, in); !writ.IsCode(err, writ.CodeInvalid) {
		t.Errorf("%v", err)
	}
}
