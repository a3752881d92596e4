package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/middleware"
)

// BenchmarkDPoP shows what a request with a bound token costs, as a multiple of the same request with a
// bearer token that is known, plus one bare verification of a signature on P-256: RequireBearer all around.
// The three take turns, and the fastest turn of each counts. "ns/op" is the request with DPoP.
func BenchmarkDPoP(b *testing.B) {
	s := acptest.NewServer(b, &acptest.Options{Audience: apiAudience})
	verifier, err := acpclient.NewVerifier(acpclient.VerifierConfig{Issuer: s.Issuer, Audience: apiAudience, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer verifier.Close(b.Context())
	protector, err := middleware.RequireBearer(verifier, &middleware.BearerOptions{DPoP: &middleware.DPoPOptions{BaseURL: apiAudience}})
	if err != nil {
		b.Fatal(err)
	}
	served := 0
	h := protector(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }))
	key := acptest.NewKey("ES256")
	bearer := s.AccessToken(nil)
	bound := s.AccessToken(map[string]any{"cnf": map[string]any{"jkt": key.Thumbprint()}})
	request := func(authorization string) *http.Request {
		r := httptest.NewRequest("GET", apiAudience+"/things", nil)
		r.Header.Set("Authorization", authorization)
		return r
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	digest := sha256.Sum256([]byte(bound))
	signature, err := ecdsa.SignASN1(rand.Reader, private, digest[:])
	if err != nil {
		b.Fatal(err)
	}

	const turn = 64
	times := map[string]time.Duration{}
	took := func(name string, f func(i int)) {
		start := time.Now()
		for i := range turn {
			f(i)
		}
		if spent := time.Since(start); times[name] == 0 || spent < times[name] { // the others were disturbed
			times[name] = spent
		}
	}
	w := httptest.NewRecorder()
	plain, requests := request("Bearer "+bearer), make([]*http.Request, turn)
	b.ResetTimer()
	for b.Loop() {
		b.StopTimer()
		for i := range requests { // a proof serves once
			requests[i] = request("DPoP " + bound)
			requests[i].Header["Dpop"] = []string{key.Proof("GET", apiAudience+"/things", bound, nil)}
		}
		before := served
		took("bearer", func(int) { h.ServeHTTP(w, plain) })
		took("verification", func(int) {
			if !ecdsa.VerifyASN1(&private.PublicKey, digest[:], signature) {
				b.Fatal("a good signature is refused")
			}
		})
		b.StartTimer()
		took("dpop", func(i int) { h.ServeHTTP(w, requests[i]) })
		if served != before+2*turn {
			b.Fatalf("%d of %d requests were served", served-before, 2*turn)
		}
	}
	per := func(name string) float64 { return float64(times[name].Nanoseconds()) / turn }
	b.ReportMetric(per("dpop"), "ns/op")
	b.ReportMetric(per("bearer"), "bearer-ns/op")
	b.ReportMetric(per("verification"), "verification-ns/op")
	b.ReportMetric(per("dpop")/(per("bearer")+per("verification")), "ratio")
}
