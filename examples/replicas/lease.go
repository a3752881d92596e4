package main

import (
	"context"
	"sync"
)

// leases is a middleware.Lease for the replicas of one process. Those of several need one
// that they share, such as that of examples/redis.
type leases struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed when the key is free again
}

// Acquire waits until it holds key, or until ctx ends.
func (l *leases) Acquire(ctx context.Context, key string) (release func(), err error) {
	for {
		l.mu.Lock()
		held, taken := l.held[key]
		if !taken {
			if l.held == nil {
				l.held = map[string]chan struct{}{}
			}
			mine := make(chan struct{})
			l.held[key] = mine
			l.mu.Unlock()
			return sync.OnceFunc(func() {
				l.mu.Lock()
				delete(l.held, key)
				l.mu.Unlock()
				close(mine)
			}), nil
		}
		l.mu.Unlock()
		select {
		case <-held:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
