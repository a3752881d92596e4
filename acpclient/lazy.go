package acpclient

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// lazy is a value that is fetched when it is first wanted, by one flight that all who
// want it share, and again from time to time in the background. A failure starts a
// back-off, during which nobody asks the server; the old value serves meanwhile.
type lazy[T any] struct {
	fetch   func(context.Context) (T, error)
	fresh   time.Duration // after which the next use refreshes in the background
	timeout time.Duration
	now     func() time.Time
	jitter  func() float64 // in [0,1)

	current atomic.Pointer[lazyValue[T]]

	mu       sync.Mutex
	flight   *lazyFlight
	failures int
	retryAt  time.Time
	lastErr  error
	forcedAt time.Time
	closed   bool
}

type lazyValue[T any] struct {
	value      T
	freshUntil time.Time
}

type lazyFlight struct {
	done   chan struct{}
	cancel context.CancelFunc
	err    error
}

// value returns the value, waiting for the first fetch where there is none yet.
func (l *lazy[T]) value(ctx context.Context) (T, error) {
	cur := l.current.Load()
	if cur != nil {
		if l.now().Before(cur.freshUntil) {
			return cur.value, nil
		}
		l.start(false)
		return cur.value, nil
	}
	f, err := l.start(false)
	if f != nil {
		err = f.wait(ctx)
	}
	if cur = l.current.Load(); err == nil && cur != nil {
		return cur.value, nil
	}
	var zero T
	return zero, err
}

// again fetches now, at most once in the given time, and returns what is then known.
func (l *lazy[T]) again(ctx context.Context, coolDown time.Duration) (T, error) {
	l.mu.Lock()
	due := l.forcedAt.IsZero() || l.now().Sub(l.forcedAt) >= coolDown
	if due {
		l.forcedAt = l.now()
	}
	l.mu.Unlock()
	if due {
		if f, _ := l.start(true); f != nil {
			f.wait(ctx)
		}
	}
	return l.value(ctx)
}

// start joins the flight or begins one, unless the back-off forbids it. Both results are
// nil where a flight has landed since the caller looked, and none is forced.
func (l *lazy[T]) start(forced bool) (*lazyFlight, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	cur := l.current.Load()
	switch {
	case l.closed:
		return nil, ErrClosed
	case l.flight != nil:
		return l.flight, nil
	case !forced && cur != nil && l.now().Before(cur.freshUntil):
		return nil, nil
	case l.now().Before(l.retryAt):
		return nil, withRetryAfter(l.lastErr, l.retryAt.Sub(l.now()))
	}
	// The fetch is on a context of its own: who started it may leave.
	ctx, cancel := context.WithTimeout(context.Background(), l.timeout)
	f := &lazyFlight{done: make(chan struct{}), cancel: cancel}
	l.flight = f
	// A transport that does not heed its context must not hold up the value for ever.
	context.AfterFunc(ctx, func() {
		var none T
		l.land(f, none, unavailable(ctx.Err(), 0))
	})
	go func() {
		defer cancel()
		value, err := l.fetch(ctx)
		l.land(f, value, err)
	}()
	return f, nil
}

func (l *lazy[T]) land(f *lazyFlight, value T, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.flight != f {
		return // it has landed before
	}
	now := l.now()
	if err == nil {
		l.failures, l.retryAt, l.lastErr = 0, time.Time{}, nil
		l.current.Store(&lazyValue[T]{value: value, freshUntil: now.Add(l.fresh)})
	} else {
		wait := backOff(l.failures, l.jitter())
		l.failures++
		l.retryAt, l.lastErr = now.Add(wait), err
		err = withRetryAfter(err, wait)
	}
	f.err, l.flight = err, nil
	close(f.done)
}

// rest is how long the back-off still lasts; 0 or less when it is over, or there is none.
func (l *lazy[T]) rest() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.retryAt.Sub(l.now())
}

// close ends a fetch under way and refuses later ones.
func (l *lazy[T]) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if f := l.flight; f != nil {
		f.cancel()
		f.err, l.flight = ErrClosed, nil
		close(f.done)
	}
}

// wait is bounded by the waiter's own context, never by another's.
func (f *lazyFlight) wait(ctx context.Context) error {
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return unavailable(ctx.Err(), 0)
	}
}

// backOff is 1 s, doubling to 30 s, and up to 20 % more: with less, a minute would see a
// seventh try.
func backOff(failures int, jitter float64) time.Duration {
	d := min(time.Second<<min(failures, 5), 30*time.Second)
	return time.Duration(float64(d) * (1 + 0.2*jitter))
}

// withRetryAfter is err with a time at which the next try makes sense.
func withRetryAfter(err error, wait time.Duration) error {
	if f, ok := errors.AsType[*failure](err); ok {
		c := *f
		c.retryAfter = max(wait, c.retryAfter)
		return &c
	}
	if e, ok := errors.AsType[*Error](err); ok {
		c := *e
		c.retryAfter = max(wait, c.retryAfter)
		return &c
	}
	return err
}
