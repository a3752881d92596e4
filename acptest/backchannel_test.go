package acptest_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// An application's handler gets what a server posts, in process and over the network, and
// its answer comes back.
func TestBackchannelLogout(t *testing.T) {
	for _, alg := range []string{"", "HS256"} {
		s := acptest.NewServer(t, &acptest.Options{Client: acptest.Client{IDTokenAlg: alg}})
		config := acpclient.Config{Issuer: s.Issuer, ClientID: s.ClientID, Auth: acpclient.Secret(s.ClientSecret)}
		if alg != "" {
			config.IDTokenAlgs = []string{alg}
		}
		client, err := acpclient.New(config)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close(t.Context())
		var got *acpclient.LogoutToken
		app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			form, formErr := url.ParseQuery(string(body))
			if err = errors.Join(err, formErr); err != nil || len(form) != 1 || len(form["logout_token"]) != 1 ||
				r.Method != http.MethodPost || r.URL.RequestURI() != "/out?x=1" || r.ContentLength != int64(len(body)) ||
				r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
				t.Errorf("%s %s %v %d bytes: %v", r.Method, r.URL, r.Header, r.ContentLength, err)
			}
			if got, err = client.VerifyLogoutToken(r.Context(), form.Get("logout_token")); err != nil {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, acpclient.Reason(err))
			}
		})
		network := httptest.NewServer(app)
		defer network.Close()
		post := func(handler http.Handler, uri string, claims map[string]any) (int, string) {
			t.Helper()
			got = nil
			res := s.BackchannelLogout(handler, uri, claims)
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			return res.StatusCode, string(body)
		}
		if status, _ := post(app, "https://app.example/out?x=1", nil); status != 200 || got == nil || got.Subject != "alice" || got.SessionID != "" || got.Expiry.Sub(got.IssuedAt) != 2*time.Minute {
			t.Errorf("%q: %d %+v", alg, status, got)
		}
		if status, _ := post(nil, network.URL+"/out?x=1", map[string]any{"sid": "s1", "sub": nil}); status != 200 || got == nil || got.Subject != "" || got.SessionID != "s1" {
			t.Errorf("%q: over the network: %d %+v", alg, status, got)
		}
		s.OnLogoutToken(func(header, claims map[string]any) { header["typ"] = "at+jwt" })
		for _, handler := range []http.Handler{app, nil} {
			if status, reason := post(handler, network.URL+"/out?x=1", nil); status != 400 || reason != "token_use" {
				t.Errorf("%q: %d %q", alg, status, reason)
			}
		}
		s.OnLogoutToken(func(header, claims map[string]any) { claims["aud"] = "other" })
		if status, reason := post(app, "/out?x=1", nil); status != 400 || reason != "audience" {
			t.Errorf("%q: %d %q", alg, status, reason)
		}
	}
}

func TestLogoutTokenMetadata(t *testing.T) {
	c := newClient(t, nil)
	m := c.get(c.s.URL(acptest.MetadataEndpoint), nil).json
	if m["backchannel_logout_supported"] != true || m["backchannel_logout_session_supported"] != true {
		t.Errorf("metadata %v", m)
	}
}
