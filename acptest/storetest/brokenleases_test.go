package storetest_test

import (
	"context"
	"errors"
	"time"

	"github.com/acp-go/acp/middleware"
)

// lease is a Lease of one function.
type lease func(ctx context.Context, key string) (release func(), err error)

func (l lease) Acquire(ctx context.Context, key string) (release func(), err error) {
	return l(ctx, key)
}

var brokenLeases = []struct {
	name string
	in   string // the subtest that must fail
	make func() middleware.Lease
	want string
}{
	{"nil", "", func() middleware.Lease { return nil }, "lease 1 of 1 is nil"},
	{"holds nothing", "lease/waits", func() middleware.Lease {
		return lease(func(ctx context.Context, _ string) (func(), error) { return func() {}, ctx.Err() })
	}, "two would use one refresh token"},
	{"no release", "lease/waits", func() middleware.Lease {
		return lease(func(ctx context.Context, _ string) (func(), error) { return nil, ctx.Err() })
	}, "release is nil"},
	{"one key", "lease/keys", func() middleware.Lease {
		l := newLocks()
		return lease(func(ctx context.Context, _ string) (func(), error) { return l.Acquire(ctx, "key") })
	}, "while other keys are held: context deadline exceeded"},
	{"does not wait", "lease/waits", func() middleware.Lease {
		l := newLocks()
		return lease(func(ctx context.Context, key string) (func(), error) {
			l.mu.Lock()
			_, taken := l.held[key]
			l.mu.Unlock()
			if taken {
				return nil, errors.New("taken")
			}
			return l.Acquire(ctx, key)
		})
	}, `the error "taken" does not match`},
	{"not renewed", "lease/renewed_while_held", func() middleware.Lease {
		l := newLocks()
		return lease(func(ctx context.Context, key string) (func(), error) {
			release, err := l.Acquire(ctx, key)
			if err == nil {
				time.AfterFunc(3*time.Second, release)
			}
			return release, err
		})
	}, "lease/renewed_while_held"},
	{"ends with its context", "lease/outlives_its_context", func() middleware.Lease {
		l := newLocks()
		return lease(func(ctx context.Context, key string) (func(), error) {
			release, err := l.Acquire(ctx, key)
			if err == nil {
				context.AfterFunc(ctx, release)
			}
			return release, err
		})
	}, "after the context of the holder's Acquire ended"},
	{"ignores its context", "lease/ended_context", func() middleware.Lease {
		l := newLocks()
		return lease(func(ctx context.Context, key string) (func(), error) {
			if ctx.Err() != nil {
				return l.Acquire(context.Background(), key)
			}
			return l.Acquire(ctx, key)
		})
	}, "with a context that ended before: no error"},
	{"release by name", "lease/release_twice", func() middleware.Lease {
		l := newLocks()
		return lease(func(ctx context.Context, key string) (func(), error) {
			if _, err := l.Acquire(ctx, key); err != nil {
				return nil, err
			}
			return func() {
				l.mu.Lock()
				defer l.mu.Unlock()
				if free, held := l.held[key]; held {
					delete(l.held, key)
					close(free)
				}
			}, nil
		})
	}, "after the first holder released for the second time"},
}
