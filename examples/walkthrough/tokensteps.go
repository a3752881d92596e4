package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Steps 6 to 10 happen behind the user agent's back.

func (w *walk) tokenPath() string {
	u, _ := url.Parse(w.acp.Issuer) // our own server made it
	return u.Path + "/oauth2/token"
}

func (w *walk) redeem() error {
	e, found := w.said.last(w.tokenPath())
	if !found {
		return errors.New("there was no token request")
	}
	w.showRequest(e)
	form, err := url.ParseQuery(e.body)
	if err != nil {
		return err
	}
	target, err := w.redirect.location()
	if err != nil {
		return err
	}
	w.check(e.method == http.MethodPost && form.Get("grant_type") == "authorization_code", "grant_type=authorization_code, in the body of a POST")
	w.check(form.Get("code") == target.Query().Get("code"), "the code is the one from the callback")
	w.check(len(form.Get("code_verifier")) >= 43, "the PKCE verifier is shown for the first time, and only here")
	if w.hard != nil {
		return w.proves(e, form)
	}
	w.check(strings.HasPrefix(e.header.Get("Authorization"), "Basic ") && !form.Has("client_secret"), "the client authenticates (client_secret_basic)")
	return nil
}

func (w *walk) validate() error {
	e, _ := w.said.last(w.tokenPath())
	w.showResponse(e)
	w.check(e.code == http.StatusOK, "code, client, redirect URI and verifier fit together: 200")
	if err := json.Unmarshal([]byte(e.response), &w.tokens); err != nil {
		return fmt.Errorf("the answer is not JSON: %w", err)
	}

	w.variant("a stolen code, with a wrong verifier")
	_, back, err := w.throughConsent("allow")
	if err != nil {
		return err
	}
	target, err := back.location()
	if err != nil {
		return err
	}
	// Somebody who has the code, and the client's credentials, but not the verifier.
	thief := w.tape("attacker")
	client, err := w.client(thief)
	if err != nil {
		return err
	}
	_, flow, err := client.Authorize(w.ctx, nil)
	if err != nil {
		return err
	}
	flow.State = target.Query().Get("state")
	_, err = client.Exchange(w.ctx, flow, target.Query())
	refused, _ := thief.last(w.tokenPath())
	w.show(refused)
	w.check(err != nil && refused.code == http.StatusBadRequest && strings.Contains(refused.response, `"invalid_grant"`), "ACP refuses: 400 invalid_grant")
	return nil
}

func (w *walk) inspect() error {
	access, err := claimsOf(w.tokens.Access)
	if err != nil {
		return fmt.Errorf("access token: %w", err)
	}
	w.claims("access token", access)
	id, err := claimsOf(w.tokens.ID)
	if err != nil {
		return fmt.Errorf("ID token: %w", err)
	}
	w.claims("ID token", id)
	audience, _ := access["aud"].([]any)
	w.check(slices.Contains(audience, any(w.acp.Audience)), "the access token is for the API (aud)")
	w.check(id["aud"] == clientID && id["iss"] == w.acp.Issuer && id["sub"] == "alice", "the ID token is for the application, and says who signed in")
	w.check(id["nonce"] == w.asked.Get("nonce"), "its nonce is the one from the authorize request")
	w.check(w.tokens.Refresh != "" && w.tokens.Expires > 0, "there is a refresh token, and the access token's lifetime is known")
	if w.hard != nil {
		return w.bound(access)
	}
	w.check(strings.EqualFold(w.tokens.Type, "bearer"), "the access token opens the API to whoever bears it")
	return nil
}

func claimsOf(token string) (map[string]any, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errors.New("it is not a JWT")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, err
	}
	var claims map[string]any
	return claims, json.Unmarshal(payload, &claims)
}

func (w *walk) call() error {
	page, err := w.user.open(w.app.url + "/things")
	if err != nil {
		return err
	}
	e, found := w.said.last("/things")
	if !found {
		return errors.New("the API was not called: " + page.status)
	}
	w.showRequest(e)
	if w.hard != nil {
		return w.shows(e)
	}
	w.check(e.header.Get("Authorization") == "Bearer "+w.tokens.Access, "the token travels in the Authorization header")
	return nil
}

func (w *walk) answer() error {
	e, _ := w.said.last("/things")
	w.showResponse(e)
	w.check(e.code == http.StatusOK && strings.Contains(e.response, `"sub":"alice"`), "signature, issuer, audience, times and scope are right: the API answers alice")

	for _, bad := range []struct {
		name, method, token string
		code                int
		error, text         string
	}{
		{"no token", http.MethodGet, "", http.StatusUnauthorized, "", "without a token: 401, and how to bring one"},
		{"a token with another signature", http.MethodGet, forge(w.tokens.Access), http.StatusUnauthorized, "invalid_token", "the forged token is refused: 401 invalid_token"},
		{"the ID token in place of the access token", http.MethodGet, w.tokens.ID, http.StatusUnauthorized, "invalid_token", "the ID token opens nothing: 401 invalid_token"},
		{"more than the user consented to", http.MethodPost, w.tokens.Access, http.StatusForbidden, "insufficient_scope", "the scope things.write is missing: 403 insufficient_scope"},
	} {
		w.variant(bad.name)
		t := w.tape("attacker")
		status, err := w.callAPI(w.ctx, t, bad.method, bad.token)
		if err != nil {
			return err
		}
		refused, _ := t.last("/things")
		w.show(refused)
		challenge := strings.Join(refused.responseHeader.Values("WWW-Authenticate"), ", ")
		w.check(status == bad.code && (w.hard != nil || strings.HasPrefix(challenge, "Bearer ")) &&
			strings.Contains(challenge, "error=") == (bad.error != "") && strings.Contains(challenge, bad.error), bad.text)
	}
	if w.hard != nil {
		return w.stolen()
	}
	return nil
}

// forge changes a token's signature in its middle, where every bit counts.
func forge(token string) string {
	b := []byte(token)
	i := len(b) - 20
	if b[i] == 'A' {
		b[i] = 'B'
	} else {
		b[i] = 'A'
	}
	return string(b)
}
