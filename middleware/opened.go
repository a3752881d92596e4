package middleware

import (
	"hash/maphash"
	"strings"
	"sync"
	"time"
)

const (
	maxOpened  = 10_000          // sessions whose cookies are remembered
	openedRoom = 32 << 20        // bytes that all of them may take
	openedSize = 1024            // bytes of one, beside what its cookies hold
	openedFor  = 5 * time.Minute // a session in use has other cookies by then
)

// opened remembers what cookies held that were opened before: most requests bring the same
// ones as the request before. It says what the cookies say, and not that there is a session:
// that is judged each time. Only cookies that were sealed here get in, it is bounded in number
// and bytes, and the oldest makes room.
type opened struct {
	now  func() time.Time
	seed maphash.Seed

	mu             sync.RWMutex
	bySum          map[uint64]*openedCookies
	oldest, newest *openedCookies
	bytes          int
}

// openedCookies are one session's. None of them is changed, but for younger, under the lock.
type openedCookies struct {
	sealed string // all of it: the sum only tells where to look
	chunks int    // a part of the name under which the whole is sealed

	rec       *record
	newestKey bool

	sum     uint64
	until   time.Time
	younger *openedCookies
}

func newOpened(now func() time.Time) *opened {
	return &opened{now: now, seed: maphash.MakeSeed(), bySum: map[uint64]*openedCookies{}}
}

// sumOf looks at the end alone, where the MAC stands: nobody has that for what was not sealed
// here. It does not depend on where the whole is cut, so that one session has one entry. Its seed
// is random and stays here: a text that is tried gets no further without the right end.
func (o *opened) sumOf(parts ...string) uint64 {
	var end [64]byte
	free := len(end)
	for i := len(parts) - 1; i >= 0 && free > 0; i-- {
		s := parts[i]
		s = s[max(0, len(s)-free):]
		free -= len(s)
		copy(end[free:], s)
	}
	return maphash.Bytes(o.seed, end[free:])
}

// size is about what is kept: the text, the record in it, and its tokens once they are used.
func (e *openedCookies) size() int { return openedSize + 5*len(e.sealed)/2 }

// get returns the record that these very cookies hold, in use or not any more.
func (o *opened) get(parts []string) (r *record, newestKey, ok bool) {
	sum := o.sumOf(parts...)
	o.mu.RLock()
	e := o.bySum[sum]
	o.mu.RUnlock()
	if e == nil || e.chunks != len(parts) {
		return nil, false, false
	}
	rest := e.sealed
	for _, s := range parts {
		if rest, ok = strings.CutPrefix(rest, s); !ok {
			return nil, false, false
		}
	}
	if rest != "" {
		return nil, false, false
	}
	return e.rec, e.newestKey, true
}

// put remembers what was opened, until it makes room after the session's end at the latest.
func (o *opened) put(e *openedCookies) {
	e.sum = o.sumOf(e.sealed)
	now := o.now()
	if soon := now.Add(openedFor); e.until.After(soon) {
		e.until = soon
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.oldest != nil && (len(o.bySum) >= maxOpened || o.bytes+e.size() > openedRoom || !now.Before(o.oldest.until)) {
		delete(o.bySum, o.oldest.sum)
		o.bytes -= o.oldest.size()
		o.oldest = o.oldest.younger
	}
	if o.bySum[e.sum] != nil {
		return // another request came first
	}
	o.bySum[e.sum] = e
	o.bytes += e.size()
	if o.oldest == nil {
		o.oldest = e
	} else {
		o.newest.younger = e
	}
	o.newest = e
}
