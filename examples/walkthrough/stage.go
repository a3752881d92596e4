package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/acp-go/acp/acpclient"
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
	server *http.Server
	listen net.Listener
}

func listen() (*httpServer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return &httpServer{url: "http://" + l.Addr().String(), listen: l}, nil
}

func (h *httpServer) serve(handler http.Handler) {
	h.server = &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = h.server.Serve(h.listen) }() // it ends with close
}

func (h *httpServer) close() error {
	if h.server == nil {
		return h.listen.Close()
	}
	return h.server.Close()
}

func newStage(edit func(*localacp.Options)) (_ *stage, err error) {
	s := &stage{secret: rand.Text()}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.app, err = listen(); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.app.close)
	if s.api, err = listen(); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.api.close)

	options := localacp.Options{Clients: []localacp.Client{{
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
	return s, s.startAPI()
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
		Scopes: []string{"openid", "profile", "offline_access", "accounts.read"}, Transport: s.toACP, Logger: log,
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
	mux.Handle("GET /accounts", auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := middleware.SessionFromContext(r.Context()).AccessToken(r.Context())
		if err != nil {
			auth.WriteError(w, r, err)
			return
		}
		status, body, err := s.callAPI(r.Context(), s.toAPI, token)
		if err != nil {
			http.Error(w, "the API cannot be reached", http.StatusBadGateway)
			return
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body) // the browser is gone
	})))
	s.app.serve(auth.Handler(mux))
	return nil
}

func closer(end func(context.Context) error) func() error {
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return end(ctx)
	}
}

func (s *stage) callAPI(ctx context.Context, from http.RoundTripper, token string) (int, string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.api.url+"/accounts", nil)
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := (&http.Client{Transport: from}).Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

// startAPI is the resource server: it answers whoever brings a good token.
func (s *stage) startAPI() error {
	verifier, err := acpclient.NewVerifier(acpclient.VerifierConfig{
		Issuer: s.acp.Issuer, Audience: s.acp.Audience, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	s.closers = append(s.closers, closer(verifier.Close))
	s.api.serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		user, err := verifier.Verify(r.Context(), token)
		switch {
		case errors.Is(err, acpclient.ErrUnavailable):
			w.WriteHeader(http.StatusServiceUnavailable)
		case err != nil:
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error":"invalid_token"}`) // the caller is gone
		default:
			_ = json.NewEncoder(w).Encode(map[string]any{ // the caller is gone
				"sub": user.Subject, "scopes": user.Scopes, "balance": json.Number("1234.56"),
			})
		}
	}))
	return nil
}
