package registry

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"go.yaml.in/yaml/v3"

	"github.com/writ-run/writ"
)

// Lock pins what a fleet installs: these bundles, by their digests, and no other.
type Lock struct {
	Skills []LockedSkill // by name and version, each once
}

// LockedSkill is one entry of a lock file.
type LockedSkill struct {
	Key     writ.SkillKey `yaml:"name" json:"name"`
	Version string        `yaml:"version" json:"version"`
	Digest  writ.Digest   `yaml:"digest" json:"digest"`
	Source  string        `yaml:"source,omitempty" json:"source,omitempty"` // oci:// reference without a digest; "": a file that is given at the install
}

const (
	lockVersion = "writ/v1"
	lockKind    = "SkillLock"
	maxLocked   = 1000 // entries: some hundred skills in a few versions
)

// Find is the entry of a digest, or nil.
func (l *Lock) Find(digest writ.Digest) *LockedSkill {
	for i := range l.Skills {
		if l.Skills[i].Digest == digest {
			return &l.Skills[i]
		}
	}
	return nil
}

// Add puts an entry in its place. CodeConflict where the version is locked to another
// digest: a released version never changes.
func (l *Lock) Add(entry LockedSkill) error {
	at, found := slices.BinarySearchFunc(l.Skills, entry, byLocked)
	if !found {
		l.Skills = slices.Insert(l.Skills, at, entry)
		return nil
	}
	have := &l.Skills[at]
	if have.Digest != entry.Digest {
		return writ.Errorf(writ.CodeConflict, "skill "+string(entry.Key)+"@"+entry.Version, "is %s in one place and %s in another", have.Digest, entry.Digest).
			WithFix("find out which is right: a released version never changes")
	}
	have.Source = cmp.Or(entry.Source, have.Source)
	return nil
}

func byLocked(a, b LockedSkill) int {
	return cmp.Or(cmp.Compare(a.Key, b.Key), compareVersions(a.Version, b.Version))
}

// YAML is the lock as a file: the same entries give the same bytes.
func (l *Lock) YAML() ([]byte, error) {
	var out bytes.Buffer
	out.WriteString("# The skills of a fleet, by digest. Written by writ skill lock; installed by writ skill install --lock.\n")
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	document := struct {
		APIVersion string        `yaml:"apiVersion"`
		Kind       string        `yaml:"kind"`
		Skills     []LockedSkill `yaml:"skills"`
	}{lockVersion, lockKind, l.Skills}
	if document.Skills == nil {
		document.Skills = []LockedSkill{}
	}
	if err := enc.Encode(document); err != nil {
		return nil, err
	}
	return out.Bytes(), enc.Close()
}

// ParseLock reads a lock file, YAML or JSON. CodeInvalid carries every defect as
// []writ.Problem in Details, with its line and what to do.
func ParseLock(file string, text []byte) (*Lock, error) {
	root, places, found := readYAML(text)
	r := lockReader{found: found}
	if len(found) == 0 {
		r.document(root)
	}
	if len(r.found) == 0 {
		return &r.lock, nil
	}
	list := problems(file, places, r.found)
	for i := range list {
		list[i].Code = string(writ.CodeInvalid)
	}
	return nil, &writ.Error{
		Code: writ.CodeInvalid, Op: "lock file", Message: list[0].Message, Fix: list[0].Fix,
		Place: placeOf(&list[0]), Details: list,
	}
}

type lockReader struct {
	lock  Lock
	found defects
}

// object wants an object of the known members, the first required of which must be there.
func (r *lockReader) object(value any, pointer string, required int, known ...string) map[string]any {
	object, ok := value.(map[string]any)
	if !ok {
		r.found.add(pointer, "write "+strings.Join(known, ", "), "want an object")
		return nil
	}
	for name := range object {
		if !slices.Contains(known, name) {
			r.found.add(pointer+"/"+escapePointer(name), "known are "+strings.Join(known, ", "), "unknown member %q", clip(name))
		}
	}
	for _, name := range known[:required] {
		if _, ok := object[name]; !ok {
			r.found.add(pointer, "add "+name, "%s is missing", name)
		}
	}
	return object
}

func (r *lockReader) document(root any) {
	object := r.object(root, "", 3, "apiVersion", "kind", "skills")
	for name, want := range map[string]string{"apiVersion": lockVersion, "kind": lockKind} {
		if got, ok := object[name]; ok && got != want {
			r.found.add("/"+name, "write "+want, "not a lock file that this version knows")
		}
	}
	list, ok := object["skills"].([]any)
	if _, there := object["skills"]; there && !ok {
		r.found.add("/skills", "write a list, [] for none", "want a list")
	}
	if len(list) > maxLocked {
		r.found.add("/skills", "split the file", "more than %d entries", maxLocked)
		return
	}
	for i, item := range list {
		r.entry(item, "/skills/"+itoa(i))
	}
	slices.SortFunc(r.found, func(a, b defect) int { return strings.Compare(a.pointer, b.pointer) })
}

func (r *lockReader) entry(item any, pointer string) {
	before := len(r.found)
	object := r.object(item, pointer, 3, "name", "version", "digest", "source")
	text := func(name, fix string, valid func(string) bool) string {
		value, there := object[name]
		s, ok := value.(string)
		if there && (!ok || !valid(s)) {
			r.found.add(pointer+"/"+name, fix, "not a valid %s", name)
		}
		return s
	}
	entry := LockedSkill{
		Key: writ.SkillKey(text("name", "write publisher/name", namePattern.MatchString)),
		Version: text("version", "write a semantic version in quotes where it reads as a number", func(s string) bool {
			_, err := semver.StrictNewVersion(s)
			return err == nil && len(s) <= maxVersion
		}),
		Digest: writ.Digest(text("digest", "write sha256: and 64 hexadecimal digits", func(s string) bool { return writ.Digest(s).Valid() })),
		Source: text("source", "write oci://HOST/REPOSITORY:TAG, without a digest, or leave it out", func(s string) bool { return isOCI(s) && !strings.Contains(s, "@") }),
	}
	if len(r.found) > before {
		return
	}
	count := len(r.lock.Skills)
	if err := r.lock.Add(entry); err != nil || len(r.lock.Skills) == count {
		r.found.add(pointer, "keep one of them", "%s@%s stands twice", entry.Key, entry.Version)
	}
}
