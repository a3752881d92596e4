package acpclient_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/acp-go/acp/acpclient"
)

// inquiries is a server that only introspects, reached without a network, in a bubble of
// synctest: time there is not ours.
type inquiries struct {
	*testing.T
	v     *acpclient.Verifier
	calls atomic.Int32
	now   atomic.Int32 // calls at this moment
	peak  atomic.Int32

	mu     sync.Mutex
	answer func(ctx context.Context, token string) string
}

const activeAnswer = `{"active":true,"sub":"alice","aud":"https://api.example"}`

// inBubble runs a test against such a server, which answers after a second.
func inBubble(t *testing.T, edit func(*acpclient.VerifierConfig), test func(q *inquiries)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		q := &inquiries{T: t}
		q.set(func(ctx context.Context, _ string) string {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			return activeAnswer
		})
		config := acpclient.VerifierConfig{
			Issuer: "https://as.example", Audience: "https://api.example", Mode: "introspection",
			ClientID: "api", Auth: acpclient.Secret(canary), Logger: slog.New(slog.DiscardHandler), Transport: roundTripper(q.roundTrip),
		}
		if edit != nil {
			edit(&config)
		}
		v, err := acpclient.NewVerifier(config)
		if err != nil {
			t.Fatal(err)
		}
		q.v = v
		test(q)
		v.Close(context.Background())
	})
}

func (q *inquiries) set(answer func(ctx context.Context, token string) string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.answer = answer
}

func (q *inquiries) roundTrip(req *http.Request) (*http.Response, error) {
	if strings.HasSuffix(req.URL.Path, "/.well-known/openid-configuration") {
		return response(http.StatusOK, "application/json", `{"issuer":"https://as.example","introspection_endpoint":"https://as.example/introspect"}`), nil
	}
	q.calls.Add(1)
	now := q.now.Add(1)
	defer q.now.Add(-1)
	for peak := q.peak.Load(); now > peak && !q.peak.CompareAndSwap(peak, now); peak = q.peak.Load() {
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	q.mu.Lock()
	answer := q.answer
	q.mu.Unlock()
	text := answer(req.Context(), form.Get("token"))
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	return response(http.StatusOK, "application/json", text), nil
}

func (q *inquiries) asked(want int) {
	q.Helper()
	if got := int(q.calls.Load()); got != want {
		q.Errorf("%d introspections, want %d", got, want)
	}
}

// wants verifies a token, and demands this verdict after that time.
func (q *inquiries) wants(token, reason string, took time.Duration) {
	q.Helper()
	began := time.Now()
	_, err := q.v.Verify(q.Context(), token)
	if !matches(err, reason) {
		q.Errorf("%s: %v, want %q", token, err, reason)
	}
	if d := time.Since(began); d != took {
		q.Errorf("%s took %v, want %v", token, d, took)
	}
}

// RL-17, BR-35: parallel requests with one token ask once, with 100 tokens 100 times.
func TestIntrospectionsInParallel(t *testing.T) {
	for name, row := range map[string]struct {
		tokens, each int
		ttl          time.Duration
	}{
		"RL-17 one token":                     {1, 1000, 10 * time.Second},
		"BR-35 one token, nothing remembered": {1, 100, 0},
		"RL-17 100 tokens":                    {100, 10, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(c *acpclient.VerifierConfig) { c.IntrospectionTTL = &row.ttl }, func(q *inquiries) {
				var wg sync.WaitGroup
				for n := range row.tokens {
					for range row.each {
						wg.Go(func() {
							a, err := q.v.Verify(q.Context(), fmt.Sprint("token-", n))
							if err != nil || a.Subject != "alice" {
								q.Errorf("%+v, %v", a, err)
							}
						})
					}
				}
				wg.Wait()
				q.asked(row.tokens)
				if peak := q.peak.Load(); peak > 32 {
					q.Errorf("%d introspections at one time", peak)
				}
			})
		})
	}
}

// RL-17, BR-35: nor does who comes just when the answer does ask a second time.
func TestIntrospectionsAtTheLanding(t *testing.T) {
	z := newFuzzed()
	answer := activeAnswer
	z.answer.Store(&answer)
	v := z.verifier(t, func(c *acpclient.VerifierConfig) {
		c.Mode, c.ClientID, c.Auth = "introspection", "api", acpclient.Secret(canary)
		inner := c.Transport
		c.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
			z.asked.Add(1)
			return inner.RoundTrip(req)
		})
	})
	const tokens = 500
	for n := range tokens {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if _, err := v.Verify(t.Context(), fmt.Sprint("token-", n)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	if got := z.asked.Load(); got != tokens+1 { // and the metadata
		t.Errorf("%d requests for %d tokens", got, tokens)
	}
}

// BR-31: answers never go to another token, however alike the two are.
func TestIntrospectionsAreNotMixedUp(t *testing.T) {
	inBubble(t, nil, func(q *inquiries) {
		q.set(func(_ context.Context, token string) string {
			pass(time.Second)
			return fmt.Sprintf(`{"active":true,"sub":%q,"aud":"https://api.example"}`, token)
		})
		tokens := []string{"a", "aa", "a.a", "aa.", "A", "a=", "a==", "a-", "a_", "a.a.a"}
		for range 2 {
			var wg sync.WaitGroup
			for _, token := range tokens {
				wg.Go(func() {
					if a, err := q.v.Verify(q.Context(), token); err != nil || a.Subject != token {
						q.Errorf("%q has the answer of another: %+v, %v", token, a, err)
					}
				})
			}
			wg.Wait()
		}
		q.asked(len(tokens))
	})
}

// RL-25: who began an inquiry may leave; the others get its answer.
func TestIntrospectionLeaderLeaves(t *testing.T) {
	inBubble(t, nil, func(q *inquiries) {
		ctx, cancel := context.WithCancel(q.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := q.v.Verify(ctx, "token")
			if !errors.Is(err, acpclient.ErrUnavailable) || !errors.Is(err, context.Canceled) {
				q.Errorf("who left: %v", err)
			}
		})
		synctest.Wait()
		for range 20 {
			wg.Go(func() { q.wants("token", fine, time.Second) })
		}
		synctest.Wait()
		cancel()
		wg.Wait()
		q.wants("token", fine, 0) // and it is remembered
		q.asked(1)
	})
}

// Who waits too long leaves alone, too.
func TestIntrospectionFollowerLeaves(t *testing.T) {
	inBubble(t, nil, func(q *inquiries) {
		var wg sync.WaitGroup
		wg.Go(func() { q.wants("token", fine, time.Second) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(q.Context(), time.Millisecond)
		defer cancel()
		_, err := q.v.Verify(ctx, "token")
		if !matches(err, timedOut) {
			q.Error(err)
		}
		wg.Wait()
		q.asked(1)
	})
}

// BR-28, RL-29: a server, a transport or an Introspector that hangs costs 5 s, says nothing
// of the token, and nothing of it is remembered.
func TestIntrospectionHangs(t *testing.T) {
	for name, deaf := range map[string]bool{"BR-28 heeds the deadline": false, "RL-29 does not": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(q *inquiries) {
				hang := func(ctx context.Context, _ string) string {
					if deaf {
						pass(time.Hour)
					}
					<-ctx.Done()
					return activeAnswer
				}
				q.set(hang)
				var wg sync.WaitGroup
				for range 10 {
					wg.Go(func() { q.wants("token", timedOut, 5*time.Second) })
				}
				wg.Wait()
				q.set(func(context.Context, string) string { return activeAnswer })
				q.wants("token", fine, 0)
				q.asked(2)
				pass(2 * time.Hour) // the late answer changes nothing
				q.set(func(context.Context, string) string { return `{"active":false}` })
				q.wants("token", "inactive", 0)
			})
		})
	}
	t.Run("RL-29 the Introspector", func(t *testing.T) {
		inBubble(t, func(c *acpclient.VerifierConfig) {
			c.ClientID, c.Auth = "", nil
			c.Introspector = tokenSource(func() (*oauth2.Token, error) {
				pass(time.Hour)
				return &oauth2.Token{AccessToken: "own"}, nil
			})
		}, func(q *inquiries) {
			q.wants("token", timedOut, 5*time.Second)
			q.asked(0)
			pass(time.Hour)
		})
	})
}

// RL-26: what panics or ends its goroutine in the caller's own code ends neither the program
// nor the wait of the others.
func TestIntrospectionPanics(t *testing.T) {
	for name, row := range map[string]struct {
		fail func()
		want string
	}{
		"RL-26 a panic": {func() { panic(canary) }, unavailable},
		"RL-26 a panic of Go's": {func() {
			var none []int
			_ = none[len(canary)]
		}, unavailable},
		"RL-26 Goexit": {runtime.Goexit, timedOut},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(q *inquiries) {
				q.set(func(context.Context, string) string {
					pass(time.Second)
					row.fail()
					return ""
				})
				var wg sync.WaitGroup
				for range 3 {
					wg.Go(func() {
						q.wants("token", row.want, time.Second)
						_, err := q.v.Verify(q.Context(), "token")
						if err == nil || strings.Contains(err.Error(), canary) {
							q.Error(err)
						}
					})
				}
				wg.Wait()
				for n := range 40 { // turns are given back
					_, err := q.v.Verify(q.Context(), fmt.Sprint("token-", n))
					if !matches(err, row.want) {
						q.Error(err)
					}
				}
				q.set(func(context.Context, string) string { return activeAnswer })
				q.wants("token", fine, 0)
			})
		})
	}
}

// RL-26: the same where metadata and keys are fetched.
func TestFetchPanics(t *testing.T) {
	for _, path := range []string{"openid-configuration", "jwks"} {
		for name, fail := range map[string]func(){"a panic": func() { panic(canary) }, "Goexit": runtime.Goexit} {
			t.Run("RL-26 "+name+" at "+path, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					a, _ := keyNamed("a")
					var well atomic.Bool
					v, err := acpclient.NewVerifier(acpclient.VerifierConfig{
						Issuer: "https://as.example", Audience: "https://api.example", Logger: slog.New(slog.DiscardHandler),
						Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
							if !well.Load() && strings.Contains(req.URL.Path, path) {
								fail()
							}
							if strings.HasSuffix(req.URL.Path, "jwks") {
								return response(http.StatusOK, "application/json", jwks(a)), nil
							}
							return response(http.StatusOK, "application/json", bareMetadata), nil
						}),
					})
					if err != nil {
						t.Fatal(err)
					}
					defer v.Close(context.Background())
					if err := v.Ready(t.Context()); !errors.Is(err, acpclient.ErrUnavailable) || strings.Contains(err.Error(), canary) {
						t.Error(err)
					}
					well.Store(true)
					pass(2 * time.Second) // the back-off
					if err := v.Ready(t.Context()); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

// At most 32 introspections run at one time. Of the others 1024 wait, for 5 s at most, and
// more are told so at once.
func TestIntrospectionsAreBounded(t *testing.T) {
	inBubble(t, nil, func(q *inquiries) {
		q.set(func(ctx context.Context, _ string) string {
			<-ctx.Done()
			return ""
		})
		var wg sync.WaitGroup
		for n := range 32 + 1024 {
			wg.Go(func() { q.wants(fmt.Sprint("token-", n), timedOut, 5*time.Second) })
		}
		synctest.Wait()
		q.asked(32)
		q.wants("one-more", unavailable, 0)
		_, err := q.v.Verify(q.Context(), "one-more")
		if acpclient.RetryAfter(err) <= 0 {
			q.Error("without a time for the next try")
		}
		wg.Go(func() { q.wants("token-7", timedOut, 5*time.Second) }) // whose answer is on its way is no more
		wg.Wait()
		q.set(func(context.Context, string) string { return activeAnswer })
		q.wants("one-more", fine, 0)
	})
}

// Slow answers: waiting for a turn counts towards the 5 s.
func TestIntrospectionQueue(t *testing.T) {
	inBubble(t, nil, func(q *inquiries) {
		q.set(func(ctx context.Context, _ string) string {
			select {
			case <-time.After(2 * time.Second):
			case <-ctx.Done():
			}
			return activeAnswer
		})
		var good, late atomic.Int32
		var wg sync.WaitGroup
		for n := range 128 {
			wg.Go(func() {
				switch _, err := q.v.Verify(q.Context(), fmt.Sprint("token-", n)); {
				case err == nil:
					good.Add(1)
				case matches(err, timedOut):
					late.Add(1)
				default:
					q.Error(err)
				}
			})
		}
		wg.Wait()
		if good.Load() != 64 || late.Load() != 64 || q.peak.Load() != 32 {
			q.Errorf("%d good, %d late, %d at one time", good.Load(), late.Load(), q.peak.Load())
		}
	})
}

// RL-20, RL-21: Close ends inquiries under way, those that wait for their turn too, and
// waits for a deaf transport no longer than half a second.
func TestCloseEndsIntrospections(t *testing.T) {
	for name, row := range map[string]struct {
		deaf time.Duration
		took time.Duration
	}{
		"RL-20 heeds its context": {0, 0},
		"RL-21 does not":          {time.Hour, 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(q *inquiries) {
				q.wants("remembered", fine, time.Second)
				q.set(func(ctx context.Context, _ string) string {
					pass(row.deaf)
					<-ctx.Done()
					return ""
				})
				var wg sync.WaitGroup
				for n := range 50 {
					wg.Go(func() {
						if _, err := q.v.Verify(q.Context(), fmt.Sprint("token-", n)); !errors.Is(err, acpclient.ErrClosed) {
							q.Error(err)
						}
					})
				}
				synctest.Wait()
				began := time.Now()
				for range 2 {
					if err := q.v.Close(q.Context()); err != nil {
						q.Error(err)
					}
					if d := time.Since(began); d < row.took || d > 2*row.took {
						q.Errorf("Close took %v", d)
					}
				}
				wg.Wait()
				for _, token := range []string{"token", "remembered", "not b64"} {
					if _, err := q.v.Verify(q.Context(), token); !errors.Is(err, acpclient.ErrClosed) {
						q.Errorf("%s after Close: %v", token, err)
					}
				}
				if err := q.v.Ready(q.Context()); !errors.Is(err, acpclient.ErrClosed) {
					q.Errorf("Ready after Close: %v", err)
				}
				pass(row.deaf)
			})
		})
	}
}
