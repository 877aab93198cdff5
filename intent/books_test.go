package intent

import (
	"context"
	"fmt"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// shelf is a tenant's skills, whose changes are counted.
type shelf struct {
	epoch    uint64
	releases []*writ.Release
	faulty   bool
	made     int
}

func (s *shelf) books() *Books {
	return &Books{
		Epoch: func(context.Context, writ.TenantID) (uint64, error) { return s.epoch, nil },
		Releases: func(context.Context, writ.TenantID) ([]*writ.Release, bool, error) {
			s.made++
			return s.releases, !s.faulty, nil
		},
	}
}

func TestABookIsMadeAnewWhenSomethingHasChanged(t *testing.T) {
	s := &shelf{epoch: 1}
	books := s.books()
	read := func(text string) int {
		b, err := books.Book(t.Context(), "default")
		if err != nil {
			t.Fatal(err)
		}
		return len(b.Read(text))
	}
	for range 2 {
		if read("knock") != 0 || s.made != 1 {
			t.Errorf("made %d times", s.made)
		}
	}
	s.releases = []*writ.Release{{SkillRef: writ.SkillRef{Key: "acme/door"}, Manifest: &abi.Manifest{Actions: []abi.Action{action("knock", "knock")}}}}
	s.epoch++
	if read("knock") != 1 || s.made != 2 {
		t.Errorf("a skill that was installed is not there, made %d times", s.made)
	}
	s.faulty = true
	s.epoch++
	for made := 3; made <= 4; made++ {
		if read("knock") != 1 || s.made != made {
			t.Errorf("what could not be read whole was kept: made %d times", s.made)
		}
	}
}

func TestBooksAreBounded(t *testing.T) {
	s := &shelf{epoch: 1}
	books := s.books()
	for i := range maxBooks + 1 {
		if _, err := books.Book(t.Context(), writ.TenantID(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	if len(books.kept) != maxBooks {
		t.Errorf("%d books are kept", len(books.kept))
	}
}

func TestABookIsBounded(t *testing.T) {
	phrases := make([]string, maxPhrases+1)
	for i := range phrases {
		phrases[i] = fmt.Sprintf("knock %05d times", i)
	}
	b := book(action("knock", phrases...))
	if len(b.Read(phrases[maxPhrases-1])) != 1 || len(b.Read(phrases[maxPhrases])) != 0 {
		t.Error("a book has more phrases than it should, or fewer")
	}
}

func TestNoPhraseIsOneOfTheHostsOwn(t *testing.T) {
	for _, phrase := range []string{"writ help", "Writ status {title}", "/writ cancel {title}", "/WRIT", "writ", "writ@bot help", "/writ@bot {title}", "writ, {title}"} {
		if err := Check(phrase, []byte(issueInput)); !writ.IsCode(err, writ.CodeInvalid) {
			t.Errorf("%q: %v", phrase, err)
		}
	}
	for _, phrase := range []string{"writing {title}", "write {title}", "ask writ for {title}"} {
		if err := Check(phrase, []byte(issueInput)); err != nil {
			t.Errorf("%q: %v", phrase, err)
		}
	}
}

func TestActionsAreListedWithAPhraseEach(t *testing.T) {
	all := theBook().Actions()
	if len(all) != 4 || all[0].Action != "label" || all[1].Phrase != "lies Vorgang {number} von {owner}/{repo}" && all[1].Phrase != "read issue {number} of {owner}/{repo}" || all[0].Release == nil {
		t.Errorf("%+v", all)
	}
}
