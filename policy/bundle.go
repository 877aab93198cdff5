package policy

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"embed"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/loader/filter"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// Bounds of a bundle. The default one has 6 files and under 20 KiB.
const (
	maxBundleFiles = 256
	maxBundleFile  = 1 << 20
	maxBundleBytes = 4 << 20
)

const (
	signatureFile = ".signatures.json"
	manifestFile  = ".manifest"
)

//go:embed bundle/.manifest bundle/*.rego
var defaultFiles embed.FS

// Bundle is a policy bundle in the form of OPA: rules, tests (*_test.rego), data
// and a manifest whose revision is the version. Its digest is of the files, so an
// archive and a directory with the same files are the same bundle.
type Bundle struct {
	files  map[string][]byte // by slash-separated relative path
	digest writ.Digest
	opa    bundle.Bundle

	declassifies []writ.Declassification
}

// DefaultBundle is the bundle that is part of the binary.
func DefaultBundle() (*Bundle, error) {
	inner, err := fs.Sub(defaultFiles, "bundle")
	if err != nil {
		return nil, writ.Errorf(writ.CodeInternal, "policy", "embedded bundle: %w", err)
	}
	return readTree(inner)
}

// LoadBundle reads a directory or an archive (.tar.gz). CodeNotFound,
// CodeTooLarge, or CodeInvalid where it is not a bundle or its rules do not parse.
func LoadBundle(source string) (*Bundle, error) {
	op := "policy " + filepath.Base(source)
	info, err := os.Stat(source)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, writ.Errorf(writ.CodeNotFound, op, "there is no such file or directory").
			WithFix("name a directory with .rego files or a bundle.tar.gz")
	case err != nil:
		return nil, writ.Errorf(writ.CodeInvalid, op, "cannot be read: %w", err)
	case info.IsDir():
		return readTree(os.DirFS(source))
	case info.Size() > maxBundleBytes:
		return nil, tooLarge(op)
	}
	archive, err := os.ReadFile(source)
	if err != nil {
		return nil, writ.Errorf(writ.CodeInvalid, op, "cannot be read: %w", err)
	}
	return ReadBundle(archive)
}

// ReadBundle reads an archive (tar.gz). Errors as of LoadBundle.
func ReadBundle(archive []byte) (*Bundle, error) {
	const op = "policy archive"
	if len(archive) > maxBundleBytes {
		return nil, tooLarge(op)
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, writ.Errorf(writ.CodeInvalid, op, "is not a gzip file: %w", err)
	}
	c := collector{files: map[string][]byte{}}
	// The tar headers count too: a bomb may hold nothing but names.
	for reader := tar.NewReader(io.LimitReader(unzipped, 2*maxBundleBytes)); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return newBundle(c.files)
		}
		if err != nil {
			return nil, writ.Errorf(writ.CodeInvalid, op, "is not a complete tar file: %w", err)
		}
		switch header.Typeflag {
		case tar.TypeDir:
		case tar.TypeReg:
			if err := c.add(strings.TrimPrefix(strings.TrimPrefix(header.Name, "./"), "/"), reader); err != nil {
				return nil, err
			}
		default:
			return nil, writ.Errorf(writ.CodeInvalid, op, "%q is neither a file nor a directory", header.Name)
		}
	}
}

func readTree(tree fs.FS) (*Bundle, error) {
	c := collector{files: map[string][]byte{}}
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if !entry.Type().IsRegular() {
			return writ.Errorf(writ.CodeInvalid, "policy "+name, "is a link or no regular file")
		}
		if info, err := entry.Info(); err != nil || info.Size() > maxBundleFile {
			return cmp.Or(err, tooLarge("policy "+name))
		}
		content, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		return c.add(name, bytes.NewReader(content))
	})
	var known *writ.Error
	if errors.As(err, &known) {
		return nil, known
	}
	if err != nil {
		return nil, writ.Errorf(writ.CodeInvalid, "policy", "cannot be read: %w", err)
	}
	return newBundle(c.files)
}

// collector gathers files within the bounds.
type collector struct {
	files map[string][]byte
	total int
}

func (c *collector) add(name string, r io.Reader) error {
	op := "policy " + name
	if !fs.ValidPath(name) || !knownFile(name) {
		return writ.Errorf(writ.CodeInvalid, op, "does not belong in a bundle").
			WithFix("keep only .rego files, data.json, %s and %s", manifestFile, signatureFile)
	}
	if _, twice := c.files[name]; twice {
		return writ.Errorf(writ.CodeInvalid, op, "stands twice")
	}
	content, err := io.ReadAll(io.LimitReader(r, maxBundleFile+1))
	if err != nil {
		return writ.Errorf(writ.CodeInvalid, op, "cannot be read: %w", err)
	}
	c.total += len(content)
	if len(content) > maxBundleFile || c.total > maxBundleBytes || len(c.files) >= maxBundleFiles {
		return tooLarge(op)
	}
	c.files[name] = content
	return nil
}

// knownFile leaves out what the evaluator would run beside rules: modules of
// WebAssembly, plans and patches.
func knownFile(name string) bool {
	return strings.HasSuffix(name, ".rego") || path.Base(name) == "data.json" ||
		name == manifestFile || name == signatureFile
}

func tooLarge(op string) error {
	return writ.Errorf(writ.CodeTooLarge, op, "a bundle has at most %d files, %d bytes each and %d together",
		maxBundleFiles, maxBundleFile, maxBundleBytes)
}

func newBundle(files map[string][]byte) (*Bundle, error) {
	digest, err := digestOf(files)
	if err != nil {
		return nil, err
	}
	b := &Bundle{files: files, digest: digest}
	op := "policy " + string(digest)
	b.opa, err = b.reader().WithSkipBundleVerification(true).Read()
	if err != nil {
		return nil, invalid(op, err)
	}
	m := &b.opa.Manifest
	if m.Revision == "" {
		return nil, writ.Errorf(writ.CodeInvalid, op, "has no version").
			WithFix(`write %s with {"revision": "1.0.0", "roots": ["writ"]}`, manifestFile)
	}
	if len(m.WasmResolvers) > 0 || (m.RegoVersion != nil && *m.RegoVersion != 1) || len(m.FileRegoVersions) > 0 {
		return nil, writ.Errorf(writ.CodeInvalid, op, "the manifest asks for WebAssembly or another Rego than v1")
	}
	if raw, ok := files[declassifyFile]; ok {
		if b.declassifies, err = declassifications(raw); err != nil {
			return nil, err
		}
	}
	return b, b.checkTests(op)
}

// checkTests keeps tests out of the packages that decide, so that what is tested
// is what will decide.
func (b *Bundle) checkTests(op string) error {
	for _, m := range b.opa.Modules {
		pkg := m.Parsed.Package.Path
		last, _ := pkg[len(pkg)-1].Value.(ast.String)
		if isTest(m.Path) != strings.HasSuffix(string(last), "_test") {
			return writ.Errorf(writ.CodeInvalid, op, "%s is of package %s", strings.TrimPrefix(m.Path, "/"), m.Parsed.Package).
				WithFix("put tests into files NAME_test.rego of packages PACKAGE_test, and nothing else there")
		}
	}
	return nil
}

func isTest(name string) bool { return strings.HasSuffix(name, "_test.rego") }

// Ref is the bundle's digest and version.
func (b *Bundle) Ref() writ.PolicyRef {
	return writ.PolicyRef{Digest: b.digest, Version: b.opa.Manifest.Revision}
}

func (b *Bundle) reader() *bundle.Reader {
	return bundle.NewCustomReader(&fileLoader{files: b.files, names: b.names()}).
		WithSizeLimitBytes(maxBundleFile + 1).WithRegoVersion(ast.RegoV1).
		WithCapabilities(capabilities()).WithProcessAnnotations(true)
}

func (b *Bundle) names() []string { return slices.Sorted(maps.Keys(b.files)) }

// fileLoader gives the collected files to the evaluator's reader in one order.
type fileLoader struct {
	files map[string][]byte
	names []string
}

func (l *fileLoader) NextFile() (*bundle.Descriptor, error) {
	if len(l.names) == 0 {
		return nil, io.EOF
	}
	name := l.names[0]
	l.names = l.names[1:]
	return bundle.NewDescriptor("/"+name, "/"+name, bytes.NewReader(l.files[name])), nil
}

func (l *fileLoader) WithFilter(filter.LoaderFilter) bundle.DirectoryLoader         { return l }
func (l *fileLoader) WithPathFormat(bundle.PathFormat) bundle.DirectoryLoader       { return l }
func (l *fileLoader) WithSizeLimitBytes(int64) bundle.DirectoryLoader               { return l }
func (l *fileLoader) WithFollowSymlinks(followSymlinks bool) bundle.DirectoryLoader { return l }

// digestOf covers every file but the signature, which is about the others.
func digestOf(files map[string][]byte) (writ.Digest, error) {
	type entry struct {
		Path   string       `json:"path"`
		SHA256 canon.Digest `json:"sha256"`
	}
	entries := []entry{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if name != signatureFile {
			entries = append(entries, entry{name, canon.SHA256(files[name])})
		}
	}
	list, err := canon.MarshalJSON(entries)
	if err != nil {
		return "", writ.Errorf(writ.CodeInvalid, "policy", "a file's name is not valid: %w", err)
	}
	return canon.Sum(canon.DomainPolicy, list), nil
}
