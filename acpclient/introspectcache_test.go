package acpclient_test

import (
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// step is a moment in the life of a remembered token.
type step struct {
	wait  time.Duration // before it
	want  string        // the verdict
	asked int           // introspections so far
}

// BR-29: how long an answer is believed.
func TestIntrospectionTTL(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	for _, row := range []struct {
		name    string
		ttl     *time.Duration
		size    *int
		exp     time.Duration // 0 leaves the server's hour, -1 takes it away
		revoked bool          // after the first step
		steps   []step
	}{
		{"nil is 10 s", nil, nil, 0, false, []step{{0, "", 1}, {10*s - ms, "", 1}, {ms, "", 2}}},
		{"5 s", new(5 * s), nil, 0, false, []step{{0, "", 1}, {5*s - ms, "", 1}, {ms, "", 2}, {4 * s, "", 2}}},
		{"0 asks each time", new(0 * s), nil, 0, false, []step{{0, "", 1}, {0, "", 2}, {0, "", 3}}},
		{"CacheSize 0 asks each time", nil, new(0), 0, false, []step{{0, "", 1}, {0, "", 2}}},
		{"CacheSize 1 remembers", nil, new(1), 0, false, []step{{0, "", 1}, {0, "", 1}}},
		{"without exp", new(5 * s), nil, -1, false, []step{{0, "", 1}, {4 * s, "", 1}, {s, "", 2}}},

		{"revoked, nil", nil, nil, 0, true, []step{{0, "", 1}, {10*s - ms, "", 1}, {ms, "inactive", 2}}},
		{"revoked, 5 s", new(5 * s), nil, 0, true, []step{{0, "", 1}, {5*s - ms, "", 1}, {ms, "inactive", 2}}},
		{"revoked, 0", new(0 * s), nil, 0, true, []step{{0, "", 1}, {0, "inactive", 2}}},

		{"never beyond exp", new(5 * time.Minute), nil, time.Minute, false, []step{{0, "", 1}, {time.Minute - ms, "", 1}, {ms, "inactive", 2}}},
		{"never beyond exp, short", nil, nil, 3 * s, false, []step{{0, "", 1}, {3*s - ms, "", 1}, {ms, "inactive", 2}}},
	} {
		t.Run("BR-29 "+row.name, func(t *testing.T) {
			l, v := newDesk(t, func(c *acpclient.VerifierConfig) { c.IntrospectionTTL, c.CacheSize = row.ttl, row.size })
			claims := map[string]any{}
			switch {
			case row.exp > 0:
				claims["exp"] = l.clock.now().Add(row.exp).Unix()
			case row.exp < 0:
				claims["exp"] = nil
			}
			token := l.server.AccessToken(claims)
			for n, step := range row.steps {
				l.clock.advance(step.wait)
				a, err := v.Verify(t.Context(), token)
				l.wantVerdict(t, token, a, err, step.want)
				if got := l.count(acptest.IntrospectEndpoint); got != step.asked {
					t.Fatalf("step %d: %d introspections, want %d", n+1, got, step.asked)
				}
				if n == 0 && row.revoked {
					l.server.RevokeTokens()
				}
			}
			if row.ttl != nil && *row.ttl == 0 || row.size != nil && *row.size == 0 {
				if good, _, refused, _ := acpclient.Remembered(v); good+refused != 0 {
					t.Errorf("%d good, %d refused are remembered", good, refused)
				}
			}
		})
	}
}

// BR-29: a token within the leeway after its exp passes, but is never remembered.
func TestIntrospectionWithinLeeway(t *testing.T) {
	l, v := newDesk(t, nil)
	token := l.server.AccessToken(nil)
	l.server.OnIntrospection(func(m map[string]any) { m["exp"] = l.clock.unix(-1) })
	for n := 1; n <= 3; n++ {
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		if got := l.count(acptest.IntrospectEndpoint); got != n {
			t.Errorf("%d introspections, want %d", got, n)
		}
	}
}

// BR-29: the time of an answer counts from the question. What is revoked while the server's
// answer is on its way passes no longer than that.
func TestIntrospectionTTLBeginsWithTheQuestion(t *testing.T) {
	for name, row := range map[string]struct {
		active bool
		takes  time.Duration
		left   time.Duration // of the answer's time when it is there
	}{
		"BR-29 good":                     {true, 4 * time.Second, 6 * time.Second},
		"BR-29 good, beyond its time":    {true, 11 * time.Second, 0},
		"BR-33 inactive":                 {false, time.Second, 2 * time.Second},
		"BR-33 inactive, late already":   {false, 3 * time.Second, 0},
		"BR-33 inactive, almost so late": {false, 3*time.Second - 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			l, v := newDesk(t, nil)
			token, want := l.server.AccessToken(nil), ""
			l.server.OnIntrospection(func(m map[string]any) {
				m["active"] = row.active
				l.clock.advance(row.takes)
			})
			if !row.active {
				want = "inactive"
			}
			ask := func(asked int) {
				t.Helper()
				a, err := v.Verify(t.Context(), token)
				l.wantVerdict(t, token, a, err, want)
				if got := l.count(acptest.IntrospectEndpoint); got != asked {
					t.Errorf("%d introspections, want %d", got, asked)
				}
			}
			ask(1)
			good, _, refused, _ := acpclient.Remembered(v)
			if (good+refused > 0) != (row.left > 0) {
				t.Errorf("%d good, %d refused are remembered", good, refused)
			}
			if row.left > 0 {
				l.clock.advance(row.left - 1)
				ask(1)
				l.clock.advance(1)
			}
			ask(2)
		})
	}
}

// BR-33: a refusal is believed for 3 s, whatever it is, and never longer than a good answer.
func TestRefusalTTL(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	for _, row := range []struct {
		name    string
		ttl     *time.Duration
		size    *int
		members map[string]any
		want    string
		steps   []step
	}{
		{"inactive", nil, nil, map[string]any{"active": false}, "inactive", []step{{0, "", 1}, {3*s - ms, "", 1}, {ms, "", 2}, {3*s - ms, "", 2}, {ms, "", 3}}},
		{"another API's", nil, nil, map[string]any{"aud": "other"}, "audience", []step{{0, "", 1}, {3*s - ms, "", 1}, {ms, "", 2}}},
		{"a refresh token", nil, nil, map[string]any{"token_type": "refresh_token"}, "token_use", []step{{0, "", 1}, {0, "", 1}}},
		{"bound", nil, nil, map[string]any{"cnf": map[string]any{}}, "bound", []step{{0, "", 1}, {0, "", 1}}},
		{"ttl 1 s", new(s), nil, map[string]any{"active": false}, "inactive", []step{{0, "", 1}, {s - ms, "", 1}, {ms, "", 2}}},
		{"ttl 0", new(0 * s), nil, map[string]any{"active": false}, "inactive", []step{{0, "", 1}, {0, "", 2}}},
		{"CacheSize 0", nil, new(0), map[string]any{"active": false}, "inactive", []step{{0, "", 1}, {0, "", 2}}},
		{"ttl 5 min", new(5 * time.Minute), nil, map[string]any{"active": false}, "inactive", []step{{0, "", 1}, {3 * s, "", 2}}},
	} {
		t.Run("BR-33 "+row.name, func(t *testing.T) {
			l, v := newDesk(t, func(c *acpclient.VerifierConfig) { c.IntrospectionTTL, c.CacheSize = row.ttl, row.size })
			l.server.OnIntrospection(func(m map[string]any) {
				for name, value := range row.members {
					m[name] = value
				}
			})
			token := l.server.AccessToken(nil)
			for n, step := range row.steps {
				l.clock.advance(step.wait)
				_, err := v.Verify(t.Context(), token)
				wantInvalidToken(t, token, err, row.want)
				if got := l.count(acptest.IntrospectEndpoint); got != step.asked {
					t.Fatalf("step %d: %d introspections, want %d", n+1, got, step.asked)
				}
			}
			// What has become good is taken within the time of a refusal.
			l.server.OnIntrospection(nil)
			l.clock.advance(3 * s)
			if _, err := v.Verify(t.Context(), token); err != nil {
				t.Error(err)
			}
		})
	}
}

// BR-33: refusals are bounded in number, and the oldest goes.
func TestRefusalsAreBounded(t *testing.T) {
	l, v := newDesk(t, func(c *acpclient.VerifierConfig) { c.CacheSize = new(2) })
	ask := func(token string, asked int) {
		t.Helper()
		_, err := v.Verify(t.Context(), token)
		wantInvalidToken(t, token, err, "inactive")
		if got := l.count(acptest.IntrospectEndpoint); got != asked {
			t.Errorf("%s: %d introspections, want %d", token, got, asked)
		}
	}
	ask("a", 1)
	ask("b", 2)
	ask("c", 3) // forgets a
	ask("b", 3)
	ask("c", 3)
	ask("a", 4) // forgets b
	ask("c", 4)
	ask("b", 5)
	l.clock.advance(3 * time.Second)
	ask("d", 6) // all are over: there is room again
	ask("e", 7)
	ask("d", 7)
	ask("e", 7)
}

// BR-29: an answer is judged by the clock each time, and a clock that steps back shows its nbf.
func TestIntrospectedTokenAndTheClock(t *testing.T) {
	l, v := newDesk(t, func(c *acpclient.VerifierConfig) { c.IntrospectionTTL = new(5 * time.Minute) })
	token := l.server.AccessToken(nil)
	if _, err := v.Verify(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	l.clock.advance(-31 * time.Second)
	_, err := v.Verify(t.Context(), token)
	wantInvalidToken(t, token, err, "not_yet_valid")
}

// BR-30: two Verifiers share nothing, even at one server.
func TestIntrospectionsAreApart(t *testing.T) {
	l, v := newDesk(t, nil)
	other := l.newInquirer(func(c *acpclient.VerifierConfig) { c.Audience = "https://other.example" })
	token := l.server.AccessToken(nil)
	if _, err := v.Verify(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	_, err := other.Verify(t.Context(), token)
	wantInvalidToken(t, token, err, "audience")
	if _, err := v.Verify(t.Context(), token); err != nil {
		t.Error(err)
	}
}
