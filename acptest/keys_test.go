package acptest_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/acp-go/acp/acptest"
	jose "github.com/go-jose/go-jose/v4"
)

func keySet(c *client) (kids []string, set jose.JSONWebKeySet) {
	c.t.Helper()
	a := c.get(c.s.URL(acptest.JWKSEndpoint), nil)
	if err := json.Unmarshal(a.body, &set); err != nil {
		c.t.Fatalf("%v: %s", err, a.body)
	}
	for _, k := range set.Keys {
		kids = append(kids, k.KeyID)
	}
	return kids, set
}

// An implementation that is not ours reads the key set and the ID token of each algorithm.
func TestAlgorithms(t *testing.T) {
	for _, alg := range []string{"ES256", "ES384", "ES512", "RS256", "PS256", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			c := newClient(t, &acptest.Options{Alg: alg})
			token := text(c.login().json, "id_token")
			_, set := keySet(c)
			jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
			if err != nil {
				t.Fatal(err)
			}
			keys := set.Key(jws.Signatures[0].Header.KeyID)
			if len(keys) != 1 || keys[0].Algorithm != alg || keys[0].Use != "sig" {
				t.Fatalf("keys %+v", keys)
			}
			if _, err := jws.Verify(keys[0]); err != nil {
				t.Error(err)
			}
			meta := c.get(c.s.URL(acptest.MetadataEndpoint), nil)
			if !strings.Contains(string(meta.body), `"`+alg+`"`) {
				t.Errorf("the metadata does not name %s", alg)
			}
		})
	}
}

func TestRotation(t *testing.T) {
	c := newClient(t, nil)
	old := c.s.Key()
	if kids, _ := keySet(c); len(kids) != 3 || kids[0] != old.ID {
		t.Errorf("first keys %v", kids)
	}
	fresh := c.s.RotateKey()
	if header, _ := payload(t, text(c.login().json, "id_token")); header["kid"] != fresh.ID {
		t.Errorf("signed by %v", header["kid"])
	}
	if kids, _ := keySet(c); len(kids) != 4 {
		t.Errorf("the old key is gone: %v", kids)
	}
	c.s.RemoveKey(old.ID)
	if kids, _ := keySet(c); len(kids) != 3 {
		t.Errorf("the old key is still there: %v", kids)
	}
	hidden := acptest.NewKey("RS256")
	c.s.SetKey(hidden)
	header, _ := payload(t, c.s.Sign(map[string]any{"typ": nil, "x": 1}, nil))
	if kids, _ := keySet(c); header["kid"] != hidden.ID || header["typ"] != nil || header["x"] != 1.0 || len(kids) != 3 {
		t.Errorf("header %v, keys %v", header, kids)
	}
}

func TestForgeries(t *testing.T) {
	unsigned := acptest.Unsigned(map[string]any{"alg": "nOnE"}, map[string]any{"sub": "x"})
	if header, claims := payload(t, unsigned); !strings.HasSuffix(unsigned, ".") || header["alg"] != "nOnE" || claims["sub"] != "x" {
		t.Error(unsigned)
	}
	token := acptest.SignHMAC([]byte("public key"), nil, map[string]any{"sub": json.RawMessage("1.7e9")})
	input := token[:strings.LastIndexByte(token, '.')]
	mac := hmac.New(sha256.New, []byte("public key"))
	mac.Write([]byte(input))
	if !strings.HasSuffix(token, "."+base64.RawURLEncoding.EncodeToString(mac.Sum(nil))) {
		t.Error("the MAC is wrong")
	}
	raw := acptest.NewKey("ES256").SignRaw(`{"alg":"ES256"}`, `{"sub":"a","sub":"b"}`)
	middle, err := base64.RawURLEncoding.DecodeString(strings.Split(raw, ".")[1])
	if err != nil || string(middle) != `{"sub":"a","sub":"b"}` {
		t.Errorf("%s %v", middle, err)
	}
	defer func() {
		if recover() == nil {
			t.Error("an unknown algorithm was taken")
		}
	}()
	acptest.NewKey("HS256")
}

// The values are those of OpenID Connect Core, appendix A.3 (an access token and its at_hash).
func TestHalfHash(t *testing.T) {
	if got := acptest.HalfHash("RS256", "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"); got != "77QmUPtjPfzWtF2AnpK9RQ" {
		t.Error(got)
	}
	if got := acptest.HalfHash("EdDSA", "x"); len(got) != 43 { // half of SHA-512
		t.Error(got)
	}
}
