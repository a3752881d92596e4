package acpclient

import "time"

// SetClock gives the ProofVerifier another clock. It is called before the first use.
func (v *ProofVerifier) SetClock(now func() time.Time) { v.now = now }

// Remembered is the number of proofs in memory.
func (v *ProofVerifier) Remembered() int { return len(v.seen.younger) + len(v.seen.elder) }

// Once asks the memory for a proof, whatever it says.
func (v *ProofVerifier) Once(sum [32]byte, now time.Time) error { return v.seen.once(sum, now) }

const MaxProofs = maxProofs

var SameTarget = sameTarget

// KnownHeaders is the number of headers of good proofs in memory.
func (v *ProofVerifier) KnownHeaders() int { return len(v.keys.known) }

// KnowHeader remembers a header, as if it had been a good proof's.
func (v *ProofVerifier) KnowHeader(encoded string) { v.keys.put(encoded, &proofHeader{}) }

const (
	MaxProofKeys   = maxProofKeys
	MaxKnownHeader = maxKnownHeader
)
