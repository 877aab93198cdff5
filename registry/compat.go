package registry

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// compatibility compares what the manifest requires with what is here. A code
// says what we are: too old or too new for the skill.
func compatibility(m *abi.Manifest, v Versions) []writ.SkillIssue {
	var issues []writ.SkillIssue
	if issue := unknownABI(m.ABI); issue != nil {
		issues = append(issues, *issue)
	}
	for _, c := range []struct {
		what, have, want string
		old, young       writ.IssueCode
	}{
		{"guest interface", v.ABI, m.Requires.ABI, writ.IssueABITooOld, writ.IssueABITooNew},
		{"host", v.Host, m.Requires.Host, writ.IssueHostTooOld, writ.IssueHostTooNew},
		{"contracts", v.Contracts, m.Requires.Contracts, writ.IssueContractsTooOld, writ.IssueContractsTooNew},
	} {
		switch compare(c.have, c.want) {
		case tooOld:
			issues = append(issues, *fixed(finding(c.old, "the skill needs %s %s, this is %s", c.what, c.want, c.have),
				"update writ, or install an older version of the skill"))
		case tooNew:
			issues = append(issues, *fixed(finding(c.young, "the skill needs %s %s, this is %s", c.what, c.want, c.have),
				"install a newer version of the skill, or ask its publisher to widen requires"))
		}
	}
	return issues
}

// guestInterfaces are those that a host of this version serves.
var guestInterfaces = []string{abi.V1, abi.Extism1, abi.ExtismMCP1}

var abiVersion = regexp.MustCompile(`^(writ|extism|extism-mcp)/v([0-9]{1,4})$`)

// unknownABI says which way a guest interface of ours differs from those served;
// nil for a served one and for a name that is no interface at all.
func unknownABI(name string) *writ.SkillIssue {
	parts := abiVersion.FindStringSubmatch(name)
	if parts == nil || slices.Contains(guestInterfaces, name) {
		return nil
	}
	if version, err := strconv.Atoi(parts[2]); err == nil && version < 1 {
		return fixed(finding(writ.IssueABITooNew, "the skill is built for %s, this host serves %s", name, strings.Join(guestInterfaces, ", ")),
			"build the skill for "+abi.V1)
	}
	return fixed(finding(writ.IssueABITooOld, "the skill is built for %s, this host serves %s", name, strings.Join(guestInterfaces, ", ")),
		"update writ, or build the skill for "+abi.V1)
}

type fit int

const (
	within fit = iota
	tooOld
	tooNew
)

var versionText = regexp.MustCompile(`\d+(?:\.(?:\d+|[xX*]))*(?:-[0-9A-Za-z.-]+)?`)

// compare says whether have is within the range and, where not, on which side.
// A range has no ends to read off, so versions around those it names are tried:
// where one above have fits, have is too old. An unreadable range or version
// fits nothing.
func compare(have, want string) fit {
	ranges, err := constraint(want)
	if err != nil {
		return tooOld
	}
	mine, err := semver.StrictNewVersion(have)
	if err != nil {
		return tooOld
	}
	if ranges == nil || ranges.Check(mine) {
		return within
	}
	tried := around(want)
	if slices.ContainsFunc(tried, func(v *semver.Version) bool { return v.GreaterThan(mine) && ranges.Check(v) }) {
		return tooOld
	}
	if slices.ContainsFunc(tried, func(v *semver.Version) bool { return v.LessThan(mine) && ranges.Check(v) }) {
		return tooNew
	}
	return tooOld // nothing fits: no version of ours would do
}

// around are the versions that a range names with their neighbours.
func around(text string) []*semver.Version {
	var out []*semver.Version
	for _, word := range versionText.FindAllString(text, -1) {
		core, pre, _ := strings.Cut(word, "-")
		var n [3]uint64
		for i, part := range strings.SplitN(core, ".", 3) {
			value, err := strconv.ParseUint(part, 10, 31)
			if err == nil {
				n[i] = value
			}
		}
		out = append(out, semver.New(n[0], n[1], n[2], pre, ""), semver.New(n[0], n[1], n[2], "", ""),
			semver.New(n[0], n[1], n[2]+1, "", ""), semver.New(n[0], n[1]+1, 0, "", ""), semver.New(n[0]+1, 0, 0, "", ""))
		// Just below: whatever is smaller in the last member that is not zero.
		switch {
		case n[2] > 0:
			out = append(out, semver.New(n[0], n[1], n[2]-1, "", ""))
		case n[1] > 0:
			out = append(out, semver.New(n[0], n[1]-1, 1<<30, "", ""))
		case n[0] > 0:
			out = append(out, semver.New(n[0]-1, 1<<30, 0, "", ""))
		}
	}
	return out
}
