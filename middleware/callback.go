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

	exchangeTimeout = 10 * time.Second // code and keys together, and a signed response's
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
	p := a.cookies.read(r)
	began := wallClock()
	state, err := a.callbackState(r, p, values)
	rest := exchangeTimeout - max(0, wallClock().Sub(began))
	if err != nil {
		a.fail(w, r, err)
		return
	}
	tx, err := a.findTransaction(w.Header(), p, state)
	if before, ok := a.memory.used.get(keyOf(state)); ok {
		a.replay(w, r, p, state, err == nil, before)
		return
	}
	if err != nil {
		a.replayElsewhere(w, r, p, state, err)
		return
	}
	mine := newOutcome()
	before, first := a.memory.used.putNew(keyOf(state), mine, tx.flow.Expiry)
	if !first {
		a.replay(w, r, p, state, true, before)
		return
	}
	var rec *record
	defer func() { mine.settle(rec, tx.flow.ReturnTo) }()
	switch first, err := a.firstUse(r, state, tx); {
	case err != nil:
		// Nothing was used yet: the browser may come again with the same callback.
		mine.err = err
		a.memory.used.remove(keyOf(state))
		a.failAgain(w, r, state, err)
		return
	case !first:
		a.memory.used.remove(keyOf(state)) // nothing of it is known here
		a.replayElsewhere(w, r, p, state, errReplayed)
		return
	}
	if rec, err = a.finish(w, r, p, tx, values, rest); err != nil {
		a.fail(w, r, err)
		return
	}
	if a.shelf != nil {
		a.shelf.keepReturn(context.WithoutCancel(r.Context()), state, tx)
	}
	redirect(w, tx.flow.ReturnTo)
}

// firstUse takes a state for this process, where others might have it. A browser that leaves
// does not stop it half-way.
func (a *Authenticator) firstUse(r *http.Request, state string, tx *transaction) (bool, error) {
	if a.shelf == nil {
		return true, nil
	}
	return a.shelf.storage.Add(context.WithoutCancel(r.Context()), onceToken("state", state), tx.useful())
}

// failAgain answers a callback that may come again: its login's cookie stays.
func (a *Authenticator) failAgain(w http.ResponseWriter, r *http.Request, state string, err error) {
	a.cookies.unsay(w.Header(), a.cookies.tx+keyOf(state).id())
	a.fail(w, r, err)
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

// callbackState is the one state of a callback. Of a signed response it is verified, before
// anything changes; a browser that brings no cookie of ours costs no signature.
func (a *Authenticator) callbackState(r *http.Request, p *presented, values url.Values) (string, error) {
	if !a.signedResponse {
		return plainState(values)
	}
	if len(p.txs) == 0 && p.held() == 0 {
		return "", errNoLogin
	}
	ctx, cancel := context.WithTimeout(r.Context(), exchangeTimeout)
	defer cancel()
	return a.client.CallbackState(ctx, values)
}

func plainState(values url.Values) (string, error) {
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
// The server has the rest of exchangeTimeout.
func (a *Authenticator) finish(w http.ResponseWriter, r *http.Request, p *presented, tx *transaction, values url.Values, rest time.Duration) (*record, error) {
	ctx := context.WithoutCancel(r.Context())
	exchange, cancel := context.WithTimeout(ctx, rest)
	defer cancel()
	tokens, err := a.client.Exchange(exchange, &tx.flow, values)
	if err != nil {
		return nil, err
	}
	if err := tx.need.judgeCallback(tokens, a.now()); err != nil {
		a.refresher.revoke(tokens)
		return nil, err
	}
	now := a.now()
	rec, err := a.newStored(ctx, tokens, now)
	if err != nil {
		a.refresher.revoke(tokens) // nobody will use them
		return nil, err
	}
	s := a.newSession(rec)
	if err := a.callOnLogin(r, s, tokens); err != nil {
		a.refresher.revoke(s.live.current().tokens())
		return nil, errors.Join(err, a.endSession(ctx, rec))
	}
	rec = s.live.current() // OnLogin may have used, and refreshed, the access token
	held := p.held()
	if r.Method == http.MethodPost {
		held = everyChunk // a post from another site does not show the session that is there
	}
	if _, err := a.writeSession(w.Header(), held, rec, now); err != nil {
		a.refresher.revoke(rec.tokens())
		return nil, err
	}
	// A response still under way could otherwise bring the user of before back. The new
	// session stands, whatever becomes of the old one in the Store.
	var old error
	if before, _, ok := a.join(p); ok {
		old = a.endSession(ctx, before)
	}
	if tx.before != (sessionID{}) {
		old = errors.Join(old, a.endSession(ctx, &record{id: tx.before, created: now}))
	}
	if old != nil {
		a.logoutWarning(r, "acp: login: the store did not take the end of the session of before", old)
	}
	if a.roster != nil && rec.subject != "" {
		a.roster.add(ctx, rec)
	}
	return rec, nil
}

// newStored is a new session, in the Store where there is one.
func (a *Authenticator) newStored(ctx context.Context, t *acpclient.Tokens, now time.Time) (*record, error) {
	rec := newRecord(t, now)
	if a.shelf == nil {
		return rec, nil
	}
	var id struct {
		Issuer    string `json:"iss"`
		Subject   string `json:"sub"`
		SessionID string `json:"sid"`
	}
	if t.Claims(&id) != nil {
		id.Issuer = a.expectedIssuer // without an ID token no logout of the server's finds it
	}
	newTicket(rec, id.Issuer, id.Subject, id.SessionID)
	_, err := a.shelf.put(ctx, rec)
	return rec, err
}

// endSession ends a session for good: in this process, and in the Store, whose error it
// returns.
func (a *Authenticator) endSession(ctx context.Context, r *record) error {
	a.refresher.end(r, everyGeneration)
	if a.shelf == nil {
		return nil
	}
	return a.endStored(ctx, r)
}

// endStored ends a session in the Store, later if not now: then it returns the error.
func (a *Authenticator) endStored(ctx context.Context, r *record) error {
	err := a.shelf.end(ctx, r)
	switch {
	case err != nil:
		a.unstored.add(r)
	case r.ticket != nil:
		a.roster.remove(ctx, r)
	}
	return err
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
