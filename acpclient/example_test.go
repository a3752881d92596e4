package acpclient_test

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"

	"github.com/acp-go/acp/acpclient"
)

// The error of New names every mistake at once, and New needs no network.
func ExampleNew() {
	_, err := acpclient.New(acpclient.Config{
		Issuer:      "http://acme.example/tenant/workspace",
		RedirectURL: "https://app.example/callback#top",
		Auth:        acpclient.Secret(""),
	})
	fmt.Println(err)
	// Output:
	// acpclient: invalid configuration:
	// Issuer: is not https (http is for loopback only)
	// ClientID: is empty
	// Auth: the client secret is empty (nil is a public client)
	// RedirectURL: has a fragment
}

// Send the browser to the URL, and keep the Flow with this browser alone.
func ExampleClient_Authorize() {
	server := metadataServer()
	defer server.Close()
	client, err := acpclient.New(acpclient.Config{
		Issuer: server.URL, ClientID: "my-app", RedirectURL: "https://app.example/callback", Scopes: []string{"openid"},
	})
	if err != nil {
		panic(err)
	}
	defer client.Close(context.Background())

	address, flow, err := client.Authorize(context.Background(), &acpclient.AuthorizeOptions{ReturnTo: "/profile"})
	if err != nil {
		panic(err)
	}
	u, _ := url.Parse(address)
	for _, name := range slices.Sorted(maps.Keys(u.Query())) {
		fmt.Println(name)
	}
	fmt.Println("flow:", flow)
	// Output:
	// client_id
	// code_challenge
	// code_challenge_method
	// nonce
	// redirect_uri
	// response_type
	// scope
	// state
	// flow: [redacted]
}

// The callback is judged before anything is sent: this one carries no state.
func ExampleClient_Exchange() {
	server := metadataServer()
	defer server.Close()
	client, err := acpclient.New(acpclient.Config{Issuer: server.URL, ClientID: "my-app"})
	if err != nil {
		panic(err)
	}
	defer client.Close(context.Background())

	_, flow, err := client.Authorize(context.Background(), nil)
	if err != nil {
		panic(err)
	}
	_, err = client.Exchange(context.Background(), flow, url.Values{"code": {"stolen"}})
	switch {
	case errors.Is(err, acpclient.ErrInvalidCallback):
		fmt.Println("400", acpclient.Reason(err))
	case errors.Is(err, acpclient.ErrAccessDenied):
		fmt.Println("403")
	case errors.Is(err, acpclient.ErrUnavailable):
		fmt.Println("503, again in", acpclient.RetryAfter(err))
	case err != nil:
		fmt.Println("502")
	}
	// Output: 400 state_missing
}

// A client that proves itself with a key, which may live in an HSM.
func ExamplePrivateKeyJWT() {
	var key crypto.Signer // from a file, a TPM, a cloud's key service ...
	_, err := acpclient.New(acpclient.Config{
		Issuer:   "https://acme.example/tenant/workspace",
		ClientID: "my-app",
		Auth:     acpclient.PrivateKeyJWT{Key: key, KeyID: "2030-01"},
	})
	fmt.Println(err)
	// Output:
	// acpclient: invalid configuration:
	// Auth: PrivateKeyJWT.Key: is nil
}

// A client of a workspace for payments: the browser carries a reference alone, and the
// server knows that it is this client's request.
func ExampleRequestObject() {
	var key crypto.Signer // as the client's registration has it
	_, err := acpclient.New(acpclient.Config{
		Issuer:   "https://acme.example/tenant/workspace",
		ClientID: "my-app",
		Auth:     acpclient.PrivateKeyJWT{Key: key, KeyID: "2030-01", Alg: "PS256"},

		RequirePushedAuthorizationRequests: true,
		RequestObject:                      &acpclient.RequestObject{Key: key, KeyID: "2030-01", Alg: "PS256"},
	})
	fmt.Println(err)
	// Output:
	// acpclient: invalid configuration:
	// Auth: PrivateKeyJWT.Key: is nil
	// RequestObject.Key: is nil
}

// A client that proves itself with a certificate, which is read again for each connection.
func ExampleMutualTLS() {
	client, err := acpclient.New(acpclient.Config{
		Issuer:   "https://acme.example/tenant/workspace",
		ClientID: "my-app",
		Auth: acpclient.MutualTLS{
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				certificate, err := tls.LoadX509KeyPair("client.pem", "client-key.pem")
				return &certificate, err
			},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(client.Close(context.Background()))
	// Output: <nil>
}

// Call an API as the user: the token is refreshed when it is due, and the new tokens are
// stored before they are used.
func ExampleClient_TokenSource() {
	call := func(ctx context.Context, client *acpclient.Client, tokens *acpclient.Tokens, store func(context.Context, *acpclient.Tokens) error) error {
		api := client.HTTPClient(client.TokenSource(ctx, tokens, store))
		res, err := api.Get("https://api.example/things")
		if err != nil {
			return err
		}
		return res.Body.Close()
	}
	_ = call
}

func metadataServer() *httptest.Server {
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"issuer":%q,"authorization_endpoint":"%[1]s/authorize","token_endpoint":"%[1]s/token","jwks_uri":"%[1]s/jwks"}`, server.URL)
	}))
	return server
}
