package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/middleware"
)

// newSDKKeeper is this SDK: a session is made by a whole login, whose tokens are handed to
// learn. A nil store means sealed cookies.
func newSDKKeeper(s *server, title string, store middleware.Store, learn func(*acpclient.Tokens)) (*keeper, error) {
	client, err := acpclient.New(acpclient.Config{
		Issuer: s.issuer, ClientID: clientID, Auth: acpclient.Secret(clientSecret),
		RedirectURL: redirectURL, Scopes: scopes, Transport: newTransport(),
	})
	if err != nil {
		return nil, err
	}
	key := random(32)
	start := func() (*middleware.Authenticator, error) {
		return middleware.New(client, middleware.Config{
			CookieKeys: [][]byte{key}, Store: store, IdleTimeout: idleTimeout, AbsoluteTimeout: absoluteTimeout,
			Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
			OnLogin: func(_ *http.Request, _ *middleware.Session, t *acpclient.Tokens) error {
				learn(t)
				return nil
			},
		})
	}
	auth, err := start()
	if err != nil {
		return nil, err
	}
	return &keeper{
		title: title,
		keep: func(context.Context, *grant) (string, error) {
			w := httptest.NewRecorder()
			auth.Login(w, navigation("https://app.example/login", ""))
			query, err := s.signIn(w.Header().Get("Location"), nil)
			if err != nil {
				return "", err
			}
			after := httptest.NewRecorder()
			auth.Callback(after, navigation(redirectURL+"?"+query.Encode(), pairs(w.Result().Cookies())))
			if after.Code != http.StatusSeeOther {
				return "", fmt.Errorf("the callback answered %d", after.Code)
			}
			return pairs(after.Result().Cookies()), nil
		},
		serve: func(next http.Handler) (http.Handler, error) {
			fresh, err := start()
			if err != nil {
				return nil, err
			}
			return fresh.RequireSession(next), nil
		},
		subject: func(r *http.Request) string { return middleware.SessionFromContext(r.Context()).Subject },
		tokens: func(r *http.Request) (*grant, error) {
			session := middleware.SessionFromContext(r.Context())
			token, err := session.AccessToken(r.Context())
			return &grant{Issuer: session.Issuer, Subject: session.Subject, AccessToken: token}, err
		},
		close: func() { client.Close(context.Background()) },
	}, nil
}

// navigation is what a browser sends that opens a page.
func navigation(target, cookies string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	if cookies != "" {
		r.Header.Set("Cookie", cookies)
	}
	return r
}

// pairs is the Cookie header of a browser that got these cookies, and kept those that were not deleted.
func pairs(cookies []*http.Cookie) string {
	var all []string
	for _, c := range cookies {
		if c.MaxAge >= 0 {
			all = append(all, c.Name+"="+c.Value)
		}
	}
	return strings.Join(all, "; ")
}
