package scaffold_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/sdk/scaffold"
)

const header = "\x00asm\x01\x00\x00\x00"

// section is one section of at most 127 bytes.
func section(id byte, body string) string { return string([]byte{id, byte(len(body))}) + body }

func name(s string) string { return string([]byte{byte(len(s))}) + s }

func function(module, field string) string { return name(module) + name(field) + "\x00\x00" }

func TestTools(t *testing.T) {
	tests := []struct {
		name, module string
		want         []string
		err          string
	}{
		{"empty", "", nil, "not a WebAssembly module"},
		{"text", "hello, world", nil, "not a WebAssembly module"},
		{"component", "\x00asm\x0d\x00\x01\x00", nil, "not a WebAssembly module"},
		{"header", header, nil, ""},
		{"tools, sorted, once", header + section(0, "\x00") + section(2, "\x04"+
			function(abi.ModuleTool, "log")+function(abi.ModuleTool, "kv.get")+
			function(abi.ModuleCore, "input")+function(abi.ModuleTool, "log")), []string{"kv.get", "log"}, ""},
		{"the runtime's own", header + section(2, "\x01"+function(abi.ModuleWASI, "fd_write")), nil, ""},
		{"every kind", header + section(2, "\x04"+name(abi.ModuleCore)+name("t")+"\x01\x70\x01\x01\x02"+
			name(abi.ModuleCore)+name("m")+"\x02\x00\x01"+name(abi.ModuleCore)+name("g")+"\x03\x7f\x00"+
			function(abi.ModuleTool, "log")), []string{"log"}, ""},
		{"stranger", header + section(2, "\x01"+function("env", "system")), nil, `imports "system" from "env"`},
		{"short section", header + "\x02\x7f\x01", nil, "cut off"},
		{"short import", header + section(2, "\x02"+function(abi.ModuleTool, "log")), nil, "cut off"},
		{"unknown kind", header + section(2, "\x01"+name(abi.ModuleTool)+name("log")+"\x09"), nil, "cut off"},
		{"endless number", header + "\x02" + strings.Repeat("\xff", 12), nil, "cut off"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := scaffold.Tools([]byte(tt.module))
			if !slices.Equal(got, tt.want) || (err == nil) != (tt.err == "") || (err != nil && !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("Tools = %v, %v; want %v, %q", got, err, tt.want, tt.err)
			}
		})
	}
}

func FuzzTools(f *testing.F) {
	f.Add([]byte(header + section(2, "\x01"+function(abi.ModuleTool, "log"))))
	f.Add([]byte(header + section(2, "\xff\xff\xff\xff\x0f")))
	f.Fuzz(func(t *testing.T, module []byte) {
		tools, err := scaffold.Tools(module)
		if err != nil && tools != nil {
			t.Errorf("both %v and %v", tools, err)
		}
		if !slices.IsSorted(tools) {
			t.Errorf("%v is not sorted", tools)
		}
	})
}
