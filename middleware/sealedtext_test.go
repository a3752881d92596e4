package middleware_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/middleware"
)

// A text is taken in the one spelling in which it was sealed.
func TestCanonicalText(t *testing.T) { // SE-09
	auth := newFuzzApp(t)
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/ \n\r"
	for size := range 3 { // one, two and no pads
		_, sealed, _ := strings.Cut(auth.SealSession(make([]byte, 30+3*size)), ".")
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
