package middleware

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// errEnded is what a refresh finds that comes after the end of its session.
var errEnded = &problem{status: http.StatusUnauthorized, reason: "session_ended", kind: ErrSessionEnded}

// renewStored is one refresh of a session that lives in a Store, and that other processes
// may be refreshing in this moment: who holds the lease reads what is there first, and
// stores what it brings before anybody uses it.
func (f *refresher) renewStored(ctx context.Context, r *record) (next *record, err error) {
	defer func() { // out here a panic of a Lease would end the program
		if p := recover(); p != nil {
			next, err = nil, fmt.Errorf("middleware: refresh panicked: %s", clean(fmt.Sprint(p)))
		}
	}()
	bounded, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	release, err := f.acquire(bounded, r)
	if err != nil {
		return nil, err
	}
	defer release()
	current, err := f.shelf.get(bounded, r)
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
	t, err := f.ask(bounded, r)
	if fatal(err) {
		return f.refused(ctx, r, err)
	}
	if err != nil {
		return nil, err
	}
	return f.keep(ctx, r.refreshed(t, f.now()))
}

func (f *refresher) acquire(ctx context.Context, r *record) (release func(), err error) {
	if f.lease == nil {
		return func() {}, nil
	}
	release, err = f.lease.Acquire(ctx, storePrefix+"r."+recordToken(r.id))
	if err != nil {
		return nil, storeProblem(fmt.Errorf("the lease: %w", err), 0)
	}
	return release, nil
}

// refused ends the session, unless another process has newer tokens of it: then the server
// only refused those that were used up.
func (f *refresher) refused(ctx context.Context, r *record, cause error) (*record, error) {
	current, err := f.shelf.get(ctx, r)
	switch {
	case err != nil:
		return nil, err
	case current != nil && current.generation > r.generation:
		return current, nil
	case current != nil:
		if err := f.shelf.end(ctx, r); err != nil {
			f.log.Warn("acp: a session that the server ended stays in the store", "error", logText(err))
		}
	}
	return nil, cause
}

// keep stores new tokens. The server has taken the old ones back, so while the Store does
// not answer they are served out of this process, and stored as soon as it does.
func (f *refresher) keep(ctx context.Context, next *record) (*record, error) {
	ended, err := f.shelf.put(ctx, next)
	switch {
	case ended:
		return next, errEnded
	case err != nil:
		f.log.Warn("acp: refreshed tokens are not in the store yet", "reason", reasonOf(err), "error", logText(err))
		f.running.Go(func() { f.keepTrying(ctx, next) })
	}
	return next, nil
}

const (
	keepPause = time.Second
	keepTries = 60
)

func (f *refresher) keepTrying(ctx context.Context, next *record) {
	for range keepTries {
		time.Sleep(keepPause)
		if newest := f.memory.newest(next); newest.generation > next.generation || f.memory.hasEnded(next) {
			return // there is something newer to store, or nothing any more
		}
		stored, err := f.shelf.get(ctx, next)
		if err != nil {
			continue
		}
		if stored == nil || stored.generation >= next.generation {
			return
		}
		if _, err := f.shelf.put(ctx, next); err == nil {
			return
		}
	}
	f.log.Error("acp: refreshed tokens were not stored: a restart ends this session")
}
