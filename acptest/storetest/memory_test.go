package storetest_test

import (
	"bytes"
	"context"
	"sync"
	"time"
)

// memory is a correct Store with all that is optional.
type memory struct {
	mu      sync.Mutex
	entries map[string]entry
}

type entry struct {
	b      []byte
	expiry time.Time
}

func newMemory() *memory { return &memory{entries: map[string]entry{}} }

func (m *memory) FindCtx(ctx context.Context, token string) (b []byte, found bool, err error) {
	if ctx.Err() != nil {
		return nil, false, ctx.Err()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	e, found := m.entries[token]
	if !found || !time.Now().Before(e.expiry) {
		return nil, false, nil
	}
	return bytes.Clone(e.b), true, nil
}

func (m *memory) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries[token] = entry{bytes.Clone(b), expiry}
	return nil
}

func (m *memory) DeleteCtx(ctx context.Context, token string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.entries, token)
	return nil
}

func (m *memory) Add(ctx context.Context, token string, expiry time.Time) (added bool, err error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, found := m.entries[token]; found && time.Now().Before(e.expiry) {
		return false, nil
	}
	m.entries[token] = entry{nil, expiry}
	return true, nil
}

func (m *memory) Find(token string) (b []byte, found bool, err error) {
	return m.FindCtx(context.Background(), token)
}

func (m *memory) Commit(token string, b []byte, expiry time.Time) error {
	return m.CommitCtx(context.Background(), token, b, expiry)
}

func (m *memory) Delete(token string) error { return m.DeleteCtx(context.Background(), token) }

// locks is a correct Lease for one process.
type locks struct {
	mu   sync.Mutex
	held map[string]chan struct{}
}

func newLocks() *locks { return &locks{held: map[string]chan struct{}{}} }

func (l *locks) Acquire(ctx context.Context, key string) (release func(), err error) {
	for ctx.Err() == nil {
		l.mu.Lock()
		free, taken := l.held[key]
		if !taken {
			free = make(chan struct{})
			l.held[key] = free
			l.mu.Unlock()
			return sync.OnceFunc(func() {
				l.mu.Lock()
				defer l.mu.Unlock()
				delete(l.held, key)
				close(free)
			}), nil
		}
		l.mu.Unlock()
		select {
		case <-free:
		case <-ctx.Done():
		}
	}
	return nil, ctx.Err()
}
