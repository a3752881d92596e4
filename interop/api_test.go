package interop_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
)

// startAPI runs the example API as its own process, which introspects as this client, and
// waits until it serves. It must end cleanly at the end of the test, and must not have
// logged a credential.
func startAPI(t *testing.T, issuer, audience, mode string, c client) (origin string, log *lockedBuffer) {
	t.Helper()
	binary, err := apiBinary()
	if err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort("127.0.0.1", freePort(t))
	cmd := exec.Command(binary)
	cmd.Env = append(environWithout("ACP_"), "ACP_ISSUER="+issuer, "ACP_AUDIENCE="+audience, "ACP_RESOURCE="+audience,
		"ACP_TOKEN_MODE="+mode, "ACP_LISTEN="+address)
	if mode != "jwt" {
		cmd.Env = append(cmd.Env, "ACP_CLIENT_ID="+c.ID, "ACP_CLIENT_SECRET="+c.Secret)
	}
	p := startProcess(t, cmd)
	t.Cleanup(func() {
		if err := p.terminate(endLimit); err != nil {
			t.Errorf("the API did not end cleanly after SIGTERM: %v", err)
		}
		if strings.Contains(p.stderr.String(), c.Secret) {
			t.Error("the API logged its client secret")
		}
	})
	eventually(t, "GET /healthz answering 200", func() (bool, string) {
		select {
		case <-p.exited:
			t.Fatalf("the API ended at its start: %v\n%s", p.err, p.stderr)
		default:
		}
		status, _, err := fetch(t.Context(), http.MethodGet, "http://"+address+"/healthz", nil)
		return err == nil && status == http.StatusOK, fmt.Sprint(status, err)
	})
	return "http://" + address, p.stderr
}

// TestAPI holds access tokens that oidc-provider makes for an API against examples/api: JWTs
// of RFC 9068, and opaque ones, which only introspection can read.
func TestAPI(t *testing.T) {
	t.Parallel()
	const jwtAPI, opaqueAPI = "https://jwt.api.example", "https://opaque.api.example"
	web := newClient(t, "client_secret_basic", "http://"+net.JoinHostPort("127.0.0.1", freePort(t)))
	service := newClient(t, "client_secret_basic", "https://service.example")
	service.ID = "service"
	issuer := startOIDCProviderFor(t, "0", time.Hour, map[string]string{jwtAPI: "jwt", opaqueAPI: "opaque"}, web, service)
	login, err := acpclient.New(acpclient.Config{
		Issuer: issuer, ClientID: web.ID, Auth: web.clientAuth(), RedirectURL: web.RedirectURL,
		Scopes: []string{"openid", "things.read"}, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := login.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	tokensFor := func(api string) *acpclient.Tokens {
		t.Helper()
		redirect, flow, err := login.Authorize(t.Context(), &acpclient.AuthorizeOptions{Resources: []string{api}})
		if err != nil {
			t.Fatal(err)
		}
		tokens, err := login.Exchange(t.Context(), flow, newAgent(t, web.RedirectURL).passServer(redirect, true))
		if err != nil {
			t.Fatal(err)
		}
		return tokens
	}
	jwt, opaque := tokensFor(jwtAPI), tokensFor(opaqueAPI)
	if n, m := strings.Count(jwt.AccessToken, "."), strings.Count(opaque.AccessToken, "."); n != 2 || m != 0 {
		t.Fatalf("the access tokens have %d and %d dots; want 2 and none", n, m)
	}

	for _, row := range []struct {
		audience, mode string
		jwt, opaque    int
	}{
		{jwtAPI, "jwt", 200, 401},
		{jwtAPI, "auto", 200, 401},             // the opaque one is for another API
		{opaqueAPI, "introspection", 503, 200}, // this server refuses to be asked about its JWTs
		{opaqueAPI, "auto", 401, 200},
	} {
		t.Run(row.mode+" for "+row.audience, func(t *testing.T) {
			origin, log := startAPI(t, issuer, row.audience, row.mode, service)
			call := func(method, path, token string) (int, string) {
				t.Helper()
				status, body, err := fetch(t.Context(), method, origin+path, http.Header{"Authorization": {"Bearer " + token}})
				if err != nil {
					t.Fatal(err)
				}
				return status, body
			}
			good := ""
			for token, want := range map[string]int{jwt.AccessToken: row.jwt, opaque.AccessToken: row.opaque} {
				status, body := call(http.MethodGet, "/things", token)
				if status != want {
					t.Errorf("%.12s...: status %d, want %d\n%s\n%s", token, status, want, body, log)
				}
				if want != http.StatusOK {
					continue
				}
				good = token
				var caller struct {
					Sub      string
					ClientID string `json:"client_id"`
					Scopes   []string
				}
				if err := json.Unmarshal([]byte(body), &caller); err != nil || caller.Sub != "alice" || caller.ClientID != "web" || !slices.Contains(caller.Scopes, "things.read") {
					t.Errorf("the API answered %s (%v)", body, err)
				}
			}
			for name, refused := range map[string]struct {
				method, path, token string
				status              int
			}{
				"BR-17 the ID token":    {http.MethodGet, "/things", jwt.IDToken, map[string]int{"jwt": 401, "auto": 401, "introspection": 503}[row.mode]},
				"BR-18 another scope":   {http.MethodPost, "/things", good, 403},
				"BR-21 no strong login": {http.MethodGet, "/transfer", good, 401},
				"a forged one":          {http.MethodGet, "/things", good[:len(good)-10] + "AAAAAAAAAA", 401},
			} {
				if status, body := call(refused.method, refused.path, refused.token); status != refused.status {
					t.Errorf("%s: status %d, want %d\n%s\n%s", name, status, refused.status, body, log)
				}
			}
			if strings.Contains(log.String(), good) {
				t.Error("the API logged a token")
			}
		})
	}

	t.Run("BR-29 revoked", func(t *testing.T) {
		origin, _ := startAPI(t, issuer, opaqueAPI, "auto", service)
		header := http.Header{"Authorization": {"Bearer " + opaque.AccessToken}}
		if status, body, err := fetch(t.Context(), http.MethodGet, origin+"/things", header); err != nil || status != http.StatusOK {
			t.Fatalf("before: status %d (%v)\n%s", status, err, body)
		}
		if err := login.Revoke(t.Context(), opaque); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the API noticing the revocation", func() (bool, string) {
			status, body, err := fetch(t.Context(), http.MethodGet, origin+"/things", header)
			return err == nil && status == http.StatusUnauthorized, fmt.Sprint(status, body, err)
		})
	})
}
