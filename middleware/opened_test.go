package middleware_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
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
		"SE-09 something before it":          {cookiePairs(with(with(with(mine, 0, "3.AAAA"), 1, ""), 2, first[2:]+second+third)), ""},
		"SE-09 the end of it twice":          {cookiePairs(with(mine, 1, second+third)), ""},
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
