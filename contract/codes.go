package contract

import (
	"net/http"

	"github.com/writ-run/writ"
)

type codeMeaning struct {
	status      int
	description string
}

var codes = map[writ.Code]codeMeaning{
	writ.CodeInvalid:         {http.StatusBadRequest, "The request does not fit its schema or rules."},
	writ.CodeUnauthenticated: {http.StatusUnauthorized, "No valid credential was sent."},
	writ.CodeForbidden:       {http.StatusForbidden, "The caller may not do this."},
	writ.CodeNotFound:        {http.StatusNotFound, "The named thing does not exist for this tenant."},
	writ.CodeConflict:        {http.StatusConflict, "The state does not allow it now."},
	writ.CodePlanRejected:    {http.StatusUnprocessableEntity, "The draft does not compile."},
	writ.CodeBlocked:         {http.StatusForbidden, "The policy says no."},
	writ.CodeFrozen:          {http.StatusLocked, "An administrator has frozen it."},
	writ.CodeApprovalNeeded:  {http.StatusConflict, "The policy says that a person must approve."},
	writ.CodeExpired:         {http.StatusGone, "A deadline has passed."},
	writ.CodeSkillRefused:    {http.StatusUnprocessableEntity, "Verification of the skill found issues."},
	writ.CodeSkillFailed:     {http.StatusUnprocessableEntity, "The skill failed, trapped or broke a limit."},
	writ.CodeTooLarge:        {http.StatusRequestEntityTooLarge, "A size limit was passed."},
	writ.CodeLimited:         {http.StatusTooManyRequests, "Too many requests or calls."},
	writ.CodeTimeout:         {http.StatusGatewayTimeout, "Time ran out."},
	writ.CodeCancelled:       {http.StatusConflict, "Somebody cancelled it."},
	writ.CodeIndeterminate:   {http.StatusConflict, "An effect began and its outcome is not known."},
	writ.CodeTampered:        {http.StatusUnprocessableEntity, "Bytes are not what was signed or chained."},
	writ.CodeDiverged:        {http.StatusConflict, "A replay or resume differs from what is recorded."},
	writ.CodeUnreplayable:    {http.StatusGone, "A payload that replay needs has expired."},
	writ.CodeUnavailable:     {http.StatusServiceUnavailable, "A part is down or full; try again later."},
	writ.CodeInternal:        {http.StatusInternalServerError, "A fault of the host; its message stays in the log."},
}

// HTTPStatus is the status of a code; 500 for one that is unknown.
func HTTPStatus(code writ.Code) int {
	if meaning, ok := codes[code]; ok {
		return meaning.status
	}
	return http.StatusInternalServerError
}

// on is a Failure with what its code says everywhere.
func on(code writ.Code, when string) Failure {
	meaning := codes[code]
	return Failure{Code: code, HTTP: meaning.status, Description: meaning.description, When: when}
}

// common are the failures of every operation; the dispatcher and the door give them.
func common() []Failure {
	return []Failure{
		on(writ.CodeInvalid, "The input is not one JSON object of the contract's schema."),
		on(writ.CodeUnauthenticated, "The call carries no valid credential."),
		on(writ.CodeForbidden, "The caller lacks the capability or the role, or names another actor."),
		on(writ.CodeTooLarge, "The input passes the size limit."),
		on(writ.CodeUnavailable, "The host is starting, stopping or out of space."),
		on(writ.CodeInternal, "The host failed."),
	}
}

// MeaningOf is what a code says everywhere, in one sentence.
func MeaningOf(code writ.Code) string {
	if meaning, ok := codes[code]; ok {
		return meaning.description
	}
	return codes[writ.CodeInternal].description
}
