package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
)

// library is one way to log a user in. L is what it remembers between the two moments of a
// login. Both functions do the same work in every library: authorize makes state, nonce
// and PKCE verifier of at least 128 bits each and builds the URL; callback judges the state,
// exchanges the code, verifies the ID token and its nonce, and returns who the user is.
type library[L any] struct {
	title     string
	authorize func(ctx context.Context) (authURL string, login L, err error)
	callback  func(ctx context.Context, login L, query url.Values) (user, error)
	done      func()
}

// user is what an application takes from an ID token.
type user struct {
	Subject string `json:"sub"`
	Email   string `json:"email"`
}

// candidate is a library whose L is hidden.
type candidate interface {
	name() string
	// authorize builds n URLs.
	authorize(ctx context.Context, n int) error
	// prepare starts n logins and lets the user sign in. finish does the callbacks.
	prepare(ctx context.Context, n int) (finish func(ctx context.Context) error, err error)
	// attack does one login whose ID token or callback was changed, and returns what
	// the library says to it. nil changes nothing.
	attack(ctx context.Context, edit func(claims map[string]any), change func(query url.Values)) error
	close()
}

type contender[L any] struct {
	library[L]
	server *server
}

type started[L any] struct {
	login L
	query url.Values
}

func (c *contender[L]) name() string { return c.title }
func (c *contender[L]) close()       { c.done() }

func (c *contender[L]) authorize(ctx context.Context, n int) error {
	for range n {
		if _, _, err := c.library.authorize(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *contender[L]) prepare(ctx context.Context, n int) (func(context.Context) error, error) {
	logins := make([]started[L], n)
	for i := range logins {
		authURL, login, err := c.library.authorize(ctx)
		if err != nil {
			return nil, err
		}
		query, err := c.server.signIn(authURL, nil)
		if err != nil {
			return nil, err
		}
		logins[i] = started[L]{login, query}
	}
	return func(ctx context.Context) error {
		for _, l := range logins {
			u, err := c.callback(ctx, l.login, l.query)
			if err != nil {
				return err
			}
			if u != theUser {
				return errWrongUser
			}
		}
		return nil
	}, nil
}

func (c *contender[L]) attack(ctx context.Context, edit func(map[string]any), change func(url.Values)) error {
	authURL, login, err := c.library.authorize(ctx)
	if err != nil {
		return err
	}
	query, err := c.server.signIn(authURL, edit)
	if err != nil {
		return err
	}
	if change != nil {
		change(query)
	}
	_, err = c.callback(ctx, login, query)
	return err
}

var errWrongUser = errors.New("the callback names another user")

// candidates are all of them, ready: discovery done, keys warm. The second one is the
// one written by hand, the last one no library at all.
func candidates(ctx context.Context, s *server) ([]candidate, error) {
	var all []candidate
	for _, make := range []func(context.Context, *server) (candidate, error){
		newSDK, newByHand, newZitadel, newCap, newBare,
	} {
		c, err := make(ctx, s)
		if err != nil {
			return nil, err
		}
		finish, err := c.prepare(ctx, 1)
		if err == nil {
			err = finish(ctx)
		}
		if err != nil {
			return nil, errors.Join(errors.New(c.name()), err)
		}
		all = append(all, c)
	}
	return all, nil
}

// newTransport is a connection pool with one set of settings for every candidate: net/http's
// defaults.
func newTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil
	return t
}
