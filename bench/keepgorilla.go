package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/gorilla/sessions"
)

// newGorillaKeeper is gorilla/sessions with its CookieStore, encrypted. It does not cut a session,
// and refuses one of more than 4096 bytes, so that each token takes a session of its own.
func newGorillaKeeper() *keeper {
	store := sessions.NewCookieStore(random(32), random(32))
	store.MaxAge(int(absoluteTimeout / time.Second))
	store.Options.HttpOnly, store.Options.SameSite = true, http.SameSiteLaxMode
	const user, access, refresh, id = "app", "app-access", "app-refresh", "app-id"
	text := func(s *sessions.Session, name string) string {
		v, _ := s.Values[name].(string)
		return v
	}
	read := func(r *http.Request) (*grant, bool) {
		g := &grant{}
		s, err := store.Get(r, user)
		if err != nil {
			return nil, false
		}
		g.Issuer, g.Subject = text(s, "iss"), text(s, "sub")
		for name, at := range map[string]*time.Time{"expiry": &g.Expiry, "created": &g.Created, "seen": &g.Seen} {
			seconds, _ := s.Values[name].(int64)
			*at = time.Unix(seconds, 0)
		}
		for _, part := range []struct {
			name string
			to   *string
		}{{access, &g.AccessToken}, {refresh, &g.RefreshToken}, {id, &g.IDToken}} {
			s, err := store.Get(r, part.name)
			// What is sealed for another session must not be mixed in.
			if err != nil || text(s, "sub") != g.Subject {
				return nil, false
			}
			*part.to = text(s, "token")
		}
		return g, g.live(time.Now())
	}
	return &keeper{
		title: "gorilla/sessions, CookieStore",
		keep: func(_ context.Context, g *grant) (string, error) {
			r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
			s, _ := store.Get(r, user)
			s.Values["iss"], s.Values["sub"] = g.Issuer, g.Subject
			s.Values["expiry"], s.Values["created"], s.Values["seen"] = g.Expiry.Unix(), g.Created.Unix(), g.Seen.Unix()
			if err := s.Save(r, w); err != nil {
				return "", err
			}
			for name, token := range map[string]string{access: g.AccessToken, refresh: g.RefreshToken, id: g.IDToken} {
				s, _ := store.Get(r, name)
				s.Values["sub"], s.Values["token"] = g.Subject, token
				if err := s.Save(r, w); err != nil {
					return "", err
				}
			}
			return pairs(w.Result().Cookies()), nil
		},
		serve:   serveGrants(read),
		subject: func(r *http.Request) string { return grantOf(r).Subject },
		tokens:  func(r *http.Request) (*grant, error) { return grantOf(r), nil },
	}
}
