package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/acp-go/acp/middleware"
)

// The grammar of RFC 6750 2.1, written in another way than the code.
var bearerHeader = regexp.MustCompile(`^(?i:bearer) +([-A-Za-z0-9._~+/]+=*)$`)

// A header has one meaning, or none: what is taken is the whole grammar, comes out as it
// went in, and nothing of it is left over.
func FuzzAuthorizationHeader(f *testing.F) {
	for _, header := range []string{
		"", " ", "Bearer", "Bearer ", "Bearer  a", "bearer a", "BEARER a==", "Bearer\ta", "Bearer a b", "Bearera", "Bearer,a", "Bearer a,",
		"Bearer a, Bearer b", "Bearer =", "Bearer a=b", "Basic YTpi", "Basic YTpi, Bearer a", "DPoP a", "Bearer aaaaaaaaaaaa\x00", "\u212aearer a",
		"Bearer \u00e4", "Bearer AZaz09-._~+/=", `Bearer "a"`, "Bearer a\r\nX: y", "Bearer " + strings.Repeat("a", 300),
	} {
		f.Add(header, "access_token=x")
	}
	f.Add("Bearer a", "%61ccess_token=x")
	f.Add("Bearer a", "a=b;access_token")
	f.Add("Bearer a", "x=access_token&access_token%00=1")
	f.Fuzz(func(t *testing.T, header, query string) {
		r := &http.Request{Header: http.Header{"Authorization": {header}}, URL: &url.URL{}}
		token, ok, absent := middleware.Token(r)
		m := bearerHeader.FindStringSubmatch(header)
		want := m != nil && len(m[1]) <= middleware.MaxBearerToken
		if ok != want || ok && token != m[1] || !ok && token != "" || absent {
			t.Fatalf("%q: token %q, ok %v, want %v", header, token, ok, want)
		}
		if ok {
			r.Header.Set("Authorization", "Bearer "+token)
			if again, ok, _ := middleware.Token(r); !ok || again != token {
				t.Fatalf("%q comes back as %q", token, again)
			}
			r.Header.Add("Authorization", "Bearer "+token)
			if _, ok, _ := middleware.Token(r); ok {
				t.Fatal("two headers are taken")
			}
			r.Header.Set("Authorization", "Bearer "+token)
		}
		// BR-07: whatever a reader of the query finds, we find, too.
		r.URL.RawQuery = query
		_, ok, _ = middleware.Token(r)
		for _, q := range []string{query, strings.ReplaceAll(query, ";", "&")} {
			if values, _ := url.ParseQuery(q); ok && values.Has("access_token") {
				t.Fatalf("%q and the query %q are taken", header, query)
			}
		}
		if !strings.Contains(query, "oken") && !strings.Contains(query, "%") && ok != want {
			t.Fatalf("the query %q, which holds no token, changes the answer", query)
		}
	})
}

// Each byte is judged wherever it stands: in a block of eight, and behind the last one.
func TestEveryByteOfAToken(t *testing.T) {
	for c := range 256 {
		for place := range 17 {
			token := []byte(strings.Repeat("a", 17))
			token[place] = byte(c)
			r := httptest.NewRequest("GET", "/", nil)
			r.Header["Authorization"] = []string{"Bearer " + string(token)}
			want := bearerHeader.MatchString("Bearer " + string(token))
			if _, ok, _ := middleware.Token(r); ok != want {
				t.Errorf("BR-10 byte %#x at %d: taken is %v", c, place, ok)
			}
		}
	}
}
