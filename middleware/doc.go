// Package middleware logs users of a net/http application in at an ACP workspace, or at
// any other OpenID Connect provider, and keeps their sessions in sealed cookies, or in a Store. It protects
// APIs, too, by access tokens.
//
// An Authenticator serves four paths (login, callback, logout, back-channel logout) and
// wraps the handlers that need a user:
//
//	auth, err := middleware.New(client, middleware.Config{CookieKeys: [][]byte{key}})
//	mux.Handle("/profile", auth.RequireSession(profile))
//	http.ListenAndServe(addr, auth.Handler(mux))
//
// and a handler reads who the user is from the context alone:
//
//	session := middleware.SessionFromContext(r.Context())
//
// A form signs out: <form method="post" action="/logout">. Its page must not have the
// Referrer-Policy no-referrer, with which browsers post it from the origin "null".
//
// # What a session is
//
// A session lives in one or more cookies of the browser, encrypted and authenticated
// with keys derived from Config.CookieKeys, and holds the tokens. It ends after 8 hours
// without a request, and 24 hours after the login, whatever happens in between. Any
// number of processes that share the keys serve it, without shared storage.
//
// The price: what only one process knows is lost on a restart, and unknown to the
// others. That is which sessions were ended by a logout (a copy of the cookie made before
// lives on until it expires), which logins were finished, and the newest tokens of sessions whose
// browser still sends an older cookie (so that with rotating refresh tokens and several
// processes a slow tab may present a used one, and the server then ends the session).
//
// Config.Store takes that price away: the browser then holds the key of a record, and the store
// the record, which is of no use without. A logout, the server's by back-channel and EndSessions
// among them, ends a session in every process at once, and newer tokens reach all of them. While the store
// does not answer, requests with a session get 503, and nobody is signed out. The processes' clocks
// should agree to the second: a logout ends what was created before it. Config.Lease lets
// one of them refresh a session at a time. The time of a session's last use stays in its cookie.
//
// # What a browser is told
//
// A navigation without a session is sent to the login. Everything else (fetch, XHR, any
// method but GET) gets 401 as application/problem+json, and never a redirect. Errors show
// a page that says no more than their status, with a reference that is also in the log.
//
// # APIs
//
// An API has no Authenticator. RequireBearer makes a protector out of an acpclient.Verifier
// and of what a token must allow, and a protector wraps handlers:
//
//	read, err := middleware.RequireBearer(verifier, &middleware.BearerOptions{Scopes: []string{"things.read"}})
//	mux.Handle("GET /things", read(things))
//
// Behind it AccessTokenFromContext gives the verified token. Authenticator.RequireSessionOrBearer protects
// handlers that browsers and programs call alike; ProtectedResource tells clients where to get a token.
// Headers that claim who the user is reach none of these handlers.
package middleware
