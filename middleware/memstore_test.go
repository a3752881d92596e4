package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"
)

// memStore is a Store with the faults that real ones have. Its zero value is a good one.
type memStore struct {
	mu     sync.Mutex
	values map[string]memValue
	fault  func(ctx context.Context, op, token string) error // nil: none
	calls  map[string]int
	lost   bool // the next write is done, and its answer lost
}

type memValue struct {
	b      []byte
	expiry time.Time
}

var errStoreDown = errors.New("the store is down")

// set changes the fault.
func (m *memStore) set(fault func(ctx context.Context, op, token string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = fault
}

func (m *memStore) down() {
	m.set(func(context.Context, string, string) error { return errStoreDown })
}

func (m *memStore) begin(ctx context.Context, op, token string) error {
	m.mu.Lock()
	fault := m.fault
	if m.calls == nil {
		m.calls = map[string]int{}
	}
	m.calls[op]++
	m.mu.Unlock()
	if fault != nil {
		return fault(ctx, op, token)
	}
	return ctx.Err()
}

// answer is that of a write, under the lock.
func (m *memStore) answer() error {
	if m.lost {
		m.lost = false
		return errStoreDown
	}
	return nil
}

func (m *memStore) count(op string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls[op]
}

func (m *memStore) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	if err := m.begin(ctx, "find", token); err != nil {
		return nil, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.values[token]
	return bytes.Clone(v.b), ok, nil
}

func (m *memStore) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	if err := m.begin(ctx, "commit", token); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.values == nil {
		m.values = map[string]memValue{}
	}
	m.values[token] = memValue{bytes.Clone(b), expiry}
	return m.answer()
}

func (m *memStore) DeleteCtx(ctx context.Context, token string) error {
	if err := m.begin(ctx, "delete", token); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.values, token)
	return nil
}

// Add is the optional method.
func (m *memStore) Add(ctx context.Context, token string, expiry time.Time) (bool, error) {
	if err := m.begin(ctx, "add", token); err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.values[token]; ok {
		return false, nil
	}
	if m.values == nil {
		m.values = map[string]memValue{}
	}
	m.values[token] = memValue{nil, expiry}
	if err := m.answer(); err != nil {
		return false, err
	}
	return true, nil
}

func (m *memStore) Find(token string) ([]byte, bool, error) {
	return m.FindCtx(context.Background(), token)
}

func (m *memStore) Commit(token string, b []byte, expiry time.Time) error {
	return m.CommitCtx(context.Background(), token, b, expiry)
}

func (m *memStore) Delete(token string) error { return m.DeleteCtx(context.Background(), token) }
