package intent

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

// Book has the phrases of skills. It does not change and is safe for concurrent use.
type Book struct {
	entries []bookEntry
}

type bookEntry struct {
	skill     writ.SkillRef
	release   *writ.Release
	action    string
	order     int // among the phrases of the action
	utterance *utterance
}

// maxPhrases of a book. A text is held against each: some milliseconds for all.
const maxPhrases = 2048

// Match is an action that a text means, with the input that it gives.
type Match struct {
	Skill  writ.SkillRef
	Action string
	Phrase string // the one that fits
	Input  json.RawMessage
}

// NewBook takes the phrases of releases, of each skill those of one release. Phrases
// that cannot be matched are left out (see Check), and so are those above what a book
// has room for.
func NewBook(releases []*writ.Release) *Book {
	b := &Book{}
	for _, r := range releases {
		for action, utterances := range actionsOf(r.Manifest) {
			for i, u := range utterances {
				b.entries = append(b.entries, bookEntry{r.SkillRef, r, action, i, u})
			}
		}
	}
	slices.SortFunc(b.entries, func(x, y bookEntry) int {
		return cmp.Or(cmp.Compare(x.skill.Key, y.skill.Key), cmp.Compare(x.action, y.action), cmp.Compare(x.order, y.order))
	})
	b.entries = b.entries[:min(len(b.entries), maxPhrases)]
	return b
}

// Said is an action that can be asked for in words.
type Said struct {
	Release *writ.Release
	Action  string
	Phrase  string // the first that its manifest has
}

// Actions are those that have a phrase, by skill and name.
func (b *Book) Actions() []Said {
	var all []Said
	for _, e := range b.entries {
		if n := len(all); n == 0 || all[n-1].Release != e.release || all[n-1].Action != e.action {
			all = append(all, Said{e.release, e.action, e.utterance.phrase})
		}
	}
	return all
}

// Read finds what a text means: nothing, one action, or several that fit equally well,
// between which only its author can choose. A phrase with more words of its own says
// more exactly what is meant than one whose slots took them.
func (b *Book) Read(text string) []Match {
	if len(text) > MaxText {
		return nil
	}
	var found []Match
	best := 0
	for _, e := range b.entries {
		if e.utterance.words < best {
			continue
		}
		input := e.utterance.read(text)
		if input == nil {
			continue
		}
		raw, err := canon.MarshalJSON(input)
		if err != nil {
			continue // what a person wrote is no text that a plan takes
		}
		if e.utterance.words > best {
			best, found = e.utterance.words, nil
		}
		m := Match{Skill: e.skill, Action: e.action, Phrase: e.utterance.phrase, Input: raw}
		if !slices.ContainsFunc(found, func(other Match) bool {
			return other.Skill == m.Skill && other.Action == m.Action && string(other.Input) == string(m.Input)
		}) {
			found = append(found, m)
		}
	}
	return found
}

// minNear is how long a word is that says what a phrase is about: "in" is in many.
const minNear = 3

// Near are phrases that share words with a text, the most of them first, at most n, of
// actions that may be shown.
func (b *Book) Near(text string, n int, may func(release *writ.Release, action string) bool) []string {
	said := map[string]bool{}
	for word := range strings.FieldsSeq(strings.ToLower(writ.Clip(text, MaxText))) {
		said[strings.Trim(word, ".,!?")] = true
	}
	type near struct {
		*bookEntry
		share float64
	}
	var all []near
	for i := range b.entries {
		e, words, shared := &b.entries[i], 0, 0
		for word := range strings.FieldsSeq(strings.ToLower(slotForm.ReplaceAllString(e.utterance.phrase, " "))) {
			if len(word) >= minNear && strings.ContainsFunc(word, isLetter) {
				words++
				if said[word] {
					shared++
				}
			}
		}
		if shared > 0 {
			all = append(all, near{e, float64(shared) / float64(words)})
		}
	}
	slices.SortStableFunc(all, func(x, y near) int { return cmp.Compare(y.share, x.share) })
	var phrases []string
	for _, a := range all {
		if phrase := a.utterance.phrase; len(phrases) < n && !slices.Contains(phrases, phrase) && may(a.release, a.action) {
			phrases = append(phrases, phrase)
		}
	}
	return phrases
}

// MetadataInput is the member of an intent's metadata that holds a match's input.
const MetadataInput = "input"

// Draft is a plan of the one step that a match means, as JSON. What was said is not in
// it: the step reads it from the intent's metadata, where an expression in it is text
// like any other. The skill's release is pinned: what was matched is what runs.
func (m *Match) Draft() (string, error) {
	var said map[string]json.RawMessage
	if err := json.Unmarshal(m.Input, &said); err != nil {
		return "", writ.Errorf(writ.CodeInternal, "intent", "the input of a match is no object: %w", err)
	}
	with := map[string]string{}
	for name := range said {
		with[name] = "${{ intent.metadata." + MetadataInput + "." + name + " }}"
	}
	raw, err := canon.MarshalJSON(map[string]any{
		"apiVersion": abi.ManifestVersion, "kind": "Plan",
		"steps": []any{map[string]any{"name": "do", "uses": string(m.Skill.Key) + "@" + m.Skill.Version + "#" + m.Action, "with": with}},
	})
	return string(raw), err
}
