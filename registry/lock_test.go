package registry

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ"
)

func lockDigest(fill string) writ.Digest { return writ.Digest("sha256:" + strings.Repeat(fill, 32)) }

func TestLockRoundTrip(t *testing.T) {
	var l Lock
	for _, e := range []LockedSkill{
		{"acme/mailer", "1.10.0", lockDigest("aa"), "oci://registry.example/acme/mailer:1.10.0"},
		{"zeta/last", "1.0.0", lockDigest("bb"), ""},
		{"acme/mailer", "1.9.0", lockDigest("cc"), "oci://registry.example/acme/mailer:1.9.0"},
	} {
		if err := l.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	text, err := l.YAML()
	if err != nil {
		t.Fatal(err)
	}
	want := `# The skills of a fleet, by digest. Written by writ skill lock; installed by writ skill install --lock.
apiVersion: writ/v1
kind: SkillLock
skills:
  - name: acme/mailer
    version: 1.9.0
    digest: ` + string(lockDigest("cc")) + `
    source: oci://registry.example/acme/mailer:1.9.0
  - name: acme/mailer
    version: 1.10.0
    digest: ` + string(lockDigest("aa")) + `
    source: oci://registry.example/acme/mailer:1.10.0
  - name: zeta/last
    version: 1.0.0
    digest: ` + string(lockDigest("bb")) + "\n"
	if string(text) != want {
		t.Errorf("%s", text)
	}
	back, err := ParseLock("skills.lock", text)
	if err != nil || !slices.Equal(back.Skills, l.Skills) {
		t.Errorf("%+v %v", back, err)
	}
	if e := back.Find(lockDigest("bb")); e == nil || e.Key != "zeta/last" || back.Find(lockDigest("dd")) != nil {
		t.Errorf("%+v", e)
	}
	if err := l.Add(LockedSkill{Key: "zeta/last", Version: "1.0.0", Digest: lockDigest("dd")}); !writ.IsCode(err, writ.CodeConflict) {
		t.Errorf("%v", err)
	}
	if err := l.Add(LockedSkill{Key: "zeta/last", Version: "1.0.0", Digest: lockDigest("bb"), Source: "oci://h/z:1.0.0"}); err != nil || l.Skills[2].Source == "" || len(l.Skills) != 3 {
		t.Errorf("%v %+v", err, l.Skills)
	}
	empty, err := (&Lock{}).YAML()
	if err != nil {
		t.Fatal(err)
	}
	if back, err := ParseLock("skills.lock", empty); err != nil || len(back.Skills) != 0 {
		t.Errorf("%v %v", back, err)
	}
	if _, err := ParseLock("skills.lock", []byte(`{"apiVersion": "writ/v1", "kind": "SkillLock", "skills": []}`)); err != nil {
		t.Errorf("JSON: %v", err)
	}
}

// Every defect has its place and says what to do.
func TestLockDefects(t *testing.T) {
	head := "apiVersion: writ/v1\nkind: SkillLock\nskills:\n"
	entry := "  - {name: acme/mailer, version: 1.0.0, digest: '" + string(lockDigest("aa")) + "'}\n"
	for text, place := range map[string]string{
		"":      "skills.lock:1:1",
		"- a\n": "skills.lock:1:1",
		"apiVersion: writ/v2\nkind: SkillLock\nskills: []\n":          "skills.lock:1:1",
		"apiVersion: writ/v1\nkind: Other\nskills: []\n":              "skills.lock:2:1",
		"apiVersion: writ/v1\nskills: []\n":                           "skills.lock:1:1",
		"apiVersion: writ/v1\nkind: SkillLock\nskills: {}\n":          "skills.lock:3:1",
		"apiVersion: writ/v1\nkind: SkillLock\nskills: []\nmore: 1\n": "skills.lock:4:1",
		head + "  - text\n":  "skills.lock:4:5",
		head + entry + entry: "skills.lock:5:5",
		head + entry + strings.Replace(entry, "aaaa", "bbbb", 1):                                    "skills.lock:5:5",
		head + entry + "  - {name: acme/mailer, version: 1.0.1}\n":                                  "skills.lock:5:5",
		head + strings.Replace(entry, "acme/mailer", "Mailer", 1):                                   "skills.lock:4:6",
		head + strings.Replace(entry, "1.0.0", "1.0", 1):                                            "skills.lock:4:25",
		head + strings.Replace(entry, "1.0.0", "v1.0.0", 1):                                         "skills.lock:4:25",
		head + strings.Replace(entry, "sha256", "sha512", 1):                                        "skills.lock:4:41",
		head + strings.Replace(entry, "}", ", source: 'https://h/a'}", 1):                           "skills.lock:4:124",
		head + strings.Replace(entry, "}", ", source: 'oci://h/a@"+string(lockDigest("a"))+"'}", 1): "skills.lock:4:124",
		head + strings.Replace(entry, "}", ", extra: 1}", 1):                                        "skills.lock:4:124",
		head + strings.Replace(entry, "{name", "&a {name", 1):                                       "skills.lock:4:5",
	} {
		_, err := ParseLock("skills.lock", []byte(text))
		var e *writ.Error
		if !errors.As(err, &e) || e.Code != writ.CodeInvalid || e.Place != place || e.Fix == "" {
			t.Errorf("%q: %v, want a place of %s", text, err, place)
		}
	}
	var many strings.Builder
	many.WriteString(head)
	for i := range maxLocked {
		fmt.Fprintf(&many, "  - {name: acme/mailer, version: 1.0.%d, digest: 'sha256:%064x'}\n", i, i)
	}
	if _, err := ParseLock("skills.lock", []byte(many.String())); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	many.WriteString("  - {name: acme/mailer, version: 2.0.0, digest: '" + string(lockDigest("aa")) + "'}\n")
	if _, err := ParseLock("skills.lock", []byte(many.String())); !writ.IsCode(err, writ.CodeInvalid) {
		t.Errorf("one more: %v", err)
	}
}

func FuzzLock(f *testing.F) {
	f.Add([]byte("apiVersion: writ/v1\nkind: SkillLock\nskills:\n  - {name: a/b, version: 1.0.0, digest: '" + string(lockDigest("aa")) + "', source: 'oci://h/a:1'}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := ParseLock("f", text)
		if err != nil {
			if !writ.IsCode(err, writ.CodeInvalid) {
				t.Fatal(err)
			}
			return
		}
		again, err := l.YAML()
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseLock("f", again)
		if err != nil || !slices.Equal(back.Skills, l.Skills) {
			t.Fatalf("%v: %s", err, again)
		}
	})
}
