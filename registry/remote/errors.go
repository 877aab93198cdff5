package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"

	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/registry"
)

// explain turns what went wrong into an error that says what to do next. Texts of
// registries are clipped, and no URL is repeated with its query: storage services put
// signatures there.
func explain(op, host string, err error) error {
	var ours *writ.Error
	if err == nil || errors.As(err, &ours) {
		return err
	}
	for _, known := range []func(op, host string, err error) error{ofContext, ofAddress, ofAnswer, ofTLS, ofContent} {
		if e := known(op, host, err); e != nil {
			return e
		}
	}
	return &writ.Error{
		Code: writ.CodeUnavailable, Op: op, Message: host + ": " + plain(err), Err: err,
		Fix: "check the host and the network, then try again",
	}
}

func ofContext(op, host string, err error) error {
	var slow net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return &writ.Error{Code: writ.CodeCancelled, Op: op, Message: "was cancelled", Fix: "run it again", Err: err}
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &slow) && slow.Timeout():
		return &writ.Error{Code: writ.CodeTimeout, Op: op, Message: host + " did not answer in time", Fix: "try again", Err: err}
	}
	return nil
}

func ofAddress(op, host string, err error) error {
	var refused *refusedAddress
	var redirect *badRedirect
	switch {
	case errors.As(err, &refused) && refused.named:
		return &writ.Error{
			Code: writ.CodeForbidden, Op: op, Message: refused.Error() + ", and the configuration does not name it", Err: err,
			Fix: "if it is meant, name it in the configuration: registries: {" + strconv.Quote(host) + ": {}}",
		}
	case errors.As(err, &refused):
		return &writ.Error{
			Code: writ.CodeForbidden, Op: op, Message: "the registry points at " + registry.Clip(refused.host) + ", which is at a " + string(refused.kind) + " address", Err: err,
			Fix: "do not trust this registry; if it is yours, have it answer with public addresses",
		}
	case errors.As(err, &redirect):
		return &writ.Error{Code: writ.CodeForbidden, Op: op, Message: "the registry answers with " + redirect.why, Err: err, Fix: "have the registry's storage served over https, without detours"}
	}
	return nil
}

func ofAnswer(op, host string, err error) error {
	var login *loginError
	if errors.As(err, &login) {
		return &writ.Error{
			Code: writ.CodeUnauthenticated, Op: op, Message: login.Error(), Err: err,
			Fix: "see that the credential helper of Docker's config.json works, or run docker login " + login.host,
		}
	}
	if errors.Is(err, auth.ErrBasicCredentialNotFound) {
		return unauthenticated(op, host, "wants a login", err)
	}
	var answer *errcode.ErrorResponse
	if errors.As(err, &answer) {
		return ofStatus(op, host, answer)
	}
	if errors.Is(err, errdef.ErrNotFound) {
		return notFound(op, host, err)
	}
	return nil
}

func unauthenticated(op, host, why string, err error) error {
	return &writ.Error{Code: writ.CodeUnauthenticated, Op: op, Message: host + " " + why, Fix: "docker login " + host + ", as the user that runs this", Err: err}
}

func notFound(op, host string, err error) error {
	return &writ.Error{Code: writ.CodeNotFound, Op: op, Message: host + " does not have it", Fix: "check repository and tag; some registries say so where a login is needed", Err: err}
}

func ofStatus(op, host string, answer *errcode.ErrorResponse) error {
	said := ""
	if len(answer.Errors) > 0 {
		said = ": " + registry.Clip(answer.Errors[0].Code+" "+answer.Errors[0].Message)
	}
	e := &writ.Error{Op: op, Err: answer}
	switch status := answer.StatusCode; {
	case status == http.StatusUnauthorized:
		return unauthenticated(op, host, "does not accept the credentials"+said, answer)
	case status == http.StatusForbidden:
		e.Code, e.Message, e.Fix = writ.CodeForbidden, host+" forbids it"+said, "ask for access to the repository, or log in as somebody who has it: docker login "+host
	case status == http.StatusNotFound:
		return notFound(op, host, answer)
	case status == http.StatusTooManyRequests:
		e.Code, e.Message, e.Fix = writ.CodeLimited, host+" is asked too often"+said, "wait some minutes; a login or a mirror often has a higher limit"
	case status == http.StatusRequestEntityTooLarge:
		e.Code, e.Message, e.Fix = writ.CodeTooLarge, host+" does not take it: it is too large"+said, "raise the registry's limit, or make the bundle smaller"
	case status >= 500:
		e.Code, e.Message, e.Fix = writ.CodeUnavailable, host+" answers "+http.StatusText(status)+said, "try again later"
	default:
		e.Code, e.Message, e.Fix = writ.CodeUnavailable, host+" answers "+http.StatusText(status)+said, "check that the host is a registry"
	}
	return e
}

// ofContent is what remains when the network did its part: the answer itself cannot
// be used, since it is too large, contradicts its own headers, or is no JSON.
func ofContent(op, _ string, err error) error {
	var request *url.Error
	var network *net.OpError
	var broken *cutError
	switch {
	case errors.Is(err, errdef.ErrSizeExceedsLimit), errors.Is(err, errdef.ErrTooManyPages):
		return registry.TooLarge(op, "the registry's answer is too large: %s", plain(err))
	case errors.As(err, &request), errors.As(err, &network), errors.As(err, &broken):
		return nil
	}
	return registry.Mismatch(op, "the registry's answer cannot be used: %s", plain(err))
}

func ofTLS(op, host string, err error) error {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	e := &writ.Error{Code: writ.CodeUnavailable, Op: op, Err: err}
	switch {
	case errors.As(err, &authority):
		e.Message, e.Fix = host+": its certificate is from an authority that is not known here", "name the authority's file in the configuration: registries: {"+host+": {ca: FILE}}"
	case errors.As(err, &name), errors.As(err, &invalid):
		e.Message, e.Fix = host+": its certificate is not valid for it", "use the name that is in the certificate, or have the certificate renewed"
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		e.Message, e.Fix = host+" does not speak TLS", "use --plain-http where the command has it and the registry is on loopback, or say in the configuration: registries: {"+host+": {plainHttp: true}}"
	default:
		return nil
	}
	return e
}

var (
	queryForm = regexp.MustCompile(`\?[^\s"']*`)
	userForm  = regexp.MustCompile(`//[^/\s"'@]*@`)
)

// plain is the cause without the URLs that net/http puts before it.
func plain(err error) string {
	var outer *url.Error
	for errors.As(err, &outer) {
		err = outer.Err
	}
	return registry.Clip(userForm.ReplaceAllString(queryForm.ReplaceAllString(err.Error(), ""), "//"))
}
