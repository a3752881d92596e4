package middleware

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/acp-go/acp/acpclient"
)

const (
	maxCallbackQuery = 16 << 10
	maxCallbackForm  = 64 << 10
	maxState         = 512

	exchangeTimeout = 10 * time.Second // code and keys together
)

// Callback takes the browser back: it redeems the code, opens the session and sends the
// browser on to where the login was asked to return to. A callback is used once. A second
// one goes to the same place when the browser has a session, and is answered 400 otherwise.
//
// It waits for the authorization server, 10 s at most.
func (a *Authenticator) Callback(w http.ResponseWriter, r *http.Request) {
	if r.URL.EscapedPath() != a.config.CallbackPath {
		a.fail(w, r, &problem{status: http.StatusNotFound, reason: "not_found", detail: "the path is not exactly CallbackPath"})
		return
	}
	values, err := a.callbackValues(w, r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if a.refresher.isClosed() {
		a.fail(w, r, acpclient.ErrClosed)
		return
	}
	state, err := callbackState(values)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	p := a.cookies.read(r)
	tx, err := a.findTransaction(w.Header(), p, state)
	if before, ok := a.memory.used.get(keyOf(state)); ok {
		a.replay(w, r, p, err == nil, before)
		return
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	mine := newOutcome()
	before, first := a.memory.used.putNew(keyOf(state), mine, tx.flow.Expiry)
	if !first {
		a.replay(w, r, p, true, before)
		return
	}
	var rec *record
	defer func() { mine.settle(rec, tx.flow.ReturnTo) }()
	if rec, err = a.finish(w, r, p, tx, values); err != nil {
		a.fail(w, r, err)
		return
	}
	redirect(w, tx.flow.ReturnTo)
}

// callbackValues reads the parameters from the one place where they may be.
func (a *Authenticator) callbackValues(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	allow := http.MethodGet
	if a.formPost {
		allow = "GET, POST"
	}
	switch {
	case isPrefetch(r): // it would burn the code
		return nil, methodNotAllowed(allow)
	case r.Method == http.MethodGet:
		return parseCallback(r.URL.RawQuery, maxCallbackQuery)
	case r.Method != http.MethodPost || !a.formPost:
		return nil, methodNotAllowed(allow)
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, &problem{status: http.StatusUnsupportedMediaType, reason: "media_type", kind: acpclient.ErrInvalidCallback}
	}
	query, err := parseCallback(r.URL.RawQuery, maxCallbackQuery)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"code", "state", "iss", "error", "error_description", "error_uri", "response", "id_token", "access_token"} {
		if query.Has(name) {
			return nil, invalidCallback("malformed_callback", "a parameter of the form is in the query")
		}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCallbackForm))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, &problem{status: http.StatusRequestEntityTooLarge, reason: "too_large", kind: acpclient.ErrInvalidCallback}
	}
	if err != nil {
		return nil, invalidCallback("malformed_callback", "the form was cut short")
	}
	return parseCallback(string(body), maxCallbackForm)
}

// parseCallback refuses what url.ParseQuery would drop silently, a semicolon's pair among it.
func parseCallback(raw string, most int) (url.Values, error) {
	if len(raw) > most {
		return nil, invalidCallback("malformed_callback", "too long")
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, invalidCallback("malformed_callback", "not form-encoded")
	}
	return values, nil
}

// callbackState is the one state of a callback.
func callbackState(values url.Values) (string, error) {
	states := values["state"]
	switch {
	case len(states) > 1: // RFC 6749 3.1
		return "", invalidCallback("duplicate_parameter", "state is there twice")
	case len(states) == 0 || states[0] == "":
		return "", invalidCallback("state_missing", "no state")
	case !utf8.ValidString(states[0]) || strings.Contains(states[0], "\x00"):
		return "", invalidCallback("malformed_callback", "the state is not text")
	case len(states[0]) > maxState:
		return "", invalidCallback("state_mismatch", "the state is too long")
	}
	return states[0], nil
}

// finish turns the callback into a session. Nothing is written before all of it held. A
// browser that leaves meanwhile does not stop it: the code is used up, and it may come back.
func (a *Authenticator) finish(w http.ResponseWriter, r *http.Request, p *presented, tx *transaction, values url.Values) (*record, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), exchangeTimeout)
	defer cancel()
	tokens, err := a.client.Exchange(ctx, &tx.flow, values)
	if err != nil {
		return nil, err
	}
	now := a.now()
	s := a.newSession(newRecord(tokens, now))
	if err := a.callOnLogin(r, s, tokens); err != nil {
		a.refresher.revoke(s.live.current().tokens) // nobody will use them
		return nil, err
	}
	rec := s.live.current() // OnLogin may have used, and refreshed, the access token
	held := p.held()
	if r.Method == http.MethodPost {
		held = everyChunk // a post from another site does not show the session that is there
	}
	if _, err := a.writeSession(w.Header(), held, rec, now); err != nil {
		a.refresher.revoke(rec.tokens)
		return nil, err
	}
	// A response still under way could otherwise bring the user of before back.
	if old, _, ok := a.join(p); ok {
		a.refresher.end(old, everyGeneration)
	}
	if tx.before != (sessionID{}) {
		a.refresher.end(&record{id: tx.before, created: now}, everyGeneration)
	}
	return rec, nil
}

// callOnLogin turns a panic into an error: nobody is logged in by it, and the browser is told.
func (a *Authenticator) callOnLogin(r *http.Request, s *Session, t *acpclient.Tokens) (err error) {
	if a.config.OnLogin == nil {
		return nil
	}
	defer func() {
		if p := recover(); p == http.ErrAbortHandler {
			panic(p)
		} else if p != nil {
			err = &problem{status: http.StatusInternalServerError, reason: "on_login_panic", detail: clean(fmt.Sprint(p))}
		}
	}()
	if err := a.config.OnLogin(r, s, t); err != nil {
		return &problem{status: http.StatusForbidden, reason: "on_login", cause: err}
	}
	return nil
}

// replay answers a callback that was used before, without asking the server again. starter
// says that this browser still holds the login's cookie.
func (a *Authenticator) replay(w http.ResponseWriter, r *http.Request, p *presented, starter bool, before *outcome) {
	returnTo, rec, err := before.wait(r.Context())
	switch {
	case err != nil:
		a.fail(w, r, err)
	case returnTo != "" && a.find(p).rec != nil:
		redirect(w, returnTo)
	case rec != nil && starter:
		// A reload while the first one was under way: the browser dropped that one's answer.
		if _, err := a.writeSession(w.Header(), p.held(), rec, a.now()); err != nil {
			a.fail(w, r, err)
			return
		}
		redirect(w, returnTo)
	default:
		a.fail(w, r, invalidCallback("state_replayed", "this callback was used before"))
	}
}
