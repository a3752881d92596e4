package acpclient_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// fetched waits for a background fetch of the keys to be answered, the n-th in all, and used:
// after that the given token is judged by the new set.
func (l *lab) fetched(n int) {
	l.t.Helper()
	if err := l.server.Wait(l.t.Context(), acptest.JWKSEndpoint, n); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) wantFetches(want int) {
	l.t.Helper()
	if got := l.count(acptest.JWKSEndpoint); got != want {
		l.t.Errorf("%d key set fetches, want %d", got, want)
	}
}

// JW-13, RL-10: a key that is withdrawn takes its remembered tokens with it, at the latest
// when the set's age is over. A key with other material under the same id is another key.
func TestWithdrawnKeyAndRememberedToken(t *testing.T) {
	for name, row := range map[string]struct {
		withdraw func(l *lab)
		want     string
	}{
		"JW-13 gone":                     {func(l *lab) { l.server.RemoveKey(l.server.Key().ID) }, "key_not_found"},
		"JW-15 new material, same id":    {func(l *lab) { l.replace(acptest.NewKey("ES256").JWK()) }, "signature"},
		"JW-20 the same for another alg": {func(l *lab) { l.replace(acptest.NewKey("EdDSA").JWK()) }, "key_not_found"},
		"JW-20 for encryption now":       {func(l *lab) { l.edit(func(jwk map[string]any) { jwk["use"] = "enc" }) }, "key_not_found"},
		"JW-13 under another id":         {func(l *lab) { l.edit(func(jwk map[string]any) { jwk["kid"] = "other" }) }, "key_not_found"},
		"nothing":                        {func(*lab) {}, ""},
		"a further key":                  {func(l *lab) { l.server.AddKey(acptest.NewKey("RS256")) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, acptest.Options{}, nil)
			v := l.newVerifier(nil)
			token := l.server.AccessToken(map[string]any{"exp": l.clock.unix(7200)})
			first, _ := l.passes(v, token, nil)
			row.withdraw(l)
			l.clock.advance(12*time.Minute - 1) // a fresh set is not asked for anew
			if _, same := l.passes(v, token, first); !same {
				t.Error("not remembered")
			}
			l.wantFetches(1)
			l.clock.advance(3*time.Minute + 1)
			_, err := v.Verify(t.Context(), token)
			wantInvalidToken(t, token, err, row.want)
			if row.want == "" {
				if _, same := l.passes(v, token, first); !same {
					t.Error("a set that still holds the key made it forgotten")
				}
				l.wantFetches(2)
			} else if good, _, _, _ := acpclient.Remembered(v); good != 0 {
				t.Error("still remembered")
			}
		})
	}
}

// replace publishes other material under the id of the key that signs; edit changes the key itself.
func (l *lab) replace(jwk map[string]any) {
	id := l.server.Key().ID
	l.server.OnJWKS(func(set map[string]any) {
		for n, k := range set["keys"].([]any) {
			if k.(map[string]any)["kid"] == id {
				jwk["kid"] = id
				set["keys"].([]any)[n] = jwk
			}
		}
	})
}

func (l *lab) edit(change func(jwk map[string]any)) {
	id := l.server.Key().ID
	l.server.OnJWKS(func(set map[string]any) {
		for _, k := range set["keys"].([]any) {
			if k := k.(map[string]any); k["kid"] == id {
				change(k)
			}
		}
	})
}

// JW-15, RL-09: new material under an old id is found by the first token that it signed,
// while the old tokens are remembered, and these are then over.
func TestNewMaterialUnderAnOldID(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	v := l.newVerifier(nil)
	old := l.server.AccessToken(nil)
	l.passes(v, old, nil)
	id := l.server.Key().ID
	l.server.RemoveKey(id)
	key := acptest.KeyFrom(id, "ES256", acptest.NewKey("ES256").Signer())
	l.server.AddKey(key)
	l.server.SetKey(key)
	l.passes(v, l.server.AccessToken(nil), nil)
	l.wantFetches(2)
	_, err := v.Verify(t.Context(), old)
	wantInvalidToken(t, old, err, "signature")
	l.wantFetches(2)
}

// RL-02, JW-16, BR-24: while the keys cannot be fetched, remembered and new tokens pass up to
// the keys' hard limit. From there on nothing is known of either, and once they can be
// fetched all is well again.
func TestRememberedTokenAndTheHardLimit(t *testing.T) {
	for _, stale := range []time.Duration{0, time.Hour} {
		t.Run(fmt.Sprint("RL-02 MaxStale ", stale), func(t *testing.T) {
			l := newLab(t, acptest.Options{AccessTokenTTL: 48 * time.Hour}, nil)
			v := l.newVerifier(func(c *acpclient.VerifierConfig) { c.MaxStale = stale })
			if stale == 0 {
				stale = 24 * time.Hour
			}
			token, other := l.server.AccessToken(nil), l.server.AccessToken(nil)
			first, _ := l.passes(v, token, nil)
			l.server.Handle(acptest.JWKSEndpoint, acptest.Answer(503, "", ""))
			l.clock.advance(stale - 1)
			if _, same := l.passes(v, token, first); !same {
				t.Error("not remembered")
			}
			l.passes(v, other, nil)
			l.clock.advance(1)
			for _, token := range []string{token, other} {
				a, err := v.Verify(t.Context(), token)
				l.wantVerdict(t, token, a, err, unavailable)
			}
			l.server.Handle(acptest.JWKSEndpoint, nil)
			l.clock.advance(time.Minute) // the back-off
			if _, same := l.passes(v, token, first); !same {
				t.Error("it was forgotten meanwhile")
			}
		})
	}
}

// RL-21: a closed Verifier takes nothing, remembered or not.
func TestClosedVerifier(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	for _, size := range []int{0, 10} {
		v := l.newVerifier(func(c *acpclient.VerifierConfig) {
			c.CacheSize, c.Mode, c.ClientID, c.Auth = &size, "auto", "api", acpclient.Secret(canary)
		})
		token := l.server.AccessToken(nil)
		l.passes(v, token, nil)
		for range 2 {
			if err := v.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}
		for _, token := range []string{token, l.server.AccessToken(nil), "opaque", "", "a.b.c"} {
			if a, err := v.Verify(t.Context(), token); a != nil || !errors.Is(err, acpclient.ErrClosed) {
				t.Errorf("RL-21: %v", err)
			}
		}
	}
}

// RL-08, RL-09: a rotation under load fails no request, whether the key is published before
// it signs or at that moment, and costs one forced fetch at most.
func TestRotationUnderLoad(t *testing.T) {
	for name, ahead := range map[string]bool{"RL-08 published before": true, "RL-09 published when it signs": false} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, acptest.Options{Alg: "EdDSA"}, nil)
			v := l.newVerifier(nil)
			l.passes(v, l.server.AccessToken(nil), nil)
			var stop atomic.Bool
			var verified, failed atomic.Int32
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for !stop.Load() {
						if _, err := v.Verify(t.Context(), l.server.AccessToken(nil)); err != nil {
							failed.Add(1)
							t.Error(err)
							return
						}
						verified.Add(1)
					}
				})
			}
			const rotations, load = 5, 200 // tokens between two of them
			forced := 0
			for n := range rotations {
				key := acptest.NewKey("EdDSA")
				l.server.AddKey(key)
				if ahead {
					l.clock.advance(12 * time.Minute) // the set is fetched in the background
					l.fetched(2 + n)
				} else {
					forced++
				}
				at := verified.Load()
				l.server.SetKey(key)
				for verified.Load() < at+load && failed.Load() == 0 {
					runtime.Gosched()
				}
			}
			stop.Store(true)
			wg.Wait()
			// Ahead of use, a token may still come between the fetch and its arrival.
			if got, most := l.count(acptest.JWKSEndpoint), 1+2*rotations; got > most || got < 1+rotations || !ahead && got != 1+forced {
				t.Errorf("%d key set fetches for %d rotations", got, rotations)
			}
		})
	}
}

// RL-11, RL-12, JW-10, JW-11: floods of unknown ids, and of bad signatures, cost one fetch a
// cool-down; good tokens, remembered or not, pass all the while.
func TestFloods(t *testing.T) {
	for name, row := range map[string]struct {
		bad  func(l *lab, other *acptest.Key, n int) string
		want string
	}{
		"RL-11 JW-10 unknown ids": {func(l *lab, other *acptest.Key, n int) string {
			return other.Sign(map[string]any{"kid": fmt.Sprint("unknown-", n)}, map[string]any{"n": n})
		}, "key_not_found"},
		"RL-12 JW-11 bad signatures": {func(l *lab, other *acptest.Key, n int) string {
			return other.Sign(map[string]any{"kid": l.server.Key().ID}, map[string]any{"n": n})
		}, "signature"},
		"JW-25 no id, bad signatures": {func(l *lab, other *acptest.Key, n int) string {
			return other.Sign(map[string]any{"kid": nil}, map[string]any{"n": n})
		}, "signature"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, acptest.Options{Alg: "EdDSA"}, nil)
			v, other := l.newVerifier(nil), acptest.NewKey("EdDSA")
			known := l.server.AccessToken(nil)
			first, _ := l.passes(v, known, nil)
			flood := func() {
				var wg sync.WaitGroup
				for part := range 4 {
					wg.Go(func() {
						for n := range 250 {
							token := row.bad(l, other, 250*part+n)
							_, err := v.Verify(t.Context(), token)
							wantInvalidToken(t, token, err, row.want)
						}
					})
				}
				for range 50 {
					if _, same := l.passes(v, known, first); !same {
						t.Error("a remembered token was forgotten")
					}
					l.passes(v, l.server.AccessToken(nil), nil)
				}
				wg.Wait()
			}
			flood()
			l.wantFetches(2) // the first, and one that is forced
			l.clock.advance(30*time.Second - 1)
			flood()
			l.wantFetches(2)
			l.clock.advance(1)
			flood()
			l.wantFetches(3)
		})
	}
}

// JW-12: a rotation during a flood is found by the first token after the cool-down.
func TestRotationDuringAFlood(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	v, other := l.newVerifier(nil), acptest.NewKey("ES256")
	l.passes(v, l.server.AccessToken(nil), nil)
	flood := func() {
		for n := range 20 {
			token := other.Sign(map[string]any{"kid": fmt.Sprint("unknown-", n)}, map[string]any{})
			_, err := v.Verify(t.Context(), token)
			wantInvalidToken(t, token, err, "key_not_found")
		}
	}
	flood()
	l.server.RotateKey()
	token := l.server.AccessToken(nil)
	_, err := v.Verify(t.Context(), token)
	wantInvalidToken(t, token, err, "key_not_found")
	l.clock.advance(30 * time.Second)
	l.passes(v, token, nil)
	l.wantFetches(3)
}

// JW-09, RL-32: a cold burst fetches the metadata and the keys once.
func TestColdBurst(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	v := l.newVerifier(nil)
	token := l.server.AccessToken(nil)
	var wg sync.WaitGroup
	for range 500 {
		wg.Go(func() {
			if _, err := v.Verify(t.Context(), token); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	l.wantFetches(1)
	if got := l.count(acptest.MetadataEndpoint); got != 1 {
		t.Errorf("%d metadata fetches", got)
	}
}
