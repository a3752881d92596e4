package acpclient

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
)

// hmacSize is the length in bytes below which a secret verifies nothing: that of the hash
// (RFC 7518 section 3.2). It is 0 for what is no HS algorithm.
func hmacSize(alg string) int {
	switch alg {
	case "HS256":
		return sha256.Size
	case "HS384":
		return sha512.Size384
	case "HS512":
		return sha512.Size
	}
	return 0
}

// algorithm is one row of RFC 7518 section 3.1 and RFC 8037 section 3.1.
type algorithm struct {
	kty   string
	curve string // the only one it goes with
	hash  crypto.Hash
	pss   bool
	size  int // of r and of s, in bytes
}

// algorithmNamed returns the algorithm of exactly this `alg`. ok is false for every
// other one: "none" and those with a shared secret are not in this table.
func algorithmNamed(alg string) (a algorithm, ok bool) {
	switch alg {
	case "RS256":
		return algorithm{kty: "RSA", hash: crypto.SHA256}, true
	case "RS384":
		return algorithm{kty: "RSA", hash: crypto.SHA384}, true
	case "RS512":
		return algorithm{kty: "RSA", hash: crypto.SHA512}, true
	case "PS256":
		return algorithm{kty: "RSA", hash: crypto.SHA256, pss: true}, true
	case "PS384":
		return algorithm{kty: "RSA", hash: crypto.SHA384, pss: true}, true
	case "PS512":
		return algorithm{kty: "RSA", hash: crypto.SHA512, pss: true}, true
	case "ES256":
		return algorithm{kty: "EC", curve: "P-256", hash: crypto.SHA256, size: 32}, true
	case "ES384":
		return algorithm{kty: "EC", curve: "P-384", hash: crypto.SHA384, size: 48}, true
	case "ES512":
		return algorithm{kty: "EC", curve: "P-521", hash: crypto.SHA512, size: 66}, true
	case "EdDSA":
		return algorithm{kty: "OKP", curve: "Ed25519"}, true
	}
	return algorithm{}, false
}

// algFits tells whether a signature of this algorithm may be verified with the key:
// the type, the curve and the key's own `alg` decide, never the token alone
// (RFC 8725 section 3.1).
func algFits(k *key, alg string) bool {
	a, ok := algorithmNamed(alg)
	return ok && a.kty == k.kty && a.curve == k.curve && (k.alg == "" || k.alg == alg)
}

// verifySignature tells whether sig is the key's signature of signingInput. It is false when
// the algorithm does not fit the key.
func verifySignature(k *key, alg string, signingInput, sig []byte) bool {
	if !algFits(k, alg) {
		return false
	}
	a, _ := algorithmNamed(alg)
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		digest := sum(a.hash, signingInput)
		if a.pss { // RFC 7518 section 3.5 sets the length of the salt
			return rsa.VerifyPSS(public, a.hash, digest, sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		}
		return rsa.VerifyPKCS1v15(public, a.hash, digest, sig) == nil
	case *ecdsa.PublicKey:
		if len(sig) != 2*a.size { // RFC 7518 section 3.4
			return false
		}
		return ecdsa.VerifyASN1(public, sum(a.hash, signingInput), asn1Signature(sig))
	case ed25519.PublicKey:
		return ed25519.Verify(public, signingInput, sig)
	}
	return false
}

func sum(hash crypto.Hash, data []byte) []byte {
	switch hash {
	case crypto.SHA256:
		s := sha256.Sum256(data)
		return s[:]
	case crypto.SHA384:
		s := sha512.Sum384(data)
		return s[:]
	}
	s := sha512.Sum512(data)
	return s[:]
}

// asn1Signature puts r and s, which stand in sig one after the other, into the form that
// crypto/ecdsa reads: SEQUENCE { INTEGER r, INTEGER s } in DER.
func asn1Signature(sig []byte) []byte {
	r, s := trimZeros(sig[:len(sig)/2]), trimZeros(sig[len(sig)/2:])
	size := integerSize(r) + integerSize(s)
	der := make([]byte, 0, size+3)
	der = append(der, 0x30)
	if size >= 0x80 {
		der = append(der, 0x81) // P-521: the length takes a byte more
	}
	der = append(der, byte(size))
	for _, n := range [][]byte{r, s} {
		der = append(der, 0x02, byte(integerSize(n)-2))
		if n[0] >= 0x80 {
			der = append(der, 0) // not negative
		}
		der = append(der, n...)
	}
	return der
}

// trimZeros leaves one byte at least.
func trimZeros(n []byte) []byte {
	for len(n) > 1 && n[0] == 0 {
		n = n[1:]
	}
	return n
}

func integerSize(n []byte) int {
	if n[0] >= 0x80 {
		return len(n) + 3
	}
	return len(n) + 2
}

// verifyHMAC tells whether mac is the HS256, HS384 or HS512 of signingInput under
// secret. It is false for every other algorithm and for a secret that is too short.
func verifyHMAC(alg string, secret, signingInput, mac []byte) bool {
	size := hmacSize(alg)
	if size == 0 || len(secret) < size {
		return false
	}
	hash := sha256.New
	switch size {
	case sha512.Size384:
		hash = sha512.New384
	case sha512.Size:
		hash = sha512.New
	}
	h := hmac.New(hash, secret)
	h.Write(signingInput)
	return hmac.Equal(h.Sum(nil), mac)
}
