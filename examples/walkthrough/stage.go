package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/examples/api/things"
	"github.com/acp-go/acp/examples/internal/serve"
	"github.com/acp-go/acp/examples/localacp"
	"github.com/acp-go/acp/middleware"
)

const clientID = "walkthrough"

// stage holds the four parties: user agent (made by the steps), web application,
// authorization server and API.
type stage struct {
	acp    *localacp.Server
	app    *httpServer
	api    *httpServer
	secret string // the web application's
	said   *tape  // what the web application says to the authorization server, and to the API

	hard    *hardening // nil: all of it is plain
	closers []func() error
}

type httpServer struct {
	url    string
	listen net.Listener
}

func (s *stage) listen() (*httpServer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, l.Close)
	if s.hard != nil {
		return &httpServer{url: "https://" + l.Addr().String(), listen: s.hard.secure(l)}, nil
	}
	return &httpServer{url: "http://" + l.Addr().String(), listen: l}, nil
}

func newStage(hardened bool, edit func(*localacp.Options)) (_ *stage, err error) {
	s := &stage{secret: rand.Text()}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if hardened {
		if s.hard, err = newHardening(); err != nil {
			return nil, err
		}
	}
	if s.app, err = s.listen(); err != nil {
		return nil, err
	}
	if s.api, err = s.listen(); err != nil {
		return nil, err
	}

	options := localacp.Options{Audience: s.api.url, Clients: []localacp.Client{{
		ID: clientID, Name: "Walkthrough", Secret: s.secret, RedirectURLs: []string{s.app.url + "/callback"},
	}}}
	api := acpclient.VerifierConfig{Audience: s.api.url, Logger: slog.New(slog.DiscardHandler)}
	if s.hard != nil {
		s.hard.server(&options)
		s.hard.api(&api)
	}
	if edit != nil {
		edit(&options)
	}
	if s.acp, err = localacp.Start(options); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.acp.Close)
	if err := s.startApp(); err != nil {
		return nil, err
	}
	// The API is the one of examples/api.
	api.Issuer = s.acp.Issuer
	stop, err := things.Start(s.api.listen, api)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, stop)
	return s, nil
}

func (s *stage) close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		_ = s.closers[i]() // the program ends, and everything with it
	}
}

// party says who is at an address.
func (s *stage) party(u *url.URL) string {
	switch u.Scheme + "://" + u.Host {
	case s.app.url:
		return "web application"
	case s.api.url:
		return "API"
	default:
		return "authorization server"
	}
}

func (s *stage) tape(from string) *tape {
	transport := &http.Transport{}
	if s.hard != nil {
		transport.TLSClientConfig = &tls.Config{RootCAs: s.hard.authority.Pool()}
	}
	s.closers = append(s.closers, func() error { transport.CloseIdleConnections(); return nil })
	return &tape{from: from, name: s.party, next: transport}
}

// startApp is the web application: one protected page, and one that calls the API.
func (s *stage) startApp() error {
	s.said = s.tape("web application")
	log := slog.New(slog.DiscardHandler)
	client, err := s.client(s.said)
	if err != nil {
		return err
	}
	key := make([]byte, 32)
	rand.Read(key)
	auth, err := middleware.New(client, middleware.Config{CookieKeys: [][]byte{key}, Logger: log})
	if err != nil {
		return err
	}
	s.closers = append(s.closers, closer(auth.Close))

	mux := http.NewServeMux()
	mux.Handle("GET /profile", auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "signed in as "+middleware.SessionFromContext(r.Context()).Subject) // the browser is gone
	})))
	mux.Handle("GET /things", auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, body, err := s.get(r.Context(), middleware.SessionFromContext(r.Context()).HTTPClient(), http.MethodGet)
		if err != nil {
			auth.WriteError(w, r, err)
			return
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body) // the browser is gone
	})))
	s.closers = append(s.closers, serve.Background(s.app.listen, auth.Handler(mux), log))
	return nil
}

func closer(end func(context.Context) error) func() error {
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return end(ctx)
	}
}

// client is the web application's at the authorization server. All that it says goes through from.
func (s *stage) client(from *tape) (*acpclient.Client, error) {
	config := acpclient.Config{
		Issuer: s.acp.Issuer, ClientID: clientID, Auth: acpclient.Secret(s.secret), RedirectURL: s.app.url + "/callback",
		Scopes: []string{"openid", "profile", "offline_access", "things.read"}, Transport: from, Logger: slog.New(slog.DiscardHandler),
	}
	if s.hard != nil {
		s.hard.client(&config)
	}
	client, err := acpclient.New(config)
	if err == nil {
		s.closers = append(s.closers, closer(client.Close))
	}
	return client, err
}

// callAPI asks the API with a token; "" is none. With a bound one it has the application's key.
func (s *stage) callAPI(ctx context.Context, from *tape, method, token string) (status int, err error) {
	who := &http.Client{Transport: from}
	if token != "" {
		client, err := s.client(from)
		if err != nil {
			return 0, err
		}
		kind := "Bearer"
		if s.hard != nil {
			kind = "DPoP"
		}
		who = client.HTTPClient(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token, TokenType: kind}))
	}
	status, _, err = s.get(ctx, who, method)
	return status, err
}

func (s *stage) get(ctx context.Context, who *http.Client, method string) (int, string, error) {
	request, err := http.NewRequestWithContext(ctx, method, s.api.url+"/things", nil)
	if err != nil {
		return 0, "", err
	}
	response, err := who.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}
