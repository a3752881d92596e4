package middleware

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/acp-go/acp/acpclient"
)

// Store keeps sessions outside of cookies, so that several processes share them and a
// logout ends them at once. It is the interface of the stores of
// github.com/alexedwards/scs (Redis, PostgreSQL, MySQL, SQLite, memory and a dozen more),
// which serve as they are. It must be safe for concurrent use.
//
// Where it also has FindCtx, CommitCtx and DeleteCtx, the same with a context in front,
// those are called instead. Where it has
//
//	Add(ctx context.Context, token string, expiry time.Time) (added bool, err error)
//
// which stores a token unless it is there, in one step, then what must happen once happens once in
// all processes: a callback, a logout token. Without it that is best effort between
// processes that act in the same moment.
//
// What it is given is sealed. Its tokens are hashes, its values cannot be read or moved by
// who reads or writes the store alone.
type Store interface {
	// Find returns the value of a token. found is false when there is none, or it expired.
	Find(token string) (b []byte, found bool, err error)
	// Commit adds or replaces a value, until expiry.
	Commit(token string, b []byte, expiry time.Time) error
	// Delete removes a value. One that is not there is no error.
	Delete(token string) error
}

// Lease is held by one process at a time for each key: a lock that ends by itself, some
// seconds after its holder died, and not while the holder lives. It must be safe for concurrent use.
type Lease interface {
	// Acquire waits until it holds key, or until ctx ends, whose error it then returns.
	// release gives the key back; it may be called twice.
	Acquire(ctx context.Context, key string) (release func(), err error)
}

const (
	storeTimeout  = 2 * time.Second
	storeFailures = 10          // in a row, after which nobody waits for the store
	storePause    = time.Second // but once in this time
	storeCalls    = 256         // of a Store without contexts that may be under way
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
	st := &storage{now: now}
	if c, ok := s.(contextStore); ok {
		st.find, st.commit, st.delete = c.FindCtx, c.CommitCtx, c.DeleteCtx
	} else {
		st.withoutContext(s)
	}
	if a, ok := s.(addStore); ok {
		st.add = a.Add
	}
	return st
}

// withoutContext bounds what cannot be told to stop: the caller leaves at its deadline,
// and the number of calls that go on is limited.
func (st *storage) withoutContext(s Store) {
	slots := make(chan struct{}, storeCalls)
	call := func(ctx context.Context, f func() error) error {
		select {
		case slots <- struct{}{}:
		default:
			return errors.New("too many calls under way")
		}
		done := make(chan error, 1)
		go func() {
			defer func() { <-slots }()
			done <- guarded(f)
		}()
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	type found struct {
		b  []byte
		ok bool
	}
	st.find = func(ctx context.Context, token string) ([]byte, bool, error) {
		result := make(chan found, 1) // nobody reads what comes too late
		err := call(ctx, func() error {
			b, ok, err := s.Find(token)
			result <- found{b, ok}
			return err
		})
		if err != nil {
			return nil, false, err
		}
		r := <-result
		return r.b, r.ok, nil
	}
	st.commit = func(ctx context.Context, token string, b []byte, expiry time.Time) error {
		return call(ctx, func() error { return s.Commit(token, b, expiry) })
	}
	st.delete = func(ctx context.Context, token string) error {
		return call(ctx, func() error { return s.Delete(token) })
	}
}

// guarded turns a panic of somebody's store into an error.
func guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the store panicked: %v", p)
		}
	}()
	return f()
}

// do makes one call. Its error answers 503 and matches acpclient.ErrUnavailable, but for
// the caller's own end of ctx.
func (st *storage) do(ctx context.Context, f func(ctx context.Context) error) error {
	if wait := st.paused(); wait > 0 {
		return storeProblem(errors.New("it failed before, and rests"), wait)
	}
	limited, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err := guarded(func() error { return f(limited) })
	if err != nil && ctx.Err() != nil {
		return ctx.Err() // the caller left: that says nothing about the store
	}
	st.count(err)
	if err != nil {
		return storeProblem(err, 0)
	}
	return nil
}

// paused is how long the store is left alone; one call in each storePause may try.
func (st *storage) paused() time.Duration {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.failures < storeFailures {
		return 0
	}
	now := st.now()
	if wait := st.retryAt.Sub(now); wait > 0 {
		return wait
	}
	st.retryAt = now.Add(storePause)
	return 0
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
		kind: acpclient.ErrUnavailable, cause: cause, retryAfter: wait,
	}
}

func (st *storage) Find(ctx context.Context, token string) (b []byte, found bool, err error) {
	err = st.do(ctx, func(ctx context.Context) (err error) {
		b, found, err = st.find(ctx, storePrefix+token)
		return err
	})
	return b, found, err
}

func (st *storage) Commit(ctx context.Context, token string, b []byte, expiry time.Time) error {
	return st.do(ctx, func(ctx context.Context) error { return st.commit(ctx, storePrefix+token, b, expiry) })
}

func (st *storage) Delete(ctx context.Context, token string) error {
	return st.do(ctx, func(ctx context.Context) error { return st.delete(ctx, storePrefix+token) })
}

// Add stores a token unless it is there: in one step where the store can, else in two.
func (st *storage) Add(ctx context.Context, token string, expiry time.Time) (added bool, err error) {
	if st.add != nil {
		err = st.do(ctx, func(ctx context.Context) (err error) {
			added, err = st.add(ctx, storePrefix+token, expiry)
			return err
		})
		return added, err
	}
	_, found, err := st.Find(ctx, token)
	if found || err != nil {
		return false, err
	}
	return true, st.Commit(ctx, token, []byte{1}, expiry)
}
