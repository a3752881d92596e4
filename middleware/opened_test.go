package middleware_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/middleware"
)

// tokensFor are tokens of about n bytes each, of one user, whose access token names him, too.
func tokensFor(subject string, n int) *acpclient.Tokens {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	padding := strings.Repeat("x", max(0, n*3/4-60))
	jwt := part(`{"alg":"ES256"}`) + "." + part(`{"iss":"i","sub":"`+subject+`","p":"`+padding+`"}`) + "." + part("signature")
	return &acpclient.Tokens{
		Token:   &oauth2.Token{AccessToken: "of " + subject + " " + padding, RefreshToken: jwt, TokenType: "Bearer"},
		IDToken: jwt,
	}
}

// reads answers with the subject; 303 means that there is no session.
func reads(auth *middleware.Authenticator) func(cookies string) string {
	h := auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, middleware.SessionFromContext(r.Context()).Subject)
	}))
	return func(cookies string) string {
		w := serve(h, request("GET", site+"/", cookies))
		if w.Code == http.StatusSeeOther {
			return ""
		}
		return w.Body.String()
	}
}

// of makes a session's cookies.
func of(t testing.TB, auth *middleware.Authenticator, subject string, n int, at time.Time) []*http.Cookie {
	t.Helper()
	cookies, err := auth.SessionCookies(tokensFor(subject, n), at, at)
	if err != nil {
		t.Fatal(err)
	}
	return cookies
}

func with(cookies []*http.Cookie, i int, value string) []*http.Cookie {
	out := append([]*http.Cookie{}, cookies...)
	out[i] = &http.Cookie{Name: out[i].Name, Value: value}
	return out
}

// What is remembered of cookies says nothing about cookies that differ in anything, before
// or after.
func TestRememberedCookiesAreExact(t *testing.T) { // SE-09 SE-10 SE-13
	auth := newFuzzApp(t)
	read, now := reads(auth), time.Now()
	mine, other := of(t, auth, "alice", 2100, now), of(t, auth, "bob", 2100, now)
	small := of(t, auth, "carol", 10, now)
	if len(mine) != 3 || len(other) != 3 || len(small) != 1 {
		t.Fatalf("%d, %d and %d cookies", len(mine), len(other), len(small))
	}
	first, second, third := mine[0].Value, mine[1].Value, mine[2].Value
	sessionName := mine[0].Name
	flip := func(s string, i int) string {
		b := []byte(s)
		if b[i]++; b[i] == 'z'+1 || b[i] == 'Z'+1 || b[i] == '9'+1 {
			b[i] = 'A'
		}
		return string(b)
	}
	rows := map[string]struct {
		cookies string
		want    string
	}{
		"SE-09 the last is missing":          {cookiePairs(mine[:2]), ""},
		"SE-09 the middle is missing":        {cookiePairs([]*http.Cookie{mine[0], mine[2]}), ""},
		"SE-09 the first is missing":         {cookiePairs(mine[1:]), ""},
		"SE-09 the last of another":          {cookiePairs(with(mine, 2, other[2].Value)), ""},
		"SE-09 the first of another":         {cookiePairs(with(mine, 0, other[0].Value)), ""},
		"SE-09 the middle of another":        {cookiePairs(with(mine, 1, other[1].Value)), ""},
		"SE-09 all but the MAC of another":   {cookiePairs(with(other, 2, other[2].Value[:len(other[2].Value)-44]+third[len(third)-44:])), ""},
		"SE-09 the end of mine, alone":       {sessionName + "=1." + third, ""},
		"SE-09 swapped":                      {cookiePairs(with(with(mine, 1, third), 2, second)), ""},
		"SE-09 the middle twice":             {cookiePairs(mine) + "; " + mine[1].Name + "=" + second, ""},
		"SE-09 a fourth":                     {cookiePairs(mine) + "; " + sessionName + ".3=x", ""},
		"SE-09 an empty fourth":              {cookiePairs(mine) + "; " + sessionName + ".3=", ""},
		"SE-09 a tenth":                      {cookiePairs(mine) + "; " + sessionName + ".9=" + third, ""},
		"SE-09 a fourth that is no value":    {cookiePairs(mine) + "; " + sessionName + ".3=\x01", "alice"},
		"SE-10 another number":               {cookiePairs(with(mine, 0, "2"+first[1:])), ""},
		"SE-10 a larger number":              {cookiePairs(with(mine, 0, "4"+first[1:])), ""},
		"SE-10 the number spelled otherwise": {cookiePairs(with(mine, 0, "03"+first[1:])), ""},
		"SE-10 no number":                    {cookiePairs(with(mine, 0, first[2:])), ""},
		"SE-10 all in one, as three":         {sessionName + "=" + first + second + third, ""},
		"SE-10 all in one, as one":           {sessionName + "=1." + first[2:] + second + third, ""},
		"the cut elsewhere":                  {cookiePairs(with(with(mine, 0, first[:100]), 1, first[100:]+second)), "alice"},
		"the cut at the end":                 {cookiePairs(with(with(mine, 1, second+third), 2, "")), "alice"},
		"the cut before the MAC":             {cookiePairs(with(with(mine, 1, second+third[:len(third)-10]), 2, third[len(third)-10:])), "alice"},
		"quotes":                             {cookiePairs(with(mine, 0, `"`+first+`"`)), "alice"},
		"another order":                      {cookiePairs([]*http.Cookie{mine[2], mine[0], mine[1]}), "alice"},
		"SE-13 garbage first":                {sessionName + "=x; " + cookiePairs(mine), "alice"},
		"SE-13 garbage last":                 {cookiePairs(mine) + "; " + sessionName + "=x", "alice"},
		"SE-13 a planted one first":          {cookiePairs(small) + "; " + cookiePairs(mine), "alice"},
		"SE-13 a planted one last":           {cookiePairs(mine) + "; " + cookiePairs(small), "alice"},
		"SE-13 two of the same size":         {cookiePairs(small) + "; " + cookiePairs(of(t, auth, "dave", 10, now)), ""},
		"SE-13 the same twice":               {cookiePairs(small) + "; " + cookiePairs(small), "carol"},
		"one":                                {cookiePairs(small), "carol"},
		"a longer name":                      {strings.ReplaceAll(cookiePairs(small), sessionName, sessionName+"x"), ""},
		"a line break in it":                 {cookiePairs(with(small, 0, small[0].Value[:50]+"\n"+small[0].Value[50:])), ""},
	}
	for i := range mine {
		value := mine[i].Value
		for _, at := range []int{2, len(value) / 2, len(value) - 1, len(value) - 30, len(value) - 70} {
			rows[fmt.Sprintf("SE-09 byte %d of cookie %d", at, i)] = struct{ cookies, want string }{cookiePairs(with(mine, i, flip(value, at))), ""}
		}
		rows[fmt.Sprintf("SE-09 cookie %d shortened", i)] = struct{ cookies, want string }{cookiePairs(with(mine, i, value[:len(value)-1])), ""}
		rows[fmt.Sprintf("SE-09 cookie %d with a pad", i)] = struct{ cookies, want string }{cookiePairs(with(mine, i, value+"=")), ""}
	}
	for _, when := range []string{"before", "after", "again"} {
		for name, row := range rows {
			if got := read(row.cookies); got != row.want {
				t.Errorf("%s, %s: %q, want %q", name, when, got, row.want)
			}
		}
		for subject, cookies := range map[string][]*http.Cookie{"alice": mine, "bob": other, "carol": small} {
			if got := read(cookiePairs(cookies)); got != subject {
				t.Errorf("%s, %s: %q", subject, when, got)
			}
		}
	}
	if n, _ := auth.Opened(); n != 4 {
		t.Errorf("%d sessions are remembered, of 4", n)
	}
}

// Whoever has no key puts nothing into the memory, and it does not grow beyond its bounds.
func TestRememberedCookiesAreBounded(t *testing.T) { // SE-10 SE-12
	auth, now := newFuzzApp(t), time.Now()
	read := reads(auth)
	stranger := newFuzzApp(t) // with another key
	for i := range 200 {
		for _, cookies := range []string{
			fmt.Sprintf("%s=1.%d", sessionPrefix, i), cookiePairs(of(t, stranger, "mallory", 100, now)),
			sessionPrefix + "=" + auth.SealSession(fmt.Append(nil, i)), // sealed, and no record
		} {
			if got := read(cookies); got != "" {
				t.Fatalf("%q was signed in by %s", got, cookies)
			}
		}
	}
	if n, bytes := auth.Opened(); n != 0 || bytes != 0 {
		t.Errorf("%d sessions, %d bytes of strangers", n, bytes)
	}
	// One session has one place, however its text is cut or spelled.
	one := of(t, auth, "alice", 3000, now)
	for i := range 100 {
		cut := cookiePairs(with(with(one, 0, one[0].Value[:200+i]), 1, one[0].Value[200+i:]+one[1].Value))
		if got := read(cut); got != "alice" {
			t.Fatalf("cut at %d: %q", 200+i, got)
		}
	}
	if n, _ := auth.Opened(); n != 1 {
		t.Errorf("%d places of one session", n)
	}
	for range 1000 { // bytes are the first bound
		read(cookiePairs(of(t, auth, "bob", 9000, now)))
	}
	if n, bytes := auth.Opened(); n < 100 || n > 900 || bytes > middleware.OpenedRoom || bytes < middleware.OpenedRoom*9/10 {
		t.Errorf("%d sessions in %d bytes", n, bytes)
	}
	for range middleware.MaxOpened + 10 { // and then their number
		read(cookiePairs(of(t, auth, "bob", 1, now)))
	}
	if n, bytes := auth.Opened(); n != middleware.MaxOpened || bytes > middleware.OpenedRoom {
		t.Errorf("%d sessions in %d bytes", n, bytes)
	}
	if got := read(cookiePairs(one)); got != "alice" {
		t.Errorf("a session that was forgotten: %q", got)
	}
}

// What is remembered makes room when the session is over, or has other cookies by then.
func TestRememberedCookiesGoOut(t *testing.T) {
	a := newApp(t, nil)
	read := reads(a.auth)
	for range 10 {
		read(cookiePairs(of(t, a.auth, "alice", 10, a.clock.now())))
	}
	if n, _ := a.auth.Opened(); n != 10 {
		t.Fatalf("%d sessions", n)
	}
	a.clock.advance(6 * time.Minute)
	read(cookiePairs(of(t, a.auth, "bob", 10, a.clock.now())))
	if n, _ := a.auth.Opened(); n != 1 {
		t.Errorf("%d sessions are remembered, of one in use", n)
	}
}

// Cookies that were seen before are judged as those that were not.
func TestRememberedCookiesAreJudged(t *testing.T) { // SE-17 SE-18 SE-19 SE-07
	for _, stored := range []bool{false, true} {
		for name, end := range map[string]func(a *app, held string){
			"SE-17 idle":         func(a *app, _ string) { a.clock.advance(8*time.Hour + time.Second) },
			"SE-17 absolute":     func(a *app, _ string) { a.clock.advance(25 * time.Hour) },
			"SE-18 a clock back": func(a *app, _ string) { a.clock.advance(-6 * time.Minute) },
			"SE-19 a logout": func(a *app, held string) {
				if w := a.serve(request("POST", site+"/logout", held)); w.Code != 303 {
					t.Errorf("logout: %d", w.Code)
				}
			},
			"a longer session": func(a *app, held string) {
				a.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					r.Header.Set("Cookie", held+"; "+sessionPrefix+".5=x")
					a.routes(a.auth).ServeHTTP(w, r)
				})
			},
			"another login": func(a *app, held string) { a.browser.Navigate(site + "/login?return_to=/profile") },
		} {
			a := newApp(t, func(s *setup) {
				if stored {
					s.config.Store = &memStore{}
				}
			})
			a.login()
			held := a.cookieHeader()
			for range 2 {
				if code, body, _ := a.get("/profile", held); code != 200 || body != "alice" {
					t.Fatalf("%s: %d before", name, code)
				}
			}
			if n, _ := a.auth.Opened(); n == 0 {
				t.Fatalf("%s: nothing is remembered", name)
			}
			end(a, held)
			if code, _, _ := a.get("/profile", held); code != 303 {
				t.Errorf("%s, stored %v: %d", name, stored, code)
			}
		}
	}
	// The Store is asked each time.
	store := &memStore{}
	a := newApp(t, func(s *setup) { s.config.Store = store })
	a.login()
	held := a.cookieHeader()
	a.get("/profile", held)
	store.down()
	if code, _, _ := a.get("/profile", held); code != 503 {
		t.Errorf("SE-27: %d while the store is down", code)
	}
}

// An old key's cookie is renewed as often as it comes.
func TestRememberedCookiesOfAnOldKey(t *testing.T) { // SE-07
	a := newApp(t, nil)
	a.login()
	held := a.cookieHeader()
	a.config.CookieKeys = [][]byte{randomKey(), a.key}
	a.restart()
	for i := range 3 {
		if code, _, h := a.get("/profile", held); code != 200 || !sets(h, sessionPrefix) {
			t.Errorf("SE-07: request %d: %d, %q", i, code, h["Set-Cookie"])
		}
	}
}

// What a handler does to its Session, another request does not see.
func TestRememberedSessionIsEachRequestsOwn(t *testing.T) { // SE-35
	auth := newFuzzApp(t)
	held := cookiePairs(of(t, auth, "alice", 100, time.Now()))
	h := auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := middleware.SessionFromContext(r.Context())
		var claims map[string]any
		if err := s.Claims(&claims); err != nil || s.Subject != "alice" || claims["sub"] != "alice" {
			t.Errorf("%s, %v, %v", s.Subject, claims["sub"], err)
		}
		s.Subject, s.Issuer, s.ExpiresAt, claims["sub"] = "mallory", "evil", time.Time{}, "mallory"
	}))
	for range 3 {
		serve(h, request("GET", site+"/", held))
	}
}

// Applications that share a key share no memory.
func TestRememberedCookiesAreOneApplications(t *testing.T) { // SE-06
	key := randomKey()
	build := func(issuer, clientID string) *middleware.Authenticator {
		client, err := acpclient.New(acpclient.Config{Issuer: issuer, ClientID: clientID, RedirectURL: site + "/callback", Transport: unreachable{}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close(t.Context()) })
		auth, err := middleware.New(client, middleware.Config{CookieKeys: [][]byte{key}, Logger: (&logBuffer{}).logger()})
		if err != nil {
			t.Fatal(err)
		}
		return auth
	}
	const issuer = "https://acp.invalid/t/w"
	apps := []*middleware.Authenticator{build(issuer, "shop"), build(issuer, "back-office"), build(issuer+"/2", "shop")}
	var held []string
	for i, auth := range apps {
		held = append(held, cookiePairs(of(t, auth, fmt.Sprint("user", i), 100, time.Now())))
	}
	var wg sync.WaitGroup
	for i, auth := range apps {
		read := reads(auth)
		wg.Go(func() {
			for range 200 {
				for j, cookies := range held {
					want := ""
					if i == j {
						want = fmt.Sprint("user", i)
					}
					if got := read(cookies); got != want {
						t.Errorf("SE-06: application %d takes %d's cookies for %q's", i, j, got)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

// Each request sees its own user and that user's tokens, while others come for the first
// time, come again, and mix what they have.
func TestRememberedCookiesCrossNoTalk(t *testing.T) { // SE-35 SE-13
	auth, now := newFuzzApp(t), time.Now()
	const users = 300
	held := make([][]*http.Cookie, users)
	for i := range held {
		held[i] = of(t, auth, fmt.Sprint("user", i), 3000+i, now)
	}
	h := auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := middleware.SessionFromContext(r.Context())
		token, err := s.AccessToken(r.Context())
		whose, _, _ := strings.Cut(strings.TrimPrefix(token, "of "), " ")
		fmt.Fprintf(w, "%s %s %v", s.Subject, whose, err)
	}))
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for step := range 500 {
				i := (step*7 + worker*31) % users
				user := fmt.Sprint("user", i)
				want := user + " " + user + " <nil>"
				if w := serve(h, request("GET", site+"/", cookiePairs(held[i]))); w.Body.String() != want {
					t.Errorf("SE-35: %s was served as %q", user, w.Body)
					return
				}
				last := len(held[i]) - 1
				mixed := with(held[i], step%(last+1), held[(i+1)%users][step%(last+1)].Value)
				if w := serve(h, request("GET", site+"/", cookiePairs(mixed))); w.Code != http.StatusSeeOther {
					t.Errorf("SE-13: mixed cookies were served as %q", w.Body)
					return
				}
			}
		})
	}
	wg.Wait()
}

// A text is taken in the one spelling in which it was sealed.
func TestCanonicalText(t *testing.T) { // SE-09
	auth := newFuzzApp(t)
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/ \n\r"
	for size := range 3 { // one, two and no pads
		_, sealed, _ := strings.Cut(auth.SealSession(make([]byte, 30+size)), ".")
		raw, err := base64.URLEncoding.DecodeString(sealed)
		if err != nil || !middleware.Canonical(sealed) {
			t.Fatalf("%q is refused: %v", sealed, err)
		}
		for at := range len(sealed) {
			others := []string{sealed[:at], sealed[at+1:]}
			for _, c := range alphabet {
				others = append(others, sealed[:at]+string(c)+sealed[at:], sealed[:at]+string(c)+sealed[at+1:], sealed+string(c))
			}
			for _, other := range others {
				got, err := base64.URLEncoding.DecodeString(other)
				if other != sealed && err == nil && string(got) == string(raw) && middleware.Canonical(other) {
					t.Fatalf("SE-09: a second spelling of %q: %q", sealed, other)
				}
			}
		}
	}
}

// The number of cookies follows from the length.
func TestSealedSize(t *testing.T) { // SE-11
	auth := newFuzzApp(t)
	for plain := 1; plain < 9000; plain += 1 + plain/50 {
		if expected, got, err := auth.SealedSize(plain); err != nil || expected != got {
			t.Fatalf("SE-11: %d bytes are sealed in %d, not %d: %v", plain, got, expected, err)
		}
	}
}

// A request that brings what was seen before costs its context, its copy, and little more.
func TestSessionAllocations(t *testing.T) {
	auth := newFuzzApp(t)
	for _, n := range []int{10, 900, 3000} {
		r := request("GET", site+"/", cookiePairs(of(t, auth, "alice", n, time.Now())))
		if got := allocsOf(auth.RequireSession(nothing), r); got > 7 {
			t.Errorf("tokens of %d bytes: %v allocations", n, got)
		}
	}
}
