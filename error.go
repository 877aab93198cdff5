package writ

import (
	"errors"
	"fmt"
	"strings"
)

// Code is the closed set of reasons why an operation fails.
type Code string

// The codes. CONTRACTS and the HTTP and CLI faces map them to statuses.
const (
	CodeInvalid         Code = "invalid"         // the request does not fit its schema or rules
	CodeUnauthenticated Code = "unauthenticated" // no valid credential
	CodeForbidden       Code = "forbidden"       // the caller may not do this
	CodeNotFound        Code = "not_found"       // the named thing does not exist for this tenant
	CodeConflict        Code = "conflict"        // the state does not allow it now
	CodePlanRejected    Code = "plan_rejected"   // the draft does not compile
	CodeBlocked         Code = "blocked"         // policy says no
	CodeFrozen          Code = "frozen"          // an admin has frozen it
	CodeApprovalNeeded  Code = "approval_needed" // policy says a human must approve
	CodeExpired         Code = "expired"         // a deadline has passed
	CodeSkillRefused    Code = "skill_refused"   // verification found issues
	CodeSkillFailed     Code = "skill_failed"    // the guest failed, trapped or broke a limit
	CodeTooLarge        Code = "too_large"       // a size limit was passed
	CodeLimited         Code = "limited"         // too many requests or calls
	CodeTimeout         Code = "timeout"         // time ran out
	CodeCancelled       Code = "cancelled"       // somebody cancelled it
	CodeIndeterminate   Code = "indeterminate"   // an effect began and its outcome is not known
	CodeTampered        Code = "tampered"        // stored or installed bytes are not what was signed or chained
	CodeDiverged        Code = "diverged"        // a replay or resume differs from what is recorded
	CodeUnreplayable    Code = "unreplayable"    // a payload that replay needs has expired
	CodeUnavailable     Code = "unavailable"     // a part is down or full; try again later
	CodeInternal        Code = "internal"        // a fault of ours; the message stays hidden
)

// Error is the one error type that crosses package borders.
type Error struct {
	Code    Code
	Op      string // what was being done, subject first: "skill acme/mail@1.2.0: verify"
	Message string // for people; never a secret, never a stack
	Fix     string // what to do next
	Place   string // file:line:column, JSON pointer or field, where known
	Details any    // JSON-serialisable: issues, problems, reasons
	Err     error
}

// Error implements error.
func (e *Error) Error() string {
	parts := make([]string, 0, 4)
	for _, s := range []string{e.Place, e.Op, e.Message} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	if e.Message == "" && e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	if len(parts) == 0 {
		parts = append(parts, string(e.Code))
	}
	return strings.Join(parts, ": ")
}

// Unwrap implements the errors package's convention.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error; %w in the format keeps the cause.
func Errorf(code Code, op, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Op: op, Message: err.Error(), Err: errors.Unwrap(err)}
}

// WithFix returns e with the advice set.
func (e *Error) WithFix(format string, args ...any) *Error {
	e.Fix = fmt.Sprintf(format, args...)
	return e
}

// CodeOf is the code of err: "" for nil, CodeInternal for an error of no Code.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) && e.Code != "" {
		return e.Code
	}
	return CodeInternal
}

// IsCode reports whether err has the code.
func IsCode(err error, code Code) bool { return err != nil && CodeOf(err) == code }
