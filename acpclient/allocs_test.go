//go:build !race

package acpclient_test

// With the race detector a sync.Pool forgets on purpose.

import (
	"testing"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// RL-28: what the two ways cost in allocations.
func TestVerifyAllocations(t *testing.T) {
	for _, alg := range []string{"ES256", "EdDSA", "RS256"} {
		l := newLab(t, acptest.Options{Alg: alg}, nil)
		token := l.server.AccessToken(map[string]any{"scp": []string{"things.read", "things.write"}})
		v, auto := l.newVerifier(nil), l.newInquirer(func(c *acpclient.VerifierConfig) { c.Mode = "auto" })
		none := l.newVerifier(func(c *acpclient.VerifierConfig) { c.CacheSize = new(0) })
		for name, row := range map[string]struct {
			v    *acpclient.Verifier
			most float64
		}{"RL-28 first sight": {none, 25}, "RL-28 repeated": {v, 0}, "RL-28 repeated, auto": {auto, 0}} {
			t.Run(name+" "+alg, func(t *testing.T) {
				ctx := t.Context()
				if n := allocations(func() {
					if _, err := row.v.Verify(ctx, token); err != nil {
						t.Fatal(err)
					}
				}); n > row.most {
					t.Errorf("%v allocations", n)
				}
			})
		}
	}
}

// RL-28: and an opaque token whose answer is remembered.
func TestIntrospectionAllocations(t *testing.T) {
	l, v := newDesk(t, nil)
	token, ctx := l.server.AccessToken(nil), t.Context()
	if n := allocations(func() {
		if _, err := v.Verify(ctx, token); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
