package plan

import (
	"fmt"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"
)

// Bounds of one expression. Its source fits on a screen; a comprehension inside
// a comprehension is the deepest that data of actions has needed.
const (
	maxExpressionSize    = 4096
	maxExpressionNodes   = 2000
	maxExpressionDepth   = 50
	maxComprehensionNest = 2
	maxRegexProgram      = 500
)

// timeFunctions are left out of the standard library: some depend on the
// host's time zone data, and JSON has no such values.
var timeFunctions = []string{
	"timestamp", "duration", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear",
	"getHours", "getMilliseconds", "getMinutes", "getMonth", "getSeconds",
}

// baseEnv is the environment that every expression extends.
func baseEnv() (*cel.Env, *types.Registry, error) {
	registry, err := types.NewRegistry()
	if err != nil {
		return nil, nil, err
	}
	subset := &env.LibrarySubset{}
	for _, name := range timeFunctions {
		subset.ExcludeFunctions = append(subset.ExcludeFunctions, env.NewFunction(name))
	}
	base, err := cel.NewCustomEnv(
		cel.StdLib(cel.StdLibSubset(subset)),
		cel.OptionalTypes(),
		cel.CrossTypeNumericComparisons(true),
		cel.EnableIdentifierEscapeSyntax(),
		cel.ParserExpressionSizeLimit(maxExpressionSize),
		cel.ExpressionNodeLimit(maxExpressionNodes),
		cel.ParserRecursionLimit(maxExpressionDepth),
		cel.RegexProgramSizeLimit(maxRegexProgram),
		cel.ASTValidators(cel.ValidateRegexLiterals(), cel.ValidateComprehensionNestingLimit(maxComprehensionNest)),
	)
	return base, registry, err
}

// provider gives CEL the types of shapes. Type names hold brackets so that no
// expression can name a type and meet a variable of the same path.
type provider struct {
	*types.Registry
	objects map[string]*shape
	fields  map[string]map[string]*types.FieldType
}

func newProvider(registry *types.Registry) *provider {
	return &provider{Registry: registry, objects: map[string]*shape{}, fields: map[string]map[string]*types.FieldType{}}
}

// declaration names the types of one variable.
type declaration struct {
	provider *provider
	done     map[*shape]*types.Type
}

// declare is the CEL type of a shape; path names the types of its objects.
func (p *provider) declare(path string, s *shape) *types.Type {
	return (&declaration{provider: p, done: map[*shape]*types.Type{}}).typeOf(path, s)
}

func (d *declaration) typeOf(path string, s *shape) *types.Type {
	switch s.kind {
	case shapeNull:
		return types.NullType
	case shapeBool:
		return maybeNull(types.BoolType, s)
	case shapeInt:
		return maybeNull(types.IntType, s)
	case shapeNumber:
		return maybeNull(types.DoubleType, s)
	case shapeString:
		return maybeNull(types.StringType, s)
	case shapeList:
		return types.NewListType(d.typeOf(path+"[]", s.item))
	case shapeMap:
		return types.NewMapType(types.StringType, d.typeOf(path+".*", s.extra))
	case shapeObject:
		return d.object(path, s)
	}
	return types.DynType
}

func maybeNull(t *types.Type, s *shape) *types.Type {
	if s.nullable {
		return types.NewNullableType(t)
	}
	return t
}

func (d *declaration) object(path string, s *shape) *types.Type {
	if done, ok := d.done[s]; ok {
		return done
	}
	name := "object(" + path + ")"
	t := types.NewObjectType(name)
	d.done[s] = t
	fields := map[string]*types.FieldType{}
	d.provider.objects[name], d.provider.fields[name] = s, fields
	// In order: a shape that several members share is named after the first.
	for _, member := range s.names() {
		fields[member] = field(member, d.typeOf(path+"."+member, s.members[member]))
	}
	return t
}

// field reads a member of a JSON object.
func field(name string, t *types.Type) *types.FieldType {
	return &types.FieldType{
		Type: t,
		IsSet: func(target any) bool {
			object, ok := target.(map[string]any)
			_, set := object[name]
			return ok && set
		},
		GetFrom: func(target any) (any, error) {
			object, ok := target.(map[string]any)
			if !ok {
				return nil, fmt.Errorf("no such member: %s of a value that is no object", name)
			}
			value, ok := object[name]
			if !ok {
				return nil, fmt.Errorf("no such member: %s", name)
			}
			return value, nil
		},
	}
}

// FindStructType knows the declared objects alone: no message of CEL's own
// registry can be constructed.
func (p *provider) FindStructType(name string) (*types.Type, bool) {
	if _, ok := p.objects[name]; ok {
		return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
	}
	return nil, false
}

// FindStructFieldNames implements types.Provider.
func (p *provider) FindStructFieldNames(name string) ([]string, bool) {
	s, ok := p.objects[name]
	if !ok {
		return nil, false
	}
	return s.names(), true
}

// FindStructFieldType implements types.Provider. Every member of an open object
// exists.
func (p *provider) FindStructFieldType(name, member string) (*types.FieldType, bool) {
	if known, ok := p.fields[name][member]; ok {
		return known, true
	}
	if s, ok := p.objects[name]; ok && s.extra != nil {
		return field(member, types.DynType), true
	}
	return nil, false
}

// NewValue implements types.Provider: nothing is constructed by type.
func (p *provider) NewValue(name string, _ map[string]ref.Val) ref.Val {
	return types.NewErr("cannot construct %s", name)
}

// shapeOf is the shape of a CEL type; ok is false for what JSON cannot hold.
func (p *provider) shapeOf(t *types.Type) (s *shape, ok bool) {
	switch t.Kind() {
	case types.DynKind, types.AnyKind, types.TypeParamKind:
		return dyn, true
	case types.NullTypeKind:
		return &shape{kind: shapeNull}, true
	case types.BoolKind:
		return &shape{kind: shapeBool}, true
	case types.IntKind, types.UintKind:
		return &shape{kind: shapeInt}, true
	case types.DoubleKind:
		return &shape{kind: shapeNumber}, true
	case types.StringKind:
		return &shape{kind: shapeString}, true
	case types.ListKind:
		item, ok := p.shapeOf(t.Parameters()[0])
		return &shape{kind: shapeList, item: item}, ok
	case types.MapKind:
		key := t.Parameters()[0].Kind()
		extra, ok := p.shapeOf(t.Parameters()[1])
		return &shape{kind: shapeMap, extra: extra}, ok && (key == types.StringKind || key == types.DynKind || key == types.TypeParamKind)
	case types.StructKind:
		s, ok = p.objects[t.TypeName()]
		return s, ok
	}
	return nil, false
}

// adapter wraps every map of JSON so that a comprehension visits its keys in
// order: Go's random order would make one plan give two results.
type adapter struct{ *types.Registry }

// NativeToValue implements types.Adapter.
func (a adapter) NativeToValue(value any) ref.Val {
	switch v := value.(type) {
	case map[string]any:
		return orderedMap{types.NewStringInterfaceMap(a, v)}
	case []any:
		return types.NewDynamicList(a, v)
	case map[ref.Val]ref.Val:
		return orderedMap{types.NewRefValMap(a, v)}
	case []ref.Val:
		return types.NewRefValList(a, v)
	}
	return a.Registry.NativeToValue(value)
}

// orderedMap is a map whose keys come sorted.
type orderedMap struct{ traits.Mapper }

// Iterator implements traits.Iterable.
func (m orderedMap) Iterator() traits.Iterator {
	var keys []ref.Val
	for it := m.Mapper.Iterator(); it.HasNext() == types.True; {
		keys = append(keys, it.Next())
	}
	slices.SortFunc(keys, compareKeys)
	return types.NewRefValList(types.DefaultTypeAdapter, keys).Iterator()
}

// compareKeys orders keys by type and then by value; JSON has strings alone.
func compareKeys(a, b ref.Val) int {
	if order, ok := a.(traits.Comparer); ok {
		if result, ok := order.Compare(b).(types.Int); ok {
			return int(result)
		}
	}
	if a.Type().TypeName() < b.Type().TypeName() {
		return -1
	}
	return 1
}

// orderLiterals does for the maps that an expression itself writes what adapter
// does for data.
func orderLiterals(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	if c, ok := i.(interpreter.InterpretableConstructor); ok && c.Type() == types.MapType {
		return orderedLiteral{i}, nil
	}
	return i, nil
}

type orderedLiteral struct{ interpreter.InterpretableV2 }

// Exec implements interpreter.InterpretableV2.
func (o orderedLiteral) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	value := o.InterpretableV2.Exec(frame)
	if m, ok := value.(traits.Mapper); ok {
		return orderedMap{m}
	}
	return value
}
