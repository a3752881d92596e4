package acptest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/acp-go/acp/acptest"
)

func TestHooksEditWhatGoesOut(t *testing.T) {
	c := newClient(t, nil)
	s := c.s
	s.OnMetadata(func(m map[string]any) { m["issuer"] = "https://evil.example"; delete(m, "jwks_uri") })
	if a := c.get(s.URL(acptest.MetadataEndpoint), nil); a.json["issuer"] != "https://evil.example" || a.json["jwks_uri"] != nil {
		t.Errorf("metadata %s", a.body)
	}
	s.OnMetadata(nil)
	if a := c.get(s.URL(acptest.MetadataEndpoint), nil); a.json["issuer"] != s.Issuer {
		t.Errorf("metadata %s", a.body)
	}
	s.OnJWKS(func(m map[string]any) {
		keys, _ := m["keys"].([]any)
		first, _ := keys[0].(map[string]any)
		first["kid"] = "other"
		m["keys"] = keys[:1]
	})
	if kids, _ := keySet(c); len(kids) != 1 || kids[0] != "other" {
		t.Errorf("keys %v", kids)
	}
	s.OnJWKS(nil)
	if kids, _ := keySet(c); len(kids) != 3 || kids[0] == "other" {
		t.Errorf("the hook changed the server itself: %v", kids)
	}

	s.OnCallback(func(v url.Values) { v.Add("state", "second") })
	if back := c.authorize(c.params()); len(back["state"]) != 2 {
		t.Errorf("callback %v", back)
	}
	s.OnCallback(nil)
	s.OnIDToken(func(header, claims map[string]any) { header["typ"] = "at+jwt"; claims["aud"] = "other" })
	s.OnAccessToken(func(header, claims map[string]any) { claims["scope"] = "x"; delete(claims, "scp") })
	s.OnTokens(func(body map[string]any) { body["token_type"] = "mac" })
	a := c.login()
	header, id := payload(t, text(a.json, "id_token"))
	_, access := payload(t, text(a.json, "access_token"))
	if header["typ"] != "at+jwt" || id["aud"] != "other" || access["scope"] != "x" || access["scp"] != nil || a.json["token_type"] != "mac" {
		t.Errorf("%v %v %v %s", header, id, access, a.body)
	}
	s.OnUserInfo(func(m map[string]any) { m["sub"] = 7 })
	if u := c.get(s.URL(acptest.UserInfoEndpoint), http.Header{"Authorization": {"Bearer " + text(a.json, "access_token")}}); u.json["sub"] != 7.0 {
		t.Errorf("userinfo %s", u.body)
	}
	s.OnIntrospection(func(m map[string]any) { m["active"] = "true" })
	if i := c.send("POST", s.URL(acptest.IntrospectEndpoint), "token=x", c.basic()); i.json["active"] != "true" {
		t.Errorf("introspection %s", i.body)
	}
	s.MintIDToken(func(_, claims map[string]any) string { return acptest.Unsigned(nil, claims) })
	s.MintAccessToken(func(_, _ map[string]any) string { return "opaque" })
	s.OnTokenResponse(func(r *acptest.Response) {
		m := r.JSON()
		m["grant"] = r.Request.Form.Get("grant_type")
		r.SetJSON(m)
		r.Header.Set("Content-Type", "text/html")
		r.Status = http.StatusCreated
	})
	b := c.token(c.tokenForm(c.authorize(c.params()).Get("code")), c.basic())
	if b.status != 201 || b.header.Get("Content-Type") != "text/html" || b.json["grant"] != "authorization_code" || b.json["access_token"] != "opaque" ||
		!strings.HasSuffix(text(b.json, "id_token"), ".") {
		t.Errorf("%d %v %s", b.status, b.header, b.body)
	}
	s.OnTokenResponse(func(r *acptest.Response) { r.Body = []byte(`{"access_token":"a","access_token":"b"}`) })
	if b := c.refresh("x"); string(b.body) != `{"access_token":"a","access_token":"b"}` {
		t.Errorf("%s", b.body)
	}
}

func TestHandle(t *testing.T) {
	c := newClient(t, nil)
	c.s.Tolerate(acptest.RuleCodeReplay)
	do := func(ctx context.Context) (*http.Response, error) {
		req, err := http.NewRequestWithContext(ctx, "GET", c.s.URL(acptest.JWKSEndpoint), nil)
		if err != nil {
			t.Fatal(err)
		}
		return c.s.HTTPClient().Do(req)
	}
	c.s.Handle(acptest.JWKSEndpoint, acptest.Reset())
	if _, err := do(t.Context()); err == nil {
		t.Error("Reset answers")
	}
	c.s.Handle(acptest.JWKSEndpoint, acptest.Hang())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := do(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Hang: %v", err)
	}
	c.s.Handle(acptest.JWKSEndpoint, acptest.Endless("application/json", `{"keys":[`))
	res, err := do(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	start := make([]byte, len(`{"keys":[`))
	if _, err := io.ReadFull(res.Body, start); err != nil || string(start) != `{"keys":[` {
		t.Errorf("Endless starts with %q, %v", start, err)
	}
	res.Body.Close()
	c.s.Handle(acptest.JWKSEndpoint, acptest.RedirectTo(307, "http://other.example/"))
	if a := c.get(c.s.URL(acptest.JWKSEndpoint), nil); a.status != 307 || a.header.Get("Location") != "http://other.example/" {
		t.Errorf("RedirectTo: %d %v", a.status, a.header)
	}
	// The request has its effect, the answer is lost.
	c.s.Handle(acptest.TokenEndpoint, func(w http.ResponseWriter, r *http.Request) {
		c.s.Serve(acptest.TokenEndpoint, httptest.NewRecorder(), r)
		w.WriteHeader(http.StatusBadGateway)
	})
	v := c.tokenForm(c.authorize(c.params()).Get("code"))
	if a := c.token(v, c.basic()); a.status != 502 {
		t.Errorf("%d", a.status)
	}
	c.s.Handle(acptest.TokenEndpoint, nil)
	if a := c.token(v, c.basic()); a.json["cause"] != "code_reused" {
		t.Errorf("the code was not used: %s", a.body)
	}
	if got := c.s.Count(acptest.JWKSEndpoint); got != 4 {
		t.Errorf("counted %d", got)
	}
}

func TestSetUnreachable(t *testing.T) {
	c := newClient(t, nil)
	c.s.SetUnreachable(true)
	if res, err := c.s.HTTPClient().Get(c.s.URL(acptest.MetadataEndpoint)); err == nil {
		t.Errorf("answered %d", res.StatusCode)
	}
	c.s.SetUnreachable(false)
	if a := c.get(c.s.URL(acptest.MetadataEndpoint), nil); a.status != 200 || c.s.Count(acptest.MetadataEndpoint) < 2 {
		t.Errorf("%d after %d requests", a.status, c.s.Count(acptest.MetadataEndpoint))
	}
}

// A hanging handler must not keep the end of the test waiting.
func TestCloseEndsHangingRequests(t *testing.T) {
	c := newClient(t, nil)
	c.s.Handle(acptest.JWKSEndpoint, acptest.Hang())
	failed := make(chan error, 1)
	go func() {
		res, err := c.s.HTTPClient().Get(c.s.URL(acptest.JWKSEndpoint))
		if err == nil {
			res.Body.Close()
		}
		failed <- err
	}()
	if err := c.s.Wait(t.Context(), acptest.JWKSEndpoint, 1); err != nil {
		t.Fatal(err)
	}
	c.s.Close()
	if err := <-failed; err == nil {
		t.Error("an answer came")
	}
}

func TestHoldAndWait(t *testing.T) {
	c := newClient(t, nil)
	release := c.s.Hold(acptest.MetadataEndpoint)
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() { c.get(c.s.URL(acptest.MetadataEndpoint), nil) })
	}
	if err := c.s.Wait(t.Context(), acptest.MetadataEndpoint, 5); err != nil {
		t.Fatal(err)
	}
	release()
	release()
	wg.Wait()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.s.Wait(ended, acptest.MetadataEndpoint, 6); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Everything at once, for the race detector.
func TestConcurrentUse(t *testing.T) {
	c := newClient(t, nil)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { c.get(c.s.URL(acptest.MetadataEndpoint), nil) })
		wg.Go(func() { c.get(c.s.URL(acptest.JWKSEndpoint), nil) })
		wg.Go(func() { c.s.RotateKey() })
		wg.Go(func() { c.s.OnMetadata(func(m map[string]any) { m["x"] = 1 }) })
		wg.Go(func() { c.s.OnResponse(acptest.JWKSEndpoint, func(r *acptest.Response) { r.Header.Set("X", "y") }) })
		wg.Go(func() { c.s.AccessToken(nil) })
		wg.Go(func() { c.s.Tolerate(acptest.RuleState) })
		wg.Go(func() { c.s.Register(acptest.Client{}) })
	}
	wg.Wait()
}

func TestMintedTokens(t *testing.T) {
	c := newClient(t, nil)
	token := c.s.AccessToken(map[string]any{"sub": "zoe", "scp": []string{"things.read"}, "st": nil})
	header, claims := payload(t, token)
	if header["kid"] != c.s.Key().ID || claims["sub"] != "zoe" || claims["st"] != nil {
		t.Errorf("%v %v", header, claims)
	}
	c.introspects(token, true, "access_token")
	if u := c.get(c.s.URL(acptest.UserInfoEndpoint), http.Header{"Authorization": {"Bearer " + token}}); u.json["sub"] != "zoe" {
		t.Errorf("%s", u.body)
	}
	if _, id := payload(t, c.s.IDToken(map[string]any{"nonce": "n"})); id["nonce"] != "n" || id["aud"] != c.s.ClientID {
		t.Errorf("%v", id)
	}
}
