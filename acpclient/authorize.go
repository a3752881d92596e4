package acpclient

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/acp-go/acp/pkce"
)

// AuthorizeOptions shape one login. nil is the zero value: nothing special.
type AuthorizeOptions struct {
	// ReturnTo is kept in the Flow and never sent. It is not judged here.
	ReturnTo string

	// Scopes replace Config.Scopes. nil leaves them, an empty slice asks for none.
	Scopes []string

	// Prompt is "none", or any of "login", "consent", "select_account" (OIDC Core 3.1.2.1).
	Prompt []string

	// MaxAge is how long ago the user may have signed in at most, in whole seconds; Exchange
	// checks `auth_time` against it. Zero asks for a sign-in now. nil asks for nothing.
	MaxAge *time.Duration

	// ACRValues are wanted authentication classes, best first. The answer's `acr` is not
	// checked here: they are a wish (OIDC Core 3.1.2.1).
	ACRValues []string

	// LoginHint is what is known of the user; IDPHint is ACP's identity provider to go to.
	LoginHint, IDPHint string

	// UILocales are BCP 47 tags, best first.
	UILocales []string

	// Resources are the APIs that the access token is for (RFC 8707): absolute URIs
	// without fragment.
	Resources []string

	// Claims is the JSON of the claims parameter (OIDC Core 5.5).
	Claims json.RawMessage

	// AuthorizationDetails is the JSON of the authorization_details parameter (RFC 9396 2): an
	// array of objects, each with a `type`, as json.Marshal makes it of a slice of your own
	// structs. What was granted is in Tokens.Extra("authorization_details"), as encoding/json
	// decodes it. They may say much of the user: see Config.RequirePushedAuthorizationRequests.
	AuthorizationDetails json.RawMessage

	// Extra is anything else. It cannot name a parameter that this package sends, nor one
	// that has a field above, and each has one value.
	Extra url.Values
}

// reserved parameters are ours alone: an extra one would override a check or be sent twice.
var reserved = []string{
	"response_type", "response_mode", "client_id", "redirect_uri", "scope", "state", "nonce",
	"code_challenge", "code_challenge_method", "request", "request_uri", "response",
	"prompt", "max_age", "acr_values", "login_hint", "idp_hint", "ui_locales", "resource", "claims", "authorization_details",
	"client_secret", "client_assertion", "client_assertion_type", "code", "code_verifier", "dpop_jkt",
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti", // of a request object
}

// authorizePrefix is the part of the authorize URL that all logins without options share.
type authorizePrefix struct {
	of       *Metadata
	endpoint string // up to where its parameters begin
	indirect bool   // the request's parameters do not stand in the URL
	url      string // how every login's begins; without the endpoint when indirect
}

// Authorize starts a login: the URL to send the browser to, and the Flow to keep until
// it comes back. State, nonce and an S256 challenge are always sent, and `redirect_uri` byte
// for byte as configured. It waits for the metadata where it is not known yet, for the server's
// key where a request object is encrypted to it, and for the server's answer where the request
// is pushed (RFC 9126), 5 s at most for each. Errors are those of
// Metadata, ErrInvalidResponse when the server names no usable endpoint, *Error when it
// refuses the pushed request, or describe a mistake in the options.
func (c *Client) Authorize(ctx context.Context, o *AuthorizeOptions) (redirectURL string, flow *Flow, err error) {
	if o == nil {
		o = &AuthorizeOptions{}
	}
	if err := o.Check(); err != nil {
		return "", nil, err
	}
	m, err := c.meta.value(ctx)
	if err != nil {
		return "", nil, err
	}
	prefix := c.prefix.Load()
	if prefix == nil || prefix.of != m {
		if prefix, err = c.newPrefix(m); err != nil {
			return "", nil, err
		}
		c.prefix.Store(prefix)
	}
	flow = &Flow{
		Issuer: c.config.Issuer, ClientID: c.config.ClientID,
		State: rand.Text(), Nonce: rand.Text(), Verifier: pkce.NewVerifier(),
		ReturnTo: o.ReturnTo, Scopes: slices.Clone(c.config.Scopes), Expiry: c.now().Add(c.config.FlowLifetime),
	}
	if c.back.dpop != nil {
		flow.DPoPKey = c.back.dpop.thumbprint
	}
	if o.Scopes != nil {
		flow.Scopes = slices.Clone(o.Scopes)
	}
	if m.JWKSURI == "" && c.needsKeys(flow.Scopes) {
		return "", nil, invalidResponse("metadata", "no jwks_uri")
	}
	if o.MaxAge != nil {
		flow.MaxAge = new(int64(*o.MaxAge / time.Second))
	}
	var b strings.Builder
	b.Grow(len(prefix.url) + 256)
	b.WriteString(prefix.url)
	o.write(&b, flow)
	b.WriteString("&state=")
	b.WriteString(flow.State)
	b.WriteString("&nonce=")
	b.WriteString(flow.Nonce)
	b.WriteString("&code_challenge_method=" + pkce.Method + "&code_challenge=")
	b.WriteString(pkce.Challenge(flow.Verifier))
	if !prefix.indirect {
		return b.String(), flow, nil
	}
	if redirectURL, err = c.refer(ctx, m, prefix.endpoint, b.String(), flow); err != nil {
		return "", nil, err
	}
	return redirectURL, flow, nil
}

// needsKeys reports whether the answers to a login are signed by the server's own keys. A server of
// plain OAuth 2.0 signs none.
func (c *Client) needsKeys(scopes []string) bool {
	return c.secret == nil && (slices.Contains(scopes, "openid") || isJWTMode(c.config.ResponseMode))
}

// newPrefix joins the endpoint and what never changes.
func (c *Client) newPrefix(m *Metadata) (*authorizePrefix, error) {
	switch {
	case m.AuthorizationEndpoint == "":
		return nil, invalidResponse("metadata", "no authorization_endpoint")
	case m.TokenEndpoint == "":
		return nil, invalidResponse("metadata", "no token_endpoint")
	}
	if err := c.judgeOffer(m); err != nil {
		return nil, err
	}
	// RFC 6749 3.1: the endpoint's own query stays, and no parameter is sent twice.
	u, err := url.Parse(m.AuthorizationEndpoint)
	if err != nil {
		return nil, invalidResponse("metadata", "authorization_endpoint is not a URL")
	}
	own, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, invalidResponse("metadata", "authorization_endpoint has a malformed query")
	}
	for name := range own {
		if slices.Contains(reserved, name) {
			return nil, invalidResponse("metadata", "authorization_endpoint already has the parameter "+name)
		}
	}
	var b strings.Builder
	b.WriteString(m.AuthorizationEndpoint)
	if u.RawQuery != "" {
		b.WriteString("&")
	} else if !u.ForceQuery {
		b.WriteString("?")
	}
	p := &authorizePrefix{of: m, endpoint: b.String(), indirect: c.pushes(m) || c.config.RequestObject != nil}
	if p.indirect {
		b.Reset()
	}
	b.WriteString("response_type=code&client_id=" + url.QueryEscape(c.config.ClientID))
	if c.config.RedirectURL != "" {
		b.WriteString("&redirect_uri=" + url.QueryEscape(c.config.RedirectURL))
	}
	if c.back.dpop != nil { // RFC 9449 10
		b.WriteString("&dpop_jkt=" + c.back.dpop.thumbprint)
	}
	if mode := c.config.ResponseMode; mode != "" && mode != "query" {
		b.WriteString("&response_mode=" + mode)
	}
	p.url = b.String()
	return p, nil
}

// write appends what the options and the flow add to the prefix.
func (o *AuthorizeOptions) write(b *strings.Builder, flow *Flow) {
	param := func(name, value string) {
		if value != "" {
			b.WriteByte('&')
			b.WriteString(name)
			b.WriteByte('=')
			b.WriteString(url.QueryEscape(value))
		}
	}
	param("scope", strings.Join(flow.Scopes, " "))
	param("prompt", strings.Join(o.Prompt, " "))
	if flow.MaxAge != nil {
		param("max_age", strconv.FormatInt(*flow.MaxAge, 10))
	}
	param("acr_values", strings.Join(o.ACRValues, " "))
	param("login_hint", o.LoginHint)
	param("idp_hint", o.IDPHint)
	param("ui_locales", strings.Join(o.UILocales, " "))
	for _, r := range o.Resources {
		param("resource", r)
	}
	param("claims", string(o.Claims))
	param("authorization_details", string(o.AuthorizationDetails))
	for name, values := range o.Extra {
		param(url.QueryEscape(name), values[0])
	}
}

// Check reports the first mistake in the options that Authorize would report, without any
// request: for options that are set once, at the start. nil has none.
func (o *AuthorizeOptions) Check() error {
	if o == nil {
		return nil
	}
	if err := o.check(); err != nil {
		return fmt.Errorf("acpclient: AuthorizeOptions: %w", err)
	}
	return nil
}

func (o *AuthorizeOptions) check() error {
	if err := checkScopes(o.Scopes); err != nil {
		return mistake("Scopes", "%w", err)
	}
	for _, list := range []struct {
		name   string
		values []string
	}{{"Prompt", o.Prompt}, {"ACRValues", o.ACRValues}, {"UILocales", o.UILocales}} {
		for _, v := range list.values {
			if !printable(v) || strings.Contains(v, " ") {
				return fmt.Errorf("%s: %q is not one word of ASCII", list.name, v)
			}
		}
	}
	if len(o.Prompt) > 1 && slices.Contains(o.Prompt, "none") {
		return mistake("Prompt", "none stands alone")
	}
	if o.MaxAge != nil && *o.MaxAge < 0 {
		return mistake("MaxAge", "is negative")
	}
	for _, r := range o.Resources {
		if u, err := url.Parse(r); err != nil || !u.IsAbs() || strings.Contains(r, "#") {
			return mistake("Resources", "not an absolute URI without fragment")
		}
	}
	if o.Claims != nil && (!json.Valid(o.Claims) || o.Claims[0] != '{') {
		return mistake("Claims", "not a JSON object")
	}
	if o.AuthorizationDetails != nil {
		if err := checkDetails(o.AuthorizationDetails); err != nil {
			return mistake("AuthorizationDetails", "%w", err)
		}
	}
	for name, values := range o.Extra {
		if slices.Contains(reserved, name) || name == "" {
			return mistake("Extra", "%q is set by this package", name)
		}
		if len(values) != 1 {
			return mistake("Extra", "%q has %d values, not one", name, len(values))
		}
	}
	return nil
}
