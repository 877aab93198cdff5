package plan

import (
	"encoding/json"
	"net/url"
	"strconv"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// patternText is one pattern of a use, with {member} placeholders.
type patternText struct {
	narrower *narrower
	tool     string
	scope    string
	pattern  string
}

// token is literal text of a pattern, or a placeholder.
type token struct {
	text string   // literal
	path []string // of the input member; nil for literal text
	part string   // "host" or "path" of the member's URL, or ""
}

// unknownMark stands for a value that is not known, until the star is placed.
const unknownMark = "\x00"

// substitute puts values into the pattern. The state is argumentAbsent where a
// member is not there, argumentUnknown where the pattern is one member that is
// not known yet.
func (p *patternText) substitute() (string, argumentState, *narrowing) {
	tokens, failed := p.tokens()
	if failed != nil {
		return "", argumentAbsent, failed
	}
	single := len(tokens) == 1
	var b strings.Builder
	unknown := false
	for _, t := range tokens {
		if t.path == nil {
			b.WriteString(t.text)
			continue
		}
		arg := p.narrower.lookup(t.path)
		switch arg.state {
		case argumentAbsent:
			return "", argumentAbsent, nil
		case argumentUnknown:
			if single || p.scope == writ.ScopeMethods {
				return "", argumentUnknown, nil
			}
			unknown = true
			b.WriteString(unknownMark)
			continue
		}
		text, failed := p.value(t, arg.value, single)
		if failed != nil {
			return "", argumentAbsent, failed
		}
		b.WriteString(text)
	}
	text := b.String()
	if unknown {
		text = p.starred(text)
	}
	return p.checked(text, tokens)
}

// checked refuses what no call could ever match, so that a value which does not
// fit is said now and not found denied later.
func (p *patternText) checked(text string, tokens []token) (string, argumentState, *narrowing) {
	sep := map[string]string{writ.ScopeHosts: ".", writ.ScopePaths: "/", writ.ScopeChannels: "/"}[p.scope]
	if sep == "" || writ.ValidPattern(text, sep) {
		return text, argumentKnown, nil
	}
	for _, t := range tokens {
		if t.path != nil {
			return "", argumentAbsent, p.badValue(t, text, "gives a pattern that no call can match")
		}
	}
	return "", argumentAbsent, p.narrower.invalid(p.pattern, "it is not a pattern")
}

// starred widens each segment with an unknown value from there on: a star may
// only end a segment. A prefix just ends there.
func (p *patternText) starred(text string) string {
	sep := "/"
	switch p.scope {
	case writ.ScopePrefixes:
		known, _, _ := strings.Cut(text, unknownMark)
		return known
	case writ.ScopeHosts:
		sep = "."
	}
	segments := strings.Split(text, sep)
	for i, segment := range segments {
		if known, _, found := strings.Cut(segment, unknownMark); found {
			segments[i] = known + "*"
		}
	}
	return strings.Join(segments, sep)
}

func (p *patternText) tokens() ([]token, *narrowing) {
	var out []token
	for rest := p.pattern; rest != ""; {
		open := strings.IndexAny(rest, "{}")
		if open < 0 {
			return append(out, token{text: rest}), nil
		}
		end := strings.IndexByte(rest, '}')
		if rest[open] == '}' || end < 0 {
			return nil, p.narrower.invalid(p.pattern, "a placeholder is not closed")
		}
		if open > 0 {
			out = append(out, token{text: rest[:open]})
		}
		t, failed := p.placeholder(rest[open+1 : end])
		if failed != nil {
			return nil, failed
		}
		if t.part != "" && (open > 0 || len(out) > 0 || end+1 < len(rest)) {
			return nil, p.narrower.invalid(p.pattern, "{member.%s} must stand alone", t.part)
		}
		out = append(out, t)
		rest = rest[end+1:]
	}
	return out, nil
}

// placeholder reads the name of a member: a member of that path where the schema
// has one, otherwise the host or path of the URL that the member is.
func (p *patternText) placeholder(name string) (token, *narrowing) {
	path := strings.Split(name, ".")
	if s := memberAt(p.narrower.input, path); s != nil {
		return token{path: path}, p.substitutable(s, name)
	}
	last := len(path) - 1
	if part := path[last]; last > 0 && (part == "host" || part == "path") {
		if s := memberAt(p.narrower.input, path[:last]); s != nil {
			if s.kind != shapeString && s.kind != shapeDyn {
				return token{}, p.narrower.invalid(p.pattern, "{%s} is of a member that is no URL", name)
			}
			return token{path: path[:last], part: part}, nil
		}
	}
	return token{}, p.narrower.invalid(p.pattern, "{%s} names no member of the input", name)
}

func (p *patternText) substitutable(s *shape, name string) *narrowing {
	switch s.kind {
	case shapeString, shapeInt, shapeBool, shapeNumber, shapeDyn:
		return nil
	}
	return p.narrower.invalid(p.pattern, "{%s} is of type %s, which has no text", name, s)
}

// memberAt is the shape at a path, nil where the schema does not have it.
func memberAt(s *shape, path []string) *shape {
	for _, name := range path {
		if s == nil || name == "" {
			return nil
		}
		inner, ok := s.members[name]
		if !ok && s.kind == shapeDyn {
			return dyn
		}
		if !ok {
			inner = s.extra
		}
		s = inner
	}
	return s
}

func (p *patternText) badValue(t token, value, why string) *narrowing {
	fix := "give a plain value: one name, without /, * or .."
	if t.part != "" {
		fix = "give an absolute http or https URL without a star, credentials, fragment or dot segments"
	}
	return &narrowing{finding: found(CodeCapabilityValue, fix,
		"with.%s is %q, which %s", strings.Join(t.path, "."), clip(value), why)}
}

// value is the text that a known value adds to the pattern. Whatever could add
// a segment, a star or a step upwards is refused or escaped.
func (p *patternText) value(t token, value any, single bool) (string, *narrowing) {
	text, ok := plainText(value)
	switch {
	case !ok:
		return "", p.badValue(t, "of another type", "has no text")
	case text == "":
		return "", p.badValue(t, text, "is empty")
	case t.part != "":
		return p.urlPart(t, text)
	case p.scope == writ.ScopeMethods:
		return text, nil
	case p.scope == writ.ScopePrefixes:
		if !single && strings.Contains(text, "/") {
			return "", p.badValue(t, text, "would add a segment")
		}
		return text, nil
	case p.scope == writ.ScopeHosts:
		if strings.ContainsAny(text, "*/@?#%\\ \x00") || (!single && strings.Contains(text, ".")) {
			return "", p.badValue(t, text, "is not a host name")
		}
		return strings.ToLower(text), nil
	case single:
		return p.wholePath(t, text)
	}
	return p.segment(t, text)
}

// segment is one segment of a path. An HTTP path is matched as it is sent:
// escaped. A path of files has no escapes.
func (p *patternText) segment(t token, text string) (string, *narrowing) {
	if text == "." || text == ".." || strings.ContainsAny(text, "/\\\x00") {
		return "", p.badValue(t, text, "would add a segment or lead elsewhere")
	}
	if p.tool == toolHTTP {
		return url.PathEscape(text), nil
	}
	if strings.Contains(text, "*") {
		return "", p.badValue(t, text, "holds a star")
	}
	return text, nil
}

// wholePath is a path that is one member.
func (p *patternText) wholePath(t token, text string) (string, *narrowing) {
	if p.tool == toolHTTP {
		target, err := writ.HTTPTarget("GET", "https://host"+text)
		if err != nil || !strings.HasPrefix(text, "/") || strings.Contains(target.Path, "*") {
			return "", p.badValue(t, text, "is not the path of a URL")
		}
		return target.Path, nil
	}
	for segment := range strings.SplitSeq(text, "/") {
		if segment == "" || segment == "." || segment == ".." || strings.ContainsAny(segment, "*\\\x00") {
			return "", p.badValue(t, text, "is not a plain relative path")
		}
	}
	return text, nil
}

// urlPart is the host or the path of a URL, exactly as the http tool reads it.
func (p *patternText) urlPart(t token, text string) (string, *narrowing) {
	target, err := writ.HTTPTarget("GET", text)
	if err != nil {
		return "", p.badValue(t, text, "is not a plain URL")
	}
	part := target.Host
	if t.part == "path" {
		part = target.Path
	}
	if strings.Contains(part, "*") {
		return "", p.badValue(t, text, "holds a star")
	}
	return part, nil
}

// plainText is the text of a string, number or boolean: of a number the
// canonical form, so that 1.50 of a draft is the 1.5 of its plan.
func plainText(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case json.Number:
		if !strings.ContainsAny(v.String(), ".eE") && v != "-0" {
			return v.String(), true
		}
		text, err := canon.MarshalJSON(v)
		return string(text), err == nil
	case float64:
		text, err := canon.MarshalJSON(v)
		return string(text), err == nil
	}
	return "", false
}
