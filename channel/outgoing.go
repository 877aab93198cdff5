package channel

// Outgoing is what is to be said in a thread, in the same form for all providers.
type Outgoing struct {
	Thread  string   `json:"thread"`
	Text    string   `json:"text"` // plain: an adapter escapes what its provider would take for markup
	Buttons []Button `json:"buttons,omitempty"`
	// Replaces is the provider's id of what was said before and is to be changed; empty:
	// it is said anew.
	Replaces string `json:"replaces,omitempty"`
}

// Button is pressed by a person and comes back as a message that was pressed.
type Button struct {
	Label string `json:"label"`
	Press Press  `json:"press"`
}
