package acpclient_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// TestMain fails when a goroutine of the package outlives the tests (RL-20).
func TestMain(m *testing.M) {
	status := m.Run()
	if status == 0 && flag.Lookup("test.fuzz").Value.String() == "" {
		if left := lingering(); left != "" {
			fmt.Fprintf(os.Stderr, "goroutines are left:\n%s\n", left)
			status = 1
		}
	}
	os.Exit(status)
}

// lingering returns the stack of a goroutine of ours that does not end within 30 s.
func lingering() string {
	deadline := time.Now().Add(30 * time.Second)
	for {
		all := make([]byte, 1<<20)
		all = all[:runtime.Stack(all, true)]
		left := ""
		for stack := range bytes.SplitSeq(all, []byte("\n\n")) {
			if bytes.Contains(stack, []byte("/acpclient.")) {
				left = string(stack)
			}
		}
		if left == "" || time.Now().After(deadline) {
			return left
		}
		runtime.Gosched()
	}
}

// allocations are those of one run of f. What else happens in the process is counted, too, and not
// three times.
func allocations(f func()) float64 {
	return min(testing.AllocsPerRun(100, f), testing.AllocsPerRun(100, f), testing.AllocsPerRun(100, f))
}

// quick demands that f takes no longer than limit at least once. What is slow by nature is so each
// time; a busy machine is not, for half a minute.
func quick(t *testing.T, limit time.Duration, f func()) {
	t.Helper()
	fastest := time.Hour
	for end := time.Now().Add(30 * time.Second); ; {
		began := time.Now()
		f()
		if fastest = min(fastest, time.Since(began)); fastest <= limit {
			return
		}
		if time.Now().After(end) {
			t.Errorf("it takes %v, want %v", fastest, limit)
			return
		}
	}
}

const redirectURL = "https://app.example/callback?tenant=a%20b"

// rig is a Client at a server of its own, with a clock that both share, and that moves when a test
// moves it. It knows every
// secret that passed through the test, and looks for them wherever text comes out.
type rig struct {
	*acptest.Server
	t      *testing.T
	client *acpclient.Client
	began  time.Time
	ahead  atomic.Int64 // of the beginning, in nanoseconds

	mu      sync.Mutex
	secrets map[string]string // value to name
	log     bytes.Buffer
}

// newRig makes a confidential client that asks for "openid offline_access". edit may be nil.
func newRig(t *testing.T, o *acptest.Options, edit func(*acpclient.Config)) *rig {
	t.Helper()
	r := &rig{t: t, began: time.Now(), secrets: map[string]string{}}
	var options acptest.Options
	if o != nil {
		options = *o
	}
	options.Now = r.now
	r.Server = acptest.NewServer(t, &options)
	config := acpclient.Config{
		Issuer: r.Issuer, ClientID: r.ClientID, RedirectURL: redirectURL, RootCAs: r.RootCAs(),
		Scopes: []string{"openid", "offline_access"}, Logger: r.logger(),
	}
	if r.ClientSecret != "" {
		config.Auth = acpclient.Secret(r.ClientSecret)
	}
	r.secret("client secret", r.ClientSecret)
	if edit != nil {
		edit(&config)
	}
	client, err := acpclient.New(config)
	if err != nil {
		t.Fatal(err)
	}
	client.SetClock(r.now)
	r.client = client
	t.Cleanup(func() {
		if err := client.Close(context.Background()); err != nil {
			t.Error("Close:", err)
		}
		r.mu.Lock()
		log := r.log.String()
		r.mu.Unlock()
		r.clean("the log", log)
	})
	return r
}

func (r *rig) now() time.Time { return r.began.Add(time.Duration(r.ahead.Load())) }

func (r *rig) advance(d time.Duration) { r.ahead.Add(int64(d)) }

func (r *rig) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(lockedWriter{r}, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type lockedWriter struct{ r *rig }

func (w lockedWriter) Write(p []byte) (int, error) {
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	return w.r.log.Write(p)
}

// secret remembers values that no text may show.
func (r *rig) secret(name string, values ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range values {
		if v != "" {
			r.secrets[v] = name
		}
	}
}

// flowSecrets and tokenSecrets remember what the two hold.
func (r *rig) flowSecrets(f *acpclient.Flow) {
	r.secret("state", f.State)
	r.secret("nonce", f.Nonce)
	r.secret("verifier", f.Verifier)
}

func (r *rig) tokenSecrets(t *acpclient.Tokens) {
	r.secret("access token", t.AccessToken)
	r.secret("refresh token", t.RefreshToken)
	r.secret("ID token", t.IDToken)
}

// clean fails the test when the text shows a secret, or one that was sent to the server (LG-01).
func (r *rig) clean(what, text string) {
	r.t.Helper()
	for _, e := range []acptest.Endpoint{acptest.PAREndpoint, acptest.TokenEndpoint, acptest.RevokeEndpoint, acptest.UserInfoEndpoint} {
		for _, req := range r.Requests(e) {
			for _, name := range []string{"code", "code_verifier", "refresh_token", "client_secret", "client_assertion", "token"} {
				r.secret(name, req.Form.Get(name))
			}
			_, credential, _ := strings.Cut(req.Header.Get("Authorization"), " ")
			r.secret("credential", credential)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for value, name := range r.secrets {
		if strings.Contains(text, value) || strings.Contains(text, url.QueryEscape(value)) {
			r.t.Errorf("%s shows the %s: %.300s", what, name, text)
		}
	}
}

// fails checks kind and reason of an error, and that no form of its text shows a secret
// or is longer than a log line should be. A nil kind wants an *acpclient.Error.
func (r *rig) fails(err, kind error, reason string) {
	r.t.Helper()
	if err == nil {
		r.t.Errorf("no error, want %q", reason)
		return
	}
	e, isServers := errors.AsType[*acpclient.Error](err)
	switch {
	case kind == nil && !isServers:
		r.t.Errorf("error %q is not the server's", err)
	case kind != nil && !errors.Is(err, kind):
		r.t.Errorf("error %q is not %q", err, kind)
	}
	if got := acpclient.Reason(err); got != reason {
		r.t.Errorf("reason %q, want %q (%v)", got, reason, err)
	}
	texts := []string{err.Error(), fmt.Sprintf("%v", err), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err), acpclient.Reason(err)}
	if isServers {
		texts = append(texts, e.Code, e.Description, e.Cause, e.Hint, e.TraceID)
	}
	for _, text := range texts {
		r.clean("the error", text)
		if len(text) > 1024 || strings.ContainsAny(text, "\n\r\x1b\u202e") && isServers {
			r.t.Errorf("the error's text is not one short line: %.300q", text)
		}
	}
}

// asked checks how many requests an endpoint saw in all.
func (r *rig) asked(e acptest.Endpoint, want int) {
	r.t.Helper()
	if got := r.Count(e); got != want {
		r.t.Errorf("%d %s requests, want %d", got, e, want)
	}
}

// callback sends the user to the server, and returns what the browser brings back.
func (r *rig) callback(o *acpclient.AuthorizeOptions) (*acpclient.Flow, url.Values) {
	r.t.Helper()
	address, flow, err := r.client.Authorize(r.t.Context(), o)
	if err != nil {
		r.t.Fatal("Authorize:", err)
	}
	r.flowSecrets(flow)
	res, err := r.HTTPClient().Get(address)
	if err != nil {
		r.t.Fatal(err)
	}
	res.Body.Close()
	location, err := url.Parse(res.Header.Get("Location"))
	if err != nil || res.StatusCode != http.StatusFound {
		r.t.Fatalf("the server answers %d to the authorize request", res.StatusCode)
	}
	values, err := url.ParseQuery(location.RawQuery)
	if err != nil {
		r.t.Fatal(err)
	}
	values.Del("tenant") // of the redirect URL itself
	r.secret("code", values.Get("code"))
	return flow, values
}

// login is a whole login that must succeed.
func (r *rig) login() *acpclient.Tokens {
	r.t.Helper()
	flow, callback := r.callback(nil)
	tokens, err := r.client.Exchange(r.t.Context(), flow, callback)
	if err != nil {
		r.t.Fatal("Exchange:", err)
	}
	r.tokenSecrets(tokens)
	return tokens
}

// brings replaces members of each token answer; a nil value takes one away. What the
// answer holds becomes a secret.
func (r *rig) brings(members map[string]any) {
	r.OnTokens(func(m map[string]any) {
		for name, value := range members {
			if m[name] = value; value == nil {
				delete(m, name)
			}
		}
		for _, name := range []string{"access_token", "refresh_token", "id_token"} {
			if s, ok := m[name].(string); ok && len(s) > 8 {
				r.secret(name, s)
			}
		}
	})
}

// roundTripper is a transport of the test's own.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func response(status int, contentType, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {contentType}}, Body: io.NopCloser(strings.NewReader(body)),
	}
}

// bareMetadata is the document of a server at https://as.example that only transports serve.
const bareMetadata = `{"issuer":"https://as.example","authorization_endpoint":"https://as.example/authorize",
	"token_endpoint":"https://as.example/token","jwks_uri":"https://as.example/jwks",
	"userinfo_endpoint":"https://as.example/userinfo","revocation_endpoint":"https://as.example/revoke"}`

// bareClient is a Client at https://as.example whose requests, but for those of the
// metadata, are answered by f.
func bareClient(t testing.TB, f roundTripper) *acpclient.Client {
	t.Helper()
	client, err := acpclient.New(acpclient.Config{
		Issuer: "https://as.example", ClientID: "app", Auth: acpclient.Secret("s3cret-canary"), Scopes: []string{"profile"},
		Logger: slog.New(slog.DiscardHandler),
		Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
			if strings.HasSuffix(req.URL.Path, "/.well-known/openid-configuration") {
				return response(http.StatusOK, "application/json", bareMetadata), nil
			}
			return f(req)
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}
