package interop_test

import (
	"crypto/rand"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/middleware"
)

// An application under FAPI 2.0 Message Signing: its users sign in at a server that holds it to that, and its session calls an
// API that takes bound tokens alone, with nonces of its own.
func TestSecureFAPIApplication(t *testing.T) {
	t.Parallel()
	app := httptest.NewUnstartedServer(nil)
	t.Cleanup(app.Close)
	callback := "https://" + app.Listener.Addr().String() + "/callback"
	f := startFinancial(t, map[string]any{"fapi": true, "requirePAR": true, "requireNonce": true, "resources": map[string]string{boundAPI: "jwt"}},
		func(a financialAuth, c map[string]any) {
			bindsToKey(a, c)
			c["redirect_uris"] = []string{callback}
		})
	profile := acpclient.FAPI2MessageSigning
	api := f.startBound(t, acpclient.VerifierConfig{Profile: profile, Audience: boundAPI}, func(o *middleware.BearerOptions) { o.DPoP.RequireNonce = true })
	config := f.config(t, "private_key_jwt", newEC(t))
	config.Profile, config.RedirectURL, config.RequestObject = profile, callback, &acpclient.RequestObject{Key: f.ec}
	config.Scopes = append(config.Scopes, "things.read")
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	auth, err := middleware.New(f.open(t, config), middleware.Config{
		CookieKeys: [][]byte{key}, Authorize: &acpclient.AuthorizeOptions{Resources: []string{boundAPI}}, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { auth.Close(t.Context()) })
	mux := http.NewServeMux()
	mux.HandleFunc("/login", auth.Login)
	mux.HandleFunc("/callback", auth.Callback)
	mux.Handle("/", auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		res, err := middleware.SessionFromContext(r.Context()).HTTPClient().Get(api.URL + r.URL.Path)
		if err != nil {
			t.Errorf("calling the API: %v", err)
			return
		}
		defer res.Body.Close()
		w.WriteHeader(res.StatusCode)
		_, _ = io.Copy(w, res.Body)
	})))
	app.Config.Handler = mux
	app.StartTLS()
	f.trusted.AddCert(app.Certificate())

	browser := newAgent(t, callback)
	browser.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: f.trusted}, DisableKeepAlives: true}
	answer := browser.passServer(app.URL+"/things", true)
	if len(answer) != 1 || strings.Count(answer.Get("response"), ".") != 2 {
		t.Fatalf("CB-38 the answer is not one JWT: %d parameters", len(answer))
	}
	browser.stop = "https://nowhere.example"
	for i, path := range []string{"/callback?" + answer.Encode(), "/things/again"} {
		before := api.asked.Load()
		res, err := browser.client.Get(app.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != 200 || string(body) != "alice" {
			t.Errorf("page %d: status %d, %s (%v)", i+1, res.StatusCode, body, err)
		}
		if n, want := api.asked.Load()-before, int64(2-i); n != want { // DP-18, DP-19
			t.Errorf("page %d: the API was asked %d times; want %d", i+1, n, want)
		}
	}
	sent := f.seen(t, 0)
	for _, s := range sent {
		f.judge(t, s, false, true, true)
	}
	own, order := backChannelOf(sent)
	if order != "/par 400, /par 201, /oauth2/token 200" {
		t.Errorf("the requests are %s", order)
	}
	wantFresh(t, own)
}
