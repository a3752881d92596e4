package acpclient_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// The document is found wherever a server of either kind has it.
func TestDiscovery(t *testing.T) {
	for _, row := range []struct {
		name    string
		options acptest.Options
		slash   bool // the issuer ends in one
		asked   []string
	}{
		{"issuer with a path", acptest.Options{}, false, []string{"/acme/demo/.well-known/openid-configuration"}},
		{"issuer without a path", acptest.Options{RootIssuer: true}, false, []string{"/.well-known/openid-configuration"}},
		{"issuer that ends in a slash", acptest.Options{}, true, []string{"/acme/demo/.well-known/openid-configuration"}},
		{"root issuer that ends in a slash", acptest.Options{RootIssuer: true}, true, []string{"/.well-known/openid-configuration"}},
		{"RFC 8414 alone, issuer with a path", acptest.Options{OAuthMetadataOnly: true}, false, []string{
			"/acme/demo/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/acme/demo"}},
		{"RFC 8414 alone, issuer without a path", acptest.Options{OAuthMetadataOnly: true, RootIssuer: true}, false, []string{
			"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"}},
		{"RFC 8414 alone, issuer that ends in a slash", acptest.Options{OAuthMetadataOnly: true}, true, []string{
			"/acme/demo/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/acme/demo"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := newLab(t, row.options, nil)
			if row.slash {
				l.client = l.newClient(func(c *acpclient.Config) { c.Issuer += "/" })
				l.server.OnMetadata(func(m map[string]any) { m["issuer"] = l.server.Issuer + "/" })
				l.server.OnIDToken(func(_, c map[string]any) { c["iss"] = l.server.Issuer + "/" })
			}
			if _, err := l.login(nil); err != nil {
				t.Fatal(err)
			}
			var asked []string
			for _, r := range l.server.Requests(acptest.MetadataEndpoint) {
				asked = append(asked, r.Path)
			}
			if strings.Join(asked, " ") != strings.Join(row.asked, " ") {
				t.Errorf("asked %q, want %q", asked, row.asked)
			}
		})
	}
}

// The second place is asked only where the first has nothing: an answer that is refused
// stays refused.
func TestDiscoveryFallsBackOnlyWhenAbsent(t *testing.T) {
	for status, want := range map[int]int{404: 2, 405: 2, 410: 2, 400: 1, 401: 1, 403: 1, 429: 1, 500: 1, 503: 1, 302: 1} {
		l := newLab(t, acptest.Options{}, nil)
		l.server.Handle(acptest.MetadataEndpoint, acptest.Answer(status, "text/plain", "no"))
		if err := l.client.Ready(t.Context()); err == nil {
			t.Errorf("%d: accepted", status)
		}
		if n := l.count(acptest.MetadataEndpoint); n != want {
			t.Errorf("%d: %d requests, want %d", status, n, want)
		}
	}
}

// JW-04: nobody is sent from one server to another.
func TestDiscoveryFollowsNoRedirect(t *testing.T) {
	for _, e := range []acptest.Endpoint{acptest.MetadataEndpoint, acptest.JWKSEndpoint} {
		for _, status := range []int{301, 302, 303, 307, 308} {
			l := newLab(t, acptest.Options{}, nil)
			var visits atomic.Int32
			evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				visits.Add(1)
				l.server.Serve(e, w, r)
			}))
			defer evil.Close()
			for _, target := range []string{evil.URL, "http://169.254.169.254/", l.server.URL(e)} {
				l.server.Handle(e, acptest.RedirectTo(status, target))
				if err := l.newClient(nil).Ready(t.Context()); err == nil {
					t.Errorf("JW-04 %s %d to %s: accepted", e, status, target)
				}
			}
			if visits.Load() != 0 {
				t.Errorf("JW-04 %s %d: the other server was asked", e, status)
			}
			if n := l.count(e); n != 3 {
				t.Errorf("JW-04 %s %d: %d requests, want one of each client", e, status, n)
			}
		}
	}
}

// JW-06: what a broken server sends is in no error.
func TestDiscoveryErrorsAreShort(t *testing.T) {
	for _, e := range []acptest.Endpoint{acptest.MetadataEndpoint, acptest.JWKSEndpoint} {
		l := newLab(t, acptest.Options{}, nil)
		l.server.OnMetadata(func(m map[string]any) { m["jwks_uri"] = m["jwks_uri"].(string) + "?tenant=canary-in-query" })
		l.server.Handle(e, acptest.Answer(500, "text/plain", strings.Repeat("canary-in-body ", 800)))
		err := l.client.Ready(t.Context())
		if !errors.Is(err, acpclient.ErrUnavailable) {
			t.Errorf("%s: not an ErrUnavailable: %v", e, err)
		}
		if err == nil || strings.Contains(err.Error(), "canary") || len(err.Error()) > 512 || !strings.Contains(err.Error(), "500") {
			t.Errorf("%s: %v", e, err)
		}
	}
}

// JW-31: a content type is not what makes a document.
func TestDiscoveryContentType(t *testing.T) {
	for _, contentType := range []string{"text/html", "application/jwk-set+json", "application/octet-stream", ""} {
		l := newLab(t, acptest.Options{}, nil)
		edit := func(r *acptest.Response) { r.Header["Content-Type"] = []string{contentType} }
		l.server.OnResponse(acptest.JWKSEndpoint, edit)
		l.server.OnResponse(acptest.MetadataEndpoint, edit)
		if _, err := l.login(nil); err != nil {
			t.Errorf("%q: %v", contentType, err)
		}
	}
}

// RL-05, JW-28: a process starts while the server is down, says so, and recovers.
func TestDiscoveryDownAtStart(t *testing.T) {
	for name, fault := range map[string]http.HandlerFunc{
		"connections cut": acptest.Reset(),
		"status 503":      acptest.Answer(503, "text/html", "<h1>Maintenance</h1>"),
		"HTML":            acptest.Answer(200, "text/html", "<h1>Welcome</h1>"),
	} {
		t.Run("RL-05 JW-28 "+name, func(t *testing.T) {
			l := newLab(t, acptest.Options{}, nil)
			v := l.newVerifier(nil)
			token := l.server.AccessToken(nil)
			l.server.Handle(acptest.MetadataEndpoint, fault)
			for range 2 { // CF-02: at once, and out of the memory of the failure
				address, flow, err := l.client.Authorize(t.Context(), nil)
				if err == nil || address != "" || flow != nil || acpclient.RetryAfter(err) <= 0 {
					t.Fatalf("%q, %v, retry after %v", address, err, acpclient.RetryAfter(err))
				}
				if access, err := v.Verify(t.Context(), token); !errors.Is(err, acpclient.ErrUnavailable) || access != nil {
					t.Fatalf("CF-02: %v, %v", access, err)
				}
			}
			if n := l.count(acptest.MetadataEndpoint); n != 2 {
				t.Errorf("%d requests of a client and a verifier, want 2", n)
			}
			l.server.Handle(acptest.MetadataEndpoint, nil)
			l.clock.advance(1200 * time.Millisecond) // one back-off
			if _, err := l.login(nil); err != nil {
				t.Errorf("no recovery: %v", err)
			}
			if _, err := v.Verify(t.Context(), token); err != nil {
				t.Errorf("no recovery: %v", err)
			}
		})
	}
}

// RL-03, RL-05: an API whose keys cannot be found, because the metadata cannot be had, asks six
// times in a minute, and finds the server again when it said that it would.
func TestVerifierBacksOff(t *testing.T) {
	for _, jitter := range []float64{0, 0.5, 0.999} {
		l := newLab(t, acptest.Options{}, nil)
		v := l.newVerifier(nil)
		acpclient.SetVerifierJitter(v, jitter, 1-jitter)
		token := l.server.AccessToken(nil)
		l.server.Handle(acptest.MetadataEndpoint, acptest.Answer(500, "text/plain", "no"))
		for range 1000 {
			_, err := v.Verify(t.Context(), token)
			if after := acpclient.RetryAfter(err); !errors.Is(err, acpclient.ErrUnavailable) || after <= 0 || after > 36*time.Second {
				t.Fatalf("RL-03: %v, retry after %v", err, after)
			}
			l.clock.advance(60 * time.Millisecond)
		}
		if n := l.count(acptest.MetadataEndpoint); n != 6 {
			t.Errorf("RL-03 jitter %v: %d requests in 60 s, want 6", jitter, n)
		}
		l.server.Handle(acptest.MetadataEndpoint, nil)
		_, err := v.Verify(t.Context(), token)
		l.clock.advance(acpclient.RetryAfter(err))
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Errorf("RL-05 jitter %v: no recovery: %v", jitter, err)
		}

		v = l.newVerifier(nil)
		acpclient.SetVerifierJitter(v, jitter, 1-jitter)
		l.server.Handle(acptest.MetadataEndpoint, acptest.Answer(500, "text/plain", "no"))
		_, err = v.Verify(t.Context(), token)
		l.server.Handle(acptest.MetadataEndpoint, nil)
		for range 12 {
			l.clock.advance(100 * time.Millisecond)
			_, err = v.Verify(t.Context(), token)
		}
		if err != nil {
			t.Errorf("RL-05 jitter %v: no recovery within one back-off: %v", jitter, err)
		}
	}
}

// A port where nobody listens is the same.
func TestDiscoveryRefusedConnection(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	l.server.Close()
	err := l.client.Ready(t.Context())
	wantReason(t, err, "unavailable")
	if !errors.Is(err, acpclient.ErrUnavailable) || acpclient.RetryAfter(err) <= 0 || strings.Count(err.Error(), "unavailable") != 1 {
		t.Errorf("RL-05: %v, retry after %v", err, acpclient.RetryAfter(err))
	}
}

// RL-03, RL-30: a server that is down is asked six times in a minute, by whomever.
func TestDiscoveryBacksOff(t *testing.T) {
	for _, jitter := range []float64{0, 0.5, 0.999} {
		l := newLab(t, acptest.Options{}, nil)
		acpclient.SetJitter(l.client, jitter)
		l.server.Handle(acptest.MetadataEndpoint, acptest.Answer(500, "text/plain", "no"))
		for range 1000 {
			err := l.client.Ready(t.Context())
			if after := acpclient.RetryAfter(err); !errors.Is(err, acpclient.ErrUnavailable) || after <= 0 || after > 36*time.Second {
				t.Fatalf("RL-03: %v, retry after %v", err, after)
			}
			l.clock.advance(60 * time.Millisecond)
		}
		if n := l.count(acptest.MetadataEndpoint); n != 6 {
			t.Errorf("RL-03 jitter %v: %d requests in 60 s, want 6", jitter, n)
		}
		// Who heeds Retry-After finds the server again at once.
		l.server.Handle(acptest.MetadataEndpoint, nil)
		l.clock.advance(acpclient.RetryAfter(l.client.Ready(t.Context())))
		if err := l.client.Ready(t.Context()); err != nil {
			t.Errorf("RL-05 jitter %v: no recovery: %v", jitter, err)
		}
	}
}

// RL-04, JW-07: a fetch that hangs is cut off, also where the transport does not heed its
// context, and the next one is a new one.
func TestDiscoveryHangs(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	end := make(chan struct{})
	defer close(end)
	deaf := l.newClient(func(c *acpclient.Config) { c.Transport = &firstHangs{end: end} })
	for name, c := range map[string]*acpclient.Client{"the server": l.client, "the transport": deaf} {
		t.Run("RL-04 "+name, func(t *testing.T) {
			acpclient.SetDiscoveryTimeout(c, 20*time.Millisecond)
			l.server.Handle(acptest.MetadataEndpoint, acptest.Hang())
			err := c.Ready(t.Context())
			if !errors.Is(err, acpclient.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the error is %v", err)
			}
			wantReason(t, err, "timeout")
			l.server.Handle(acptest.MetadataEndpoint, nil)
			acpclient.SetDiscoveryTimeout(c, 5*time.Second)
			l.clock.advance(1200 * time.Millisecond)
			if err := c.Ready(t.Context()); err != nil {
				t.Errorf("no recovery: %v", err)
			}
		})
	}
}

// firstHangs is deaf to the context of its first request.
type firstHangs struct {
	end   chan struct{}
	count atomic.Int32
}

func (f *firstHangs) RoundTrip(req *http.Request) (*http.Response, error) {
	if f.count.Add(1) == 1 {
		<-f.end
		return nil, errors.New("too late")
	}
	return http.DefaultTransport.RoundTrip(req)
}

// RL-25, JW-08: who leaves fails nobody else, and waits for nobody.
func TestDiscoveryWaiterLeaves(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	release := l.server.Hold(acptest.MetadataEndpoint)
	defer release()
	leaving, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() { left <- l.client.Ready(leaving) }()
	if err := l.server.Wait(t.Context(), acptest.MetadataEndpoint, 1); err != nil {
		t.Fatal(err)
	}
	stayed := make(chan error)
	go func() { stayed <- l.client.Ready(t.Context()) }()
	leave()
	if err := <-left; !errors.Is(err, acpclient.ErrUnavailable) {
		t.Errorf("RL-25: who left got %v", err)
	}
	impatient, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, _, err := l.client.Authorize(impatient, nil)
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, acpclient.ErrUnavailable) {
		t.Errorf("RL-25: who could not wait got %v", err)
	}
	release()
	if err := <-stayed; err != nil {
		t.Errorf("RL-25: who stayed got %v", err)
	}
	if n := l.count(acptest.MetadataEndpoint); n != 1 {
		t.Errorf("RL-25: %d requests, want 1", n)
	}
}

// RL-32: 500 at once, and nothing known yet.
func TestDiscoveryColdBurst(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	v, other := l.newVerifier(nil), l.newClient(nil)
	token := l.server.AccessToken(nil)
	for name, ask := range map[string]func() error{
		"Ready":     func() error { return l.client.Ready(t.Context()) },
		"Authorize": func() error { _, _, err := other.Authorize(t.Context(), nil); return err },
		"Verify":    func() error { _, err := v.Verify(t.Context(), token); return err },
	} {
		t.Run("RL-32 "+name, func(t *testing.T) {
			metadata, keys := l.count(acptest.MetadataEndpoint), l.count(acptest.JWKSEndpoint)
			release := l.server.Hold(acptest.MetadataEndpoint)
			var wg sync.WaitGroup
			for range 500 {
				wg.Go(func() {
					if err := ask(); err != nil {
						t.Error(err)
					}
				})
			}
			if err := l.server.Wait(t.Context(), acptest.MetadataEndpoint, metadata+1); err != nil {
				t.Fatal(err)
			}
			release()
			wg.Wait()
			if n := l.count(acptest.MetadataEndpoint) - metadata; n != 1 {
				t.Errorf("%d requests for metadata, want 1", n)
			}
			if n := l.count(acptest.JWKSEndpoint) - keys; n > 1 {
				t.Errorf("%d requests for keys, want 1", n)
			}
		})
	}
}

// JW-27: no way of using a Client fetches keys for each login, and what was fetched
// serves without the server.
func TestKeysAreShared(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	v := l.newVerifier(nil)
	for range 20 {
		if _, err := l.login(nil); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(t.Context(), l.server.AccessToken(nil)); err != nil {
			t.Fatal(err)
		}
	}
	if m, k := l.count(acptest.MetadataEndpoint), l.count(acptest.JWKSEndpoint); m != 2 || k != 2 {
		t.Errorf("JW-27: %d requests for metadata and %d for keys of two parties, want 2 and 2", m, k)
	}
}

// RL-09: the key is published in the moment it signs.
func TestRotationJustBeforeSigning(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	if _, err := l.login(nil); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		flow, callback := l.authorize(nil)
		l.server.RotateKey()
		if _, err := l.client.Exchange(t.Context(), flow, callback); err != nil {
			t.Errorf("RL-09: %v", err)
		}
		if _, err := l.login(nil); err != nil {
			t.Errorf("RL-09: %v", err)
		}
		if n := l.count(acptest.JWKSEndpoint); n != i+2 {
			t.Errorf("RL-09: %d requests for keys after %d rotations", n, i+1)
		}
	}
	if n := l.count(acptest.MetadataEndpoint); n != 1 {
		t.Errorf("RL-09: %d requests for metadata", n)
	}
}

// JW-29: the document is fetched again, judged again, and only then used.
func TestMetadataIsRefreshed(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	if _, err := l.login(nil); err != nil {
		t.Fatal(err)
	}
	evil := newLab(t, acptest.Options{}, nil)
	moved := l.server.Issuer + "/moved/token"
	l.server.Handle(acptest.OtherEndpoint, func(w http.ResponseWriter, r *http.Request) { l.server.Serve(acptest.TokenEndpoint, w, r) })

	// refresh waits for a fetch: a wrong alg forces one.
	stranger := acptest.NewKey("EdDSA")
	refresh := func(edit func(m map[string]any)) {
		t.Helper()
		before := l.count(acptest.MetadataEndpoint)
		l.clock.advance(31 * time.Second)
		l.server.OnMetadata(edit)
		l.server.MintIDToken(func(_, c map[string]any) string { return stranger.Sign(nil, c) })
		_, err := l.login(nil)
		wantReason(t, err, "alg")
		l.server.MintIDToken(nil)
		if n := l.count(acptest.MetadataEndpoint); n != before+1 {
			t.Fatalf("%d fetches, want one", n-before)
		}
	}
	for name, edit := range map[string]func(m map[string]any){
		"another issuer": func(m map[string]any) {
			m["issuer"], m["token_endpoint"], m["jwks_uri"] = evil.server.Issuer, evil.server.URL(acptest.TokenEndpoint), evil.server.URL(acptest.JWKSEndpoint)
		},
		"a forbidden endpoint": func(m map[string]any) { m["token_endpoint"] = "http://169.254.169.254/" },
		"nothing":              func(m map[string]any) { clear(m) },
	} {
		refresh(edit)
		if _, err := l.login(nil); err != nil {
			t.Errorf("JW-29 %s: the old values are lost: %v", name, err)
		}
		m, err := l.client.Metadata(t.Context())
		if err != nil || m.Issuer != l.server.Issuer || m.TokenEndpoint != l.server.URL(acptest.TokenEndpoint) {
			t.Errorf("JW-29 %s: %+v, %v", name, m, err)
		}
	}
	if n := evil.count(acptest.TokenEndpoint) + evil.count(acptest.JWKSEndpoint); n != 0 {
		t.Errorf("JW-29: %d requests went to the other server", n)
	}
	refresh(func(m map[string]any) { m["token_endpoint"] = moved })
	before := l.count(acptest.OtherEndpoint)
	if _, err := l.login(nil); err != nil {
		t.Errorf("JW-29: %v", err)
	}
	if n := l.count(acptest.OtherEndpoint) - before; n != 1 {
		t.Errorf("JW-29: the new endpoint was asked %d times", n)
	}
	refresh(func(m map[string]any) { m["authorization_endpoint"] = l.server.Issuer + "/moved/authorize" })
	if address, _, err := l.client.Authorize(t.Context(), nil); err != nil || !strings.HasPrefix(address, l.server.Issuer+"/moved/authorize?") {
		t.Errorf("JW-29: the browser is sent to %.60s, %v", address, err)
	}
}

// JW-29: without any reason to hurry the document is fetched again after its time, in the
// background: nobody waits for it, and a server that is down by then harms nobody.
func TestMetadataAges(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	if _, err := l.login(nil); err != nil {
		t.Fatal(err)
	}
	l.clock.advance(14 * time.Minute)
	if _, _, err := l.client.Authorize(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if n := l.count(acptest.MetadataEndpoint); n != 1 {
		t.Errorf("%d requests within 15 min, want 1", n)
	}
	release := l.server.Hold(acptest.MetadataEndpoint)
	defer release()
	l.clock.advance(2 * time.Minute)
	for range 10 {
		if _, _, err := l.client.Authorize(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.server.Wait(t.Context(), acptest.MetadataEndpoint, 2); err != nil {
		t.Fatal(err)
	}
	if n := l.count(acptest.MetadataEndpoint); n != 2 {
		t.Errorf("%d requests after 16 min, want 2", n)
	}
}

// RL-21: after Close nothing is asked, and nothing panics.
func TestDiscoveryAfterClose(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	release := l.server.Hold(acptest.MetadataEndpoint)
	defer release()
	v := l.newVerifier(nil)
	waiting := make(chan error)
	go func() { waiting <- v.Ready(context.Background()) }()
	if err := l.server.Wait(t.Context(), acptest.MetadataEndpoint, 1); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := v.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := l.client.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := <-waiting; err == nil {
		t.Error("RL-21: who waited got no error")
	}
	if err := l.client.Ready(t.Context()); !errors.Is(err, acpclient.ErrClosed) {
		t.Errorf("RL-21: %v", err)
	}
	if _, err := v.Verify(t.Context(), l.server.AccessToken(nil)); !errors.Is(err, acpclient.ErrClosed) {
		t.Errorf("RL-21: %v", err)
	}
	if n := l.count(acptest.MetadataEndpoint); n != 1 {
		t.Errorf("RL-21: %d requests", n)
	}
}

// JW-26: no number makes the age of a key set negative, or endless.
func TestCacheControl(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"max-age=60": time.Minute, "no-cache, MAX-AGE=60": time.Minute, `max-age="60"`: time.Minute, "max-age=0": 0,
		"max-age=86400": 24 * time.Hour, "max-age=86401": 24 * time.Hour, "max-age=10000000000": 24 * time.Hour,
		"max-age=9223372036854775807": 24 * time.Hour, "max-age=1e12": -1, "max-age=99999999999999999999999": 24 * time.Hour,
		"": -1, "no-store": -1, "max-age": -1, "max-age=-1": -1, "max-age=x": -1, "s-maxage=60": -1,
	} {
		age, ok := acpclient.CacheControl(header)
		if ok != (want >= 0) || ok && age != want {
			t.Errorf("%q: %v, %v", header, age, ok)
		}
	}
}

// JW-26: a header in two lines is one (RFC 9110 5.3).
func TestCacheControlInTwoLines(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	l.server.OnResponse(acptest.JWKSEndpoint, func(r *acptest.Response) { r.Header["Cache-Control"] = []string{"public", "max-age=5"} })
	v := l.newVerifier(nil)
	for range 2 {
		if _, err := v.Verify(t.Context(), l.server.AccessToken(nil)); err != nil {
			t.Fatal(err)
		}
		l.clock.advance(6 * time.Second)
	}
	if n := l.count(acptest.JWKSEndpoint); n != 2 {
		t.Errorf("%d fetches, want one for each age", n)
	}
}
