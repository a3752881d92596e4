package main

import (
	"context"
	"net/http"
	"net/url"
	"strings"
)

// walk is one way through the flow; its fields are what a step leaves to the next.
type walk struct {
	*stage
	*printer
	ctx context.Context

	user     *agent
	login    exchange   // the redirect to the authorize endpoint
	asked    url.Values // the authorization request
	consent  exchange   // the page, after signing in
	redirect exchange   // to the callback, with the code
	tokens   struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
		ID      string `json:"id_token"`
		Type    string `json:"token_type"`
		Expires int    `json:"expires_in"`
	}
}

type step struct {
	title string
	play  func() error
}

func (w *walk) steps() []step {
	return []step{
		{"The user opens the application", w.openApp},
		{"The application redirects to the authorize endpoint", w.toAuthorize},
		{"ACP authenticates the user, and asks for consent when scopes need it", w.authenticate},
		{"The user consents (or refuses)", w.decide},
		{"The code arrives at the redirect endpoint", w.arrive},
		{"The application sends the code and authenticates at the token endpoint", w.redeem},
		{"ACP validates the request", w.validate},
		{"ACP answers with an access token, a refresh token and an ID token", w.inspect},
		{"The application calls the API with the access token", w.call},
		{"The API validates the token and answers", w.answer},
	}
}

func (w *walk) openApp() (err error) {
	if w.user, err = newAgent(w.ctx, w.stage); err != nil {
		return err
	}
	e, err := w.user.open(w.app.url + "/profile")
	if err != nil {
		return err
	}
	w.show(e)
	target, err := e.location()
	if err != nil {
		return err
	}
	w.check(target.Path == "/login" && target.Query().Get("return_to") == "/profile",
		"without a session the protected page leads to the login, which will lead back")
	w.login, err = w.user.follow(e)
	return err
}

func (w *walk) toAuthorize() error {
	w.show(w.login)
	target, err := w.login.location()
	if err != nil {
		return err
	}
	q := target.Query()
	w.check(target.Scheme+"://"+target.Host+target.Path == w.acp.Issuer+"/oauth2/authorize", "it goes to the authorize endpoint that discovery names")
	if w.hard != nil {
		if q, err = w.pushed(q); err != nil {
			return err
		}
	}
	w.asked = q
	w.check(q.Get("response_type") == "code", "response_type=code")
	w.check(q.Get("client_id") == clientID && q.Get("redirect_uri") == w.app.url+"/callback", "it names the client and the registered redirect URI")
	w.check(q.Get("code_challenge_method") == "S256" && len(q.Get("code_challenge")) == 43, "it carries a PKCE challenge (S256), never the verifier")
	w.check(len(q.Get("state")) >= 22 && len(q.Get("nonce")) >= 22, "state and nonce are random and fresh")
	return nil
}

func (w *walk) authenticate() error {
	e, err := w.user.follow(w.login)
	if err != nil {
		return err
	}
	w.show(e)
	w.check(e.code == http.StatusOK && strings.Contains(e.response, `name="password"`), "ACP shows its login page")
	if w.consent, err = w.user.submit(signInForm()); err != nil {
		return err
	}
	w.show(w.consent)
	w.check(asksConsent(w.consent), "the scopes ask for consent, so that the consent page follows")

	if w.hard != nil {
		return w.unpushed()
	}
	// The same request without scopes, from another browser.
	w.variant("without scopes")
	target, err := w.login.location()
	if err != nil {
		return err
	}
	q := target.Query()
	q.Del("scope")
	target.RawQuery = q.Encode()
	other, err := newAgent(w.ctx, w.stage)
	if err != nil {
		return err
	}
	if _, err = other.open(target.String()); err != nil {
		return err
	}
	e, err = other.submit(signInForm())
	if err != nil {
		return err
	}
	w.show(e)
	back, err := e.location()
	w.check(err == nil && back.Query().Has("code") && !asksConsent(e), "no scopes, no consent page: the code comes at once")
	return nil
}

func signInForm() url.Values {
	return url.Values{"username": {"alice"}, "password": {"wonderland"}, "action": {"login"}}
}

func asksConsent(e exchange) bool {
	return e.code == http.StatusOK && strings.Contains(e.response, `value="allow"`)
}

func (w *walk) decide() (err error) {
	if w.redirect, err = w.user.submit(url.Values{"action": {"allow"}}); err != nil {
		return err
	}
	w.show(w.redirect)
	target, err := w.redirect.location()
	if err != nil {
		return err
	}
	w.check(strings.HasPrefix(target.String(), w.app.url+"/callback?") && target.Query().Has("code"), "the answer is a redirect to the application, with a code")

	w.variant("refusal, in another browser")
	other, back, err := w.throughConsent("deny")
	if err != nil {
		return err
	}
	w.show(back)
	target, err = back.location()
	if err != nil {
		return err
	}
	w.check(target.Query().Get("error") == "rejected" && !target.Query().Has("code"), "ACP says error=rejected, and there is no code")
	e, err := other.follow(back)
	if err != nil {
		return err
	}
	w.show(e)
	w.check(e.code == http.StatusForbidden, "the application answers 403")
	e, err = other.open(w.app.url + "/profile")
	if err != nil {
		return err
	}
	w.check(e.code != http.StatusOK, "and nobody is signed in")
	return nil
}

// throughConsent signs a second browser in, up to the redirect to the callback.
func (w *walk) throughConsent(action string) (*agent, exchange, error) {
	other, err := newAgent(w.ctx, w.stage)
	if err != nil {
		return nil, exchange{}, err
	}
	e, err := other.open(w.app.url + "/login?return_to=/profile")
	if err == nil {
		_, err = other.follow(e)
	}
	if err == nil {
		_, err = other.submit(signInForm())
	}
	if err == nil {
		e, err = other.submit(url.Values{"action": {action}})
	}
	return other, e, err
}

func (w *walk) arrive() error {
	e, err := w.user.follow(w.redirect)
	if err != nil {
		return err
	}
	w.show(e)
	if w.hard != nil {
		w.check(e.url.Query().Get("iss") == w.acp.Issuer, "it says which server answers (iss)")
	}
	w.check(e.url.Query().Get("state") == w.asked.Get("state"), "the state is the one that this browser was sent away with")
	target, err := e.location()
	w.check(err == nil && target.Path == "/profile", "the application took the code and leads to the page that was asked for")
	page, err := w.user.open(w.app.url + "/profile")
	if err != nil {
		return err
	}
	w.show(page)
	w.check(page.code == http.StatusOK && strings.Contains(page.response, "alice"), "the protected page opens: alice is signed in")
	return nil
}
