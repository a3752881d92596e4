package acpclient_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// LG-02: whatever holds a secret shows nothing, however it is printed.
func TestRedaction(t *testing.T) {
	const canary = "canary-secret"
	number := fmt.Sprintf("%x", canary)
	tokens := acpclient.Tokens{
		Token:   &oauth2.Token{AccessToken: canary + "1", RefreshToken: canary + "2", TokenType: "Bearer"},
		IDToken: canary + "3",
	}
	flow := acpclient.Flow{State: canary + "1", Nonce: canary + "2", Verifier: canary + "3", ReturnTo: canary + "4"}
	config := acpclient.Config{Issuer: "https://as.example", ClientID: "app", Auth: acpclient.Secret(canary)}
	client, err := acpclient.New(config)
	if err != nil {
		t.Fatal(err)
	}
	private := acpclient.PrivateKeyJWT{Key: newSigner(t, "ES256"), KeyID: canary}
	shared := acpclient.SecretJWT{Secret: canary, Alg: canary}
	mutual := acpclient.MutualTLS{Certificate: tls.Certificate{Certificate: [][]byte{[]byte(canary)}, PrivateKey: canary}}
	object := acpclient.RequestObject{Key: newSigner(t, "ES256"), KeyID: canary}
	decryption := acpclient.Decryption{IDToken: true, Keys: []acpclient.DecryptionKey{{Key: newSigner(t, "ES256"), KeyID: canary}}}
	config.Decryption, config.Certificate = &decryption, &mutual
	values := map[string]any{
		"Decryption": decryption, "*Decryption": &decryption, "DecryptionKey": decryption.Keys[0], "[]DecryptionKey": decryption.Keys,
		"Tokens": tokens, "*Tokens": &tokens, "[]Tokens": []acpclient.Tokens{tokens}, "a struct with Tokens": struct{ T acpclient.Tokens }{tokens},
		"Flow": flow, "*Flow": &flow, "map of Flow": map[string]acpclient.Flow{"a": flow},
		"Secret": acpclient.Secret(canary), "SecretBasic": acpclient.SecretBasic(canary), "SecretPost": acpclient.SecretPost(canary),
		"PrivateKeyJWT": private, "*PrivateKeyJWT": &private, "SecretJWT": shared, "*SecretJWT": &shared, "MutualTLS": mutual, "*MutualTLS": &mutual, "RequestObject": object, "*RequestObject": &object, "Config": config, "*Config": &config, "Client": client,
		"TokenSource": client.TokenSource(t.Context(), &tokens, nil), "HTTPClient": client.HTTPClient(oauth2.StaticTokenSource(tokens.Token)),
	}
	for name, value := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T"} {
			if text := fmt.Sprintf(verb, value); strings.Contains(text, canary) || strings.Contains(strings.ToLower(text), number) {
				t.Errorf("%s in %s: %s", name, verb, text)
			}
		}
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "value", value)
		if _, slice := value.([]acpclient.Tokens); !slice && !strings.HasPrefix(name, "map") && !strings.HasPrefix(name, "a struct") {
			slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "value", value)
		}
		if strings.Contains(log.String(), canary) {
			t.Errorf("%s in the log: %s", name, log.String())
		}
	}
	// What is never stored is not shown by JSON either.
	for _, name := range []string{"Secret", "SecretBasic", "SecretPost", "PrivateKeyJWT", "*PrivateKeyJWT", "SecretJWT", "*SecretJWT", "MutualTLS", "*MutualTLS", "RequestObject", "*RequestObject", "Decryption", "*Decryption", "DecryptionKey", "Config", "Client"} {
		raw, err := json.Marshal(values[name])
		if err != nil || bytes.Contains(raw, []byte(canary)) || len(raw) < 3 {
			t.Errorf("%s as JSON: %s, %v", name, raw, err)
		}
	}
}

// Tokens and flows must survive a store, so their JSON holds everything.
func TestJSONKeepsEverything(t *testing.T) {
	expiry := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	tokens := acpclient.Tokens{
		Token:   &oauth2.Token{AccessToken: "a", RefreshToken: "r", TokenType: "Bearer", Expiry: expiry, ExpiresIn: 60},
		IDToken: "i", Scopes: []string{"x", "y"},
	}
	back := throughJSON(&tokens)
	if back.AccessToken != "a" || back.RefreshToken != "r" || back.TokenType != "Bearer" || !back.Expiry.Equal(expiry) || back.ExpiresIn != 60 ||
		back.IDToken != "i" || !slices.Equal(back.Scopes, tokens.Scopes) {
		t.Errorf("tokens became %q %q %q %s", back.AccessToken, back.RefreshToken, back.IDToken, back.Expiry)
	}
	flow := acpclient.Flow{
		Issuer: "https://as.example", ClientID: "app", State: "s", Nonce: "n", Verifier: "v", ReturnTo: "/x",
		Scopes: []string{"openid"}, MaxAge: new(int64(0)), Expiry: expiry,
	}
	f := throughJSON(&flow)
	if f.Issuer != flow.Issuer || f.ClientID != "app" || f.State != "s" || f.Nonce != "n" || f.Verifier != "v" || f.ReturnTo != "/x" ||
		!slices.Equal(f.Scopes, flow.Scopes) || f.MaxAge == nil || *f.MaxAge != 0 || !f.Expiry.Equal(expiry) {
		t.Error("the flow lost something")
	}
}

// LG-04: of what the server sends back of a request no start stays, where the text is cut within it.
func TestPushedErrorShowsNoStartOfASecret(t *testing.T) {
	r := newRig(t, &acptest.Options{RequirePAR: true}, nil)
	const hint, most = "al@example.com", 200
	for n := most - len(hint); n <= most; n++ {
		text := strings.Repeat("- ", most)[:n]
		r.OnResponse(acptest.PAREndpoint, func(res *acptest.Response) {
			res.Status = 400
			res.SetJSON(map[string]any{"error": "invalid_request", "error_description": text + hint})
		})
		_, _, err := r.client.Authorize(t.Context(), &acpclient.AuthorizeOptions{LoginHint: hint})
		if e, ok := errors.AsType[*acpclient.Error](err); !ok || strings.Contains(e.Description, hint[:4]) && !strings.Contains(e.Description, "[redacted]") {
			t.Errorf("after %d bytes: %v, %q", n, err, e.Description)
		}
	}
}
