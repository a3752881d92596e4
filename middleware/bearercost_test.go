package middleware_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/middleware"
)

// nowhere is a response that costs nothing.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header       { return n.header }
func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) WriteHeader(int)             {}

var nothing = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})

// typical is what a request of a browser's application looks like, behind a proxy.
func typical() *http.Request {
	r := bearer(strings.Repeat("eyJhbGciOiJFUzI1NiJ9", 40))
	for name, value := range map[string]string{
		"Accept": "application/json", "User-Agent": "Mozilla/5.0", "X-Request-Id": "1", "X-Forwarded-For": "192.0.2.1",
		"X-Forwarded-Proto": "https", "Origin": "https://app.example", "Referer": "https://app.example/", "Accept-Encoding": "gzip",
	} {
		r.Header.Set(name, value)
	}
	r.URL.RawQuery = "page=2&sort=name"
	return r
}

// allocations are those of one run of f. What else happens in the process is counted, too, and not
// three times.
func allocations(f func()) float64 {
	return min(testing.AllocsPerRun(100, f), testing.AllocsPerRun(100, f), testing.AllocsPerRun(100, f))
}

// RL-28: beside the verifier, a request that is served costs its context and its copy.
func TestBearerAllocations(t *testing.T) {
	verifier := verifies(&acpclient.AccessToken{Scopes: []string{"a", "b", "c"}, ACR: "x"})
	o := &middleware.BearerOptions{
		Scopes: []string{"a"}, AnyScope: []string{"z", "c"}, MatchScope: acpclient.DynamicScope, ACRValues: []string{"x"}, Realm: "r", Resource: audience,
	}
	protector := protect(t, verifier, o)
	for _, row := range []struct {
		name    string
		handler http.Handler
		want    float64
	}{
		{"one protector", protector(nothing), 2},
		{"the same one twice", protector(protector(nothing)), 2},
		{"and the headers stripped", middleware.StripIdentityHeaders(protector(nothing)), 2},
	} {
		w, r := nowhere{http.Header{}}, typical()
		if got := allocations(func() { row.handler.ServeHTTP(w, r) }); got != row.want {
			t.Errorf("%s: %v allocations, want %v", row.name, got, row.want)
		}
	}
}

func BenchmarkBearer(b *testing.B) {
	for name, o := range map[string]*middleware.BearerOptions{
		"plain":  nil,
		"scopes": {Scopes: []string{"a"}, AnyScope: []string{"z", "c"}},
	} {
		b.Run(name, func(b *testing.B) {
			h := protect(b, verifies(&acpclient.AccessToken{Scopes: []string{"a", "b", "c"}}), o)(nothing)
			w, r := nowhere{http.Header{}}, typical()
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
		})
	}
}
