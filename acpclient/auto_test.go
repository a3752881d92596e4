package acpclient_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// shapes are tokens, and whether each is a JWT in the sense that it is never introspected:
// three base64url parts, the first a JSON object with an alg.
var shapes = []struct {
	name, token string
	jwt         bool
}{
	{"unsigned", acptest.Unsigned(nil, map[string]any{"sub": "alice"}), true},
	{"alg unknown", enc(`{"alg":"X"}`) + ".e30.AA", true},
	{"alg null", enc(`{"alg":null}`) + ".e30.AA", true},
	{"alg a number", enc(`{"alg":7}`) + ".e30.AA", true},
	{"alg twice", enc(`{"alg":"a","alg":"b"}`) + ".e30.AA", true},
	{"white space in the header", enc(" {\n\"alg\" : \"x\" } ") + ".e30.AA", true},
	{"an escaped name", enc(`{"\u0061lg":"x"}`) + ".e30.AA", true},
	{"no signature", enc(`{"alg":"ES256"}`) + ".e30.", true},
	{"no payload", enc(`{"alg":"ES256"}`) + "..AA", true},
	{"neither", enc(`{"alg":"ES256"}`) + "..", true},
	{"a payload that is no JSON", enc(`{"alg":"ES256"}`) + ".AAAA.AA", true},
	{"parts of an impossible length", enc(`{"alg":"ES256"}`) + ".A.A", true},
	{"bits too many in the header", strings.TrimSuffix(enc(`{"alg":"x"}`), "0") + "1.e30.AA", true},
	{"nested deep", enc(`{"alg":"x","a":`+strings.Repeat("[", 100)+strings.Repeat("]", 100)+`}`) + ".e30.AA", true},

	{"empty", "", false},
	{"points", "..", false},
	{"opaque", "dGhpcyBpcyBvcGFxdWU", false},
	{"opaque with points", "a.b.c", false},
	{"one part", enc(`{"alg":"ES256"}`), false},
	{"two parts", enc(`{"alg":"ES256"}`) + ".e30", false},
	{"four parts", enc(`{"alg":"ES256"}`) + ".e30.AA.AA", false},
	{"a JWE", enc(`{"alg":"RSA-OAEP","enc":"A256GCM"}`) + ".AA.AA.AA.AA", false},
	{"no alg", enc(`{"typ":"JWT"}`) + ".e30.AA", false},
	{"ALG", enc(`{"ALG":"ES256"}`) + ".e30.AA", false},
	{"alg inside", enc(`{"x":{"alg":"ES256"}}`) + ".e30.AA", false},
	{"a list", enc(`["alg"]`) + ".e30.AA", false},
	{"a string", enc(`"alg"`) + ".e30.AA", false},
	{"null", enc(`null`) + ".e30.AA", false},
	{"half", enc(`{"alg":"ES256"`) + ".e30.AA", false},
	{"more behind", enc(`{"alg":"ES256"}x`) + ".e30.AA", false},
	{"padded header", base64.URLEncoding.EncodeToString([]byte(`{"alg":"ES"}`+" ")) + ".e30.AA", false},
	{"padded payload", enc(`{"alg":"ES256"}`) + ".e30=.AA", false},
	{"another alphabet", enc(`{"alg":"ES256"}`) + ".a+b/.AA", false},
	{"a tilde", enc(`{"alg":"ES256"}`) + ".e30.~", false},
}

// Mode auto: a JWT, good or broken, is never introspected, and everything else is.
func TestAuto(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	auto := func(c *acpclient.VerifierConfig) { c.Mode = "auto" }
	v := l.newInquirer(auto)
	jwt := l.server.AccessToken(nil)
	l.passes(v, jwt, nil)
	if n := l.count(acptest.IntrospectEndpoint); n != 0 {
		t.Error("a good JWT was introspected")
	}
	other := acptest.NewKey("ES256")
	claims := map[string]any{"iss": l.server.Issuer, "sub": "alice", "aud": l.server.Audience, "exp": l.clock.unix(600)}
	header, _, _ := strings.Cut(jwt, ".")
	for reason, token := range map[string]string{
		"expired":         l.server.AccessToken(map[string]any{"exp": 1}),
		"audience":        l.server.AccessToken(map[string]any{"aud": "x"}),
		"signature":       other.Sign(map[string]any{"kid": l.server.Key().ID}, claims),
		"key_not_found":   other.Sign(nil, claims),
		"alg":             acptest.SignHMAC([]byte("x"), nil, claims),
		"token_malformed": header + "..AA",
	} {
		_, err := v.Verify(t.Context(), token)
		wantInvalidToken(t, token, err, reason)
	}
	if n := l.count(acptest.IntrospectEndpoint); n != 0 {
		t.Errorf("bad JWTs were introspected, %d of them", n)
	}
	// Behind the header of a JWT that was good, too.
	_, err := v.Verify(t.Context(), header+".e30.~")
	wantInvalidToken(t, "", err, "inactive")
	asked := 1
	for _, row := range shapes {
		t.Run(row.name, func(t *testing.T) {
			if got := acpclient.LooksLikeJWT(row.token); got != row.jwt {
				t.Errorf("a JWT: %v, want %v", got, row.jwt)
			}
			_, err := v.Verify(t.Context(), row.token)
			opaque := !row.jwt && row.token != "" && !strings.Contains(row.token, "=.") // which RFC 6750 2.1 does not allow
			if opaque {
				asked++
			}
			if got := acpclient.Reason(err); (got == "inactive") != opaque {
				t.Errorf("reason %q", got)
			}
			if n := l.count(acptest.IntrospectEndpoint); n != asked {
				t.Errorf("%d introspections, want %d", n, asked)
			}
		})
	}
	// An opaque token that is good; and in the other modes one way is the only one.
	opaque, desk := newDesk(t, auto)
	opaque.passes(desk, opaque.server.AccessToken(nil), nil)
	if n := opaque.count(acptest.JWKSEndpoint); n != 0 {
		t.Error("an opaque token needs no keys")
	}
	l.passes(l.newInquirer(nil), jwt, nil)
	if n := l.count(acptest.IntrospectEndpoint); n != asked+1 {
		t.Error("mode introspection does not introspect a JWT")
	}
	_, err = opaque.newVerifier(nil).Verify(t.Context(), opaque.server.AccessToken(nil))
	wantInvalidToken(t, "", err, "token_malformed")
}

// FuzzLooksLikeJWT holds looksLikeJWT against its definition, written down once more.
func FuzzLooksLikeJWT(f *testing.F) {
	for _, row := range shapes {
		f.Add(row.token)
	}
	f.Add("eyJhbGciOiJ4In0\n.e30.AA")
	f.Fuzz(func(t *testing.T, token string) {
		parts := strings.Split(token, ".")
		want := len(parts) == 3
		for _, p := range parts {
			want = want && strings.Trim(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_\r\n") == ""
		}
		for _, p := range parts[1:] {
			want = want && !strings.ContainsAny(p, "\r\n")
		}
		if want {
			text, err := base64.RawURLEncoding.DecodeString(parts[0])
			var members map[string]any
			want = err == nil && json.Unmarshal(text, &members) == nil
			_, has := members["alg"]
			want = want && has
		}
		if got := acpclient.LooksLikeJWT(token); got != want {
			t.Errorf("%q: %v, want %v", token, got, want)
		}
	})
}
