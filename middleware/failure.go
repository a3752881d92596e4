package middleware

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/acp-go/acp/acpclient"
)

// ErrSessionEnded: the session, or the use of its access token, is over. The user must
// sign in again. Authenticator.WriteError sends a navigation to the login for it.
var ErrSessionEnded = errors.New("middleware: session ended")

// Failure is an answer that is not what the user wanted.
type Failure struct {
	// Status is the HTTP status.
	Status int

	// Reference is the id that the page shows and the log line carries: 12 characters.
	Reference string

	// Err is what went wrong: an error of acpclient, ErrSessionEnded, an error of
	// Config.OnLogin ... It is for logs, and must not be shown.
	Err error

	// RetryAfter is set with 503 and 504, and 0 otherwise.
	RetryAfter time.Duration
}

// problem is an error of ours that knows its status. It matches kind and what it wraps.
type problem struct {
	status     int
	reason     string
	detail     string
	kind       error
	cause      error
	allow      string // methods, with 405
	challenge  string // WWW-Authenticate; "" for none
	retryAfter time.Duration
}

func (p *problem) Error() string {
	s := "middleware: " + p.reason
	if p.detail != "" {
		s += ": " + p.detail
	}
	if p.cause != nil {
		s += ": " + logText(p.cause)
	}
	return s
}

// Reason is the stable code of what failed, as acpclient.Reason gives it for its errors.
func (p *problem) Reason() string { return p.reason }

func (p *problem) Unwrap() []error {
	var errs []error
	for _, err := range []error{p.kind, p.cause} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

func invalidCallback(reason, detail string) error {
	return &problem{status: http.StatusBadRequest, reason: reason, detail: detail, kind: acpclient.ErrInvalidCallback}
}

func methodNotAllowed(allow string) error {
	return &problem{status: http.StatusMethodNotAllowed, reason: "method", detail: "allowed: " + allow, allow: allow}
}

// reasonOf is the stable code of an error's cause.
func reasonOf(err error) string {
	if p, ok := errors.AsType[*problem](err); ok {
		return p.reason
	}
	switch reason := acpclient.Reason(err); {
	case reason != "":
		return reason
	case errors.Is(err, ErrSessionEnded):
		return "session_ended"
	case errors.Is(err, acpclient.ErrClosed):
		return "closed"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	return "internal"
}

// statusOf is the table of what each caller is told.
func statusOf(err error) int {
	if p, ok := errors.AsType[*problem](err); ok {
		return p.status
	}
	if e, ok := errors.AsType[*acpclient.Error](err); ok {
		return statusOfServerError(e)
	}
	switch {
	case errors.Is(err, ErrSessionEnded):
		return http.StatusUnauthorized
	case errors.Is(err, acpclient.ErrAccessDenied):
		return http.StatusForbidden
	case errors.Is(err, acpclient.ErrInvalidCallback):
		return http.StatusBadRequest
	case errors.Is(err, acpclient.ErrInvalidToken), errors.Is(err, acpclient.ErrInvalidResponse), errors.Is(err, errors.ErrUnsupported):
		return http.StatusBadGateway
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout
	case errors.Is(err, acpclient.ErrUnavailable), errors.Is(err, acpclient.ErrClosed), errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable
	}
	if _, ok := errors.AsType[*url.Error](err); ok { // an API that was called for the user
		return http.StatusBadGateway
	}
	return http.StatusInternalServerError
}

// statusOfServerError judges the server's own "no".
func statusOfServerError(e *acpclient.Error) int {
	if e.StatusCode == 0 { // at the callback
		switch e.Code {
		case "login_required", "interaction_required", "consent_required", "account_selection_required":
			return http.StatusUnauthorized // the answers to prompt=none (OIDC Core 3.1.2.6)
		}
		if errors.Is(e, acpclient.ErrAccessDenied) {
			return http.StatusForbidden
		}
	}
	switch {
	case errors.Is(e, acpclient.ErrUnavailable):
		return http.StatusServiceUnavailable
	case e.Code == "invalid_grant" && e.StatusCode != 0:
		return http.StatusBadRequest
	}
	return http.StatusBadGateway
}

const defaultRetryAfter = 5 * time.Second

func newFailure(err error) *Failure {
	if err == nil {
		err = errors.New("middleware: no error was given")
	}
	f := &Failure{Status: statusOf(err), Reference: rand.Text()[:12], Err: err}
	if f.Status == http.StatusServiceUnavailable || f.Status == http.StatusGatewayTimeout {
		f.RetryAfter = acpclient.RetryAfter(err)
		if p, ok := errors.AsType[*problem](err); ok && p.retryAfter > 0 {
			f.RetryAfter = p.retryAfter
		}
		if f.RetryAfter <= 0 {
			f.RetryAfter = defaultRetryAfter
		}
	}
	return f
}

// WriteError answers a request as the middleware itself would, with one line in the log
// that carries the page's reference: for handlers that get an error from
// Session.AccessToken, from a request of Session.HTTPClient, or from acpclient. ErrSessionEnded sends a
// navigation to the login and gives everything else 401; a nil error, or one of unknown kind, is 500. It
// must be called before anything is written.
func (a *Authenticator) WriteError(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, ErrSessionEnded) && isNavigation(r) {
		logFailure(a.config.Logger, r, newFailure(err))
		redirect(w, a.loginURL(r))
		return
	}
	a.fail(w, r, err)
}

func (a *Authenticator) fail(w http.ResponseWriter, r *http.Request, err error) {
	a.answer(w, r, newFailure(err), opensPage(r))
}

// refuse is the answer to a program: never a page, whatever it says that it accepts.
func (a *Authenticator) refuse(w http.ResponseWriter, r *http.Request, err error) {
	a.answer(w, r, newFailure(err), false)
}

// answer logs a failure and writes it.
func (a *Authenticator) answer(w http.ResponseWriter, r *http.Request, f *Failure, page bool) {
	logFailure(a.config.Logger, r, f)
	a.write(w, r, f, page)
}

func (a *Authenticator) write(w http.ResponseWriter, r *http.Request, f *Failure, page bool) {
	f.setHeaders(w.Header())
	switch {
	case a.config.OnError != nil:
		a.config.OnError(w, r, f)
	case page:
		a.writePage(w, f)
	default:
		writeProblem(w, f)
	}
}

func (f *Failure) setHeaders(h http.Header) {
	private(h)
	if f.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(ceilSecond(f.RetryAfter)/time.Second)))
	}
	p, ok := errors.AsType[*problem](f.Err)
	if ok && p.allow != "" {
		h.Set("Allow", p.allow)
	}
	if ok && p.challenge != "" {
		h.Set("WWW-Authenticate", p.challenge)
	}
}

// writeProblem is the answer to programs (RFC 9457).
func writeProblem(w http.ResponseWriter, f *Failure) {
	body, _ := json.Marshal(struct { // cannot fail
		Type      string `json:"type"`
		Title     string `json:"title"`
		Status    int    `json:"status"`
		Reference string `json:"reference,omitempty"`
	}{"about:blank", http.StatusText(f.Status), f.Status, f.Reference})
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(f.Status)
	w.Write(body)
}

// sameSecret compares in constant time.
func sameSecret(x, y string) bool { return subtle.ConstantTimeCompare([]byte(x), []byte(y)) == 1 }

// Format prints no more than String, whatever the verb.
func (f Failure) Format(s fmt.State, _ rune) { fmt.Fprint(s, f.String()) }

// String gives status, reference and reason.
func (f Failure) String() string {
	return fmt.Sprintf("middleware.Failure(%d %s %s)", f.Status, f.Reference, f.reason())
}

// GoString is String.
func (f Failure) GoString() string { return f.String() }

// LogValue is String.
func (f Failure) LogValue() slog.Value { return slog.StringValue(f.String()) }

// MarshalJSON gives status, reference and reason.
func (f Failure) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{"status": f.Status, "reference": f.Reference, "reason": f.reason()})
}

func (f Failure) reason() string {
	if f.Err == nil {
		return ""
	}
	return clean(reasonOf(f.Err))
}
