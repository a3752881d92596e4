package acptest_test

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/middleware"
)

// newApp is an application that says who is signed in at /profile.
func newApp(t testing.TB, s *acptest.Server, redirect, mode string) http.Handler {
	t.Helper()
	client, err := acpclient.New(acpclient.Config{
		Issuer: s.Issuer, ClientID: s.ClientID, Auth: acpclient.Secret(s.ClientSecret),
		RedirectURL: redirect, Scopes: []string{"openid", "profile"}, ResponseMode: mode,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close(t.Context()) }) // ends with the test
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails (crypto/rand)
	auth, err := middleware.New(client, middleware.Config{CookieKeys: [][]byte{key}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/profile", auth.RequireSession(http.HandlerFunc(profile)))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "home") })
	return auth.Handler(mux)
}

func profile(w http.ResponseWriter, r *http.Request) {
	session := middleware.SessionFromContext(r.Context())
	var claims struct {
		Name string `json:"name"`
	}
	if session == nil || session.Claims(&claims) != nil {
		http.Error(w, "nobody", http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, "%s %s", session.Subject, claims.Name)
}

func TestSignIn(t *testing.T) {
	for _, mode := range []string{"query", "form_post"} {
		t.Run(mode, func(t *testing.T) {
			s := acptest.NewServer(t, nil)
			app := newApp(t, s, "https://app.example/callback", mode)
			b, page := s.SignIn(app, "https://app.example/profile", acptest.User{Subject: "dora"})
			if page.Status() != 200 || page.Body() != "dora dora" {
				t.Errorf("%d %s", page.Status(), page.Body())
			}
			for _, step := range page.Steps {
				if len(step.Dropped) > 0 {
					t.Errorf("%v: dropped %v", step, step.Dropped)
				}
			}
			if again := b.Tab().Navigate("https://app.example/profile"); len(again.Steps) != 1 || again.Body() != "dora dora" {
				t.Errorf("the session did not last: %v", again.Steps)
			}
			if n := s.Count(acptest.TokenEndpoint); n != 1 {
				t.Errorf("%d token requests", n)
			}
		})
	}
	t.Run("over the network", func(t *testing.T) {
		s := acptest.NewServer(t, &acptest.Options{TLS: false})
		var app http.Handler
		listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { app.ServeHTTP(w, r) }))
		t.Cleanup(listener.Close)
		app = newApp(t, s, listener.URL+"/callback", "query")
		if _, page := s.SignIn(nil, listener.URL+"/profile", acptest.User{}); page.Body() != "alice alice" {
			t.Errorf("%d %s", page.Status(), page.Body())
		}
	})
	t.Run("failures", func(t *testing.T) {
		rec := &recorder{TB: t}
		s := acptest.NewServer(rec, nil)
		app := newApp(t, s, "https://app.example/callback", "query")
		s.SignIn(app, "https://app.example/", acptest.User{})
		if len(rec.failures) != 1 || !strings.Contains(rec.text(), "does not lead") {
			t.Errorf("failures %q", rec.failures)
		}
		s.Deny("access_denied")
		s.SignIn(app, "https://app.example/profile", acptest.User{})
		if len(rec.failures) != 2 || !strings.Contains(rec.text(), "GET https://app.example/callback: 403") {
			t.Errorf("failures %q", rec.failures)
		}
	})
}

func TestWithUser(t *testing.T) {
	r := acptest.WithUser(httptest.NewRequest("GET", "/profile", nil), "erin", map[string]any{"name": "Erin"})
	w := httptest.NewRecorder()
	profile(w, r)
	if w.Code != 200 || w.Body.String() != "erin Erin" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	session := middleware.SessionFromContext(r.Context())
	if token, err := session.AccessToken(r.Context()); token != "test-access-token" || err != nil || session.Issuer != acptest.UserIssuer {
		t.Errorf("%q %v %q", token, err, session.Issuer)
	}
}

func TestWithBearer(t *testing.T) {
	s := acptest.NewServer(t, nil)
	verifier, err := acpclient.NewVerifier(acpclient.VerifierConfig{Issuer: s.Issuer, Audience: s.Audience})
	if err != nil {
		t.Fatal(err)
	}
	original := httptest.NewRequest("GET", "/things", nil)
	r := acptest.WithBearer(original, s.AccessToken(map[string]any{"scp": []string{"things.read"}}))
	if original.Header.Get("Authorization") != "" {
		t.Error("the original request was changed")
	}
	token, err := verifier.Verify(t.Context(), strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	if err != nil || token.Subject != "alice" || len(token.Scopes) != 1 || token.Scopes[0] != "things.read" {
		t.Errorf("%+v %v", token, err)
	}
}
