package middleware

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/acp-go/acp/acpclient"
)

const (
	storeTimeout  = 2 * time.Second
	storeFailures = 10          // in a row, after which nobody waits for the store
	storePause    = time.Second // but once in this time
	storeCalls    = 256         // that may be under way, whatever becomes of who asked
	storePrefix   = "acp:"      // of every token
)

// storage calls a Store: each call has a deadline, a panic is an error, and a store that
// fails is not asked by everybody.
type storage struct {
	find   func(ctx context.Context, token string) ([]byte, bool, error)
	commit func(ctx context.Context, token string, b []byte, expiry time.Time) error
	delete func(ctx context.Context, token string) error
	add    func(ctx context.Context, token string, expiry time.Time) (bool, error) // nil where the store has none
	now    func() time.Time
	slots  chan struct{}

	timeout time.Duration // of one call: storeTimeout

	mu       sync.Mutex
	failures int       // in a row
	retryAt  time.Time // nobody asks before it, once there were storeFailures
}

type contextStore interface {
	FindCtx(ctx context.Context, token string) ([]byte, bool, error)
	CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error
	DeleteCtx(ctx context.Context, token string) error
}

type addStore interface {
	Add(ctx context.Context, token string, expiry time.Time) (added bool, err error)
}

func newStorage(s Store, now func() time.Time) *storage {
	st := &storage{now: now, slots: make(chan struct{}, storeCalls), timeout: storeTimeout}
	if c, ok := s.(contextStore); ok {
		st.find, st.commit, st.delete = c.FindCtx, c.CommitCtx, c.DeleteCtx
	} else {
		st.find = func(_ context.Context, token string) ([]byte, bool, error) { return s.Find(token) }
		st.commit = func(_ context.Context, token string, b []byte, expiry time.Time) error {
			return s.Commit(token, b, expiry)
		}
		st.delete = func(_ context.Context, token string) error { return s.Delete(token) }
	}
	if a, ok := s.(addStore); ok {
		st.add = a.Add
	}
	return st
}

// do makes one call. Its error answers 503 and matches acpclient.ErrUnavailable, but for
// the caller's own end of ctx. After an error f may still be running: what it writes is not to be read.
func (st *storage) do(ctx context.Context, f func(ctx context.Context) error) error {
	if wait := st.paused(); wait > 0 {
		return storeProblem(errors.New("it failed before, and rests"), wait)
	}
	limited, cancel := context.WithTimeout(ctx, st.timeout)
	defer cancel()
	err := st.call(limited, f)
	if err != nil && ctx.Err() != nil {
		return ctx.Err() // the caller left: that says nothing about the store
	}
	st.count(err)
	if err != nil {
		return storeProblem(err, 0)
	}
	return nil
}

// call leaves when ctx ends, whatever the store does: there are drivers that do not look at
// their context. The calls that go on are counted.
func (st *storage) call(ctx context.Context, f func(ctx context.Context) error) error {
	select {
	case st.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	done := make(chan error, 1)
	go func() {
		defer func() { <-st.slots }()
		done <- guarded(func() error { return f(ctx) })
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// guarded turns a panic of somebody's store into an error.
func guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it panicked: %v", p)
		}
	}()
	return f()
}

// paused is how long the store is left alone; one call in each storePause may try.
func (st *storage) paused() time.Duration {
	st.mu.Lock()
	defer st.mu.Unlock()
	if wait := st.rest(); wait > 0 || st.failures < storeFailures {
		return wait
	}
	st.retryAt = st.now().Add(storePause)
	return 0
}

// resting is for how long nobody asks. Unlike paused it claims no try.
func (st *storage) resting() time.Duration {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.rest()
}

// rest is resting, under the lock.
func (st *storage) rest() time.Duration {
	wait := st.retryAt.Sub(st.now())
	if st.failures < storeFailures || wait < 0 || wait > storePause { // longer: the clock was set back
		return 0
	}
	return wait
}

func (st *storage) count(err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err == nil {
		st.failures = 0
		return
	}
	st.failures++
	st.retryAt = st.now().Add(storePause)
}

func storeProblem(cause error, wait time.Duration) error {
	return &problem{
		status: 503, reason: "store", detail: "the session store does not answer",
		kind: acpclient.ErrUnavailable, cause: storeError{cause}, retryAfter: wait,
	}
}

// storeError is an error of somebody's store, or lease, whose text may quote how it is
// reached, password and all.
type storeError struct{ error }

var (
	userinfo = regexp.MustCompile(`[^\s/@]*:[^\s@]*@`)
	password = regexp.MustCompile(`(?i)(password|passwd|pwd|secret|token)=\S+`)
)

func (e storeError) Error() string {
	text := userinfo.ReplaceAllString(e.error.Error(), redacted+"@")
	return password.ReplaceAllString(text, "${1}="+redacted)
}

func (e storeError) Unwrap() error { return e.error }

// Find reads several values at once: nil for what is not there.
func (st *storage) Find(ctx context.Context, tokens ...string) ([][]byte, error) {
	values := make([][]byte, len(tokens))
	err := st.do(ctx, func(ctx context.Context) error {
		errs := make([]error, len(tokens))
		find := func(i int) {
			errs[i] = guarded(func() error {
				b, found, err := st.find(ctx, storePrefix+tokens[i])
				if found && err == nil {
					values[i] = append([]byte{}, b...) // not nil, and nobody else's
				}
				return err
			})
		}
		var wg sync.WaitGroup
		for i := 1; i < len(tokens); i++ {
			wg.Go(func() { find(i) })
		}
		find(0)
		wg.Wait()
		return cmp.Or(errs...)
	})
	if err != nil {
		return nil, err
	}
	return values, nil
}

// storeLeast is for how long a value is stored at least: what is over is judged by our own
// clock, and there are stores in which a value without time left never ends.
const storeLeast = 3 * time.Second

func (st *storage) Commit(ctx context.Context, token string, b []byte, expiry time.Time) error {
	if soonest := st.now().Add(storeLeast); expiry.Before(soonest) {
		expiry = soonest
	}
	return st.do(ctx, func(ctx context.Context) error { return st.commit(ctx, storePrefix+token, b, expiry) })
}

func (st *storage) Delete(ctx context.Context, token string) error {
	return st.do(ctx, func(ctx context.Context) error { return st.delete(ctx, storePrefix+token) })
}

// Add stores a token unless it is there: in one step where the store can, else in two.
func (st *storage) Add(ctx context.Context, token string, expiry time.Time) (bool, error) {
	if st.add == nil {
		values, err := st.Find(ctx, token)
		if err != nil || values[0] != nil {
			return false, err
		}
		return true, st.Commit(ctx, token, []byte{1}, expiry)
	}
	var added bool
	err := st.do(ctx, func(ctx context.Context) (err error) {
		added, err = st.add(ctx, storePrefix+token, expiry)
		return err
	})
	if err != nil {
		return false, err
	}
	return added, nil
}

// settleTime is what a process needs after an outage of the Store to bring what it could not
// store meanwhile.
const settleTime = 3 * time.Second

// troubled holds until shortly after the last failure. A lease may have ended in the outage, and
// its holder may have tokens that are newer than those in the Store: nobody sends older ones before it
// had the time to store them.
func (st *storage) troubled() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	since := st.now().Sub(st.retryAt.Add(-storePause))
	return 0 <= since && since < settleTime
}
