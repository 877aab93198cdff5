//go:build !wasip1

package sdk

import "github.com/writ-run/writ/abi"

// Outside a host there are no imports: a Context needs a Host.
var (
	importLog, importHTTPRequest                           hostCall
	importKVGet, importKVPut, importKVDelete, importKVList hostCall
	importFileRead, importFileWrite, importFileList        hostCall
	importSkillCall, importMessageSend                     hostCall
)

func callImport(t tool, _ []byte) ([]byte, *Failure) {
	return nil, &Failure{
		Code: abi.FailUnsupported, Message: t.name + ": there is no host here",
		Fix: "run the built skill in Writ, or use sdktest.New(t).Context() in a test",
	}
}
