package middleware

import (
	"container/list"
	"math"
	"sync"
	"time"
)

const (
	maxRefreshed = 10_000  // sessions whose newest tokens are remembered
	maxEnded     = 100_000 // ended sessions
	maxUsed      = 100_000 // finished logins
	maxBackoffs  = 10_000  // sessions whose refresh failed
)

// memory is what one process knows beyond the cookies, so that replays, late answers and
// old cookies do no harm. Its keys come out of sealed cookies alone, and each part is bounded:
// the oldest entry makes room.
type memory struct {
	ended    *bounded[sessionID, uint64]  // up to and including this generation
	latest   *bounded[sessionID, *record] // the newest tokens of a session
	backoffs *bounded[sessionID, backoff] // when the next refresh may be tried
	used     *bounded[stateKey, *outcome] // logins whose callback came
}

func newMemory(now func() time.Time) *memory {
	return &memory{
		ended:    newBounded[sessionID, uint64](maxEnded, now),
		latest:   newBounded[sessionID, *record](maxRefreshed, now),
		backoffs: newBounded[sessionID, backoff](maxBackoffs, now),
		used:     newBounded[stateKey, *outcome](maxUsed, now),
	}
}

// everyGeneration ends a session for good.
const everyGeneration = math.MaxUint64

// hasEnded holds for a session that was logged out, or whose refresh was refused. A
// later generation was refreshed by another process, and lives.
func (m *memory) hasEnded(r *record) bool {
	upTo, ok := m.ended.get(r.id)
	return ok && r.generation <= upTo
}

// end ends a session up to a generation. What was ended for longer stays so: a refresh that
// the logout itself made fail must not take the logout back.
func (m *memory) end(id sessionID, upTo uint64, expiry time.Time) {
	before, _ := m.ended.get(id)
	m.ended.put(id, max(before, upTo), expiry)
	m.latest.remove(id)
	m.backoffs.remove(id)
}

// newest is the record with the newest tokens that this process knows.
func (m *memory) newest(r *record) *record {
	known, ok := m.latest.get(r.id)
	if !ok || known.generation <= r.generation {
		return r
	}
	next := *known
	if r.seen.After(next.seen) {
		next.seen = r.seen
	}
	next.ticket = r.ticket
	return &next
}

// bounded is a map with an end for each entry, and for the number of entries.
type bounded[K comparable, V any] struct {
	now func() time.Time
	max int

	mu    sync.Mutex
	items map[K]*list.Element
	order *list.List // oldest first
}

type boundedItem[K comparable, V any] struct {
	key    K
	value  V
	expiry time.Time
}

func newBounded[K comparable, V any](most int, now func() time.Time) *bounded[K, V] {
	return &bounded[K, V]{now: now, max: most, items: map[K]*list.Element{}, order: list.New()}
}

func (b *bounded[K, V]) get(key K) (value V, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.locked(key)
}

func (b *bounded[K, V]) locked(key K) (value V, ok bool) {
	e, ok := b.items[key]
	if !ok {
		return value, false
	}
	item := e.Value.(*boundedItem[K, V])
	if !b.now().Before(item.expiry) {
		b.drop(e)
		return value, false
	}
	return item.value, true
}

// put replaces an entry, which becomes the youngest.
func (b *bounded[K, V]) put(key K, value V, expiry time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(key, value, expiry)
}

// putNew adds an entry where there is none, and returns what was there.
func (b *bounded[K, V]) putNew(key K, value V, expiry time.Time) (there V, added bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if there, ok := b.locked(key); ok {
		return there, false
	}
	b.add(key, value, expiry)
	return value, true
}

func (b *bounded[K, V]) add(key K, value V, expiry time.Time) {
	if e, ok := b.items[key]; ok {
		b.drop(e)
	}
	now := b.now()
	for e := b.order.Front(); e != nil; e = b.order.Front() {
		if b.order.Len() < b.max && now.Before(e.Value.(*boundedItem[K, V]).expiry) {
			break
		}
		b.drop(e)
	}
	b.items[key] = b.order.PushBack(&boundedItem[K, V]{key, value, expiry})
}

func (b *bounded[K, V]) remove(key K) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e, ok := b.items[key]; ok {
		b.drop(e)
	}
}

func (b *bounded[K, V]) drop(e *list.Element) {
	delete(b.items, e.Value.(*boundedItem[K, V]).key)
	b.order.Remove(e)
}
