package acpclient_test

import (
	"bytes"
	"crypto/ed25519"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/internal/strictjson"
)

// fuzzed are Verifiers without a network, at one moment in time.
type fuzzed struct {
	key    *acptest.Key
	now    time.Time
	answer atomic.Pointer[string] // to introspections
	asked  atomic.Int32           // by tests that count
}

const fuzzIssuer, fuzzAPI = "https://as.example", "https://api.example"

func newFuzzed() *fuzzed {
	return &fuzzed{key: acptest.NewKey("EdDSA"), now: time.Unix(1_700_000_000, 0)}
}

func (z *fuzzed) verifier(t testing.TB, edit func(*acpclient.VerifierConfig)) *acpclient.Verifier {
	config := acpclient.VerifierConfig{
		Issuer: fuzzIssuer, Audience: fuzzAPI, Logger: slog.New(slog.DiscardHandler),
		Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
			body := `{"issuer":"https://as.example","jwks_uri":"https://as.example/jwks","introspection_endpoint":"https://as.example/introspect"}`
			switch {
			case strings.HasSuffix(req.URL.Path, "/jwks"):
				body = fmt.Sprintf(`{"keys":[%s]}`, keyJSON(z.key))
			case strings.HasSuffix(req.URL.Path, "/introspect"):
				body = *z.answer.Load()
			}
			return response(http.StatusOK, "application/json", body), nil
		}),
	}
	edit(&config)
	v, err := acpclient.NewVerifier(config)
	if err != nil {
		t.Fatal(err)
	}
	v.SetClock(func() time.Time { return z.now })
	t.Cleanup(func() { v.Close(t.Context()) })
	return v
}

// claimSeeds are what the tables attack with, as whole payloads.
func claimSeeds() (seeds []string) {
	const good = `"iss":"https://as.example","sub":"alice","aud":["cid","https://api.example"],"exp":1700000600,"iat":1700000000`
	seeds = append(seeds, `{`+good+`}`, `{}`, `[]`, ``, `null`, `{`+good+`,`+good+`}`, `{`+good+`} x`)
	for _, more := range []string{
		`"scp":["a","b"],"scope":"b c"`, `"scp":"a b"`, `"scp":7`, `"scope":null`, `"scp":["a",1]`, `"SCP":7`,
		`"cnf":{"jkt":"x"}`, `"cnf":null`, `"nonce":"n"`, `"NONCE":"n"`, `"events":{}`, `"at_hash":null`, `"c_hash":1`,
		`"nbf":1700000030`, `"nbf":1700000031`, `"nbf":1.70000003e9`, `"nbf":"1"`, `"nbf":null`, `"nbf":-1`, `"nbf":1e300`, `"nbf":9223372036854775807`,
		`"tid":"acme","aid":"demo"`, `"tid":7`, `"tid":null`, `"tenant_id":7`, `"acr":"1"`, `"acr":1`, `"amr":["pwd"]`, `"amr":"pwd"`,
		`"auth_time":1699999999.5`, `"auth_time":"x"`, `"client_id":"cid"`, `"client_id":7`, `"\u0061cr":7`, `"x":"\ud800"`, `"x":{"a":1,"a":2}`,
	} {
		seeds = append(seeds, `{`+good+`,`+more+`}`)
	}
	for _, change := range [][2]string{
		{`1700000600`, `1699999971`}, {`1700000600`, `1699999970`}, {`1700000600`, `"1700000600"`}, {`1700000600`, `1.7000006e9`}, {`1700000600`, `1e400`},
		{`"iat":1700000000`, `"iat":1700000031`}, {`"iat":1700000000`, `"iat":-0`}, {`"alice"`, `""`}, {`"alice"`, `7`}, {`"alice"`, `"\u00e9\n"`},
		{`["cid","https://api.example"]`, `"https://api.example"`}, {`["cid","https://api.example"]`, `[1,"https://api.example"]`}, {`"https://as.example"`, `"https://as.example/"`},
	} {
		seeds = append(seeds, `{`+strings.Replace(good, change[0], change[1], 1)+`}`)
	}
	return seeds
}

// goodAccess is the model: the rules for an access token's claims, on what go-jose's reader,
// which is exact about names and refuses duplicates, made of them.
func (z *fuzzed) goodAccess(m map[string]any, tenant, workspace string) bool {
	for _, mark := range []string{"nonce", "at_hash", "c_hash", "events", "cnf"} {
		if _, ok := m[mark]; ok {
			return false
		}
	}
	text := func(name string, nullable bool) bool {
		v, there := m[name]
		_, ok := v.(string)
		return !there || ok || nullable && v == nil
	}
	list := func(v any) bool {
		l, ok := v.([]any)
		return ok && !slices.ContainsFunc(l, func(e any) bool { _, ok := e.(string); return !ok })
	}
	date := func(name string, earliest, latest int64) bool {
		v, there := m[name]
		if !there {
			return true
		}
		n, ok := v.(json.Number)
		if !ok || len(n) > 100 || strings.ContainsAny(string(n), "eE") && len(n)-strings.IndexAny(string(n), "eE") > 5 {
			return false // beyond what the inputs here hold
		}
		r, _ := new(big.Rat).SetString(string(n))
		floor := new(big.Int).Div(r.Num(), r.Denom())
		return floor.IsInt64() && floor.Int64() >= max(earliest, 0) && floor.Int64() <= min(latest, 253402300799)
	}
	aud := m["aud"]
	if s, ok := aud.(string); ok {
		aud = []any{s}
	}
	sub, _ := m["sub"].(string)
	now := z.now.Unix()
	for _, name := range []string{"scp", "scope"} {
		v, there := m[name]
		if s, ok := v.(string); ok && strings.Count(s, " ") < 1000 || !there || v == nil {
			continue
		}
		if l, _ := v.([]any); !list(v) || len(l) > 1000 {
			return false
		}
	}
	if v, there := m["amr"]; there && v != nil && !list(v) {
		return false
	}
	plain := 0 < len(sub) && len(sub) <= 255 && !strings.ContainsFunc(sub, func(r rune) bool { return r < ' ' || r > '~' })
	return plain && text("client_id", false) && text(tenant, true) && text(workspace, true) && text("acr", true) &&
		(m["auth_time"] == nil || date("auth_time", 0, 253402300799)) &&
		list(aud) && len(aud.([]any)) <= 100 && slices.Contains(aud.([]any), any(fuzzAPI)) &&
		date("exp", now-29, 1<<62) && date("nbf", 0, now+30) && date("iat", 0, now+30)
}

// read reads an object as go-jose does.
func read(text string) (m map[string]any, ok bool) {
	if !stdjson.Valid([]byte(text)) {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.SetNumberType(json.UnmarshalJSONNumber)
	return m, d.Decode(&m) == nil && m != nil
}

// far holds for numbers that exact arithmetic would take too long for.
func far(text string) bool {
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return !strings.ContainsRune("0123456789eE+-.", r) }) {
		if i := strings.IndexAny(word, "eE"); len(word) > 100 || i >= 0 && len(word)-i > 5 {
			return true
		}
	}
	return false
}

// FuzzAccessToken signs claims, and holds what the Verifier makes of them against the model,
// and against go-jose/jwt where it accepts them.
func FuzzAccessToken(f *testing.F) {
	z := newFuzzed()
	fresh := z.verifier(f, func(c *acpclient.VerifierConfig) { c.CacheSize = new(0) })
	remembers := z.verifier(f, func(c *acpclient.VerifierConfig) { c.CacheSize = new(10) })
	for _, seed := range claimSeeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, payload string) {
		if len(payload) > 8<<10 || payload == "" || far(payload) {
			return
		}
		token := z.key.SignRaw(fmt.Sprintf(`{"alg":"EdDSA","kid":%q}`, z.key.ID), payload)
		a, err := fresh.Verify(t.Context(), token)
		for range 2 {
			again, err2 := remembers.Verify(t.Context(), token)
			if acpclient.Reason(err2) != acpclient.Reason(err) || err == nil && (again.Subject != a.Subject || !slices.Equal(again.Scopes, a.Scopes)) {
				t.Fatalf("%v, and then %v", err, err2)
			}
		}
		if err != nil && !errors.Is(err, acpclient.ErrInvalidToken) {
			t.Fatal(err)
		}
		m, readable := read(payload)
		_, strict := strictjson.Parse(payload)
		want := readable && strict == nil && m["iss"] == fuzzIssuer && m["exp"] != nil && z.goodAccess(m, "tid", "aid")
		if (err == nil) != want {
			t.Fatalf("%v, the model says %v: %s", err, want, payload)
		}
		if err != nil {
			return
		}
		parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.EdDSA})
		if err != nil {
			t.Fatal(err)
		}
		var claims jwt.Claims
		if err := parsed.Claims(z.key.Public().(ed25519.PublicKey), &claims); err != nil {
			t.Fatal(err)
		}
		if err := claims.ValidateWithLeeway(jwt.Expected{Issuer: fuzzIssuer, AnyAudience: jwt.Audience{fuzzAPI}, Time: z.now}, 31*time.Second); err != nil {
			t.Fatalf("go-jose: %v", err)
		}
		if a.Subject != claims.Subject || !slices.Equal(a.Audience, claims.Audience) || a.Issuer != claims.Issuer || a.Expiry.Unix() != claims.Expiry.Time().Unix() {
			t.Fatalf("%+v, go-jose has %+v", a, claims)
		}
	})
}

// FuzzIntrospectionAnswer holds what becomes of an answer against the model. What is no
// answer says nothing of the token, and nothing else is unavailable.
func FuzzIntrospectionAnswer(f *testing.F) {
	z := newFuzzed()
	v := z.verifier(f, func(c *acpclient.VerifierConfig) {
		c.Mode, c.CacheSize, c.ClientID, c.Auth = "introspection", new(0), "api", acpclient.Secret(canary)
	})
	for _, seed := range claimSeeds() {
		f.Add(seed)
		f.Add(strings.Replace(seed, "{", `{"active":true,`, 1))
		f.Add(strings.Replace(seed, "{", `{"active":true,"token_type":"access_token","tenant_id":"acme",`, 1))
	}
	for _, members := range []string{
		`"active":false`, `"active":"true"`, `"active":1`, `"active":null`, `"active":true,"active":false`, `"ACTIVE":true`,
		`"active":true,"token_type":"refresh_token"`, `"active":true,"token_type":"DPoP"`, `"active":true,"token_type":null`,
		`"active":true,"sub":"a","aud":"https://api.example"`, `"active":true,"sub":"a","aud":"https://api.example","iss":"x"`,
		`"active":true,"sub":"a","aud":"https://api.example","exp":null`, `"active":true,"sub":"a","aud":"https://api.example","server_id":7`,
	} {
		f.Add(`{` + members + `}`)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		if far(answer) || len(answer) > 1<<16 {
			return
		}
		z.answer.Store(&answer)
		a, err := v.Verify(t.Context(), "token")
		m, readable := read(answer)
		_, strict := strictjson.Parse(answer)
		active, judged := m["active"].(bool)
		judged = judged && readable && strict == nil
		kind, isText := m["token_type"].(string)
		isKind := m["token_type"] == nil || isText && slices.Contains([]string{"access_token", "bearer", "urn:ietf:params:oauth:token-type:access_token"}, strings.ToLower(kind))
		iss, named := m["iss"]
		exp, ends := m["exp"]
		want := judged && active && isKind && (!named || iss == fuzzIssuer) && (!ends || exp != nil) && z.goodAccess(m, "tenant_id", "server_id")
		switch {
		case errors.Is(err, acpclient.ErrUnavailable) == errors.Is(err, acpclient.ErrInvalidToken) && err != nil:
			t.Fatalf("of both kinds, or of none: %v", err)
		case errors.Is(err, acpclient.ErrUnavailable) == judged:
			t.Fatalf("%v, though an answer: %v", err, judged)
		case (err == nil) != want:
			t.Fatalf("%v, the model says %v: %s", err, want, answer)
		case err == nil && (a.Subject != m["sub"] || a.Issuer != fuzzIssuer):
			t.Fatalf("%+v", a)
		}
	})
}
