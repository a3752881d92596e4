package acpclient_test

import (
	"errors"
	"testing"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// A bound token is given to nobody who does not ask for its key, however often it was seen.
func TestVerifyBound(t *testing.T) {
	for name, opaque := range map[string]bool{"a JWT": false, "an opaque token": true} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, acptest.Options{OpaqueTokens: opaque}, nil)
			v := l.newVerifier(func(c *acpclient.VerifierConfig) {
				c.Mode, c.ClientID, c.Auth = "auto", l.server.ClientID, acpclient.Secret(l.server.ClientSecret)
			})
			issuers, err := acpclient.NewIssuers(v)
			if err != nil {
				t.Fatal(err)
			}
			token := l.server.AccessToken(map[string]any{"cnf": map[string]any{"jkt": "thumb"}})
			calls := 0
			refusal := errors.New("no proof")
			for range 3 { // the second time it is remembered
				a, err := v.VerifyBound(t.Context(), token, func(a *acpclient.AccessToken) error {
					calls++
					if a.Confirmation == nil || a.Confirmation.JKT != "thumb" || a.Subject != "alice" {
						t.Errorf("asked for %+v", a)
					}
					return nil
				})
				if err != nil || a.Confirmation.JKT != "thumb" {
					t.Fatal(err)
				}
				if _, err := issuers.VerifyBound(t.Context(), token, func(*acpclient.AccessToken) error { calls++; return nil }); err != nil {
					t.Error(err)
				}
				if a, err := v.VerifyBound(t.Context(), token, func(*acpclient.AccessToken) error { return refusal }); a != nil || err != refusal {
					t.Errorf("DP-07: %v, %v", a, err)
				}
				for name, verify := range map[string]func() (*acpclient.AccessToken, error){
					"DP-01 Verify":          func() (*acpclient.AccessToken, error) { return v.Verify(t.Context(), token) },
					"DP-01 Issuers":         func() (*acpclient.AccessToken, error) { return issuers.Verify(t.Context(), token) },
					"DP-01 nobody to prove": func() (*acpclient.AccessToken, error) { return v.VerifyBound(t.Context(), token, nil) },
				} {
					if a, err := verify(); a != nil || !errors.Is(err, acpclient.ErrInvalidToken) || acpclient.Reason(err) != "bound" {
						t.Errorf("%s: %v, %v", name, a, err)
					}
				}
			}
			if calls != 6 {
				t.Errorf("%d of 6 proofs were asked for", calls)
			}
			never := func(*acpclient.AccessToken) error { t.Error("asked for a proof"); return nil }
			if _, err := v.VerifyBound(t.Context(), l.server.AccessToken(nil), never); err != nil {
				t.Errorf("a token that is not bound: %v", err)
			}
			expired := l.server.AccessToken(map[string]any{"cnf": map[string]any{"jkt": "thumb"}, "exp": l.clock.unix(-3600)})
			for name, token := range map[string]string{"an expired token": expired, "garbage": "a.b.c"} {
				if _, err := issuers.VerifyBound(t.Context(), token, never); !errors.Is(err, acpclient.ErrInvalidToken) {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}
