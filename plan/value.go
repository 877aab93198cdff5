package plan

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"github.com/writ-run/writ/canon"
)

// plain is a decoded value with the numbers that the validator knows.
func plain(v any) any {
	switch t := v.(type) {
	case json.Number:
		f, err := t.Float64()
		if err != nil {
			return t.String()
		}
		return f
	case []any:
		out := make([]any, len(t))
		for i, item := range t {
			out[i] = plain(item)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(t))
		for name, inner := range t {
			out[name] = plain(inner)
		}
		return out
	}
	return v
}

// toCEL gives a decoded value the types of its shape: canonical JSON writes the
// number 2.0 as 2, and an operator on an int fails on a double.
func toCEL(v any, s *shape) any {
	if s == nil {
		s = dyn
	}
	switch t := v.(type) {
	case json.Number:
		return celNumber(t.String(), s.kind)
	case []any:
		out := make([]any, len(t))
		for i, item := range t {
			out[i] = toCEL(item, s.item)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(t))
		for name, value := range t {
			inner, ok := s.members[name]
			if !ok {
				inner = s.extra
			}
			out[name] = toCEL(value, inner)
		}
		return out
	case nil:
		// Go writes an empty slice or map as null; a list cannot be null in CEL.
		if s.nullable && s.kind == shapeList {
			return []any{}
		}
		if s.nullable && s.kind == shapeMap {
			return map[string]any{}
		}
	}
	return v
}

func celNumber(text string, kind shapeKind) any {
	if kind != shapeNumber {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return text
	}
	if kind == shapeInt && f == math.Trunc(f) && math.Abs(f) <= canon.MaxSafeInteger {
		return int64(f)
	}
	return f
}

// absent is the value of an optional that holds nothing.
type absent struct{}

// maxValueBytes bounds what one expression may yield: lists may share their
// elements, so a small evaluation can write out very long.
const maxValueBytes = 4 << 20

// fromCEL is the JSON value of a CEL value.
func fromCEL(v ref.Val) (any, error) {
	w := &valueWriter{left: maxValueBytes}
	return w.value(v, 0)
}

type valueWriter struct{ left int }

func (w *valueWriter) spend(n int) error {
	if w.left -= n; w.left < 0 {
		return fmt.Errorf("the value is larger than %d bytes", maxValueBytes)
	}
	return nil
}

func (w *valueWriter) value(v ref.Val, depth int) (any, error) {
	if err := w.spend(2); err != nil {
		return nil, err
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("the value is nested deeper than %d levels", maxDepth)
	}
	switch t := v.(type) {
	case types.Null:
		return nil, nil
	case types.Bool:
		return bool(t), nil
	case types.Int:
		return safeInteger(float64(t), strconv.FormatInt(int64(t), 10))
	case types.Uint:
		return safeInteger(float64(t), strconv.FormatUint(uint64(t), 10))
	case types.Double:
		return finite(float64(t))
	case types.String:
		if !utf8.ValidString(string(t)) {
			return nil, fmt.Errorf("the text is not valid Unicode")
		}
		return string(t), w.spend(len(t))
	case *types.Optional:
		if !t.HasValue() {
			return absent{}, nil
		}
		return w.value(t.GetValue(), depth+1)
	case traits.Mapper:
		return w.object(t, depth)
	case traits.Lister:
		return w.list(t, depth)
	}
	return nil, fmt.Errorf("a value of type %s has no JSON form", v.Type().TypeName())
}

func safeInteger(f float64, text string) (any, error) {
	if math.Abs(f) > canon.MaxSafeInteger {
		return nil, fmt.Errorf("integer %s is beyond 2^53-1", text)
	}
	return json.Number(text), nil
}

func finite(f float64) (any, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, fmt.Errorf("%v is not a JSON number", f)
	}
	return f, nil
}

func (w *valueWriter) object(m traits.Mapper, depth int) (any, error) {
	out := map[string]any{}
	for it := m.Iterator(); it.HasNext() == types.True; {
		key := it.Next()
		name, ok := key.(types.String)
		if !ok || !utf8.ValidString(string(name)) {
			return nil, fmt.Errorf("the name of a member must be text, not %s", key.Type().TypeName())
		}
		if err := w.spend(len(name)); err != nil {
			return nil, err
		}
		value, err := w.value(m.Get(key), depth+1)
		if err != nil {
			return nil, err
		}
		if value != any(absent{}) {
			out[string(name)] = value
		}
	}
	return out, nil
}

func (w *valueWriter) list(l traits.Lister, depth int) (any, error) {
	out := []any{}
	for it := l.Iterator(); it.HasNext() == types.True; {
		value, err := w.value(it.Next(), depth+1)
		if err != nil {
			return nil, err
		}
		if value == any(absent{}) {
			return nil, fmt.Errorf("an element of a list holds no value")
		}
		out = append(out, value)
	}
	return out, nil
}

// program makes a checked expression ready to run, under the run-time bound of
// cost. CEL's own bound of memory counts five levels of nesting at most and
// would refuse ordinary documents; fromCEL bounds what comes out.
func (e *exprEnv) program(checked *cel.Ast) (cel.Program, error) {
	return e.env.Program(checked, cel.CostLimit(e.maxCost), cel.CustomDecoratorV2(orderLiterals))
}

// evaluate runs a program over decoded, typed values.
func evaluate(program cel.Program, vars map[string]any) (any, *finding) {
	value, _, err := program.Eval(vars)
	if err != nil {
		f := evaluationError(err)
		return nil, &f
	}
	out, err := fromCEL(value)
	if err != nil {
		f := found(CodeExpressionValue, "return a JSON value", "%v", err)
		return nil, &f
	}
	return out, nil
}

func evaluationError(err error) finding {
	message := clip(err.Error())
	switch {
	case strings.Contains(message, "limit exceeded"):
		return found(CodeExpressionLimit, "work on less data, or compute the value in a step", "%s", message)
	case strings.Contains(message, "no such member: output"):
		return found(CodeExpressionValue, "guard it with has(steps.NAME.output), or give the step the same condition", "a step that is read has no output: it was skipped or has not run")
	case strings.Contains(message, "no such"):
		return found(CodeExpressionValue, "guard it with has(...), or select it with .? and orValue(...)", "%s", message)
	}
	return found(CodeExpressionValue, "correct the expression or the data that it reads", "%s", message)
}
