package acpclient

import (
	"strings"
	"sync"
)

// proofHeader is a proof's header that was judged: it is the same in all proofs of a key.
type proofHeader struct {
	alg string
	key *key
}

// proofKeys holds headers of proofs that were good in all, by their encoded form: nobody without
// a token can add one. A full one starts anew.
type proofKeys struct {
	mu    sync.RWMutex
	known map[string]*proofHeader
}

const (
	maxProofKeys   = 4096
	maxKnownHeader = 1024 // bytes: an RSA key of 4096 bits has less
)

func (k *proofKeys) get(encoded string) *proofHeader {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.known[encoded]
}

func (k *proofKeys) put(encoded string, h *proofHeader) {
	if len(encoded) > maxKnownHeader || k.get(encoded) != nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known == nil || len(k.known) >= maxProofKeys {
		k.known = map[string]*proofHeader{}
	}
	k.known[strings.Clone(encoded)] = h // encoded is a part of the proof
}
