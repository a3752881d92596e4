package acpclient_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/pkce"
)

// JAR: all parameters are signed, and none stands outside, in the URL or in the pushed form.
func TestRequestObjects(t *testing.T) {
	rows := []struct {
		name, key, alg, want string
		pushed               bool
	}{
		{"JAR RS256 by default", "RS256", "", "RS256", false},
		{"JAR PS256", "RS256", "PS256", "PS256", false},
		{"JAR ES256", "ES256", "", "ES256", false},
		{"JAR EdDSA", "EdDSA", "EdDSA", "EdDSA", false},
		{"AZ-30 JAR pushed", "ES256", "", "ES256", true},
		{"AZ-30 JAR pushed PS256", "RS256", "PS256", "PS256", true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			key := newSigner(t, row.key)
			options := &acptest.Options{RequirePAR: row.pushed, RequireRequestObject: true, Client: acptest.Client{RequestKey: key.Public()}}
			setting := &acpclient.RequestObject{Key: opaque{key}, KeyID: "kid-1", Alg: row.alg}
			r := newRig(t, options, func(c *acpclient.Config) { c.RequestObject = setting })
			setting.Key, setting.Audience = nil, "https://evil.example" // CF-06
			if err := r.client.Ready(t.Context()); err != nil {
				t.Fatal("Ready:", err)
			}
			flow, callback := r.callback(&acpclient.AuthorizeOptions{
				LoginHint: "alice@example.com", Resources: []string{"https://a.example", "urn:b"}, MaxAge: new(time.Minute),
				Claims: []byte(`{"id_token":{"acr":{"values":["2"]}}}`), Extra: url.Values{"x_custom": {"7"}},
			})
			query := r.Requests(acptest.AuthorizeEndpoint)[0].Query
			outside, object := []string{"client_id", "request"}, query.Get("request")
			if row.pushed {
				form := r.Requests(acptest.PAREndpoint)[0].Form
				if names := slices.Sorted(maps.Keys(form)); !slices.Equal(names, outside) || form.Get("client_id") != r.ClientID {
					t.Errorf("the pushed form has %q", names)
				}
				outside, object = []string{"client_id", "request_uri"}, form.Get("request")
			}
			if names := slices.Sorted(maps.Keys(query)); !slices.Equal(names, outside) || query.Get("client_id") != r.ClientID {
				t.Errorf("the URL has %q", names)
			}
			header, claims := openJWT(t, object)
			if want := map[string]any{"alg": row.want, "typ": "oauth-authz-req+jwt", "kid": "kid-1"}; !reflect.DeepEqual(header, want) {
				t.Errorf("header %v", header)
			}
			now := float64(r.now().Unix())
			if iat, _ := claims["iat"].(float64); iat > now || iat < now-10 || claims["nbf"] != iat || claims["exp"] != iat+300 {
				t.Errorf("iat %v, nbf %v, exp %v", claims["iat"], claims["nbf"], claims["exp"])
			}
			jti, _ := claims["jti"].(string)
			for _, name := range []string{"iat", "nbf", "exp", "jti"} {
				delete(claims, name)
			}
			want := map[string]any{
				"iss": r.ClientID, "aud": r.Issuer, "client_id": r.ClientID, "response_type": "code", "redirect_uri": redirectURL,
				"scope": "openid offline_access", "state": flow.State, "nonce": flow.Nonce,
				"code_challenge": pkce.Challenge(flow.Verifier), "code_challenge_method": "S256",
				"login_hint": "alice@example.com", "resource": []any{"https://a.example", "urn:b"}, "max_age": 60.0,
				"claims": map[string]any{"id_token": map[string]any{"acr": map[string]any{"values": []any{"2"}}}}, "x_custom": "7",
			}
			if !reflect.DeepEqual(claims, want) {
				t.Errorf("claims\n%v, want\n%v", claims, want)
			}
			tokens, err := r.client.Exchange(t.Context(), flow, callback)
			if err != nil {
				t.Fatal("Exchange:", err)
			}
			r.tokenSecrets(tokens)
			address, _, err := r.client.Authorize(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if !row.pushed {
				u, _ := url.Parse(address)
				if _, claims := openJWT(t, u.Query().Get("request")); claims["jti"] == jti || jti == "" || claims["resource"] != nil {
					t.Errorf("the next request's claims are %v", claims)
				}
			}
			if r.client.Config().RequestObject != nil {
				t.Error("Config gives the key away")
			}
		})
	}
}

// What one side demands and the other does not have is said before any redirect.
func TestRequestObjectDemands(t *testing.T) {
	key := newSigner(t, "ES256")
	object, encrypted := &acpclient.RequestObject{Key: key}, &acpclient.RequestObject{Key: key, EncryptionAlg: "ECDH-ES"}
	rows := []struct {
		name     string
		set      *acpclient.RequestObject
		pushed   bool
		metadata map[string]any
		says     string // "" is success
	}{
		{"JAR demanded, not set", nil, false, map[string]any{"require_signed_request_object": true}, "RequestObject is not set"},
		{"JAR demanded, not set, pushed", nil, true, map[string]any{"require_signed_request_object": true}, "RequestObject is not set"},
		{"JAR set, not taken", object, false, map[string]any{"request_parameter_supported": false}, "RequestObject is set"},
		{"JAR set, not by this algorithm", object, false, map[string]any{"request_object_signing_alg_values_supported": []string{"PS256"}}, "RequestObject.Alg ES256"},
		{"JAR set, not by this algorithm, pushed", object, true, map[string]any{"request_object_signing_alg_values_supported": []string{"PS256"}}, "RequestObject.Alg ES256"},
		{"JAR set, by no algorithm", object, false, map[string]any{"request_object_signing_alg_values_supported": []string{}}, "RequestObject.Alg ES256"},
		{"JAR not by this encryption", encrypted, false, map[string]any{"request_object_encryption_alg_values_supported": []string{"RSA-OAEP"}}, "RequestObject.EncryptionAlg ECDH-ES"},
		{"JAR not by this content encryption", encrypted, true, map[string]any{"request_object_encryption_enc_values_supported": []string{"A256GCM"}}, "RequestObject.EncryptionEnc A128CBC-HS256"},
		{"JAR encrypted, no keys", encrypted, false, map[string]any{"jwks_uri": nil}, "no jwks_uri"},
		{"JAR encrypted, server silent", encrypted, false, map[string]any{"request_object_encryption_alg_values_supported": nil, "request_object_encryption_enc_values_supported": nil}, ""},
		{"JAR demanded in a string", object, false, map[string]any{"require_signed_request_object": "true"}, "require_signed_request_object"},
		{"JAR algorithms in a string", object, false, map[string]any{"request_object_signing_alg_values_supported": "ES256"}, "request_object_signing_alg_values_supported"},
		{"JAR set, server silent", object, false, map[string]any{"request_parameter_supported": nil, "request_object_signing_alg_values_supported": nil, "require_signed_request_object": nil}, ""},
		{"JAR set, by this algorithm", object, false, map[string]any{"request_object_signing_alg_values_supported": []string{"PS256", "ES256"}}, ""},
		{"JAR set, pushed", object, true, map[string]any{"request_parameter_supported": false}, ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, &acptest.Options{RequirePAR: row.pushed, Client: acptest.Client{RequestKey: key.Public()}}, func(c *acpclient.Config) { c.RequestObject = row.set })
			r.OnMetadata(func(m map[string]any) {
				for name, value := range row.metadata {
					if m[name] = value; value == nil {
						delete(m, name)
					}
				}
			})
			ready := r.client.Ready(t.Context())
			if row.says == "" {
				if ready != nil {
					t.Error("Ready:", ready)
				}
				r.login()
				return
			}
			address, flow, err := r.client.Authorize(t.Context(), nil)
			if address != "" || flow != nil {
				t.Errorf("Authorize = %q, %v beside the error", address, flow)
			}
			for _, err := range []error{ready, err} {
				r.fails(err, acpclient.ErrInvalidResponse, "metadata")
				if err == nil || !strings.Contains(err.Error(), row.says) {
					t.Errorf("%v does not say %q", err, row.says)
				}
			}
			r.asked(acptest.PAREndpoint, 0)
		})
	}
}

func TestRequestObjectChecks(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		set  acpclient.RequestObject
		says string
	}{
		"CF-01 no key":            {acpclient.RequestObject{}, "RequestObject.Key: is nil"},
		"CF-01 RSA-1024":          {acpclient.RequestObject{Key: small}, "RequestObject.Key: is an RSA key of fewer than 2048 bits"},
		"CF-07 RS256 with EC":     {acpclient.RequestObject{Key: newSigner(t, "ES256"), Alg: "RS256"}, "RequestObject.Alg"},
		"CF-04 none":              {acpclient.RequestObject{Key: newSigner(t, "ES256"), Alg: "none"}, "RequestObject.Alg"},
		"CF-01 a key of no type":  {acpclient.RequestObject{Key: opaque{strange{}}}, "RequestObject.Key"},
		"CF-04 RSA1_5":            {acpclient.RequestObject{Key: newSigner(t, "ES256"), EncryptionAlg: "RSA1_5"}, "RequestObject.EncryptionAlg"},
		"CF-04 dir":               {acpclient.RequestObject{Key: newSigner(t, "ES256"), EncryptionAlg: "dir"}, "RequestObject.EncryptionAlg"},
		"CF-04 enc":               {acpclient.RequestObject{Key: newSigner(t, "ES256"), EncryptionAlg: "ECDH-ES", EncryptionEnc: "none"}, "RequestObject.EncryptionEnc"},
		"CF-07 enc alone":         {acpclient.RequestObject{Key: newSigner(t, "ES256"), EncryptionEnc: "A256GCM"}, "RequestObject.EncryptionEnc"},
		"CF-07 HMAC with our key": {acpclient.RequestObject{Key: newSigner(t, "RS256"), Alg: "HS256"}, "RequestObject.Alg"},
	} {
		if _, err := acpclient.New(acpclient.Config{Issuer: "https://as.example", ClientID: "app", RequestObject: &row.set}); err == nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// AZ-16: no option takes the place of what makes the request object.
	client, err := acpclient.New(acpclient.Config{Issuer: "https://as.example", ClientID: "app", RequestObject: &acpclient.RequestObject{Key: newSigner(t, "ES256")}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(t.Context())
	for _, name := range []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti"} {
		if err := (&acpclient.AuthorizeOptions{Extra: url.Values{name: {"1"}}}).Check(); err == nil {
			t.Errorf("AZ-16: extra %s is accepted", name)
		}
	}
}

// What is encrypted to the server's key nobody else reads, and the server takes it.
func TestEncryptedRequestObjects(t *testing.T) {
	key := newSigner(t, "ES256")
	rows := []struct{ alg, enc, want, curve string }{
		{"ECDH-ES", "", "A128CBC-HS256", "ES256"},
		{"ECDH-ES", "A256GCM", "A256GCM", "ES384"},
		{"ECDH-ES+A128KW", "A128GCM", "A128GCM", "ES256"},
		{"ECDH-ES+A192KW", "A192CBC-HS384", "A192CBC-HS384", "ES512"},
		{"ECDH-ES+A256KW", "A256CBC-HS512", "A256CBC-HS512", "ES512"},
		{"RSA-OAEP", "A256GCM", "A256GCM", "RS256"},
		{"RSA-OAEP-256", "", "A128CBC-HS256", "RS256"},
	}
	for _, row := range rows {
		for _, pushed := range []bool{false, true} {
			t.Run(row.alg+" "+row.want+" pushed "+strconv.FormatBool(pushed), func(t *testing.T) {
				server := acptest.KeyFrom("enc-1", row.alg, newSigner(t, row.curve))
				r := newRig(t, &acptest.Options{RequirePAR: pushed, RequireRequestObject: true, EncryptionKey: server, Client: acptest.Client{RequestKey: key.Public()}}, func(c *acpclient.Config) {
					c.RequestObject = &acpclient.RequestObject{Key: key, EncryptionAlg: row.alg, EncryptionEnc: row.enc}
				})
				if err := r.client.Ready(t.Context()); err != nil {
					t.Fatal("Ready:", err)
				}
				if tokens := r.login(); tokens.AccessToken == "" {
					t.Error("no token")
				}
				query := r.Requests(acptest.AuthorizeEndpoint)[0].Query
				if pushed {
					query = r.Requests(acptest.PAREndpoint)[0].Form
				}
				parts := strings.Split(query.Get("request"), ".")
				if len(parts) != 5 || len(query) != 2 {
					t.Fatalf("%d parts, beside %d parameters", len(parts), len(query))
				}
				raw, err := base64.RawURLEncoding.DecodeString(parts[0])
				if err != nil {
					t.Fatal(err)
				}
				var header map[string]any
				if err := json.Unmarshal(raw, &header); err != nil || header["alg"] != row.alg || header["enc"] != row.want || header["cty"] != "JWT" || header["kid"] != "enc-1" || header["zip"] != nil {
					t.Errorf("header %s, %v", raw, err)
				}
			})
		}
	}
}

// The server's key set decides, and what does not fit is an error before any redirect.
func TestRequestObjectEncryptionKeys(t *testing.T) {
	key, ec := newSigner(t, "ES256"), acptest.NewKey("ES256")
	jwk := func(edit func(map[string]any)) map[string]any {
		m := ec.JWK()
		m["use"], m["alg"] = "enc", "ECDH-ES"
		edit(m)
		return m
	}
	rows := []struct {
		name string
		keys []any
		kind error // nil is success
	}{
		{"fits", []any{jwk(func(map[string]any) {})}, nil},
		{"without alg", []any{jwk(func(m map[string]any) { delete(m, "alg") })}, nil},
		{"after others", []any{7, jwk(func(m map[string]any) { m["alg"] = "ECDH-ES+A256KW" }), jwk(func(m map[string]any) { m["x"] = m["y"] }), jwk(func(map[string]any) {})}, nil},
		{"for signatures", []any{jwk(func(m map[string]any) { m["use"] = "sig" })}, acpclient.ErrInvalidResponse},
		{"for whatever", []any{jwk(func(m map[string]any) { delete(m, "use") })}, acpclient.ErrInvalidResponse},
		{"for another algorithm", []any{jwk(func(m map[string]any) { m["alg"] = "RSA-OAEP" })}, acpclient.ErrInvalidResponse},
		{"of another type", []any{jwk(func(m map[string]any) { m["kty"] = "RSA" })}, acpclient.ErrInvalidResponse},
		{"alg is a number", []any{jwk(func(m map[string]any) { m["alg"] = 7 })}, acpclient.ErrInvalidResponse},
		{"kid is a number", []any{jwk(func(m map[string]any) { m["kid"] = 7 })}, acpclient.ErrInvalidResponse},
		{"RL-19 kid of 64 KiB", []any{jwk(func(m map[string]any) { m["kid"] = strings.Repeat("k", 64<<10) })}, acpclient.ErrInvalidResponse},
		{"off its curve", []any{jwk(func(m map[string]any) { m["x"] = m["y"] })}, acpclient.ErrInvalidResponse},
		{"no key", []any{}, acpclient.ErrInvalidResponse},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, &acptest.Options{Client: acptest.Client{RequestKey: key.Public()}}, func(c *acpclient.Config) {
				c.RequestObject = &acpclient.RequestObject{Key: key, EncryptionAlg: "ECDH-ES"}
			})
			r.OnJWKS(func(m map[string]any) { m["keys"] = row.keys })
			address, flow, err := r.client.Authorize(t.Context(), nil)
			if row.kind == nil {
				if err != nil || address == "" {
					t.Errorf("Authorize = %q, %v", address, err)
				}
				return
			}
			r.fails(err, row.kind, "metadata")
			if address != "" || flow != nil {
				t.Errorf("Authorize = %q, %v beside the error", address, flow)
			}
		})
	}
	t.Run("RL-21 closed", func(t *testing.T) {
		r := newRig(t, &acptest.Options{Client: acptest.Client{RequestKey: key.Public()}}, func(c *acpclient.Config) {
			c.RequestObject = &acpclient.RequestObject{Key: key, EncryptionAlg: "ECDH-ES"}
		})
		if _, err := r.client.Metadata(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.client.Close(t.Context())
		if _, _, err := r.client.Authorize(t.Context(), nil); !errors.Is(err, acpclient.ErrClosed) {
			t.Errorf("%v", err)
		}
		r.asked(acptest.JWKSEndpoint, 0)
	})
	t.Run("unreachable", func(t *testing.T) {
		r := newRig(t, &acptest.Options{Client: acptest.Client{RequestKey: key.Public()}}, func(c *acpclient.Config) {
			c.RequestObject = &acpclient.RequestObject{Key: key, EncryptionAlg: "ECDH-ES"}
		})
		r.Handle(acptest.JWKSEndpoint, acptest.Reset())
		_, _, err := r.client.Authorize(t.Context(), nil)
		r.fails(err, acpclient.ErrUnavailable, "unavailable")
	})
}

// A key that fails to sign sends nothing.
func TestRequestObjectBrokenHSM(t *testing.T) {
	key := newSigner(t, "ES256")
	for _, pushed := range []bool{false, true} {
		r := newRig(t, &acptest.Options{RequirePAR: pushed, Client: acptest.Client{RequestKey: key.Public()}}, func(c *acpclient.Config) {
			c.RequestObject = &acpclient.RequestObject{Key: broken{key}}
		})
		address, flow, err := r.client.Authorize(t.Context(), nil)
		if err == nil || address != "" || flow != nil {
			t.Errorf("Authorize = %q, %v, %v", address, flow, err)
		}
		r.asked(acptest.PAREndpoint, 0)
	}
}

// Servers that know the issuer by another name get that one.
func TestRequestObjectAudience(t *testing.T) {
	key := newSigner(t, "ES256")
	r := newRig(t, &acptest.Options{Tolerate: []acptest.Rule{acptest.RuleRequestObject}, Client: acptest.Client{RequestKey: key.Public()}}, func(c *acpclient.Config) {
		c.RequestObject = &acpclient.RequestObject{Key: key, Audience: "https://as.example/other"}
	})
	address, _, err := r.client.Authorize(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	if _, claims := openJWT(t, u.Query().Get("request")); claims["aud"] != "https://as.example/other" {
		t.Errorf("aud %v", claims["aud"])
	}
	if raw, err := json.Marshal(acpclient.RequestObject{KeyID: "canary"}); err != nil || strings.Contains(string(raw), "canary") {
		t.Errorf("LG-02: %s, %v", raw, err)
	}
}
