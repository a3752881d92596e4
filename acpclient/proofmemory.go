package acpclient

import (
	"sync"
	"time"
)

// proofMemory knows the proofs of the last span, and of the one before it. A generation is dropped as a
// whole, and never before each of its proofs is too old: what makes room is no entry that is
// still needed. A full one refuses.
type proofMemory struct {
	span int64 // seconds in which a proof can be used

	mu      sync.Mutex
	started int64 // of the younger generation: the wall clock, which iat is judged by
	younger map[proofID]struct{}
	elder   map[proofID]struct{}
}

// proofID is half a hash: 128 bits tell any two proofs of one key apart.
type proofID [16]byte

// maxProofs are in one generation. Both together take 80 MB at most.
const maxProofs = 1 << 20

// once remembers a proof, and refuses one that it knows.
func (m *proofMemory) once(sum [32]byte, now time.Time) error {
	id := proofID(sum[:16])
	m.mu.Lock()
	defer m.mu.Unlock()
	if at := now.Unix(); m.younger == nil || at >= m.started+m.span {
		m.elder = m.younger
		if at >= m.started+2*m.span {
			m.elder = nil
		}
		m.started, m.younger = at, map[proofID]struct{}{}
	}
	if _, known := m.younger[id]; known {
		return errProofReplayed
	}
	if _, known := m.elder[id]; known {
		return errProofReplayed
	}
	if len(m.younger) >= maxProofs {
		return &failure{kind: ErrUnavailable, reason: "proof_memory", detail: "more proofs than are remembered"}
	}
	m.younger[id] = struct{}{}
	return nil
}
