package registry

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/host/wasmtest"
)

func TestModuleThreats(t *testing.T) {
	guestWith := func(build func(*wasmtest.Guest)) []byte {
		g := wasmtest.NewGuest(1, 1)
		build(g)
		return g.Run(wasmtest.I32(0)).Bytes()
	}
	imports := func(module, name string) []byte {
		return guestWith(func(g *wasmtest.Guest) { g.Import(module, name, "ii", "l") })
	}
	extism := func(m *abi.Manifest) { m.ABI, m.Requires.ABI = abi.Extism1, "" }
	plugin := func(name string, exports ...string) []byte {
		m := wasmtest.New()
		m.Import(abi.ModuleExtism, name, "l", "l")
		for _, e := range exports {
			m.Func(wasmtest.Func{Export: e, Results: "i", Code: wasmtest.I32(0)})
		}
		return m.Bytes()
	}
	noHTTP := func(m *abi.Manifest) { m.Capabilities = m.Capabilities[:1] }
	undeclared, entry := writ.IssueCapabilityUndeclared, writ.IssueEntrypointMissing
	for name, c := range map[string]struct {
		module []byte
		edit   func(*abi.Manifest)
		want   []writ.IssueCode
	}{
		"declared tool":             {imports(abi.ModuleTool, abi.ToolHTTPRequest), nil, nil},
		"undeclared tool":           {imports(abi.ModuleTool, abi.ToolKVPut), nil, []writ.IssueCode{undeclared}},
		"no such tool":              {imports(abi.ModuleTool, "shell.exec"), nil, []writ.IssueCode{undeclared}},
		"unknown core function":     {imports(abi.ModuleCore, "exec"), nil, []writ.IssueCode{undeclared}},
		"unknown module":            {imports("env", "system"), nil, []writ.IssueCode{undeclared}},
		"near name of a module":     {imports("writ:tool/v2", abi.ToolHTTPRequest), nil, []writ.IssueCode{undeclared}},
		"WASI":                      {imports(abi.ModuleWASI, "fd_write"), nil, nil},
		"memory import":             {guestWith(func(g *wasmtest.Guest) { g.ImportRaw(abi.ModuleCore, abi.CoreInput, []byte{2, 0, 1}) }), nil, []writ.IssueCode{undeclared}},
		"extism kernel without abi": {imports(abi.ModuleExtism, "input_length"), nil, []writ.IssueCode{undeclared}},
		"extism plug-in":            {plugin("input_length", "send"), extism, nil},
		"extism http declared":      {plugin(extismHTTP, "send"), extism, nil},
		"extism http undeclared":    {plugin(extismHTTP, "send"), func(m *abi.Manifest) { extism(m); noHTTP(m) }, []writ.IssueCode{undeclared}},
		"extism without its action": {plugin("input_length", "other"), extism, []writ.IssueCode{entry}},
		"no entry point":            {wasmtest.NewGuest(1, 1).Export("main", wasmtest.I32(0)).Bytes(), nil, []writ.IssueCode{entry}},
		"both":                      {wasmtest.New().ImportRaw("env", "x", []byte{2, 0, 1}).Bytes(), nil, []writ.IssueCode{undeclared, entry}},
		"not WebAssembly":           {[]byte("#!/bin/sh"), nil, []writ.IssueCode{writ.IssueManifestInvalid}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t)
			m := mailer()
			if c.edit != nil {
				c.edit(m)
			}
			file := h.sign(h.pack(m, c.module))
			if c.want == nil {
				h.install(file)
				return
			}
			h.refused(file, c.want...)
		})
	}
}

func TestManifestThreatsUnderAValidSignature(t *testing.T) {
	h := newHome(t)
	// evil packs what Pack refuses, and signs it properly.
	with := func(edit func(map[string]any)) []byte {
		raw, err := json.Marshal(mailer())
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(raw, &m); err != nil {
			t.Fatal(err)
		}
		edit(m)
		return h.signedConfig(func(c *wasmConfig) {
			if c.Skill, err = json.Marshal(m); err != nil {
				t.Fatal(err)
			}
		})
	}
	h.refused(with(func(m map[string]any) { m["apiVersion"] = "writ/v9" }), writ.IssueSchemaVersion)
	h.refused(with(func(m map[string]any) { m["extra"] = 1 }), writ.IssueManifestInvalid)
	h.refused(with(func(m map[string]any) { m["Actions"] = m["actions"] }), writ.IssueManifestInvalid)
	h.refused(with(func(m map[string]any) { m["capabilities"] = []any{map[string]any{"tool": "shell.exec"}} }), writ.IssueCapabilityMissing)
	h.refused(with(func(m map[string]any) {
		m["capabilities"] = []any{map[string]any{"tool": "http.request", "hosts": []any{"a*b.dev"}}, map[string]any{"tool": "kv.get", "paths": []any{"/x"}}}
	}), writ.IssueManifestInvalid, writ.IssueManifestInvalid)
	h.refused(h.signedConfig(func(c *wasmConfig) { c.Skill = nil }), writ.IssueManifestInvalid)
	h.refused(h.signedConfig(func(c *wasmConfig) { c.LayerDigests = []string{string(canon.SHA256(nil))} }), writ.IssueArtifactDigest)
	ceiling := newHome(t, func(o *Options) { o.Ceiling = abi.Limits{Memory: 1 << 20, Calls: 4} })
	ceiling.install(ceiling.bundle(func(m *abi.Manifest) { m.Limits = abi.Limits{Memory: 1 << 20, Calls: 4} }))
	ceiling.refused(ceiling.bundle(version("1.0.1"), func(m *abi.Manifest) { m.Limits = abi.Limits{Memory: 1<<20 + 1, Calls: 5} }),
		writ.IssueManifestInvalid, writ.IssueManifestInvalid)
}

// signedConfig is a bundle whose config is edited and then signed by the trusted
// key.
func (h *home) signedConfig(edit func(*wasmConfig)) []byte {
	return h.rebuild(h.pack(mailer(), guest()), func(l *layout) {
		var m ocispec.Manifest
		var config wasmConfig
		if err := json.Unmarshal(l.blobs[l.digest()], &m); err != nil {
			h.t.Fatal(err)
		}
		if err := json.Unmarshal(l.blobs[writ.Digest(m.Config.Digest)], &config); err != nil {
			h.t.Fatal(err)
		}
		edit(&config)
		raw, err := json.Marshal(config)
		if err != nil {
			h.t.Fatal(err)
		}
		delete(l.blobs, writ.Digest(m.Config.Digest))
		delete(l.blobs, l.digest())
		m.Config = l.add(mediaConfig, raw)
		h.resign(l, &m)
	})
}

// resign puts a manifest in place of the image's and signs it.
func (h *home) resign(l *layout, m *ocispec.Manifest) {
	d, err := l.addManifest(m)
	if err != nil {
		h.t.Fatal(err)
	}
	d.Annotations = l.image.Annotations
	l.image = d
	i := &Inspection{Ref: writ.SkillRef{Key: "acme/mailer", Version: "1.0.0", Digest: l.digest()}}
	h.forge(l, h.key, &statement{PredicateType: PredicateSkill, Subject: i.subject(), Predicate: skillPredicate{"writ/v1", "acme/mailer", "1.0.0", 1, 0}})
	h.forge(l, h.key, &statement{PredicateType: PredicateProvenance, Subject: i.subject(), Predicate: provenancePredicate(i, &ProvenanceInput{}, 1)})
}

func TestStructureThreats(t *testing.T) {
	h := newHome(t)
	editManifest := func(edit func(*ocispec.Manifest, *layout)) []byte {
		return h.rebuild(h.pack(mailer(), guest()), func(l *layout) {
			var m ocispec.Manifest
			if err := json.Unmarshal(l.blobs[l.digest()], &m); err != nil {
				t.Fatal(err)
			}
			delete(l.blobs, l.digest())
			edit(&m, l)
			h.resign(l, &m)
		})
	}
	for name, file := range map[string][]byte{
		"roles swapped": editManifest(func(m *ocispec.Manifest, _ *layout) { m.Config, m.Layers[0] = m.Layers[0], m.Config }),
		"digests swapped": editManifest(func(m *ocispec.Manifest, _ *layout) {
			m.Config.Digest, m.Layers[0].Digest = m.Layers[0].Digest, m.Config.Digest
		}),
		"size lies":          editManifest(func(m *ocispec.Manifest, _ *layout) { m.Layers[0].Size++ }),
		"second layer":       editManifest(func(m *ocispec.Manifest, _ *layout) { m.Layers = append(m.Layers, m.Layers[0]) }),
		"no layer":           editManifest(func(m *ocispec.Manifest, _ *layout) { m.Layers = nil }),
		"image is a subject": editManifest(func(m *ocispec.Manifest, _ *layout) { m.Subject = &m.Layers[0] }),
		"missing module":     editManifest(func(m *ocispec.Manifest, l *layout) { delete(l.blobs, writ.Digest(m.Layers[0].Digest)) }),
		"stray blob":         editManifest(func(_ *ocispec.Manifest, l *layout) { l.add("x", []byte("stray")) }),
		"no image":           h.rebuild(h.bundle(), func(l *layout) { l.image.Annotations = nil }),
		"two images":         h.rebuild(h.bundle(), func(l *layout) { l.referrers[0].descriptor.Annotations = l.image.Annotations }),
		"wrong blob name": h.rebuild(h.bundle(), func(l *layout) {
			l.blobs[canon.SHA256([]byte("other"))] = []byte("else")
		}),
		"referrer of another image": h.rebuild(h.bundle(), func(l *layout) {
			m := l.referrers[0].manifest
			m.Subject = &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: "sha256:" + ocispec.DescriptorEmptyJSON.Digest, Size: 2}
			d, err := l.addManifest(&m)
			if err != nil {
				t.Fatal(err)
			}
			l.referrers = append(l.referrers, referrer{descriptor: d})
		}),
	} {
		t.Run(name, func(t *testing.T) {
			h.t = t
			h.refused(file, writ.IssueArtifactDigest)
		})
	}
}

func TestTamperedFiles(t *testing.T) {
	h := newHome(t)
	file := h.bundle()
	flip := func(marker string) []byte {
		out := slices.Clone(file)
		i := bytes.Index(out, []byte(marker))
		if i < 0 {
			t.Fatalf("%q is not in the file", marker)
		}
		out[i] ^= 1
		return out
	}
	h.refused(flip("\x00asm\x01\x00\x00\x00"), writ.IssueArtifactDigest)
	h.refused(flip(`Sends mail.`), writ.IssueArtifactDigest)
	h.refused(flip(`"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest`), writ.IssueArtifactDigest)
	h.refused(flip(`"payload"`), writ.IssueArtifactDigest)
	h.refused(file[:len(file)-512], writ.IssueArtifactDigest)
	h.refused(file[:len(file)-2048], writ.IssueArtifactDigest)
	h.refused(file[:700], writ.IssueArtifactDigest)
	h.refused(nil, writ.IssueArtifactDigest)
	h.refused(append(slices.Clone(file), make([]byte, 1)...), writ.IssueArtifactDigest)
	h.refused(append(slices.Clone(file), bytes.Repeat([]byte("x"), 512)...), writ.IssueArtifactDigest)
	h.install(append(slices.Clone(file), make([]byte, 1024)...)) // tar pads with zeros
}

func TestLimitsAtTheLimitAndOnePast(t *testing.T) {
	source := newHome(t)
	file := source.bundle()
	about, err := Inspect(file)
	if err != nil {
		t.Fatal(err)
	}
	largest := int64(0)
	l, _ := open(file, Limits{}.orDefaults())
	for d, b := range l.blobs {
		if d != about.Ref.Module {
			largest = max(largest, int64(len(b)))
		}
	}
	entries, _ := readTar(file, Limits{}.orDefaults())
	for name, c := range map[string]struct{ exact, past Limits }{
		"file":      {Limits{Bundle: int64(len(file))}, Limits{Bundle: int64(len(file)) - 1}},
		"entries":   {Limits{Entries: len(entries)}, Limits{Entries: len(entries) - 1}},
		"documents": {Limits{Document: largest}, Limits{Document: largest - 1}},
		"referrers": {Limits{Referrers: 2}, Limits{Referrers: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, limits := range []Limits{c.exact, c.past} {
				h := bareHome(t, func(o *Options) { o.Limits = limits })
				h.trustKey("acme", source.key)
				if limits == c.exact {
					h.install(file)
				} else {
					h.refused(file, writ.IssueArtifactTooLarge)
				}
			}
		})
	}
	t.Run("module", func(t *testing.T) {
		module := append(guest(), wasmtest.Section(0, append([]byte{1, 'x'}, make([]byte, 4096)...))...)
		file := source.sign(source.pack(mailer(), module))
		for _, past := range []int64{0, 1} {
			h := bareHome(t, func(o *Options) { o.Limits = Limits{Module: int64(len(module)) - past, Document: 4096} })
			h.trustKey("acme", source.key)
			if past == 0 {
				h.install(file)
			} else {
				h.refused(file, writ.IssueArtifactTooLarge)
			}
		}
	})
}
