package remote

import (
	"strings"

	oci "oras.land/oras-go/v2/registry"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/registry"
)

// Reference names a bundle in a registry: oci://HOST[:PORT]/REPOSITORY[:TAG][@DIGEST].
// Where there is a digest, it alone decides, and the tag is for people.
type Reference struct {
	Host       string // with a port where it is not the usual one
	Repository string
	Tag        string
	Digest     writ.Digest
}

// maxReference is a host name, a repository and a tag of the greatest lengths that
// registries take, and a digest.
const maxReference = 1024

// ParseReference is strict: what is not exactly a reference is CodeInvalid.
func ParseReference(text string) (Reference, error) {
	rest, ok := strings.CutPrefix(text, registry.OCIScheme)
	authority, _, slash := strings.Cut(rest, "/")
	switch {
	case !ok || !slash || len(text) > maxReference:
		return Reference{}, malformed(text, "want oci://HOST[:PORT]/REPOSITORY[:TAG][@sha256:...]")
	case strings.Contains(authority, "@"):
		// It is not repeated: what stands before the @ may be a password.
		return Reference{}, malformed("", "a reference holds no user and no password").WithFix("docker login HOST keeps them where they are looked for")
	}
	var ref Reference
	if name, digest, pinned := strings.Cut(rest, "@"); pinned {
		if rest, ref.Digest = name, writ.Digest(digest); !ref.Digest.Valid() {
			return Reference{}, malformed(text, "the digest is not sha256: and 64 hexadecimal digits")
		}
	}
	parsed, err := oci.ParseReference(rest)
	if err != nil || !validHost(parsed.Registry) {
		return Reference{}, malformed(text, "want oci://HOST[:PORT]/REPOSITORY[:TAG][@sha256:...]; a repository is in lower case")
	}
	ref.Host, ref.Repository, ref.Tag = parsed.Registry, parsed.Repository, parsed.Reference
	if ref.String() != text {
		return Reference{}, malformed(text, "something in it is empty or stands twice")
	}
	return ref, nil
}

func malformed(text, message string) *writ.Error {
	op := "reference"
	if text != "" {
		op += " " + registry.Clip(text)
	}
	return writ.Errorf(writ.CodeInvalid, op, "%s", message).WithFix("for example oci://registry.example/acme/mailer:1.2.0")
}

// String is the reference as ParseReference reads it.
func (r Reference) String() string {
	text := registry.OCIScheme + r.Host + "/" + r.Repository
	if r.Tag != "" {
		text += ":" + r.Tag
	}
	if r.Digest != "" {
		text += "@" + string(r.Digest)
	}
	return text
}

// Pinned is the same bundle by its digest.
func (r Reference) Pinned(digest writ.Digest) Reference {
	r.Digest = digest
	return r
}

// target is what a registry is asked for.
func (r Reference) target() string {
	if r.Digest != "" {
		return string(r.Digest)
	}
	return r.Tag
}

func validHost(name string) bool {
	return name != "" && !strings.Contains(name, "@") && oci.Reference{Registry: name}.ValidateRegistry() == nil
}

func validRepository(name string) bool {
	return oci.Reference{Repository: name}.ValidateRepository() == nil
}
