package acpclient

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"
)

// nonceLife is how long a nonce serves. Each answer brings a new one.
const nonceLife = 3 * time.Minute

// proofNonces are nonces that need no memory (RFC 9449 9): a time, and its MAC.
type proofNonces struct {
	keys   [][]byte // newest first
	latest atomic.Pointer[issuedNonce]
}

type issuedNonce struct {
	at   int64
	text string
}

// ownNonceSecret is one for the whole process: an API has a ProofVerifier for each set of demands, and
// a client keeps one nonce for all of them.
var ownNonceSecret = sync.OnceValue(func() []byte {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails (crypto/rand)
	return secret
})

func newProofNonces(secrets [][]byte) *proofNonces {
	if len(secrets) == 0 {
		secrets = [][]byte{ownNonceSecret()}
	}
	n := &proofNonces{}
	for _, secret := range secrets {
		// The secret may have other uses: a nonce must not be good for any of them.
		key, err := hkdf.Key(sha256.New, secret, nil, "acp dpop nonce", sha256.Size)
		if err != nil {
			panic(err) // a length that HKDF cannot give
		}
		n.keys = append(n.keys, key)
	}
	return n
}

// issue gives the same nonce for a second: it says who issued it and when, not to whom.
func (n *proofNonces) issue(now time.Time) string {
	at := now.Unix()
	if latest := n.latest.Load(); latest != nil && latest.at == at {
		return latest.text
	}
	text := sealTime(n.keys[0], at)
	n.latest.Store(&issuedNonce{at, text})
	return text
}

func (n *proofNonces) good(nonce string, now time.Time) bool {
	raw, err := strictBase64URL.DecodeString(nonce)
	if err != nil || len(raw) != 8+16 {
		return false
	}
	at := int64(binary.BigEndian.Uint64(raw))
	age := now.Unix() - at
	if at < 0 || age > int64(nonceLife/time.Second) || -age > int64(proofLeeway/time.Second) {
		return false
	}
	good := false
	for _, key := range n.keys {
		good = sameText(nonce, sealTime(key, at)) || good
	}
	return good
}

func sealTime(key []byte, at int64) string {
	mac := hmac.New(sha256.New, key)
	raw := binary.BigEndian.AppendUint64(make([]byte, 0, 8+sha256.Size), uint64(at))
	mac.Write(raw)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(raw)[:8+16])
}
