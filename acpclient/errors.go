package acpclient

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// The kinds of failure. Every error of this package that is not a mistake in the
// configuration or in an argument matches exactly one of them, or is an *Error, or matches
// errors.ErrUnsupported, with errors.Is; Reason tells which check failed.
var (
	// ErrInvalidCallback: the callback is not the answer to this flow. The token
	// endpoint was not called.
	ErrInvalidCallback = errors.New("acpclient: invalid callback")

	// ErrInvalidToken: a token does not hold what it must.
	ErrInvalidToken = errors.New("acpclient: invalid token")

	// ErrInvalidProof: a DPoP proof does not show that its sender holds the token's key.
	ErrInvalidProof = errors.New("acpclient: invalid proof")

	// ErrInvalidResponse: the server answered something that the protocol does not allow.
	ErrInvalidResponse = errors.New("acpclient: invalid response")

	// ErrUnavailable: the server cannot be reached, is too slow, or says that it is
	// overloaded. Trying later may help; RetryAfter says when. A timeout matches
	// context.DeadlineExceeded, too.
	ErrUnavailable = errors.New("acpclient: authorization server unavailable")

	// ErrAccessDenied: the user, or a policy, refused. It matches an *Error whose code is
	// access_denied, or ACP's "rejected" in any case.
	ErrAccessDenied = errors.New("acpclient: access denied")

	// ErrClosed: the Client or Verifier was closed.
	ErrClosed = errors.New("acpclient: closed")
)

// Error is the server's own "no": an OAuth error at the callback or from an endpoint
// (RFC 6749 4.1.2.1 and 5.2), in any of the three shapes that ACP uses. The texts come
// from outside: control characters are gone, long runs that could be a token are
// replaced, and each is cut at 200 bytes. The zero value of a field means "not sent".
type Error struct {
	Code        string // "invalid_grant", "access_denied", "rejected" ...; "invalid_response" when what came is no error code
	Description string // error_description
	Cause       string // ACP's cause or error_cause
	Hint        string // ACP's error_hint
	TraceID     string // ACP's trace id, for its operators
	StatusCode  int    // HTTP status of the endpoint's answer; 0 at the callback

	retryAfter time.Duration
}

// Error gives the code, the status and the trace id, never the description.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("acpclient: server error ")
	b.WriteString(strconv.Quote(e.Code))
	if e.StatusCode != 0 {
		fmt.Fprintf(&b, ", status %d", e.StatusCode)
	}
	if e.Cause != "" {
		fmt.Fprintf(&b, ", cause %q", e.Cause)
	}
	if e.TraceID != "" {
		fmt.Fprintf(&b, ", trace %q", e.TraceID)
	}
	return b.String()
}

// Is makes the error match ErrAccessDenied when the user or a policy refused, and
// ErrUnavailable when the server says that it cannot answer now.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrAccessDenied:
		return e.Code == "access_denied" || strings.EqualFold(e.Code, "rejected")
	case ErrUnavailable:
		return e.Code == "temporarily_unavailable" || e.Code == "server_error" ||
			e.StatusCode == 429 || e.StatusCode >= 500
	}
	return false
}

// mistake names the field of a configuration that is wrong.
func mistake(field, format string, args ...any) error {
	return fmt.Errorf(field+": "+format, args...)
}

// failure is every error of ours that has a kind and a reason.
type failure struct {
	kind       error
	reason     string
	detail     string // never a secret, never more than a line
	cause      error
	retryAfter time.Duration
}

func (f *failure) Error() string {
	s := f.kind.Error()
	if f.reason != "" && !strings.HasSuffix(s, f.reason) { // "server unavailable: unavailable"
		s += ": " + f.reason
	}
	if f.detail != "" {
		s += ": " + f.detail
	}
	return s
}

func (f *failure) Is(target error) bool { return target == f.kind }
func (f *failure) Unwrap() error        { return f.cause }

func invalidCallback(reason, detail string) error {
	return &failure{kind: ErrInvalidCallback, reason: reason, detail: detail}
}

func invalidToken(reason, detail string) error {
	return &failure{kind: ErrInvalidToken, reason: reason, detail: detail}
}

func invalidResponse(reason, detail string) error {
	return &failure{kind: ErrInvalidResponse, reason: reason, detail: detail}
}

// unavailable says that the server could not be asked. The cause's text is kept only
// where it is known to hold no secret; errors.Is sees a timeout through it.
func unavailable(cause error, retryAfter time.Duration) error {
	f := &failure{kind: ErrUnavailable, reason: "unavailable", retryAfter: retryAfter}
	switch {
	case isTimeout(cause):
		f.reason, f.cause = "timeout", context.DeadlineExceeded
	case errors.Is(cause, context.Canceled):
		f.cause = context.Canceled // the caller left: nobody's fault
	}
	f.detail = transportDetail(cause)
	return f
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

// transportDetail is the text of a transport's error without its URL, whose query may
// hold secrets and which x/oauth2 and net/http print in full.
func transportDetail(err error) string {
	if err == nil {
		return ""
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if f, ok := errors.AsType[*failure](err); ok {
		return f.detail
	}
	return clean(err.Error())
}

// Reason is the stable code of the check that failed: "state_mismatch", "nonce",
// "expired", "timeout" ... as docs/errors.md lists them. It is "" for nil, for
// mistakes in arguments, and for errors of other packages.
func Reason(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return "provider_error:" + e.Code
	}
	if f, ok := errors.AsType[*failure](err); ok {
		return f.reason
	}
	return ""
}

// RetryAfter is how long the server, or our own back-off, asks to wait before the next
// try: 0 when nothing is known, at most 5 min (RFC 9110 10.2.3).
func RetryAfter(err error) time.Duration {
	var d time.Duration
	if e, ok := errors.AsType[*Error](err); ok {
		d = e.retryAfter
	} else if f, ok := errors.AsType[*failure](err); ok {
		d = f.retryAfter
	}
	return min(max(d, 0), maxRetryAfter)
}

const maxRetryAfter = 5 * time.Minute

// parseRetryAfter reads delta-seconds or an HTTP date; anything else is 0.
func parseRetryAfter(v string, now time.Time) time.Duration {
	if v == "" {
		return 0
	}
	if n, err := strconv.ParseUint(v, 10, 64); err == nil {
		return time.Duration(min(n, uint64(maxRetryAfter/time.Second))) * time.Second
	} else if errors.Is(err, strconv.ErrRange) {
		return maxRetryAfter
	}
	for _, layout := range []string{time.RFC1123, time.RFC850, time.ANSIC} {
		if t, err := time.Parse(layout, v); err == nil {
			return min(max(t.Sub(now), 0), maxRetryAfter)
		}
	}
	return 0
}

// serverError builds an *Error from what came in.
func serverError(status int, code, description, cause, hint, trace string) *Error {
	if !validErrorCode(code) {
		code = "invalid_response"
	}
	return &Error{
		Code: code, Description: clean(description), Cause: clean(cause),
		Hint: clean(hint), TraceID: cleanID(trace), StatusCode: status,
	}
}

// validErrorCode obeys RFC 6749 4.1.2.1 and a length of our own.
func validErrorCode(code string) bool {
	if code == "" || len(code) > 64 {
		return false
	}
	for i := range len(code) {
		if c := code[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return clean(code) == code
}
