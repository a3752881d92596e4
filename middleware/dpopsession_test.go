package middleware_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/middleware"
)

// A session whose tokens are bound calls an API that demands nonces.
func TestDPoPSession(t *testing.T) {
	key := acptest.NewKey("ES256")
	a := newApp(t, func(s *setup) {
		s.server.Audience, s.server.DPoPNonces, s.server.Client.DPoPBound = audience, true, true
		s.client.DPoP = &acpclient.DPoP{Key: key.Signer()}
	})
	a.login()
	verifier, err := acpclient.NewVerifier(acpclient.VerifierConfig{Issuer: a.server.Issuer, Audience: audience, Logger: a.logs.logger()})
	if err != nil {
		t.Fatal(err)
	}
	defer verifier.Close(t.Context())
	var handler http.Handler
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) })
	handler = protect(t, verifier, &middleware.BearerOptions{DPoP: &middleware.DPoPOptions{BaseURL: u.URL, RequireNonce: true}, Logger: a.logs.logger()})(shows)
	a.inHandler(func(_ http.ResponseWriter, _ *http.Request, s *middleware.Session) {
		for range 2 {
			res, err := s.HTTPClient().Post(u.URL+"/things?x=y", "text/plain", strings.NewReader("body"))
			if err != nil || res.StatusCode != 200 {
				t.Fatalf("%v, %v\n%s", res, err, a.logs)
			}
			res.Body.Close()
		}
	})
	if n := len(u.seen); n != 3 { // DP-18: the first one without a nonce
		t.Errorf("DP-19: %d requests of two", n)
	}
	for _, r := range u.seen {
		if len(r.Header["Authorization"]) != 1 || !strings.HasPrefix(r.Header.Get("Authorization"), "DPoP ") || len(r.Header["Dpop"]) != 1 {
			t.Errorf("%v", r.Header)
		}
	}
}
