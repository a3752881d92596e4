package acptest

import (
	"crypto/sha256"
	"maps"
	"time"
)

// Proof makes a DPoP proof (RFC 9449 4.2) for a request with an access token, or for one of a
// token endpoint, where accessToken is "". The last argument adds claims or replaces them; a nil
// value takes one away. Sign makes one with another header.
func (k *Key) Proof(method, url, accessToken string, claims map[string]any) string {
	all := map[string]any{"jti": random(), "htm": method, "htu": url, "iat": time.Now().Unix()}
	if accessToken != "" {
		sum := sha256.Sum256([]byte(accessToken))
		all["ath"] = b64(sum[:])
	}
	override(all, claims)
	return k.Sign(k.ProofHeader(), all)
}

// ProofHeader is the header of Proof, as a fresh map for Sign.
func (k *Key) ProofHeader() map[string]any {
	return map[string]any{"typ": "dpop+jwt", "kid": nil, "jwk": publicJWK(k.Public())}
}

// Thumbprint is the key's name in `cnf` and dpop_jkt (RFC 7638, with SHA-256): an access token
// with the claim cnf {"jkt": Thumbprint()} is bound to the key.
func (k *Key) Thumbprint() string {
	members := maps.Clone(publicJWK(k.Public()))
	sum := sha256.Sum256([]byte(encode(members))) // sorted, without spaces, as RFC 7638 3.3 wants it
	return b64(sum[:])
}
