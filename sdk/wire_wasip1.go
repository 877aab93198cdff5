package sdk

import (
	"encoding/json"
	"runtime"
	"unsafe"

	"github.com/writ-run/writ/abi"
)

// Package abi fixes these signatures.

//go:wasmimport writ:core/v1 input
func coreInput(ptr unsafe.Pointer, size uint32) uint32

//go:wasmimport writ:core/v1 action
func coreAction(ptr unsafe.Pointer, size uint32) uint32

//go:wasmimport writ:core/v1 result
func coreResult(ptr unsafe.Pointer, size uint32) uint32

//go:wasmimport writ:core/v1 output
func coreOutput(ptr unsafe.Pointer, size uint32)

//go:wasmimport writ:core/v1 fail
func coreFail(ptr unsafe.Pointer, size uint32)

//go:wasmimport writ:tool/v1 log
func importLog(args unsafe.Pointer, size uint32) uint64

//go:wasmimport writ:tool/v1 http.request
func importHTTPRequest(args unsafe.Pointer, size uint32) uint64

//go:wasmimport writ:tool/v1 kv.get
func importKVGet(args unsafe.Pointer, size uint32) uint64

//go:wasmimport writ:tool/v1 kv.put
func importKVPut(args unsafe.Pointer, size uint32) uint64

//go:wasmimport writ:tool/v1 kv.delete
func importKVDelete(args unsafe.Pointer, size uint32) uint64

//go:wasmimport writ:tool/v1 kv.list
func importKVList(args unsafe.Pointer, size uint32) uint64

//go:wasmimport writ:tool/v1 file.read
func importFileRead(args unsafe.Pointer, size uint32) uint64

//go:wasmimport writ:tool/v1 file.write
func importFileWrite(args unsafe.Pointer, size uint32) uint64

//go:wasmimport writ:tool/v1 file.list
func importFileList(args unsafe.Pointer, size uint32) uint64

//go:wasmimport writ:tool/v1 skill.call
func importSkillCall(args unsafe.Pointer, size uint32) uint64

//go:wasmimport writ:tool/v1 message.send
func importMessageSend(args unsafe.Pointer, size uint32) uint64

//go:wasmexport writ_run
func exportRun() int32 {
	output, failure := run(NewContext(nil), string(read(coreAction)), read(coreInput))
	if failure == nil {
		send(coreOutput, output)
		return 0
	}
	raw, err := json.Marshal(failure)
	if err != nil {
		return 1 // a Failure is of strings: this cannot be
	}
	send(coreFail, raw)
	return 1
}

//go:wasmexport writ_describe
func exportDescribe() int32 {
	raw, err := json.Marshal(Describe())
	if err != nil {
		return 1
	}
	send(coreOutput, raw)
	return 0
}

// firstRead fits most inputs, so that they cost one host call and not two.
const firstRead = 4 << 10

func read(from func(unsafe.Pointer, uint32) uint32) []byte {
	buffer := make([]byte, firstRead)
	size := from(unsafe.Pointer(unsafe.SliceData(buffer)), firstRead)
	if size <= firstRead {
		return buffer[:size]
	}
	buffer = make([]byte, size)
	from(unsafe.Pointer(unsafe.SliceData(buffer)), size)
	return buffer
}

func send(to func(unsafe.Pointer, uint32), data []byte) {
	to(unsafe.Pointer(unsafe.SliceData(data)), uint32(len(data)))
	runtime.KeepAlive(data)
}

func callImport(t tool, args []byte) ([]byte, *Failure) {
	answer := t.call(unsafe.Pointer(unsafe.SliceData(args)), uint32(len(args)))
	runtime.KeepAlive(args)
	size, status := uint32(answer), uint32(answer>>32)
	result := make([]byte, size)
	if size > 0 {
		coreResult(unsafe.Pointer(unsafe.SliceData(result)), size)
	}
	if status == abi.ToolOK {
		return result, nil
	}
	var failure Failure
	if err := json.Unmarshal(result, &failure); err != nil || failure.Code == "" {
		return nil, &Failure{Code: abi.FailInvalid, Message: "the host answered a failure that cannot be read"}
	}
	return nil, &failure
}
