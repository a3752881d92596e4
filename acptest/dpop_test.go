package acptest_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/acptest"
)

// Each row is a proof that the server refuses, and a mistake of the client's.
func TestProofsAreJudged(t *testing.T) {
	key := acptest.NewKey("ES256")
	for _, row := range []struct {
		name    string
		proof   func(address string) []string
		status  int
		breach  bool
		problem string
	}{
		{"good", func(u string) []string { return []string{key.Proof("POST", u, "", nil)} }, 200, false, ""},
		{"DP-03 two", func(u string) []string { return []string{key.Proof("POST", u, "", nil), key.Proof("POST", u, "", nil)} }, 400, true, "invalid_dpop_proof"},
		{"DP-04 typ", func(u string) []string {
			return []string{key.Sign(map[string]any{"jwk": key.ProofHeader()["jwk"]}, nil)}
		}, 400, true, "invalid_dpop_proof"},
		{"DP-06 no jwk", func(u string) []string { return []string{key.Sign(map[string]any{"typ": "dpop+jwt"}, nil)} }, 400, true, "invalid_dpop_proof"},
		{"DP-07 another key", func(u string) []string {
			return []string{acptest.NewKey("ES256").Sign(key.ProofHeader(), nil)}
		}, 400, true, "invalid_dpop_proof"},
		{"DP-08 htm", func(u string) []string { return []string{key.Proof("GET", u, "", nil)} }, 400, true, "invalid_dpop_proof"},
		{"DP-09 htu", func(u string) []string { return []string{key.Proof("POST", u+"/", "", nil)} }, 400, true, "invalid_dpop_proof"},
		{"DP-11 ath", func(u string) []string { return []string{key.Proof("POST", u, "token", nil)} }, 400, true, "invalid_dpop_proof"},
		{"DP-13 iat", func(u string) []string {
			return []string{key.Proof("POST", u, "", map[string]any{"iat": time.Now().Unix() - 300})}
		}, 400, true, "invalid_dpop_proof"},
		{"DP-16 jti", func(u string) []string { return []string{key.Proof("POST", u, "", map[string]any{"jti": "1"})} }, 400, true, "invalid_dpop_proof"},
		{"none, of a client that must", func(string) []string { return nil }, 400, false, "invalid_dpop_proof"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := acptest.NewServer(t, &acptest.Options{Tolerate: []acptest.Rule{acptest.RuleProof}, Client: acptest.Client{DPoPBound: true}})
			send := func() (int, map[string]any) {
				r, err := http.NewRequest("POST", s.URL(acptest.TokenEndpoint), strings.NewReader(url.Values{"grant_type": {"client_credentials"}}.Encode()))
				if err != nil {
					t.Fatal(err)
				}
				r.SetBasicAuth(s.ClientID, s.ClientSecret)
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				if proofs := row.proof(s.URL(acptest.TokenEndpoint)); proofs != nil {
					r.Header["Dpop"] = proofs
				}
				res, err := s.HTTPClient().Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				var body map[string]any
				if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
					t.Fatal(err)
				}
				return res.StatusCode, body
			}
			status, body := send()
			if problem, _ := body["error"].(string); status != row.status || problem != row.problem || (len(s.Breaches()) > 0) != row.breach {
				t.Errorf("%d %v, %v", status, body, s.Breaches())
			}
			if status == 200 && body["token_type"] != "DPoP" {
				t.Errorf("%v", body)
			}
		})
	}
}
