package middleware_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"
)

// BenchmarkStoredSession reads a session whose cookie was seen before out of a store in memory.
func BenchmarkStoredSession(b *testing.B) {
	auth := onWireWith(b, &memStore{}, func(*http.Request, url.Values) (int, string, error) { return 500, "", nil })
	now := time.Now()
	cookies, err := auth.SessionCookies(tokensOf(900), now, now)
	if err != nil {
		b.Fatal(err)
	}
	r := request("GET", site+"/", cookiePairs(cookies))
	b.ReportAllocs()
	for b.Loop() {
		if !auth.HasSession(r) {
			b.Fatal("no session")
		}
	}
}
