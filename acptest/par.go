package acptest

import (
	"net/http"
	"net/url"
	"slices"
	"time"
)

// pushedRequest is an authorization request that came through the back channel.
type pushedRequest struct {
	clientID string
	params   url.Values
	expiry   time.Time
	used     bool
}

// authenticating parameters are no part of the authorization request that they come with.
var authenticating = []string{"client_secret", "client_assertion", "client_assertion_type"}

// par answers POST /par (RFC 9126 2).
func (s *Server) par(r Request) *Response {
	if refusal := refusePost(r); refusal != nil {
		return refusal
	}
	client, refusal := s.authenticate(PAREndpoint, r)
	if refusal != nil {
		return refusal
	}
	key, refusal := s.proof(PAREndpoint, r, "")
	if refusal != nil {
		return refusal
	}
	params := url.Values{}
	for name, values := range r.Form {
		if !slices.Contains(authenticating, name) {
			params[name] = values
		}
	}
	switch {
	case params.Has("request_uri"):
		s.breach(RulePAR, "RFC 9126 2.1", "the pushed request has a request_uri")
		return apiError(http.StatusBadRequest, "invalid_request", "a pushed request has no request_uri")
	case params.Get("client_id") != client.ID: // RFC 9126 2.1: it is one of the authorization request's parameters
		s.breach(RulePAR, "RFC 9126 2.1", "the pushed request has client_id %q and is authenticated as %q", params.Get("client_id"), client.ID)
		return apiError(http.StatusBadRequest, "invalid_request", "client_id is missing, or another client's")
	}
	params, fault := s.unwrapped(params)
	if fault != "" {
		return apiError(http.StatusBadRequest, "invalid_request_object", fault)
	}
	if key != "" { // RFC 9449 10.1: the proof stands for dpop_jkt, and both together must agree
		if params.Has("dpop_jkt") && params.Get("dpop_jkt") != key {
			s.breach(RuleProof, "RFC 9449 10.1", "the pushed request has a proof of another key than its dpop_jkt")
			return apiError(http.StatusBadRequest, "invalid_dpop_proof", "dpop_jkt is another key's")
		}
		params.Set("dpop_jkt", key)
	}
	if !params.Has("redirect_uri") { // ACP's own demand
		return apiError(http.StatusBadRequest, "invalid_request", "a pushed request has a redirect_uri")
	}
	if _, _, refusal := s.newAuthorization(params); refusal != nil {
		return apiError(http.StatusBadRequest, "invalid_request", "redirect_uri is not registered")
	}
	if code, description := s.refusedParameter(params, client); code != "" {
		return apiError(http.StatusBadRequest, code, description)
	}
	uri := "urn:ietf:params:oauth:request_uri:" + random()
	s.mu.Lock()
	s.state.pushed[uri] = &pushedRequest{clientID: client.ID, params: params, expiry: s.now().Add(s.opts.PARTTL)}
	s.mu.Unlock()
	return jsonResponse(http.StatusCreated, map[string]any{"request_uri": uri, "expires_in": int64(s.opts.PARTTL / time.Second)})
}

// pushed finds the authorization request that an authorize URL stands for: the URL's own
// parameters, or those of its request object, where nothing was pushed. The response is a
// refusal.
func (s *Server) pushed(q url.Values) (url.Values, *Response) {
	uri := q.Get("request_uri")
	if uri == "" {
		if s.opts.RequirePAR {
			s.breach(RulePAR, "RFC 9126 5", "the authorize request was not pushed, and the server demands that")
			return nil, errorPage(http.StatusBadRequest, "invalid_request", "the request must be pushed")
		}
		params, fault := s.unwrapped(q)
		if fault != "" {
			return nil, errorPage(http.StatusBadRequest, "invalid_request_object", fault)
		}
		return params, nil
	}
	for name := range q {
		if name != "client_id" && name != "request_uri" {
			s.breach(RulePAR, "RFC 9126 4, RFC 9101 5", "the authorize request carries %q beside client_id and request_uri", name)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.state.pushed[uri]
	switch {
	case p == nil, p.clientID != q.Get("client_id"):
		return nil, errorPage(http.StatusBadRequest, "invalid_request_uri", "the client pushed no such request")
	case p.used: // by a reload, perhaps: no breach
		return nil, errorPage(http.StatusBadRequest, "invalid_request_uri", "the request was used before")
	case !s.now().Before(p.expiry):
		return nil, errorPage(http.StatusBadRequest, "invalid_request_uri", "the request has expired")
	}
	p.used = true
	return p.params, nil
}
