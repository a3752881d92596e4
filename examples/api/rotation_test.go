package main

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/acp-go/acp/acptest"
)

// crowd sends n requests by each of 4 callers, with tokens of their own, and counts the
// answers that are not wanted. mint gets the number of the request.
func (p *program) crowd(t *testing.T, n, want int, mint func(i int) string) (wrong int64) {
	t.Helper()
	var refused, count atomic.Int64
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for range n {
				if a := p.send(t, "GET", "/things", mint(int(count.Add(1)))); a.StatusCode != want {
					refused.Add(1)
				}
			}
		})
	}
	callers.Wait()
	return refused.Load()
}

// RL-08, RL-09: keys rotate while requests come, then once more under the old id (JW-15), which
// takes the old key away. Nobody is refused, and each new key costs one fetch.
func TestRotationUnderLoad(t *testing.T) {
	s := acptest.NewServer(t, nil)
	var material atomic.Pointer[acptest.Key]
	s.OnJWKS(func(set map[string]any) {
		if k := material.Load(); k != nil {
			set["keys"] = []any{k.JWK()}
		}
	})
	p := startWith(t, s)
	wrong := p.crowd(t, 75, 200, func(i int) string {
		if i == 100 || i == 200 {
			s.RotateKey()
		}
		return s.AccessToken(map[string]any{"scp": "things.read"})
	})
	k := acptest.NewKey("ES256")
	k.ID = s.Key().ID
	material.Store(k)
	wrong += p.crowd(t, 25, 200, func(i int) string {
		return k.Sign(nil, map[string]any{
			"iss": s.Issuer, "aud": s.Audience, "sub": "alice", "exp": time.Now().Add(time.Minute).Unix(), "jti": i, "scp": "things.read",
		})
	})
	if n := s.Count(acptest.JWKSEndpoint); wrong != 0 || n != 4 {
		t.Errorf("%d of 400 good requests were refused, %d fetches, want 4", wrong, n)
	}
}

// JW-10, JW-11, RL-11, RL-12: floods of ids that nobody knows, and of signatures that are
// bad, cost one fetch each, while good tokens pass; and a key that is new in the meantime waits for the
// cool-down, with 401 and never 503.
func TestFloods(t *testing.T) {
	s := acptest.NewServer(t, nil)
	p := startWith(t, s)
	good := func(int) string { return s.AccessToken(map[string]any{"scp": "things.read"}) }
	parts := strings.Split(good(0), ".")
	part := func(format string, args ...any) string {
		return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, format, args...))
	}
	if p.crowd(t, 1, 200, good) != 0 {
		t.Fatal("a good token is refused")
	}
	const coolDown = 30 * time.Second
	began := time.Now()
	for _, flood := range []struct {
		name string
		most int // fetches in one cool-down
		mint func(i int) string
	}{
		{"JW-11 bad signatures", 1, func(i int) string { return parts[0] + "." + part(`{"i":%d}`, i) + "." + parts[2] }},
		{"JW-10 unknown ids", 1, func(i int) string { return part(`{"alg":"ES256","kid":"%d"}`, i) + "." + parts[1] + "." + parts[2] }},
		{"no id, and no key that fits", 0, func(i int) string { return part(`{"alg":"PS512","x":%d}`, i) + "." + parts[1] + "." + parts[2] }},
		{"another algorithm than the key's", 0, func(i int) string {
			return part(`{"alg":"RS256","kid":%q,"x":%d}`, s.Key().ID, i) + "." + parts[1] + "." + parts[2]
		}},
		{"garbage", 0, func(i int) string { return fmt.Sprint("garbage", i) }},
	} {
		before := s.Count(acptest.JWKSEndpoint)
		var others sync.WaitGroup
		var refused int64
		others.Go(func() { refused = p.crowd(t, 30, 200, good) })
		passed := p.crowd(t, 100, 401, flood.mint)
		others.Wait()
		flood.most += int(time.Since(began) / coolDown)
		if n := s.Count(acptest.JWKSEndpoint) - before; n > flood.most || passed != 0 || refused != 0 {
			t.Errorf("%s: %d fetches, want %d; %d not 401, %d good ones refused", flood.name, n, flood.most, passed, refused)
		}
	}
	s.RotateKey()
	if a := p.send(t, "GET", "/things", good(0)); a.StatusCode != 200 || time.Since(began) < coolDown {
		p.audit(t, a, 401, "invalid_token")
	}
}

// Documents that are none. JW-17, JW-28, BR-24: without keys every token that needs one gets 503,
// all together cost one fetch, and the first good document within one back-off (RL-05) ends it.
func TestBrokenDocuments(t *testing.T) {
	elsewhere := func(http.ResponseWriter, *http.Request) { t.Error("JW-04: a redirect was followed") }
	all, healed := t, map[string]func() int{}
	for name, broken := range map[string]func(s *acptest.Server) http.HandlerFunc{
		"JW-18 HTML":        func(*acptest.Server) http.HandlerFunc { return acptest.Answer(200, "text/html", "<html>") },
		"JW-18 no keys":     func(*acptest.Server) http.HandlerFunc { return acptest.Answer(200, "application/json", `{"keys":[]}`) },
		"JW-18 cut off":     func(*acptest.Server) http.HandlerFunc { return acptest.Answer(200, "application/json", `{"keys":[{`) },
		"JW-06 500":         func(*acptest.Server) http.HandlerFunc { return acptest.Answer(500, "text/plain", "c4nary") },
		"RL-03 Retry-After": func(*acptest.Server) http.HandlerFunc { return tooBusy },
		"reset":             func(*acptest.Server) http.HandlerFunc { return acptest.Reset() },
		"RL-19 endless":     func(*acptest.Server) http.HandlerFunc { return acptest.Endless("application/json", `{"keys":[`) },
		"JW-04 redirect": func(s *acptest.Server) http.HandlerFunc {
			s.Handle(acptest.UserInfoEndpoint, elsewhere)
			return acptest.RedirectTo(302, s.URL(acptest.UserInfoEndpoint))
		},
	} {
		for _, endpoint := range []acptest.Endpoint{acptest.JWKSEndpoint, acptest.MetadataEndpoint} {
			t.Run(name+" as "+string(endpoint), func(t *testing.T) {
				s := acptest.NewServer(all, nil)
				s.Handle(endpoint, broken(s))
				p := startWith(all, s)
				token := s.AccessToken(map[string]any{"scp": "things.read"})
				began := time.Now()
				for range 5 {
					p.audit(t, p.send(t, "GET", "/things", token), 503, "")
				}
				p.audit(t, p.send(t, "GET", "/things", ""), 401, "")
				p.audit(t, p.send(t, "GET", "/things", "garbage"), 401, "invalid_token")
				p.audit(t, p.send(t, "GET", "/healthz", ""), 200, "")
				// The back-off begins with 1 s, give or take a fifth. net/http asks again by itself when
				// a connection that it used before is reset.
				if n, most := s.Count(endpoint), 2+int(time.Since(began)/(800*time.Millisecond)); n > most {
					t.Errorf("%d fetches, want %d", n, most)
				}
				if log := p.stderr.String(); strings.Contains(log, "c4nary") {
					t.Errorf("the document is in the log:\n%s", log)
				}
				s.Handle(endpoint, nil)
				healed[name+" as "+string(endpoint)] = func() int { return p.send(all, "GET", "/things", token).StatusCode }
			})
		}
	}
	// All of them wait for the end of their first back-off at the same time.
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	deadline := time.Now().Add(time.Minute)
	for name, status := range healed {
		for ; status() != 200; <-again.C {
			if time.Now().After(deadline) {
				t.Fatalf("%s: it never recovered", name)
			}
		}
	}
}

func tooBusy(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Retry-After", "99999")
	w.WriteHeader(http.StatusServiceUnavailable)
}

// JW-19 to JW-25: what a set may hold, beside the key that signs.
func TestHostileKeySets(t *testing.T) {
	with := func(k map[string]any, name string, value any) map[string]any {
		k[name] = value
		return k
	}
	var junk []any
	for range 100 {
		junk = append(junk, map[string]any{"kty": "x"})
	}
	for name, row := range map[string]struct {
		keys   func(signer map[string]any) []any
		status int
	}{
		"JW-19 junk among good ones": {func(k map[string]any) []any {
			return []any{nil, 1, "x", []any{}, map[string]any{}, map[string]any{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, map[string]any{"kty": "RSA", "n": "!", "e": "AQAB"}, k}
		}, 200},
		"JW-20 use enc": {func(k map[string]any) []any { return []any{with(k, "use", "enc"), acptest.NewKey("ES256").JWK()} }, 401},
		"JW-20 key_ops sign": {func(k map[string]any) []any {
			return []any{with(k, "key_ops", []string{"sign"}), acptest.NewKey("ES256").JWK()}
		}, 401},
		"JW-20 alg of another curve": {func(k map[string]any) []any { return []any{with(k, "alg", "ES384"), acptest.NewKey("ES256").JWK()} }, 401},
		"JW-20 no use":               {func(k map[string]any) []any { delete(k, "use"); return []any{k} }, 200},
		"JW-22 a private member":     {func(k map[string]any) []any { return []any{with(k, "d", "AAAA")} }, 200},
		"JW-22 oct":                  {func(map[string]any) []any { return []any{map[string]any{"kty": "oct", "k": "AAAA", "kid": "x"}} }, 503},
		"JW-24 100 keys":             {func(k map[string]any) []any { return append(junk[:99:99], k) }, 200},
		"JW-24 101 keys":             {func(k map[string]any) []any { return append(junk[:100:100], k) }, 503},
		"one id for two keys":        {func(k map[string]any) []any { return []any{with(acptest.NewKey("ES256").JWK(), "kid", k["kid"]), k} }, 200},
	} {
		t.Run(name, func(t *testing.T) {
			s := acptest.NewServer(t, nil)
			s.OnJWKS(func(set map[string]any) { set["keys"] = row.keys(s.Key().JWK()) })
			p := startWith(t, s)
			code := ""
			if row.status == 401 {
				code = "invalid_token"
			}
			p.audit(t, p.send(t, "GET", "/things", s.AccessToken(map[string]any{"scp": "things.read"})), row.status, code)
		})
	}
}
