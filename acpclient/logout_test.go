package acpclient_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

func TestLogoutURL(t *testing.T) {
	r := newRig(t, nil, nil)
	tokens := r.login()
	address, err := r.client.LogoutURL(t.Context(), tokens, &acpclient.LogoutOptions{PostLogoutRedirectURL: "https://app.example/bye?a=b&c=d", State: "s&t"})
	if err != nil {
		t.Fatal(err)
	}
	base, query, _ := strings.Cut(address, "?")
	q, err := url.ParseQuery(query)
	if err != nil || base != r.URL(acptest.LogoutEndpoint) {
		t.Fatalf("%s, %v", base, err)
	}
	for name, want := range map[string]string{
		"client_id": r.ClientID, "id_token_hint": tokens.IDToken, "post_logout_redirect_uri": "https://app.example/bye?a=b&c=d", "state": "s&t",
	} {
		if values := q[name]; len(values) != 1 || values[0] != want {
			t.Errorf("%s = %q", name, values)
		}
		q.Del(name)
	}
	if len(q) > 0 || strings.Contains(address, tokens.AccessToken) || strings.Contains(address, tokens.RefreshToken) {
		t.Errorf("more than it needs: %s", address)
	}
	res, err := r.HTTPClient().Get(address)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if got := res.Header.Get("Location"); got != "https://app.example/bye?a=b&c=d&state=s%26t" {
		t.Errorf("the server sends the browser to %q", got)
	}
}

func TestLogoutURLForms(t *testing.T) {
	r := newRig(t, nil, nil)
	r.OnMetadata(func(m map[string]any) { m["end_session_endpoint"] = "https://as.example/bye?x=1" })
	short := &acpclient.Tokens{IDToken: "hint"}
	const base = "https://as.example/bye?x=1&client_id="
	for name, row := range map[string]struct {
		tokens  *acpclient.Tokens
		options *acpclient.LogoutOptions
		want    string
	}{
		"nothing":               {nil, nil, ""},
		"hint":                  {short, nil, "&id_token_hint=hint"},
		"state without a URL":   {nil, &acpclient.LogoutOptions{State: "s"}, ""},
		"a hint of 4 KiB":       {&acpclient.Tokens{IDToken: strings.Repeat("a", 4<<10)}, &acpclient.LogoutOptions{PostLogoutRedirectURL: "https://a.example"}, "&post_logout_redirect_uri=https%3A%2F%2Fa.example"},
		"a hint that just fits": {&acpclient.Tokens{IDToken: strings.Repeat("a", 3900)}, nil, "&id_token_hint=" + strings.Repeat("a", 3900)},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := r.client.LogoutURL(t.Context(), row.tokens, row.options)
			if want := base + url.QueryEscape(r.ClientID) + row.want; err != nil || got != want {
				t.Errorf("%.200s (%d bytes), %v\nwant %.200s", got, len(got), err, want)
			}
			if len(got) > 4<<10 {
				t.Errorf("%d bytes", len(got))
			}
		})
	}
}

// LO-02: the server's own metadata cannot put a hint or a target beside ours.
func TestLogoutURLOfAnEndpointWithOurParameters(t *testing.T) {
	for _, query := range []string{"client_id=evil", "x=1&id_token_hint=evil", "post_logout_redirect_uri=https%3A%2F%2Fevil.example", "st%61te=evil", "a;b"} {
		t.Run(query, func(t *testing.T) {
			r := newRig(t, nil, nil)
			r.OnMetadata(func(m map[string]any) { m["end_session_endpoint"] = "https://as.example/bye?" + query })
			got, err := r.client.LogoutURL(t.Context(), nil, nil)
			if got != "" || !errors.Is(err, acpclient.ErrInvalidResponse) || acpclient.Reason(err) != "metadata" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestRevoke(t *testing.T) {
	r := newRig(t, nil, nil)
	tokens := r.login()
	if err := r.client.Revoke(t.Context(), tokens); err != nil {
		t.Fatal(err)
	}
	access := *tokens
	access.Token = new(*tokens.Token)
	access.RefreshToken = ""
	if err := r.client.Revoke(t.Context(), &access); err != nil {
		t.Fatal(err)
	}
	requests := r.Requests(acptest.RevokeEndpoint)
	for i, want := range []struct{ token, hint string }{{tokens.RefreshToken, "refresh_token"}, {tokens.AccessToken, "access_token"}} {
		if f := requests[i].Form; f.Get("token") != want.token || f.Get("token_type_hint") != want.hint || len(requests[i].Query) > 0 {
			t.Errorf("request %d has hint %q", i, f.Get("token_type_hint"))
		}
	}
	if left := r.ActiveRefreshTokens(); len(left) > 0 {
		t.Errorf("%d refresh tokens live on", len(left))
	}
}

func TestRevokeAnswers(t *testing.T) {
	for name, row := range map[string]struct {
		handler http.HandlerFunc
		kind    error
		reason  string
	}{
		"204":                  {acptest.Answer(204, "", ""), nil, ""},
		"200 with any body":    {acptest.Answer(200, "text/html", "<p>"), nil, ""},
		"400":                  {acptest.Answer(400, "application/json", `{"error":"unsupported_token_type"}`), nil, "provider_error:unsupported_token_type"},
		"503":                  {acptest.Answer(503, "", ""), acpclient.ErrUnavailable, "provider_error:invalid_response"},
		"TX-07 redirect":       {acptest.RedirectTo(307, "https://evil.example"), acpclient.ErrInvalidResponse, "response_malformed"},
		"TX-03 reset":          {acptest.Reset(), acpclient.ErrUnavailable, "unavailable"},
		"RL-19 endless answer": {acptest.Endless("text/plain", "x"), acpclient.ErrInvalidResponse, "response_too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil, nil)
			tokens := r.login()
			r.Handle(acptest.RevokeEndpoint, row.handler)
			err := r.client.Revoke(t.Context(), tokens)
			if row.reason != "" {
				r.fails(err, row.kind, row.reason)
			} else if err != nil {
				t.Error(err)
			}
			r.asked(acptest.RevokeEndpoint, 1)
		})
	}
}

// RL-21: Close waits for the refresh under way, and nothing is sent afterwards.
func TestClose(t *testing.T) {
	r := newRig(t, nil, nil)
	tokens := r.login()
	flow, callback := r.callback(nil)
	release := r.Hold(acptest.TokenEndpoint)
	defer release()
	refreshed := make(chan error, 1)
	go func() {
		_, err := r.client.Refresh(t.Context(), tokens)
		refreshed <- err
	}()
	if err := r.Wait(t.Context(), acptest.TokenEndpoint, 2); err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.client.Close(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("Close whose time is over: %v", err)
	}
	if _, err := r.client.Refresh(t.Context(), tokens); !errors.Is(err, acpclient.ErrClosed) {
		t.Errorf("Refresh while it closes: %v", err)
	}
	release()
	if err := <-refreshed; err != nil {
		t.Errorf("the refresh under way: %v", err)
	}
	for range 2 {
		if err := r.client.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	_, exchange := r.client.Exchange(t.Context(), flow, callback)
	_, refresh := r.client.Refresh(t.Context(), tokens)
	for name, err := range map[string]error{
		"Exchange": exchange, "Refresh": refresh,
		"UserInfo": r.client.UserInfo(t.Context(), tokens, new(any)),
		"Revoke":   r.client.Revoke(t.Context(), tokens),
	} {
		if !errors.Is(err, acpclient.ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
	r.asked(acptest.TokenEndpoint, 2)
	r.asked(acptest.UserInfoEndpoint, 0)
	r.asked(acptest.RevokeEndpoint, 0)
}
