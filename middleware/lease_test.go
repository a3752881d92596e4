package middleware_test

import (
	"context"
	"sync"
)

// testLease is a Lease of one process, as good as a whole cluster's, with faults.
type testLease struct {
	mu    sync.Mutex
	held  map[string]chan struct{} // closed when it is given back
	taken int
	fault func(ctx context.Context) error // nil: none
}

func (l *testLease) set(fault func(context.Context) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault = fault
}

func (l *testLease) Acquire(ctx context.Context, key string) (func(), error) {
	l.mu.Lock()
	fault := l.fault
	l.mu.Unlock()
	if fault != nil {
		if err := fault(ctx); err != nil {
			return nil, err
		}
	}
	for {
		l.mu.Lock()
		if l.held == nil {
			l.held = map[string]chan struct{}{}
		}
		before, busy := l.held[key]
		if !busy {
			mine := make(chan struct{})
			l.held[key] = mine
			l.taken++
			l.mu.Unlock()
			return sync.OnceFunc(func() { l.giveBack(key, mine) }), nil
		}
		l.mu.Unlock()
		select {
		case <-before:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (l *testLease) giveBack(key string, mine chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[key] == mine {
		delete(l.held, key)
	}
	close(mine)
}

// expire ends every lease, as time does for a holder that died.
func (l *testLease) expire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, mine := range l.held {
		_ = mine
	}
	clear(l.held)
}

// leaseFunc is a Lease that is a function.
type leaseFunc func(ctx context.Context, key string) (func(), error)

func (f leaseFunc) Acquire(ctx context.Context, key string) (func(), error) { return f(ctx, key) }
