package middleware_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/acp-go/acp/middleware"
)

// refreshing serves, behind RequireSession, a user whose token is stale.
func refreshing(t *testing.T, serve func(http.ResponseWriter, *http.Request, *middleware.Session)) (*app, http.Handler) {
	t.Helper()
	a := newApp(t, func(s *setup) { s.server.AccessTokenTTL = 5 * time.Minute })
	a.login()
	a.clock.advance(10 * time.Minute)
	return a, a.auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		serve(w, r, middleware.SessionFromContext(r.Context()))
	}))
}

// A token may be asked for in any goroutine: the response's header is the handler's alone.
func TestTokenInAnotherGoroutine(t *testing.T) {
	a, h := refreshing(t, func(w http.ResponseWriter, r *http.Request, s *middleware.Session) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if _, err := s.AccessToken(r.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		for i := range 1000 {
			w.Header().Set("X-Mine", fmt.Sprint(i))
		}
		wg.Wait()
		io.WriteString(w, "done")
	})
	w := serve(h, request("GET", site+"/x", a.cookieHeader()))
	if w.Code != 200 || !sets(w.Header(), sessionPrefix+"=") || w.Header().Get("X-Mine") != "999" {
		t.Errorf("%d, cookie %v", w.Code, sets(w.Header(), sessionPrefix+"="))
	}
}

// However a handler writes its answer, the session's cookies are in front of it.
func TestCookiesComeBeforeTheAnswer(t *testing.T) {
	for name, write := range map[string]func(http.ResponseWriter){
		"nothing":     func(http.ResponseWriter) {},
		"Write":       func(w http.ResponseWriter) { w.Write([]byte("x")) },
		"WriteHeader": func(w http.ResponseWriter) { w.WriteHeader(204) },
		"io.Copy":     func(w http.ResponseWriter) { io.Copy(w, strings.NewReader("x")) },
		"Flush":       func(w http.ResponseWriter) { w.(http.Flusher).Flush() },
		"the controller": func(w http.ResponseWriter) {
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
		},
		"early hints": func(w http.ResponseWriter) {
			w.WriteHeader(103)
			w.Write([]byte("x"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, h := refreshing(t, func(w http.ResponseWriter, r *http.Request, s *middleware.Session) {
				if _, err := s.AccessToken(r.Context()); err != nil {
					t.Error(err)
				}
				write(w)
			})
			server := httptest.NewServer(h)
			defer server.Close()
			r, _ := http.NewRequest("GET", server.URL, nil)
			r.Header.Set("Cookie", a.cookieHeader())
			r.Header.Set("Sec-Fetch-Mode", "cors")
			res, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if !sets(res.Header, sessionPrefix+"=") {
				t.Errorf("%d %v", res.StatusCode, res.Header)
			}
		})
	}
}

// What comes after the header is not lost: the next response brings it.
func TestTokenAfterTheHeader(t *testing.T) {
	a, h := refreshing(t, func(w http.ResponseWriter, r *http.Request, s *middleware.Session) {
		w.WriteHeader(200)
		if _, err := s.AccessToken(r.Context()); err != nil {
			t.Error(err)
		}
	})
	held := a.cookieHeader()
	w := serve(h, request("GET", site+"/x", held))
	if generation, _ := a.auth.GenerationOf(request("GET", site+"/", cookiesSet(w.Header()))); generation != 0 {
		t.Errorf("generation %d was written behind the header", generation)
	}
	_, _, next := a.get("/profile", held)
	if generation, ok := a.auth.GenerationOf(request("GET", site+"/", cookiesSet(next))); !ok || generation != 1 {
		t.Errorf("generation %d, %v", generation, ok)
	}
}

// A logout, or a login, within a handler has the last word about the cookies.
func TestLogoutWithinAHandler(t *testing.T) { // RF-19
	var a *app
	a, h := refreshing(t, func(w http.ResponseWriter, r *http.Request, s *middleware.Session) {
		if _, err := s.AccessToken(r.Context()); err != nil {
			t.Error(err)
		}
		a.auth.Logout(w, r)
	})
	w := serve(h, request("POST", site+"/x", a.cookieHeader()))
	if w.Code != 303 || !deletes(w.Header(), sessionPrefix+"=") || sets(w.Header(), sessionPrefix) {
		t.Errorf("%d %q", w.Code, w.Header().Values("Set-Cookie"))
	}
}

// WebSocket libraries ask for an http.Hijacker.
func TestHijack(t *testing.T) {
	a, h := refreshing(t, func(w http.ResponseWriter, _ *http.Request, _ *middleware.Session) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		fmt.Fprint(conn, "HTTP/1.1 299 Mine\r\nContent-Length: 0\r\n\r\n")
		conn.Close()
	})
	server := httptest.NewServer(h)
	defer server.Close()
	r, _ := http.NewRequest("GET", server.URL, nil)
	r.Header.Set("Cookie", a.cookieHeader())
	res, err := server.Client().Do(r)
	if err != nil || res.StatusCode != 299 {
		t.Fatalf("%v, %v", res, err)
	}
	res.Body.Close()
}

// The methods of no session say so.
func TestNoSession(t *testing.T) {
	var s *middleware.Session
	if _, err := s.AccessToken(context.Background()); err == nil {
		t.Error("AccessToken of nobody")
	}
	if err := s.Claims(new(struct{})); err == nil {
		t.Error("Claims of nobody")
	}
	if _, err := s.HTTPClient().Get("https://api.example"); err == nil {
		t.Error("HTTPClient of nobody")
	}
}
