package writ

import (
	"embed"
	"io/fs"
)

// The files are named one by one so that tests stay out; a test holds the list
// complete.
//
//go:embed abi/abi.go abi/manifest.go abi/tool.go
//go:embed sdk/README.md sdk/check.go sdk/context.go sdk/encode.go sdk/schema.go sdk/sdk.go sdk/wire_native.go sdk/wire_wasip1.go
//go:embed sdk/sdktest/host.go sdk/sdktest/replay.go sdk/sdktest/run.go
//go:embed sdk/assemblyscript/writ.ts sdk/c/writ.h sdk/rust/writ.rs
var sdkSource embed.FS

// SDKSource is the source of the packages abi, sdk and sdk/sdktest and of the SDKs of
// other languages, by their paths in this module. A new skill gets a copy of what its
// language needs, so it builds without a network.
func SDKSource() fs.FS { return sdkSource }
