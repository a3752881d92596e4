package main

import (
	"context"
	"net/url"
	"testing"
)

// each starts a server and runs f for every candidate, the one that checks nothing included.
func each(tb testing.TB, alg string, f func(server *server, c candidate)) {
	s, err := newServer(alg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.close)
	all, err := candidates(context.Background(), s) // each has done one login now
	if err != nil {
		tb.Fatal(err)
	}
	for _, c := range all {
		tb.Cleanup(c.close)
		f(s, c)
	}
}

func BenchmarkAuthorize(b *testing.B) {
	each(b, "ES256", func(_ *server, c candidate) {
		b.Run(c.name(), func(b *testing.B) {
			b.ReportAllocs()
			if err := c.authorize(context.Background(), b.N); err != nil {
				b.Fatal(err)
			}
		})
	})
}

func BenchmarkCallbackES256(b *testing.B) { benchmarkCallback(b, "ES256") }
func BenchmarkCallbackRS256(b *testing.B) { benchmarkCallback(b, "RS256") }

func benchmarkCallback(b *testing.B, alg string) {
	each(b, alg, func(_ *server, c candidate) {
		b.Run(c.name(), func(b *testing.B) {
			finish, err := c.prepare(context.Background(), b.N)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			if err := finish(context.Background()); err != nil {
				b.Fatal(err)
			}
		})
	})
}

// The candidates are comparable only when each of them logs in, and each of them refuses
// what the comparison says it checks.
func TestCandidatesDoTheWork(t *testing.T) {
	for _, alg := range []string{"ES256", "RS256"} {
		each(t, alg, func(_ *server, c candidate) {
			t.Run(alg+" "+c.name(), func(t *testing.T) {
				finish, err := c.prepare(t.Context(), 3)
				if err != nil {
					t.Fatal(err)
				}
				if err := finish(t.Context()); err != nil {
					t.Fatalf("a good login: %v", err)
				}
				if finish(t.Context()) == nil {
					t.Error("the server took codes twice")
				}
			})
		})
	}
}

func TestCandidatesRefuse(t *testing.T) {
	for _, row := range []struct {
		name  string
		edit  func(claims map[string]any)
		query func(query url.Values)
	}{
		{name: "another nonce", edit: func(c map[string]any) { c["nonce"] = "another login's nonce" }},
		{name: "no nonce", edit: func(c map[string]any) { delete(c, "nonce") }},
		{name: "another audience", edit: func(c map[string]any) { c["aud"], c["azp"] = "another", "another" }},
		{name: "another issuer", edit: func(c map[string]any) { c["iss"] = "https://another.example" }},
		{name: "expired", edit: func(c map[string]any) { c["exp"] = 1700000000 }},
		{name: "another state", query: func(q url.Values) { q.Set("state", "another login's state") }},
		{name: "unknown code", query: func(q url.Values) { q.Set("code", "unknown") }},
	} {
		each(t, "ES256", func(_ *server, c candidate) {
			if _, bare := c.(*contender[string]); bare {
				return
			}
			t.Run(c.name()+" "+row.name, func(t *testing.T) {
				if err := c.attack(t.Context(), row.edit, row.query); err == nil {
					t.Error("not refused")
				}
			})
		})
	}
}

func TestServerRefuses(t *testing.T) {
	s, err := newServer("ES256")
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for name, authURL := range map[string]string{
		"no state":     s.issuer + "/oauth2/authorize?response_type=code&client_id=bench",
		"not a URL":    "%",
		"plain method": s.issuer + "/oauth2/authorize?response_type=code&client_id=bench&code_challenge_method=plain",
	} {
		if _, err := s.signIn(authURL, nil); err == nil {
			t.Errorf("%s: signed in", name)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, row := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{7}, 7}, {[]float64{3, 1, 2}, 2}, {[]float64{4, 1, 2, 3}, 2.5},
	} {
		if got := median(row.values); got != row.want {
			t.Errorf("%v: %v, want %v", row.values, got, row.want)
		}
	}
}

// Another's speed must not change a ratio, and a slow round must not either.
func TestRatioIsWithinRounds(t *testing.T) {
	base := result{samples: []sample{{nanos: 10}, {nanos: 100}, {nanos: 10}}}
	r := result{samples: []sample{{nanos: 20}, {nanos: 200}, {nanos: 20}}}
	if got := r.ratio(base, func(s sample) float64 { return s.nanos }); got != 2 {
		t.Errorf("ratio %v, want 2", got)
	}
}
