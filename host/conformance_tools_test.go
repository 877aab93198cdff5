package host

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/sdk/scaffold"
)

// exchange is what the world answers to one call, which must be the next.
type exchange struct{ call, reply string }

// theWorld is every tool but message.send and skill.call, as the action world asks
// for it.
var theWorld = []exchange{
	{`log {"fields":{"of":"conformance"},"level":"info","message":"every tool"}`, `{}`},
	{`kv.put {"key":"conformance/a","value":"é\n"}`, `{}`},
	{`kv.get {"key":"conformance/a"}`, `{"found":true,"value":"é\n"}`},
	{`kv.get {"key":"conformance/none"}`, `{"found":false}`},
	{`kv.list {"after":"conformance/0","prefix":"conformance/"}`, `{"keys":["conformance/a","conformance/\"b"],"more":true}`},
	{`kv.delete {"key":"conformance/a"}`, `{"deleted":true}`},
	{`file.write {"base64":"//4AAQ==","path":"conformance/f"}`, `{}`},
	{`file.write {"path":"conformance/t","text":"é"}`, `{}`},
	{`file.read {"path":"conformance/f"}`, `{"base64":"//4AAQ=="}`},
	{`file.list {"path":"conformance"}`, `{"entries":[{"name":"f","size":4},{"dir":true,"name":"t"}]}`},
	{`http.request {"headers":{"accept":"text/plain"},"method":"GET","url":"https://example.com/a"}`, `{"body":"é","headers":{"content-type":"text/plain"},"status":200}`},
	{`http.request {"bodyBase64":"/wA=","method":"POST","timeoutMs":5000,"url":"https://example.com/b"}`, `{"bodyBase64":"AP8=","headers":{},"status":503}`},
}

const worldSaid = `{"lines":["put done","get true é\n","get false ","list conformance/a,conformance/\"b true","delete true",` +
	`"write done","write done","read fffe0001","files f false 4,t true 0","http 200 text/plain c3a9","http 503 - 00ff"]}`

// worldRefused is what it says where every call fails with the code.
func worldRefused(code string) string {
	var said []string
	for _, what := range []string{"put", "get", "get", "list", "delete", "write", "write", "read", "files", "http", "http"} {
		said = append(said, what+" "+code)
	}
	return `{"lines":["` + strings.Join(said, `","`) + `"]}`
}

// scripted answers calls as they are written down, and says what was not.
func scripted(t *testing.T, script []exchange) *gate {
	next := 0
	return &gate{answer: func(_ context.Context, tool string, args []byte) (*writ.ToolReply, error) {
		call := tool + " " + string(args)
		if next >= len(script) || script[next].call != call {
			t.Errorf("call %d is %s", next, call)
			return refusal(abi.FailUnsupported, "not in the script"), nil
		}
		next++
		return &writ.ToolReply{Body: []byte(script[next-1].reply)}, nil
	}}
}

// Every tool is called with the same arguments, and understood alike, in every
// language; and so is every way in which it can fail.
func TestConformanceOfTools(t *testing.T) {
	modules := conformanceModules(t)
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		for language, module := range modules {
			t.Run(language, func(t *testing.T) {
				run := actionRun(t, module, "world", `{}`)
				run.Gate = scripted(t, theWorld)
				wants(t, s, run, worldSaid)
				for _, code := range []string{
					abi.FailDenied, abi.FailInvalid, abi.FailNotFound, abi.FailTooLarge, abi.FailUnavailable,
					abi.FailTimeout, abi.FailLimit, abi.FailSecretLeak, abi.FailUnsupported,
				} {
					run := actionRun(t, module, "world", `{}`)
					run.Gate = &gate{answer: func(context.Context, string, []byte) (*writ.ToolReply, error) {
						return refusal(code, "as the test says"), nil
					}}
					wants(t, s, run, worldRefused(code))
				}
				callsSkills(t, s, module)
				typesAlike(t, s, module)
			})
		}
	})
}

func callsSkills(t *testing.T, s writ.Sandbox, module []byte) {
	t.Helper()
	const input = `{"input":{"a":[1,"é"]},"skill":"conformance/c#echo"}`
	run := actionRun(t, module, "call", input)
	run.Gate = scripted(t, []exchange{{`skill.call {"action":"echo","input":{"a":[1,"é"]},"skill":"conformance/c"}`, `{"b":[null,2]}`}})
	wants(t, s, run, `{"output":{"b":[null,2]}}`)
	run = actionRun(t, module, "call", input)
	run.Gate = &gate{answer: func(context.Context, string, []byte) (*writ.ToolReply, error) { return refusal("its_own", "no"), nil }}
	wants(t, s, run, "! its_own: no")
}

func typesAlike(t *testing.T, s writ.Sandbox, module []byte) {
	t.Helper()
	for _, same := range []string{
		`{"any":null,"flag":true,"number":-9007199254740991,"text":"é\n"}`,
		`{"any":{"a":["]","}"]},"flag":false,"number":0,"text":""}`,
	} {
		wants(t, s, actionRun(t, module, "typed", same), same)
	}
	for _, wrong := range []string{
		`{}`, `{"any":1,"flag":true,"number":1}`, `{"any":1,"flag":"true","number":1,"text":""}`, `{"any":1,"flag":true,"number":1.5,"text":""}`,
		`{"any":1,"flag":true,"number":1,"text":1}`, `{"any":1,"flag":true,"more":1,"number":1,"text":""}`,
	} {
		if got := outcomeOf(t, s, actionRun(t, module, "typed", wrong)); !strings.HasPrefix(got, "! "+abi.FailInvalid+": input: ") {
			t.Errorf("typed of %s: %s", wrong, got)
		}
	}
}

// The conformance skill calls every tool of this host, and imports nothing else.
func TestConformanceOfImports(t *testing.T) {
	var all []string
	for _, tool := range writ.Tools() {
		all = append(all, tool.Name)
	}
	for language, module := range conformanceModules(t) {
		if tools, err := scaffold.Tools(module); err != nil || !slices.Equal(tools, all) {
			t.Errorf("%s imports the tools %v, %v: want %v", language, tools, err, all)
		}
	}
}
