package acpclient_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/elliptic"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/acp-go/acp/acpclient"
)

// keyServer stands for the server's jwks_uri; each test runs in a bubble of synctest,
// so that its time is not ours.
type keyServer struct {
	mu    sync.Mutex
	body  string
	age   time.Duration
	noAge bool
	err   error
	delay time.Duration // before the answer, which is what holds then
	deaf  bool          // does not heed the context
	count atomic.Int32
}

func (k *keyServer) fetch(ctx context.Context) ([]byte, time.Duration, bool, error) {
	k.count.Add(1)
	k.mu.Lock()
	delay, deaf := k.delay, k.deaf
	k.mu.Unlock()
	if deaf {
		time.Sleep(delay)
	}
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil, 0, false, ctx.Err()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return []byte(k.body), k.age, !k.noAge, k.err
}

func (k *keyServer) set(change func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change()
}

// jwks makes a key set of keys under their ids.
func jwks(keys ...named) string {
	var list []string
	for _, k := range keys {
		list = append(list, k.s.with(k.members))
	}
	return `{"keys":[` + strings.Join(list, ",") + `]}`
}

type named struct {
	s       signer
	members string
}

// keyNamed makes a key of that id, and a token that it signed.
func keyNamed(kid string) (named, token) {
	s := newEd25519()
	t := token{alg: "EdDSA", kid: kid, hasKid: true, input: []byte("header." + kid)}
	t.sig = must(s.key.Sign(nil, t.input, crypto.Hash(0)))
	return named{s, `"kid":"` + kid + `"`}, t
}

// token is what the gate hands to the key set.
type token struct {
	alg, kid   string
	hasKid     bool
	input, sig []byte
}

// forged is the same token with another payload.
func (t token) forged() token {
	t.input = []byte("header.forged")
	return t
}

func (t token) without() token {
	t.kid, t.hasKid = "", false
	return t
}

func (t token) named(kid string) token {
	t.kid, t.hasKid = kid, true
	return t
}

const (
	fine        = ""
	signature   = "signature"
	notFound    = "key_not_found"
	unavailable = "unavailable"
	timedOut    = "timeout"
)

// keyTest is a key set and its server.
type keyTest struct {
	*testing.T
	*keyServer
	keys acpclient.KeySet
	log  *bytes.Buffer
}

// keyBubble runs a test in a bubble.
func keyBubble(t *testing.T, body string, test func(k *keyTest)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		k := &keyTest{T: t, keyServer: &keyServer{body: body, noAge: true}, log: &bytes.Buffer{}}
		k.keys = acpclient.NewKeySet(acpclient.KeySetOptions{
			Fetch: k.fetch, MaxStale: 24 * time.Hour, Log: slog.New(slog.NewTextHandler(k.log, nil)),
			Jitter: func() float64 { return 0 },
		})
		defer k.keys.Close()
		test(k)
	})
}

// want verifies a token and demands this reason, and that it took that long.
func (k *keyTest) want(tok token, reason string, took time.Duration) {
	k.Helper()
	began := time.Now()
	err := k.verify(k.Context(), tok)
	if !matches(err, reason) {
		k.Errorf("kid %q: %v, want %q", tok.kid, err, reason)
	}
	if d := time.Since(began); d != took {
		k.Errorf("kid %q took %v, want %v", tok.kid, d, took)
	}
}

func (k *keyTest) verify(ctx context.Context, tok token) error {
	return k.keys.Verify(ctx, tok.alg, tok.kid, tok.hasKid, tok.input, tok.sig)
}

func matches(err error, reason string) bool {
	kind := acpclient.ErrInvalidToken
	switch reason {
	case fine:
		return err == nil
	case unavailable, timedOut:
		kind = acpclient.ErrUnavailable
	}
	return errors.Is(err, kind) && acpclient.Reason(err) == reason
}

func (k *keyTest) fetches(want int32) {
	k.Helper()
	synctest.Wait()
	if got := k.count.Load(); got != want {
		k.Errorf("%d fetches, want %d", got, want)
	}
}

func (k *keyTest) warnings(want int) {
	k.Helper()
	synctest.Wait()
	if got := strings.Count(k.log.String(), "level=WARN"); got != want {
		k.Errorf("%d warnings, want %d:\n%s", got, want, k.log)
	}
}

// pass lets time go by.
func pass(d time.Duration) { time.Sleep(d) }

func TestKeySetColdBurst(t *testing.T) { // JW-09, RL-32
	a, tok := keyNamed("a")
	keyBubble(t, jwks(a), func(k *keyTest) {
		k.delay = 2 * time.Second
		var wg sync.WaitGroup
		for range 500 {
			wg.Go(func() { k.want(tok, fine, 2*time.Second) })
		}
		wg.Wait()
		k.want(tok, fine, 0)
		k.fetches(1)
	})
}

func TestKeySetCancelledLeader(t *testing.T) { // JW-08, RL-25
	a, tok := keyNamed("a")
	keyBubble(t, jwks(a), func(k *keyTest) {
		k.delay = time.Second
		ctx, cancel := context.WithCancel(k.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := k.verify(ctx, tok); !errors.Is(err, acpclient.ErrUnavailable) {
				k.Errorf("the cancelled request: %v", err)
			}
		})
		synctest.Wait()
		for range 20 {
			wg.Go(func() { k.want(tok, fine, time.Second) })
		}
		synctest.Wait()
		cancel()
		wg.Wait()
		k.fetches(1)
	})
}

func TestKeySetFirstFetchHangs(t *testing.T) { // JW-07, RL-04
	a, tok := keyNamed("a")
	for name, deaf := range map[string]bool{"heeds its context": false, "is deaf": true} {
		t.Run(name, func(t *testing.T) {
			keyBubble(t, jwks(a), func(k *keyTest) {
				k.delay, k.deaf = time.Hour, deaf
				k.want(tok, timedOut, 5*time.Second)
				k.want(tok, timedOut, 0) // RL-03: backing off
				k.set(func() { k.delay, k.deaf = 0, false })
				pass(time.Second)
				k.want(tok, fine, 0)
				k.fetches(2)
				pass(time.Hour) // the deaf transport comes back: nobody cares
				k.want(tok, fine, 0)
			})
		})
	}
}

func TestKeySetColdAndDown(t *testing.T) { // JW-17, RL-03
	a, tok := keyNamed("a")
	keyBubble(t, jwks(a), func(k *keyTest) {
		k.err = errors.New("connection refused")
		for range 1000 {
			err := k.verify(k.Context(), tok)
			if !matches(err, unavailable) {
				k.Fatal(err)
			}
			if d := acpclient.RetryAfter(err); d <= 0 || d > 30*time.Second {
				k.Fatalf("Retry-After %v", d)
			}
			pass(60 * time.Millisecond)
		}
		k.fetches(6) // at 0, 1, 3, 7, 15, 31 s
		k.warnings(1)
		k.set(func() { k.err = nil })
		pass(4 * time.Second)
		k.want(tok, fine, 0)
		k.fetches(7)
		if !strings.Contains(k.log.String(), "fetched again") {
			k.Error("the recovery is not logged")
		}
	})
}

func TestKeySetBackOffJitter(t *testing.T) { // RL-03: 1 s, doubling to 30 s, within 20 %
	_, tok := keyNamed("a")
	for jitter, scale := range map[float64]float64{0: 1, 0.5: 1.1, 0.999999999: 1.2} {
		synctest.Test(t, func(t *testing.T) {
			server := &keyServer{err: errors.New("no route")}
			keys := acpclient.NewKeySet(acpclient.KeySetOptions{
				Fetch: server.fetch, Log: slog.New(slog.DiscardHandler), Jitter: func() float64 { return jitter },
			})
			defer keys.Close()
			for n, step := range []float64{1, 2, 4, 8, 16, 30, 30, 30} {
				err := keys.Verify(t.Context(), tok.alg, tok.kid, true, tok.input, tok.sig)
				want := time.Duration(step * scale * float64(time.Second)).Round(time.Millisecond)
				if got := acpclient.RetryAfter(err).Round(time.Millisecond); got != want {
					t.Errorf("failure %d: back-off of %v, want %v", n+1, got, want)
				}
				pass(want + time.Millisecond)
			}
			if server.count.Load() != 8 {
				t.Errorf("%d fetches", server.count.Load())
			}
		})
	}
}

func TestKeySetUnknownFlood(t *testing.T) { // JW-10, RL-11
	a, tok := keyNamed("a")
	keyBubble(t, jwks(a), func(k *keyTest) {
		k.want(tok, fine, 0)
		for i := range 10_000 {
			k.want(tok.named(fmt.Sprint("random", i)), notFound, 0)
			if i%1000 == 0 {
				k.want(tok, fine, 0)
				pass(2 * time.Second)
			}
		}
		k.fetches(2) // the first, and one forced
		pass(10 * time.Second)
		k.want(tok.named("after"), notFound, 0)
		k.want(tok.named("after2"), notFound, 0)
		k.fetches(3)
	})
}

func TestKeySetUnknownColdFlood(t *testing.T) { // JW-10: the first fetch was made for an unknown id
	a, tok := keyNamed("a")
	keyBubble(t, jwks(a), func(k *keyTest) {
		for i := range 100 {
			k.want(tok.named(fmt.Sprint("random", i)), notFound, 0)
		}
		k.want(tok, fine, 0)
		k.fetches(1)
	})
}

func TestKeySetFloodThenRotation(t *testing.T) { // JW-12
	a, old := keyNamed("a")
	b, rotated := keyNamed("b")
	keyBubble(t, jwks(a), func(k *keyTest) {
		k.want(old, fine, 0)
		k.want(old.named("flood"), notFound, 0)
		k.set(func() { k.body = jwks(a, b) })
		k.want(rotated, notFound, 0) // within the cool-down
		for range 30 {
			pass(time.Second)
			k.want(old.named("flood"), notFound, 0)
		}
		k.want(rotated, fine, 0)
		k.fetches(3)
	})
}

func TestKeySetRotation(t *testing.T) { // RL-08, RL-09: a key is used as soon as it is published
	old, tok := keyNamed("0")
	keyBubble(t, jwks(old), func(k *keyTest) {
		k.want(tok, fine, 0)
		k.delay = 100 * time.Millisecond
		for i := range 5 { // a fetch that brings the id costs nothing: no cool-down between
			next, tok := keyNamed(fmt.Sprint("next", i))
			k.set(func() { k.body = jwks(old, next) })
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() { k.want(tok, fine, 100*time.Millisecond) })
			}
			wg.Wait()
		}
		k.fetches(6)
	})
}

func TestKeySetJoinsFetchThatIsTooOld(t *testing.T) { // RL-09
	a, old := keyNamed("a")
	b, rotated := keyNamed("b")
	keyBubble(t, jwks(a), func(k *keyTest) {
		k.want(old, fine, 0)
		// The refresh ahead of age has its answer under way when the new key appears.
		pass(12 * time.Minute)
		answer := make(chan struct{})
		k.set(func() { k.delay = 100 * time.Millisecond })
		k.want(old, fine, 0)
		go func() { pass(150 * time.Millisecond); k.set(func() { k.body = jwks(a, b) }); close(answer) }()
		pass(50 * time.Millisecond)
		var wg sync.WaitGroup
		wg.Go(func() { k.want(rotated, fine, 150*time.Millisecond) })
		<-answer
		wg.Wait()
		k.fetches(3)
	})
}

func TestKeySetUnknownWhileDown(t *testing.T) { // contract: 503 and the back-off, never the cool-down
	a, tok := keyNamed("a")
	b, rotated := keyNamed("b")
	keyBubble(t, jwks(a), func(k *keyTest) {
		k.want(tok, fine, 0)
		k.set(func() { k.err = errors.New("connection refused"); k.body = jwks(a, b) })
		k.want(rotated, unavailable, 0)
		k.want(rotated, unavailable, 0)
		k.want(tok, fine, 0)
		k.fetches(2)
		pass(time.Second)
		k.want(rotated, unavailable, 0)
		k.set(func() { k.err = nil })
		k.want(rotated, unavailable, 0)
		pass(2 * time.Second)
		k.want(rotated, fine, 0)
		k.fetches(4)
	})
}

func TestKeySetBadSignatureFlood(t *testing.T) { // JW-11, RL-12
	a, tok := keyNamed("a")
	keyBubble(t, jwks(a), func(k *keyTest) {
		k.want(tok, fine, 0)
		for range 200 {
			k.want(tok.forged(), signature, 0)
			k.want(tok, fine, 0)
		}
		k.fetches(2)
		pass(30*time.Second - 1)
		k.want(tok.forged(), signature, 0)
		k.fetches(2)
		pass(1)
		k.want(tok.forged(), signature, 0)
		k.want(tok.forged(), signature, 0)
		k.fetches(3)
		// It does not starve a rotation: its cool-down is not the unknown id's.
		b, rotated := keyNamed("b")
		k.set(func() { k.body = jwks(a, b) })
		k.want(rotated, fine, 0)
		k.fetches(4)
		// Nor does it fetch within an unknown id's.
		k.want(tok.named("none"), notFound, 0)
		pass(29 * time.Second)
		k.fetches(5)
		k.want(tok.forged(), signature, 0)
		k.fetches(5)
	})
}

func TestKeySetNewMaterialUnderOldID(t *testing.T) { // JW-15
	a, old := keyNamed("a")
	b, renewed := keyNamed("a")
	keyBubble(t, jwks(a), func(k *keyTest) {
		k.want(old, fine, 0)
		k.set(func() { k.body = jwks(b); k.delay = 100 * time.Millisecond })
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { k.want(renewed, fine, 100*time.Millisecond) })
		}
		wg.Wait()
		k.want(old, signature, 0)
		k.fetches(2)
	})
}

func TestKeySetBadSignatureWhileDown(t *testing.T) {
	a, tok := keyNamed("a")
	keyBubble(t, jwks(a), func(k *keyTest) {
		k.want(tok, fine, 0)
		k.set(func() { k.err = errors.New("connection refused") })
		for range 100 {
			k.want(tok.forged(), signature, 0) // never 503
			pass(100 * time.Millisecond)
		}
		k.fetches(2) // not one per step of the back-off
		k.set(func() { k.err, k.delay = nil, time.Hour })
		pass(20 * time.Second)
		var wg sync.WaitGroup
		wg.Go(func() { k.want(tok.forged(), signature, 5*time.Second) })
		synctest.Wait()
		for range 10 { // the others do not wait for a server that hangs
			wg.Go(func() { k.want(tok.forged(), signature, 500*time.Millisecond) })
		}
		wg.Wait()
		k.want(tok.forged(), signature, 0)
		k.fetches(3)
	})
}

func TestKeySetAlgMisfit(t *testing.T) { // JW-20
	ec := newEC(elliptic.P256())
	a, tok := keyNamed("a")
	keyBubble(t, jwks(a), func(k *keyTest) {
		es := token{"ES256", "a", true, []byte("x.y"), ec.sign(k, "ES256", []byte("x.y"))}
		k.want(tok, fine, 0)
		k.want(es, notFound, 0)
		k.want(es, notFound, 0)
		k.fetches(2)
		k.set(func() { k.body = jwks(named{ec, `"kid":"a"`}) }) // the id moves to another type
		pass(30 * time.Second)
		k.want(es, fine, 0)
		k.fetches(3)
		k.want(token{"none", "a", true, es.input, nil}, notFound, 0)         // ID-01
		k.want(token{"HS256", "a", true, es.input, es.sig}, notFound, 0)     // ID-02
		k.want(token{"ES384", "a", false, es.input, es.sig}, notFound, 0)    // no kid, none fits
		k.want(token{"ES256", "../a", true, es.input, es.sig}, notFound, 0)  // ID-37
		k.want(token{"ES256", "A", true, es.input, es.sig}, notFound, 0)     // exact
		k.want(token{"ES256", "", true, es.input, es.sig}, notFound, 0)      // empty is an id, too
		k.want(token{"ES256", "a\x00", true, es.input, es.sig}, notFound, 0) // ID-37
	})
}

func TestKeySetWithoutKid(t *testing.T) { // JW-25
	a, tok := keyNamed("a")
	others := make([]named, 5)
	for i := range others {
		others[i], _ = keyNamed(fmt.Sprint("other", i))
	}
	rsa, ec := named{oneOfEach()["RSA"], `"kid":"r"`}, named{newEC(elliptic.P256()), ""}
	anonymous := named{a.s, ""}
	for _, tt := range []struct {
		name   string
		body   string
		tok    token
		reason string
	}{
		{"one", jwks(a), tok.without(), fine},
		{"one that fits", jwks(rsa, ec, a), tok.without(), fine},
		{"second of two", jwks(others[0], a), tok.without(), fine},
		{"fourth of four", jwks(others[0], others[1], others[2], a), tok.without(), fine},
		{"fourth that fits", jwks(others[0], rsa, others[1], ec, others[2], a), tok.without(), fine},
		{"fifth", jwks(others[0], others[1], others[2], others[3], a), tok.without(), signature},
		{"none made it", jwks(others[0], others[1]), tok.without(), signature},
		{"none fits", jwks(rsa, ec), tok.without(), notFound},
		{"the key has no kid either", jwks(anonymous), tok.without(), fine},
		{"only the token has a kid", jwks(anonymous), tok, notFound},
		{"two keys of one kid", jwks(named{others[0].s, a.members}, a), tok, fine},
		{"four others of its kid", jwks(named{others[0].s, a.members}, named{others[1].s, a.members}, named{others[2].s, a.members}, named{others[3].s, a.members}, a), tok, signature},
		{"right kid, wrong key", jwks(named{others[0].s, a.members}, named{a.s, `"kid":"b"`}), tok, signature},
		{"for encryption", jwks(others[0], named{a.s, `"kid":"a","use":"enc"`}), tok, notFound},            // JW-20
		{"a bad key beside it", `{"keys":[{"kty":"RSA","n":"x"},` + a.s.with(a.members) + `]}`, tok, fine}, // JW-19
		{"JW-19 one nested deep", `{"keys":[{"kty":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `},` + a.s.with(a.members) + `]}`, tok, fine},
		{"JW-19 one that is no JSON", `{"keys":[{"kty" "RSA"},` + a.s.with(a.members) + `]}`, tok, fine},
		{"JW-19 one in another encoding", "{\"keys\":[{\"kid\":\"\xff\"}," + a.s.with(a.members) + `]}`, tok, fine},
	} {
		t.Run(tt.name, func(t *testing.T) {
			keyBubble(t, tt.body, func(k *keyTest) { k.want(tt.tok, tt.reason, 0) })
		})
	}
}

func TestKeySetWithdrawnKey(t *testing.T) { // JW-13, RL-10
	a, withdrawn := keyNamed("a")
	b, tok := keyNamed("b")
	keyBubble(t, jwks(a, b), func(k *keyTest) {
		k.set(func() { k.noAge, k.age = false, 10*time.Minute })
		k.want(withdrawn, fine, 0)
		k.set(func() { k.body = jwks(b); k.delay = 200 * time.Millisecond })
		pass(8*time.Minute - 1) // not yet asked for anew
		k.want(withdrawn, fine, 0)
		k.fetches(1)
		pass(2*time.Minute + 1) // the age is over: the very first request is judged by the new set
		k.want(withdrawn, notFound, 200*time.Millisecond)
		k.want(tok, fine, 0)
		k.fetches(2)
		k.want(withdrawn, notFound, 200*time.Millisecond) // now an unknown id like any other
		k.want(withdrawn, notFound, 0)
		k.fetches(3)
	})
}

// A server that is always slow is waited for longer: its withdrawn keys do not serve meanwhile.
// One that never answers holds nobody.
func TestKeySetSlowServer(t *testing.T) { // JW-13, RL-10, RL-04
	a, withdrawn := keyNamed("a")
	b, tok := keyNamed("b")
	for _, delay := range []time.Duration{600 * time.Millisecond, 2 * time.Second, 4 * time.Second} {
		keyBubble(t, jwks(a, b), func(k *keyTest) {
			k.set(func() { k.delay = delay })
			k.want(withdrawn, fine, delay)
			k.set(func() { k.body = jwks(b) })
			pass(20 * time.Minute) // nobody asked
			k.want(withdrawn, notFound, delay)
			k.want(tok, fine, 0)
			k.set(func() { k.delay = time.Hour })
			pass(20 * time.Minute)
			k.want(tok, fine, min(2*delay, 4500*time.Millisecond))
			pass(time.Minute)
			k.want(tok, fine, 0)
		})
	}
}

func TestKeySetRefreshAhead(t *testing.T) { // nobody waits for an ordinary refresh
	a, tok := keyNamed("a")
	b, next := keyNamed("b")
	keyBubble(t, jwks(a), func(k *keyTest) {
		k.want(tok, fine, 0)
		for range 4 {
			k.set(func() { k.delay = 3 * time.Second })
			pass(12*time.Minute + time.Second)
			for range 100 {
				k.want(tok, fine, 0)
			}
			pass(3 * time.Second)
		}
		k.fetches(5)
		k.set(func() { k.body = jwks(a, b) })
		pass(13 * time.Minute)
		k.want(tok, fine, 0)
		pass(3 * time.Second)
		k.want(next, fine, 0) // published ahead, and known before it was used
		k.fetches(6)
	})
}

func TestKeySetMaxAge(t *testing.T) { // JW-26
	a, tok := keyNamed("a")
	for _, tt := range []struct {
		name  string
		age   time.Duration
		noAge bool
		want  time.Duration
	}{
		{"absent", 0, true, 15 * time.Minute},
		{"0", 0, false, 5 * time.Second},
		{"negative", -time.Hour, false, 5 * time.Second},
		{"1 s", time.Second, false, 5 * time.Second},
		{"5 min", 5 * time.Minute, false, 5 * time.Minute},
		{"24 h", 24 * time.Hour, false, 24 * time.Hour},
		{"292 years", 1<<63 - 1, false, 24 * time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			keyBubble(t, jwks(a), func(k *keyTest) {
				k.set(func() { k.age, k.noAge = tt.age, tt.noAge })
				k.want(tok, fine, 0)
				pass(tt.want/5*4 - 1)
				k.want(tok, fine, 0)
				k.fetches(1)
				pass(1)
				k.want(tok, fine, 0)
				k.fetches(2)
			})
		})
	}
}

func TestKeySetDown(t *testing.T) { // JW-16, RL-02
	a, tok := keyNamed("a")
	keyBubble(t, jwks(a), func(k *keyTest) {
		k.want(tok, fine, 0)
		k.set(func() { k.err = errors.New("connection refused") })
		for range 24*60 - 1 {
			pass(time.Minute)
			k.want(tok, fine, 0)
			k.want(tok.named("unknown"), unavailable, 0)
		}
		k.warnings(1)
		if n := k.count.Load(); n > 24*60*2 {
			k.Errorf("%d fetches in a day", n)
		}
		pass(time.Minute) // the hard limit
		k.want(tok, unavailable, 0)
		k.want(tok.forged(), unavailable, 0)
		k.set(func() { k.err = nil })
		pass(30 * time.Second)
		k.want(tok, fine, 0)
		k.warnings(1)
	})
}

func TestKeySetMaxStale(t *testing.T) { // the hard limit is a setting, but a set serves its own age
	a, tok := keyNamed("a")
	for name, want := range map[string]struct{ stale, age, serves time.Duration }{
		"1 h":             {time.Hour, 15 * time.Minute, time.Hour},
		"under the age":   {time.Minute, 15 * time.Minute, 15 * time.Minute},
		"nothing":         {0, 15 * time.Minute, 15 * time.Minute},
		"longer than age": {24 * time.Hour, 5 * time.Second, 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &keyServer{body: jwks(a), age: want.age}
				var offset atomic.Int64
				keys := acpclient.NewKeySet(acpclient.KeySetOptions{
					Fetch: server.fetch, MaxStale: want.stale, Log: slog.New(slog.DiscardHandler),
					Now: func() time.Time { return time.Now().Add(time.Duration(offset.Load())) },
				})
				defer keys.Close()
				verify := func() error { return keys.Verify(t.Context(), tok.alg, tok.kid, true, tok.input, tok.sig) }
				if err := verify(); err != nil {
					t.Fatal(err)
				}
				server.set(func() { server.err = errors.New("connection refused") })
				offset.Store(int64(want.serves - time.Nanosecond))
				if err := verify(); err != nil {
					t.Errorf("just before the limit: %v", err)
				}
				offset.Store(int64(want.serves))
				if err := verify(); !matches(err, unavailable) {
					t.Errorf("at the limit: %v", err)
				}
			})
		})
	}
}

func TestKeySetHangsWhenOld(t *testing.T) { // section 3: a server that hangs costs one half second, once
	a, tok := keyNamed("a")
	keyBubble(t, jwks(a), func(k *keyTest) {
		k.want(tok, fine, 0)
		k.set(func() { k.delay = time.Hour })
		pass(15 * time.Minute)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { k.want(tok, fine, 500*time.Millisecond) })
		}
		wg.Wait()
		k.want(tok, fine, 0) // it is known to hang
		pass(10 * time.Second)
		k.want(tok, fine, 0) // the next fetch, in the background
		k.fetches(3)
		pass(time.Minute)
		k.want(tok, fine, 0)
		k.fetches(4)
		k.set(func() { k.delay = 0 })
		pass(time.Minute)
		k.want(tok, fine, 0)
		k.fetches(5)
		k.set(func() { k.delay = 100 * time.Millisecond })
		pass(20 * time.Minute)
		k.want(tok, fine, 100*time.Millisecond) // healed: worth a short wait again
	})
}

func TestKeySetOldAndCancelled(t *testing.T) { // a client that hangs up must not get a withdrawn key accepted
	a, tok := keyNamed("a")
	keyBubble(t, jwks(a), func(k *keyTest) {
		k.want(tok, fine, 0)
		k.set(func() { k.delay = 300 * time.Millisecond })
		pass(time.Hour)
		ctx, cancel := context.WithTimeout(k.Context(), 100*time.Millisecond)
		defer cancel()
		if err := k.verify(ctx, tok); !matches(err, timedOut) {
			k.Error(err)
		}
		pass(time.Second)
		k.want(tok, fine, 0)
		k.fetches(2)
	})
}

func TestKeySetBrokenAnswers(t *testing.T) { // JW-18
	a, tok := keyNamed("a")
	for _, tt := range badSets {
		t.Run(tt.name, func(t *testing.T) {
			keyBubble(t, jwks(a), func(k *keyTest) {
				k.want(tok, fine, 0)
				k.set(func() { k.body = tt.text })
				for range 10 {
					pass(time.Minute)
					k.want(tok, fine, 0)
					k.want(tok.named("unknown"), unavailable, 0)
				}
				k.warnings(1)
				k.set(func() { k.body = jwks(a) })
				pass(time.Minute)
				k.want(tok, fine, 0)
				k.want(tok.named("unknown"), notFound, 0)
			})
			keyBubble(t, tt.text, func(k *keyTest) { k.want(tok, unavailable, 0) }) // cold
		})
	}
}

func TestKeySetTooLarge(t *testing.T) { // RL-18, RL-19
	a, tok := keyNamed("a")
	keyBubble(t, jwks(a)+strings.Repeat(" ", 1<<20), func(k *keyTest) { k.want(tok, unavailable, 0) })
}

func TestKeySetLogsBadKeysOnce(t *testing.T) { // JW-19, JW-22
	a, tok := keyNamed("a")
	a.members += `,"d":"c2VjcmV0"`
	keyBubble(t, jwks(a, named{newEd25519(), `"use":"enc"`}), func(k *keyTest) {
		for range 10 {
			k.want(tok, fine, 0)
			pass(13 * time.Minute)
		}
		k.warnings(1)
		if text := k.log.String(); !strings.Contains(text, "compromised") || strings.Contains(text, "c2VjcmV0") {
			k.Errorf("log: %s", text)
		}
	})
}

func TestKeySetErrorHoldsNoBody(t *testing.T) { // JW-06
	_, tok := keyNamed("a")
	keyBubble(t, `{"keys":"body-of-the-answer"}`, func(k *keyTest) {
		if err := k.verify(k.Context(), tok); err == nil || strings.Contains(err.Error(), "body-of-the-answer") || len(err.Error()) > 512 {
			k.Error(err)
		}
	})
}

func TestKeySetReady(t *testing.T) {
	a, tok := keyNamed("a")
	keyBubble(t, jwks(a), func(k *keyTest) {
		k.set(func() { k.err = errors.New("connection refused") })
		if err := k.keys.Ready(k.Context()); !matches(err, unavailable) {
			k.Error(err)
		}
		k.set(func() { k.err = nil })
		pass(time.Second)
		if err := k.keys.Ready(k.Context()); err != nil {
			k.Error(err)
		}
		k.fetches(2)
		// An ordinary fetch starts no cool-down.
		b, rotated := keyNamed("b")
		k.set(func() { k.body = jwks(a, b) })
		k.want(rotated, fine, 0)
		k.want(tok, fine, 0)
		k.fetches(3)
	})
}

func TestKeySetClose(t *testing.T) {
	a, tok := keyNamed("a")
	keyBubble(t, jwks(a), func(k *keyTest) {
		k.delay = time.Hour
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if err := k.verify(k.Context(), tok); !errors.Is(err, acpclient.ErrClosed) {
					k.Errorf("waiting: %v", err)
				}
			})
		}
		synctest.Wait()
		began := time.Now()
		k.keys.Close()
		wg.Wait()
		if d := time.Since(began); d != 0 {
			k.Errorf("Close took %v", d)
		}
		k.keys.Close()
		if err := k.verify(k.Context(), tok); !errors.Is(err, acpclient.ErrClosed) {
			k.Error(err)
		}
		if err := k.keys.Ready(k.Context()); !errors.Is(err, acpclient.ErrClosed) {
			k.Error(err)
		}
		k.fetches(1)
	}) // synctest fails the test when a goroutine is left
}

func TestKeySetParallel(t *testing.T) { // for the race detector: everything at once, over real time
	a, tok := keyNamed("a")
	b, other := keyNamed("b")
	server := &keyServer{body: jwks(a, b)}
	var clock atomic.Int64
	keys := acpclient.NewKeySet(acpclient.KeySetOptions{
		Fetch: server.fetch, MaxStale: time.Hour, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return time.Unix(clock.Add(int64(50*time.Millisecond))/1e9, 0) },
	})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 200 {
				try := []token{tok, other, tok.forged(), tok.named("unknown"), tok.without()}[(i+j)%5]
				err := keys.Verify(t.Context(), try.alg, try.kid, try.hasKid, try.input, try.sig)
				if (i+j)%5 < 2 && err != nil {
					t.Error(err)
				}
				if (i+j)%5 == 2 && err == nil || (i+j)%5 == 3 && err == nil {
					t.Error("accepted")
				}
			}
		})
	}
	wg.Wait()
	keys.Close()
}

func TestKeySetMemory(t *testing.T) { // RL-18: nothing is kept by what an attacker chooses
	a, tok := keyNamed("a")
	keyBubble(t, jwks(a), func(k *keyTest) {
		k.want(tok, fine, 0)
		heap := func() uint64 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before := heap()
		for i := range 200_000 {
			if err := k.verify(k.Context(), tok.named(fmt.Sprint(i))); err == nil {
				k.Fatal("accepted")
			}
		}
		if after := heap(); after > before+4<<20 {
			k.Errorf("the heap grew by %d bytes", after-before)
		}
	})
}

func TestKeySetHotPath(t *testing.T) { // RL-28
	a, tok := keyNamed("a")
	server := &keyServer{body: jwks(a)}
	keys := acpclient.NewKeySet(acpclient.KeySetOptions{Fetch: server.fetch, MaxStale: time.Hour})
	defer keys.Close()
	verify := keys.VerifyPrepared(tok.alg, tok.kid)
	if n := allocations(func() {
		if err := verify(t.Context(), tok.input, tok.sig); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations beside the signature's own", n)
	}
}
