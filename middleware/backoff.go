package middleware

import (
	"errors"
	"time"

	"github.com/acp-go/acp/acpclient"
)

const maxRetryAfter = 5 * time.Minute

// backoff keeps a session whose refresh failed from asking with each request.
type backoff struct {
	failures int
	until    time.Time
	err      error
}

// fatal holds for the answers after which no refresh can succeed: the server has ended
// the grant, or speaks of another user.
func fatal(err error) bool {
	if e, ok := errors.AsType[*acpclient.Error](err); ok {
		return e.Code == "invalid_grant" && !errors.Is(e, acpclient.ErrUnavailable)
	}
	reason := acpclient.Reason(err)
	return errors.Is(err, acpclient.ErrInvalidToken) && (reason == "subject" || reason == "issuer")
}

// pause is 1 s, 2 s, 3 s, 3 s, 3 s and then 5 s, or what the server asks for.
func pause(failures int, err error) time.Duration {
	d := 5 * time.Second
	if failures <= 5 {
		d = min(time.Duration(failures), 3) * time.Second
	}
	return min(max(d, acpclient.RetryAfter(err)), maxRetryAfter)
}
