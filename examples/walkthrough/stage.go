package main

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

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
	toACP  *tape  // what the web application says to the authorization server
	toAPI  *tape  // and to the API

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
	return &httpServer{url: "http://" + l.Addr().String(), listen: l}, nil
}

func newStage(edit func(*localacp.Options)) (_ *stage, err error) {
	s := &stage{secret: rand.Text()}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.app, err = s.listen(); err != nil {
		return nil, err
	}
	if s.api, err = s.listen(); err != nil {
		return nil, err
	}

	options := localacp.Options{Audience: s.api.url, Clients: []localacp.Client{{
		ID: clientID, Name: "Walkthrough", Secret: s.secret, RedirectURLs: []string{s.app.url + "/callback"},
	}}}
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
	stop, err := things.Start(s.api.listen, acpclient.VerifierConfig{Issuer: s.acp.Issuer, Audience: s.acp.Audience, Logger: slog.New(slog.DiscardHandler)})
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
	switch "http://" + u.Host {
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
	s.closers = append(s.closers, func() error { transport.CloseIdleConnections(); return nil })
	return &tape{from: from, name: s.party, next: transport}
}

// startApp is the web application: one protected page, and one that calls the API.
func (s *stage) startApp() error {
	s.toACP, s.toAPI = s.tape("web application"), s.tape("web application")
	log := slog.New(slog.DiscardHandler)
	client, err := acpclient.New(acpclient.Config{
		Issuer: s.acp.Issuer, ClientID: clientID, Auth: acpclient.Secret(s.secret), RedirectURL: s.app.url + "/callback",
		Scopes: []string{"openid", "profile", "offline_access", "things.read"}, Transport: s.toACP, Logger: log,
	})
	if err != nil {
		return err
	}
	key := make([]byte, 32)
	rand.Read(key)
	auth, err := middleware.New(client, middleware.Config{CookieKeys: [][]byte{key}, Logger: log})
	if err != nil {
		return err
	}
	s.closers = append(s.closers, closer(client.Close), closer(auth.Close))

	mux := http.NewServeMux()
	mux.Handle("GET /profile", auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "signed in as "+middleware.SessionFromContext(r.Context()).Subject) // the browser is gone
	})))
	mux.Handle("GET /things", auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := middleware.SessionFromContext(r.Context()).AccessToken(r.Context())
		if err != nil {
			auth.WriteError(w, r, err)
			return
		}
		status, body, err := s.callAPI(r.Context(), s.toAPI, http.MethodGet, token)
		if err != nil {
			http.Error(w, "the API cannot be reached", http.StatusBadGateway)
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

func (s *stage) callAPI(ctx context.Context, from http.RoundTripper, method, token string) (int, string, error) {
	request, err := http.NewRequestWithContext(ctx, method, s.api.url+"/things", nil)
	if err != nil {
		return 0, "", err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := (&http.Client{Transport: from}).Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}
