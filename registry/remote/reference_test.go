package remote

import (
	"strings"
	"testing"

	"github.com/writ-run/writ"
)

func TestReferences(t *testing.T) {
	digest := "sha256:" + strings.Repeat("ab", 32)
	for _, text := range []string{
		"oci://registry.example/acme/mailer:1.0.0", "oci://registry.example:5000/a", "oci://[::1]:5000/a/b/c:x", "oci://127.0.0.1:5000/a@" + digest,
		"oci://registry.example/acme/mailer:1.0.0@" + digest,
	} {
		ref, err := ParseReference(text)
		if err != nil || ref.String() != text {
			t.Errorf("%s: %s, %v", text, ref, err)
		}
	}
	for _, text := range []string{
		"", "oci://", "oci:///a", "oci://host", "oci://host/", "oci://host/UPPER", "oci://host/a:", "oci://host/a@", "oci://host/a@sha256:12", "oci://host/a@sha512:" + strings.Repeat("ab", 64),
		"oci://host/a b", "oci://host/../a", "oci://host/a/../b", "oci://host/a?x=1", "oci://host/a#b", "oci://ho st/a", "oci://host:port/a", "https://host/a", "host/a:1", "OCI://host/a",
		"oci://host/a:" + strings.Repeat("x", 129), "oci://host/" + strings.Repeat("x", maxReference), "oci://host/a\n", "oci://host\x00/a", "oci://host/a@" + digest + "@" + digest,
	} {
		ref, err := ParseReference(text)
		if err == nil {
			t.Errorf("%q passes as %+v", text, ref)
			continue
		}
		refused(t, err, writ.CodeInvalid)
	}
	_, err := ParseReference("oci://user:a-password-of-tests@host/a")
	refused(t, err, writ.CodeInvalid, "no user")
	if strings.Contains(describe(err), password) {
		t.Error("the error repeats the password")
	}
}

func FuzzReference(f *testing.F) {
	f.Add("oci://registry.example:5000/acme/mailer:1.0.0@sha256:" + strings.Repeat("ab", 32))
	f.Add("oci://[::1]/a")
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := ParseReference(text)
		if err != nil {
			refused(t, err, writ.CodeInvalid)
			return
		}
		again, err := ParseReference(ref.String())
		if err != nil || again != ref {
			t.Errorf("%q: %+v, then %+v, %v", text, ref, again, err)
		}
	})
}
