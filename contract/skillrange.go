package contract

import (
	"regexp"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/writ-run/writ"
)

// maxRange bounds the range of versions in a SkillRange.
const maxRange = 128

var skillForm = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?/[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$`)

// SkillRange names a skill and versions of it, as denials and freezes do. The
// zero value names none.
type SkillRange struct {
	Key      writ.SkillKey
	text     string
	versions *semver.Constraints // nil: all
}

// ParseSkillRange reads "acme/mail <1.4.2", or "acme/mail" for every version. A
// prerelease is in a range by its place in the order: who means what comes before
// 1.4.2 means 1.4.2-rc.1 too. CodeInvalid.
func ParseSkillRange(text string) (SkillRange, error) {
	wrong := func(format, what string) (SkillRange, error) {
		return SkillRange{}, writ.Errorf(writ.CodeInvalid, "skill "+writ.Clip(text, 80), format, writ.Clip(what, 80)).
			WithFix(`write a skill and the versions, such as "acme/mail <1.4.2"`)
	}
	key, ranges, _ := strings.Cut(text, " ")
	if !skillForm.MatchString(key) {
		return wrong("%q is not publisher/name", key)
	}
	r := SkillRange{Key: writ.SkillKey(key)}
	if r.text = strings.TrimSpace(ranges); r.text == "" {
		return r, nil
	}
	if len(r.text) > maxRange {
		return wrong("%q is too long for a version range", r.text)
	}
	var err error
	if r.versions, err = semver.NewConstraint(r.text); err != nil {
		return wrong("%q is not a version range", r.text)
	}
	r.versions.IncludePrerelease = true
	return r, nil
}

// Has reports whether a version of the skill is meant. One that cannot be read is
// in every range.
func (r SkillRange) Has(key writ.SkillKey, version string) bool {
	if r.Key == "" || r.Key != key {
		return false
	}
	v, err := semver.StrictNewVersion(version)
	return err != nil || r.versions == nil || r.versions.Check(v)
}

// String is the range in the form in which it is listed.
func (r SkillRange) String() string { return strings.TrimSpace(string(r.Key) + " " + r.text) }
