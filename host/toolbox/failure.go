package toolbox

import (
	"encoding/json"
	"fmt"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

// done is a result with v as its canonical JSON body.
func done(v any, labels ...writ.Label) *writ.ToolResult {
	body, err := canon.MarshalJSON(v)
	if err != nil {
		// What is marshalled here are structs of strings; only text that is not
		// valid UTF-8 could fail, and every performer has checked that.
		return doneFailed(failUnavailable("the result cannot be written as JSON"), labels...)
	}
	return &writ.ToolResult{Outcome: writ.OutcomeDone, Body: body, Labels: labels}
}

// doneFailed says that the effect took place although the answer is a failure.
func doneFailed(failure *abi.Failure, labels ...writ.Label) *writ.ToolResult {
	return &writ.ToolResult{Outcome: writ.OutcomeDone, Failure: failure, Labels: labels}
}

func notDone(failure *abi.Failure) *writ.ToolResult {
	return &writ.ToolResult{Outcome: writ.OutcomeNotDone, Failure: failure}
}

func unknown(failure *abi.Failure) *writ.ToolResult {
	return &writ.ToolResult{Outcome: writ.OutcomeUnknown, Failure: failure}
}

func failInvalid(message, fix string) *abi.Failure {
	return &abi.Failure{Code: abi.FailInvalid, Message: message, Fix: fix}
}

func failDenied(message, fix string) *abi.Failure {
	return &abi.Failure{Code: abi.FailDenied, Message: message, Fix: fix}
}

func failNotFound(message string) *abi.Failure {
	return &abi.Failure{Code: abi.FailNotFound, Message: message}
}

func failTooLarge(what string, limit int64) *abi.Failure {
	return &abi.Failure{Code: abi.FailTooLarge, Message: fmt.Sprintf("%s: larger than %d bytes", what, limit)}
}

func failUnavailable(message string) *abi.Failure {
	return &abi.Failure{Code: abi.FailUnavailable, Message: message}
}

func failTimeout(message string) *abi.Failure {
	return &abi.Failure{Code: abi.FailTimeout, Message: message}
}

func failUnsupported(message string) *abi.Failure {
	return &abi.Failure{Code: abi.FailUnsupported, Message: message}
}

// decode reads arguments that the schema has admitted.
func decode[T any](args []byte) (T, *abi.Failure) {
	var v T
	if err := json.Unmarshal(args, &v); err != nil {
		return v, failInvalid("the arguments cannot be read", "")
	}
	return v, nil
}
