package channel

// Outgoing is what is to be said in a thread, in the same form for all providers.
type Outgoing struct {
	Thread  string   `json:"thread"`
	Text    string   `json:"text"` // plain: an adapter escapes what its provider would take for markup
	Buttons []Button `json:"buttons,omitempty"`
	// Replaces is the provider's id of what was said before and is to be changed; empty:
	// it is said anew. Where a provider changes nothing it is said anew, too.
	Replaces string `json:"replaces,omitempty"`
}

// Button is pressed by a person and comes back as a message that was pressed. Where a
// provider has no buttons they are left out: the text says what else can be done.
type Button struct {
	Label string `json:"label"`
	Press Press  `json:"press"`
}

// ID is the press in the form that PressOf reads.
func (b *Button) ID() string { return b.Press.Action + ":" + b.Press.Value }
