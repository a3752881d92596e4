package acpclient

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/url"
	"slices"
	"unicode/utf8"
)

const (
	maxCode  = 8 << 10 // bytes of an authorization code
	maxState = 256
)

// judgeCallback returns the code of a callback that is the answer to the flow. An *Error
// is the server's answer, any other error means that it is none.
func (c *Client) judgeCallback(ctx context.Context, m *Metadata, flow *Flow, callback url.Values) (code string, err error) {
	if callback, err = c.parameters(ctx, m, callback); err != nil {
		return "", err
	}
	// RFC 6749 10.12: the state binds the callback to the browser that started the flow.
	state := callback.Get("state")
	switch {
	case state == "":
		return "", errNoState
	case flow == nil:
		return "", invalidCallback("state_missing", "no flow was kept")
	case flow.State == "" || flow.Verifier == "" || flow.Nonce == "":
		return "", invalidCallback("state_missing", "the flow is incomplete")
	case len(state) > maxState || subtle.ConstantTimeCompare([]byte(state), []byte(flow.State)) != 1:
		return "", invalidCallback("state_mismatch", "the state is another flow's")
	case flow.Issuer != c.config.Issuer || flow.ClientID != c.config.ClientID:
		return "", invalidCallback("state_mismatch", "the flow was started by another client")
	case !c.now().Before(flow.Expiry):
		return "", invalidCallback("state_expired", "the flow's time is over")
	}
	if err := c.judgeIssuer(m, callback); err != nil {
		return "", err
	}
	// Tokens never come through the browser (RFC 9700 2.1.2), and what JARM adds was not asked
	// for, or was opened already.
	for _, name := range []string{"access_token", "id_token", "token_type", "refresh_token", "response"} {
		if callback.Has(name) {
			return "", invalidCallback("malformed_callback", name+" in the callback")
		}
	}
	if callback.Has("error") {
		err := callbackError(callback)
		if e, ok := errors.AsType[*Error](err); ok {
			e.scrub([]string{flow.State, flow.Nonce, flow.Verifier, callback.Get("code")})
		}
		return "", err
	}
	code = callback.Get("code")
	if code == "" || len(code) > maxCode || !printable(code) {
		return "", invalidCallback("malformed_callback", "no usable code")
	}
	return code, nil
}

var (
	errNotText = invalidCallback("malformed_callback", "invalid UTF-8, or NUL")
	errNoState = invalidCallback("state_missing", "no state")
)

// parameters are those of the answer, each one there once (RFC 6749 3.1): the callback's own
// or, in a JWT response mode, those of the verified response.
func (c *Client) parameters(ctx context.Context, m *Metadata, callback url.Values) (url.Values, error) {
	if !wellFormed(callback) {
		return nil, errNotText
	}
	for name, values := range callback {
		if len(values) > 1 {
			return nil, invalidCallback("duplicate_parameter", clean(name)+" is there twice")
		}
	}
	if isJWTMode(c.config.ResponseMode) {
		return c.openResponse(ctx, m, callback)
	}
	return callback, nil
}

// judgeIssuer obeys RFC 9207 2.4, for errors, too, and 5.3.3.2 (5) of the FAPI 2.0 Security Profile.
func (c *Client) judgeIssuer(m *Metadata, callback url.Values) error {
	iss := callback.Get("iss")
	switch {
	case !callback.Has("iss") && (m.AuthorizationResponseIssParameterSupported || c.config.Profile != ""):
		return invalidCallback("issuer_missing", "the server promises an iss parameter, or the profile demands it, and there is none")
	case callback.Has("iss") && iss != c.expected:
		return invalidCallback("issuer_mismatch", "the answer is another server's")
	}
	return nil
}

// callbackError reads the names that ACP uses at the callback.
func callbackError(v url.Values) error {
	code := v.Get("error")
	if code == "" {
		return invalidCallback("malformed_callback", "an empty error")
	}
	e := serverError(0, code, v.Get("error_description"), firstOf(v.Get("error_cause"), v.Get("cause")),
		v.Get("error_hint"), v.Get("trace_id"))
	return e
}

// wellFormed refuses what no server sends: invalid UTF-8 and NUL.
func wellFormed(callback url.Values) bool {
	bad := func(s string) bool {
		return !utf8.ValidString(s) || slices.ContainsFunc([]byte(s), func(b byte) bool { return b == 0 })
	}
	for name, values := range callback {
		if bad(name) || slices.ContainsFunc(values, bad) {
			return false
		}
	}
	return true
}
