package acpclient

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// isJWTMode tells whether the answer comes in a signed JWT: JWT Secured Authorization
// Response Mode (JARM) 2.3.
func isJWTMode(mode string) bool { return mode == "jwt" || strings.HasSuffix(mode, ".jwt") }

func (c *Config) checkResponseMode() error {
	switch c.ResponseMode {
	case "", "query", "form_post":
		return nil
	case "query.jwt", "form_post.jwt", "jwt":
		if slices.ContainsFunc(c.IDTokenAlgs, isHMAC) {
			return fmt.Errorf("%s needs a signature by the server's own key, and IDTokenAlgs names an HS algorithm", c.ResponseMode)
		}
		return nil
	case "fragment", "fragment.jwt":
		return errors.New("a browser keeps the fragment to itself, so that no server would see the answer")
	}
	return errors.New("is none of query, form_post, query.jwt, form_post.jwt and jwt")
}

// judgeResponseMode wants the server to offer a JWT mode that is asked for: in the mode that it
// would take instead nothing is signed. A server that names no mode has query and fragment
// (OpenID Connect Discovery 3).
func (c *Client) judgeResponseMode(m *Metadata) error {
	if mode := c.config.ResponseMode; isJWTMode(mode) && !slices.Contains(m.responseModes, mode) {
		return invalidResponse("metadata", "response_modes_supported does not name "+mode+", which Config.ResponseMode asks for")
	}
	return nil
}

// CallbackState is the `state` of a callback: whoever keeps several flows finds by it the one
// that Exchange wants. callback is what Exchange takes. In a JWT response mode (JARM) the state
// stands in the signed response, which is verified before anything of it is believed; it
// then waits for metadata and keys where they are not known yet. In any other mode it is the
// parameter as it came, and nobody has vouched for it.
//
// It does not finish anything: Exchange judges the whole callback again. The error is
// ErrInvalidCallback, or ErrUnavailable or ErrInvalidResponse when the response cannot be
// judged now.
func (c *Client) CallbackState(ctx context.Context, callback url.Values) (string, error) {
	end, err := c.begin()
	if err != nil {
		return "", err
	}
	defer end()
	var m *Metadata
	if isJWTMode(c.config.ResponseMode) {
		if m, err = c.meta.value(ctx); err != nil {
			return "", err
		}
	}
	if callback, err = c.parameters(ctx, m, callback); err != nil {
		return "", err
	}
	state := callback.Get("state")
	if state == "" {
		return "", errNoState
	}
	return state, nil
}

// responseParameters are what the answer to an authorization request may consist of, and what
// it never may. With JARM none of them stands outside of the JWT, whose place it would take.
var responseParameters = []string{
	"code", "state", "iss", "error", "error_description", "error_uri", "error_cause", "cause", "error_hint", "trace_id",
	"access_token", "id_token", "token_type", "refresh_token", "response",
}

// openResponse obeys JARM 2.4: the parameters are those in the one JWT, once all of it was
// verified. What is refused is not the answer to the flow, whatever is wrong with it.
func (c *Client) openResponse(ctx context.Context, m *Metadata, callback url.Values) (url.Values, error) {
	for _, name := range responseParameters {
		if name != "response" && callback.Has(name) {
			return nil, invalidCallback("malformed_callback", name+" outside of the signed response")
		}
	}
	raw := callback.Get("response")
	if raw == "" {
		return nil, invalidCallback("malformed_callback", "no signed response")
	}
	var t *jws
	raw, err := c.decrypted(raw, encryptedResponse)
	if err == nil {
		t, err = c.open(ctx, m, raw, (*Metadata).responseAlgs)
	}
	if err == nil {
		callback, err = c.judgeResponse(t)
	}
	if f, ok := errors.AsType[*failure](err); ok && f.kind == ErrInvalidToken {
		return nil, invalidCallback(f.reason, "response: "+f.detail)
	}
	if err == nil && !wellFormed(callback) {
		return nil, errNotText
	}
	return callback, err
}

// judgeResponse applies the rules of JARM 2.1 and 2.4 to verified claims, and returns the
// parameters among them.
func (c *Client) judgeResponse(t *jws) (url.Values, error) {
	if t.typ != "" && t.typ != "jwt" { // RFC 8725 3.11; JARM names no type
		return nil, invalidToken("token_use", "typ is not an authorization response's")
	}
	// The marks of the server's other JWTs, which have the same issuer, keys and audience.
	for _, mark := range [...]string{"sub", "nonce", "events", "at_hash", "c_hash", "s_hash"} {
		if t.has(mark) {
			return nil, invalidToken("token_use", "not an authorization response, but a token: it has "+mark)
		}
	}
	switch iss, present, err := t.text("iss"); {
	case !present:
		return nil, invalidToken("issuer_missing", "no iss")
	case err != nil || iss != c.expected:
		return nil, invalidToken("issuer_mismatch", "iss is not the expected one")
	}
	if aud, err := t.audience(); err != nil || len(aud) != 1 || aud[0] != c.config.ClientID {
		return nil, invalidToken("audience", "aud is not this client alone")
	}
	if _, err := t.validity(c.now(), c.config.Leeway, true); err != nil {
		return nil, err
	}
	values := url.Values{}
	for _, name := range responseParameters {
		v, ok := t.value(name)
		if !ok || v.IsNull() {
			continue
		}
		s, ok := v.String()
		if !ok {
			return nil, invalidToken("token_malformed", name+" is not a string")
		}
		values.Set(name, s)
	}
	return values, nil
}
