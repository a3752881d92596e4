package main

import (
	"context"
	"crypto/rand"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/securecookie"
)

const (
	byHandName  = "__Host-app"
	byHandChunk = 3800 // of the 4096 bytes that browsers keep
	byHandMost  = 10
)

// newByHandKeeper is securecookie with its JSON serializer, encrypted, in as many cookies
// as that takes. Their number stands before the first, and in the name that is authenticated.
func newByHandKeeper() *keeper {
	codec := securecookie.New(random(32), random(32)).SetSerializer(securecookie.JSONEncoder{}).
		MaxLength(0).MaxAge(int(absoluteTimeout / time.Second))
	names := make([]string, byHandMost)
	for i := range names {
		names[i] = byHandName + "." + strconv.Itoa(i)
	}
	read := func(r *http.Request) (*grant, bool) {
		first, err := r.Cookie(names[0])
		if err != nil {
			return nil, false
		}
		number, sealed, _ := strings.Cut(first.Value, ".")
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || n > byHandMost {
			return nil, false
		}
		if n > 1 {
			parts := []string{sealed}
			for _, name := range names[1:n] {
				c, err := r.Cookie(name)
				if err != nil {
					return nil, false
				}
				parts = append(parts, c.Value)
			}
			sealed = strings.Join(parts, "")
		}
		g := &grant{}
		if codec.Decode(byHandName+"."+number, sealed, g) != nil || !g.live(time.Now()) {
			return nil, false
		}
		return g, true
	}
	return &keeper{
		title: "securecookie, JSON, by hand",
		keep: func(_ context.Context, g *grant) (string, error) {
			for n := 1; ; n++ {
				sealed, err := codec.Encode(byHandName+"."+strconv.Itoa(n), g)
				if err != nil {
					return "", err
				}
				if (len(sealed)+byHandChunk-1)/byHandChunk != n {
					continue
				}
				sealed = strconv.Itoa(n) + "." + sealed
				var pairs []string
				for i := range n {
					cut := min(byHandChunk, len(sealed))
					if i == n-1 {
						cut = len(sealed)
					}
					pairs = append(pairs, names[i]+"="+sealed[:cut])
					sealed = sealed[cut:]
				}
				return strings.Join(pairs, "; "), nil
			}
		},
		serve:   serveGrants(read),
		subject: func(r *http.Request) string { return grantOf(r).Subject },
		tokens:  func(r *http.Request) (*grant, error) { return grantOf(r), nil },
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return b
}
