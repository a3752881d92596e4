package middleware

import (
	"net/http"
	"slices"
	"time"

	"github.com/acp-go/acp/acpclient"
)

// authTimeLeeway is how far in the future an auth_time may be, for clocks that differ.
const authTimeLeeway = 30 * time.Second

// judgeSignIn asks whether the user signed in strongly enough, and lately enough (RFC 9470).
func (p *protector) judgeSignIn(a *acpclient.AccessToken) error {
	weak := func(reason, detail string) error {
		return &problem{status: http.StatusUnauthorized, reason: reason, detail: detail, challenge: p.challenges.authentication}
	}
	if o := &p.options; len(o.ACRValues) > 0 && !slices.Contains(o.ACRValues, a.ACR) {
		return weak("acr", "the token's acr is none of those that are asked for")
	}
	if p.options.MaxAge == nil {
		return nil
	}
	if a.AuthTime.IsZero() {
		return weak("auth_time", "the token does not say when the user signed in")
	}
	age := wallClock().Sub(a.AuthTime)
	switch {
	case age < -authTimeLeeway:
		return weak("auth_time", "the user signed in in the future")
	case age.Truncate(time.Second) > *p.options.MaxAge: // auth_time has whole seconds
		return weak("auth_time", "the user signed in too long ago")
	}
	return nil
}
