package acpclient

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"crypto/rand"
	"crypto/sha256"
)

// digest stands for a token wherever something is remembered of it: the token itself is not.
// Digests of one fingerprinter can be compared with each other alone.
type digest [16]byte

// fingerprinter gives tokens their digests. It is a MAC under a key that nobody knows, GMAC
// (NIST SP 800-38D), at a quarter of what SHA-256 costs. Its digests leave the process in no
// form, so the one nonce gives nothing away, and who does not see them finds another token
// with the digest of a good one, of 16 KiB at most, with a chance of 2⁻¹¹⁷ an attempt and remembered token.
type fingerprinter struct {
	mac cipher.AEAD // nil: SHA-256, since FIPS 140-3 allows no nonce of ours
}

func newFingerprinter() fingerprinter {
	if fips140.Enabled() {
		return fingerprinter{}
	}
	key := make([]byte, 16)
	rand.Read(key) // never fails
	block, err := aes.NewCipher(key)
	if err != nil {
		return fingerprinter{}
	}
	mac, err := cipher.NewGCM(block)
	if err != nil {
		return fingerprinter{}
	}
	return fingerprinter{mac}
}

var oneNonce = make([]byte, 12)

// digest is that of the token which stands in room.
func (f *fingerprinter) digest(room *scratch) (d digest) {
	if f.mac == nil {
		sum := sha256.Sum256(room.token)
		copy(d[:], sum[:])
		return d
	}
	room.sum = f.mac.Seal(room.sum[:0], oneNonce, nil, room.token)
	copy(d[:], room.sum)
	return d
}
