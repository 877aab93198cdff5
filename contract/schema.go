package contract

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// schemas caches what is derived from the Go types; it never changes after.
var schemas sync.Map // reflect.Type -> *schemaPair

type schemaPair struct {
	schema   *jsonschema.Schema
	resolved *jsonschema.Resolved
}

// InputSchema is the JSON Schema (2020-12) of the operation's input. It must not
// be changed.
func (c *Contract) InputSchema() *jsonschema.Schema { return schemaOf(c.in).schema }

// OutputSchema is the JSON Schema (2020-12) of the operation's output. It must
// not be changed.
func (c *Contract) OutputSchema() *jsonschema.Schema { return schemaOf(c.out).schema }

// CheckInput holds raw against the input schema. CodeInvalid names the JSON
// pointer and what is wanted there.
func (c *Contract) CheckInput(raw json.RawMessage) error { return check(c, raw, schemaOf(c.in)) }

// CheckOutput holds raw against the output schema, as CheckInput does.
func (c *Contract) CheckOutput(raw json.RawMessage) error { return check(c, raw, schemaOf(c.out)) }

func check(c *Contract, raw json.RawMessage, pair *schemaPair) error {
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		return decodeError(c.Key, err)
	}
	err := pair.resolved.Validate(value)
	if err == nil {
		return nil
	}
	// The library has the first word: findFault explains, it does not decide.
	f := findFault(pair.schema, value)
	if f == nil {
		f = &fault{message: err.Error(), fix: "`writ contract show " + c.Key + "` has the schema"}
	}
	place := f.place
	if place == "" {
		place = "/"
	}
	return &writ.Error{
		Code: writ.CodeInvalid, Op: c.Key, Place: place, Message: f.message, Fix: f.fix,
	}
}

func schemaOf(t reflect.Type) *schemaPair {
	if have, ok := schemas.Load(t); ok {
		return have.(*schemaPair)
	}
	schema, err := jsonschema.ForType(t, &jsonschema.ForOptions{TypeSchemas: typeSchemas()})
	if err != nil {
		panic(fmt.Sprintf("contract: schema of %s: %v", t, err)) // the types are this package's own
	}
	withoutNull(schema)
	resolved, err := schema.Resolve(nil)
	if err != nil {
		panic(fmt.Sprintf("contract: schema of %s: %v", t, err))
	}
	have, _ := schemas.LoadOrStore(t, &schemaPair{schema: schema, resolved: resolved})
	return have.(*schemaPair)
}

// withoutNull drops the null that inference allows for lists and pointers: a
// member is there or it is not.
func withoutNull(s *jsonschema.Schema) {
	if s == nil {
		return
	}
	s.Types = slices.DeleteFunc(s.Types, func(t string) bool { return t == "null" })
	if len(s.Types) == 1 {
		s.Type, s.Types = s.Types[0], nil
	}
	for _, p := range s.Properties {
		withoutNull(p)
	}
	withoutNull(s.Items)
	withoutNull(s.AdditionalProperties)
}

// typeSchemas are the types whose JSON says more than their kind.
func typeSchemas() map[reflect.Type]*jsonschema.Schema {
	digest := &jsonschema.Schema{Type: "string", Pattern: "^sha256:[0-9a-f]{64}$"}
	return map[reflect.Type]*jsonschema.Schema{
		reflect.TypeFor[writ.Time]():          {Type: "string", Format: "date-time"},
		reflect.TypeFor[writ.Digest]():        digest,
		reflect.TypeFor[abi.Duration]():       {Type: "string", Pattern: `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`},
		reflect.TypeFor[json.RawMessage]():    {},
		reflect.TypeFor[Object]():             {Type: "object"},
		reflect.TypeFor[[]byte]():             {Type: "string", ContentEncoding: "base64"},
		reflect.TypeFor[writ.SkillKey]():      {Type: "string", Pattern: `^[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*$`},
		reflect.TypeFor[writ.Mode]():          enum(writ.Blocked, writ.Assist, writ.Autonomous),
		reflect.TypeFor[writ.Layer]():         enum(writ.LayerFloor, writ.LayerOrganisation, writ.LayerTenant),
		reflect.TypeFor[RunMode]():            enum(RunAutonomous, RunAssist, RunDry),
		reflect.TypeFor[writ.Effect]():        enum(abi.Effects...),
		reflect.TypeFor[writ.Risk]():          enum(abi.RiskLow, abi.RiskMedium, abi.RiskHigh, abi.RiskBlocked),
		reflect.TypeFor[TrustPurpose]():       enum(TrustSignature, TrustProvenance),
		reflect.TypeFor[Assurance]():          enum(HostSigned, Witnessed),
		reflect.TypeFor[writ.FreezeScope]():   enum(writ.FreezeAll, writ.FreezeTenant, writ.FreezeChannel, writ.FreezePrincipal, writ.FreezeSkill),
		reflect.TypeFor[writ.FreezeMode]():    enum(writ.FreezeWait, writ.FreezeFail),
		reflect.TypeFor[writ.BudgetScope]():   enum(writ.BudgetTenant, writ.BudgetPrincipal, writ.BudgetSkill, writ.BudgetSession),
		reflect.TypeFor[writ.BudgetKind]():    enum(writ.BudgetSteps, writ.BudgetCalls, writ.BudgetSpend, writ.BudgetTokens),
		reflect.TypeFor[writ.BudgetSpan]():    enum(writ.SpanMinute, writ.SpanHour, writ.SpanDay, writ.SpanTotal),
		reflect.TypeFor[writ.SkillStatus]():   enum(writ.SkillEnabled, writ.SkillDisabled),
		reflect.TypeFor[writ.Origin]():        enum(writ.OriginHuman, writ.OriginModel, writ.OriginAutomation, writ.OriginChannel),
		reflect.TypeFor[writ.PrincipalKind](): enum(writ.Human, writ.Service, writ.Agent, writ.Tool),
		reflect.TypeFor[writ.ExecutionStatus](): enum(writ.ExecReceived, writ.ExecCompiled, writ.ExecRejected,
			writ.ExecAwaitingApproval, writ.ExecRunning, writ.ExecPaused, writ.ExecCompleted, writ.ExecFailed,
			writ.ExecCancelled, writ.ExecExpired, writ.ExecBlocked, writ.ExecIndeterminate),
		reflect.TypeFor[writ.StepStatus](): enum(writ.StepPlanned, writ.StepAwaitingApproval, writ.StepRunning,
			writ.StepCompleted, writ.StepFailed, writ.StepRejected, writ.StepExpired, writ.StepCancelled,
			writ.StepSkipped, writ.StepBlocked, writ.StepIndeterminate),
		reflect.TypeFor[writ.ApprovalStatus](): enum(writ.ApprovalNotRequired, writ.ApprovalPending,
			writ.ApprovalApproved, writ.ApprovalRejected, writ.ApprovalEscalated, writ.ApprovalExpired),
	}
}

func enum[T ~string](values ...T) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "string"}
	for _, v := range values {
		s.Enum = append(s.Enum, string(v))
	}
	return s
}

// fillLists makes the nil lists of an output empty ones, where their member is
// not omitted when empty: JSON has [] for them, never null.
func fillLists(v any) { fill(reflect.ValueOf(v)) }

func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			fill(v.Elem())
		}
	case reflect.Struct:
		for _, f := range v.Fields() {
			fill(f)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		if v.IsNil() && v.CanSet() {
			v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		}
		for i := range v.Len() {
			fill(v.Index(i))
		}
	}
}
