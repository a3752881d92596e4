package acpclient_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/acp-go/acp/acpclient"
)

// signer is a private key made for the test, and its public half as a JWK.
type signer struct {
	key crypto.Signer
	jwk string // the members, without braces and without kid
}

var hashes = map[string]crypto.Hash{
	"RS256": crypto.SHA256, "RS384": crypto.SHA384, "RS512": crypto.SHA512,
	"PS256": crypto.SHA256, "PS384": crypto.SHA384, "PS512": crypto.SHA512,
	"ES256": crypto.SHA256, "ES384": crypto.SHA384, "ES512": crypto.SHA512, "EdDSA": 0,
}

// sign makes the JWS signature of input.
func (s signer) sign(t testing.TB, alg string, input []byte) []byte {
	t.Helper()
	var opts crypto.SignerOpts = hashes[alg]
	if strings.HasPrefix(alg, "PS") {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hashes[alg]}
	}
	return s.signWith(t, opts, input)
}

func (s signer) signWith(t testing.TB, opts crypto.SignerOpts, input []byte) []byte {
	t.Helper()
	digest := input
	if opts.HashFunc() != 0 {
		h := opts.HashFunc().New()
		h.Write(input)
		digest = h.Sum(nil)
	}
	if k, ok := s.key.(*ecdsa.PrivateKey); ok {
		r, v, err := ecdsa.Sign(rand.Reader, k, digest)
		if err != nil {
			t.Fatal(err)
		}
		size := (k.Curve.Params().BitSize + 7) / 8
		return append(r.FillBytes(make([]byte, size)), v.FillBytes(make([]byte, size))...)
	}
	sig, err := s.key.Sign(rand.Reader, digest, opts)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// with returns the JWK with further members.
func (s signer) with(members string) string {
	if members == "" {
		return "{" + s.jwk + "}"
	}
	return "{" + s.jwk + "," + members + "}"
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func unb64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newRSA(bits int) signer {
	k := must(rsa.GenerateKey(rand.Reader, bits))
	return signer{k, rsaJWK(k.N.Bytes(), []byte{1, 0, 1})}
}

func rsaJWK(n, e []byte) string {
	return `"kty":"RSA","n":"` + b64(n) + `","e":"` + b64(e) + `"`
}

func newEC(curve elliptic.Curve) signer {
	k := must(ecdsa.GenerateKey(curve, rand.Reader))
	point := must(k.PublicKey.Bytes())
	size := len(point) / 2
	return signer{k, ecJWK(curve.Params().Name, point[1:1+size], point[1+size:])}
}

func ecJWK(crv string, x, y []byte) string {
	return `"kty":"EC","crv":"` + crv + `","x":"` + b64(x) + `","y":"` + b64(y) + `"`
}

func newEd25519() signer {
	_, k, err := ed25519.GenerateKey(rand.Reader)
	k = must(k, err)
	return signer{k, edJWK(k.Public().(ed25519.PublicKey))}
}

func edJWK(x []byte) string { return `"kty":"OKP","crv":"Ed25519","x":"` + b64(x) + `"` }

// oneOfEach makes a key for each family of algorithms, once for all tests.
var oneOfEach = sync.OnceValue(func() map[string]signer {
	return map[string]signer{
		"RSA": newRSA(2048), "P-256": newEC(elliptic.P256()), "P-384": newEC(elliptic.P384()),
		"P-521": newEC(elliptic.P521()), "Ed25519": newEd25519(),
	}
})

// families are the algorithms that go with each of them.
var families = map[string][]string{
	"RSA":   {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"},
	"P-256": {"ES256"}, "P-384": {"ES384"}, "P-521": {"ES512"}, "Ed25519": {"EdDSA"},
}

// parsed reads one JWK that must be usable.
func parsed(t testing.TB, jwk string) acpclient.Key {
	t.Helper()
	keys, _, err := acpclient.ParseJWKS([]byte(`{"keys":[` + jwk + `]}`))
	if err != nil || len(keys) != 1 {
		t.Fatalf("%.80s: %v", jwk, err)
	}
	return keys[0]
}

func TestVerifySignature(t *testing.T) {
	input := []byte("header.payload")
	for family, s := range oneOfEach() {
		k := parsed(t, s.with(""))
		for alg := range hashes {
			if fits := slices.Contains(families[family], alg); k.Fits(alg) != fits {
				t.Errorf("%s fits %s: %v", alg, family, !fits)
				continue
			} else if !fits {
				continue
			}
			sig := s.sign(t, alg, input)
			if !k.Verify(alg, input, sig) {
				t.Errorf("%s: a good signature is refused", alg)
			}
			for other := range hashes { // JW-20: the same signature under another name
				if other != alg && k.Verify(other, input, sig) {
					t.Errorf("%s: taken as %s", alg, other)
				}
			}
			for name, forged := range map[string][]byte{
				"nil": nil, "empty": {}, "cut": sig[:len(sig)-1], "longer": append(slices.Clone(sig), 0),
				"zero first": append([]byte{0}, sig...), "zeros": make([]byte, len(sig)),
				"ones": bytes.Repeat([]byte{0xff}, len(sig)), "half": sig[:len(sig)/2],
				"last bit":  append(slices.Clone(sig[:len(sig)-1]), sig[len(sig)-1]^1),
				"first bit": append([]byte{sig[0] ^ 0x80}, sig[1:]...),
			} {
				if k.Verify(alg, input, forged) {
					t.Errorf("%s: %s is accepted", alg, name)
				}
			}
			if k.Verify(alg, []byte("header.payloae"), sig) {
				t.Errorf("%s: another payload is accepted", alg)
			}
		}
		// ID-01, ID-02
		for _, alg := range []string{"", "none", "None", "NONE", "nOnE", "HS256", "rs256", "RS256 ", "ES256K", "RS1", "Ed448", "ES521"} {
			if k.Fits(alg) || k.Verify(alg, input, nil) || k.Verify(alg, input, s.sign(t, families[family][0], input)) {
				t.Errorf("%q goes with %s", alg, family)
			}
		}
	}
}

func TestVerifySignatureKeyAlg(t *testing.T) { // JW-20, RFC 8725 3.1
	input := []byte("x.y")
	s := oneOfEach()["RSA"]
	k := parsed(t, s.with(`"alg":"PS256"`))
	if !k.Verify("PS256", input, s.sign(t, "PS256", input)) {
		t.Error("the key's own algorithm is refused")
	}
	for _, alg := range []string{"RS256", "PS384", "RS512"} {
		if k.Verify(alg, input, s.sign(t, alg, input)) {
			t.Errorf("%s with a key for PS256", alg)
		}
	}
	ed := oneOfEach()["Ed25519"] // RFC 9864: the new name on the key, the old one in the token
	if !parsed(t, ed.with(`"alg":"Ed25519"`)).Verify("EdDSA", input, ed.sign(t, "EdDSA", input)) {
		t.Error("a key with alg Ed25519 is of no use for EdDSA")
	}
}

func TestVerifySignatureSaltLength(t *testing.T) { // RFC 7518 3.5
	input := []byte("x.y")
	s := oneOfEach()["RSA"]
	k := parsed(t, s.with(""))
	for salt, want := range map[int]bool{32: true, rsa.PSSSaltLengthAuto: false, 1: false, 20: false, 31: false, 33: false, 64: false} {
		sig := s.signWith(t, &rsa.PSSOptions{SaltLength: salt, Hash: crypto.SHA256}, input)
		if k.Verify("PS256", input, sig) != want {
			t.Errorf("salt of %d bytes: %v", salt, !want)
		}
	}
}

func TestVerifySignatureECDSAForm(t *testing.T) { // RFC 7518 3.4
	input := []byte("x.y")
	for _, curve := range []string{"P-256", "P-384", "P-521"} {
		s := oneOfEach()[curve]
		k := parsed(t, s.with(""))
		alg := families[curve][0]
		order := s.key.(*ecdsa.PrivateKey).Params().N
		size := (order.BitLen() + 7) / 8
		digest := hashes[alg].New()
		digest.Write(input)
		der, err := s.key.Sign(rand.Reader, digest.Sum(nil), hashes[alg])
		if err != nil {
			t.Fatal(err)
		}
		sig := s.sign(t, alg, input)
		r, v := new(big.Int).SetBytes(sig[:size]), new(big.Int).SetBytes(sig[size:])
		join := func(r, s *big.Int) []byte {
			return append(r.FillBytes(make([]byte, size+1))[1:], s.FillBytes(make([]byte, size+1))[1:]...)
		}
		for name, forged := range map[string][]byte{
			"DER":     der,
			"r = 0":   join(new(big.Int), v),
			"s = 0":   join(r, new(big.Int)),
			"0, 0":    join(new(big.Int), new(big.Int)), // CVE-2022-21449
			"s = n":   join(r, order),
			"r = n":   join(order, v),
			"swapped": join(v, r),
			"1, 1":    join(big.NewInt(1), big.NewInt(1)),
		} {
			if k.Verify(alg, input, forged) {
				t.Errorf("%s: %s is accepted", alg, name)
			}
		}
		// One in 256 has a zero first, in r or in s: both forms of the integers are met.
		for i := range 600 {
			input := []byte{byte(i), byte(i >> 8)}
			sig := s.sign(t, alg, input)
			if sig[0] != 0 && sig[size] != 0 && i > 8 {
				continue
			}
			if !k.Verify(alg, input, sig) {
				t.Fatalf("%s: %x is refused", alg, sig)
			}
			if curve != "P-256" && i > 40 {
				break // slow
			}
		}
	}
}

// The examples of RFC 7515 appendices A.1 to A.4 and RFC 8037 appendix A.4.
const (
	rfc7515Payload = ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
	rfc7515Secret  = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
)

var published = []struct{ name, alg, jwk, input, sig string }{
	{
		"RFC 7515 A.2", "RS256",
		`{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}`,
		"eyJhbGciOiJSUzI1NiJ9" + rfc7515Payload,
		"cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
	},
	{
		"RFC 7515 A.3", "ES256",
		`{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`,
		"eyJhbGciOiJFUzI1NiJ9" + rfc7515Payload,
		"DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
	},
	{
		"RFC 7515 A.4", "ES512",
		`{"kty":"EC","crv":"P-521","x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk","y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"}`,
		"eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA",
		"AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn",
	},
	{
		"RFC 8037 A.4", "EdDSA",
		`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
		"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
		"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
	},
}

func TestVerifySignaturePublished(t *testing.T) {
	for _, tt := range published {
		k := parsed(t, tt.jwk)
		if !k.Verify(tt.alg, []byte(tt.input), unb64(t, tt.sig)) {
			t.Errorf("%s: the published signature is refused", tt.name)
		}
		if k.Verify(tt.alg, []byte(tt.input+"A"), unb64(t, tt.sig)) {
			t.Errorf("%s: also for another payload", tt.name)
		}
	}
	if id := parsed(t, published[3].jwk).ID; id != "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" { // RFC 8037 A.3
		t.Errorf("thumbprint %s", id)
	}
}

func TestVerifyHMAC(t *testing.T) {
	input := []byte("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9" + rfc7515Payload)
	if !acpclient.VerifyHMAC("HS256", unb64(t, rfc7515Secret), input, unb64(t, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")) {
		t.Error("RFC 7515 A.1: the published signature is refused")
	}
	secret := []byte(strings.Repeat("s", 64))
	macs := map[string][]byte{}
	for alg, h := range map[string]crypto.Hash{"HS256": crypto.SHA256, "HS384": crypto.SHA384, "HS512": crypto.SHA512} {
		m := hmac.New(h.New, secret)
		m.Write(input)
		macs[alg] = m.Sum(nil)
	}
	for alg, mac := range macs {
		for _, other := range []string{"HS256", "HS384", "HS512", "hs256", "none", "", "RS256"} {
			if acpclient.VerifyHMAC(other, secret, input, mac) != (alg == other) {
				t.Errorf("%s as %q", alg, other)
			}
		}
		for _, wrong := range [][]byte{nil, {}, mac[:len(mac)-1], append(slices.Clone(mac), 0), make([]byte, len(mac))} {
			if acpclient.VerifyHMAC(alg, secret, input, wrong) {
				t.Errorf("%s: %x is accepted", alg, wrong)
			}
		}
		if acpclient.VerifyHMAC(alg, []byte(strings.Repeat("t", 64)), input, mac) {
			t.Errorf("%s: another secret", alg)
		}
	}
	for _, short := range [][]byte{nil, {}, []byte("secret"), secret[:31], secret[:63]} { // ID-03
		for alg, hash := range map[string]func() []byte{
			"HS256": func() []byte { m := hmac.New(sha256.New, short); m.Write(input); return m.Sum(nil) },
			"HS512": func() []byte { m := hmac.New(sha512.New, short); m.Write(input); return m.Sum(nil) },
		} {
			if alg == "HS256" && len(short) >= 32 {
				continue
			}
			if acpclient.VerifyHMAC(alg, short, input, hash()) {
				t.Errorf("%s with a secret of %d bytes", alg, len(short))
			}
		}
	}
}

func BenchmarkVerifySignature(b *testing.B) {
	input := bytes.Repeat([]byte("x"), 700)
	for family, s := range oneOfEach() {
		alg := families[family][0]
		k, sig := parsed(b, s.with("")), s.sign(b, alg, input)
		b.Run(alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !k.Verify(alg, input, sig) {
					b.Fatal("refused")
				}
			}
		})
	}
}
