package interop_test

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/middleware"
)

const boundAPI, opaqueBoundAPI = "https://api.example", "https://opaque.example"

// boundResource is an API of ours over TLS, which asks for certificates and takes bound tokens alone. What arrives can be
// stolen before it is judged.
type boundResource struct {
	*httptest.Server
	steal  atomic.Bool
	stolen atomic.Pointer[http.Request]
	asked  atomic.Int64
}

// startBound starts the API for tokens of the server; edit may be nil.
func (f *financial) startBound(t *testing.T, v acpclient.VerifierConfig, edit func(*middleware.BearerOptions)) *boundResource {
	t.Helper()
	logger := slog.New(slog.NewTextHandler(t.Output(), nil))
	v.Issuer, v.RootCAs, v.Logger = f.issuer, f.trusted, logger
	verifier, err := acpclient.NewVerifier(v)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { verifier.Close(t.Context()) })
	api := &boundResource{Server: httptest.NewUnstartedServer(nil)}
	api.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	api.StartTLS()
	t.Cleanup(api.Close)
	f.trusted.AddCert(api.Certificate())
	options := &middleware.BearerOptions{
		Scopes: []string{"things.read"}, RequireBound: true, ClientCertificate: &middleware.ClientCertificate{},
		DPoP: &middleware.DPoPOptions{BaseURL: api.URL}, Logger: logger,
	}
	if edit != nil {
		edit(options)
	}
	protect, err := middleware.RequireBearer(verifier, options)
	if err != nil {
		t.Fatal(err)
	}
	protected := protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write([]byte(middleware.AccessTokenFromContext(r.Context()).Subject + string(body)))
	}))
	api.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		api.asked.Add(1)
		if api.steal.Load() {
			api.stolen.Store(r.Clone(t.Context()))
			return
		}
		protected.ServeHTTP(w, r)
	})
	return api
}

// request is what a client would send with these headers.
func (api *boundResource) request(t *testing.T, method, path string, header http.Header) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, api.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	return r
}

// theft lets a client send a request that does not arrive, and returns its headers.
func (api *boundResource) theft(t *testing.T, client *http.Client, path string) http.Header {
	t.Helper()
	api.steal.Store(true)
	defer api.steal.Store(false)
	want(t, client, api.request(t, http.MethodGet, path, http.Header{}), 200, "")
	stolen := api.stolen.Load().Header
	return http.Header{"Authorization": stolen["Authorization"], "Dpop": stolen["Dpop"]}
}

// want sends the request, and demands this status and challenge; with 200 the challenge is the body.
func want(t *testing.T, client *http.Client, r *http.Request, status int, challenge string) http.Header {
	t.Helper()
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	said := strings.Join(res.Header.Values("WWW-Authenticate"), ", ")
	if status == 200 {
		said = string(body)
	}
	if res.StatusCode != status || !strings.Contains(said, challenge) {
		t.Errorf("status %d, %s; want %d, %s\n%s", res.StatusCode, said, status, challenge, body)
	}
	return res.Header
}

// certified is a client of an API with a certificate; without one where there is none.
func (f *financial) certified(t *testing.T, certificates ...tls.Certificate) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: f.trusted, Certificates: certificates}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// Our API takes the bound JWTs of a certified server, with the proofs of our client, and nothing less.
func TestSecureDPoPResource(t *testing.T) {
	t.Parallel()
	f := startFinancial(t, map[string]any{"resources": map[string]string{boundAPI: "jwt"}}, bindsToKey)
	judge := acpclient.VerifierConfig{Audience: boundAPI, RFC9068: true}
	api := f.startBound(t, judge, nil)
	strict := f.startBound(t, judge, func(o *middleware.BearerOptions) { o.DPoP.RequireNonce = true })
	config := f.config(t, "private_key_jwt", newEC(t))
	client := f.open(t, config)
	tokens := f.login(t, client, boundAPI)
	fresh, err := client.Refresh(t.Context(), tokens)
	if err != nil {
		t.Fatal(err)
	}
	use := func(c *acpclient.Client, tokens *acpclient.Tokens) *http.Client {
		return c.HTTPClient(c.TokenSource(t.Context(), tokens, nil))
	}
	own, thief, plain := use(client, tokens), use(f.open(t, f.config(t, "private_key_jwt", newEC(t))), tokens), f.certified(t)

	t.Run("own", func(t *testing.T) {
		want(t, own, api.request(t, http.MethodGet, "/things?a=b", http.Header{}), 200, "alice")
		want(t, own, api.request(t, http.MethodDelete, "/things/%7Ea%2Fb/../c", http.Header{}), 200, "alice")
		want(t, use(client, fresh), api.request(t, http.MethodGet, "/things", http.Header{}), 200, "alice")
	})
	t.Run("DP-12 another key", func(t *testing.T) {
		want(t, thief, api.request(t, http.MethodGet, "/things", http.Header{}), 401, `DPoP error="invalid_token"`)
	})
	t.Run("DP-01 as Bearer", func(t *testing.T) {
		header := http.Header{"Authorization": {"Bearer " + tokens.AccessToken}}
		want(t, plain, api.request(t, http.MethodGet, "/things", header), 401, `DPoP error="invalid_token"`)
		stolen := api.theft(t, own, "/things")
		header["Dpop"] = stolen["Dpop"]
		want(t, plain, api.request(t, http.MethodGet, "/things", header), 401, `DPoP error="invalid_token"`)
	})
	t.Run("without a proof", func(t *testing.T) {
		header := http.Header{"Authorization": {"DPoP " + tokens.AccessToken}}
		want(t, plain, api.request(t, http.MethodGet, "/things", header), 401, `error="invalid_dpop_proof"`)
	})
	t.Run("stolen", func(t *testing.T) {
		stolen := api.theft(t, own, "/things")
		for id, r := range map[string]*http.Request{
			"DP-08 another method": api.request(t, http.MethodPost, "/things", stolen),
			"DP-09 another path":   api.request(t, http.MethodGet, "/things/", stolen),
			"DP-09 another API":    strict.request(t, http.MethodGet, "/things", stolen),
			"DP-11 another token": api.request(t, http.MethodGet, "/things", http.Header{
				"Authorization": {"DPoP " + fresh.AccessToken}, "Dpop": stolen["Dpop"],
			}),
			"DP-03 twice": api.request(t, http.MethodGet, "/things", http.Header{
				"Authorization": stolen["Authorization"], "Dpop": {stolen.Get("Dpop"), stolen.Get("Dpop")},
			}),
		} {
			t.Run(id, func(t *testing.T) { want(t, plain, r, 401, `error="invalid_dpop_proof"`) })
		}
		want(t, plain, api.request(t, http.MethodGet, "/things?other=query", stolen), 200, "alice") // so it was good for this
		t.Run("replayed", func(t *testing.T) {
			want(t, plain, api.request(t, http.MethodGet, "/things", stolen), 401, `error="invalid_dpop_proof"`)
		})
	})
	t.Run("DP-17 a nonce", func(t *testing.T) {
		stolen := strict.theft(t, own, "/things") // which knows no nonce of this origin
		if nonce := want(t, plain, strict.request(t, http.MethodGet, "/things", stolen), 401, `error="use_dpop_nonce"`).Get("DPoP-Nonce"); nonce == "" {
			t.Error("no nonce is offered")
		}
		for i, requests := range []int64{2, 1} { // DP-18, DP-19
			before := strict.asked.Load()
			r := strict.request(t, http.MethodPost, "/things", http.Header{})
			r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(" wrote")), nil }
			r.Body, _ = r.GetBody()
			want(t, own, r, 200, "alice wrote")
			if n := strict.asked.Load() - before; n != requests {
				t.Errorf("DP-18 call %d took %d requests", i+1, n)
			}
		}
	})
}

// Tokens that are bound to the certificate of the client's connection to the server, at userinfo and at our API.
func TestSecureCertificateBound(t *testing.T) {
	t.Parallel()
	f := startFinancial(t, map[string]any{"resources": map[string]string{boundAPI: "jwt"}}, bindsToCertificate)
	api := f.startBound(t, acpclient.VerifierConfig{Audience: boundAPI, RFC9068: true}, nil)
	other := issue(t, "client.example", nil)
	for _, a := range f.auths {
		if !a.mutual {
			continue
		}
		t.Run(a.name, func(t *testing.T) {
			client := f.open(t, f.config(t, a.name, nil))
			tokens := f.login(t, client, boundAPI)
			fresh, err := client.Refresh(t.Context(), tokens)
			if err != nil {
				t.Fatal(err)
			}
			own := a.auth.(acpclient.MutualTLS).Certificate
			for _, tokens := range []*acpclient.Tokens{tokens, fresh} {
				if _, claims := jwtClaims(t, tokens.AccessToken); claims["cnf"] == nil || tokens.TokenType != "Bearer" {
					t.Fatalf("the server bound nothing: %v", claims)
				}
				header := func(scheme string) http.Header {
					return http.Header{"Authorization": {scheme + " " + tokens.AccessToken}}
				}
				want(t, f.certified(t, own), api.request(t, http.MethodGet, "/things", header("Bearer")), 200, "alice")                          // MT-01
				want(t, f.certified(t, other), api.request(t, http.MethodGet, "/things", header("Bearer")), 401, `Bearer error="invalid_token"`) // MT-02
				want(t, f.certified(t), api.request(t, http.MethodGet, "/things", header("Bearer")), 401, `Bearer error="invalid_token"`)        // MT-02
				want(t, f.certified(t, own), api.request(t, http.MethodGet, "/things", header("DPoP")), 401, `error="invalid_token"`)            // DP-02
			}
			certified := client.HTTPClient(client.TokenSource(t.Context(), fresh, nil))
			want(t, certified, api.request(t, http.MethodGet, "/things", http.Header{}), 200, "alice") // MT-01
			n := len(f.seen(t, 0))
			tokens = f.login(t, client, "")
			if err := client.UserInfo(t.Context(), tokens, new(any)); err != nil {
				t.Errorf("MT-06 %v", err)
			}
			// Without the certificate userinfo refuses it.
			if err := f.open(t, f.config(t, "none", nil)).UserInfo(t.Context(), tokens, new(any)); errorCode(err) != "invalid_token" {
				t.Errorf("MT-02 %v", err)
			}
			if _, order := backChannelOf(f.seen(t, n)); order != "/oauth2/token 200, /userinfo 200, /userinfo 401" {
				t.Error(order)
			}
		})
	}
	t.Run("bound to nothing", func(t *testing.T) {
		tokens := f.login(t, f.open(t, f.config(t, "private_key_jwt", nil)), boundAPI)
		header := http.Header{"Authorization": {"Bearer " + tokens.AccessToken}}
		want(t, f.certified(t, f.selfSigned), api.request(t, http.MethodGet, "/things", header), 401, `Bearer error="invalid_token"`)
	})
}
