package acpclient

import (
	"crypto/sha256"
	"encoding"
	"hash"
)

// runningSums takes two SHA-256 sums of one token, of the whole and of its signing input,
// for little more than the price of one: the hash's state is kept where the signing input ends.
type runningSums struct {
	hash  resumable // nil until it is used
	state []byte
	sum   []byte
	input digest
}

// resumable is what crypto/sha256 gives.
type resumable interface {
	hash.Hash
	encoding.BinaryAppender
	encoding.BinaryUnmarshaler
}

// whole is the sum of the token, whose signing input has inputSize bytes.
func (s *runningSums) whole(token []byte, inputSize int) (d digest) {
	if s.hash == nil {
		s.hash = sha256.New().(resumable)
	}
	s.hash.Reset()
	s.hash.Write(token[:inputSize])
	s.state, _ = s.hash.AppendBinary(s.state[:0]) // never fails
	s.hash.Write(token[inputSize:])
	s.sum = s.hash.Sum(s.sum[:0])
	copy(d[:], s.sum)
	return d
}

// signingInput is the sum of the signing input of the token that whole was asked for last.
func (s *runningSums) signingInput() *digest {
	if s.hash.UnmarshalBinary(s.state) != nil {
		return nil // it will be hashed again
	}
	s.hash.Sum(s.input[:0])
	return &s.input
}
