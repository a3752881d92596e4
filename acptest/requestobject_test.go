package acptest_test

import (
	"crypto"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/acp-go/acp/acptest"
)

// object makes the claims of a correct request object out of parameters.
func (c *client) object(params url.Values) map[string]any {
	now := time.Now().Unix()
	claims := map[string]any{"iss": c.s.ClientID, "aud": c.s.Issuer, "iat": now, "nbf": now, "exp": now + 60, "jti": "object-" + strconv.Itoa(c.n)}
	for name, values := range params {
		claims[name] = values[0]
	}
	return claims
}

var requestHeader = map[string]any{"typ": "oauth-authz-req+jwt"}

func TestRequestObject(t *testing.T) {
	key := acptest.NewKey("ES256")
	c := newClient(t, &acptest.Options{RequireRequestObject: true, Client: acptest.Client{RequestKey: key.Public()}})
	meta := c.get(c.s.URL(acptest.MetadataEndpoint), nil)
	if meta.json["require_signed_request_object"] != true || meta.json["request_parameter_supported"] != true {
		t.Errorf("metadata %s", meta.body)
	}
	var got url.Values
	c.s.OnAuthorize(func(a *acptest.Authorization) { got = a.Params })
	params := c.params()
	claims := c.object(params)
	claims["max_age"], claims["resource"], claims["claims"] = 60, []string{"urn:a", "urn:b"}, map[string]any{"userinfo": nil}
	object := url.Values{"client_id": {c.s.ClientID}, "request": {key.Sign(requestHeader, claims)}}
	back := c.authorize(object)
	c.authorize(object) // a reload
	want := maps.Clone(params)
	want["max_age"], want["resource"], want["claims"] = []string{"60"}, []string{"urn:a", "urn:b"}, []string{`{"userinfo":null}`}
	if got.Encode() != want.Encode() || back.Get("state") != params.Get("state") {
		t.Errorf("params %v, want %v", got, want)
	}
	if a := c.token(c.tokenForm(back.Get("code")), c.basic()); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	pushed := url.Values{"client_id": {c.s.ClientID}, "request": {key.Sign(requestHeader, c.object(c.params()))}}
	if a := c.push(pushed, c.basic()); a.status != 201 || c.get(c.pushedURL(c.s.ClientID, text(a.json, "request_uri")), nil).status != 302 {
		t.Errorf("pushed: %d %s", a.status, a.body)
	}
}

// Every fault of a request object is refused and named, in the URL and pushed.
func TestRequestObjectFaults(t *testing.T) {
	key, other := acptest.NewKey("ES256"), acptest.NewKey("ES256")
	now := time.Now().Unix()
	rows := []struct {
		name, text string
		header     map[string]any
		claims     map[string]any // nil value: left out
		with       *acptest.Key
	}{
		{"signature", "does not verify", nil, nil, other},
		{"alg none", "does not verify", nil, nil, nil},
		{"typ", "typ", map[string]any{"typ": "JWT"}, nil, key},
		{"no typ", "typ", map[string]any{"typ": nil}, nil, key},
		{"iss", "iss and client_id", nil, map[string]any{"iss": "x"}, key},
		{"no iss", "iss and client_id", nil, map[string]any{"iss": nil}, key},
		{"client_id", "iss and client_id", nil, map[string]any{"client_id": "x"}, key},
		{"aud", "aud must be", nil, map[string]any{"aud": "https://evil.example"}, key},
		{"no aud", "aud must be", nil, map[string]any{"aud": nil}, key},
		{"sub", "client assertion", nil, map[string]any{"sub": "j"}, key},
		{"request inside", "request or request_uri", nil, map[string]any{"request": "x"}, key},
		{"request_uri inside", "request or request_uri", nil, map[string]any{"request_uri": "x"}, key},
		{"no exp", "exp or nbf", nil, map[string]any{"exp": nil}, key},
		{"no nbf", "exp or nbf", nil, map[string]any{"nbf": nil}, key},
		{"expired", "expired", nil, map[string]any{"exp": now - 60}, key},
		{"not yet", "not valid yet", nil, map[string]any{"nbf": now + 60, "exp": now + 120}, key},
		{"for a day", "more than an hour", nil, map[string]any{"exp": now + 86400}, key},
		{"no jti", "jti is missing", nil, map[string]any{"jti": nil}, key},
	}
	for _, row := range rows {
		for _, pushed := range []bool{false, true} {
			t.Run(row.name+" pushed "+strconv.FormatBool(pushed), func(t *testing.T) {
				rec := &recorder{TB: t}
				c := &client{t: t, s: acptest.NewServer(rec, &acptest.Options{Client: acptest.Client{ID: "j", RequestKey: key.Public()}})}
				claims := c.object(c.params())
				maps.Copy(claims, row.claims)
				maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
				header := maps.Clone(requestHeader)
				maps.Copy(header, row.header)
				object := acptest.Unsigned(requestHeader, claims)
				if row.with != nil {
					object = row.with.Sign(header, claims)
				}
				v := url.Values{"client_id": {"j"}, "request": {object}}
				var a answer
				if pushed {
					a = c.push(v, c.basic())
				} else {
					a = c.get(c.s.URL(acptest.AuthorizeEndpoint)+"?"+v.Encode(), nil)
				}
				if b := c.s.Breaches(); a.status != 400 || a.header.Get("Location") != "" || len(b) != 1 || b[0].Rule != acptest.RuleRequestObject || !strings.Contains(b[0].Text, row.text) {
					t.Errorf("%d, breaches %v", a.status, b)
				}
			})
		}
	}
	t.Run("beside it, twice, and without", func(t *testing.T) {
		rec := &recorder{TB: t}
		c := &client{t: t, s: acptest.NewServer(rec, &acptest.Options{RequireRequestObject: true, Client: acptest.Client{ID: "j", RequestKey: key.Public()}})}
		first := c.object(c.params())
		v := url.Values{"client_id": {"j"}, "request": {key.Sign(requestHeader, first)}, "login_hint": {"alice"}}
		if a := c.get(c.s.URL(acptest.AuthorizeEndpoint)+"?"+v.Encode(), nil); a.status != 302 || !strings.Contains(rec.text(), "login_hint") {
			t.Errorf("beside: %d %q", a.status, rec.failures)
		}
		second := c.object(c.params())
		second["jti"] = first["jti"]
		v = url.Values{"client_id": {"j"}, "request": {key.Sign(requestHeader, second)}}
		if a := c.get(c.s.URL(acptest.AuthorizeEndpoint)+"?"+v.Encode(), nil); a.status != 400 || !strings.Contains(rec.text(), "jti is that of an earlier one") {
			t.Errorf("twice: %d %q", a.status, rec.failures)
		}
		if a := c.get(c.s.URL(acptest.AuthorizeEndpoint)+"?"+c.params().Encode(), nil); a.status != 400 || !strings.Contains(rec.text(), "RFC 9101 10.5") {
			t.Errorf("without: %d %q", a.status, rec.failures)
		}
	})
	t.Run("encrypted", func(t *testing.T) {
		server, stranger := acptest.KeyFrom("enc-1", "ECDH-ES", other.Signer()), acptest.NewKey("ES256")
		wrap := func(to crypto.PublicKey, alg jose.KeyAlgorithm, kid, cty, text string) string {
			encrypter, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: alg, Key: to, KeyID: kid}, (&jose.EncrypterOptions{}).WithContentType(jose.ContentType(cty)))
			if err != nil {
				t.Fatal(err)
			}
			jwe, err := encrypter.Encrypt([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			compact, err := jwe.CompactSerialize()
			if err != nil {
				t.Fatal(err)
			}
			return compact
		}
		for name, row := range map[string]struct {
			wrap func(text string) string
			text string // "" is success
		}{
			"right":             {func(text string) string { return wrap(server.Public(), jose.ECDH_ES, "enc-1", "JWT", text) }, ""},
			"another key":       {func(text string) string { return wrap(stranger.Public(), jose.ECDH_ES, "enc-1", "JWT", text) }, "cannot be decrypted"},
			"another algorithm": {func(text string) string { return wrap(server.Public(), jose.ECDH_ES_A128KW, "enc-1", "JWT", text) }, "does not take"},
			"another kid":       {func(text string) string { return wrap(server.Public(), jose.ECDH_ES, "enc-2", "JWT", text) }, "kid"},
			"no cty":            {func(text string) string { return wrap(server.Public(), jose.ECDH_ES, "enc-1", "", text) }, "cty"},
			"not signed":        {func(string) string { return wrap(server.Public(), jose.ECDH_ES, "enc-1", "JWT", "{}") }, "compact JWS"},
		} {
			rec := &recorder{TB: t}
			c := &client{t: t, s: acptest.NewServer(rec, &acptest.Options{EncryptionKey: server, Client: acptest.Client{RequestKey: key.Public()}})}
			v := url.Values{"client_id": {c.s.ClientID}, "request": {row.wrap(key.Sign(requestHeader, c.object(c.params())))}}
			a := c.get(c.s.URL(acptest.AuthorizeEndpoint)+"?"+v.Encode(), nil)
			if want := map[bool]int{true: 302, false: 400}[row.text == ""]; a.status != want || (row.text == "") != (len(rec.failures) == 0) || !strings.Contains(rec.text(), row.text) {
				t.Errorf("%s: %d, failures %q", name, a.status, rec.failures)
			}
		}
	})
	t.Run("of a client that registered no key", func(t *testing.T) {
		c := newClient(t, nil)
		back := c.authorize(url.Values{"client_id": {c.s.ClientID}, "redirect_uri": {redirect}, "response_type": {"code"}, "state": {"state-state-state-state"}, "request": {"x"},
			"code_challenge": {challengeOf(1)}, "code_challenge_method": {"S256"}})
		if back.Get("error") != "request_not_supported" {
			t.Errorf("%v", back)
		}
	})
}
