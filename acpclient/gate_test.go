package acpclient_test

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// alphabet is base64url's, in the order of its values.
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// mint makes a token from what the server would have signed.
type mint func(s *acptest.Server, header, claims map[string]any) string

// honest signs with the server's own key.
func honest(s *acptest.Server, header, claims map[string]any) string {
	return s.Sign(header, claims)
}

// reshape changes the text of an honest token.
func reshape(f func(token string) string) mint {
	return func(s *acptest.Server, h, c map[string]any) string { return f(honest(s, h, c)) }
}

// header changes the header of a token that is signed with the server's key.
func header(name string, value any) mint {
	return func(s *acptest.Server, h, c map[string]any) string {
		h[name] = value
		return honest(s, h, c)
	}
}

// unsigned has no signature.
func unsigned(alg any) mint {
	return func(_ *acptest.Server, h, c map[string]any) string {
		return acptest.Unsigned(map[string]any{"alg": alg, "kid": h["kid"]}, c)
	}
}

// underPublicKey is an HMAC under some text of the server's public key.
func underPublicKey(text func(k *acptest.Key) string) mint {
	return func(s *acptest.Server, h, c map[string]any) string {
		return acptest.SignHMAC([]byte(text(s.Key())), map[string]any{"kid": h["kid"]}, c)
	}
}

func keyDER(k *acptest.Key) string {
	der, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		panic(err)
	}
	return string(der)
}

// certificate is a self-signed one, as x5c carries it.
func certificate(t *testing.T, k *acptest.Key) string {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k.Signer())
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

func keyPEM(k *acptest.Key) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte(keyDER(k))}))
}

func keyJSON(k *acptest.Key) string {
	b, err := json.Marshal(k.JWK())
	if err != nil {
		panic(err)
	}
	return string(b)
}

// parts is the token, cut at its dots, with one part changed.
func part(i int, f func(string) string) mint {
	return reshape(func(token string) string {
		p := strings.Split(token, ".")
		p[i] = f(p[i])
		return strings.Join(p, ".")
	})
}

func enc(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func dec(s string) string {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// gateRows are attacks on the form and the header, which no kind of token survives.
var gateRows = []struct {
	name   string
	mint   mint
	reason string // "": accepted
}{
	{"an honest token", honest, ""},

	{"ID-01 alg none", unsigned("none"), "alg"},
	{"ID-01 alg None", unsigned("None"), "alg"},
	{"ID-01 alg NONE", unsigned("NONE"), "alg"},
	{"ID-01 alg nOnE", unsigned("nOnE"), "alg"},
	{"ID-01 alg empty", unsigned(""), "alg"},
	{"ID-01 alg missing", unsigned(nil), "alg"},
	{"ID-01 alg a number", unsigned(256), "alg"},
	{"ID-01 alg an array", unsigned([]string{"ES256"}), "alg"},
	{"ID-01 alg null", unsigned(json.RawMessage("null")), "alg"},
	{"ID-01 alg none, signed all the same", header("alg", "none"), "alg"},
	{"ID-01 alg in lower case", header("alg", "es256"), "alg"},
	{"ID-01 alg with a space", header("alg", "ES256 "), "alg"},
	{"ID-01 alg in a member ALG", part(0, func(string) string { return enc(`{"ALG":"ES256"}`) }), "alg"},
	{"ID-01 empty signature under a real alg", part(2, func(string) string { return "" }), "signature"},
	{"ID-44 ES521, which is no name", header("alg", "ES521"), "alg"},
	{"ID-44 ES256K", header("alg", "ES256K"), "alg"},
	{"ID-44 RSA1_5, an encryption", header("alg", "RSA1_5"), "alg"},

	{"ID-02 HS256 under the key as PEM", underPublicKey(keyPEM), "alg"},
	{"ID-02 HS256 under the key as PEM, white space first", underPublicKey(func(k *acptest.Key) string { return " \n" + keyPEM(k) }), "alg"},
	{"ID-02 HS256 under the key as PEM, no last newline", underPublicKey(func(k *acptest.Key) string { return strings.TrimSpace(keyPEM(k)) }), "alg"},
	{"ID-02 HS256 under the key as DER", underPublicKey(keyDER), "alg"},
	{"ID-02 HS256 under the key as JWK", underPublicKey(keyJSON), "alg"},

	{"ID-44 RS256 named, ES256 made", header("alg", "RS256"), "key_not_found"},
	{"ID-44 ES384 named, ES256 made", header("alg", "ES384"), "key_not_found"},
	{"ID-44 EdDSA named, ES256 made", header("alg", "EdDSA"), "key_not_found"},

	{"ID-16 alg twice in the header", part(0, func(p string) string {
		return enc(strings.Replace(dec(p), `{`, `{"alg":"ES256",`, 1))
	}), "token_malformed"},
	{"ID-16 kid twice, one escaped", part(0, func(p string) string {
		return enc(strings.Replace(dec(p), `{`, `{"k\u0069d":"x",`, 1))
	}), "token_malformed"},

	{"ID-35 crit with an unknown name", header("crit", []string{"x"}), "token_malformed"},
	{"ID-35 crit empty", header("crit", []string{}), "token_malformed"},
	{"ID-35 crit names alg", header("crit", []string{"alg"}), "token_malformed"},
	{"ID-35 crit null", header("crit", json.RawMessage("null")), "token_malformed"},
	{"ID-35 crit a string", header("crit", "exp"), "token_malformed"},
	{"ID-35 b64 false", header("b64", false), "token_malformed"},
	{"ID-35 b64 true", header("b64", true), "token_malformed"},
	{"ID-35 crit and b64", func(s *acptest.Server, h, c map[string]any) string {
		h["crit"], h["b64"] = []string{"b64"}, false
		return honest(s, h, c)
	}, "token_malformed"},
	{"TX-42 zip", header("zip", "DEF"), "token_malformed"},
	{"TX-42 a JWE", reshape(func(string) string {
		return enc(`{"alg":"RSA-OAEP","enc":"A256GCM"}`) + ".a2V5.aXY.Y2lwaGVy.dGFn"
	}), "token_malformed"},
	{"TX-42 three parts that claim to be a JWE", header("enc", "A256GCM"), "token_malformed"},

	{"ID-37 kid is a path", header("kid", "../../etc/passwd"), "key_not_found"},
	{"ID-37 kid is SQL", header("kid", "' OR 1=1 --"), "key_not_found"},
	{"ID-37 kid is NUL", header("kid", "\x00"), "key_not_found"},
	{"ID-37 kid has CR LF", header("kid", "a\r\nX: b"), "key_not_found"},
	{"ID-37 kid empty", header("kid", ""), "key_not_found"},
	{"ID-37 kid of 256 bytes", header("kid", strings.Repeat("k", 256)), "key_not_found"},
	{"ID-37 kid of 257 bytes", header("kid", strings.Repeat("k", 257)), "token_malformed"},
	{"ID-37 kid of 15 KiB", header("kid", strings.Repeat("k", 15<<10)), "token_malformed"},
	{"ID-37 kid of 100 KiB", header("kid", strings.Repeat("k", 100<<10)), "token_malformed"},
	{"ID-37 kid a number", header("kid", 7), "token_malformed"},
	{"ID-37 kid an object", header("kid", map[string]any{}), "token_malformed"},
	{"ID-37 kid null", header("kid", json.RawMessage("null")), "token_malformed"},

	{"ID-38 flattened JSON", reshape(func(token string) string {
		p := strings.Split(token, ".")
		return `{"payload":"` + p[1] + `","protected":"` + p[0] + `","signature":"` + p[2] + `"}`
	}), "token_malformed"},
	{"ID-38 general JSON", reshape(func(token string) string {
		p := strings.Split(token, ".")
		return `{"payload":"` + p[1] + `","signatures":[{"protected":"` + p[0] + `","signature":"` + p[2] + `"}]}`
	}), "token_malformed"},
	{"ID-38 two signatures", reshape(func(token string) string {
		p := strings.Split(token, ".")
		one := `{"protected":"` + p[0] + `","signature":"` + p[2] + `"}`
		return `{"payload":"` + p[1] + `","signatures":[` + one + `,` + one + `]}`
	}), "token_malformed"},

	{"ID-39 space first", reshape(func(token string) string { return " " + token }), "token_malformed"},
	{"ID-39 newline last", reshape(func(token string) string { return token + "\n" }), "token_malformed"},
	{"ID-39 CR LF in the header", part(0, func(p string) string { return p[:4] + "\r\n" + p[4:] }), "token_malformed"},
	{"ID-39 LF in the payload", part(1, func(p string) string { return p[:8] + "\n" + p[8:] }), "token_malformed"},
	{"ID-39 LF in the signature", part(2, func(p string) string { return p[:8] + "\n" + p[8:] }), "token_malformed"},
	{"ID-39 NUL last", reshape(func(token string) string { return token + "\x00" }), "token_malformed"},
	{"ID-39 padded signature", part(2, func(p string) string { return p + "==" }), "token_malformed"},
	{"ID-39 padded header", part(0, func(p string) string { return p + "=" }), "token_malformed"},
	{"ID-39 a plus, of the other alphabet", part(2, func(p string) string { return "+" + p[1:] }), "token_malformed"},
	{"ID-39 a slash, of the other alphabet", part(1, func(p string) string { return p[:4] + "/" + p[5:] }), "token_malformed"},
	{"ID-39 a letter that is not ASCII", part(2, func(p string) string { return "é" + p[2:] }), "token_malformed"},
	{"ID-39 two parts", reshape(func(token string) string { return token[:strings.LastIndex(token, ".")] }), "token_malformed"},
	{"ID-39 four parts", reshape(func(token string) string { return token + ".e30" }), "token_malformed"},
	{"ID-39 a dot last", reshape(func(token string) string { return token + "." }), "token_malformed"},
	{"ID-39 five parts", reshape(func(token string) string { return token + ".." }), "token_malformed"},
	{"ID-39 no header", part(0, func(string) string { return "" }), "token_malformed"},
	{"ID-39 no payload", part(1, func(string) string { return "" }), "token_malformed"},
	{"ID-39 one letter too many", part(2, func(p string) string { return p + "AAA" }), "token_malformed"},
	{"ID-44 header is an array", part(0, func(string) string { return enc(`["ES256"]`) }), "token_malformed"},
	{"ID-44 header is no JSON", part(0, func(string) string { return enc(`ES256`) }), "token_malformed"},
	{"ID-44 something behind the header", part(0, func(p string) string { return enc(dec(p) + `{}`) }), "token_malformed"},
	{"ID-44 header with invalid UTF-8", part(0, func(string) string { return enc("{\"alg\":\"ES256\",\"x\":\"\xff\"}") }), "token_malformed"},

	{"ID-44 a changed signature", part(2, func(p string) string { return flipPart(p) }), "signature"},
	{"ID-44 a changed payload", part(1, func(p string) string {
		return enc(strings.Replace(dec(p), `"alice"`, `"admin"`, 1))
	}), "signature"},
	{"ID-44 a changed header", part(0, func(p string) string { return enc(strings.Replace(dec(p), `{`, `{ `, 1)) }), "signature"},
	{"ID-44 r and s of zero", part(2, func(string) string { return enc(strings.Repeat("\x00", 64)) }), "signature"},
	{"ID-44 a signature too short", part(2, func(p string) string { return enc(dec(p)[:63]) }), "signature"},
	{"ID-44 a signature too long", part(2, func(p string) string { return enc(dec(p) + "\x00") }), "signature"},
	{"ID-44 a signature in DER", part(2, func(p string) string { return enc("\x30\x44\x02\x20" + dec(p)[:32] + "\x02\x20" + dec(p)[32:]) }), "signature"},
	{"ID-44 r and s swapped", part(2, func(p string) string { return enc(dec(p)[32:] + dec(p)[:32]) }), "signature"},

	{"ID-44 the claims are an array, well signed", func(s *acptest.Server, _, _ map[string]any) string {
		return s.Key().SignRaw(`{"alg":"ES256","kid":"`+s.Key().ID+`"}`, `[]`)
	}, "token_malformed"},
	{"ID-44 the claims are no JSON, well signed", func(s *acptest.Server, _, _ map[string]any) string {
		return s.Key().SignRaw(`{"alg":"ES256","kid":"`+s.Key().ID+`"}`, `hello`)
	}, "token_malformed"},
}

// flipPart changes the first character to its neighbour.
func flipPart(p string) string {
	i := strings.IndexByte(alphabet, p[0])
	return string(alphabet[(i+1)%64]) + p[1:]
}

// The rows, as the ID token of a login.
func TestGateIDToken(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	l.server.OnMetadata(func(m map[string]any) { delete(m, "id_token_signing_alg_values_supported") })
	for _, row := range gateRows {
		t.Run(row.name, func(t *testing.T) {
			var token string
			l.server.MintIDToken(func(h, c map[string]any) string {
				token = row.mint(l.server, h, c)
				return token
			})
			tokens, err := l.login(nil)
			wantInvalidToken(t, token, err, row.reason)
			if err != nil && tokens != nil {
				t.Error("an error, and tokens with it")
			}
		})
	}
	if n := l.count(acptest.JWKSEndpoint); n > 3 {
		t.Errorf("the attacks caused %d fetches of keys", n)
	}
}

// The same rows, as an access token at an API.
func TestGateAccessToken(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	v := l.newVerifier(nil)
	for _, row := range gateRows {
		t.Run(row.name, func(t *testing.T) {
			l.server.MintAccessToken(func(h, c map[string]any) string { return row.mint(l.server, h, c) })
			token := l.server.AccessToken(nil)
			access, err := v.Verify(t.Context(), token)
			wantInvalidToken(t, token, err, row.reason)
			if err != nil && access != nil {
				t.Error("an error, and a token with it")
			}
		})
	}
}

// ID-40: the last character of a part has bits that say nothing.
func TestGateUnusedBits(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	v := l.newVerifier(nil)
	token := l.server.AccessToken(nil)
	if _, err := v.Verify(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	last := strings.IndexByte(alphabet, token[len(token)-1])
	twins := 0
	for i := range alphabet {
		if i == last {
			continue
		}
		other := token[:len(token)-1] + alphabet[i:i+1]
		want := "token_malformed" // 64 bytes leave four bits without a meaning
		if i%16 == 0 {
			want = "signature"
		}
		if i/16 == last/16 {
			twins++
		}
		_, err := v.Verify(t.Context(), other)
		wantInvalidToken(t, other, err, want)
	}
	if twins != 15 {
		t.Errorf("%d texts of the same bytes were tried, want 15", twins)
	}
}

// ID-42: who cannot sign learns nothing of how claims are judged.
func TestGateForgedTokensTellNothing(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	v := l.newVerifier(nil)
	stranger := acptest.NewKey("ES256")
	for _, claims := range []string{
		`{}`, `[]`, `not JSON`, `{"iss":"https://evil.example"}`, `{"sub":"a","sub":"b"}`, `{"exp":0}`, `{"exp":"x"}`,
		`{"iss":"` + l.server.Issuer + `","aud":"` + l.server.Audience + `","sub":"alice","exp":4102444800}`,
		`{"nonce":"x"}`, `{"cnf":{}}`, `{"events":{}}`,
	} {
		for _, typ := range []string{"JWT", "at+jwt", "logout+jwt", "nonsense"} {
			for kid, want := range map[string]string{l.server.Key().ID: "signature", "unknown": "key_not_found"} {
				token := stranger.SignRaw(`{"alg":"ES256","typ":"`+typ+`","kid":"`+kid+`"}`, claims)
				_, err := v.Verify(t.Context(), token)
				wantInvalidToken(t, token, err, want)
				l.server.MintIDToken(func(_, _ map[string]any) string { return token })
				_, err = l.login(nil)
				wantInvalidToken(t, token, err, want)
			}
		}
	}
}

// ID-36: a key that the token itself brings or points at is never looked at.
func TestGateForeignKeys(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	v := l.newVerifier(nil)
	stranger := acptest.NewKey("ES256")
	var fetches atomic.Int32
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetches.Add(1)
		json.NewEncoder(w).Encode(map[string]any{"keys": []any{stranger.JWK()}})
	}))
	defer evil.Close()
	for name, value := range map[string]any{
		"jwk": stranger.JWK(), "jku": evil.URL + "/keys", "x5u": evil.URL + "/cert",
		"x5c": []string{certificate(t, stranger)}, "x5t": "AAAA",
	} {
		t.Run("ID-36 "+name, func(t *testing.T) {
			for kid, want := range map[string]string{l.server.Key().ID: "signature", stranger.ID: "key_not_found"} {
				edit := func(_, c map[string]any) string {
					return stranger.Sign(map[string]any{"kid": kid, name: value}, c)
				}
				l.server.MintIDToken(edit)
				_, err := l.login(nil)
				wantInvalidToken(t, "", err, want)
				l.server.MintAccessToken(edit)
				_, err = v.Verify(t.Context(), l.server.AccessToken(nil))
				wantInvalidToken(t, "", err, want)
			}
			// Nor does it harm a token that is the server's own.
			l.server.MintIDToken(func(h, c map[string]any) string { h[name] = value; return l.server.Sign(h, c) })
			l.server.MintAccessToken(nil)
			if _, err := l.login(nil); err != nil {
				t.Error(err)
			}
		})
	}
	if n := fetches.Load(); n != 0 {
		t.Errorf("ID-36: %d requests went where a token pointed", n)
	}
}

// MaxTokenSize is a bound that moves.
func TestGateTokenSize(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	token := l.server.AccessToken(map[string]any{"pad": strings.Repeat("x", 4<<10)})
	for size, want := range map[int]string{len(token) - 1: "token_malformed", len(token): "", 0: ""} {
		v := l.newVerifier(func(c *acpclient.VerifierConfig) { c.MaxTokenSize = size })
		_, err := v.Verify(t.Context(), token)
		wantInvalidToken(t, token, err, want)
	}
	long := l.server.AccessToken(map[string]any{"pad": strings.Repeat("x", 16<<10)})
	_, err := l.newVerifier(nil).Verify(t.Context(), long)
	wantInvalidToken(t, long, err, "token_malformed")
}

// What the gate takes has one text only: its parts, written again, are the token.
func FuzzCompactJWS(f *testing.F) {
	k := acptest.NewKey("ES256")
	f.Add(k.Sign(nil, map[string]any{"sub": "alice"}))
	f.Add(k.Sign(nil, map[string]any{"sub": "alice"}) + "\n")
	f.Add(acptest.Unsigned(nil, map[string]any{}))
	f.Add(enc(`{"alg":"ES256"}`) + ".e30.")
	f.Add(enc(`{"alg":"ES256","alg":"none"}`) + ".e30.AA")
	f.Add(enc(`{"alg":"ES256"}`) + ".e31.AB")
	f.Add("..")
	f.Add("a.b.c.d.e")
	f.Fuzz(func(t *testing.T, token string) {
		input, payload, signature, err := acpclient.Gate(token, 16<<10)
		if err != nil {
			if acpclient.Reason(err) == "" {
				t.Errorf("an error without a reason: %v", err)
			}
			return
		}
		first, second, _ := strings.Cut(string(input), ".")
		raw, err := base64.RawURLEncoding.DecodeString(first)
		if err != nil || enc(string(raw)) != first || enc(string(payload)) != second ||
			string(input)+"."+enc(string(signature)) != token {
			t.Errorf("accepted, but not canonical: %q", token)
		}
		var h struct{ Alg string }
		if json.Unmarshal(raw, &h) != nil || h.Alg == "" {
			t.Errorf("accepted without alg: %q", raw)
		}
	})
}
