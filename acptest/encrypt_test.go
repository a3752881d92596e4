package acptest_test

import (
	"crypto/rsa"
	"net/http"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/acp-go/acp/acptest"
)

// opened decrypts what must be a JWE, and returns what is inside with the header of the whole.
func opened(t *testing.T, token string, key any) (string, jose.Header) {
	t.Helper()
	jwe, err := jose.ParseEncryptedCompact(token, []jose.KeyAlgorithm{jose.RSA_OAEP_256, jose.DIRECT}, []jose.ContentEncryption{jose.A128CBC_HS256, jose.A256GCM})
	if err != nil {
		t.Fatal(err)
	}
	inner, err := jwe.Decrypt(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(inner), jwe.Header
}

func TestEncryption(t *testing.T) {
	key := acptest.NewKey("RS256").Signer().(*rsa.PrivateKey)
	c := newClient(t, &acptest.Options{Client: acptest.Client{Encryption: acptest.Encryption{
		Key: key.Public(), KeyID: "mine", IDToken: true, UserInfo: true, AuthorizationResponse: true,
	}}})
	tokens := c.login()
	inner, header := opened(t, text(tokens.json, "id_token"), key)
	if _, claims := payload(t, inner); claims["sub"] != "alice" || header.KeyID != "mine" || header.ExtraHeaders["cty"] != "JWT" {
		t.Errorf("%v %v", header, claims)
	}
	user := c.get(c.s.URL(acptest.UserInfoEndpoint), http.Header{"Authorization": {"Bearer " + text(tokens.json, "access_token")}})
	inner, _ = opened(t, string(user.body), key)
	if _, claims := payload(t, inner); claims["sub"] != "alice" || claims["aud"] != c.s.ClientID || user.header.Get("Content-Type") != "application/jwt" {
		t.Errorf("%v %v", user.header, claims)
	}
	params := c.params()
	params.Set("response_mode", "jwt")
	inner, _ = opened(t, c.authorize(params).Get("response"), key)
	if _, claims := payload(t, inner); claims["state"] != params.Get("state") {
		t.Errorf("%v", claims)
	}
	inner, _ = opened(t, c.s.LogoutToken(nil), key)
	if header, _ := payload(t, inner); header["typ"] != "logout+jwt" {
		t.Errorf("%v", header)
	}
	c.s.MintIDToken(func(_, claims map[string]any) string { return acptest.Unsigned(nil, claims) })
	if id := text(c.login().json, "id_token"); strings.Count(id, ".") != 2 {
		t.Error("what the test mints is encrypted")
	}
}

func TestEncrypt(t *testing.T) {
	secret := make([]byte, 32)
	e := acptest.Encryption{Key: secret, Alg: "dir", Enc: "A256GCM"}
	inner, header := opened(t, e.Encrypt(strings.Repeat("a", 1000), map[string]any{"cty": nil, "x": 1, "zip": "DEF"}), secret)
	if len(inner) != 1000 || header.ExtraHeaders["cty"] != nil || header.ExtraHeaders["x"] != 1.0 || header.ExtraHeaders["zip"] != "DEF" {
		t.Errorf("%d bytes, %v", len(inner), header)
	}
	defer func() {
		if recover() == nil {
			t.Error("no panic over a key that does not fit")
		}
	}()
	acptest.Encryption{Key: secret, Alg: "RSA-OAEP"}.Encrypt("", nil)
}
