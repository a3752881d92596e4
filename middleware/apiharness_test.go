package middleware_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/middleware"
)

// api is a protected handler behind real HTTP, and the server whose tokens it takes.
type api struct {
	t        *testing.T
	server   *acptest.Server
	verifier *acpclient.Verifier
	logs     *logBuffer
	served   atomic.Int64
	url      string
	secrets  []string // what no log line may hold
}

const audience = "https://api.example"

func newAPI(t *testing.T, o *middleware.BearerOptions, config *acpclient.VerifierConfig) *api {
	t.Helper()
	a := &api{t: t, logs: &logBuffer{}}
	a.server = acptest.NewServer(t, &acptest.Options{Audience: audience})
	if config == nil {
		config = &acpclient.VerifierConfig{}
	}
	config.Issuer, config.Audience, config.Logger = a.server.Issuer, audience, a.logs.logger()
	var err error
	if a.verifier, err = acpclient.NewVerifier(*config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.verifier.Close(context.Background()) })
	if o == nil {
		o = &middleware.BearerOptions{}
	}
	o.Logger = a.logs.logger()
	s := httptest.NewServer(protect(t, a.verifier, o)(http.HandlerFunc(a.things)))
	t.Cleanup(s.Close)
	a.url = s.URL
	t.Cleanup(func() {
		for _, secret := range a.secrets {
			if len(secret) > 7 && strings.Contains(a.logs.String(), secret) {
				t.Errorf("LG-01: the log holds %s", secret)
			}
		}
	})
	return a
}

func (a *api) things(w http.ResponseWriter, r *http.Request) {
	a.served.Add(1)
	body, _ := io.ReadAll(r.Body)
	subject := "nobody"
	if token := middleware.AccessTokenFromContext(r.Context()); token != nil {
		subject = token.Subject
	}
	fmt.Fprint(w, subject, " ", string(body))
}

// protect is RequireBearer without mistakes.
func protect(t testing.TB, v middleware.TokenVerifier, o *middleware.BearerOptions) func(http.Handler) http.Handler {
	t.Helper()
	protector, err := middleware.RequireBearer(v, o)
	if err != nil {
		t.Fatal(err)
	}
	return protector
}

// answer is what came back, and how often the handler was called for it.
type answer struct {
	status    int
	header    http.Header
	body      string
	served    int64
	challenge string
}

// code is the error of the challenge: "-" without a challenge, "" in one without error.
func (g answer) code() string {
	if g.challenge == "" {
		return "-"
	}
	return parameter(g.challenge, "error")
}

// parameter reads one parameter of a challenge.
func parameter(challenge, name string) string {
	_, rest, ok := strings.Cut(challenge, " "+name+`="`)
	if !ok {
		return ""
	}
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// send sends a request with exactly these Authorization headers.
func (a *api) send(method, path string, authorization []string, body io.Reader, edit func(*http.Request)) answer {
	a.t.Helper()
	r, err := http.NewRequest(method, a.url+path, body)
	if err != nil {
		a.t.Fatal(err)
	}
	if authorization != nil {
		r.Header["Authorization"] = authorization
	}
	if edit != nil {
		edit(r)
	}
	before := a.served.Load()
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	g := answer{res.StatusCode, res.Header, string(text), a.served.Load() - before, res.Header.Get("WWW-Authenticate")}
	if len(res.Header.Values("WWW-Authenticate")) > 1 {
		a.t.Errorf("%d challenges", len(res.Header.Values("WWW-Authenticate")))
	}
	if g.status != http.StatusOK {
		isPrivate(a.t, g.header)
	}
	return g
}

func (a *api) get(token string) answer {
	a.t.Helper()
	a.secrets = append(a.secrets, strings.Split(token, ".")...)
	return a.send("GET", "/things", []string{"Bearer " + token}, nil, nil)
}

// verifierFunc is a verifier whose answer is the test's input.
type verifierFunc func(ctx context.Context, token string) (*acpclient.AccessToken, error)

func (f verifierFunc) Verify(ctx context.Context, token string) (*acpclient.AccessToken, error) {
	return f(ctx, token)
}

// verifies answers every token with this one.
func verifies(token *acpclient.AccessToken) middleware.TokenVerifier {
	return verifierFunc(func(context.Context, string) (*acpclient.AccessToken, error) { return token, nil })
}

// refuses answers every token with this error.
func refuses(err error) middleware.TokenVerifier {
	return verifierFunc(func(context.Context, string) (*acpclient.AccessToken, error) { return nil, err })
}

// bearer is a request with a token.
func bearer(token string) *http.Request {
	return acptest.WithBearer(httptest.NewRequest("GET", "https://api.example/things", nil), token)
}

// shows is a handler that writes who calls.
var shows = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	session, token := "-", "-"
	if s := middleware.SessionFromContext(r.Context()); s != nil {
		session = s.Subject
	}
	if a := middleware.AccessTokenFromContext(r.Context()); a != nil {
		token = a.Subject
	}
	fmt.Fprint(w, session, " ", token)
})
