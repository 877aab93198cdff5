package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// Bounds of an answer. A rule that names every member of a large input would
// otherwise fill the journal.
const (
	maxReasons = 64
	maxRoles   = 32
	maxText    = 2048 // a fix names a whole command line with its scope
	maxPeople  = 16
	maxSpan    = 90 * 24 * time.Hour
)

// shapeError says what is wrong with an answer.
type shapeError struct{ message string }

func (e *shapeError) Error() string { return e.message }

func shapef(format string, args ...any) error {
	return &shapeError{fmt.Sprintf(format, args...)}
}

// decodeVerdict reads an answer. Whatever it does not know exactly blocks: a
// misspelt member must not be an absent one.
func decodeVerdict(value ast.Value) *writ.Verdict {
	v, err := readVerdict(value)
	if err != nil {
		return fault("shape", "the policy's answer is not understood: "+err.Error())
	}
	return v
}

func readVerdict(value ast.Value) (*writ.Verdict, error) {
	v := &writ.Verdict{}
	err := eachMember("answer", value, func(name string, value ast.Value) (err error) {
		switch name {
		case "mode":
			v.Mode, err = readEnum(name, value, writ.Blocked, writ.Assist, writ.Autonomous)
		case "risk":
			v.Risk, err = readEnum(name, value, writ.RiskLow, writ.RiskMedium, writ.RiskHigh, writ.RiskBlocked)
		case "reasons":
			v.Reasons, err = readReasons(value)
		case "approvals":
			v.Approvals, err = readRequirement(value)
		case "budget":
			v.Budget, err = readBudget(value)
		default:
			err = shapef("unknown member %q", name)
		}
		return err
	})
	if err == nil && (v.Mode == "" || v.Risk == "" || v.Reasons == nil) {
		err = shapef("mode, risk and reasons must be there")
	}
	return v, err
}

func readEnum[T ~string](name string, value ast.Value, known ...T) (T, error) {
	s, _ := value.(ast.String)
	if !slices.Contains(known, T(s)) {
		return "", shapef("%s: want one of %v", name, known)
	}
	return T(s), nil
}

// readReasons takes an array or a set and sorts, so equal answers are equal bytes.
func readReasons(value ast.Value) ([]writ.Reason, error) {
	reasons := []writ.Reason{}
	err := eachItem("reasons", value, maxReasons, func(item ast.Value) error {
		var r writ.Reason
		err := eachMember("reasons", item, func(name string, value ast.Value) (err error) {
			switch name {
			case "rule":
				r.Rule, err = readText("rule", value)
			case "message":
				r.Message, err = readText("message", value)
			case "fix":
				r.Fix, err = readFix(value)
			default:
				err = shapef("reasons: unknown member %q", name)
			}
			return err
		})
		if err == nil && (r.Rule == "" || r.Message == "") {
			err = shapef("reasons: rule and message must be there")
		}
		reasons = append(reasons, r)
		return err
	})
	slices.SortFunc(reasons, func(a, b writ.Reason) int {
		return cmp.Or(strings.Compare(a.Rule, b.Rule), strings.Compare(a.Message, b.Message), strings.Compare(a.Fix, b.Fix))
	})
	return slices.Compact(reasons), err
}

func readRequirement(value ast.Value) (writ.Requirement, error) {
	var r writ.Requirement
	err := eachMember("approvals", value, func(name string, value ast.Value) (err error) {
		switch name {
		case "count":
			r.Count, err = readCount("approvals.count", value, maxPeople)
		case "roles":
			r.Roles, err = readTexts("approvals.roles", value)
		case "quorum":
			r.Quorum, err = readQuorum(value)
		case "expiresIn":
			r.ExpiresIn, err = readSpan("approvals.expiresIn", value)
		case "escalateAfter":
			r.EscalateAfter, err = readSpan("approvals.escalateAfter", value)
		case "escalateTo":
			r.EscalateTo, err = readTexts("approvals.escalateTo", value)
		default:
			err = shapef("approvals: unknown member %q", name)
		}
		return err
	})
	r = r.Join(&writ.Requirement{}) // the seats are people too, and stand in order
	if err == nil && r.Count > maxPeople {
		err = shapef("approvals.quorum: asks for more than %d people", maxPeople)
	}
	return r, err
}

// readQuorum takes an array or a set. A role that stands in it twice is refused:
// whether it is the sum that is meant nobody can tell.
func readQuorum(value ast.Value) ([]writ.Seats, error) {
	out := []writ.Seats{}
	err := eachItem("approvals.quorum", value, maxRoles, func(item ast.Value) error {
		var s writ.Seats
		err := eachMember("approvals.quorum", item, func(name string, value ast.Value) (err error) {
			switch name {
			case "role":
				s.Role, err = readText("approvals.quorum.role", value)
			case "count":
				s.Count, err = readCount("approvals.quorum.count", value, maxPeople)
			default:
				err = shapef("approvals.quorum: unknown member %q", name)
			}
			return err
		})
		switch {
		case err != nil:
			return err
		case s.Role == "" || s.Count < 1:
			return shapef("approvals.quorum: role and a count of at least 1 must be there")
		case slices.ContainsFunc(out, func(have writ.Seats) bool { return have.Role == s.Role }):
			return shapef("approvals.quorum: the role %q stands in it twice", s.Role)
		}
		out = append(out, s)
		return nil
	})
	return out, err
}

func readBudget(value ast.Value) (*writ.Budget, error) {
	b := &writ.Budget{}
	err := eachMember("budget", value, func(name string, value ast.Value) (err error) {
		if name != "calls" {
			return shapef("budget: unknown member %q", name)
		}
		b.Calls, err = readCount("budget.calls", value, 1<<30)
		return err
	})
	return b, err
}

func readCount(name string, value ast.Value, most int) (int, error) {
	number, _ := value.(ast.Number)
	n, ok := number.Int()
	if !ok || n < 0 || n > most {
		return 0, shapef("%s: want an integer from 0 to %d", name, most)
	}
	return n, nil
}

func readSpan(name string, value ast.Value) (abi.Duration, error) {
	s, _ := value.(ast.String)
	d, err := time.ParseDuration(string(s))
	if err != nil || d < 0 || d > maxSpan {
		return 0, shapef(`%s: want a span such as "24h", at most %s`, name, maxSpan)
	}
	return abi.Duration(d), nil
}

func readText(name string, value ast.Value) (string, error) {
	s, ok := value.(ast.String)
	if !ok {
		return "", shapef("%s: want a string", name)
	}
	return clean(string(s), maxText), nil
}

// readFix drops what would be cut: half a command must not be pasted.
func readFix(value ast.Value) (string, error) {
	if s, ok := value.(ast.String); ok && len(s) > maxText {
		return "", nil
	}
	return readText("fix", value)
}

func readTexts(name string, value ast.Value) ([]string, error) {
	out := []string{}
	err := eachItem(name, value, maxRoles, func(item ast.Value) error {
		s, err := readText(name, item)
		out = append(out, s)
		return err
	})
	slices.Sort(out)
	return slices.Compact(out), err
}

func eachMember(name string, value ast.Value, fn func(string, ast.Value) error) error {
	object, ok := value.(ast.Object)
	if !ok {
		return shapef("%s: want an object", name)
	}
	return object.Iter(func(key, value *ast.Term) error {
		s, ok := key.Value.(ast.String)
		if !ok {
			return shapef("%s: a member's name must be a string", name)
		}
		return fn(string(s), value.Value)
	})
}

func eachItem(name string, value ast.Value, most int, fn func(ast.Value) error) error {
	list, ok := value.(interface {
		Len() int
		Iter(func(*ast.Term) error) error
	})
	if !ok {
		return shapef("%s: want an array or a set", name)
	}
	if list.Len() > most {
		return shapef("%s: more than %d items", name, most)
	}
	return list.Iter(func(item *ast.Term) error { return fn(item.Value) })
}

// clean makes a text safe for one line of a terminal: what a draft says may stand
// in a reason. A text that is too long is cut where a character ends.
func clean(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' {
			return utf8.RuneError
		}
		return r
	}, s)
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most] + "..."
}
