package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/writ-run/writ/abi"
)

// object is a JSON object of a generated document; its keys come out sorted.
type object = map[string]any

func indented(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("contract: encode: %w", err)
	}
	return buf.Bytes(), nil
}

// OpenAPI is the OpenAPI 3.1 document of the HTTP interface.
func OpenAPI() ([]byte, error) {
	schemas := object{"Problem": problemSchema()}
	paths := object{"/v1/events": eventsPath()}
	for _, c := range All() {
		schemas[c.in.Name()], schemas[c.out.Name()] = c.InputSchema(), c.OutputSchema()
		paths["/v1/"+c.Key] = object{"post": operationObject(c)}
	}
	return indented(object{
		"openapi":           "3.1.0",
		"jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
		"info": object{
			"title": "Writ", "version": abi.ContractsVersion,
			"summary":     "Runs agents' actions under law.",
			"description": "Every contract is one POST. Errors are problem details (RFC 9457) with a code of a closed set.",
		},
		"tags":       tagObjects(),
		"security":   []object{{"bearer": []string{}}},
		"paths":      paths,
		"components": object{"schemas": schemas, "securitySchemes": object{"bearer": object{"type": "http", "scheme": "bearer"}}},
	})
}

func tagObjects() []object {
	var out []object
	for _, c := range Capabilities() {
		out = append(out, object{"name": c.Key, "description": c.Description})
	}
	return out
}

func operationObject(c *Contract) object {
	body := object{"schema": ref(c.in.Name())}
	answer := object{"schema": ref(c.out.Name())}
	if len(c.Examples) > 0 {
		in, out := object{}, object{}
		for _, e := range c.Examples {
			in[e.Name], out[e.Name] = object{"value": e.Input}, object{"value": e.Output}
		}
		body["examples"], answer["examples"] = in, out
	}
	op := object{
		"operationId": c.Key, "summary": c.Title, "description": c.Description + "\n\n" + c.Goal + "\n\n" + c.Context,
		"tags":        []string{c.Capability},
		"requestBody": object{"required": true, "content": object{"application/json": body}},
		"responses":   responses(c, answer),
		"x-writ": object{
			"version": c.Version, "kind": c.Kind, "auth": c.Auth, "capability": c.Capability, "idempotent": c.Idempotent,
			"stability": c.Stability, "emits": nonNil(c.Emits), "pii": nonNil(c.PII), "cli": c.CLI,
		},
	}
	if c == IntentSubmit.Contract {
		op["parameters"] = []object{{
			"name": "Idempotency-Key", "in": "header", "schema": object{"type": "string"},
			"description": "Becomes idempotencyKey where the body has none.",
		}}
	}
	return op
}

func responses(c *Contract, answer object) object {
	out := object{"200": object{"description": "The output.", "content": object{"application/json": answer}}}
	byStatus := map[int]string{}
	for _, f := range c.Errors {
		byStatus[f.HTTP] += "`" + string(f.Code) + "`: " + f.When + " "
	}
	for _, status := range slices.Sorted(maps.Keys(byStatus)) {
		text := byStatus[status]
		out[strconv.Itoa(status)] = object{
			"description": text[:len(text)-1],
			"content":     object{"application/problem+json": object{"schema": ref("Problem")}},
		}
	}
	return out
}

func eventsPath() object {
	return object{"get": object{
		"operationId": "events", "summary": "Follow the events", "tags": []string{CapAudit},
		"description": "The CloudEvents of the caller's tenant as server-sent events, from the position after Last-Event-ID, and then new ones. See /asyncapi.json.",
		"parameters": []object{{
			"name": "Last-Event-ID", "in": "header", "schema": object{"type": "string", "pattern": "^[0-9]+$"},
			"description": "The id of the last event that was read.",
		}},
		"responses": object{
			"200": object{"description": "The stream.", "content": object{"text/event-stream": object{"schema": object{"type": "string"}}}},
			"401": object{"description": "No valid credential was sent.", "content": object{"application/problem+json": object{"schema": ref("Problem")}}},
			"403": object{"description": "The caller lacks " + CapAudit + ".", "content": object{"application/problem+json": object{"schema": ref("Problem")}}},
		},
	}}
}

func problemSchema() *jsonschema.Schema {
	text := func(description string) *jsonschema.Schema {
		return &jsonschema.Schema{Type: "string", Description: description}
	}
	code := text("Why, of a closed set.")
	for _, c := range slices.Sorted(maps.Keys(codes)) {
		code.Enum = append(code.Enum, string(c))
	}
	return &jsonschema.Schema{
		Type: "object", Description: "Problem details, RFC 9457.",
		Required: []string{"type", "title", "status", "code"},
		Properties: map[string]*jsonschema.Schema{
			"type": text("urn:writ:error: and the code."), "title": text("What the code means."),
			"status": {Type: "integer"}, "detail": text("What happened, for people."),
			"instance": text("Id under which the host logged a fault of its own."), "code": code,
			"fix": text("What to do next."), "place": text("JSON pointer, or file:line:column."), "details": {},
		},
	}
}

func ref(name string) object { return object{"$ref": "#/components/schemas/" + name} }

func nonNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// AsyncAPI is the AsyncAPI 3.0 document of the event stream.
func AsyncAPI() ([]byte, error) {
	messages, refs, schemas := object{}, object{}, object{"Envelope": envelopeSchema()}
	for _, e := range Events() {
		name := e.data.Name()
		schemas[name] = e.DataSchema()
		refs[e.Key] = object{"$ref": "#/components/messages/" + e.Key}
		messages[e.Key] = object{
			"name": e.Key, "title": e.Title, "summary": e.Description, "contentType": "application/cloudevents+json",
			"x-writ": object{"version": e.Version, "capability": e.Capability, "dataschema": e.SchemaURI(), "pii": nonNil(e.PII)},
			"payload": object{"allOf": []object{ref("Envelope"), {
				"type": "object",
				"properties": object{
					"type": object{"const": e.Key}, "dataschema": object{"const": e.SchemaURI()}, "data": ref(name),
				},
			}}},
		}
	}
	return indented(object{
		"asyncapi": "3.0.0",
		"info": object{
			"title": "Writ events", "version": abi.ContractsVersion,
			"description": "CloudEvents 1.0 in the JSON format, as server-sent events whose id is the position in the store.",
		},
		"channels":   object{"events": object{"address": "/v1/events", "messages": refs}},
		"operations": object{"follow": object{"action": "send", "channel": object{"$ref": "#/channels/events"}, "summary": "The host sends what became durable."}},
		"components": object{"messages": messages, "schemas": schemas},
	})
}

func envelopeSchema() *jsonschema.Schema {
	fields := map[string]*jsonschema.Schema{"specversion": {Type: "string", Const: jsonschema.Ptr[any]("1.0")}}
	required := []string{"specversion"}
	for _, name := range []string{"id", "source", "type", "subject", "time", "dataschema", "datacontenttype", "tenant", "actor", "capabilitysource", "traceparent", "prevdigest"} {
		fields[name] = &jsonschema.Schema{Type: "string"}
		required = append(required, name)
	}
	fields["session"] = &jsonschema.Schema{Type: "string"}
	fields["seq"] = &jsonschema.Schema{Type: "integer"}
	fields["data"] = &jsonschema.Schema{Type: "object"}
	return &jsonschema.Schema{
		Type: "object", Description: "CloudEvents 1.0 attributes with the extensions of Writ.",
		Required: append(required, "seq", "data"), Properties: fields,
	}
}
