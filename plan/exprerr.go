package plan

import (
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
)

var (
	undeclared = regexp.MustCompile(`^undeclared reference to '\.?([^']*)'`)
	undefined  = regexp.MustCompile(`^undefined field '([^']*)'`)
)

// issues turns CEL's errors into ours, with advice. tree is nil where the text
// did not parse.
func (e *exprEnv) issues(issues *cel.Issues, tree *ast.AST) []exprError {
	var out []exprError
	for _, err := range issues.Errors() {
		message, _, _ := strings.Cut(err.Message, "\n")
		failed := exprError{line: err.Location.Line(), column: err.Location.Column()}
		switch {
		case strings.Contains(message, "limit") || strings.Contains(message, "exceeds") || strings.Contains(message, "depth"):
			failed.finding = found(CodeExpressionLimit, "make the expression smaller, or compute the value in a step", "%s", clip(message))
		case tree == nil:
			failed.finding = found(CodeExpressionSyntax, "correct the CEL expression", "%s", syntaxOf(message))
		case undeclared.MatchString(message):
			failed.finding = e.undeclaredName(undeclared.FindStringSubmatch(message)[1])
		case undefined.MatchString(message):
			failed.finding = e.undefinedMember(undefined.FindStringSubmatch(message)[1], tree, err.ExprID)
		case strings.HasPrefix(message, "invalid matches"):
			failed.finding = found(CodeExpressionSyntax, "correct the regular expression (RE2)", "%s", clip(message))
		default:
			failed.finding = found(CodeExpressionType, "compare and join values of one type; int(...), double(...) and string(...) convert", "%s", shortTypes(message))
		}
		out = append(out, failed)
	}
	return out
}

// syntaxOf leaves out the list of every token that might have come.
func syntaxOf(message string) string {
	message, _, _ = strings.Cut(strings.TrimPrefix(message, "Syntax error: "), " expecting {")
	return strings.ReplaceAll(message, "'<EOF>'", "end")
}

// shortTypes takes CEL's wrappers out of a message about types.
func shortTypes(message string) string {
	return strings.NewReplacer("wrapper(", "nullable(", "google.protobuf.", "").Replace(message)
}

func (e *exprEnv) undeclaredName(name string) finding {
	candidates := []string{}
	for _, variable := range e.env.Variables() {
		if slices.Contains([]string{rootIntent, rootInputs, rootSteps, rootItem}, variable.Name()) {
			candidates = append(candidates, variable.Name())
		}
	}
	for function := range e.env.Functions() {
		if regexp.MustCompile(`^[a-zA-Z]+$`).MatchString(function) {
			candidates = append(candidates, function)
		}
	}
	root, _, _ := strings.Cut(name, ".")
	fix := "expressions read intent, inputs and steps.NAME.output"
	if near := nearest(root, candidates); near != "" {
		fix = "did you mean " + near + "?"
	} else if slices.ContainsFunc(e.stepNames(), func(step string) bool { return strings.HasSuffix(step, "-"+root) }) {
		fix = "write a name with a hyphen between backquotes: steps.`NAME`.output"
	}
	return found(CodeExpressionUnknown, fix, "%q is not known here", clip(name))
}

func (e *exprEnv) stepNames() []string {
	if s, ok := e.provider.objects["object("+rootSteps+")"]; ok {
		return s.names()
	}
	return nil
}

// undefinedMember says what a member may have been meant to be: of its own
// object where that can be told, of all otherwise.
func (e *exprEnv) undefinedMember(name string, tree *ast.AST, id int64) finding {
	owner, path := e.owner(tree, id)
	if path == rootSteps {
		names := e.stepNames()
		fix := suggest(name, names)
		if slices.ContainsFunc(names, func(step string) bool { return strings.HasPrefix(step, name+"-") }) {
			fix = "write a name with a hyphen between backquotes: steps.`NAME`.output"
		}
		return found(CodeUnknownStep, fix, "there is no step %q", clip(name))
	}
	if owner != nil {
		return found(CodeExpressionUnknown, suggest(name, owner.names()), "%s has no member %q", path, clip(name))
	}
	var candidates []string
	for _, object := range e.provider.objects {
		candidates = append(candidates, object.names()...)
	}
	fix := "look into the output schema of the action"
	if near := nearest(name, candidates); near != "" {
		fix = "did you mean " + near + "?"
	}
	return found(CodeExpressionUnknown, fix, "there is no member %q", clip(name))
}

// owner is the object whose member the expression with the id selects.
func (e *exprEnv) owner(tree *ast.AST, id int64) (*shape, string) {
	var chosen ast.Expr
	ast.PreOrderVisit(tree.Expr(), ast.NewExprVisitor(func(expr ast.Expr) {
		if expr.ID() == id && expr.Kind() == ast.SelectKind {
			chosen = expr.AsSelect().Operand()
		}
	}))
	if chosen == nil {
		return nil, ""
	}
	root, path, ok := selection(chosen)
	if !ok {
		return nil, ""
	}
	at := sizes{e.provider}.declared(append([]string{root}, path...))
	if at == nil || at.kind != shapeObject {
		return nil, ""
	}
	return at, strings.Join(append([]string{root}, path...), ".")
}
