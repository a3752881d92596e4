package acpclient_test

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// lab is a client at a server, both under one clock.
type lab struct {
	t      *testing.T
	server *acptest.Server
	client *acpclient.Client
	clock  *handClock
}

// handClock moves when a test moves it.
type handClock struct {
	mu sync.Mutex
	at time.Time
}

func newHandClock() *handClock {
	return &handClock{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

func (c *handClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *handClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// unix is the clock's time in seconds, moved.
func (c *handClock) unix(seconds int64) int64 { return c.now().Unix() + seconds }

// newLab starts a server with these options and makes a client for it; edit changes the
// client's configuration.
func newLab(t *testing.T, o acptest.Options, edit func(*acpclient.Config)) *lab {
	t.Helper()
	l := &lab{t: t, clock: newHandClock()}
	o.Now = l.clock.now
	l.server = acptest.NewServer(t, &o)
	l.client = l.newClient(edit)
	return l
}

func (l *lab) newClient(edit func(*acpclient.Config)) *acpclient.Client {
	l.t.Helper()
	config := acpclient.Config{
		Issuer: l.server.Issuer, ClientID: l.server.ClientID, Auth: acpclient.Secret(l.server.ClientSecret),
		RedirectURL: "https://app.example/callback", Scopes: []string{"openid"},
		Logger: slog.New(slog.DiscardHandler),
	}
	if edit != nil {
		edit(&config)
	}
	c, err := acpclient.New(config)
	if err != nil {
		l.t.Fatal(err)
	}
	c.SetClock(l.clock.now)
	l.t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func (l *lab) newVerifier(edit func(*acpclient.VerifierConfig)) *acpclient.Verifier {
	l.t.Helper()
	config := acpclient.VerifierConfig{Issuer: l.server.Issuer, Audience: l.server.Audience, Logger: slog.New(slog.DiscardHandler)}
	if edit != nil {
		edit(&config)
	}
	v, err := acpclient.NewVerifier(config)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { v.Close(context.Background()) })
	v.SetClock(l.clock.now)
	return v
}

// authorize sends the user through the server and returns what comes back.
func (l *lab) authorize(o *acpclient.AuthorizeOptions) (*acpclient.Flow, url.Values) {
	l.t.Helper()
	address, flow, err := l.client.Authorize(l.t.Context(), o)
	if err != nil {
		l.t.Fatalf("Authorize: %v", err)
	}
	return flow, l.visit(address)
}

func (l *lab) visit(address string) url.Values {
	l.t.Helper()
	res, err := l.server.HTTPClient().Get(address)
	if err != nil {
		l.t.Fatal(err)
	}
	res.Body.Close()
	back, err := res.Location()
	if err != nil {
		l.t.Fatalf("the server answers %d without Location", res.StatusCode)
	}
	return back.Query()
}

// login is a whole login.
func (l *lab) login(o *acpclient.AuthorizeOptions) (*acpclient.Tokens, error) {
	l.t.Helper()
	flow, callback := l.authorize(o)
	return l.client.Exchange(l.t.Context(), flow, callback)
}

// count is how often an endpoint was asked.
func (l *lab) count(e acptest.Endpoint) int { return l.server.Count(e) }

// wantReason fails the test unless err has the reason: "" is success.
func wantReason(t *testing.T, err error, want string) {
	t.Helper()
	switch got := acpclient.Reason(err); {
	case want == "" && err != nil:
		t.Errorf("refused, it must be accepted: %v", err)
	case want != "" && err == nil:
		t.Errorf("accepted, it must be refused with reason %q", want)
	case got != want:
		t.Errorf("reason %q, want %q: %v", got, want, err)
	}
}

// wantInvalidToken fails the test unless err is ErrInvalidToken with the reason, and its
// text holds nothing of the token. "" is success.
func wantInvalidToken(t *testing.T, token string, err error, want string) {
	t.Helper()
	wantReason(t, err, want)
	if err == nil {
		return
	}
	if !errors.Is(err, acpclient.ErrInvalidToken) {
		t.Errorf("not an ErrInvalidToken: %v", err)
	}
	for part := range strings.SplitSeq(token, ".") {
		if len(part) > 15 && strings.Contains(err.Error(), part) {
			t.Errorf("the error's text holds a part of the token: %v", err)
		}
	}
}

// keyOfEachAlg makes the keys once: RSA keys take long to find.
var keyOfEachAlg = sync.OnceValue(func() (keys []*acptest.Key) {
	for _, alg := range []string{"ES256", "ES384", "ES512", "EdDSA"} {
		keys = append(keys, acptest.NewKey(alg))
	}
	rsa := acptest.NewKey("RS256").Signer()
	for _, alg := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"} {
		keys = append(keys, acptest.KeyFrom("rsa-"+alg, alg, rsa))
	}
	return keys
})
