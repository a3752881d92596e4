package acpclient

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"
)

const (
	goodRoom = 32 << 20 // bytes that all good tokens of a Verifier may take
	goodSize = 768      // bytes of one, beside its claims and lists

	goodShards   = 16
	shardingFrom = 1024 // with fewer tokens, chance would fill one shard while others are empty
)

// goodToken is a token that was found good. It is judged against the clock, and against
// the keys, each time that it is used.
type goodToken struct {
	token     AccessToken
	notBefore time.Time // zero where the token does not say
	until     time.Time // of a JWT exp, the leeway added; else the end of the answer's time to live

	// Of a JWT alone.
	signer *key
	keys   atomic.Pointer[keys] // the newest set that is known to hold the signer

	digest       digest
	size         int        // in bytes, set by put
	older, newer *goodToken // in its shard
}

// goodTokens remembers good tokens, and is bounded in number and bytes: the oldest makes
// room. Only who holds a good token can fill it. A nil *goodTokens remembers nothing.
type goodTokens struct {
	shards      []goodShard
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
	shards := goodShards
	if most < shardingFrom {
		shards = 1
	}
	v := &goodTokens{shards: make([]goodShard, shards), most: most / shards, bytes: goodRoom / shards}
	for i := range v.shards {
		v.shards[i].byDigest = map[digest]*goodToken{}
	}
	return v
}

func (v *goodTokens) shard(d *digest) *goodShard {
	return &v.shards[int(binary.LittleEndian.Uint16(d[:]))%len(v.shards)]
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
	a := &e.token
	e.size = goodSize + len(a.claims) + 16*(cap(a.Scopes)+cap(a.Audience)+cap(a.AMR))
	if e.size > v.bytes {
		return
	}
	s := v.shard(&e.digest)
	s.mu.Lock()
	defer s.mu.Unlock()
	if before := s.byDigest[e.digest]; before != nil {
		s.drop(before)
	}
	for old := s.oldest; old != nil; old = s.oldest {
		if len(s.byDigest) < v.most && s.bytes+e.size <= v.bytes && now.Before(old.until) {
			break
		}
		s.drop(old)
	}
	s.byDigest[e.digest] = e
	s.bytes += e.size
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
	s.bytes -= e.size
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
