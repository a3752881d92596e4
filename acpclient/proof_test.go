package acpclient_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// proofs is a ProofVerifier under a clock, and the request that its proofs are for.
type proofs struct {
	*acpclient.ProofVerifier
	t       *testing.T
	clock   *handClock
	key     *acptest.Key
	request acpclient.ProofRequest
}

func newProofs(t *testing.T, c acpclient.ProofConfig) *proofs {
	t.Helper()
	v, err := acpclient.NewProofVerifier(c)
	if err != nil {
		t.Fatal(err)
	}
	p := &proofs{ProofVerifier: v, t: t, clock: newHandClock(), key: acptest.NewKey("ES256")}
	v.SetClock(p.clock.now)
	p.request = acpclient.ProofRequest{Method: "GET", URL: "https://api.example/things", AccessToken: "token", Thumbprint: p.key.Thumbprint()}
	return p
}

// claims are those of a good proof, edited.
func (p *proofs) claims(edit map[string]any) map[string]any {
	all := map[string]any{"iat": p.clock.unix(0)}
	maps.Copy(all, edit)
	return all
}

func (p *proofs) proof(edit map[string]any) string {
	return p.key.Proof(p.request.Method, p.request.URL, p.request.AccessToken, p.claims(edit))
}

// with is a proof with another header.
func (p *proofs) with(edit map[string]any) string {
	header := p.key.ProofHeader()
	maps.Copy(header, edit)
	_, payload, _ := strings.Cut(p.proof(nil), ".")
	payload, _, _ = strings.Cut(payload, ".")
	text, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		p.t.Fatal(err)
	}
	maps.DeleteFunc(header, func(_ string, v any) bool { return v == nil })
	if header["alg"] == nil {
		header["alg"] = p.key.Alg
	}
	b, err := json.Marshal(header)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.key.SignRaw(string(b), string(text))
}

func (p *proofs) verify(proof string) error {
	return p.Verify(p.t.Context(), proof, p.request)
}

// jwk is the key's, edited.
func (p *proofs) jwk(edit map[string]any) map[string]any {
	all := p.key.ProofHeader()["jwk"].(map[string]any)
	maps.Copy(all, edit)
	return all
}

// Each row is a proof that shows no possession of the token's key, before and after the key is known.
func TestProofAttacks(t *testing.T) {
	p := newProofs(t, acpclient.ProofConfig{})
	attackProofs(t, p)
	if n := p.Remembered() + p.KnownHeaders(); n != 0 {
		t.Errorf("DP-15: of %d bad proofs something is remembered", n)
	}
	if err := p.verify(p.proof(nil)); err != nil || p.KnownHeaders() != 1 {
		t.Fatalf("%v, and %d headers are known", err, p.KnownHeaders())
	}
	attackProofs(t, p)
	if p.Remembered() != 1 || p.KnownHeaders() != 1 {
		t.Errorf("DP-15: %d proofs and %d headers are remembered", p.Remembered(), p.KnownHeaders())
	}
}

func attackProofs(t *testing.T, p *proofs) {
	other := acptest.NewKey("ES256")
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	d, err := private.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	owned := acptest.KeyFrom("", "ES256", private)
	good := p.proof(nil)
	parts := strings.Split(good, ".")
	hash := func(token string) map[string]any {
		return map[string]any{"ath": strings.TrimRight(strings.Split(token, ".")[0], "=")}
	}
	for _, row := range []struct {
		name, proof, reason string
	}{
		{"none", "", "proof_malformed"},
		{"no JWS", "a.b", "proof_malformed"},
		{"DP-03 two, joined by a comma", good + "," + p.proof(nil), "proof_malformed"},
		{"DP-03 two, joined by a comma and a space", good + ", " + p.proof(nil), "proof_malformed"},
		{"white space", " " + good, "proof_malformed"},
		{"too long", p.proof(map[string]any{"x": strings.Repeat("x", 8<<10)}), "proof_malformed"},
		{"a claim twice", p.key.SignRaw(headerText(p.key), `{"jti":"1","jti":"2"}`), "proof_malformed"},
		{"no object", p.key.SignRaw(headerText(p.key), `[]`), "proof_malformed"},
		{"crit", p.with(map[string]any{"crit": []string{"x"}, "x": 1}), "proof_malformed"},

		{"DP-04 no typ", p.with(map[string]any{"typ": nil}), "proof_typ"},
		{"DP-04 JWT", p.with(map[string]any{"typ": "JWT"}), "proof_typ"},
		{"DP-04 an access token's", p.with(map[string]any{"typ": "at+jwt"}), "proof_typ"},
		{"DP-04 a client assertion's", p.with(map[string]any{"typ": "client-authentication+jwt"}), "proof_typ"},

		{"no alg", p.with(map[string]any{"alg": ""}), "proof_alg"},
		{"alg none", acptest.Unsigned(p.key.ProofHeader(), p.claims(nil)), "proof_alg"},
		{"an HMAC under the public key", acptest.SignHMAC([]byte(fmt.Sprint(p.jwk(nil)["x"])), p.key.ProofHeader(), p.claims(nil)), "proof_alg"},
		{"an algorithm of another length", p.with(map[string]any{"alg": "ES384"}), "proof_alg"},
		{"RS256, which FAPI 2.0 has not", acptest.NewKey("RS256").Proof("GET", p.request.URL, "token", p.claims(nil)), "proof_alg"},
		{"another key type's", p.with(map[string]any{"alg": "EdDSA"}), "proof_signature"},

		{"DP-06 no jwk", p.with(map[string]any{"jwk": nil}), "proof_key"},
		{"DP-06 a jwk that is a string", p.with(map[string]any{"jwk": "x"}), "proof_key"},
		{"DP-06 a private key", owned.Sign(map[string]any{"typ": "dpop+jwt", "jwk": withD(owned, d)}, p.claims(nil)), "proof_key"},
		{"DP-06 oct", p.with(map[string]any{"jwk": map[string]any{"kty": "oct", "k": "AAAA"}}), "proof_key"},
		{"DP-06 RSA 1024", acptest.KeyFrom("", "PS256", small).Proof("GET", p.request.URL, "token", p.claims(nil)), "proof_key"},
		{"DP-06 a point off its curve", p.with(map[string]any{"jwk": p.jwk(map[string]any{"x": p.jwk(nil)["y"]})}), "proof_key"},
		{"DP-06 a key for encryption", p.with(map[string]any{"jwk": p.jwk(map[string]any{"use": "enc"})}), "proof_key"},
		{"DP-06 jku in place of jwk", p.with(map[string]any{"jwk": nil, "jku": "https://evil.example/jwks"}), "proof_key"},

		{"DP-07 signed by another key", p.with(map[string]any{"jwk": other.ProofHeader()["jwk"]}), "proof_signature"},
		{"DP-07 another payload", parts[0] + "." + strings.Split(p.proof(nil), ".")[1] + "." + parts[2], "proof_signature"},
		{"DP-07 no signature", parts[0] + "." + parts[1] + ".", "proof_signature"},

		{"DP-08 another method", p.proof(map[string]any{"htm": "POST"}), "proof_htm"},
		{"DP-08 lower case", p.proof(map[string]any{"htm": "get"}), "proof_htm"},
		{"DP-08 no method", p.proof(map[string]any{"htm": nil}), "proof_htm"},
		{"DP-08 a list", p.proof(map[string]any{"htm": []string{"GET"}}), "proof_htm"},

		{"DP-09 another path", p.proof(map[string]any{"htu": "https://api.example/other"}), "proof_htu"},
		{"DP-09 another host", p.proof(map[string]any{"htu": "https://evil.example/things"}), "proof_htu"},
		{"DP-09 a path alone", p.proof(map[string]any{"htu": "/things"}), "proof_htu"},
		{"DP-09 none", p.proof(map[string]any{"htu": nil}), "proof_htu"},
		{"DP-09 a number", p.proof(map[string]any{"htu": 1}), "proof_htu"},

		{"DP-11 no ath", p.proof(map[string]any{"ath": nil}), "proof_ath"},
		{"DP-11 another token's", p.key.Proof("GET", p.request.URL, "another", p.claims(nil)), "proof_ath"},
		{"DP-11 an empty one", p.proof(map[string]any{"ath": ""}), "proof_ath"},
		{"DP-11 the token itself", p.proof(hash("token")), "proof_ath"},

		{"DP-13 too old", p.proof(map[string]any{"iat": p.clock.unix(-71)}), "proof_iat"},
		{"DP-13 in the future", p.proof(map[string]any{"iat": p.clock.unix(11)}), "proof_iat"},
		{"DP-13 none", p.proof(map[string]any{"iat": nil}), "proof_iat"},
		{"DP-13 a string", p.proof(map[string]any{"iat": fmt.Sprint(p.clock.unix(0))}), "proof_iat"},
		{"DP-13 1e300", p.proof(map[string]any{"iat": json.Number("1e300")}), "proof_iat"},
		{"DP-13 negative", p.proof(map[string]any{"iat": -1}), "proof_iat"},
		{"DP-13 exp is over", p.proof(map[string]any{"exp": p.clock.unix(-60)}), "proof_iat"},
		{"DP-13 nbf is to come", p.proof(map[string]any{"nbf": p.clock.unix(60)}), "proof_iat"},

		{"DP-16 no jti", p.proof(map[string]any{"jti": nil}), "proof_jti"},
		{"DP-16 an empty one", p.proof(map[string]any{"jti": ""}), "proof_jti"},
		{"DP-16 a number", p.proof(map[string]any{"jti": 1}), "proof_jti"},
		{"DP-16 a long one", p.proof(map[string]any{"jti": strings.Repeat("x", 257)}), "proof_jti"},
		{"DP-16 10 KiB", p.proof(map[string]any{"jti": strings.Repeat("x", 10<<10)}), "proof_malformed"},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := p.verify(row.proof)
			if !errors.Is(err, acpclient.ErrInvalidProof) || acpclient.Reason(err) != row.reason {
				t.Errorf("%v, want the reason %s", err, row.reason)
			}
			if row.proof != "" && strings.Contains(fmt.Sprint(err), row.proof) {
				t.Error("DP-22: the error holds the proof")
			}
		})
	}
	// DP-12: the proof is good, and proves another key than the token's.
	err = p.verify(other.Proof("GET", p.request.URL, "token", p.claims(nil)))
	if !errors.Is(err, acpclient.ErrInvalidToken) || acpclient.Reason(err) != "bound" {
		t.Errorf("DP-12: %v", err)
	}
	request := p.request
	request.Thumbprint = ""
	if err := p.Verify(t.Context(), p.proof(nil), request); !errors.Is(err, acpclient.ErrInvalidToken) {
		t.Errorf("DP-12, a token without thumbprint: %v", err)
	}
}

// DP-15: what is remembered of keys is bounded, in number and size.
func TestProofKeys(t *testing.T) {
	p := newProofs(t, acpclient.ProofConfig{})
	p.KnowHeader(strings.Repeat("x", acpclient.MaxKnownHeader+1))
	if n := p.KnownHeaders(); n != 0 {
		t.Errorf("a header of more than 1 KiB is kept")
	}
	for i := range 2*acpclient.MaxProofKeys + 1 {
		p.KnowHeader(fmt.Sprint(i))
		if n := p.KnownHeaders(); n > acpclient.MaxProofKeys {
			t.Fatalf("%d headers", n)
		}
	}
	if n := p.KnownHeaders(); n != 1 {
		t.Errorf("%d headers", n)
	}
}

func headerText(k *acptest.Key) string {
	h := k.ProofHeader()
	delete(h, "kid")
	h["alg"] = k.Alg
	b, _ := json.Marshal(h)
	return string(b)
}

func withD(k *acptest.Key, d []byte) map[string]any {
	jwk := k.ProofHeader()["jwk"].(map[string]any)
	jwk["d"] = base64.RawURLEncoding.EncodeToString(d)
	return jwk
}

func TestProofTaken(t *testing.T) {
	p := newProofs(t, acpclient.ProofConfig{})
	for name, proof := range map[string]string{
		"a plain one":                    p.proof(nil),
		"DP-04 typ in another case":      p.with(map[string]any{"typ": "DPoP+JWT"}),
		"DP-13 as old as may be":         p.proof(map[string]any{"iat": p.clock.unix(-70)}),
		"DP-13 of a clock that is ahead": p.proof(map[string]any{"iat": p.clock.unix(10)}),
		"DP-13 with a fraction":          p.proof(map[string]any{"iat": json.Number(fmt.Sprint(p.clock.unix(0)) + ".5")}),
		"a nonce that nobody asked for":  p.proof(map[string]any{"nonce": "x"}),
		"further claims":                 p.proof(map[string]any{"x": map[string]any{"y": 1}}),
		"a jwk with alg and kid":         p.with(map[string]any{"jwk": p.jwk(map[string]any{"alg": "ES256", "kid": "1"})}),
	} {
		if err := p.verify(proof); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, alg := range []string{"PS256", "EdDSA", "ES384", "RS256"} {
		p := newProofs(t, acpclient.ProofConfig{Algs: []string{alg}})
		es256 := p.proof(nil)
		p.key = acptest.NewKey(alg)
		p.request.Thumbprint = p.key.Thumbprint()
		if err := p.verify(p.proof(nil)); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		if err := p.verify(es256); acpclient.Reason(err) != "proof_alg" {
			t.Errorf("%s alone takes ES256: %v", alg, err)
		}
	}
}

// DP-09: RFC 3986 6.2.2 and 6.2.3.
func TestProofTarget(t *testing.T) {
	for _, row := range []struct {
		htu, url string
		same     bool
	}{
		{"https://api.example/things", "https://api.example/things", true},
		{"https://api.example/things?a=b", "https://api.example/things", true},
		{"https://api.example/things#a", "https://api.example/things", true},
		{"https://api.example/things?a#b?c", "https://api.example/things", true},
		{"https://api.example/things?", "https://api.example/things?a=b", true},
		{"HTTPS://API.Example/things", "https://api.example/things", true},
		{"https://api.example:443/things", "https://api.example/things", true},
		{"https://api.example:/things", "https://api.example/things", true},
		{"https://api.example:0443/things", "https://api.example/things", true},
		{"http://127.0.0.1:80/", "http://127.0.0.1/", true},
		{"https://api.example", "https://api.example/", true},
		{"https://api.example?a=b", "https://api.example/", true},
		{"https://api.example/%7Euser", "https://api.example/~user", true},
		{"https://api.example/%7euser", "https://api.example/~user", true},
		{"https://api.example/%c3%a4", "https://api.example/%C3%A4", true},
		{"https://api.example/a/../things", "https://api.example/things", true},
		{"https://api.example/./things", "https://api.example/things", true},
		{"https://api.example/%2e%2E/things", "https://api.example/things", true},
		{"https://api.example/../things", "https://api.example/things", true},
		{"https://api.example/a/..", "https://api.example/", true},
		{"https://api.example/a/.", "https://api.example/a/", true},
		{"https://[2001:DB8::1]:8443/a", "https://[2001:db8:0:0:0:0:0:1]:8443/a", true},
		{"https://%61pi.example/", "https://api.example/", true},

		{"https://api.example/things/", "https://api.example/things", false},
		{"https://api.example/Things", "https://api.example/things", false},
		{"https://api.example//things", "https://api.example/things", false},
		{"https://api.example/a%2Fb", "https://api.example/a/b", false},
		{"https://api.example/%2573", "https://api.example/%73", false}, // decoded once alone
		{"http://api.example/things", "https://api.example/things", false},
		{"https://api.example:80/things", "https://api.example/things", false},
		{"http://api.example:443/things", "https://api.example/things", false},
		{"https://api.example:8443/things", "https://api.example/things", false},
		{"https://api.example./things", "https://api.example/things", false},
		{"https://evil.example/things", "https://api.example/things", false},
		{"https://api.example.evil.example/things", "https://api.example/things", false},
		{"https://api.example@evil.example/things", "https://api.example/things", false},
		{"https://user@api.example/things", "https://api.example/things", false},
		{"https://api.example\\@evil.example/things", "https://api.example/things", false},
		{"https://api.example/things ", "https://api.example/things", false},
		{"https://api.example/th\nings", "https://api.example/things", false},
		{"https://api.example/%zz", "https://api.example/%zz", false},
		{"https://api.example/%7", "https://api.example/%7", false},
		{"https://api.example/ä", "https://api.example/ä", false},
		{"https://:443/", "https://:443/", false},
		{"https://[::1%25eth0]/", "https://[::1%25eth0]/", false},
		{"https://[127.0.0.1]/", "https://[127.0.0.1]/", false},
		{"https://api.example:443x/", "https://api.example/", false},
		{"https://api.example:a:443/", "https://api.example/", false},
		{"api.example/things", "api.example/things", false},
		{"ftp://api.example/", "ftp://api.example/", false},
		{"", "", false},
	} {
		if got := acpclient.SameTarget(row.htu, row.url); got != row.same {
			t.Errorf("DP-09: %q and %q are the same: %v", row.htu, row.url, got)
		}
	}
}

// A proof serves once, also at the same time, and as long as it could serve at all.
func TestProofReplay(t *testing.T) {
	p := newProofs(t, acpclient.ProofConfig{MaxAge: 5 * time.Second})
	ahead := p.proof(map[string]any{"iat": p.clock.unix(10)}) // the longest life
	if err := p.verify(ahead); err != nil {
		t.Fatal(err)
	}
	for range 30 {
		if err := p.verify(ahead); acpclient.Reason(err) != "proof_replayed" && acpclient.Reason(err) != "proof_iat" {
			t.Fatalf("DP-15, after %v: %v", p.clock.now(), err)
		}
		if err := p.verify(p.proof(nil)); err != nil {
			t.Fatal(err)
		}
		p.clock.advance(time.Second)
	}
	if err := p.verify(ahead); acpclient.Reason(err) != "proof_iat" {
		t.Errorf("after its time: %v", err)
	}
	if n := p.Remembered(); n > 51 { // two spans of 25 s, one proof a second
		t.Errorf("DP-15: %d proofs are remembered", n)
	}
	p.clock.advance(time.Hour)
	if err := p.verify(p.proof(map[string]any{"jti": "x"})); err != nil || p.Remembered() != 1 {
		t.Errorf("DP-15: %v, and %d proofs are remembered after an hour", err, p.Remembered())
	}
	// A clock that is set back makes an old proof young again.
	p.clock.advance(-10 * time.Second)
	if err := p.verify(p.proof(map[string]any{"jti": "x"})); acpclient.Reason(err) != "proof_replayed" {
		t.Errorf("the clock was set back: %v", err)
	}
	// The same jti of another key is another proof.
	p.key = acptest.NewKey("ES256")
	p.request.Thumbprint = p.key.Thumbprint()
	if err := p.verify(p.proof(map[string]any{"jti": "x"})); err != nil {
		t.Errorf("another key: %v", err)
	}
	proof := p.proof(nil)
	var taken atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if p.Verify(context.Background(), proof, p.request) == nil {
				taken.Add(1)
			}
		})
	}
	wg.Wait()
	if taken.Load() != 1 {
		t.Errorf("one proof was taken %d times at once", taken.Load())
	}
}

// DP-15: a million proofs in one window, and one more.
func TestProofMemory(t *testing.T) {
	v := newProofs(t, acpclient.ProofConfig{})
	sum := func(i int) (s [32]byte) {
		binary.BigEndian.PutUint64(s[:], uint64(i))
		return s
	}
	for i := range acpclient.MaxProofs {
		if err := v.Once(sum(i), v.clock.now()); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := v.verify(v.proof(nil)); !errors.Is(err, acpclient.ErrUnavailable) {
		t.Errorf("a full memory: %v", err)
	}
	v.clock.advance(79 * time.Second) // a proof from 10 s ahead lives for 80
	if err := v.Once(sum(0), v.clock.now()); acpclient.Reason(err) != "proof_replayed" {
		t.Errorf("the oldest made room within its window: %v", err)
	}
	v.clock.advance(time.Second)
	if err := v.Once(sum(acpclient.MaxProofs), v.clock.now()); err != nil {
		t.Errorf("after the window: %v", err)
	}
	v.clock.advance(80 * time.Second)
	if err := v.Once(sum(0), v.clock.now()); err != nil || v.Remembered() != 2 {
		t.Errorf("%v, and %d are remembered", err, v.Remembered())
	}
}

func TestProofNonce(t *testing.T) {
	keys := [][]byte{[]byte(strings.Repeat("n", 32)), []byte(strings.Repeat("o", 32))}
	p := newProofs(t, acpclient.ProofConfig{RequireNonce: true, NonceKeys: keys})
	older := newProofs(t, acpclient.ProofConfig{RequireNonce: true, NonceKeys: keys[1:]})
	alone := newProofs(t, acpclient.ProofConfig{RequireNonce: true})
	older.clock, alone.clock = p.clock, p.clock
	older.SetClock(p.clock.now)
	alone.SetClock(p.clock.now)
	nonce := p.Nonce()
	forged := []byte(nonce)
	forged[0] ^= 1
	for _, row := range []struct {
		name  string
		nonce any
		age   time.Duration
		good  bool
	}{
		{"DP-17 none", nil, 0, false},
		{"DP-17 an empty one", "", 0, false},
		{"DP-17 no string", 1, 0, false},
		{"DP-17 made up", strings.Repeat("A", 32), 0, false},
		{"DP-17 with another time", string(forged), 0, false},
		{"DP-17 another API's", alone.Nonce(), 0, false},
		{"DP-17 with something behind", nonce + "A", 0, false},
		{"the nonce", nonce, 0, true},
		{"under the key before", older.Nonce(), 0, true},
		{"at the end of its life", nonce, 3 * time.Minute, true},
		{"DP-17 an old one", nonce, time.Second, false},
	} {
		p.clock.advance(row.age)
		err := p.verify(p.proof(map[string]any{"nonce": row.nonce}))
		if row.good != (err == nil) || err != nil && (!errors.Is(err, acpclient.ErrInvalidProof) || acpclient.Reason(err) != "dpop_nonce") {
			t.Errorf("%s: %v", row.name, err)
		}
	}
	if next := p.Nonce(); next == nonce || len(next) > 64 {
		t.Errorf("DP-17: the nonce is %q again", next)
	}
	if err := p.verify(p.proof(map[string]any{"nonce": p.Nonce()})); err != nil { // DP-17: the next try
		t.Error(err)
	}
	sibling := newProofs(t, acpclient.ProofConfig{RequireNonce: true})
	sibling.SetClock(p.clock.now)
	if sibling.Nonce() != alone.Nonce() {
		t.Error("two of one process do not take each other's nonces")
	}
	if n := newProofs(t, acpclient.ProofConfig{}).Nonce(); n != "" {
		t.Errorf("a nonce that nobody needs: %q", n)
	}
}

// Who records proofs elsewhere is asked for good ones alone, with a text that says nothing of them.
func TestProofOnce(t *testing.T) {
	var asked []string
	fault := errors.New("down")
	var answer error
	p := newProofs(t, acpclient.ProofConfig{Once: nil})
	config := acpclient.ProofConfig{Once: func(_ context.Context, id string, expiry time.Time) (bool, error) {
		for _, before := range asked {
			if before == id {
				return false, answer
			}
		}
		asked = append(asked, id)
		if want := p.clock.now().Add(80 * time.Second); !expiry.Equal(want) {
			t.Errorf("until %v, want %v", expiry, want)
		}
		return true, answer
	}}
	p = newProofs(t, config)
	proof := p.proof(map[string]any{"jti": "identifier"})
	if err := p.verify(p.proof(map[string]any{"htm": "PUT"})); err == nil || len(asked) != 0 {
		t.Errorf("%v, asked for %q", err, asked)
	}
	if err := p.verify(proof); err != nil || len(asked) != 1 || len(asked[0]) != 43 || strings.Contains(asked[0], "identifier") {
		t.Errorf("%v, asked for %q", err, asked)
	}
	if err := p.verify(proof); acpclient.Reason(err) != "proof_replayed" {
		t.Errorf("%v", err)
	}
	answer = fault
	if err := p.verify(p.proof(nil)); err != fault {
		t.Errorf("%v", err)
	}
}

func TestProofConfig(t *testing.T) {
	_, err := acpclient.NewProofVerifier(acpclient.ProofConfig{
		Algs: []string{"HS256"}, MaxAge: time.Second, NonceKeys: [][]byte{make([]byte, 32)},
	})
	for _, name := range []string{"Algs", "MaxAge", "NonceKeys: a key", "RequireNonce"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in %v", name, err)
		}
	}
	for _, c := range []acpclient.ProofConfig{{Algs: []string{}}, {Algs: []string{"none"}}, {MaxAge: 301 * time.Second}, {RequireNonce: true, NonceKeys: [][]byte{{1}}}} {
		if _, err := acpclient.NewProofVerifier(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
	v := newProofs(t, acpclient.ProofConfig{RequireNonce: true})
	if text := fmt.Sprintf("%v %+v", v.ProofVerifier, v.ProofVerifier); text != "[redacted] [redacted]" {
		t.Errorf("DP-22: %s", text)
	}
}

func FuzzProof(f *testing.F) {
	v, err := acpclient.NewProofVerifier(acpclient.ProofConfig{})
	if err != nil {
		f.Fatal(err)
	}
	k := acptest.NewKey("ES256")
	f.Add(k.Proof("GET", "https://api.example/", "t", nil), "https://api.example/")
	f.Add("a.b.c", "https://[::1]:443/%2e%2e/a")
	f.Fuzz(func(t *testing.T, proof, url string) {
		r := acpclient.ProofRequest{Method: "GET", URL: url, AccessToken: "t", Thumbprint: k.Thumbprint()}
		if v.Verify(context.Background(), proof, r) == nil && !acpclient.SameTarget(url, url) {
			t.Errorf("a proof for %q, which is no URL", url)
		}
	})
}
