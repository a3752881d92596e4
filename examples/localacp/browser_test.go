package localacp_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/acp-go/acp/examples/localacp"
)

const (
	redirectURL = "http://127.0.0.1:9/callback"
	verifier    = "a-verifier-of-more-than-forty-three-characters"
)

func start(t *testing.T, options localacp.Options) *localacp.Server {
	t.Helper()
	if options.Clients == nil {
		options.Clients = []localacp.Client{{
			ID: "web", Name: "Web shop", Secret: "s3cret", RedirectURLs: []string{redirectURL},
			PostLogoutRedirectURLs: []string{"http://127.0.0.1:9/bye"},
		}}
	}
	server, err := localacp.Start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// browser keeps cookies and follows no redirect.
type browser struct {
	t      *testing.T
	client *http.Client
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &browser{t, &http.Client{Jar: jar, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}}
}

type page struct {
	*http.Response
	text string
}

func (b *browser) do(r *http.Request) page {
	b.t.Helper()
	resp, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return page{resp, string(body)}
}

func (b *browser) get(address string) page {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(r)
}

func (b *browser) post(address string, form url.Values, edit ...func(*http.Request)) page {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, f := range edit {
		f(r)
	}
	return b.do(r)
}

var formAction = regexp.MustCompile(`<form method="post" action="([^"]*)"`)

// submit posts the page's form, from the page's own address.
func (b *browser) submit(p page, fields ...string) page {
	b.t.Helper()
	found := formAction.FindStringSubmatch(p.text)
	if found == nil {
		b.t.Fatalf("no form on the page (status %d):\n%s", p.StatusCode, p.text)
	}
	address, err := p.Request.URL.Parse(html.UnescapeString(found[1]))
	if err != nil {
		b.t.Fatal(err)
	}
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return b.post(address.String(), form, func(r *http.Request) {
		r.Header.Set("Origin", address.Scheme+"://"+address.Host)
	})
}

func authorizeURL(server *localacp.Server, edit ...string) string {
	sum := sha256.Sum256([]byte(verifier))
	params := url.Values{
		"client_id": {"web"}, "response_type": {"code"}, "redirect_uri": {redirectURL},
		"scope": {"openid profile offline_access accounts.read"}, "state": {"st4te"}, "nonce": {"n0nce"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(edit); i += 2 {
		params.Set(edit[i], edit[i+1])
		if edit[i+1] == "" {
			params.Del(edit[i])
		}
	}
	return server.Issuer + "/oauth2/authorize?" + params.Encode()
}

// signIn goes from the authorize request to the consent page.
func (b *browser) signIn(address string) page {
	b.t.Helper()
	return b.submit(b.get(address), "username", "alice", "password", "wonderland", "action", "login")
}

func (b *browser) code(address string) string {
	b.t.Helper()
	return callback(b.t, b.submit(b.signIn(address), "action", "allow")).Get("code")
}

// callback is the query of the redirect to the client.
func callback(t *testing.T, p page) url.Values {
	t.Helper()
	location, err := p.Location()
	if err != nil {
		t.Fatalf("status %d, no redirect:\n%s", p.StatusCode, p.text)
	}
	if !strings.HasPrefix(location.String(), redirectURL) {
		t.Fatalf("redirect to %s", location)
	}
	return location.Query()
}

type members map[string]any

func (b *browser) token(server *localacp.Server, form url.Values, edit ...func(*http.Request)) (int, members) {
	b.t.Helper()
	if edit == nil {
		edit = append(edit, func(r *http.Request) { r.SetBasicAuth("web", "s3cret") })
	}
	return object(b.t, b.post(server.Issuer+"/oauth2/token", form, edit...))
}

func codeForm(code string) url.Values {
	return url.Values{
		"grant_type": {"authorization_code"}, "code": {code},
		"redirect_uri": {redirectURL}, "code_verifier": {verifier},
	}
}

func object(t *testing.T, p page) (int, members) {
	t.Helper()
	m := members{}
	if p.text != "" {
		if err := json.Unmarshal([]byte(p.text), &m); err != nil {
			t.Fatalf("status %d, not JSON: %v\n%s", p.StatusCode, err, p.text)
		}
	}
	return p.StatusCode, m
}

func (m members) text(name string) string {
	s, _ := m[name].(string)
	return s
}

// part decodes the header (0) or the payload (1) of a JWT without checking it.
func part(t *testing.T, token string, n int) members {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("not a JWT: %q", token)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[n])
	if err != nil {
		t.Fatal(err)
	}
	m := members{}
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	return m
}
