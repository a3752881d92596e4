package acptest_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/acp-go/acp/acptest"
)

// The verifier is the example of RFC 7636, appendix B.
const (
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	redirect = "https://app.example/callback"
)

// client is written by hand against the specifications.
type client struct {
	t testing.TB
	s *acptest.Server
	n int
}

type answer struct {
	status int
	header http.Header
	body   []byte
	json   map[string]any
}

func (c *client) do(req *http.Request) answer {
	c.t.Helper()
	res, err := c.s.HTTPClient().Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	a := answer{status: res.StatusCode, header: res.Header, body: body}
	_ = json.Unmarshal(body, &a.json) // not every body is JSON
	return a
}

func (c *client) get(address string, header http.Header) answer {
	c.t.Helper()
	return c.send("GET", address, "", header)
}

func (c *client) send(method, address, body string, header http.Header) answer {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	return c.do(req)
}

// params are those of a correct authorize request, new for each call.
func (c *client) params() url.Values {
	c.n++
	return url.Values{
		"response_type": {"code"}, "client_id": {c.s.ClientID}, "redirect_uri": {redirect},
		"scope": {"openid profile offline_access"}, "state": {"state-state-state-state-" + strconv.Itoa(c.n)}, "nonce": {"nonce-nonce-nonce-nonce-" + strconv.Itoa(c.n)},
		"code_challenge": {challengeOf(c.n)}, "code_challenge_method": {"S256"},
	}
}

// challengeOf is the challenge for verifierOf.
func challengeOf(n int) string {
	return s256(verifierOf(n))
}

func s256(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func verifierOf(n int) string { return verifier + strconv.Itoa(n) }

// authorize returns the parameters that came to the redirect URI.
func (c *client) authorize(params url.Values) url.Values {
	c.t.Helper()
	a := c.get(c.s.URL(acptest.AuthorizeEndpoint)+"?"+params.Encode(), nil)
	if a.status != http.StatusFound {
		c.t.Fatalf("authorize answered %d: %s", a.status, a.body)
	}
	location, err := url.Parse(a.header.Get("Location"))
	if err != nil {
		c.t.Fatal(err)
	}
	return location.Query()
}

func form() http.Header {
	return http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
}

func (c *client) basic() http.Header {
	h := form()
	h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(c.s.ClientID)+":"+url.QueryEscape(c.s.ClientSecret))))
	return h
}

// tokenForm is a correct token request for the last authorize request.
func (c *client) tokenForm(code string) url.Values {
	return url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirect}, "code_verifier": {verifierOf(c.n)},
	}
}

func (c *client) token(v url.Values, header http.Header) answer {
	c.t.Helper()
	return c.send("POST", c.s.URL(acptest.TokenEndpoint), v.Encode(), header)
}

// login walks the flow and returns the token answer.
func (c *client) login() answer {
	c.t.Helper()
	a := c.token(c.tokenForm(c.authorize(c.params()).Get("code")), c.basic())
	if a.status != http.StatusOK {
		c.t.Fatalf("token answered %d: %s", a.status, a.body)
	}
	return a
}

func (c *client) refresh(token string) answer {
	c.t.Helper()
	return c.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}, c.basic())
}

func text(m map[string]any, name string) string {
	s, _ := m[name].(string)
	return s
}

// payload reads the claims of a JWT without a look at its signature.
func payload(t testing.TB, token string) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is not a JWS", token)
	}
	for i, target := range []*map[string]any{&header, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, target); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

func newClient(t testing.TB, o *acptest.Options) *client {
	t.Helper()
	return &client{t: t, s: acptest.NewServer(t, o)}
}
