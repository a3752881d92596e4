package acpclient_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"math/big"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// decryptionKeys makes one key of each type once: RSA keys take long to find.
var decryptionKeys = sync.OnceValue(func() map[string]crypto.Signer {
	keys := map[string]crypto.Signer{"RSA": acptest.NewKey("RS256").Signer(), "another RSA": acptest.NewKey("RS256").Signer()}
	for name, curve := range map[string]elliptic.Curve{"P-256": elliptic.P256(), "another P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			panic(err)
		}
		keys[name] = key
	}
	return keys
})

// encryption is a registration whose tokens are encrypted to a key of decryptionKeys.
func encryption(key, alg, enc string) acptest.Encryption {
	return acptest.Encryption{Key: decryptionKeys()[key].Public(), KeyID: "enc-1", Alg: alg, Enc: enc, IDToken: true}
}

func decryption(key string) *acpclient.Decryption {
	return &acpclient.Decryption{IDToken: true, Keys: []acpclient.DecryptionKey{{Key: decryptionKeys()[key], KeyID: "enc-1"}}}
}

// newEncrypted is a rig whose server encrypts ID tokens.
func newEncrypted(t *testing.T, e acptest.Encryption, d *acpclient.Decryption, edit func(*acpclient.Config)) *rig {
	return newRig(t, &acptest.Options{Client: acptest.Client{Encryption: e}}, func(c *acpclient.Config) {
		c.Decryption = d
		if edit != nil {
			edit(c)
		}
	})
}

// elsewhere is a key that only decrypts when it is asked to, as an HSM's does.
type elsewhere struct{ crypto.Decrypter }

func TestEncryptedIDTokens(t *testing.T) {
	type row struct {
		name string
		e    acptest.Encryption
		d    *acpclient.Decryption
	}
	var rows []row
	for _, alg := range []string{"RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A256KW"} {
		for _, enc := range []string{"A128GCM", "A256GCM", "A128CBC-HS256", "A256CBC-HS512"} {
			key := "P-256"
			if strings.HasPrefix(alg, "RSA") {
				key = "RSA"
			}
			rows = append(rows, row{alg + " " + enc, encryption(key, alg, enc), decryption(key)})
		}
	}
	rotated := decryption("another RSA")
	rotated.Keys = append(rotated.Keys, acpclient.DecryptionKey{Key: decryptionKeys()["P-256"], KeyID: "enc-1"}, decryption("RSA").Keys[0])
	nameless := encryption("RSA", "", "")
	nameless.KeyID = ""
	named, hsm, one := decryption("RSA"), decryption("RSA"), decryption("P-256")
	named.Keys[0].KeyID = ""
	hsm.Keys[0].Key = elsewhere{decryptionKeys()["RSA"].(crypto.Decrypter)}
	one.Keys[0].Alg = "ECDH-ES+A128KW"
	rows = append(rows,
		row{"P-384", encryption("P-384", "ECDH-ES", "A256GCM"), decryption("P-384")},
		row{"P-521", encryption("P-521", "ECDH-ES+A256KW", "A256CBC-HS512"), decryption("P-521")},
		row{"several keys of one id", encryption("RSA", "", ""), rotated},
		row{"a token without kid", nameless, decryption("RSA")},
		row{"a key without id", encryption("RSA", "", ""), named},
		row{"a key that lives elsewhere", encryption("RSA", "", ""), hsm},
		row{"a key for one algorithm", encryption("P-256", "ECDH-ES+A128KW", ""), one},
	)
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := newEncrypted(t, row.e, row.d, nil)
			if err := r.client.Ready(t.Context()); err != nil {
				t.Fatal(err)
			}
			tokens := r.login()
			var id struct {
				Subject string `json:"sub"`
			}
			if err := tokens.Claims(&id); err != nil || id.Subject != "alice" || strings.Count(tokens.IDToken, ".") != 2 {
				t.Errorf("%v, %d parts, subject %q", err, strings.Count(tokens.IDToken, ".")+1, id.Subject)
			}
		})
	}
}

// A session of a client whose tokens are all encrypted: refresh, logout, userinfo, and the answer
// to the authorization request.
func TestEverythingEncrypted(t *testing.T) {
	e, d := encryption("RSA", "", ""), decryption("RSA")
	e.UserInfo, e.AuthorizationResponse = true, true
	d.UserInfo, d.AuthorizationResponse = true, true
	r := newEncrypted(t, e, d, func(c *acpclient.Config) { c.ResponseMode = "query.jwt" })
	flow, v := r.answer(nil)
	if n := strings.Count(v.Get("response"), "."); n != 4 {
		t.Fatalf("the response has %d parts", n+1)
	}
	if state, err := r.client.CallbackState(t.Context(), v); err != nil || state != flow.State {
		t.Errorf("CallbackState: %v", err)
	}
	tokens, err := r.client.Exchange(t.Context(), flow, v)
	if err != nil {
		t.Fatal(err)
	}
	r.tokenSecrets(tokens)
	var user struct {
		Subject string `json:"sub"`
	}
	if err := r.client.UserInfo(t.Context(), tokens, &user); err != nil || user.Subject != "alice" {
		t.Errorf("UserInfo: %v", err)
	}
	fresh, err := r.client.Refresh(t.Context(), tokens)
	if err != nil {
		t.Fatal(err)
	}
	r.tokenSecrets(fresh)
	if fresh.IDToken == tokens.IDToken || strings.Count(fresh.IDToken, ".") != 2 {
		t.Error("the refresh brought no ID token that was decrypted")
	}
	logout, err := r.client.VerifyLogoutToken(t.Context(), r.LogoutToken(nil))
	if err != nil || logout.Subject != "alice" {
		t.Errorf("VerifyLogoutToken: %v", err)
	}
	// OIDC Core 3.1.2.1: the hint is the signed token that was inside.
	address, err := r.client.LogoutURL(t.Context(), fresh, nil)
	if u, _ := url.Parse(address); err != nil || u.Query().Get("id_token_hint") != fresh.IDToken {
		t.Errorf("LogoutURL: %v", err)
	}
}

// inJWE makes the encrypted token that comes out of the one that the server would have sent.
type inJWE func(r *rig, header, claims map[string]any) string

// sealedBy encrypts the good token in another way.
func sealedBy(edit func(e *acptest.Encryption), header map[string]any) inJWE {
	return func(r *rig, h, claims map[string]any) string {
		e := encryption("RSA", "", "")
		if edit != nil {
			edit(&e)
		}
		return e.Encrypt(r.Sign(h, claims), header)
	}
}

// holding encrypts something else.
func holding(make func(r *rig, header, claims map[string]any) string) inJWE {
	return func(r *rig, h, claims map[string]any) string {
		return encryption("RSA", "", "").Encrypt(make(r, h, claims), nil)
	}
}

// changed edits a part of a good token: 0 is the header, then key, IV, text and tag.
func changed(i int, edit func(string) string) inJWE {
	return func(r *rig, h, claims map[string]any) string {
		parts := strings.Split(sealedBy(nil, nil)(r, h, claims), ".")
		parts[i] = edit(parts[i])
		return strings.Join(parts, ".")
	}
}

// jweHead edits the header of a good token, which breaks it for whoever has the key.
func jweHead(name string, value any) inJWE {
	return changed(0, func(p string) string {
		var header map[string]any
		if err := json.Unmarshal([]byte(dec(p)), &header); err != nil {
			panic(err)
		}
		member(header, name, value)
		return enc(text(header))
	})
}

func shared(alg string, size int) inJWE {
	return sealedBy(func(e *acptest.Encryption) { e.Key, e.Alg = make([]byte, size), alg }, nil)
}

// decryptionFailures are all that a key finds out.
var decryptionFailures = []struct {
	name  string
	forge inJWE
}{
	{"TX-42 another's key", sealedBy(func(e *acptest.Encryption) { e.Key = decryptionKeys()["another RSA"].Public() }, nil)},
	{"TX-42 another key id", sealedBy(func(e *acptest.Encryption) { e.KeyID = "enc-2" }, nil)},
	{"TX-42 a key of another type", sealedBy(func(e *acptest.Encryption) { e.Key = decryptionKeys()["P-256"].Public() }, nil)},
	{"TX-42 a changed key", changed(1, flipPart)},
	{"TX-42 a shorter key", changed(1, func(p string) string { return enc(dec(p)[1:]) })},
	{"TX-42 a key without its leading zero", func(r *rig, h, claims map[string]any) string {
		for {
			parts := strings.Split(sealedBy(nil, nil)(r, h, claims), ".")
			if key, ok := strings.CutPrefix(dec(parts[1]), "\x00"); ok { // one in 256
				parts[1] = enc(key)
				return strings.Join(parts, ".")
			}
		}
	}},
	{"TX-42 a longer key", changed(1, func(p string) string { return enc(dec(p) + "\x00") })},
	{"TX-42 a key of zeros", changed(1, func(p string) string { return enc(strings.Repeat("\x00", len(dec(p)))) })},
	{"TX-42 a changed IV", changed(2, flipPart)},
	{"TX-42 a changed text", changed(3, flipPart)},
	{"TX-42 a text cut short", changed(3, func(p string) string { return enc(dec(p)[:32]) })},
	{"TX-42 a text that is no block", changed(3, func(p string) string { return enc(dec(p)[:33]) })},
	{"TX-42 a changed tag", changed(4, flipPart)},
	{"TX-42 a tag of zeros", changed(4, func(p string) string { return enc(strings.Repeat("\x00", len(dec(p)))) })},
	{"TX-42 a header that was not encrypted with", changed(0, func(p string) string { return enc(strings.Replace(dec(p), "{", "{ ", 1)) })},
	{"TX-42 another enc of the same lengths", sealedBy(func(e *acptest.Encryption) { e.Enc = "A128GCM" }, map[string]any{"enc": "A256GCM"})},
}

func TestDecryptionFailures(t *testing.T) {
	r := newEncrypted(t, encryption("RSA", "", ""), decryption("RSA"), nil)
	said := ""
	for _, row := range decryptionFailures {
		t.Run(row.name, func(t *testing.T) {
			err := r.brought(row.forge)
			r.fails(err, acpclient.ErrInvalidToken, "decryption")
			if err != nil && said == "" {
				said = err.Error()
			}
			if err != nil && err.Error() != said {
				t.Errorf("LG-09: %q and %q: the error tells how far it came", err, said)
			}
		})
	}
}

// brought is the error of a login whose ID token is forged.
func (r *rig) brought(forge inJWE) error {
	r.MintIDToken(func(header, claims map[string]any) string { return forge(r, header, claims) })
	defer r.MintIDToken(nil)
	flow, v := r.callback(nil)
	_, err := r.client.Exchange(r.t.Context(), flow, v)
	return err
}

func TestEncryptedTokenAttacks(t *testing.T) {
	cut := func(s string) string { return s[:len(s)-4] }
	rows := []struct {
		name   string
		forge  inJWE
		reason string
	}{
		{"TX-42 not encrypted", func(r *rig, h, claims map[string]any) string { return r.Sign(h, claims) }, "token_malformed"},
		{"TX-42 RSA1_5", sealedBy(func(e *acptest.Encryption) { e.Alg = "RSA1_5" }, nil), "alg"},
		{"TX-42 RSA-OAEP with SHA-1", sealedBy(func(e *acptest.Encryption) { e.Alg = "RSA-OAEP" }, nil), "alg"},
		{"TX-42 dir", shared("dir", 32), "alg"},
		{"TX-42 A128KW", shared("A128KW", 16), "alg"},
		{"TX-42 A256GCMKW", shared("A256GCMKW", 32), "alg"},
		{"TX-42 PBES2", shared("PBES2-HS256+A128KW", 32), "alg"},
		{"TX-42 ECDH-ES+A192KW", sealedBy(func(e *acptest.Encryption) {
			e.Key, e.Alg = decryptionKeys()["P-256"].Public(), "ECDH-ES+A192KW"
		}, nil), "alg"},
		{"TX-42 alg none", jweHead("alg", "none"), "alg"},
		{"TX-42 no alg", jweHead("alg", nil), "alg"},
		{"TX-42 alg in lower case", jweHead("alg", "rsa-oaep-256"), "alg"},
		{"TX-42 alg is a list", jweHead("alg", []string{"RSA-OAEP-256"}), "alg"},
		{"TX-42 alg of a signature", jweHead("alg", "RS256"), "alg"},
		{"TX-42 A192GCM", sealedBy(func(e *acptest.Encryption) { e.Enc = "A192GCM" }, nil), "alg"},
		{"TX-42 no enc", jweHead("enc", nil), "alg"},
		{"TX-42 enc is a number", jweHead("enc", 1), "alg"},
		{"TX-42 compressed", sealedBy(nil, map[string]any{"zip": "DEF"}), "token_malformed"},
		{"TX-42 crit", sealedBy(nil, map[string]any{"crit": []string{"exp"}, "exp": 1}), "token_malformed"},
		{"TX-42 an empty crit", jweHead("crit", []string{}), "token_malformed"},
		{"TX-42 b64", jweHead("b64", true), "token_malformed"},
		{"TX-42 no cty", sealedBy(nil, map[string]any{"cty": nil}), "token_malformed"},
		{"TX-42 cty json", sealedBy(nil, map[string]any{"cty": "json"}), "token_malformed"},
		{"TX-42 kid is a number", jweHead("kid", 1), "token_malformed"},
		{"TX-42 kid of 257 bytes", jweHead("kid", strings.Repeat("k", 257)), "token_malformed"},
		{"TX-42 alg twice", changed(0, func(p string) string { return enc(strings.Replace(dec(p), "{", `{"alg":"RSA1_5",`, 1)) }), "token_malformed"},
		{"TX-42 the header is no JSON", changed(0, func(string) string { return enc("RSA-OAEP-256") }), "token_malformed"},
		{"TX-42 no header", changed(0, func(string) string { return "" }), "token_malformed"},
		{"TX-42 no key", changed(1, func(string) string { return "" }), "token_malformed"},
		{"TX-42 no IV", changed(2, func(string) string { return "" }), "token_malformed"},
		{"TX-42 an IV of another length", changed(2, func(p string) string { return enc(dec(p)[:12]) }), "token_malformed"},
		{"TX-42 no text", changed(3, func(string) string { return "" }), "token_malformed"},
		{"TX-42 no tag", changed(4, func(string) string { return "" }), "token_malformed"},
		{"TX-42 a tag cut short", changed(4, func(p string) string { return enc(cut(dec(p))) }), "token_malformed"},
		{"TX-42 a part of the text in the tag", func(r *rig, h, claims map[string]any) string {
			parts := strings.Split(sealedBy(nil, nil)(r, h, claims), ".")
			body, tag := dec(parts[3]), dec(parts[4])
			parts[3], parts[4] = enc(body[:len(body)-16]), enc(body[len(body)-16:]+tag)
			return strings.Join(parts, ".")
		}, "token_malformed"},
		{"TX-42 a key beside an agreed one", func(r *rig, h, claims map[string]any) string {
			e := encryption("P-256", "ECDH-ES", "")
			return strings.Replace(e.Encrypt(r.Sign(h, claims), nil), "..", ".AAAA.", 1)
		}, "token_malformed"},
		{"ID-39 six parts", changed(4, func(p string) string { return p + ".AAAA" }), "token_malformed"},
		{"ID-39 a line break behind", changed(4, func(p string) string { return p + "\n" }), "token_malformed"},
		{"ID-39 a line break inside", changed(3, func(p string) string { return p[:8] + "\n" + p[8:] }), "token_malformed"},
		{"ID-39 a space before", changed(0, func(p string) string { return " " + p }), "token_malformed"},
		{"ID-39 padding", changed(1, func(p string) string { return p + "==" }), "token_malformed"},
		{"ID-40 a bit that says nothing", changed(4, noise), "token_malformed"},
		{"ID-38 JSON serialization", func(r *rig, h, claims map[string]any) string {
			p := strings.Split(sealedBy(nil, nil)(r, h, claims), ".")
			return text(map[string]any{"protected": p[0], "encrypted_key": p[1], "iv": p[2], "ciphertext": p[3], "tag": p[4]})
		}, "token_malformed"},
		{"TX-42 17 KiB", holding(func(r *rig, h, claims map[string]any) string {
			claims["x"] = strings.Repeat("x", 10<<10)
			return r.Sign(h, claims)
		}), "token_malformed"},

		// What is inside is judged as always: anybody could have encrypted it.
		{"ID-01 unsigned inside", holding(func(_ *rig, _, claims map[string]any) string { return acptest.Unsigned(nil, claims) }), "alg"},
		{"ID-01 claims inside, without a signature", holding(func(_ *rig, _, claims map[string]any) string { return text(claims) }), "token_malformed"},
		{"ID-02 HMAC under the encryption key", holding(func(_ *rig, _, claims map[string]any) string {
			return acptest.SignHMAC([]byte(keyPEM(acptest.KeyFrom("enc-1", "RS256", decryptionKeys()["RSA"]))), nil, claims)
		}), "alg"},
		{"ID-36 another's signature inside", holding(func(r *rig, _, claims map[string]any) string {
			return acptest.NewKey("ES256").Sign(map[string]any{"kid": r.Key().ID}, claims)
		}), "signature"},
		{"TX-42 encrypted twice", holding(sealedBy(nil, nil)), "token_malformed"},
		{"TX-42 nothing inside", holding(func(*rig, map[string]any, map[string]any) string { return " " }), "token_malformed"},
		{"ID-25 another login's", holding(func(r *rig, h, claims map[string]any) string {
			claims["nonce"] = "another"
			return r.Sign(h, claims)
		}), "nonce"},
		{"ID-06 another issuer's", holding(func(r *rig, h, claims map[string]any) string {
			claims["iss"] = "https://evil.example"
			return r.Sign(h, claims)
		}), "issuer"},
		{"ID-28 another access token's", holding(func(r *rig, h, claims map[string]any) string {
			claims["at_hash"] = acptest.HalfHash("ES256", "another")
			return r.Sign(h, claims)
		}), "at_hash"},
	}
	r := newEncrypted(t, encryption("RSA", "", ""), decryption("RSA"), nil)
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r.fails(r.brought(row.forge), acpclient.ErrInvalidToken, row.reason)
		})
	}
	if err := r.brought(sealedBy(nil, map[string]any{"cty": "application/jwt", "typ": "JWT"})); err != nil {
		t.Errorf("what they all start from is refused: %v", err)
	}
}

// noise sets the bits behind the last byte.
func noise(p string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, p[len(p)-1])
	return p[:len(p)-1] + string(alphabet[last|1])
}

// The other half of an agreed key is the attacker's to choose.
func TestEphemeralKeys(t *testing.T) {
	r := newEncrypted(t, encryption("P-256", "", ""), decryption("P-256"), nil)
	epk := func(edit func(map[string]any)) inJWE {
		return func(r *rig, h, claims map[string]any) string {
			parts := strings.Split(encryption("P-256", "ECDH-ES+A128KW", "").Encrypt(r.Sign(h, claims), nil), ".")
			var header map[string]any
			if err := json.Unmarshal([]byte(dec(parts[0])), &header); err != nil {
				t.Fatal(err)
			}
			key, _ := header["epk"].(map[string]any)
			edit(key)
			parts[0] = enc(text(header))
			return strings.Join(parts, ".")
		}
	}
	zero := base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	other := acptest.KeyFrom("", "ES384", decryptionKeys()["P-384"]).JWK()
	for name, edit := range map[string]func(map[string]any){
		"JW-21 off the curve":       func(k map[string]any) { k["x"] = zero },
		"JW-21 the point at zero":   func(k map[string]any) { k["x"], k["y"] = zero, zero },
		"JW-21 a short coordinate":  func(k map[string]any) { k["y"] = "AAAA" },
		"JW-21 of another curve":    func(k map[string]any) { k["crv"], k["x"], k["y"] = other["crv"], other["x"], other["y"] },
		"JW-21 of no curve":         func(k map[string]any) { k["crv"] = "P-1" },
		"JW-21 of another type":     func(k map[string]any) { k["kty"], k["k"] = "oct", "AAAA" },
		"JW-22 with a private half": func(k map[string]any) { k["d"] = zero },
		"JW-21 empty":               func(k map[string]any) { clear(k) },
		"JW-21 well formed":         func(k map[string]any) { k["x"], k["y"] = otherPoint() },
	} {
		t.Run(name, func(t *testing.T) {
			r.fails(r.brought(epk(edit)), acpclient.ErrInvalidToken, "decryption")
		})
	}
}

// otherPoint is good, and not the one that the token was made with.
func otherPoint() (x, y any) {
	k := acptest.KeyFrom("", "ES256", decryptionKeys()["another P-256"]).JWK()
	return k["x"], k["y"]
}

// TX-42: what is not registered to be encrypted is not opened, whatever keys there are.
func TestUnexpectedEncryption(t *testing.T) {
	e := encryption("RSA", "", "")
	e.UserInfo, e.AuthorizationResponse = true, true
	for name, d := range map[string]*acpclient.Decryption{"no keys": nil, "keys for something else": {UserInfo: true, Keys: decryption("RSA").Keys}} {
		r := newEncrypted(t, e, d, nil)
		flow, v := r.callback(nil)
		_, err := r.client.Exchange(t.Context(), flow, v)
		r.fails(err, acpclient.ErrInvalidToken, "token_malformed")
		_, err = r.client.VerifyLogoutToken(t.Context(), r.LogoutToken(nil))
		r.fails(err, acpclient.ErrInvalidToken, "token_malformed")
		jarm := newEncrypted(t, e, d, func(c *acpclient.Config) { c.ResponseMode = "query.jwt" })
		flow, v = jarm.answer(nil)
		_, err = jarm.client.Exchange(t.Context(), flow, v)
		jarm.fails(err, acpclient.ErrInvalidCallback, "token_malformed")
		if t.Failed() {
			t.Fatal(name)
		}
	}
	e.IDToken = false
	r := newEncrypted(t, e, nil, nil)
	r.fails(r.client.UserInfo(t.Context(), r.login(), new(any)), acpclient.ErrInvalidToken, "token_malformed")
}

func TestEncryptedUserInfo(t *testing.T) {
	e, d := encryption("RSA", "", ""), decryption("RSA")
	e.IDToken, e.UserInfo, d.IDToken, d.UserInfo = false, true, false, true
	r := newEncrypted(t, e, d, nil)
	tokens := r.login()
	for _, row := range []struct {
		name   string
		answer func(claims map[string]any) (kind, body string)
		kind   error
		reason string
	}{
		{"TX-42 plain JSON", func(c map[string]any) (string, string) { return "application/json", text(c) }, acpclient.ErrInvalidResponse, "response_malformed"},
		{"TX-42 signed alone", func(c map[string]any) (string, string) { return "application/jwt", r.Sign(nil, c) }, acpclient.ErrInvalidToken, "token_malformed"},
		{"TX-42 encrypted alone", func(c map[string]any) (string, string) { return "application/jwt", e.Encrypt(text(c), nil) }, acpclient.ErrInvalidToken, "token_malformed"},
		{"TX-36 unsigned inside", func(c map[string]any) (string, string) {
			return "application/jwt", e.Encrypt(acptest.Unsigned(nil, c), nil)
		}, acpclient.ErrInvalidToken, "alg"},
		{"TX-36 for another client", func(c map[string]any) (string, string) {
			c["aud"] = "other"
			return "application/jwt", e.Encrypt(r.Sign(nil, c), nil)
		}, acpclient.ErrInvalidToken, "audience"},
		{"TX-35 of another user", func(c map[string]any) (string, string) {
			c["sub"] = "bob"
			return "application/jwt", e.Encrypt(r.Sign(nil, c), nil)
		}, acpclient.ErrInvalidToken, "subject"},
		{"TX-42 another's key", func(c map[string]any) (string, string) {
			return "application/jwt", encryption("another RSA", "", "").Encrypt(r.Sign(nil, c), nil)
		}, acpclient.ErrInvalidToken, "decryption"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r.OnResponse(acptest.UserInfoEndpoint, func(res *acptest.Response) {
				kind, body := row.answer(map[string]any{"iss": r.Issuer, "aud": r.ClientID, "sub": "alice"})
				res.Header.Set("Content-Type", kind)
				res.Body = []byte(body)
			})
			r.fails(r.client.UserInfo(t.Context(), tokens, new(any)), row.kind, row.reason)
		})
	}
}

// CB-39: an encrypted response is a response like any, and no other one passes.
func TestEncryptedResponseAttacks(t *testing.T) {
	e, d := encryption("RSA", "", ""), decryption("RSA")
	e.IDToken, e.AuthorizationResponse, d.IDToken, d.AuthorizationResponse = false, true, false, true
	r := newEncrypted(t, e, d, func(c *acpclient.Config) { c.ResponseMode = "query.jwt" })
	for _, row := range []struct {
		name   string
		forge  forge
		reason string
	}{
		{"CB-39 signed alone", func(r *rig, _, claims map[string]any) string { return r.Sign(nil, claims) }, "token_malformed"},
		{"CB-39 unsigned inside", func(_ *rig, _, claims map[string]any) string { return e.Encrypt(acptest.Unsigned(nil, claims), nil) }, "alg"},
		{"CB-39 to another's key", func(r *rig, _, claims map[string]any) string {
			return encryption("another RSA", "", "").Encrypt(r.Sign(nil, claims), nil)
		}, "decryption"},
		{"CB-39 for another client", func(r *rig, _, claims map[string]any) string {
			member(claims, "aud", "other")
			return e.Encrypt(r.Sign(nil, claims), nil)
		}, "audience"},
		{"CB-39 expired", func(r *rig, _, claims map[string]any) string {
			claims["exp"] = r.now().Add(-2 * time.Minute).Unix()
			return e.Encrypt(r.Sign(nil, claims), nil)
		}, "expired"},
		{"CB-39 an ID token", func(r *rig, _, claims map[string]any) string { return e.Encrypt(r.IDToken(parameters(claims)), nil) }, "token_use"},
	} {
		t.Run(row.name, func(t *testing.T) {
			flow, v := r.answer(row.forge)
			_, err := r.client.Exchange(t.Context(), flow, v)
			r.fails(err, acpclient.ErrInvalidCallback, row.reason)
			r.asked(acptest.TokenEndpoint, 0)
		})
	}
}

// RF-12: the ID token of a refresh is what that of the login was.
func TestRefreshUnencrypted(t *testing.T) {
	r := newEncrypted(t, encryption("RSA", "", ""), decryption("RSA"), nil)
	tokens := r.login()
	r.MintIDToken(func(header, claims map[string]any) string { return r.Sign(header, claims) })
	_, err := r.client.Refresh(t.Context(), tokens)
	r.fails(err, acpclient.ErrInvalidToken, "token_malformed")
}

func TestDecryptionMistakes(t *testing.T) { // CF-01, CF-07
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := func(k acpclient.DecryptionKey) *acpclient.Decryption {
		return &acpclient.Decryption{IDToken: true, Keys: []acpclient.DecryptionKey{k}}
	}
	good := decryption("RSA").Keys
	for _, row := range []struct {
		name  string
		d     *acpclient.Decryption
		names string
	}{
		{"CF-01 empty", &acpclient.Decryption{}, "Decryption.Keys: 0 keys"},
		{"CF-01 nothing encrypted", &acpclient.Decryption{Keys: good}, "Decryption: names nothing"},
		{"CF-01 five keys", &acpclient.Decryption{IDToken: true, Keys: append(good[:1:1], good[0], good[0], good[0], good[0])}, "Decryption.Keys: 5 keys"},
		{"CF-01 no key", key(acpclient.DecryptionKey{}), "Decryption.Keys[0].Key: is nil"},
		{"CF-01 a nil RSA key", key(acpclient.DecryptionKey{Key: (*rsa.PrivateKey)(nil)}), "Decryption.Keys[0].Key: is nil"},
		{"CF-01 a nil ECDSA key", key(acpclient.DecryptionKey{Key: (*ecdsa.PrivateKey)(nil)}), "Decryption.Keys[0].Key: is nil"},
		{"JW-21 a short RSA key", key(acpclient.DecryptionKey{Key: small}), "1024 bits"},
		{"JW-21 a short RSA key elsewhere", key(acpclient.DecryptionKey{Key: elsewhere{small}}), "1024 bits"},
		{"JW-21 ROCA", key(acpclient.DecryptionKey{Key: elsewhere{&rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).SetBytes(rocaModulus(2048)), E: 65537}}}}), "ROCA"},
		{"CF-01 an empty RSA key", key(acpclient.DecryptionKey{Key: &rsa.PrivateKey{}}), "Key: is empty"},
		{"CF-01 an empty ECDSA key", key(acpclient.DecryptionKey{Key: &ecdsa.PrivateKey{}}), "Key: is empty"},
		{"JW-21 P-224", key(acpclient.DecryptionKey{Key: p224}), "another curve"},
		{"CF-01 a key that only signs", key(acpclient.DecryptionKey{Key: acptest.NewKey("EdDSA").Signer()}), "Decryption.Keys[0]"},
		{"CF-01 a public key", key(acpclient.DecryptionKey{Key: decryptionKeys()["RSA"].Public()}), "cannot decrypt"},
		{"CF-01 a shared secret", key(acpclient.DecryptionKey{Key: make([]byte, 32)}), "cannot decrypt"},
		{"CF-04 RSA1_5", key(acpclient.DecryptionKey{Key: good[0].Key, Alg: "RSA1_5"}), `Alg: "RSA1_5"`},
		{"CF-07 an algorithm of another type", key(acpclient.DecryptionKey{Key: good[0].Key, Alg: "ECDH-ES"}), `Alg: "ECDH-ES"`},
		{"CF-01 a long id", key(acpclient.DecryptionKey{Key: good[0].Key, KeyID: strings.Repeat("k", 257)}), "KeyID"},
		{"CF-07 a response that is not signed", &acpclient.Decryption{AuthorizationResponse: true, Keys: good}, "Decryption.AuthorizationResponse"},
	} {
		_, err := acpclient.New(acpclient.Config{Issuer: "https://as.example", ClientID: "app", Decryption: row.d})
		if err == nil || !strings.Contains(err.Error(), row.names) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

// CF-06: the keys are those of New, and nobody gets them back.
func TestDecryptionIsCopied(t *testing.T) {
	d := decryption("RSA")
	r := newEncrypted(t, encryption("RSA", "", ""), d, nil)
	d.IDToken, d.Keys[0].Key = false, decryptionKeys()["another RSA"]
	r.login()
	if r.client.Config().Decryption != nil {
		t.Error("Config gives the keys away")
	}
}

// What the server cannot encrypt is a mistake that shows at the start.
func TestEncryptionNotOffered(t *testing.T) {
	r := newEncrypted(t, encryption("RSA", "", ""), decryption("RSA"), nil)
	r.OnMetadata(func(m map[string]any) {
		m["id_token_encryption_alg_values_supported"] = []string{"RSA1_5", "RSA-OAEP", "ECDH-ES"}
	})
	_, _, err := r.client.Authorize(t.Context(), nil)
	for _, err := range []error{err, r.client.Ready(t.Context())} {
		r.fails(err, acpclient.ErrInvalidResponse, "metadata")
		if err != nil && !strings.Contains(err.Error(), "Config.Decryption.IDToken") {
			t.Errorf("%q does not name the setting", err)
		}
	}
	silent := newEncrypted(t, encryption("RSA", "", ""), decryption("RSA"), nil)
	silent.OnMetadata(func(m map[string]any) { delete(m, "id_token_encryption_alg_values_supported") })
	silent.login()
}

// FuzzEncryptedToken: whatever comes, it is refused, without a panic and without a request.
func FuzzEncryptedToken(f *testing.F) {
	e := encryption("P-256", "ECDH-ES", "A128GCM")
	for _, alg := range []string{"ECDH-ES", "ECDH-ES+A128KW"} {
		for _, enc := range []string{"A256GCM", "A256CBC-HS512"} {
			e.Alg, e.Enc = alg, enc
			f.Add(e.Encrypt(acptest.Unsigned(nil, map[string]any{"sub": "alice"}), nil))
		}
	}
	e = encryption("RSA", "RSA-OAEP-256", "A128CBC-HS256")
	f.Add(e.Encrypt("{}", nil))
	f.Add(e.Encrypt("a.b.c", map[string]any{"cty": nil}))
	d := decryption("P-256")
	d.Keys = append(d.Keys, decryption("RSA").Keys...)
	client, err := acpclient.New(acpclient.Config{
		Issuer: "https://as.example", ClientID: "app", Decryption: d, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Transport: roundTripper(nil), // which would panic
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := client.VerifyLogoutToken(t.Context(), token); acpclient.Reason(err) == "" {
			t.Errorf("%v", err)
		}
	})
}
