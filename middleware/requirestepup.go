package middleware

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/acp-go/acp/acpclient"
)

// StepUp says how strongly, and how lately, a user must have signed in. It is a plain
// value, which is copied. One of the fields is needed.
type StepUp struct {
	// ACRValues are the authentication context classes of which the session's `acr` must be
	// one, the preferred one first. nil takes any.
	ACRValues []string

	// MaxAge is how long ago the user may have signed in at most, in whole seconds, at
	// least 1 min: the user needs some time for the way back. nil takes any.
	MaxAge *time.Duration
}

// RequireStepUp is RequireSession for pages that need more: a navigation whose session is
// too weak or too old is sent to the authorization server, with acr_values and max_age, and
// comes back to this page; everything else gets 401. What comes back is judged: a sign-in that
// is still too weak is answered 403, leaves the session of before, and is not tried again by itself.
//
// The error names every mistake in s. A nil s, or one that asks for nothing, is a mistake.
func (a *Authenticator) RequireStepUp(s *StepUp) (func(http.Handler) http.Handler, error) {
	if s == nil {
		s = &StepUp{}
	}
	need := StepUp{ACRValues: slices.Clone(s.ACRValues)}
	options := *a.config.Authorize
	if len(need.ACRValues) > 0 {
		options.ACRValues = need.ACRValues
	}
	if s.MaxAge != nil {
		need.MaxAge = new(*s.MaxAge)
		options.MaxAge = need.MaxAge
	}
	var errs []error
	if len(s.ACRValues) == 0 && s.MaxAge == nil {
		errs = append(errs, errors.New("StepUp: asks for nothing"))
	}
	if s.MaxAge != nil && (*s.MaxAge < time.Minute || *s.MaxAge%time.Second != 0) {
		errs = append(errs, errors.New("StepUp.MaxAge: is less than 1 min, or no whole number of seconds"))
	}
	errs = append(errs, options.Check())
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("middleware: RequireStepUp:\n%w", err)
	}
	return func(next http.Handler) http.Handler {
		next = orNotFound(next)
		return a.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			err := need.judge(SessionFromContext(r.Context()).tokens(), a.now())
			switch {
			case err == nil:
				next.ServeHTTP(w, r)
			case isNavigation(r):
				o := options
				o.ReturnTo = a.here(r)
				a.leave(w, r, &o, &need)
			default:
				a.refuse(w, r, err)
			}
		}))
	}, nil
}

// judge holds what an ID token says against the need. It judges the callback, too, by the very same
// rule: a page that sent the browser away would otherwise do so again and again.
func (s *StepUp) judge(t *acpclient.Tokens, now time.Time) error {
	if len(s.ACRValues) == 0 && s.MaxAge == nil {
		return nil // as far as it matters there need not be an ID token
	}
	var id struct {
		ACR      string   `json:"acr"`
		AuthTime *float64 `json:"auth_time"` // whose form was judged, when the token came
	}
	if err := t.Claims(&id); err != nil {
		return err
	}
	weak := func(reason string) error {
		return &problem{status: http.StatusUnauthorized, reason: reason, detail: "the page needs a stronger or later sign-in"}
	}
	if len(s.ACRValues) > 0 && !slices.Contains(s.ACRValues, id.ACR) {
		return weak("acr")
	}
	if s.MaxAge == nil {
		return nil
	}
	if id.AuthTime == nil || now.Sub(time.Unix(int64(*id.AuthTime), 0)).Truncate(time.Second) > *s.MaxAge { // auth_time has whole seconds
		return weak("auth_time")
	}
	return nil
}

// judgeCallback judges what a login brought that was begun for a need.
func (s *StepUp) judgeCallback(t *acpclient.Tokens, now time.Time) error {
	if err := s.judge(t, now); err != nil {
		return &problem{status: http.StatusForbidden, reason: reasonOf(err), detail: "the sign-in is not as strong, or as late, as the page needs it", cause: err}
	}
	return nil
}
