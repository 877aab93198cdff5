package trace

import (
	"github.com/writ-run/writ"
)

// Problem is one thing that is wrong with a stored journal.
type Problem struct {
	Stream  writ.StreamID `json:"stream,omitempty"`
	Seq     uint64        `json:"seq,omitempty"`
	Field   string        `json:"field"`
	Message string        `json:"message"`
}
