package acpclient

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/acp-go/acp/internal/strictjson"
)

const (
	maxKeys    = 100
	minRSABits = 2048 // RFC 7518 section 3.3
	maxRSABits = 8192 // above it, one verification costs milliseconds

	encryptionKey = `use "enc"` // how the problem of a key for encryption ends
)

// key is one public key of the server's set that may verify signatures.
type key struct {
	kid    string
	hasKid bool
	alg    string // the only algorithm it is for; "" is any that fits
	kty    string // "RSA", "EC" or "OKP"
	curve  string // "P-256" ... "Ed25519"; "" for RSA
	public crypto.PublicKey
	id     string // RFC 7638 thumbprint
}

// parseJWKS reads a key set (RFC 7517). A key that cannot be used is left out and
// named in problems, which hold no key material. A set without a usable key is an error.
func parseJWKS(body []byte) (keys []*key, problems []string, err error) {
	list, err := keyList(body)
	if err != nil {
		return nil, nil, err
	}
	for i, raw := range list {
		k, note, err := parseJWK(raw)
		if k != nil && !slices.ContainsFunc(keys, k.same) {
			keys = append(keys, k)
		}
		if err != nil {
			note = "left out: " + err.Error()
		}
		if note != "" {
			problems = append(problems, fmt.Sprintf("key %d: %s", i+1, note))
		}
	}
	if len(keys) == 0 {
		return nil, problems, fmt.Errorf("key set: none of %d keys can be used; %s", len(list), problems[0])
	}
	return keys, problems, nil
}

// keyList are the members of a key set's keys, of which nothing else is known.
func keyList(body []byte) ([]strictjson.Value, error) {
	set, err := strictjson.ParseOuter(string(body))
	if err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	member, ok := set.Value("keys")
	if !ok || !member.IsArray() {
		return nil, errors.New("key set: no array of keys")
	}
	list, ok := member.Array(maxKeys)
	if !ok {
		return nil, fmt.Errorf("key set: more than %d keys", maxKeys)
	}
	if len(list) == 0 {
		return nil, errors.New("key set: empty")
	}
	return list, nil
}

// parseJWK reads one key. note tells what is odd about a key that is used all the same.
func parseJWK(raw strictjson.Value) (k *key, note string, err error) {
	if !raw.IsObject() {
		return nil, "", errors.New("not an object")
	}
	o, err := strictjson.Parse(string(raw))
	if err != nil {
		return nil, "", err
	}
	k = &key{}
	if k.kty, _, err = text(o, "kty"); err != nil {
		return nil, "", err
	}
	if k.kid, k.hasKid, err = text(o, "kid"); err != nil {
		return nil, "", err
	}
	if len(k.kid) > maxKid {
		return nil, "", errors.New("kid too long")
	}
	if err := forSignatures(o); err != nil {
		return nil, "", err
	}
	switch k.kty {
	case "RSA":
		err = k.parseRSA(o)
	case "EC":
		err = k.parseEC(o)
	case "OKP":
		err = k.parseOKP(o)
	case "oct":
		err = errors.New("a symmetric key in a public set")
	default:
		err = fmt.Errorf("unknown kty %.20q", k.kty)
	}
	if err != nil {
		return nil, "", err
	}
	alg, bound, err := text(o, "alg")
	if err != nil {
		return nil, "", err
	}
	if alg == "Ed25519" {
		alg = "EdDSA" // the same for this curve (RFC 9864 section 2.2)
	}
	if bound && !algFits(k, alg) {
		return nil, "", fmt.Errorf("alg %.20q is none for its type", alg)
	}
	k.alg = alg
	for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
		if _, ok := o.Value(name); ok {
			// The server lost its key. The public half is still what its tokens are signed with.
			return k, "holds private members: this key is compromised", nil
		}
	}
	return k, "", nil
}

// same tells whether other adds nothing to k.
func (k *key) same(other *key) bool {
	return k.id == other.id && k.kid == other.kid && k.hasKid == other.hasKid && k.alg == other.alg
}

// text returns a member that is a string. ok is false when it is absent.
func text(o strictjson.Object, name string) (s string, ok bool, err error) {
	v, ok := o.Value(name)
	if !ok {
		return "", false, nil
	}
	if s, ok = v.String(); !ok {
		return "", false, fmt.Errorf("%s is not a string", name)
	}
	return s, true, nil
}

// forSignatures refuses a key that says it is for something else.
func forSignatures(o strictjson.Object) error {
	use, ok, err := text(o, "use")
	if err != nil {
		return err
	}
	if ok && use != "sig" { // RFC 7517 section 4.2
		return fmt.Errorf("use %.20q", use)
	}
	if v, ok := o.Value("key_ops"); ok { // RFC 7517 section 4.3
		if ops, ok := v.Strings(); !ok || !slices.Contains(ops, "verify") {
			return errors.New(`key_ops without "verify"`)
		}
	}
	return nil
}

// octets returns a member that is base64url of at most size bytes.
func octets(o strictjson.Object, name string, size int) ([]byte, error) {
	s, ok, err := text(o, name)
	if err != nil {
		return nil, err
	}
	if !ok || s == "" {
		return nil, fmt.Errorf("%s is missing", name)
	}
	if base64.RawURLEncoding.DecodedLen(len(s)) > size {
		return nil, fmt.Errorf("%s too large", name)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(s) != base64.RawURLEncoding.EncodedLen(len(b)) { // the decoder skips line breaks
		return nil, fmt.Errorf("%s is not base64url", name)
	}
	return b, nil
}

func (k *key) parseRSA(o strictjson.Object) error {
	n, err := octets(o, "n", maxRSABits/8+1) // some servers put a zero byte first
	if err != nil {
		return err
	}
	e, err := octets(o, "e", 8)
	if err != nil {
		return err
	}
	public := &rsa.PublicKey{N: new(big.Int).SetBytes(n)}
	exponent := new(big.Int).SetBytes(e)
	bits := public.N.BitLen()
	switch {
	case bits < minRSABits || bits > maxRSABits:
		return fmt.Errorf("RSA modulus of %d bits", bits)
	case public.N.Bit(0) == 0:
		return errors.New("RSA modulus is even")
	case exponent.BitLen() > 31: // crypto/rsa's own limit
		return errors.New("RSA exponent too large")
	case exponent.Int64() < 3 || exponent.Bit(0) == 0:
		return errors.New("RSA exponent is 1 or even")
	case weakRSA(public.N):
		return errors.New("RSA modulus has the ROCA fingerprint")
	}
	public.E = int(exponent.Int64())
	k.public = public
	k.identify(`{"e":"%s","kty":"RSA","n":"%s"}`, exponent.Bytes(), public.N.Bytes())
	return nil
}

// weakRSA tells whether n carries the fingerprint of a library that drew its primes
// from a small family: modulo every small prime, n is a power of 65537. A good key
// does that by chance once in 2^27 or less (Nemec et al., "The Return of Coppersmith's
// Attack", ACM CCS 2017, section 2.1; CVE-2017-15361).
func weakRSA(n *big.Int) bool {
	var residue big.Int
	for p := int64(3); p <= 167; p += 2 {
		if !big.NewInt(p).ProbablyPrime(0) {
			continue
		}
		want := residue.Mod(n, big.NewInt(p)).Int64()
		power := int64(1)
		for power != want {
			if power = power * 65537 % p; power == 1 {
				return false
			}
		}
	}
	return true
}

func (k *key) parseEC(o strictjson.Object) (err error) {
	if k.curve, _, err = text(o, "crv"); err != nil {
		return err
	}
	curve := curveOf(k.curve)
	if curve == nil {
		return fmt.Errorf("unknown crv %.20q", k.curve)
	}
	size := (curve.Params().BitSize + 7) / 8
	x, err := octets(o, "x", size)
	if err != nil {
		return err
	}
	y, err := octets(o, "y", size)
	if err != nil {
		return err
	}
	if len(x) != size || len(y) != size { // RFC 7518 section 6.2.1.2
		return errors.New("x or y too short")
	}
	if k.public, err = ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, x, y)); err != nil {
		return errors.New("not a point of its curve")
	}
	k.identify(`{"crv":"`+k.curve+`","kty":"EC","x":"%s","y":"%s"}`, x, y)
	return nil
}

func curveOf(name string) elliptic.Curve {
	switch name {
	case "P-256":
		return elliptic.P256()
	case "P-384":
		return elliptic.P384()
	case "P-521":
		return elliptic.P521()
	}
	return nil
}

func (k *key) parseOKP(o strictjson.Object) (err error) {
	if k.curve, _, err = text(o, "crv"); err != nil {
		return err
	}
	if k.curve != "Ed25519" {
		return fmt.Errorf("unknown crv %.20q", k.curve)
	}
	x, err := octets(o, "x", ed25519.PublicKeySize)
	if err != nil {
		return err
	}
	if len(x) != ed25519.PublicKeySize {
		return errors.New("x too short")
	}
	if lowOrder(x) {
		return errors.New("a point of low order")
	}
	k.public = ed25519.PublicKey(x)
	k.identify(`{"crv":"Ed25519","kty":"OKP","x":"%s"}`, x)
	return nil
}

// lowOrder tells whether x encodes one of the eight points of Curve25519 under which
// one signature fits many messages (RFC 8032 section 8.9 and 5.1.7), in any form of them.
func lowOrder(x []byte) bool {
	y := slices.Clone(x)
	y[31] &= 0x7f // the sign of the other coordinate
	for _, point := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000", // 0
		"0100000000000000000000000000000000000000000000000000000000000000", // 1
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // p-1
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // p, which is 0 again
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // p+1
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", // order 8
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", // order 8
	} {
		if b, _ := hex.DecodeString(point); bytes.Equal(b, y) {
			return true
		}
	}
	return false
}

// identify sets id: the members that RFC 7638 section 3.2 demands, hashed.
func (k *key) identify(form string, members ...[]byte) {
	encoded := make([]any, len(members))
	for i, m := range members {
		encoded[i] = base64.RawURLEncoding.EncodeToString(m)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, form, encoded...))
	k.id = base64.RawURLEncoding.EncodeToString(sum[:])
}
