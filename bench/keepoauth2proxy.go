package main

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/oauth2-proxy/oauth2-proxy/v7/pkg/apis/options"
	"github.com/oauth2-proxy/oauth2-proxy/v7/pkg/apis/sessions"
	"github.com/oauth2-proxy/oauth2-proxy/v7/pkg/sessions/cookie"
)

// newOAuth2ProxyKeeper is the cookie store of oauth2-proxy, without the proxy around it: a
// session that is packed, compressed, encrypted, signed, and cut into cookies.
func newOAuth2ProxyKeeper() (*keeper, error) {
	store, err := cookie.NewCookieSessionStore(&options.SessionOptions{Type: options.CookieSessionStoreType}, &options.Cookie{
		Name: "__Host-app", Secret: base64.RawURLEncoding.EncodeToString(random(32)), Path: "/",
		Expire: absoluteTimeout, Secure: true, HTTPOnly: true, SameSite: "lax",
	})
	if err != nil {
		return nil, err
	}
	read := func(r *http.Request) (*grant, bool) {
		s, err := store.Load(r)
		if err != nil || s.CreatedAt == nil || s.ExpiresOn == nil {
			return nil, false
		}
		issuer, _ := s.AdditionalClaims["iss"].(string)
		g := &grant{
			Issuer: issuer, Subject: s.User, AccessToken: s.AccessToken, RefreshToken: s.RefreshToken, IDToken: s.IDToken,
			Expiry: *s.ExpiresOn, Created: *s.CreatedAt, Seen: *s.CreatedAt,
		}
		return g, g.live(time.Now())
	}
	return &keeper{
		title: "oauth2-proxy, cookie store",
		keep: func(_ context.Context, g *grant) (string, error) {
			w := httptest.NewRecorder()
			err := store.Save(w, httptest.NewRequest(http.MethodGet, "https://app.example/", nil), &sessions.SessionState{
				CreatedAt: &g.Created, ExpiresOn: &g.Expiry, AccessToken: g.AccessToken, IDToken: g.IDToken, RefreshToken: g.RefreshToken,
				User: g.Subject, AdditionalClaims: map[string]any{"iss": g.Issuer},
			})
			return pairs(w.Result().Cookies()), err
		},
		serve:   serveGrants(read),
		subject: func(r *http.Request) string { return grantOf(r).Subject },
		tokens:  func(r *http.Request) (*grant, error) { return grantOf(r), nil },
	}, nil
}
