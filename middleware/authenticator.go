package middleware

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/acp-go/acp/acpclient"
)

// Authenticator logs users in and knows their sessions. It is safe for concurrent use,
// and meant to live as long as the program.
type Authenticator struct {
	client *acpclient.Client
	config Config
	now    func() time.Time

	issuer         string
	expectedIssuer string   // the iss of tokens and callbacks
	origin         string   // of the redirect URL; "" without one
	formPost       bool     // the callback is a form
	signedResponse bool     // and its state stands in a JWT
	own            []string // decoded paths that no login may return to

	cookies      cookieRules
	sessions     *sealer
	transactions *sealer
	memory       *memory
	opened       *opened
	refresher    *refresher
	shelf        *shelf    // nil: sessions live in cookies
	unstored     *unstored // nil without shelf
	roster       *roster   // nil without shelf
}

// New checks the configuration and returns an Authenticator, without any request. The
// error names every mistake at once.
func New(client *acpclient.Client, config Config) (*Authenticator, error) {
	var missing error
	var registered acpclient.Config
	if client == nil {
		missing = errors.New("client: is nil")
	} else {
		registered = client.Config()
	}
	if err := errors.Join(missing, config.settle(registered.RedirectURL)); err != nil {
		return nil, fmt.Errorf("middleware: invalid configuration:\n%w", err)
	}
	a := &Authenticator{
		client: client, config: config, now: wallClock,
		issuer: registered.Issuer, expectedIssuer: cmp.Or(registered.ExpectedIssuer, registered.Issuer),
		formPost: strings.HasPrefix(registered.ResponseMode, "form_post"), signedResponse: strings.HasSuffix(registered.ResponseMode, "jwt"),
		own: config.ownPaths(),
	}
	secure := true
	if u, err := url.Parse(registered.RedirectURL); err == nil && u.Host != "" {
		a.origin, secure = origin(u), !onLoopback(u)
	}
	a.cookies = newCookieRules(config.CookieName, secure, a.formPost)
	var errs [3]error
	purpose := purposeSession
	if config.Store != nil {
		purpose = purposeTicket
	}
	a.sessions, errs[0] = newSealer(config.CookieKeys, purpose, registered.Issuer, registered.ClientID)
	a.transactions, errs[1] = newSealer(config.CookieKeys, purposeTransaction, registered.Issuer, registered.ClientID)
	var places *sealer
	places, errs[2] = newSealer(config.CookieKeys, purposePlace, registered.Issuer, registered.ClientID)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("middleware: keys: %w", err)
	}
	clock := func() time.Time { return a.now() }
	a.memory, a.opened = newMemory(clock), newOpened(clock)
	until := func(r *record) time.Time { return r.created.Add(config.AbsoluteTimeout) }
	a.refresher = newRefresher(client, a.memory, clock, until)
	if config.Store != nil {
		a.shelf = &shelf{storage: newStorage(config.Store, clock), until: until}
		a.roster = &roster{shelf: a.shelf, sealer: places, client: registered.ClientID}
		a.unstored = newUnstored(a.shelf, clock, config.Logger)
		a.refresher.shelf, a.refresher.lease, a.refresher.log = a.shelf, config.Lease, config.Logger
	}
	for i := range config.CookieKeys {
		config.CookieKeys[i] = nil // derived keys are all that is needed from here on
	}
	if config.Store == nil {
		a.config.Logger.Info("acp: back-channel logout answers 501: it needs a session store", "path", config.BackchannelPath)
	}
	scopes := registered.Scopes
	if config.Authorize.Scopes != nil {
		scopes = config.Authorize.Scopes
	}
	if !slices.Contains(scopes, "openid") {
		a.config.Logger.Warn("acp: sessions name no user: the scope openid is not asked for")
	}
	return a, nil
}

// Handler serves the four paths of the configuration, each under its exact spelling, and
// hands every other request to next, without the headers that StripIdentityHeaders takes
// away. Other spellings of the callback's path get 404: a ServeMux would redirect them to it,
// code and state in the Location. A nil next answers 404.
func (a *Authenticator) Handler(next http.Handler) http.Handler {
	next = orNotFound(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.EscapedPath(); {
		case path == a.config.LoginPath:
			a.Login(w, r)
		case resource(path) == resource(a.config.CallbackPath):
			a.Callback(w, r)
		case path == a.config.LogoutPath:
			a.Logout(w, r)
		case path == a.config.BackchannelPath:
			a.BackchannelLogout(w, r)
		default:
			next.ServeHTTP(w, withoutIdentity(r))
		}
	})
}

func orNotFound(h http.Handler) http.Handler {
	if h == nil {
		return http.NotFoundHandler()
	}
	return h
}

// Close waits for the refreshes in flight, until ctx ends, whose error it then returns. It tries
// once more to tell the Store of logouts that it did not take. Afterwards logins, callbacks and
// refreshes answer 503 with acpclient.ErrClosed, and known sessions are still served. It may be
// called twice, and leaves the client open.
func (a *Authenticator) Close(ctx context.Context) error {
	var ends sync.WaitGroup
	if a.unstored != nil {
		ends.Go(func() { a.unstored.close(ctx) })
	}
	defer ends.Wait()
	return a.refresher.close(ctx)
}
