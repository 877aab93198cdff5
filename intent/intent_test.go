package intent

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

const issueInput = `{"type":"object","properties":{
	"owner":{"type":"string"},"repo":{"type":"string"},"number":{"type":"integer"},"title":{"type":"string"},"weight":{"type":"number"},
	"urgent":{"type":"boolean"},"labels":{"type":"array","items":{"type":"string"}},"state":{"type":"string","enum":["open","closed"]},"nested":{"type":"object"}}}`

func action(name string, utterances ...string) abi.Action {
	return abi.Action{Name: name, Input: json.RawMessage(issueInput), Utterances: utterances}
}

func book(actions ...abi.Action) *Book {
	return NewBook([]*writ.Release{{SkillRef: writ.SkillRef{Key: "writ/github", Version: "0.1.1"}, Manifest: &abi.Manifest{Name: "writ/github", Actions: actions}}})
}

func theBook() *Book {
	return book(
		action("read", "read issue {number} of {owner}/{repo}", "lies Vorgang {number} von {owner}/{repo}", "讀取 {owner}/{repo} 的第 {number} 號"),
		action("rename", "rename issue {number} of {owner}/{repo} to {title}"),
		action("label", "label issue {number} of {owner}/{repo} as {labels}", "label issue {number} of {owner}/{repo} as {labels} because {title}"),
		action("set", "set issue {number} {state}", "weigh {number} with {weight}", "mark {number} urgent: {urgent}"),
	)
}

func TestWhatIsSaidIsFoundWithItsValues(t *testing.T) {
	for said, want := range map[string]string{
		"read issue 12 of acme/site":                                `read {"number":12,"owner":"acme","repo":"site"}`,
		"  READ   Issue\t12\nof Acme/Site.  ":                       `read {"number":12,"owner":"Acme","repo":"Site"}`,
		"lies vorgang 7 von acme/site!":                             `read {"number":7,"owner":"acme","repo":"site"}`,
		"讀取 acme/site 的第 3 號":                                       `read {"number":3,"owner":"acme","repo":"site"}`,
		"rename issue 1 of a/b to Mend the door, please":            `rename {"number":1,"owner":"a","repo":"b","title":"Mend the door, please"}`,
		`rename issue 1 of a/b to "to be or of a/b."`:               `rename {"number":1,"owner":"a","repo":"b","title":"to be or of a/b."}`,
		"rename issue 1 of a/b to “שלום עולם”":                      `rename {"number":1,"owner":"a","repo":"b","title":"שלום עולם"}`,
		"rename issue 1 of a/b to ${{ intent.text }}":               `rename {"number":1,"owner":"a","repo":"b","title":"${{ intent.text }}"}`,
		"label issue 1 of a/b as bug, help wanted":                  `label {"labels":["bug","help wanted"],"number":1,"owner":"a","repo":"b"}`,
		"label issue 1 of a/b as bug because it crashes":            `label {"labels":["bug"],"number":1,"owner":"a","repo":"b","title":"it crashes"}`,
		"set issue 4 CLOSED":                                        `set {"number":4,"state":"closed"}`,
		"weigh 4 with -2.5":                                         `set {"number":4,"weight":-2.5}`,
		"mark 4 urgent: Yes":                                        `set {"number":4,"urgent":true}`,
		"set issue 4 ajar":                                          "",
		"read issue twelve of acme/site":                            "",
		"read issue 12 of acme":                                     "",
		"please read issue 12 of acme/site":                         "",
		"read issue 12 of acme/site and close it":                   "",
		"read issue 99999999999999999999 of a/b":                    "",
		"":                                                          "",
		"read issue 12 of acme/site" + strings.Repeat(" ", MaxText): "",
	} {
		found := theBook().Read(said)
		got := ""
		if len(found) == 1 {
			got = found[0].Action + " " + string(found[0].Input)
		}
		if got != want || len(found) > 1 {
			t.Errorf("%q: %d matches, %s\nwant %s", said, len(found), got, want)
		}
	}
}

// TestWhatMayMeanTwoThingsIsNotChosen but shown as both.
func TestWhatMayMeanTwoThingsIsNotChosen(t *testing.T) {
	b := book(action("one", "tell {owner} about {title}"), action("two", "tell {repo} about {title}"), action("three", "tell {owner} about {title}"))
	if found := b.Read("tell ada about it"); len(found) != 3 {
		t.Errorf("%+v", found)
	}
	same := book(action("one", "tell {owner} about {title}", "tell {owner}  about {title}"))
	if found := same.Read("tell ada about it"); len(found) != 1 {
		t.Errorf("two phrases that mean the same: %+v", found)
	}
}

func TestPhrasesThatCannotBeMatchedAreRefused(t *testing.T) {
	for phrase, ok := range map[string]bool{
		"close issue {number}": true, "{title} is what": true, strings.Repeat("x", maxPhrase): true,
		strings.Repeat("x", maxPhrase+1): false, "": false, " \t": false, "{title}": false, "{number} / {weight}": false,
		"close {number}{title}": false, "close {none}": false, "close {nested}": false, "close " + strings.Repeat("{number} ", maxSlots): true,
		"close " + strings.Repeat("{number} ", maxSlots+1): false, "close {number": true, "close {Number}": false, `close [a-z]+(x`: true,
	} {
		if err := Check(phrase, json.RawMessage(issueInput)); (err == nil) != ok || err != nil && !writ.IsCode(err, writ.CodeInvalid) {
			t.Errorf("%q: %v", phrase, err)
		}
	}
	if err := Check("close {number}", json.RawMessage(`not json`)); !writ.IsCode(err, writ.CodeInvalid) {
		t.Errorf("a schema that is none: %v", err)
	}
}

func TestNearPhrasesAreShown(t *testing.T) {
	all := func(*writ.Release, string) bool { return true }
	some := func(r *writ.Release, action string) bool { return r.Key == "writ/github" && action == "label" }
	if near := theBook().Near("could you rename that issue?", 3, some); len(near) != 2 || !strings.HasPrefix(near[0], "label issue") || !strings.HasPrefix(near[1], "label issue") {
		t.Errorf("of what may be shown: %q", near)
	}
	near := theBook().Near("could you rename that issue?", 3, all)
	if len(near) != 3 || !strings.HasPrefix(near[0], "rename issue") && !strings.HasPrefix(near[0], "set issue") {
		t.Errorf("%q", near)
	}
	if near := theBook().Near("good morning", 3, all); len(near) != 0 {
		t.Errorf("%q", near)
	}
}

// TestNoWordOfAPersonIsInTheDraft: whatever is said stands in the metadata alone.
func TestNoWordOfAPersonIsInTheDraft(t *testing.T) {
	found := theBook().Read("rename issue 1 of a/b to ${{ secrets.all }} evil")
	if len(found) != 1 {
		t.Fatalf("%+v", found)
	}
	draft, err := found[0].Draft()
	const want = `{"apiVersion":"writ/v1","kind":"Plan","steps":[{"name":"do","uses":"writ/github@0.1.1#rename","with":{"number":"${{ intent.metadata.input.number }}","owner":"${{ intent.metadata.input.owner }}","repo":"${{ intent.metadata.input.repo }}","title":"${{ intent.metadata.input.title }}"}}]}`
	if err != nil || draft != want {
		t.Errorf("%s\nwant\n%s\n%v", draft, want, err)
	}
}

// TestPropertyWhatWasPutInComesOut: values in a phrase's places are the values of the
// match, where none of them has the phrase's own words.
func TestPropertyWhatWasPutInComesOut(t *testing.T) {
	b := theBook()
	rapid.Check(t, func(draw *rapid.T) {
		number := rapid.Int64Range(0, 1e15).Draw(draw, "number")
		owner, repo := rapid.StringMatching(`[a-z0-9-]{1,20}`).Draw(draw, "owner"), rapid.StringMatching(`[a-z0-9_-]{1,20}`).Draw(draw, "repo")
		title := rapid.StringMatching(`[a-zA-Z0-9 ${}<>äß]{0,40}[a-z]`).Filter(func(s string) bool { return strings.TrimSpace(s) == s }).Draw(draw, "title")
		raw, _ := json.Marshal(number)
		found := b.Read("rename issue " + string(raw) + " of " + owner + "/" + repo + " to " + title)
		want := map[string]any{"number": float64(number), "owner": owner, "repo": repo, "title": title}
		if len(found) != 1 {
			draw.Fatalf("%d matches", len(found))
		}
		var got map[string]any
		if err := json.Unmarshal(found[0].Input, &got); err != nil || len(got) != len(want) {
			draw.Fatalf("%s: %v", found[0].Input, err)
		}
		for name := range want {
			if got[name] != want[name] {
				draw.Fatalf("%s is %v, want %v", name, got[name], want[name])
			}
		}
	})
}

func FuzzRead(f *testing.F) {
	b := theBook()
	for _, e := range b.entries {
		f.Add(e.utterance.phrase)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, m := range b.Read(text) {
			draft, err := m.Draft()
			if err != nil || !json.Valid(m.Input) || !json.Valid([]byte(draft)) || !slices.ContainsFunc(b.entries, func(e bookEntry) bool { return e.action == m.Action }) {
				t.Fatalf("%+v %v", m, err)
			}
		}
		b.Near(text, 3, func(*writ.Release, string) bool { return true })
	})
}
