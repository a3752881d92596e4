package acptest

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Authorization is an authorize request that is about to be answered.
type Authorization struct {
	// Params are the parameters as they came.
	Params url.Values

	// ClientID, RedirectURI and ResponseMode are what the answer follows. RedirectURI is the
	// registered one where the request left it out.
	ClientID, RedirectURI, ResponseMode string

	// User is who signs in.
	User User

	// Scopes are those that will be granted.
	Scopes []string

	// AuthTime, ACR and AMR go into the ID token. ACR is the first of acr_values.
	AuthTime time.Time
	ACR      string
	AMR      []string

	// Error answers with an error instead of a code, when it is not "". The others go with it.
	Error, ErrorDescription, ErrorCause, ErrorHint string
}

// authorize answers GET /oauth2/authorize.
func (s *Server) authorize(r Request) *Response {
	if r.Method != http.MethodGet {
		res := genericError(http.StatusMethodNotAllowed, "method_not_allowed", "authorize requests are GET")
		res.Header.Set("Allow", "GET")
		return res
	}
	q, refusal := s.pushed(r.Query)
	if refusal != nil {
		return refusal
	}
	a, client, refusal := s.newAuthorization(q)
	if refusal != nil { // RFC 6749 4.1.2.1: never to a redirect URI that is not known to be right
		return refusal
	}
	if code, description := s.refusedParameter(q, client); code != "" {
		a.Error, a.ErrorDescription, a.ErrorCause = code, description, code
		return s.callback(a, http.StatusFound)
	}
	if !s.opts.Interactive {
		return s.decide(a, http.StatusFound)
	}
	return s.interact(a, r)
}

func (s *Server) newAuthorization(q url.Values) (*Authorization, Client, *Response) {
	s.mu.Lock()
	client, known := s.clients[q.Get("client_id")]
	user := s.user
	s.mu.Unlock()
	switch {
	case len(repeated(q.Encode())) > 0:
		return nil, client, errorPage(http.StatusBadRequest, "invalid_request", "a parameter is repeated")
	case !q.Has("client_id"):
		s.breach(RuleClientID, "RFC 6749 4.1.1", "the authorize request has no client_id")
		return nil, client, errorPage(http.StatusBadRequest, "invalid_request", "client_id is missing")
	case !known:
		return nil, client, errorPage(http.StatusUnauthorized, "invalid_client", "there is no such client")
	}
	redirectURI := q.Get("redirect_uri")
	switch {
	case !q.Has("redirect_uri") && len(client.RedirectURIs) == 1:
		redirectURI = client.RedirectURIs[0]
	case !allowedURI(client.RedirectURIs, redirectURI):
		s.breach(RuleRedirectURI, "RFC 6749 3.1.2.3, RFC 9700 2.1", "redirect_uri %q is not registered for client %q", redirectURI, client.ID)
		return nil, client, errorPage(http.StatusBadRequest, "invalid_request", "redirect_uri is not registered")
	}
	a := &Authorization{
		Params: q, ClientID: client.ID, RedirectURI: redirectURI, ResponseMode: q.Get("response_mode"),
		User: user, AuthTime: s.now(), AMR: []string{"pwd"},
	}
	for _, scope := range splitScope(q.Get("scope")) {
		if client.Scopes == nil || slices.Contains(client.Scopes, scope) {
			a.Scopes = append(a.Scopes, scope)
		}
	}
	if acr := splitScope(q.Get("acr_values")); len(acr) > 0 {
		a.ACR = acr[0]
	}
	return a, client, nil
}

// refusedParameter judges the rest of a request. It returns the error for the callback, if any.
func (s *Server) refusedParameter(q url.Values, client Client) (code, description string) {
	refusal := s.inspectAuthorize(q, slices.Contains(splitScope(q.Get("scope")), "openid"))
	mode := q.Get("response_mode")
	switch {
	case q.Get("response_type") != "code":
		s.breach(RuleResponseType, "RFC 9700 2.1.2, RFC 6749 3.1.1", "response_type is %q, it must be %q", q.Get("response_type"), "code")
		return "unsupported_response_type", "only the authorization code flow is allowed"
	case q.Has("request"):
		return "request_not_supported", "request objects are not supported"
	case q.Has("request_uri"):
		return "request_uri_not_supported", "request objects are not supported"
	case mode != "" && !slices.Contains(responseModes, mode):
		return "invalid_request", "response_mode is not supported"
	case refusal != "":
		return "invalid_request", refusal
	case client.AuthMethod == AuthNone && q.Get("code_challenge") == "":
		return "invalid_request", "a public client must use PKCE"
	}
	return "", ""
}

// decide asks the test, and answers.
func (s *Server) decide(a *Authorization, status int) *Response {
	s.mu.Lock()
	deny, hook := s.deny, s.hooks.authorize
	s.mu.Unlock()
	if deny != "" {
		a.denied(deny)
	}
	if hook != nil {
		hook(a)
	}
	return s.callback(a, status)
}

// denied fills in what ACP says with its own refusals.
func (a *Authorization) denied(code string) {
	a.Error, a.ErrorDescription = code, "the request was refused"
	if strings.EqualFold(code, "rejected") {
		a.ErrorDescription, a.ErrorCause = "the user rejected the authentication", "consent_rejected"
	}
}

// callback sends the browser back, with a new code or with an error.
func (s *Server) callback(a *Authorization, status int) *Response {
	v := url.Values{}
	if a.Error != "" {
		v.Set("error", a.Error)
		for name, value := range map[string]string{
			"error_description": a.ErrorDescription, "error_cause": a.ErrorCause,
			"error_hint": a.ErrorHint, "trace_id": random()[:32],
		} {
			if value != "" {
				v.Set(name, value)
			}
		}
	} else {
		v.Set("code", s.newCode(a))
	}
	if state := a.Params.Get("state"); state != "" {
		v.Set("state", state)
	}
	if s.opts.IssParameter { // RFC 9207 2: on errors too
		v.Set("iss", s.Issuer)
	}
	signed, form := transport(a.ResponseMode)
	if signed {
		v = url.Values{"response": {s.signedResponse(a.ClientID, v)}}
	}
	s.mu.Lock()
	hook := s.hooks.callback
	s.mu.Unlock()
	if hook != nil {
		hook(v)
	}
	if form {
		return formPost(a.RedirectURI, v)
	}
	separator := "?"
	if strings.Contains(a.RedirectURI, "?") {
		separator = "&"
	}
	res := response(status, "", nil)
	res.Header.Set("Location", a.RedirectURI+separator+v.Encode())
	res.Header.Set("Cache-Control", "no-store")
	return res
}

// newCode makes the code under which the grant waits for the token request.
func (s *Server) newCode(a *Authorization) string {
	value, now := random(), s.now()
	g := &grant{
		id: random()[:22], clientID: a.ClientID, user: a.User.withDefaults(), scopes: a.Scopes,
		nonce: a.Params.Get("nonce"), authTime: a.AuthTime, requestedAt: now, acr: a.ACR, amr: a.AMR,
		sid: random()[:22], resources: a.Params["resource"], details: a.details(), wantedKey: a.Params.Get("dpop_jkt"),
		refreshTokens: s.opts.RefreshTokens || slices.Contains(a.Scopes, "offline_access"),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.codes[value] = &code{
		grant: g, expiry: now.Add(s.opts.CodeTTL),
		challenge: a.Params.Get("code_challenge"), redirectURI: a.Params.Get("redirect_uri"),
	}
	return value
}

// details are what authorization_details asks for; nil for nothing.
func (a *Authorization) details() (list []any) {
	_ = json.Unmarshal([]byte(a.Params.Get("authorization_details")), &list) // judged when it came
	return list
}

// formPost is the page of OAuth 2.0 Form Post Response Mode 2.
func formPost(action string, v url.Values) *Response {
	var b strings.Builder
	b.WriteString("<!DOCTYPE html><html><head><title>One moment</title></head>\n<body onload=\"document.forms[0].submit()\">\n")
	fmt.Fprintf(&b, "<form method=\"post\" action=\"%s\">\n", html.EscapeString(action))
	for name, values := range v {
		for _, value := range values {
			fmt.Fprintf(&b, "<input type=\"hidden\" name=\"%s\" value=\"%s\">\n", html.EscapeString(name), html.EscapeString(value))
		}
	}
	b.WriteString("<noscript><button>Continue</button></noscript></form></body></html>\n")
	res := response(http.StatusOK, "text/html; charset=utf-8", []byte(b.String()))
	res.Header.Set("Cache-Control", "no-store")
	return res
}

func errorPage(status int, code, text string) *Response {
	body := fmt.Sprintf("<!DOCTYPE html><html><head><title>%s</title></head><body><h1>%s</h1><p>%s</p></body></html>\n",
		code, code, html.EscapeString(text))
	return response(status, "text/html; charset=utf-8", []byte(body))
}
