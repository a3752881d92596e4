package middleware

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"
)

const (
	maxUnstored     = 10_000 // ended sessions of which the Store does not know yet
	unstoredPause   = time.Second
	unstoredPauseTo = 30 * time.Second
)

// unstored are the ends of sessions that the Store did not take. Their users were told, and have
// no cookie to try again with: until the Store knows, another process may serve a copy of it.
type unstored struct {
	shelf *shelf
	now   func() time.Time
	log   *slog.Logger

	mu     sync.Mutex
	ends   map[sessionID]*record
	done   chan struct{} // of what goes on trying; nil: nothing does
	stop   chan struct{}
	closed bool
}

func newUnstored(s *shelf, now func() time.Time, log *slog.Logger) *unstored {
	return &unstored{shelf: s, now: now, log: log, ends: map[sessionID]*record{}, stop: make(chan struct{})}
}

// add goes on trying to store the end of a session.
func (u *unstored) add(r *record) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed || len(u.ends) >= maxUnstored {
		u.log.Warn("acp: the store does not learn of the end of a session: another process may serve it")
		return
	}
	u.ends[r.id] = &record{id: r.id, created: r.created, ticket: r.ticket}
	if u.done == nil {
		u.done = make(chan struct{})
		go u.keepTrying(u.done)
	}
}

// keepTrying ends when nothing is left, or with close.
func (u *unstored) keepTrying(done chan struct{}) {
	defer close(done)
	for pause := unstoredPause; ; pause = min(2*pause, unstoredPauseTo) {
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-u.stop:
			timer.Stop()
			return
		}
		if u.settle(context.Background()) > 0 {
			pause = unstoredPause / 2
		}
		u.mu.Lock()
		if len(u.ends) == 0 {
			u.done = nil
			u.mu.Unlock()
			return
		}
		u.mu.Unlock()
	}
}

// settle tries each of them, up to the first failure, and forgets those that are over by
// themselves.
func (u *unstored) settle(ctx context.Context) (stored int) {
	u.mu.Lock()
	ends := maps.Clone(u.ends)
	u.mu.Unlock()
	for id, r := range ends {
		if u.now().Before(u.shelf.until(r)) {
			if err := u.shelf.end(ctx, r); err != nil {
				break
			}
			stored++
		}
		u.mu.Lock()
		delete(u.ends, id)
		u.mu.Unlock()
	}
	if stored > 0 {
		u.log.Info("acp: the store has the ends of sessions that it did not take before", "sessions", stored)
	}
	return stored
}

// close tries once more, until ctx ends.
func (u *unstored) close(ctx context.Context) {
	u.mu.Lock()
	if !u.closed {
		u.closed = true
		close(u.stop)
	}
	done, left := u.done, len(u.ends)
	u.mu.Unlock()
	if done != nil {
		select {
		case <-done:
		case <-ctx.Done():
			return
		}
	}
	if rest := u.shelf.storage.resting(); left > 0 && rest > 0 { // until then it would not be asked, though it may be back
		timer := time.NewTimer(rest)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	u.settle(ctx)
	u.mu.Lock()
	defer u.mu.Unlock()
	if n := len(u.ends); n > 0 {
		u.log.Warn("acp: the store did not learn of the ends of sessions: another process may serve them", "sessions", n)
	}
}
