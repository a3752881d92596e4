package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/examples/localacp"
)

// embed starts an ACP-shaped server and an API in this process and sets c to use
// them. The returned function stops both.
func embed(c *config, app net.Addr, log *slog.Logger) (stop func(), err error) {
	base := "http://" + app.String()
	const id = "webapp"
	secret := rand.Text()
	acp, err := localacp.Start(localacp.Options{
		Clients: []localacp.Client{{
			ID: id, Name: "Example app", Secret: secret,
			RedirectURLs:           []string{base + "/callback"},
			PostLogoutRedirectURLs: []string{base + afterLogout},
		}},
		Logger: log,
	})
	if err != nil {
		return nil, err
	}
	api, err := startAPI(acp.Issuer, acp.Audience, log)
	if err != nil {
		return nil, errors.Join(err, acp.Close())
	}
	key := make([]byte, 32)
	rand.Read(key)
	c.issuer, c.clientID, c.auth = acp.Issuer, id, acpclient.Secret(secret)
	c.redirectURL, c.afterLogout = base+"/callback", base+afterLogout
	c.scopes = []string{"openid", "profile", "offline_access", "accounts.read"}
	c.cookieKeys = [][]byte{key}
	c.apiURL = api.url
	c.development = true
	return func() {
		if err := errors.Join(api.close(), acp.Close()); err != nil {
			log.Warn("the embedded servers did not end well", "error", err)
		}
	}, nil
}

// exampleAPI is a resource server in its smallest form.
type exampleAPI struct {
	url      string
	verifier *acpclient.Verifier
	server   *http.Server
}

func startAPI(issuer, audience string, log *slog.Logger) (*exampleAPI, error) {
	verifier, err := acpclient.NewVerifier(acpclient.VerifierConfig{Issuer: issuer, Audience: audience, Logger: log})
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("the API's listener: %w", err)
	}
	a := &exampleAPI{url: "http://" + listener.Addr().String() + "/accounts", verifier: verifier}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /accounts", a.accounts)
	a.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second}
	go func() {
		if err := a.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the API ended", "error", err)
		}
	}()
	return a, nil
}

func (a *exampleAPI) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return errors.Join(a.server.Close(), a.verifier.Close(ctx))
}

// accounts answers whoever brings a good token for this API.
func (a *exampleAPI) accounts(w http.ResponseWriter, r *http.Request) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		w.Header().Set("WWW-Authenticate", "Bearer")
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "no token"})
		return
	}
	user, err := a.verifier.Verify(r.Context(), token)
	switch {
	case errors.Is(err, acpclient.ErrUnavailable):
		w.Header().Set("Retry-After", "5")
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"error": "tokens cannot be judged now"})
	case err != nil:
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "invalid_token"})
	default:
		writeJSON(w, http.StatusOK, map[string]any{
			"sub": user.Subject, "scopes": user.Scopes,
			"accounts": []map[string]any{{"name": "Savings", "balance": json.Number("1234.56")}},
		})
	}
}
