package acpclient

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"
)

const (
	goodShards = 16
	goodRoom   = 32 << 20 // bytes that all good tokens of a Verifier may take
	goodSize   = 768      // bytes of one, beside its claims
)

// digest stands for a token wherever something is remembered of it (RFC 8725 3.10 asks
// for no less): the token itself is not.
type digest [sha256.Size]byte

// goodToken is a token that was found good. It is judged against the clock, and against
// the keys, each time that it is used.
type goodToken struct {
	token     *AccessToken
	notBefore time.Time // the leeway taken off
	until     time.Time // the leeway added: of exp, and of what an introspection answer may live

	// Of a JWT alone.
	signer *key
	keys   atomic.Pointer[keys] // the newest set that is known to hold the signer

	digest       digest
	older, newer *goodToken // in its shard
}

// goodTokens remembers good tokens, and is bounded in number and bytes: the oldest makes
// room. Only who holds a good token can fill it. A nil *goodTokens remembers nothing.
type goodTokens struct {
	shards      [goodShards]goodShard
	most, bytes int // of one shard
}

type goodShard struct {
	mu             sync.RWMutex
	byDigest       map[digest]*goodToken
	oldest, newest *goodToken
	bytes          int
}

// newGoodTokens makes room for most tokens; none gives nil.
func newGoodTokens(most int) *goodTokens {
	if most <= 0 {
		return nil
	}
	v := &goodTokens{most: max(1, most/goodShards), bytes: goodRoom / goodShards}
	for i := range v.shards {
		v.shards[i].byDigest = map[digest]*goodToken{}
	}
	return v
}

func (v *goodTokens) shard(d *digest) *goodShard {
	return &v.shards[binary.LittleEndian.Uint16(d[:])%goodShards]
}

// get returns what is remembered, good or not any more.
func (v *goodTokens) get(d *digest) *goodToken {
	s := v.shard(d)
	s.mu.RLock()
	e := s.byDigest[*d]
	s.mu.RUnlock()
	return e
}

// put remembers a token until it is over, replaced, or the oldest of too many.
func (v *goodTokens) put(e *goodToken, now time.Time) {
	size := goodSize + len(e.token.claims)
	if size > v.bytes {
		return
	}
	s := v.shard(&e.digest)
	s.mu.Lock()
	defer s.mu.Unlock()
	if before := s.byDigest[e.digest]; before != nil {
		s.drop(before)
	}
	for old := s.oldest; old != nil; old = s.oldest {
		if len(s.byDigest) < v.most && s.bytes+size <= v.bytes && now.Before(old.until) {
			break
		}
		s.drop(old)
	}
	s.byDigest[e.digest] = e
	s.bytes += size
	e.older = s.newest
	if s.newest != nil {
		s.newest.newer = e
	} else {
		s.oldest = e
	}
	s.newest = e
}

// remove forgets a token, unless it was replaced meanwhile.
func (v *goodTokens) remove(e *goodToken) {
	s := v.shard(&e.digest)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byDigest[e.digest] == e {
		s.drop(e)
	}
}

func (s *goodShard) drop(e *goodToken) {
	delete(s.byDigest, e.digest)
	s.bytes -= goodSize + len(e.token.claims)
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		s.oldest = e.newer
	}
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		s.newest = e.older
	}
	e.older, e.newer = nil, nil
}
