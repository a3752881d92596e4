package interop_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
)

// TestClient runs acpclient itself, without a browser, against oidc-provider, once for
// each way to authenticate.
func TestClient(t *testing.T) {
	for _, auth := range clientKinds {
		for _, mode := range []string{"query", "form_post"} {
			t.Run(auth+"/"+mode, func(t *testing.T) {
				t.Parallel() // most of it waits for access tokens to expire
				testClient(t, auth, mode)
			})
		}
	}
}

func testClient(t *testing.T, auth, mode string) {
	registered := newClient(t, auth, "http://"+net.JoinHostPort("127.0.0.1", freePort(t)))
	api := startResource(t, accessTokenLifetime)
	api.issuer = startOIDCProvider(t, "0", accessTokenLifetime, registered)
	client, err := acpclient.New(acpclient.Config{
		Issuer:       api.issuer,
		ClientID:     registered.ID,
		Auth:         registered.clientAuth(),
		RedirectURL:  registered.RedirectURL,
		Scopes:       []string{"openid", "profile", "email", "offline_access"},
		ResponseMode: mode,
		Logger:       slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	if err := client.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	login := func(consent bool) (*acpclient.Flow, url.Values) {
		t.Helper()
		redirect, flow, err := client.Authorize(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return flow, newAgent(t, registered.RedirectURL).passServer(redirect, consent)
	}

	flow, callback := login(false)
	if _, err := client.Exchange(t.Context(), flow, callback); !errors.Is(err, acpclient.ErrAccessDenied) {
		t.Errorf("Exchange of a refusal: %v; want ErrAccessDenied", err)
	}

	flow, callback = login(true)
	if callback.Get("iss") != api.issuer {
		t.Errorf("the callback's iss is %q; the server is expected to send %q", callback.Get("iss"), api.issuer)
	}
	tokens, err := client.Exchange(t.Context(), flow, callback)
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Sub string `json:"sub"`
	}
	if err := tokens.Claims(&claims); err != nil || claims.Sub != "alice" {
		t.Errorf("the ID token's sub: %q (%v); want alice", claims.Sub, err)
	}
	if _, err := client.Exchange(t.Context(), flow, callback); errorCode(err) != "invalid_grant" {
		t.Errorf("the second Exchange of one code: %v; want invalid_grant", err)
	}

	flow, callback = login(true)
	tokens, err = client.Exchange(t.Context(), flow, callback)
	if err != nil {
		t.Fatal(err)
	}
	var info struct {
		Sub   string `json:"sub"`
		Email string `json:"email"`
	}
	if err := client.UserInfo(t.Context(), tokens, &info); err != nil || info.Sub != "alice" || info.Email != "alice@example.com" {
		t.Errorf("UserInfo: %+v (%v); want alice", info, err)
	}

	refreshed, err := client.Refresh(t.Context(), tokens)
	if err != nil {
		t.Fatal(err)
	}
	if refreshed.RefreshToken == tokens.RefreshToken || refreshed.AccessToken == tokens.AccessToken {
		t.Error("Refresh kept a token that the server rotated")
	}
	if err := refreshed.Claims(&claims); err != nil || claims.Sub != "alice" {
		t.Errorf("the ID token's sub after Refresh: %q (%v); want alice", claims.Sub, err)
	}

	logout, err := client.LogoutURL(t.Context(), refreshed, &acpclient.LogoutOptions{
		PostLogoutRedirectURL: registered.PostLogout, State: "bye",
	})
	if err != nil {
		t.Fatal(err)
	}
	if status, body, err := fetch(t.Context(), http.MethodGet, logout, nil); err != nil || status != http.StatusOK {
		t.Errorf("GET of LogoutURL: %d (%v); want 200\n%s", status, err, body)
	}

	t.Run("HTTPClient", func(t *testing.T) { refreshed = useAPI(t, client, refreshed, api) })

	if err := client.Revoke(t.Context(), refreshed); err != nil {
		t.Fatalf("Revoke: %v", err)
	}
	if _, err := client.Refresh(t.Context(), refreshed); errorCode(err) != "invalid_grant" {
		t.Errorf("Refresh after Revoke: %v; want invalid_grant", err)
	}

	flow, callback = login(true)
	tokens, err = client.Exchange(t.Context(), flow, callback)
	if err != nil {
		t.Fatal(err)
	}
	if refreshed, err = client.Refresh(t.Context(), tokens); err != nil {
		t.Fatal(err)
	}
	// Strict rotation: using the old token again is refused, and ends the new one too.
	for _, used := range []*acpclient.Tokens{tokens, refreshed} {
		if _, err := client.Refresh(t.Context(), used); errorCode(err) != "invalid_grant" {
			t.Errorf("Refresh after the re-use of a token: %v; want invalid_grant", err)
		}
	}
}

// useAPI calls the API through a token source until two access tokens have served.
func useAPI(t *testing.T, client *acpclient.Client, tokens *acpclient.Tokens, api *resource) *acpclient.Tokens {
	t.Helper()
	var saved []*acpclient.Tokens
	source := client.TokenSource(t.Context(), tokens, func(_ context.Context, fresh *acpclient.Tokens) error {
		saved = append(saved, fresh)
		return nil
	})
	caller := client.HTTPClient(source)
	eventually(t, "the API seeing two access tokens", func() (bool, string) {
		res, err := caller.Get(api.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK || !strings.Contains(string(body), "alice") {
			t.Fatalf("the API answered %d %s (%v); want 200 and alice", res.StatusCode, body, err)
		}
		return len(api.used()) >= 2, string(body)
	})
	if len(saved) < 1 {
		t.Fatalf("%d tokens were saved, want 1 or more", len(saved))
	}
	return saved[len(saved)-1]
}

// errorCode is the server's error code, "" when err is something else.
func errorCode(err error) string {
	if e, ok := errors.AsType[*acpclient.Error](err); ok {
		return e.Code
	}
	return ""
}

func TestClientServerDownThenUp(t *testing.T) {
	registered := newClient(t, "client_secret_basic", "http://"+net.JoinHostPort("127.0.0.1", freePort(t)))
	port := freePort(t)
	client, err := acpclient.New(acpclient.Config{
		Issuer:      "http://localhost:" + port + "/bank/customers",
		ClientID:    registered.ID,
		Auth:        registered.clientAuth(),
		RedirectURL: registered.RedirectURL,
		Scopes:      []string{"openid"},
		Logger:      slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Ready(t.Context()); !errors.Is(err, acpclient.ErrUnavailable) {
		t.Errorf("Ready while the server is down: %v; want ErrUnavailable", err)
	}
	startOIDCProvider(t, port, time.Hour, registered)
	eventually(t, "the client finding the server", func() (bool, string) {
		if err := client.Ready(t.Context()); err != nil {
			return false, err.Error()
		}
		return true, ""
	})
}
