package main

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/examples/internal/serve"
	"github.com/acp-go/acp/examples/internal/ui"
	"github.com/acp-go/acp/middleware"
)

// replica is one instance of the application. It knows the others by what is in the store.
type replica struct {
	number   int
	client   *acpclient.Client
	auth     *middleware.Authenticator
	ledger   *ledger
	lifetime time.Duration // of access tokens
	handler  http.Handler
}

func newReplica(number int, origin, issuer, secret string, common shared, notes *ledger, lifetime time.Duration, log *slog.Logger) (*replica, error) {
	log = log.With("replica", number)
	client, err := acpclient.New(acpclient.Config{
		Issuer: issuer, ClientID: "replicas", Auth: acpclient.Secret(secret), RedirectURL: origin + "/callback",
		Scopes:    []string{"openid", "profile", "offline_access"},
		Transport: &noting{number, notes, http.DefaultTransport}, Logger: log,
	})
	if err != nil {
		return nil, err
	}
	auth, err := middleware.New(client, middleware.Config{
		CookieKeys: [][]byte{common.cookieKey}, Store: common.store, Lease: common.lease,
		PostLogoutRedirectURL: origin + "/", Development: true, Logger: log,
	})
	if err != nil {
		return nil, err
	}
	r := &replica{number: number, client: client, auth: auth, ledger: notes, lifetime: lifetime}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", auth.LoadSession(http.HandlerFunc(r.page)))
	mux.Handle("POST /everywhere", auth.RequireSession(http.HandlerFunc(r.signOutEverywhere)))
	mux.Handle("POST /end", auth.RequireSession(http.HandlerFunc(r.signOutOne)))
	mux.HandleFunc("GET /healthz", serve.Health)
	r.handler = serve.Exactly(auth.Handler(http.NewCrossOriginProtection().Handler(mux)))
	return r, nil
}

//go:embed page.html
var pageSource string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"style": ui.Style,
	"ago":   func(t time.Time) string { return time.Since(t).Round(time.Second).String() },
}).Parse(pageSource))

// view is what the page shows.
type view struct {
	Replica  int
	Subject  string // "": nobody is signed in
	Token    string // the beginning of the hash of the access token
	Rows     []row
	Total    int
	Last     []refresh
	Lifetime time.Duration
	Sessions []signedIn
}

// signedIn is one browser of the user's.
type signedIn struct {
	ID    string
	Since time.Time
	Here  bool
}

// page uses the access token, as a call of an API would, so that it is refreshed.
func (r *replica) page(w http.ResponseWriter, q *http.Request) {
	r.ledger.answer(r.number)
	v := view{Replica: r.number, Lifetime: r.lifetime}
	if session := middleware.SessionFromContext(q.Context()); session != nil {
		token, err := session.AccessToken(q.Context())
		if err != nil {
			r.auth.WriteError(w, q, err)
			return
		}
		sum := sha256.Sum256([]byte(token))
		v.Subject, v.Token = session.Subject, hex.EncodeToString(sum[:4])
		sessions, err := r.auth.Sessions(q.Context(), session.Issuer, session.Subject)
		if err != nil {
			r.auth.WriteError(w, q, err)
			return
		}
		for _, s := range sessions {
			v.Sessions = append(v.Sessions, signedIn{s.ID, s.CreatedAt, s.ID == session.ID()})
		}
	}
	v.Rows, v.Total, v.Last = r.ledger.read()
	var body bytes.Buffer
	if err := page.Execute(&body, v); err != nil {
		http.Error(w, "the page cannot be shown", http.StatusInternalServerError)
		return
	}
	ui.Secure(w.Header(), "", ui.Anywhere)
	_, _ = w.Write(body.Bytes()) // the browser is gone
}

// signOutEverywhere ends the user's sessions in all browsers, at all replicas.
func (r *replica) signOutEverywhere(w http.ResponseWriter, q *http.Request) {
	session := middleware.SessionFromContext(q.Context())
	if err := r.auth.EndSessions(q.Context(), session.Issuer, session.Subject, nil); err != nil {
		r.auth.WriteError(w, q, err)
		return
	}
	http.Redirect(w, q, "/", http.StatusSeeOther)
}

// signOutOne ends one of them.
func (r *replica) signOutOne(w http.ResponseWriter, q *http.Request) {
	session := middleware.SessionFromContext(q.Context())
	err := r.auth.EndSession(q.Context(), session.Issuer, session.Subject, q.PostFormValue("id"))
	if err != nil && !errors.Is(err, middleware.ErrSessionEnded) { // it is over already
		r.auth.WriteError(w, q, err)
		return
	}
	http.Redirect(w, q, "/", http.StatusSeeOther)
}
