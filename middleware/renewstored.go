package middleware

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	refusedPause = time.Second
	keepPause    = time.Second
	keepTries    = 60
	maxSaving    = 1000 // sessions whose tokens wait for the Store in this process
)

// errEnded is what a refresh finds that comes after the end of its session.
var errEnded = &problem{status: http.StatusUnauthorized, reason: "session_ended", kind: ErrSessionEnded}

// renewStored is one refresh of a session that lives in a Store, and that other processes
// may be refreshing in this moment: who holds the lease reads what is there first, and
// stores what it brings before anybody uses it. waiting bounds what comes before the call.
func (f *refresher) renewStored(ctx, waiting context.Context, r *record) (*record, error) {
	release, err := f.acquire(waiting, r)
	if err != nil {
		return nil, err
	}
	defer func() { release() }()
	current, err := f.shelf.get(waiting, r)
	switch {
	case err != nil:
		return nil, err
	case current == nil:
		return nil, errEnded
	case current.generation > r.generation:
		if !stale(current, f.now()) {
			return current, nil
		}
		r = current
	}
	if f.shelf.storage.troubled() {
		return nil, storeProblem(errors.New("it failed just now"), 0)
	}
	next, err := f.ask(ctx, r)
	if fatal(err) {
		return f.refused(ctx, r, err)
	}
	if err != nil {
		return nil, err
	}
	ended, err := f.shelf.put(ctx, next)
	switch {
	case ended:
		return next, errEnded
	case err != nil:
		// The server has taken the old ones back, so while the Store does not answer they are
		// served out of this process, and nobody else may refresh.
		f.log.Warn("acp: refreshed tokens are not in the store yet", "reason", reasonOf(err), "error", logText(err))
		if f.save(next, release) {
			release = func() {}
		}
	}
	return next, nil
}

// acquire does not trust a Lease to look at its context, or not to panic. What it gives back too
// late is released.
func (f *refresher) acquire(ctx context.Context, r *record) (release func(), err error) {
	if f.lease == nil {
		return func() {}, nil
	}
	var mu sync.Mutex
	var held func()
	left := false
	err = f.shelf.storage.call(ctx, func(ctx context.Context) error {
		release, err := f.lease.Acquire(ctx, storePrefix+"l."+recordToken(r.id))
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if held = release; left {
			release()
		}
		return nil
	})
	mu.Lock()
	defer mu.Unlock()
	if left = err != nil; !left {
		return func() { f.release(held) }, nil
	}
	if held != nil {
		f.release(held)
	}
	if ctx.Err() != nil {
		return nil, unavailable("another process refreshes this session, and has no answer")
	}
	return nil, storeProblem(fmt.Errorf("the lease: %w", err), 0)
}

// release lets nobody wait.
func (f *refresher) release(held func()) {
	f.running.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
		defer cancel()
		_ = f.shelf.storage.call(ctx, func(context.Context) error { held(); return nil }) // a lease ends by itself
	})
}

// refused takes the session away, unless another process has newer tokens of it: then the
// server only refused those that were used up. Where no lease kept it from asking in
// the same moment, what that one got may still be on its way into the Store. No tombstone is
// left, so that it lives when it comes even later.
func (f *refresher) refused(ctx context.Context, r *record, cause error) (*record, error) {
	current, err := f.shelf.get(ctx, r)
	if f.lease == nil && err == nil && current != nil && current.generation <= r.generation {
		f.sleep(refusedPause)
		current, err = f.shelf.get(ctx, r)
	}
	switch {
	case err != nil:
		return nil, err
	case current != nil && current.generation > r.generation:
		return current, nil
	case current != nil:
		if err := f.shelf.remove(ctx, r); err != nil {
			f.log.Warn("acp: a session that the server ended stays in the store", "error", logText(err))
		}
	}
	return nil, cause
}

// save stores, in the background, tokens that only this process has. It takes release over,
// to be called afterwards, where it is not false.
func (f *refresher) save(next *record, release func()) (begun bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, flying := f.flights[next.id]
	if f.closed && !flying || f.saving[next.id] || len(f.saving) >= maxSaving {
		return false // the next request for the session comes here again
	}
	f.saving[next.id] = true
	f.running.Go(func() {
		defer release()
		f.keepTrying(next)
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.saving, next.id)
	})
	return true
}

func (f *refresher) keepTrying(next *record) {
	ctx := context.Background()
	for range keepTries {
		next = f.memory.newest(next)
		if f.memory.hasEnded(next) {
			return
		}
		stored, err := f.shelf.get(ctx, next)
		if err == nil {
			if stored == nil || stored.generation >= next.generation {
				return
			}
			_, err = f.shelf.put(ctx, next)
		}
		if err == nil {
			return
		}
		f.sleep(keepPause)
	}
	f.log.Error("acp: refreshed tokens were not stored: a restart ends this session")
}
