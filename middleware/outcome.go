package middleware

import (
	"context"
	"sync"
)

// outcome is what became of a login whose callback came. A callback that comes while the
// first one is under way waits for it.
type outcome struct {
	done chan struct{} // closed when it is known

	mu       sync.Mutex
	waiting  int
	err      error   // set before it settles: why the same callback may come again
	returnTo string  // "" when the login failed
	rec      *record // the session, as long as somebody waits for it
}

func newOutcome() *outcome { return &outcome{done: make(chan struct{})} }

// settle ends the waiting; a nil record is a login that failed.
func (o *outcome) settle(rec *record, returnTo string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if rec != nil {
		o.returnTo = returnTo
	}
	if o.waiting > 0 {
		o.rec = rec
	}
	close(o.done)
}

// wait returns where the login ended, and its session for who came while it was under
// way. The error is ctx's, or that of a callback that may come again.
func (o *outcome) wait(ctx context.Context) (returnTo string, rec *record, err error) {
	o.mu.Lock()
	o.waiting++
	o.mu.Unlock()
	select {
	case <-o.done:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err == nil {
		returnTo, rec, err = o.returnTo, o.rec, o.err
	}
	if o.waiting--; o.waiting == 0 {
		o.rec = nil
	}
	return returnTo, rec, err
}
