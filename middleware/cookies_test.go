package middleware_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/acp-go/acp/acpclient"
)

// tokensOf are tokens of about n bytes each, with a subject.
func tokensOf(n int) *acpclient.Tokens {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	padding := strings.Repeat("x", n*3/4)
	jwt := part(`{"alg":"ES256"}`) + "." + part(`{"iss":"i","sub":"alice","p":"`+padding+`"}`) + "." + part("signature")
	return &acpclient.Tokens{
		Token:   &oauth2.Token{AccessToken: jwt, RefreshToken: jwt, TokenType: "Bearer"},
		IDToken: jwt,
	}
}

func cookiePairs(cookies []*http.Cookie) string {
	var pairs []string
	for _, c := range cookies {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	return strings.Join(pairs, "; ")
}

// Sessions of every size within the limit are read back, those at a chunk's edge among them.
func TestChunks(t *testing.T) { // SE-08 SE-09 SE-11
	a := newApp(t, nil)
	now := time.Now()
	seen := map[int]bool{}
	for n := 100; n < 6000; n += 97 {
		cookies, err := a.auth.SessionCookies(tokensOf(n), now, now)
		if err != nil {
			break
		}
		seen[len(cookies)] = true
		for _, c := range cookies {
			if len(c.Name)+len(c.Value) > 4000 {
				t.Fatalf("SE-08: a cookie of %d bytes", len(c.Name)+len(c.Value))
			}
		}
		if !a.auth.HasSession(request("GET", site+"/", cookiePairs(cookies))) {
			t.Fatalf("SE-11: a session with tokens of %d bytes in %d cookies is not read back", n, len(cookies))
		}
		if len(cookies) < 2 {
			continue
		}
		swapped := []*http.Cookie{{Name: cookies[0].Name, Value: cookies[1].Value}, {Name: cookies[1].Name, Value: cookies[0].Value}}
		for name, broken := range map[string][]*http.Cookie{
			"the last is missing": cookies[:len(cookies)-1], "the first is missing": cookies[1:], "swapped": append(swapped, cookies[2:]...),
		} {
			if a.auth.HasSession(request("GET", site+"/", cookiePairs(broken))) {
				t.Errorf("SE-09 %s: a session", name)
			}
		}
	}
	if !seen[1] || !seen[2] || !seen[3] {
		t.Errorf("numbers of cookies tried: %v", seen)
	}
	if _, err := a.auth.SessionCookies(tokensOf(40_000), now, now); err == nil {
		t.Error("SE-08: tokens of 40 kB made a session")
	}
}

func TestThreeTokensFit(t *testing.T) { // section 8: 900-byte tokens in 5 KiB
	a := newApp(t, nil)
	tokens := tokensOf(840)
	if n := len(tokens.AccessToken); n < 890 || n > 950 {
		t.Fatalf("a token of %d bytes", n)
	}
	cookies, err := a.auth.SessionCookies(tokens, time.Now(), time.Now())
	if total := len(cookiePairs(cookies)); err != nil || total > 5<<10 {
		t.Errorf("%d bytes, %v", total, err)
	}
}

func TestFutureSession(t *testing.T) { // SE-18
	a := newApp(t, nil)
	ahead := time.Now().Add(time.Hour)
	cookies, err := a.auth.SessionCookies(tokensOf(100), ahead, ahead)
	if err != nil || a.auth.HasSession(request("GET", site+"/", cookiePairs(cookies))) {
		t.Errorf("a session of the future serves: %v", err)
	}
}

func TestUpgradeFromForeignOrigin(t *testing.T) { // SE-26
	a := newApp(t, nil)
	a.login()
	for origin, status := range map[string]int{"https://evil.example": 403, "null": 403, site: 200} {
		r := request("GET", site+"/profile", a.cookieHeader())
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "websocket")
		r.Header.Set("Origin", origin)
		if w := a.serve(r); w.Code != status {
			t.Errorf("%s: %d, want %d", origin, w.Code, status)
		}
	}
}

// FuzzSessionChunks: nothing but what was sealed here is a session.
func FuzzSessionChunks(f *testing.F) {
	f.Add("1.AAAA", "2.BBBB")
	f.Add("2000000000.x", "")
	f.Add("", "=")
	f.Add("garbage; __Host-acp_session=1.x", "\x00")
	a := newFuzzApp(f)
	f.Fuzz(func(t *testing.T, first, second string) {
		r := request("GET", site+"/", "")
		r.Header["Cookie"] = []string{"__Host-acp_session=" + first + "; __Host-acp_session.1=" + second}
		if a.HasSession(r) {
			t.Errorf("a session from %q, %q", first, second)
		}
	})
}

// FuzzTransactionCookie: a transaction that was not sealed here finishes no login.
func FuzzTransactionCookie(f *testing.F) {
	f.Add("AAAA", "state")
	f.Add("MTIzfA==", "")
	f.Add("", "x")
	a := newFuzzApp(f)
	f.Fuzz(func(t *testing.T, value, state string) {
		r := request("GET", site+"/callback", "")
		r.URL.RawQuery = "code=a&state=" + state
		r.Header["Cookie"] = []string{"__Host-acp_tx_" + state + "=" + value}
		if w := serve(http.HandlerFunc(a.Callback), r); w.Code != 400 {
			t.Errorf("status %d", w.Code)
		}
	})
}

// FuzzCallbackQuery: whatever comes, the answer is 400, and nobody is asked.
func FuzzCallbackQuery(f *testing.F) {
	for _, s := range []string{"", "&", "code=a&state=b", "state=a;code=x", "%zz", "code=a&code=b&state=c", "state=\xff", "state=%00", "error=x&state=y"} {
		f.Add(s)
	}
	a := newFuzzApp(f)
	f.Fuzz(func(t *testing.T, query string) {
		r := request("GET", site+"/callback", "")
		r.URL.RawQuery = query
		if w := serve(http.HandlerFunc(a.Callback), r); w.Code != 400 {
			t.Errorf("status %d", w.Code)
		}
	})
}

// FuzzCallbackForm is FuzzCallbackQuery for form_post.
func FuzzCallbackForm(f *testing.F) {
	f.Add("application/x-www-form-urlencoded", "code=a&state=b")
	f.Add("application/x-www-form-urlencoded", "%zz;")
	f.Add("multipart/form-data", "")
	f.Add("", "x")
	a := newFuzzApp(f)
	f.Fuzz(func(t *testing.T, kind, body string) {
		r := request("POST", site+"/callback", "")
		r.Header["Content-Type"] = []string{kind}
		r.Body = readCloser(body)
		if w := serve(http.HandlerFunc(a.Callback), r); w.Code != 400 && w.Code != 413 && w.Code != 415 {
			t.Errorf("status %d", w.Code)
		}
	})
}
