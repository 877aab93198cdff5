package registry

import (
	"fmt"
	"strings"

	"github.com/writ-run/writ"
)

// Limits bound what is read of a bundle before anything in it is trusted. Sizes
// are bytes.
type Limits struct {
	Bundle    int64 // the whole file; 0: 96 MiB
	Module    int64 // the WebAssembly module, and so any one blob; 0: 64 MiB
	Document  int64 // every JSON document: index, manifests, config, signatures; 0: 1 MiB
	Entries   int   // entries of the tar; 0: 256
	Referrers int   // signatures and whatever else is attached; 0: 32
}

func (l Limits) orDefaults() Limits {
	def := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	def(&l.Bundle, 96<<20)
	def(&l.Module, 64<<20)
	def(&l.Document, 1<<20)
	if l.Entries == 0 {
		l.Entries = 256
	}
	if l.Referrers == 0 {
		l.Referrers = 32
	}
	return l
}

// finding makes an issue without a fix.
func finding(code writ.IssueCode, format string, args ...any) *writ.SkillIssue {
	return &writ.SkillIssue{Code: code, Message: fmt.Sprintf(format, args...)}
}

// broken is the issue of a file that is not an intact bundle: what it holds
// cannot be what anybody signed.
func broken(format string, args ...any) *writ.SkillIssue {
	i := finding(writ.IssueArtifactDigest, format, args...)
	i.Fix = "fetch the bundle again, or pack it again with writ skill build"
	return i
}

func tooLarge(format string, args ...any) *writ.SkillIssue {
	i := finding(writ.IssueArtifactTooLarge, format, args...)
	i.Fix = "make the bundle smaller; the limits are in docs/skills.md"
	return i
}

func fixed(i *writ.SkillIssue, format string, args ...any) *writ.SkillIssue {
	i.Fix = fmt.Sprintf(format, args...)
	return i
}

// describe is the issues on one line, for an error's message.
func describe(issues []writ.SkillIssue) string {
	parts := make([]string, len(issues))
	for i, issue := range issues {
		parts[i] = string(issue.Code) + ": " + issue.Message
	}
	return strings.Join(parts, "; ")
}

// clip keeps hostile text in messages short and on one line.
func clip(s string) string { return writ.Clip(s, 80) }
