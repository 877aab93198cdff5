// Package intent finds what a person means in the phrases that installed skills
// declare. It never guesses: words that fit no phrase mean nothing.
package intent

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// Bounds. A phrase is a line of a chat; its slots are members of an input.
const (
	maxPhrase = 200
	maxSlots  = 16
	// MaxText is how much of a message is looked at: what is longer is no command.
	MaxText = 4 << 10
)

// shape is what a slot takes.
type shape string

// The shapes, by the type that the action's input schema gives to the member.
const (
	shapeText    shape = "string"
	shapeInteger shape = "integer"
	shapeNumber  shape = "number"
	shapeBoolean shape = "boolean"
	shapeList    shape = "array" // of strings, with commas between
)

// slot is a member of the input that a phrase has a place for.
type slot struct {
	name   string
	shape  shape
	choice []string // enum; empty: any
}

// utterance is a phrase that was understood: "close issue {number} of {owner}/{repo}".
type utterance struct {
	phrase string
	slots  []slot
	form   *regexp.Regexp // its groups are the slots, in their order
	words  int            // outside of slots: what is said more exactly
}

var slotForm = regexp.MustCompile(`\{([A-Za-z_][A-Za-z0-9_]{0,63})\}`)

// hosts begins what is said to the host, and never to a skill: no phrase may stand in
// for a command.
var hosts = regexp.MustCompile(`(?i)^\s*/?writ\b`)

// quoted is text between quotes, as people and phones write them.
const quoted = `"[^"]*"|“[^”]*”|„[^“”]*[“”]|«[^»]*»|'[^']*'`

// patterns of the shapes. A text that is not the phrase's last ends at a space; the
// engine of package regexp takes the same time whatever is tried.
var patterns = map[shape]string{
	shapeInteger: `[+-]?[0-9]{1,18}`,
	shapeNumber:  `[+-]?[0-9]{1,18}(?:[.][0-9]{1,18})?`,
	shapeBoolean: `true|false|yes|no|on|off`,
	shapeText:    quoted + `|[^\s]+?`,
	shapeList:    quoted + `|[^\s,]+(?:\s*,\s*[^\s,]+)*?`,
}

// last is what the shapes take at the end of a phrase, where nothing follows: all of it.
var last = map[shape]string{shapeText: quoted + `|.+?`, shapeList: `.+?`}

// Check is CodeInvalid where a phrase could not be matched or would be of no use: a slot
// that is no member of the input, or one after another with nothing in between, or a
// member that the input needs and the phrase does not give.
func Check(phrase string, input json.RawMessage) error {
	_, err := parse(phrase, input)
	return err
}

func parse(phrase string, input json.RawMessage) (*utterance, error) {
	wrong := func(format string, args ...any) (*utterance, error) {
		return nil, writ.Errorf(writ.CodeInvalid, "utterance "+strconv.Quote(writ.Clip(phrase, maxPhrase)), format, args...).
			WithFix("write it as a person would say it, with {member} where the input has a member")
	}
	if strings.TrimSpace(phrase) == "" || len(phrase) > maxPhrase {
		return wrong("it has %d bytes: want 1 to %d", len(phrase), maxPhrase)
	}
	if hosts.MatchString(phrase) {
		return nil, writ.Errorf(writ.CodeInvalid, "utterance "+strconv.Quote(writ.Clip(phrase, maxPhrase)), "what begins with writ is said to the host itself").
			WithFix("begin it with another word")
	}
	members, required := membersOf(input)
	u := &utterance{phrase: phrase}
	var form strings.Builder
	form.WriteString(`(?is)^\s*`)
	rest := strings.TrimSpace(phrase)
	for rest != "" {
		at := slotForm.FindStringSubmatchIndex(rest)
		if at == nil {
			u.literal(&form, rest)
			break
		}
		before := rest[:at[0]]
		if before != "" {
			u.literal(&form, before)
		} else if len(u.slots) > 0 {
			return wrong("{%s} follows another slot with nothing in between", rest[at[2]:at[3]])
		}
		s, ok := members[rest[at[2]:at[3]]]
		if !ok {
			return wrong("{%s} is no member of the input that a person can say", rest[at[2]:at[3]])
		}
		rest = rest[at[1]:]
		alone := strings.TrimRight(before, " \t") != before // not the end of a word: a/{name}
		form.WriteString("(" + s.pattern(rest == "" && alone) + ")")
		u.slots = append(u.slots, s)
	}
	if u.words == 0 || len(u.slots) > maxSlots {
		return wrong("it has %d words of its own and %d slots: want at least one word, and at most %d slots", u.words, len(u.slots), maxSlots)
	}
	for _, name := range required {
		if !slices.ContainsFunc(u.slots, func(s slot) bool { return s.name == name }) {
			return wrong("the input needs %s, and it has no {%s}", name, name)
		}
	}
	form.WriteString(`\s*[.!?]*\s*$`)
	compiled, err := regexp.Compile(form.String())
	if err != nil {
		return wrong("it cannot be matched")
	}
	u.form = compiled
	return u, nil
}

// literal adds words, between which any space may be.
func (u *utterance) literal(form *strings.Builder, text string) {
	if strings.TrimLeft(text, " \t") != text {
		form.WriteString(`\s+`)
	}
	for i, word := range strings.Fields(text) {
		if i > 0 {
			form.WriteString(`\s+`)
		}
		form.WriteString(regexp.QuoteMeta(word))
		if strings.ContainsFunc(word, isLetter) {
			u.words++
		}
	}
	if strings.TrimSpace(text) != "" && strings.TrimRight(text, " \t") != text {
		form.WriteString(`\s+`)
	}
}

func isLetter(r rune) bool { return r > 127 || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }

func (s *slot) pattern(end bool) string {
	if len(s.choice) > 0 {
		escaped := make([]string, len(s.choice))
		for i, c := range s.choice {
			escaped[i] = regexp.QuoteMeta(c)
		}
		return strings.Join(escaped, "|")
	}
	if p, ok := last[s.shape]; end && ok {
		return p
	}
	return patterns[s.shape]
}

// membersOf are those of an input schema's own properties that can be said, and the names
// of those that must be there.
func membersOf(schema json.RawMessage) (members map[string]slot, required []string) {
	var read struct {
		Properties map[string]struct {
			Type  any   `json:"type"`
			Enum  []any `json:"enum"`
			Items struct {
				Type any `json:"type"`
			} `json:"items"`
		} `json:"properties"`
		Required []string `json:"required"`
	}
	if json.Unmarshal(schema, &read) != nil {
		return nil, nil
	}
	members = map[string]slot{}
	for name, p := range read.Properties {
		kind, _ := p.Type.(string)
		s := slot{name: name, shape: shape(kind)}
		if _, known := patterns[s.shape]; !known || s.shape == shapeList && p.Items.Type != "string" {
			continue
		}
		for _, value := range p.Enum {
			if text, ok := value.(string); ok && text != "" {
				s.choice = append(s.choice, text)
			}
		}
		members[name] = s
	}
	return members, read.Required
}

// read is the input that a text gives, nil where it does not fit.
func (u *utterance) read(text string) map[string]any {
	found := u.form.FindStringSubmatch(text)
	if found == nil {
		return nil
	}
	input := map[string]any{}
	for i := range u.slots {
		s, said := &u.slots[i], found[i+1]
		value, ok := s.value(said)
		if earlier, twice := input[s.name]; !ok || twice && !same(earlier, value) {
			return nil // the same member is said twice, and not alike
		}
		input[s.name] = value
	}
	return input
}

func same(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

func (s *slot) value(said string) (any, bool) {
	said = strings.TrimSpace(said)
	switch s.shape {
	case shapeInteger:
		n, err := strconv.ParseInt(said, 10, 64)
		return n, err == nil
	case shapeNumber:
		return json.Number(strings.TrimPrefix(said, "+")), json.Valid([]byte(strings.TrimPrefix(said, "+")))
	case shapeBoolean:
		yes := map[string]bool{"true": true, "yes": true, "on": true}
		return yes[strings.ToLower(said)], true
	case shapeList:
		var items []string
		for item := range strings.SplitSeq(unquoted(said), ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, item)
			}
		}
		return items, len(items) > 0
	}
	for _, choice := range s.choice {
		if strings.EqualFold(choice, said) {
			return choice, true
		}
	}
	said = unquoted(said)
	return said, said != "" && len(s.choice) == 0
}

// unquoted takes the quotes off that stand around a whole text.
func unquoted(text string) string {
	for _, pair := range []string{`""`, "“”", "„“", "„”", "«»", "''"} {
		r := []rune(pair)
		if inner, ok := strings.CutPrefix(text, string(r[0])); ok {
			if inner, ok = strings.CutSuffix(inner, string(r[1])); ok && !strings.ContainsRune(inner, r[1]) {
				return inner
			}
		}
	}
	return text
}

// actionsOf are the phrases of a manifest that can be matched.
func actionsOf(m *abi.Manifest) map[string][]*utterance {
	out := map[string][]*utterance{}
	for i := range m.Actions {
		a := &m.Actions[i]
		for _, phrase := range a.Utterances {
			if u, err := parse(phrase, a.Input); err == nil {
				out[a.Name] = append(out[a.Name], u)
			}
		}
	}
	return out
}
