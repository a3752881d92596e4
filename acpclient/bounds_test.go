package acpclient_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// gzipBomb is 32 MiB of spaces after an opening brace, in 32 KiB.
var gzipBomb = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	chunk := bytes.Repeat([]byte(" "), 1<<20)
	w.Write([]byte("{"))
	for range 32 {
		w.Write(chunk)
	}
	w.Close()
	return b.Bytes()
})

// RL-19, TX-06: at each endpoint, an answer without end costs bounded memory and time.
func TestResponseBombs(t *testing.T) {
	endpoints := map[acptest.Endpoint]func(r *rig, tokens *acpclient.Tokens, ctx context.Context) error{
		acptest.MetadataEndpoint: func(r *rig, _ *acpclient.Tokens, ctx context.Context) error {
			_, err := r.client.Metadata(ctx)
			return err
		},
		acptest.JWKSEndpoint: func(r *rig, _ *acpclient.Tokens, ctx context.Context) error { return r.client.Ready(ctx) },
		acptest.TokenEndpoint: func(r *rig, tokens *acpclient.Tokens, ctx context.Context) error {
			_, err := r.client.Refresh(ctx, tokens)
			return err
		},
		acptest.UserInfoEndpoint: func(r *rig, tokens *acpclient.Tokens, ctx context.Context) error {
			return r.client.UserInfo(ctx, tokens, new(any))
		},
		acptest.RevokeEndpoint: func(r *rig, tokens *acpclient.Tokens, ctx context.Context) error {
			return r.client.Revoke(ctx, tokens)
		},
		acptest.PAREndpoint: func(r *rig, _ *acpclient.Tokens, ctx context.Context) error {
			_, _, err := r.client.Authorize(ctx, nil)
			return err
		},
	}
	gzipBomb()
	bombs := map[string]http.HandlerFunc{
		"endless": acptest.Endless("application/json", "{"),
		"announced": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "268435456")
			chunk := bytes.Repeat([]byte(" "), 64<<10)
			for range 256 << 20 / len(chunk) {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		},
		"gzip": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(gzipBomb())
		},
	}
	for endpoint, ask := range endpoints {
		for name, bomb := range bombs {
			t.Run("RL-19 TX-06 "+name+" at "+string(endpoint), func(t *testing.T) {
				r := newRig(t, &acptest.Options{RequirePAR: true}, nil)
				tokens := &acpclient.Tokens{Token: &oauth2.Token{AccessToken: "access-canary", RefreshToken: "refresh-canary"}, IDToken: acptest.Unsigned(nil, map[string]any{"sub": "alice"})}
				if endpoint != acptest.MetadataEndpoint {
					if _, err := r.client.Metadata(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				r.Handle(endpoint, bomb)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				err := ask(r, tokens, t.Context())
				runtime.ReadMemStats(&after)
				if endpoint == acptest.JWKSEndpoint { // whatever is wrong with the keys, nothing can be judged now
					r.fails(err, acpclient.ErrUnavailable, acpclient.Reason(err))
				} else {
					r.fails(err, acpclient.ErrInvalidResponse, "response_too_large")
				}
				if err == nil || !strings.Contains(err.Error(), "more than 1 MiB") {
					t.Errorf("error %v", err)
				}
				// All that was allocated, the server's share too, garbage or not.
				if spent := after.TotalAlloc - before.TotalAlloc; spent > 12<<20 {
					t.Errorf("%d KiB were allocated", spent>>10)
				}
				r.asked(endpoint, 1)
			})
		}
	}
}

// An answer that drips ends with the caller's patience, and so does a server that hangs.
func TestSlowAnswers(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"TX-04 hangs": acptest.Hang(),
		"RL-19 drips": func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Write([]byte("{"))
			w.(http.Flusher).Flush()
			<-req.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil, nil)
			tokens := r.login()
			flow, callback := r.callback(nil)
			for _, e := range []acptest.Endpoint{acptest.TokenEndpoint, acptest.UserInfoEndpoint, acptest.RevokeEndpoint} {
				r.Handle(e, handler)
			}
			for _, row := range []struct {
				endpoint acptest.Endpoint
				ask      func(ctx context.Context) error
			}{
				{acptest.TokenEndpoint, func(ctx context.Context) error { _, err := r.client.Exchange(ctx, flow, callback); return err }},
				{acptest.TokenEndpoint, func(ctx context.Context) error { _, err := r.client.Refresh(ctx, tokens); return err }},
				{acptest.UserInfoEndpoint, func(ctx context.Context) error { return r.client.UserInfo(ctx, tokens, new(any)) }},
				{acptest.RevokeEndpoint, func(ctx context.Context) error { return r.client.Revoke(ctx, tokens) }},
			} {
				ctx := &deadline{t.Context(), make(chan struct{})}
				answered, before := make(chan error, 1), r.Count(row.endpoint)
				go func() { answered <- row.ask(ctx) }()
				if err := r.Wait(t.Context(), row.endpoint, before+1); err != nil {
					t.Fatal(err)
				}
				close(ctx.over)
				err := <-answered
				r.fails(err, acpclient.ErrUnavailable, "timeout")
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v is no timeout", err)
				}
			}
			r.asked(acptest.TokenEndpoint, 3)
		})
	}
}

// deadline is a context whose time is over when a test says so.
type deadline struct {
	context.Context
	over chan struct{}
}

func (d *deadline) Done() <-chan struct{} { return d.over }

func (d *deadline) Err() error {
	select {
	case <-d.over:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// RL-29, TX-04, RL-06: without a deadline of the caller's, ours ends the call, to the second. The time
// is the bubble's.
func TestDeadlines(t *testing.T) {
	tokens := &acpclient.Tokens{Token: &oauth2.Token{AccessToken: "access-canary", RefreshToken: "refresh-canary"}, IDToken: acptest.Unsigned(nil, map[string]any{"sub": "alice"})}
	rows := []struct {
		name string
		want time.Duration
		ask  func(t *testing.T, c *acpclient.Client) error
	}{
		{"TX-04 token, code", 10 * time.Second, func(t *testing.T, c *acpclient.Client) error { _, err := exchangeAnything(t, c); return err }},
		{"RL-29 token, refresh", 10 * time.Second, func(t *testing.T, c *acpclient.Client) error {
			_, err := c.Refresh(context.Background(), tokens)
			return err
		}},
		{"RF-10 refresh, for whom the answer is worth more time", 45 * time.Second, func(t *testing.T, c *acpclient.Client) error {
			ctx, cancel := context.WithTimeout(context.Background(), 45*time.Second)
			defer cancel()
			_, err := c.Refresh(ctx, tokens)
			return err
		}},
		{"RL-29 userinfo", 5 * time.Second, func(t *testing.T, c *acpclient.Client) error {
			return c.UserInfo(context.Background(), tokens, new(any))
		}},
		{"RL-29 revocation", 2 * time.Second, func(t *testing.T, c *acpclient.Client) error { return c.Revoke(context.Background(), tokens) }},
		{"RL-29 keys", 5 * time.Second, func(t *testing.T, c *acpclient.Client) error { return c.Ready(context.Background()) }},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var requests atomic.Int32 // keys are fetched on a goroutine that nobody waits for
				client := bareClient(t, func(req *http.Request) (*http.Response, error) {
					requests.Add(1)
					<-req.Context().Done()
					return nil, req.Context().Err()
				})
				if _, err := client.Metadata(t.Context()); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				err := row.ask(t, client)
				if took := time.Since(start); took != row.want {
					t.Errorf("took %s, want %s", took, row.want)
				}
				if !errors.Is(err, acpclient.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || acpclient.Reason(err) != "timeout" {
					t.Errorf("error %v", err)
				}
				if got := requests.Load(); got != 1 {
					t.Errorf("%d requests", got)
				}
				if err := client.Close(context.Background()); err != nil {
					t.Error(err)
				}
			})
		})
	}
	t.Run("RL-29 revocation and discovery", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client := hungClient(t)
			start := time.Now()
			err := client.Revoke(context.Background(), tokens)
			if took := time.Since(start); took != 2*time.Second || acpclient.Reason(err) != "timeout" {
				t.Errorf("%v after %s", err, took)
			}
			if err := client.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("RL-29 discovery", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client := hungClient(t)
			start := time.Now()
			_, _, err := client.Authorize(context.Background(), nil)
			if took := time.Since(start); took != 5*time.Second || acpclient.Reason(err) != "timeout" {
				t.Errorf("%v after %s", err, took)
			}
		})
	})
}

// hungClient is a Client at a server that never answers.
func hungClient(t *testing.T) *acpclient.Client {
	t.Helper()
	client, err := acpclient.New(acpclient.Config{
		Issuer: "https://as.example", ClientID: "app", Logger: slog.New(slog.DiscardHandler),
		Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// RL-25: who leaves takes nobody along, and there is one fetch for all.
func TestLeaderLeaves(t *testing.T) {
	r := newRig(t, nil, nil)
	release := r.Hold(acptest.MetadataEndpoint)
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	leader := make(chan error, 1)
	go func() {
		_, _, err := r.client.Authorize(ctx, nil)
		leader <- err
	}()
	if err := r.Wait(t.Context(), acptest.MetadataEndpoint, 1); err != nil {
		t.Fatal(err)
	}
	var others sync.WaitGroup
	for range 20 {
		others.Go(func() {
			if _, _, err := r.client.Authorize(t.Context(), nil); err != nil {
				t.Errorf("one that stayed: %v", err)
			}
		})
	}
	cancel()
	r.fails(<-leader, acpclient.ErrUnavailable, "unavailable")
	release()
	others.Wait()
	r.asked(acptest.MetadataEndpoint, 1)
}

// RL-30, RL-05: discovery is not tried again inside a request, nor before the back-off is over; then the
// client recovers by itself.
func TestLoginsWaitForDiscovery(t *testing.T) {
	r := newRig(t, nil, nil)
	r.Handle(acptest.MetadataEndpoint, acptest.Answer(503, "", ""))
	for range 20 {
		_, _, err := r.client.Authorize(t.Context(), nil)
		r.fails(err, acpclient.ErrUnavailable, "provider_error:invalid_response")
		if wait := acpclient.RetryAfter(err); wait <= 0 || wait > 2*time.Second {
			t.Errorf("wait %s", wait)
		}
	}
	r.asked(acptest.MetadataEndpoint, 1)
	r.Handle(acptest.MetadataEndpoint, nil)
	r.advance(2 * time.Second)
	r.login()
	r.asked(acptest.MetadataEndpoint, 2)
}

// A header that never ends is an answer that never comes.
func TestHugeHeader(t *testing.T) {
	r := newRig(t, nil, nil)
	tokens := r.login()
	r.OnTokenResponse(func(res *acptest.Response) { res.Header.Set("X-Big", strings.Repeat("a", 256<<10)) })
	_, err := r.client.Refresh(t.Context(), tokens)
	r.fails(err, acpclient.ErrUnavailable, "unavailable")
}
