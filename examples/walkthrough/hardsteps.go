package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// What the steps see beside, where all keeps to the FAPI 2.0 Security Profile.

// pushed returns the request that the reference in the authorize URL stands for.
func (w *walk) pushed(carried url.Values) (url.Values, error) {
	issuer, err := url.Parse(w.acp.Issuer)
	if err != nil {
		return nil, err
	}
	e, found := w.said.last(issuer.Path + "/par")
	if !found {
		return nil, errors.New("no request was pushed")
	}
	w.show(e)
	form, err := url.ParseQuery(e.body)
	if err != nil {
		return nil, err
	}
	var answer struct {
		URI string `json:"request_uri"`
	}
	if err := json.Unmarshal([]byte(e.response), &answer); err != nil {
		return nil, fmt.Errorf("the answer to the pushed request is not JSON: %w", err)
	}
	w.check(e.code == http.StatusCreated && answer.URI != "" && carried.Get("request_uri") == answer.URI && len(carried) == 2,
		"the request went through the back channel, and the browser carries a reference alone")
	w.check(form.Get("dpop_jkt") != "", "the code will be bound to the application's key (dpop_jkt)")
	return form, nil
}

// unpushed is a request that comes through the browser.
func (w *walk) unpushed() error {
	w.variant("the same request in the browser's hands")
	other, err := newAgent(w.ctx, w.stage)
	if err != nil {
		return err
	}
	plain := url.Values{}
	for name, values := range w.asked {
		if !strings.HasPrefix(name, "client_assertion") {
			plain[name] = values
		}
	}
	e, err := other.open(w.acp.Issuer + "/oauth2/authorize?" + plain.Encode())
	if err != nil {
		return err
	}
	w.show(e)
	back, err := e.location()
	w.check(other.form == "" && (err != nil || !back.Query().Has("code")), "ACP takes only what was pushed: no login page, no code")
	return nil
}

// proves looks at how the client proves itself, and its key, at the token endpoint.
func (w *walk) proves(e exchange, form url.Values) error {
	assertion, err := claimsOf(form.Get("client_assertion"))
	if err != nil {
		return fmt.Errorf("assertion: %w", err)
	}
	w.claims("assertion", assertion)
	w.check(assertion["iss"] == clientID && assertion["aud"] == w.acp.Issuer && e.header.Get("Authorization") == "" && !form.Has("client_secret"),
		"the client authenticates with a signature (private_key_jwt), for this server alone")
	proof, err := claimsOf(e.header.Get("DPoP"))
	if err != nil {
		return fmt.Errorf("proof: %w", err)
	}
	w.claims("proof", proof)
	w.check(proof["htm"] == http.MethodPost && proof["htu"] == w.acp.Issuer+"/oauth2/token", "and proves that it has its key (DPoP), for this request alone")
	return nil
}

// bound looks at the key that the access token is bound to.
func (w *walk) bound(access map[string]any) error {
	cnf, _ := access["cnf"].(map[string]any)
	w.check(w.tokens.Type == "DPoP" && cnf["jkt"] == w.asked.Get("dpop_jkt"), "the access token is bound to the application's key (cnf)")
	return nil
}

// shows looks at the proof that comes with a token.
func (w *walk) shows(e exchange) error {
	proof, err := claimsOf(e.header.Get("DPoP"))
	if err != nil {
		return fmt.Errorf("proof: %w", err)
	}
	w.claims("proof", proof)
	sum := sha256.Sum256([]byte(w.tokens.Access))
	w.check(e.header.Get("Authorization") == "DPoP "+w.tokens.Access, "the token travels in the Authorization header, with the scheme DPoP")
	w.check(proof["ath"] == base64.RawURLEncoding.EncodeToString(sum[:]) && proof["htu"] == w.api.url+"/things", "the proof is for this token, and this address")
	return nil
}

// stolen is the token in the hands of who does not have the key.
func (w *walk) stolen() error {
	e, _ := w.said.last("/things")
	for _, theft := range []struct{ name, scheme, proof string }{
		{"the token, stolen, as a bearer token", "Bearer", ""},
		{"the token, stolen, with a proof that was used", "DPoP", e.header.Get("DPoP")},
	} {
		w.variant(theft.name)
		thief := w.tape("attacker")
		request, err := http.NewRequestWithContext(w.ctx, http.MethodGet, w.api.url+"/things", nil)
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", theft.scheme+" "+w.tokens.Access)
		if theft.proof != "" {
			request.Header.Set("DPoP", theft.proof)
		}
		response, err := thief.RoundTrip(request)
		if err != nil {
			return err
		}
		_ = response.Body.Close() // the tape has read it
		refused, _ := thief.last("/things")
		w.show(refused)
		w.check(refused.code == http.StatusUnauthorized, "without the key the token opens nothing: 401")
	}
	return nil
}
