package middleware_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/middleware"
)

// slowServer signs its answers. It takes its time for metadata and keys, and gives no tokens.
type slowServer struct {
	pause time.Duration
	key   *acptest.Key
}

func (s slowServer) RoundTrip(r *http.Request) (*http.Response, error) {
	body := map[string]any{
		"issuer": wireIssuer, "authorization_endpoint": wireIssuer + "/authorize", "token_endpoint": wireIssuer + "/token",
		"jwks_uri": wireIssuer + "/jwks", "response_modes_supported": []string{"query.jwt"},
	}
	switch r.URL.Path {
	case "/t/w/token":
		<-r.Context().Done()
		return nil, r.Context().Err()
	case "/t/w/jwks":
		body = map[string]any{"keys": []any{s.key.JWK()}}
	}
	time.Sleep(s.pause) // in a bubble
	b, err := json.Marshal(body)
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(string(b))), Request: r}, err
}

// RL-06: metadata, keys and code have their 10 s together, also where the state stands in a signed
// response, which a program that was just started has no keys for.
func TestSignedResponseDeadline(t *testing.T) {
	key := acptest.NewKey("ES256")
	synctest.Test(t, func(t *testing.T) {
		cookieKeys := randomKey()
		start := func(pause time.Duration) *middleware.Authenticator {
			log := slog.New(slog.DiscardHandler)
			client, err := acpclient.New(acpclient.Config{
				Issuer: wireIssuer, ClientID: "c", RedirectURL: site + "/callback", ResponseMode: "query.jwt",
				Transport: slowServer{pause, key}, Logger: log,
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { client.Close(t.Context()) })
			auth, err := middleware.New(client, middleware.Config{CookieKeys: [][]byte{append([]byte(nil), cookieKeys...)}, Logger: log})
			if err != nil {
				t.Fatal(err)
			}
			return auth
		}
		login := serve(http.HandlerFunc(start(0).Login), request("GET", site+"/login", ""))
		to, err := login.Result().Location()
		if err != nil {
			t.Fatal(login.Code, err)
		}
		response := key.Sign(nil, map[string]any{
			"iss": wireIssuer, "aud": "c", "exp": time.Now().Add(time.Minute).Unix(), "code": "x", "state": to.Query().Get("state"),
		})
		callback := request("GET", site+"/callback?response="+response, cookiePairs(login.Result().Cookies()))
		began := time.Now()
		w := serve(http.HandlerFunc(start(4*time.Second).Callback), callback)
		if took := time.Since(began); took != 10*time.Second || w.Code != 504 {
			t.Errorf("%d after %v", w.Code, took)
		}
	})
}
