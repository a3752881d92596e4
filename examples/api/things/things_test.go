package things_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/examples/api/things"
)

func newVerifier(t *testing.T, s *acptest.Server) *acpclient.Verifier {
	t.Helper()
	v, err := acpclient.NewVerifier(acpclient.VerifierConfig{Issuer: s.Issuer, Audience: s.Audience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close(t.Context()) })
	return v
}

// TestTwoIssuers puts acpclient.Issuers in the place of one verifier.
func TestTwoIssuers(t *testing.T) {
	one, two, stranger := acptest.NewServer(t, nil), acptest.NewServer(t, nil), acptest.NewServer(t, nil)
	issuers, err := acpclient.NewIssuers(newVerifier(t, one), newVerifier(t, two))
	if err != nil {
		t.Fatal(err)
	}
	api, err := things.New(issuers, things.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{"scp": "things.read"}
	for name, row := range map[string]struct {
		token  string
		status int
	}{
		"of one":                    {one.AccessToken(claims), 200},
		"of two":                    {two.AccessToken(claims), 200},
		"BR-38 of a stranger":       {stranger.AccessToken(claims), 401},
		"BR-39 one's in two's name": {one.AccessToken(map[string]any{"scp": "things.read", "iss": two.Issuer, "aud": two.Audience}), 401},
	} {
		w := httptest.NewRecorder()
		api.ServeHTTP(w, acptest.WithBearer(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/things", nil), row.token))
		if w.Code != row.status {
			t.Errorf("%s: status %d\n%s", name, w.Code, w.Body)
		}
	}
	if n := len(stranger.Requests(acptest.MetadataEndpoint)) + stranger.Count(acptest.JWKSEndpoint); n != 0 {
		t.Errorf("the stranger was asked %d times", n)
	}
}

// BR-07, BR-09: a token in a form is none, and one too many beside a token in the header.
func TestTokenInForm(t *testing.T) {
	s := acptest.NewServer(t, nil)
	var log bytes.Buffer
	api, err := things.New(newVerifier(t, s), things.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	token := s.AccessToken(map[string]any{"scp": "things.write"})
	for name, row := range map[string]struct {
		header, body string
		status       int
	}{
		"in the form only":    {"", "access_token=" + token, 401},
		"in both":             {token, "access_token=" + token, 400},
		"in the header only":  {token, "name=teapot", 200},
		"a form too long":     {token, "name=" + strings.Repeat("x", 70<<10), 200},
		"a form that is none": {token, "%zz", 200},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/things", strings.NewReader(row.body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if row.header != "" {
			r.Header.Set("Authorization", "Bearer "+row.header)
		}
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		if w.Code != row.status {
			t.Errorf("%s: status %d\n%s", name, w.Code, w.Body)
		}
	}
	if strings.Contains(log.String(), token) {
		t.Error("the log has a token")
	}
}

// CF-01: every mistake is told, and nothing is served.
func TestMistakes(t *testing.T) {
	if h, err := things.New(nil, things.Options{}); err == nil || h != nil {
		t.Error("an API without a verifier was made")
	}
	s := acptest.NewServer(t, nil)
	if _, err := things.New(newVerifier(t, s), things.Options{Resource: "https://api.example/?q", Issuers: []string{s.Issuer}}); err == nil {
		t.Error("a resource with a query was taken")
	}
}
