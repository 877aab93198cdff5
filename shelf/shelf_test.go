package shelf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

func item(name, version, bundle string) Item {
	return Item{Entry: Entry{Name: name, Version: version, Actions: []string{"go"}}, Bundle: []byte(bundle)}
}

func items() []Item {
	return []Item{item("writ/b", "0.1.0", strings.Repeat("b", 5000)), item("writ/a", "0.2.0", "second"), item("writ/a", "0.1.0", "first")}
}

func packed(t testing.TB) []byte {
	t.Helper()
	archive, err := Pack(items())
	if err != nil {
		t.Fatal(err)
	}
	return archive
}

func TestWhatIsPackedComesOut(t *testing.T) {
	archive := packed(t)
	if again := packed(t); !bytes.Equal(archive, again) {
		t.Error("two archives of the same items differ")
	}
	s, err := Open(archive)
	if err != nil || len(s.Entries()) != 3 || s.Entries()[0].Version != "0.1.0" || s.Entries()[2].Name != "writ/b" {
		t.Fatalf("%+v, %v", s, err)
	}
	for name, want := range map[string]string{"writ/a": "second", "writ/a@0.1.0": "first", "writ/b@0.1.0": strings.Repeat("b", 5000)} {
		if got, err := s.Bundle(name); err != nil || string(got) != want {
			t.Errorf("%s is %.20q, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "writ/c", "writ/a@", "writ/a@0.3.0", "a"} {
		if _, err := s.Bundle(name); !errors.Is(err, ErrAbsent) {
			t.Errorf("%q is %v", name, err)
		}
	}
}

func TestAnEmptyShelf(t *testing.T) {
	s, err := Open(nil)
	if err != nil || len(s.Entries()) != 0 {
		t.Fatalf("%+v, %v", s, err)
	}
	if _, err := s.Bundle("writ/a"); !errors.Is(err, ErrAbsent) {
		t.Errorf("err = %v", err)
	}
}

// 0.10.0 is newer than 0.9.0, whatever their letters say.
func TestWithoutAVersionTheNewest(t *testing.T) {
	archive, err := Pack([]Item{item("writ/a", "0.10.0", "newest"), item("writ/a", "0.9.0", "older")})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Bundle("writ/a"); err != nil || string(got) != "newest" {
		t.Errorf("got %q, %v", got, err)
	}
}

// A byte that is another is found, wherever it is, or changes what the index says
// and nothing else.
func TestDamageIsFound(t *testing.T) {
	archive := packed(t)
	for i := range archive {
		broken := bytes.Clone(archive)
		broken[i] ^= 0x40
		s, err := Open(broken)
		if err != nil {
			continue
		}
		for name, want := range map[string]string{"writ/a@0.1.0": "first", "writ/a@0.2.0": "second"} {
			if got, err := s.Bundle(name); err == nil && string(got) != want {
				t.Errorf("byte %d: %s is %q", i, name, got)
			}
		}
	}
	for n := range len(archive) {
		if s, err := Open(archive[:n]); err == nil && n > 0 {
			if _, err := s.Bundle("writ/a"); err == nil {
				t.Errorf("an archive of %d bytes is whole", n)
			}
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(packed(f))
	f.Add([]byte(magic))
	f.Add(binary.BigEndian.AppendUint32([]byte(magic), 0xffffffff))
	f.Fuzz(func(_ *testing.T, archive []byte) {
		s, err := Open(archive)
		if err != nil {
			return
		}
		for _, e := range s.Entries() {
			_, _ = s.Bundle(e.Name + "@" + e.Version)
		}
	})
}
