package middleware_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/middleware"
)

// written are errors that a handler may hand to WriteError, and what becomes of each.
var written = []struct {
	name   string
	err    error
	status int
	reason string
}{
	{"no error", nil, 500, "internal"},
	{"an error of the application", errors.New("secret detail"), 500, "internal"},
	{"the end of a body", io.ErrUnexpectedEOF, 500, "internal"},
	{"the session is over", middleware.ErrSessionEnded, 401, "session_ended"},
	{"the same in a request", &url.Error{Op: "Get", URL: "https://api.example/?token=secret", Err: middleware.ErrSessionEnded}, 401, "session_ended"},
	{"the user refused", &acpclient.Error{Code: "access_denied", Description: "secret detail"}, 403, "provider_error:access_denied"},
	{"the server wants a sign-in", &acpclient.Error{Code: "login_required"}, 401, "provider_error:login_required"},
	{"the server knows no scope", &acpclient.Error{Code: "invalid_scope"}, 502, "provider_error:invalid_scope"},
	{"the code was used", &acpclient.Error{Code: "invalid_grant", StatusCode: 400}, 400, "provider_error:invalid_grant"},
	{"the client is unknown", &acpclient.Error{Code: "invalid_client", StatusCode: 401}, 502, "provider_error:invalid_client"},
	{"the server is overloaded", &acpclient.Error{Code: "invalid_request", StatusCode: 429}, 503, "provider_error:invalid_request"},
	{"the server is down", fmt.Errorf("call: %w", acpclient.ErrUnavailable), 503, "internal"},
	{"a callback is none", acpclient.ErrInvalidCallback, 400, "internal"},
	{"a token is none", acpclient.ErrInvalidToken, 502, "internal"},
	{"an answer is none", acpclient.ErrInvalidResponse, 502, "internal"},
	{"the client is closed", acpclient.ErrClosed, 503, "closed"},
	{"too slow", context.DeadlineExceeded, 504, "timeout"},
	{"the browser left", context.Canceled, 503, "canceled"},
}

func TestWriteError(t *testing.T) {
	for _, row := range written {
		t.Run(row.name, func(t *testing.T) {
			a := newApp(t, nil)
			for _, mode := range []string{"navigate", "cors"} {
				r := request("GET", site+"/other?x=1", "")
				r.Header.Set("Sec-Fetch-Mode", mode)
				w := httptest.NewRecorder()
				before := len(a.logs.String())
				a.auth.WriteError(w, r, row.err)
				line := a.logs.String()[before:]
				isPrivate(t, w.Header())
				if strings.Count(line, "reference=") != 1 || !strings.Contains(line, "reason="+row.reason) || strings.Contains(line, "token=secret") {
					t.Errorf("%s: the log says %s", mode, line)
				}
				if errors.Is(row.err, middleware.ErrSessionEnded) && mode == "navigate" {
					if got := w.Header().Get("Location"); w.Code != 303 || got != "/login?return_to=%2Fother%3Fx%3D1" || w.Body.Len() != 0 {
						t.Errorf("a navigation: %d to %q", w.Code, got)
					}
					continue
				}
				_, rest, _ := strings.Cut(line, "reference=")
				reference, _, _ := strings.Cut(rest, " ")
				if w.Code != row.status || w.Header().Get("Location") != "" || len(reference) != 12 || !strings.Contains(w.Body.String(), reference) {
					t.Errorf("%s: %d, want %d; reference %q", mode, w.Code, row.status, reference)
				}
				if wait := w.Header().Get("Retry-After"); (wait != "") != (row.status == 503 || row.status == 504) {
					t.Errorf("%s: Retry-After %q", mode, wait)
				}
				if strings.Contains(w.Body.String(), "secret") || strings.Contains(w.Body.String(), row.reason+" ") {
					t.Errorf("LG-09 %s: %s", mode, w.Body)
				}
				kind, problem := w.Header().Get("Content-Type"), map[string]any{}
				switch {
				case mode == "navigate" && kind != "text/html; charset=utf-8":
					t.Errorf("a navigation gets %s", kind)
				case mode == "cors" && (kind != "application/problem+json" || json.Unmarshal(w.Body.Bytes(), &problem) != nil ||
					problem["status"] != float64(row.status) || problem["reference"] != reference || len(problem) != 4):
					t.Errorf("a fetch gets %s: %s", kind, w.Body)
				}
			}
			r := request("POST", site+"/other", "") // its form would be lost on the way
			w := httptest.NewRecorder()
			if a.auth.WriteError(w, r, row.err); w.Code != row.status {
				t.Errorf("POST: %d", w.Code)
			}
		})
	}
}

// All pages of one status have one length, and so have all problems: neither tells which check failed.
func TestPagesHaveOneLength(t *testing.T) { // LG-09
	refuse := func(*http.Request, *middleware.Session, *acpclient.Tokens) error { return errors.New("not you") }
	a := newApp(t, func(s *setup) { s.config.OnLogin, s.client.ResponseMode = refuse, "form_post" })
	lengths, counts := map[string]int{}, map[string]int{}
	check := func(name string, w *httptest.ResponseRecorder) {
		t.Helper()
		key := fmt.Sprint(w.Code, " ", w.Header().Get("Content-Type"))
		if known, ok := lengths[key]; ok && known != w.Body.Len() {
			t.Errorf("LG-09 %s: %s has %d bytes here, and %d elsewhere", name, key, w.Body.Len(), known)
		}
		lengths[key] = w.Body.Len()
		counts[key]++
	}
	for _, mode := range []string{"navigate", "cors"} {
		send := func(name, method, path string, edit func(*http.Request)) {
			r := request(method, site+path, "")
			r.Header.Set("Sec-Fetch-Mode", mode)
			if edit != nil {
				edit(r)
			}
			check(name, a.serve(r))
		}
		for _, row := range written {
			if errors.Is(row.err, middleware.ErrSessionEnded) {
				continue
			}
			w := httptest.NewRecorder()
			r := request("GET", site+"/other", "")
			r.Header.Set("Sec-Fetch-Mode", mode)
			a.auth.WriteError(w, r, row.err)
			check(row.name, w)
		}
		send("no state", "GET", "/callback", nil)
		send("an unknown state", "GET", "/callback?code=a&state=b", nil)
		send("two states", "GET", "/callback?state=a&state=b", nil)
		send("another issuer", "GET", "/login?iss=x", nil)
		send("a prefetch of the callback", "GET", "/callback", func(r *http.Request) { r.Header.Set("Sec-Purpose", "prefetch") })
		send("logout by GET", "GET", "/logout", nil)
		send("back-channel by GET", "GET", "/backchannel-logout", nil)
		send("no store", "POST", "/backchannel-logout", nil)
		send("a foreign logout", "POST", "/logout", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") })
		send("not signed in", "POST", "/profile", nil)
		send("a large form", "POST", "/callback", func(r *http.Request) {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Body = readCloser(strings.Repeat("a", 1<<20))
		})
		send("text", "POST", "/callback", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") })
	}
	p := a.browser.Navigate(site + "/profile") // OnLogin refuses
	refused := httptest.NewRecorder()
	refused.Header().Set("Content-Type", p.Last().ResponseHeader.Get("Content-Type"))
	refused.WriteHeader(p.Status())
	refused.WriteString(p.Body())
	check("OnLogin", refused)
	for _, key := range []string{"400 text/html; charset=utf-8", "403 text/html; charset=utf-8", "405 text/html; charset=utf-8",
		"502 text/html; charset=utf-8", "503 text/html; charset=utf-8", "400 application/problem+json", "502 application/problem+json"} {
		if counts[key] < 3 {
			t.Errorf("only %d answers were compared: %s", counts[key], key)
		}
	}
}

// Cause and fix are for developers: shown when Config.Development says so, and never else.
func TestDevelopmentPage(t *testing.T) {
	for _, origin := range []string{site, "http://127.0.0.1:8080", "http://localhost:8080"} {
		for _, development := range []bool{false, true} {
			a := newApp(t, func(s *setup) { s.origin, s.config.Development = origin, development })
			for path, reason := range map[string]string{
				"/callback": "state_missing", "/callback?state=a&state=a": "duplicate_parameter", "/login?iss=x": "issuer_mismatch", "/logout": "method",
			} {
				r := request("GET", origin+path, "")
				r.RemoteAddr = "127.0.0.1:1"
				page := html.UnescapeString(a.serve(r).Body.String())
				explained := middleware.Explanations()[reason]
				for _, text := range []string{explained[0], explained[1], "<code>" + reason + "</code>", "Config.Development"} {
					if text == "" || strings.Contains(page, text) != development {
						t.Errorf("%s%s, development %v: shown %v: %q", origin, path, development, !development, text)
					}
				}
				r.Header.Set("Sec-Fetch-Mode", "cors") // a program is never told
				if body := a.serve(r).Body.String(); strings.Contains(body, reason) || strings.Contains(body, explained[0]) {
					t.Errorf("%s%s, development %v: %s", origin, path, development, body)
				}
			}
		}
	}
	a := newApp(t, func(s *setup) { s.config.Development = true })
	w := a.serve(request("GET", site+"/callback?state=%3Cscript%3Ealert(1)%3C/script%3E", ""))
	if w.Code != 400 || strings.Contains(w.Body.String(), "script>") || !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("LG-07: %d %s", w.Code, w.Body)
	}
}

// OnError writes in place of our page, under the headers and after the log line that are ours.
func TestOnError(t *testing.T) {
	var got []*middleware.Failure
	a := newApp(t, func(s *setup) {
		s.config.OnError = func(w http.ResponseWriter, r *http.Request, f *middleware.Failure) {
			got = append(got, f)
			w.WriteHeader(f.Status)
			fmt.Fprintf(w, "my page %s %s", r.URL.Path, f.Reference)
		}
	})
	for _, row := range []struct {
		method, path, mode string
		status             int
		matches            error
	}{
		{"GET", "/callback", "navigate", 400, acpclient.ErrInvalidCallback},
		{"GET", "/login?iss=x", "navigate", 400, nil},
		{"GET", "/login", "cors", 401, nil},
		{"GET", "/profile", "cors", 401, nil},
		{"POST", "/backchannel-logout", "cors", 501, nil},
		{"GET", "/logout", "navigate", 405, nil},
	} {
		r := request(row.method, site+row.path, "")
		r.Header.Set("Sec-Fetch-Mode", row.mode)
		got = nil
		before := len(a.logs.String())
		w := a.serve(r)
		if len(got) != 1 {
			t.Fatalf("%s: called %d times", row.path, len(got))
		}
		f := got[0]
		isPrivate(t, w.Header())
		if w.Code != row.status || f.Status != row.status || w.Body.String() != "my page "+r.URL.Path+" "+f.Reference || w.Header().Get("Content-Type") == "text/html" {
			t.Errorf("%s: %d %q", row.path, w.Code, w.Body)
		}
		if row.matches != nil && !errors.Is(f.Err, row.matches) || f.Err == nil || f.RetryAfter != 0 {
			t.Errorf("%s: %v, retry after %s", row.path, f.Err, f.RetryAfter)
		}
		if line := a.logs.String()[before:]; len(f.Reference) != 12 || strings.Count(line, "reference="+f.Reference) != 1 {
			t.Errorf("%s: reference %q, logged %s", row.path, f.Reference, line)
		}
		if row.status == 405 && w.Header().Get("Allow") != "POST" {
			t.Errorf("%s: Allow %q", row.path, w.Header().Get("Allow"))
		}
	}
	a.server.SetUnreachable(true)
	w := a.serve(request("GET", site+"/login", ""))
	if f := got[len(got)-1]; w.Code != 503 || f.RetryAfter < time.Second || w.Header().Get("Retry-After") == "" || !errors.Is(f.Err, acpclient.ErrUnavailable) {
		t.Errorf("%d, %v", w.Code, f)
	}
	a.server.SetUnreachable(false)
	a.clock.advance(time.Hour)
	got = nil
	if a.auth.WriteError(httptest.NewRecorder(), request("GET", site+"/x", ""), errors.New("x")); len(got) != 1 || got[0].Status != 500 {
		t.Errorf("WriteError: %v", got)
	}
	got = nil
	if w := a.serve(request("GET", site+"/profile", "")); w.Code != 303 || len(got) != 0 { // no failure
		t.Errorf("a navigation without a session: %d, %v", w.Code, got)
	}
	// What is printed of a failure names the check, and nothing that came in.
	f := &middleware.Failure{Status: 502, Reference: "REFERENCE", Err: &acpclient.Error{Code: "invalid_scope", Description: "secret", Hint: "secret"}}
	text, err := json.Marshal(f)
	if all := fmt.Sprintf("%v %+v %#v %s", *f, f, f, text); err != nil || strings.Contains(all, "secret") || !strings.Contains(all, "invalid_scope") {
		t.Errorf("LG-02: %s", all)
	}
}
