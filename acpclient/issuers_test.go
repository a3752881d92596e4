package acpclient_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// BR-38, BR-39: each token goes to the Verifier of its own issuer, or nowhere.
func TestIssuers(t *testing.T) {
	const api = "https://api.example"
	a, b := newLab(t, acptest.Options{Audience: api}, nil), newLab(t, acptest.Options{Audience: api, OpaqueTokens: true}, nil)
	va, vb := a.newVerifier(nil), b.newInquirer(func(c *acpclient.VerifierConfig) { c.Mode = "auto" })
	both, err := acpclient.NewIssuers(va, vb)
	if err != nil {
		t.Fatal(err)
	}
	claims := func(iss string) map[string]any {
		return map[string]any{"iss": iss, "sub": "alice", "aud": api, "exp": a.clock.unix(600)}
	}
	sign := func(l *lab, iss, kid string) string {
		return l.server.Key().Sign(map[string]any{"kid": kid}, claims(iss))
	}
	ka, kb := a.server.Key().ID, b.server.Key().ID
	ia, ib := a.server.Issuer, b.server.Issuer
	var visits atomic.Int32
	evil := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visits.Add(1) }))
	defer evil.Close()
	for _, row := range []struct{ name, token, issuer, want string }{
		{"A's own", sign(a, ia, ka), ia, ""},
		{"B's own", sign(b, ib, kb), ib, ""},
		{"B's opaque one", b.server.AccessToken(nil), ib, ""},
		{"BR-39 A's key, B's name", sign(a, ib, ka), "", "key_not_found"},
		{"BR-39 A's key, B's name and key id", sign(a, ib, kb), "", "signature"},
		{"BR-39 B's key, A's name and key id", sign(b, ia, ka), "", "signature"},
		{"BR-39 A's key without an id, B's name", a.server.Key().Sign(map[string]any{"kid": nil}, claims(ib)), "", "signature"},
		{"BR-38 nobody's name", sign(a, evil.URL, ka), "", "issuer"},
		{"BR-38 with a jku", a.server.Key().Sign(map[string]any{"jku": evil.URL, "x5u": evil.URL}, claims(evil.URL)), "", "issuer"},
		{"BR-38 A's name with a slash", sign(a, ia+"/", ka), "", "issuer"},
		{"BR-38 A's name in capitals", sign(a, strings.ToUpper(ia), ka), "", "issuer"},
		{"BR-38 no name", a.server.Key().Sign(nil, with(claims(""), "iss", nil)), "", "issuer"},
		{"BR-38 a list of names", a.server.Key().Sign(nil, with(claims(""), "iss", []string{ia})), "", "issuer"},
		{"BR-38 an empty name", sign(a, "", ka), "", "issuer"},
		{"BR-38 two names", a.server.Key().SignRaw(`{"alg":"ES256"}`, `{"iss":"`+ia+`","iss":"`+ib+`"}`), "", "issuer"},
		{"BR-38 a name under ISS", a.server.Key().SignRaw(`{"alg":"ES256"}`, `{"ISS":"`+ia+`"}`), "", "issuer"},
		{"BR-38 a payload that is no JSON", enc(`{"alg":"ES256"}`) + ".AAAA.AA", "", "issuer"},
		{"BR-38 a payload that is not base64url", enc(`{"alg":"ES256"}`) + ".A.AA", "", "issuer"},
		{"BR-38 no payload", enc(`{"alg":"ES256"}`) + "..AA", "", "issuer"},
		{"nobody's opaque one", "opaque", "", "inactive"},
		{"BR-10 no b64token", "a b", "", "token_malformed"},
		{"BR-10 empty", "", "", "token_malformed"},
		{"BR-10 long", strings.Repeat("a", 16<<10+1), "", "token_malformed"},
		{"BR-10 a long header", enc(`{"alg":"x","a":"`+strings.Repeat("a", 16<<10)+`"}`) + ".e30.AA", "", "token_malformed"},
	} {
		t.Run(row.name, func(t *testing.T) {
			for range 2 {
				access, err := both.Verify(t.Context(), row.token)
				wantInvalidToken(t, row.token, err, row.want)
				if err == nil && access.Issuer != row.issuer {
					t.Errorf("issuer %q", access.Issuer)
				}
			}
		})
	}
	if visits.Load() != 0 {
		t.Errorf("BR-38: %d requests to an issuer that nobody configured", visits.Load())
	}

	// Without one that introspects, opaque tokens are none.
	jwts, err := acpclient.NewIssuers(va)
	if err != nil {
		t.Fatal(err)
	}
	_, err = jwts.Verify(t.Context(), "opaque")
	wantInvalidToken(t, "", err, "token_malformed")

	// RL-31: one issuer's outage is not the other's.
	c := newLab(t, acptest.Options{Audience: api}, nil)
	three, err := acpclient.NewIssuers(va, c.newVerifier(nil))
	if err != nil {
		t.Fatal(err)
	}
	c.server.SetUnreachable(true)
	if _, err := three.Verify(t.Context(), sign(c, c.server.Issuer, c.server.Key().ID)); !errors.Is(err, acpclient.ErrUnavailable) {
		t.Error(err)
	}
	if _, err := three.Verify(t.Context(), sign(a, ia, ka)); err != nil {
		t.Errorf("RL-31: %v", err)
	}
	// A closed one is closed, and the others go on.
	va.Close(t.Context())
	if _, err := both.Verify(t.Context(), sign(a, ia, ka)); !errors.Is(err, acpclient.ErrClosed) {
		t.Error(err)
	}
	if _, err := both.Verify(t.Context(), sign(b, ib, kb)); err != nil {
		t.Error(err)
	}
}

// Mode introspection in company: its issuer's JWTs are introspected, too.
func TestIssuersIntrospectJWTs(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	one, err := acpclient.NewIssuers(l.newInquirer(nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := one.Verify(t.Context(), l.server.AccessToken(nil)); err != nil || l.count(acptest.IntrospectEndpoint) != 1 {
		t.Errorf("%v, %d introspections", err, l.count(acptest.IntrospectEndpoint))
	}
}

// CF-01: the mistakes of NewIssuers, all at once.
func TestNewIssuersRefuses(t *testing.T) {
	make := func(issuer, mode string) *acpclient.Verifier {
		v, err := acpclient.NewVerifier(acpclient.VerifierConfig{Issuer: issuer, Audience: "https://api.example", Mode: mode, ClientID: "api", Auth: acpclient.Secret("s")})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	const a, b = "https://a.example", "https://b.example"
	for name, row := range map[string]struct {
		verifiers []*acpclient.Verifier
		says      []string
	}{
		"none":                {nil, []string{"no verifier"}},
		"nil":                 {[]*acpclient.Verifier{make(a, ""), nil}, []string{"verifier 2 is nil"}},
		"the same twice":      {[]*acpclient.Verifier{make(a, ""), make(a, "")}, []string{"two verifiers", a}},
		"two introspect":      {[]*acpclient.Verifier{make(a, "auto"), make(b, "introspection")}, []string{"introspect", a, b}},
		"all of it, together": {[]*acpclient.Verifier{nil, make(a, "auto"), make(a, "auto")}, []string{"nil", "two verifiers", "both introspect"}},
	} {
		t.Run("CF-01 "+name, func(t *testing.T) {
			i, err := acpclient.NewIssuers(row.verifiers...)
			if i != nil || err == nil {
				t.Fatal(err)
			}
			for _, says := range row.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%q is missing in %v", says, err)
				}
			}
		})
	}
	if _, err := acpclient.NewIssuers(make(a, ""), make(b, "auto")); err != nil {
		t.Error(err)
	}
}
