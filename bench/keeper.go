package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// grant is what a session holds: what a login brought, and when. It is what careful code keeps:
// who the user is stands beside the tokens.
type grant struct {
	Issuer, Subject                    string
	AccessToken, RefreshToken, IDToken string
	Expiry, Created, Seen              time.Time
}

const (
	idleTimeout     = 8 * time.Hour
	absoluteTimeout = 24 * time.Hour
)

var errNoSession = errors.New("no session")

// live is the judgement that all of them make, but for scs, which makes its own.
func (g *grant) live(now time.Time) bool {
	return g.Subject != "" && now.Before(g.Seen.Add(idleTimeout)) && now.Before(g.Created.Add(absoluteTimeout)) && !g.Created.After(now)
}

// keeper is one way to keep sessions.
type keeper struct {
	title string

	// keep makes a session, and returns the Cookie header that a browser sends from then on.
	keep func(ctx context.Context, g *grant) (cookies string, err error)

	// serve makes a handler, as a process that has just started does: it refuses with 401,
	// or calls next with a request to which user and tokens answer.
	serve func(next http.Handler) (http.Handler, error)

	subject func(r *http.Request) string
	tokens  func(r *http.Request) (*grant, error)

	close func() // nil where there is nothing to close
}

type grantKey struct{}

func grantOf(r *http.Request) *grant {
	g, _ := r.Context().Value(grantKey{}).(*grant)
	return g
}

// serveGrants is the handler of those that bring none: what was read stands in the context.
func serveGrants(read func(*http.Request) (*grant, bool)) func(next http.Handler) (http.Handler, error) {
	return func(next http.Handler) (http.Handler, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			g, ok := read(r)
			if !ok {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			w.Header().Add("Vary", "Cookie")
			w.Header().Set("Cache-Control", "no-store")
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), grantKey{}, g)))
		}), nil
	}
}

type keeperAndCookies struct {
	*keeper
	cookies  []string // Cookie headers, one a session
	useToken bool     // the handler takes the tokens, too
}

// reader returns what reads one of the sessions, in a process that has read none so far.
func (k keeperAndCookies) reader() (func(i int) error, error) {
	var subject string
	var failed error
	h, err := k.serve(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if subject = k.subject(r); k.useToken {
			_, failed = k.tokens(r)
		}
	}))
	if err != nil {
		return nil, err
	}
	requests := make([]*http.Request, len(k.cookies))
	for i, cookies := range k.cookies {
		requests[i], _ = http.NewRequest(http.MethodGet, "https://app.example/profile", nil)
		requests[i].Header.Set("Cookie", cookies)
	}
	w := &answer{header: http.Header{}}
	return func(i int) error {
		clear(w.header)
		w.status, subject = 0, ""
		r := *requests[i] // gorilla/sessions keeps what it has read in the request
		h.ServeHTTP(w, &r)
		switch {
		case w.status != 0 && w.status != http.StatusOK:
			return fmt.Errorf("status %d: %w", w.status, errNoSession)
		case failed != nil:
			return failed
		case subject != theUser.Subject:
			return errWrongUser
		case len(w.header["Set-Cookie"]) > 0:
			return errors.New("a read wrote cookies")
		}
		return nil
	}, nil
}
