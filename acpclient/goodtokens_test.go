package acpclient_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// goodOnes mints as many tokens, each different.
func (l *lab) goodOnes(n int) (tokens []string) {
	for range n {
		tokens = append(tokens, l.server.AccessToken(nil))
	}
	return tokens
}

// passes verifies a good token and tells whether it was remembered as before.
func (l *lab) passes(v *acpclient.Verifier, token string, before *acpclient.AccessToken) (*acpclient.AccessToken, bool) {
	l.t.Helper()
	a, err := v.Verify(l.t.Context(), token)
	if err != nil {
		l.t.Fatal(err)
	}
	return a, a == before
}

// RL-18: good tokens are bounded in number, and the oldest makes room.
func TestGoodTokensAreBounded(t *testing.T) {
	l := newLab(t, acptest.Options{Alg: "EdDSA"}, nil)
	tokens := l.goodOnes(40)
	for size, want := range map[int]int{0: 0, 1: 1, 2: 2, 15: 15, 16: 16, 17: 17, 39: 39, 40: 40, 1000: 40, 1024: 40} {
		t.Run(fmt.Sprint("RL-18 CacheSize ", size), func(t *testing.T) {
			v := l.newVerifier(func(c *acpclient.VerifierConfig) { c.CacheSize = &size })
			seen := make([]*acpclient.AccessToken, len(tokens))
			for n, token := range tokens {
				seen[n], _ = l.passes(v, token, nil)
				if got, _, _, _ := acpclient.Remembered(v); got > size {
					t.Fatalf("%d are remembered", got)
				}
			}
			if got, _, _, _ := acpclient.Remembered(v); got != want {
				t.Errorf("%d are remembered, want %d", got, want)
			}
			for n := len(tokens) - want; n < len(tokens); n++ { // the youngest
				if _, same := l.passes(v, tokens[n], seen[n]); !same {
					t.Errorf("token %d is not remembered", n)
				}
			}
			if want < len(tokens) {
				if _, same := l.passes(v, tokens[0], seen[0]); same {
					t.Error("the oldest is")
				}
			}
		})
	}
}

// RL-18: many shards hold no more than was asked for either.
func TestGoodTokensOfManyShards(t *testing.T) {
	l := newLab(t, acptest.Options{Alg: "EdDSA"}, nil)
	v := l.newVerifier(func(c *acpclient.VerifierConfig) { c.CacheSize = new(1030) })
	for _, token := range l.goodOnes(1500) {
		l.passes(v, token, nil)
	}
	if got, _, _, _ := acpclient.Remembered(v); got > 1030 || got < 900 {
		t.Errorf("%d are remembered", got)
	}
}

// RL-18: and bounded in bytes: 32 MiB, lists counted.
func TestGoodTokensAreBoundedInBytes(t *testing.T) {
	const room = 32 << 20
	for name, row := range map[string]struct {
		claims map[string]any
		tokens int
	}{
		"RL-18 long claims": {map[string]any{"x": strings.Repeat("a", 700<<10)}, 50},
		"RL-18 long lists":  {map[string]any{"amr": strings.Split(strings.Repeat("a", 100_000), "")}, 40},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, acptest.Options{Alg: "EdDSA"}, nil)
			v := l.newVerifier(func(c *acpclient.VerifierConfig) { c.CacheSize, c.MaxTokenSize = new(1000), 1<<20 })
			before := heap()
			for range row.tokens {
				claims := map[string]any{"iss": l.server.Issuer, "sub": "alice", "aud": l.server.Audience, "exp": l.clock.unix(600), "jti": rand.Uint64()}
				for name, value := range row.claims {
					claims[name] = value
				}
				l.passes(v, l.server.Key().Sign(nil, claims), nil)
			}
			n, bytes, _, _ := acpclient.Remembered(v)
			if bytes > room || bytes < room/2 || n == row.tokens {
				t.Errorf("%d tokens take %d KiB", n, bytes>>10)
			}
			if grown := heap() - before; grown > room+8<<20 {
				t.Errorf("the heap grew by %d KiB", grown>>10)
			}
			runtime.KeepAlive(v)
		})
	}
}

// heap is what is in use after a collection.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what a sync.Pool lost in the first
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// RL-18: tokens that are over make room before those that are not.
func TestGoodTokensThatAreOver(t *testing.T) {
	l := newLab(t, acptest.Options{Alg: "EdDSA"}, nil)
	v := l.newVerifier(func(c *acpclient.VerifierConfig) { c.CacheSize = new(100) })
	for range 10 {
		l.passes(v, l.server.AccessToken(map[string]any{"exp": l.clock.unix(60)}), nil)
	}
	l.clock.advance(90 * time.Second)
	l.passes(v, l.server.AccessToken(nil), nil)
	if got, _, _, _ := acpclient.Remembered(v); got != 1 {
		t.Errorf("%d are remembered", got)
	}
	// One that is over is forgotten when it comes again.
	token := l.server.AccessToken(map[string]any{"exp": l.clock.unix(60)})
	l.passes(v, token, nil)
	l.clock.advance(90 * time.Second)
	_, err := v.Verify(t.Context(), token)
	wantInvalidToken(t, token, err, "expired")
	if got, _, _, _ := acpclient.Remembered(v); got != 1 {
		t.Errorf("%d are remembered", got)
	}
}

// RL-18: a token that many see first at one time is remembered once.
func TestGoodTokenOfMany(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	token := l.server.AccessToken(nil)
	one, many := l.newVerifier(nil), l.newVerifier(nil)
	l.passes(one, token, nil)
	release := l.server.Hold(acptest.JWKSEndpoint)
	defer release()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := many.Verify(t.Context(), token); err != nil {
				t.Error(err)
			}
		})
	}
	if err := l.server.Wait(t.Context(), acptest.JWKSEndpoint, 2); err != nil {
		t.Fatal(err)
	}
	release()
	wg.Wait()
	_, want, _, _ := acpclient.Remembered(one)
	if n, got, _, _ := acpclient.Remembered(many); n != 1 || got != want {
		t.Errorf("%d tokens of %d bytes, want one of %d", n, got, want)
	}
}

// RL-18: distinct bad tokens, of every kind, leave the heap where it was.
func TestBadTokensTakeNoMemory(t *testing.T) {
	l := newLab(t, acptest.Options{Alg: "EdDSA"}, nil)
	v := l.newVerifier(nil)
	l.passes(v, l.server.AccessToken(nil), nil)
	key, other := l.server.Key(), acptest.NewKey("EdDSA")
	claims := map[string]any{"iss": l.server.Issuer, "sub": "alice", "aud": l.server.Audience, "exp": l.clock.unix(600)}
	kinds := []func(n int) string{
		func(n int) string { return fmt.Sprint("opaque-", n) },
		func(n int) string { return fmt.Sprintf("%d.%d.%d", n, n, n) },
		func(n int) string { return acptest.Unsigned(map[string]any{"n": n}, claims) },
		func(n int) string { return other.Sign(map[string]any{"kid": fmt.Sprint(n)}, claims) },
		func(n int) string { return other.Sign(map[string]any{"kid": key.ID, "n": n}, claims) },
		func(n int) string { return key.Sign(map[string]any{"n": n}, with(claims, "exp", 1)) },
		func(n int) string { return key.Sign(map[string]any{"n": n}, with(claims, "aud", fmt.Sprint(n))) },
	}
	bad := func(n int) {
		if _, err := v.Verify(t.Context(), kinds[n%len(kinds)](n)); !errors.Is(err, acpclient.ErrInvalidToken) {
			t.Fatal(err)
		}
	}
	for n := range 1000 {
		bad(n)
	}
	before := heap()
	for n := range badTokens {
		bad(1000 + n)
	}
	if grown := heap() - before; grown > 2<<20 {
		t.Errorf("the heap grew by %d KiB", grown>>10)
	}
	if good, _, _, _ := acpclient.Remembered(v); good != 1 || acpclient.KnownHeaders(v) != 1 {
		t.Errorf("%d tokens and %d headers are remembered", good, acpclient.KnownHeaders(v))
	}
}

const badTokens = 10_000

// RL-18: nor do tokens that the server refuses take more than those of 3 s.
func TestRefusedTokensTakeNoMemory(t *testing.T) {
	clock := newHandClock()
	v, err := acpclient.NewVerifier(acpclient.VerifierConfig{
		Issuer: "https://as.example", Audience: "https://api.example", Mode: "introspection", CacheSize: new(1_000_000),
		ClientID: "api", Auth: acpclient.Secret(canary), Logger: slog.New(slog.DiscardHandler),
		Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
			if req.Method == http.MethodGet {
				return response(http.StatusOK, "application/json", `{"issuer":"https://as.example","introspection_endpoint":"https://as.example/introspect"}`), nil
			}
			return response(http.StatusOK, "application/json", `{"active":false}`), nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	v.SetClock(clock.now)
	defer v.Close(context.Background())
	bad := func(n int) {
		if _, err := v.Verify(t.Context(), fmt.Sprint("token-", n)); !matches(err, "inactive") {
			t.Fatal(err)
		}
	}
	for n := range 12_000 { // at one moment: the worst case
		bad(n)
	}
	if _, _, refused, _ := acpclient.Remembered(v); refused != 10_000 {
		t.Errorf("%d refusals are remembered", refused)
	}
	before := heap()
	for n := range badTokens {
		bad(12_000 + n)
		clock.advance(time.Millisecond)
	}
	if grown := heap() - before; grown > 2<<20 {
		t.Errorf("the heap grew by %d KiB", grown>>10)
	}
	if good, _, refused, inquiries := acpclient.Remembered(v); good != 0 || refused > 3001 || inquiries != 0 {
		t.Errorf("%d good, %d refused, %d inquiries are remembered", good, refused, inquiries)
	}
}

// What is remembered may be read, replaced, dropped and found over at the same time.
func TestGoodTokensRace(t *testing.T) {
	l := newLab(t, acptest.Options{Alg: "EdDSA"}, nil)
	v := l.newVerifier(func(c *acpclient.VerifierConfig) { c.CacheSize = new(8) })
	subjects := map[string]string{}
	for n := range 16 {
		sub := fmt.Sprint("user-", n)
		subjects[l.server.AccessToken(map[string]any{"sub": sub, "exp": l.clock.unix(int64(10 * n))})] = sub
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				for token, sub := range subjects {
					a, err := v.Verify(t.Context(), token)
					if err == nil && a.Subject != sub || err != nil && !matches(err, "expired") {
						t.Errorf("%s: %+v, %v", sub, a, err)
					}
				}
				l.clock.advance(100 * time.Millisecond)
			}
		})
	}
	wg.Wait()
	if got, _, _, _ := acpclient.Remembered(v); got > 8 {
		t.Errorf("%d are remembered", got)
	}
}
