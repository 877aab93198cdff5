package channel

import (
	"strings"

	"github.com/writ-run/writ"
)

// Outgoing is what is to be said in a thread, in the same form for all providers.
type Outgoing struct {
	Thread  string `json:"thread"`
	Heading string `json:"heading,omitempty"` // one line above the rest
	Facts   []Fact `json:"facts,omitempty"`   // to be read at a glance, below the heading
	Text    string `json:"text"`              // plain: an adapter escapes what its provider would take for markup
	// Field is where a person may write something before a button is pressed. Where a
	// provider has no fields it is left out.
	Field   *Field   `json:"field,omitempty"`
	Buttons []Button `json:"buttons,omitempty"`
	// Changes is the message of this host that is to be changed: where it was said, the
	// outbox knows its id.
	Changes writ.StreamID `json:"changes,omitempty"`
	// Replaces is the provider's id of what was said before and is to be changed; empty:
	// it is said anew. Where a provider changes nothing it is said anew, too.
	Replaces string `json:"replaces,omitempty"`
}

// Fact is a name and its value, both plain.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// further are the lines of a value behind its first one, further in: none of them is
// taken for another fact.
var further = strings.NewReplacer("\r\n", "\r\n  ", "\n", "\n  ", "\r", "\r  ", "\v", "\v  ", "\f", "\f  ", "\u0085", "\u0085  ", "\u2028", "\u2028  ", "\u2029", "\u2029  ")

// Plain is the fact in lines of text.
func (f *Fact) Plain() string { return f.Name + ": " + further.Replace(f.Value) }

// Field is one line or more that a person writes. What they wrote is the text of the
// message that a button of the same Outgoing comes back as.
type Field struct {
	Label string `json:"label"`
}

// Button is pressed by a person and comes back as a message that was pressed. Where a
// provider has no buttons they are left out: the text says what else can be done.
type Button struct {
	Label string `json:"label"`
	Press Press  `json:"press"`
	Style Style  `json:"style,omitempty"`
}

// Style is how a button looks, where a provider has more than one look.
type Style string

// The styles. Empty: as any other.
const (
	StyleGood Style = "good" // what is asked for is done
	StyleBad  Style = "bad"  // it is not
)

// ID is the press in the form that PressOf reads.
func (b *Button) ID() string { return b.Press.Action + ":" + b.Press.Value }

// Plain is all that is said in lines of text, for a provider that shows nothing else.
func (o *Outgoing) Plain() string {
	var lines []string
	if o.Heading != "" {
		lines = append(lines, o.Heading)
	}
	for i := range o.Facts {
		lines = append(lines, o.Facts[i].Plain())
	}
	if o.Text != "" {
		lines = append(lines, o.Text)
	}
	return strings.Join(lines, "\n")
}
