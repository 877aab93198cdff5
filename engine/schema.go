package engine

import (
	"encoding/json"
	"sync"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// schemas keeps resolved output schemas: resolving one costs far more than
// checking a value. Its size is bounded by dropping everything when full, since
// a host has tens of actions, not thousands.
type schemas struct {
	mu     sync.Mutex
	byText map[string]*jsonschema.Resolved
}

const maxSchemas = 1024

// check holds a guest's output against what its manifest promises.
func (s *schemas) check(action *abi.Action, output []byte) error {
	resolved, err := s.output(action)
	if err != nil {
		return err
	}
	var value any
	if err := json.Unmarshal(output, &value); err != nil {
		return writ.Errorf(writ.CodeInvalid, "output", "is not JSON")
	}
	if err := resolved.Validate(value); err != nil {
		return writ.Errorf(writ.CodeInvalid, "output", "does not fit the schema of action %s: %w", action.Name, err)
	}
	return nil
}

func (s *schemas) output(action *abi.Action) (*jsonschema.Resolved, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if resolved, ok := s.byText[string(action.Output)]; ok {
		return resolved, nil
	}
	var schema jsonschema.Schema
	if err := json.Unmarshal(action.Output, &schema); err != nil {
		return nil, writ.Errorf(writ.CodeInvalid, "action "+action.Name, "its output schema does not decode: %w", err)
	}
	resolved, err := schema.Resolve(nil)
	if err != nil {
		return nil, writ.Errorf(writ.CodeInvalid, "action "+action.Name, "its output schema does not resolve: %w", err)
	}
	if s.byText == nil || len(s.byText) >= maxSchemas {
		s.byText = map[string]*jsonschema.Resolved{}
	}
	s.byText[string(action.Output)] = resolved
	return resolved, nil
}
