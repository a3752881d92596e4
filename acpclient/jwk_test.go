package acpclient_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	stdjson "encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"github.com/acp-go/acp/acpclient"
)

// smallModulus is a product of two primes of half the bits; a key of fewer than 1024
// bits cannot be made with crypto/rsa.
func smallModulus(bits int) []byte {
	p, q := must(rand.Prime(rand.Reader, bits/2)), must(rand.Prime(rand.Reader, bits/2))
	return new(big.Int).Mul(p, q).Bytes()
}

// rocaModulus draws its primes as the flawed library did: k*M + (65537^a mod M), where
// M is the product of the first primes (Nemec et al., CCS 2017, section 2.1).
func rocaModulus(bits int) []byte {
	m := big.NewInt(1)
	for p := int64(2); p <= 701; p++ { // 126 primes, as for 2048 bits
		if big.NewInt(p).ProbablyPrime(10) {
			m.Mul(m, big.NewInt(p))
		}
	}
	prime := func() *big.Int {
		for {
			k := must(rand.Int(rand.Reader, new(big.Int).Rsh(new(big.Int).Lsh(big.NewInt(1), uint(bits/2)), uint(m.BitLen()))))
			a := must(rand.Int(rand.Reader, m))
			p := k.Add(k.Mul(k, m), a.Exp(big.NewInt(65537), a, m))
			p.Mod(p, new(big.Int).Lsh(m, uint(bits/2-m.BitLen()+1)))
			if p.BitLen() == bits/2 && p.Bit(bits/2-2) == 1 && p.ProbablyPrime(2) {
				return p
			}
		}
	}
	return new(big.Int).Mul(prime(), prime()).Bytes()
}

// odd returns an odd number of that many bits. It need not be a good modulus.
func odd(bits int) []byte {
	n := make([]byte, bits/8)
	must(rand.Read(n))
	n[0] |= 0x80
	n[len(n)-1] |= 1
	return n
}

// lowOrderPoints are the points of Ed25519 whose order divides 8, in every encoding
// that decoders are known to take.
var lowOrderPoints = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0000000000000000000000000000000000000000000000000000000000000080",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000080",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
}

// badKeys are JWKs that must be left out, and a word of the reason.
var badKeys = sync.OnceValue(func() []struct{ name, jwk, problem string } {
	r, ec, ed := oneOfEach()["RSA"], oneOfEach()["P-256"], oneOfEach()["Ed25519"]
	public := r.key.Public().(*rsa.PublicKey)
	n, f4 := public.N.Bytes(), []byte{1, 0, 1}
	point := must(ec.key.Public().(*ecdsa.PublicKey).Bytes())
	x, y := point[1:33], point[33:]
	wrongY := append(slices.Clone(y[:31]), y[31]^1)
	p384 := must(oneOfEach()["P-384"].key.Public().(*ecdsa.PublicKey).Bytes())
	even := slices.Clone(n)
	even[len(even)-1] &^= 1
	p := elliptic.P256().Params().P
	return []struct{ name, jwk, problem string }{
		{"JW-19 not an object", `"x"`, "not an object"},
		{"JW-19 null", `null`, "not an object"},
		{"JW-19 nothing in it", `{}`, "unknown kty"},
		{"JW-19 unknown kty", `{"kty":"PQ","kid":"a"}`, "unknown kty"},
		{"JW-19 kty is a number", `{"kty":1}`, "kty is not a string"},
		{"JW-19 kty in another case", `{"kty":"rsa","n":"` + b64(n) + `","e":"AQAB"}`, "unknown kty"},
		{"JW-19 duplicate members", r.with(`"e":"AQAB"`), "duplicate member"},
		{"JW-19 kid is a number", r.with(`"kid":1`), "kid is not a string"},
		{"JW-19 kid is null", r.with(`"kid":null`), "kid is not a string"},
		{"ID-37 kid too long", r.with(`"kid":"` + strings.Repeat("k", 257) + `"`), "kid too long"},
		{"JW-19 unknown alg", r.with(`"alg":"RS1"`), "alg"},
		{"JW-19 alg for encryption", r.with(`"alg":"RSA-OAEP-256"`), "alg"},
		{"JW-19 alg none", r.with(`"alg":"none"`), "alg"},
		{"JW-19 alg empty", r.with(`"alg":""`), "alg"},
		{"JW-19 alg is a number", r.with(`"alg":256`), "alg is not a string"},
		{"JW-20 alg of another type", r.with(`"alg":"ES256"`), "alg"},
		{"JW-20 alg of another curve", ec.with(`"alg":"ES384"`), "alg"},
		{"ID-02 alg HS256 on a public key", r.with(`"alg":"HS256"`), "alg"},
		{"JW-20 use enc", r.with(`"use":"enc"`), "use"},
		{"JW-20 use in capitals", r.with(`"use":"SIG"`), "use"},
		{"JW-20 use empty", r.with(`"use":""`), "use"},
		{"JW-20 use null", r.with(`"use":null`), "use"},
		{"JW-20 key_ops without verify", r.with(`"key_ops":["sign","encrypt"]`), "key_ops"},
		{"JW-20 key_ops empty", r.with(`"key_ops":[]`), "key_ops"},
		{"JW-20 key_ops is a string", r.with(`"key_ops":"verify"`), "key_ops"},
		{"JW-20 key_ops without verify, use sig", r.with(`"use":"sig","key_ops":["encrypt"]`), "key_ops"},
		{"JW-22 symmetric", `{"kty":"oct","kid":"h","k":"` + b64(n[:32]) + `"}`, "symmetric"},

		{"JW-21 RSA 1024", "{" + rsaJWK(smallModulus(1024), f4) + "}", "1024 bits"},
		{"JW-21 RSA 2047", "{" + rsaJWK(new(big.Int).Rsh(public.N, 1).SetBit(new(big.Int).Rsh(public.N, 1), 0, 1).Bytes(), f4) + "}", "2047 bits"},
		{"JW-21 RSA 16384", "{" + rsaJWK(odd(16384), f4) + "}", "n too large"},
		{"JW-21 RSA 64 kbit", "{" + rsaJWK(odd(65536), f4) + "}", "n too large"},
		{"JW-21 RSA even modulus", "{" + rsaJWK(even, f4) + "}", "even"},
		{"JW-21 e = 1", "{" + rsaJWK(n, []byte{1}) + "}", "exponent"},
		{"JW-21 e = 0", "{" + rsaJWK(n, []byte{0}) + "}", "exponent"},
		{"JW-21 e = 2", "{" + rsaJWK(n, []byte{2}) + "}", "exponent"},
		{"JW-21 e = 65536", "{" + rsaJWK(n, []byte{1, 0, 0}) + "}", "exponent"},
		{"JW-21 e = 2^31+1", "{" + rsaJWK(n, []byte{0x80, 0, 0, 1}) + "}", "exponent too large"},
		{"JW-21 e = 2^32+1", "{" + rsaJWK(n, []byte{1, 0, 0, 0, 1}) + "}", "exponent too large"},
		{"JW-21 e of 2048 bits", "{" + rsaJWK(n, n) + "}", "e too large"},
		{"JW-21 ROCA", "{" + rsaJWK(rocaModulus(2048), f4) + "}", "ROCA"},
		{"JW-21 no n", `{"kty":"RSA","e":"AQAB"}`, "n is missing"},
		{"JW-21 no e", `{"kty":"RSA","n":"` + b64(n) + `"}`, "e is missing"},
		{"JW-21 n is empty", `{"kty":"RSA","n":"","e":"AQAB"}`, "n is missing"},
		{"JW-21 n is a number", `{"kty":"RSA","n":65537,"e":"AQAB"}`, "n is not a string"},
		{"JW-21 e is a number", `{"kty":"RSA","n":"` + b64(n) + `","e":65537}`, "e is not a string"},
		{"JW-21 n with padding", `{"kty":"RSA","n":"` + b64(n) + `==","e":"AQAB"}`, "n is not base64url"},
		{"JW-21 n with line breaks", `{"kty":"RSA","n":"` + b64(n)[:64] + `\n` + b64(n)[64:] + `","e":"AQAB"}`, "n is not base64url"},
		{"JW-21 n in standard base64", `{"kty":"RSA","n":"+/` + b64(n)[2:] + `","e":"AQAB"}`, "n is not base64url"},

		{"JW-21 off the curve", "{" + ecJWK("P-256", x, wrongY) + "}", "not a point"},
		{"JW-21 the point 0, 0", "{" + ecJWK("P-256", make([]byte, 32), make([]byte, 32)) + "}", "not a point"},
		{"JW-21 x = p", "{" + ecJWK("P-256", p.Bytes(), y) + "}", "not a point"},
		{"JW-21 x too short", "{" + ecJWK("P-256", x[:31], y) + "}", "too short"},
		{"JW-21 y too short", "{" + ecJWK("P-256", x, y[1:]) + "}", "too short"},
		{"JW-21 x too long", "{" + ecJWK("P-256", append([]byte{0}, x...), y) + "}", "x too large"},
		{"JW-21 a point of P-384 as P-256", "{" + ecJWK("P-256", p384[1:49], p384[49:]) + "}", "too large"},
		{"JW-21 a point of P-256 as P-384", "{" + ecJWK("P-384", x, y) + "}", "too short"},
		{"JW-21 no y", `{"kty":"EC","crv":"P-256","x":"` + b64(x) + `"}`, "y is missing"},
		{"JW-21 P-224", "{" + ecJWK("P-224", x[:28], y[:28]) + "}", "unknown crv"},
		{"JW-21 secp256k1", "{" + ecJWK("secp256k1", x, y) + "}", "unknown crv"},
		{"JW-21 no crv", `{"kty":"EC","x":"` + b64(x) + `","y":"` + b64(y) + `"}`, "unknown crv"},
		{"JW-21 Ed25519 as EC", "{" + ecJWK("Ed25519", x, y) + "}", "unknown crv"},

		{"X25519", `{"kty":"OKP","crv":"X25519","x":"` + b64(x) + `"}`, "unknown crv"},
		{"Ed448", `{"kty":"OKP","crv":"Ed448","x":"` + b64(append(x, y[:25]...)) + `"}`, "unknown crv"},
		{"P-256 as OKP", `{"kty":"OKP","crv":"P-256","x":"` + b64(x) + `"}`, "unknown crv"},
		{"Ed25519 too short", "{" + edJWK(ed.key.Public().(ed25519.PublicKey)[:31]) + "}", "too short"},
		{"Ed25519 too long", "{" + edJWK(append(slices.Clone(ed.key.Public().(ed25519.PublicKey)), 0)) + "}", "too large"},
		{"Ed25519 zeros", "{" + edJWK(make([]byte, 32)) + "}", "low order"},
	}
})

func TestParseJWKSBadKeys(t *testing.T) {
	before, after := oneOfEach()["P-256"].with(`"kid":"before"`), oneOfEach()["Ed25519"].with(`"kid":"after"`)
	for _, tt := range badKeys() {
		t.Run(tt.name, func(t *testing.T) {
			set := []byte(`{"keys":[` + before + `,` + tt.jwk + `,` + after + `]}`)
			keys, problems, err := acpclient.ParseJWKS(set)
			if err != nil || len(keys) != 2 || keys[0].Kid != "before" || keys[1].Kid != "after" {
				t.Fatalf("the good keys are gone: %v, %v", keys, err)
			}
			if len(problems) != 1 || !strings.HasPrefix(problems[0], "key 2: left out: ") || !strings.Contains(problems[0], tt.problem) || len(problems[0]) > 120 {
				t.Errorf("problems %q, want one about %q", problems, tt.problem)
			}
			quick(t, 500*time.Millisecond, func() { acpclient.ParseJWKS(set) }) // 5 ms on a quiet machine
			if keys, _, err := acpclient.ParseJWKS([]byte(`{"keys":[` + tt.jwk + `]}`)); err == nil || keys != nil || !strings.Contains(err.Error(), tt.problem) {
				t.Errorf("alone: %v, %v", keys, err)
			}
		})
	}
	for _, point := range lowOrderPoints {
		jwk := "{" + edJWK(must(hex.DecodeString(point))) + "}"
		if _, _, err := acpclient.ParseJWKS([]byte(`{"keys":[` + jwk + `]}`)); err == nil || !strings.Contains(err.Error(), "low order") {
			t.Errorf("%s: %v", point, err)
		}
	}
}

// TestLowOrderPointsAreDangerous shows why they are refused: under such a key, a
// signature that nobody made fits.
func TestLowOrderPointsAreDangerous(t *testing.T) {
	forged := 0
	for _, point := range lowOrderPoints {
		for i := range 64 {
			if forgery(must(hex.DecodeString(point)), []byte{byte(i)}) {
				forged++
				break
			}
		}
	}
	if forged < 8 {
		t.Errorf("only %d of %d take a forgery: the list is wrong", forged, len(lowOrderPoints))
	}
}

// forgery tells whether a signature of low-order points and zeros fits the message.
func forgery(public ed25519.PublicKey, message []byte) bool {
	for _, r := range lowOrderPoints {
		sig := append(must(hex.DecodeString(r)), make([]byte, 32)...)
		if ed25519.Verify(public, message, sig) {
			return true
		}
	}
	return false
}

func TestParseJWKSGoodKeys(t *testing.T) {
	r := oneOfEach()["RSA"]
	n := r.key.Public().(*rsa.PublicKey).N.Bytes()
	for _, tt := range []struct{ name, jwk, kid, alg, problem string }{
		{"RSA", r.with(""), "", "", ""},
		{"RSA with everything", r.with(`"kid":"a","alg":"PS512","use":"sig","key_ops":["verify"],"x5c":["!"],"x5t#S256":"x","extra":{"a":[1]}`), "a", "PS512", ""},
		{"RSA with leading zero", "{" + rsaJWK(append([]byte{0}, n...), []byte{0, 1, 0, 1}) + "}", "", "", ""},
		{"RSA, e = 3", "{" + rsaJWK(n, []byte{3}) + "}", "", "", ""},
		{"RSA, e = 2^31-1", "{" + rsaJWK(n, []byte{0x7f, 0xff, 0xff, 0xff}) + "}", "", "", ""},
		{"RSA 8192", "{" + rsaJWK(odd(8192), []byte{1, 0, 1}) + "}", "", "", ""},
		{"P-256", oneOfEach()["P-256"].with(`"kid":"17630","alg":"ES256"`), "17630", "ES256", ""},
		{"P-384", oneOfEach()["P-384"].with(`"kid":""`), "", "", ""},
		{"P-521", oneOfEach()["P-521"].with(`"kid":"../../etc/passwd"`), "../../etc/passwd", "", ""},
		{"Ed25519", oneOfEach()["Ed25519"].with(`"alg":"EdDSA"`), "", "EdDSA", ""},
		{"Ed25519 by its new name", oneOfEach()["Ed25519"].with(`"alg":"Ed25519"`), "", "EdDSA", ""},
		{"longest kid", r.with(`"kid":"` + strings.Repeat("k", 256) + `"`), strings.Repeat("k", 256), "", ""},
		{"JW-22 private RSA", r.with(`"d":"c2VjcmV0","p":"c2VjcmV0"`), "", "", "private members"},
		{"JW-22 private EC", oneOfEach()["P-256"].with(`"d":"c2VjcmV0"`), "", "", "private members"},
		{"JW-22 private Ed25519, malformed", oneOfEach()["Ed25519"].with(`"d":17`), "", "", "private members"},
		{"members in another case", r.with(`"USE":"enc","Alg":"none","D":"x"`), "", "", ""}, // JW-02
	} {
		t.Run(tt.name, func(t *testing.T) {
			keys, problems, err := acpclient.ParseJWKS([]byte(`{"keys":[` + tt.jwk + `],"more":1}`))
			if err != nil || len(keys) != 1 {
				t.Fatalf("%v, %v", keys, err)
			}
			if keys[0].Kid != tt.kid || keys[0].Alg != tt.alg {
				t.Errorf("kid %q, alg %q", keys[0].Kid, keys[0].Alg)
			}
			if text := strings.Join(problems, ";"); (text == "") != (tt.problem == "") || !strings.Contains(text, tt.problem) || strings.Contains(text, "c2VjcmV0") {
				t.Errorf("problems %q", problems)
			}
			switch keys[0].Public.(type) {
			case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
			default:
				t.Errorf("not a public key: %T", keys[0].Public)
			}
		})
	}
}

// badSets are documents that hold no keys at all.
var badSets = []struct{ name, text string }{
	{"JW-18 empty set", `{"keys":[]}`},
	{"JW-18 empty object", `{}`},
	{"JW-18 nothing", ``},
	{"JW-18 HTML", `<!doctype html><html><body>Sign in</body></html>`},
	{"JW-18 truncated", `{"keys":[{"kty":"RSA"`},
	{"JW-18 keys is null", `{"keys":null}`},
	{"JW-18 keys is an object", `{"keys":{"kty":"RSA"}}`},
	{"JW-18 KEYS", `{"KEYS":[{"kty":"RSA"}]}`},
	{"JW-18 array", `[{"kty":"RSA"}]`},
	{"JW-18 two sets", `{"keys":[{}]}{"keys":[{}]}`},
	{"JW-18 keys twice", `{"keys":[{}],"keys":[{}]}`},
	{"JW-18 error answer", `{"error":"server_error"}`},
	{"JW-19 only bad keys", `{"keys":[{"kty":"oct","k":"AA"},{}]}`},
	{"JW-24 101 keys", `{"keys":[` + strings.TrimSuffix(strings.Repeat(`{},`, 101), ",") + `]}`},
	{"JW-24 10 000 keys", `{"keys":[` + strings.TrimSuffix(strings.Repeat(`{"kty":"EC","kid":"0123456789"},`, 10_000), ",") + `]}`},
	{"JW-24 a megabyte of keys", `{"keys":[` + strings.Repeat(`0,`, 500_000) + `0]}`},
	{"JW-24 a megabyte of brackets", `{"keys":` + strings.Repeat(`[`, 1_000_000)},
}

func TestParseJWKSBadSets(t *testing.T) {
	for _, tt := range badSets {
		t.Run(tt.name, func(t *testing.T) {
			keys, _, err := acpclient.ParseJWKS([]byte(tt.text))
			if err == nil || keys != nil {
				t.Fatalf("%v, %v", keys, err)
			}
			if len(err.Error()) > 200 || strings.Contains(err.Error(), "html") {
				t.Errorf("error %q", err)
			}
			quick(t, time.Second, func() { acpclient.ParseJWKS([]byte(tt.text)) })
		})
	}
}

func TestParseJWKSHundredKeys(t *testing.T) { // JW-24
	var set []string
	for i := range 100 {
		set = append(set, newEd25519().with(fmt.Sprintf(`"kid":"%d"`, i)))
	}
	set[99] = set[0] // said twice
	keys, problems, err := acpclient.ParseJWKS([]byte(`{"keys":[` + strings.Join(set, ",") + `]}`))
	if err != nil || len(keys) != 99 || problems != nil {
		t.Errorf("%d keys, %q, %v", len(keys), problems, err)
	}
}

func TestParseJWKSHugeKeyIsFast(t *testing.T) { // JW-21
	// refuse returns what the key, of this many bits, does with a signature.
	refuse := func(bits int, exponent ...byte) func() {
		n, input := odd(bits), []byte("x.y")
		k, sig := parsed(t, "{"+rsaJWK(n, exponent)+"}"), bytes.Repeat([]byte{0x55}, bits/8)
		return func() {
			if k.Verify("RS256", input, sig) {
				t.Fatal("accepted")
			}
		}
	}
	usual, ordinary := refuse(2048, 1, 0, 1), time.Hour
	for range 20 {
		began := time.Now()
		usual()
		ordinary = min(ordinary, time.Since(began))
	}
	// 16 times for the modulus and 4 times for the exponent, and more where a busy machine interrupts it; an
	// exponent as long as the modulus would cost 9000 times as much.
	quick(t, 1000*ordinary, refuse(8192, 0x7f, 0xff, 0xff, 0xff))
}

func FuzzJWKS(f *testing.F) {
	for _, tt := range badKeys() {
		f.Add([]byte(`{"keys":[` + tt.jwk + `]}`))
	}
	for _, tt := range badSets {
		if len(tt.text) < 4096 {
			f.Add([]byte(tt.text))
		}
	}
	for _, s := range oneOfEach() {
		f.Add([]byte(`{"keys":[` + s.with(`"kid":"a","use":"sig"`) + `]}`))
	}
	for _, tt := range published {
		f.Add([]byte(`{"keys":[` + tt.jwk + `]}`))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		keys, problems, err := acpclient.ParseJWKS(body)
		if (err == nil) != (len(keys) > 0) || len(keys) > 100 || len(problems) > 100 {
			t.Fatalf("%d keys, %d problems, %v", len(keys), len(problems), err)
		}
		var set struct {
			Keys []json.RawMessage `json:"keys"`
		}
		if err := json.Unmarshal(body, &set); err != nil && len(keys) > 0 {
			t.Fatalf("go-jose refuses the set: %v", err)
		}
		for _, k := range keys {
			k.Verify("RS256", body, body)
			k.Verify("ES256", body, make([]byte, 64))
			k.Verify("EdDSA", body, make([]byte, 64))
			// go-jose must read the same key from the public members.
			theirs := jose.JSONWebKey{}
			found := false
			for _, raw := range set.Keys {
				var m map[string]json.RawMessage
				if json.Unmarshal(raw, &m) != nil {
					continue
				}
				public := map[string]stdjson.RawMessage{}
				for _, name := range []string{"kty", "crv", "n", "e", "x", "y"} {
					if v, ok := m[name]; ok {
						public[name] = stdjson.RawMessage(v)
					}
				}
				text := must(stdjson.Marshal(public))
				if theirs.UnmarshalJSON(text) != nil {
					continue
				}
				if id, err := theirs.Thumbprint(crypto.SHA256); err == nil && b64(id) == k.ID {
					found = true
					if p, ok := k.Public.(interface{ Equal(crypto.PublicKey) bool }); !ok || !p.Equal(theirs.Key) {
						t.Fatalf("go-jose reads another key: %v", theirs.Key)
					}
				}
			}
			if !found {
				t.Fatalf("go-jose finds no key %s", k.ID)
			}
		}
	})
}
