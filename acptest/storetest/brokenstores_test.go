package storetest_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/acp-go/acp/middleware"
)

// plain hides all that is optional of a Store.
type plain struct{ middleware.Store }

// hooked is a Store without anything optional, of which a row replaces methods.
type hooked struct {
	m      *memory
	find   func(m *memory, token string) ([]byte, bool, error)
	commit func(m *memory, token string, b []byte, expiry time.Time) error
	delete func(m *memory, token string) error
}

func (h hooked) Find(token string) ([]byte, bool, error) {
	if h.find != nil {
		return h.find(h.m, token)
	}
	return h.m.Find(token)
}

func (h hooked) Commit(token string, b []byte, expiry time.Time) error {
	if h.commit != nil {
		return h.commit(h.m, token, b, expiry)
	}
	return h.m.Commit(token, b, expiry)
}

func (h hooked) Delete(token string) error {
	if h.delete != nil {
		return h.delete(h.m, token)
	}
	return h.m.Delete(token)
}

// adding is a Store whose Add a row replaces.
type adding struct {
	*memory
	add func(m *memory, ctx context.Context, token string, expiry time.Time) (bool, error)
}

func (a adding) Add(ctx context.Context, token string, expiry time.Time) (bool, error) {
	return a.add(a.memory, ctx, token, expiry)
}

// forgetful ignores contexts.
type forgetful struct{ *memory }

func (f forgetful) FindCtx(_ context.Context, token string) ([]byte, bool, error) {
	return f.memory.Find(token)
}

// misnamed has an Add of another kind, and only one form with a context.
type misnamed struct{ hooked }

func (misnamed) Add(string) bool { return true }

func (m misnamed) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	return m.m.FindCtx(ctx, token)
}

// shared hands out one buffer.
type shared struct {
	*memory
	buf []byte
}

func (s *shared) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	b, found, err := s.memory.FindCtx(ctx, token)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(b) != 600 { // the size of what is looked at for this
		return b, found, err
	}
	s.buf = append(s.buf[:0], b...)
	return s.buf, found, err
}

func ttl(min time.Duration, round func(time.Duration) time.Duration) func(*memory, string, []byte, time.Time) error {
	return func(m *memory, token string, b []byte, expiry time.Time) error {
		d := round(time.Until(expiry))
		if d <= min { // as a TTL of zero in many databases
			expiry = time.Now().Add(1000 * time.Hour)
		} else {
			expiry = time.Now().Add(d)
		}
		return m.Commit(token, b, expiry)
	}
}

var brokenStores = []struct {
	name string
	in   string // the subtest that must fail
	make func() middleware.Store
	want string // in the output
}{
	{"nil", "", func() middleware.Store { return nil }, "the store is nil"},
	{"missing is an error", "store/missing", func() middleware.Store {
		return hooked{m: newMemory(), find: func(m *memory, token string) ([]byte, bool, error) {
			b, found, _ := m.Find(token)
			if !found {
				return nil, false, errors.New("no rows")
			}
			return b, true, nil
		}}
	}, "no rows"},
	{"deleting nothing is an error", "store/delete", func() middleware.Store {
		return hooked{m: newMemory(), delete: func(m *memory, token string) error {
			if _, found, _ := m.Find(token); !found {
				return errors.New("no rows")
			}
			return m.Delete(token)
		}}
	}, `Delete("acp:`},
	{"text", "store/values", func() middleware.Store {
		return hooked{m: newMemory(), commit: func(m *memory, token string, b []byte, expiry time.Time) error {
			s, _, _ := strings.Cut(string(b), "\x00")
			return m.Commit(token, []byte(s), expiry)
		}}
	}, "after a commit: \"a\"; want \"a\\x00b\""},
	{"empty is missing", "store/values", func() middleware.Store {
		return hooked{m: newMemory(), find: func(m *memory, token string) ([]byte, bool, error) {
			b, _, err := m.Find(token)
			return b, len(b) > 0, err
		}}
	}, "found is false; want the value \"\""},
	{"cut at 64 KiB", "store/values", func() middleware.Store {
		return hooked{m: newMemory(), commit: func(m *memory, token string, b []byte, expiry time.Time) error {
			return m.Commit(token, b[:min(len(b), 65535)], expiry)
		}}
	}, "(65535 bytes)"},
	{"first commit wins", "store/replace", func() middleware.Store {
		return hooked{m: newMemory(), commit: func(m *memory, token string, b []byte, expiry time.Time) error {
			if _, found, _ := m.Find(token); found {
				return nil
			}
			return m.Commit(token, b, expiry)
		}}
	}, "after a commit over another value"},
	{"no delete", "store/delete", func() middleware.Store {
		return hooked{m: newMemory(), delete: func(*memory, string) error { return nil }}
	}, "after its delete: found is true"},
	{"any case", "store/tokens", func() middleware.Store {
		return hooked{
			m: newMemory(),
			find: func(m *memory, token string) ([]byte, bool, error) {
				return m.Find(strings.ToLower(token))
			},
			commit: func(m *memory, token string, b []byte, expiry time.Time) error {
				return m.Commit(strings.ToLower(token), b, expiry)
			},
			delete: func(m *memory, token string) error { return m.Delete(strings.ToLower(token)) },
		}
	}, "store/tokens/case_of_one_letter"},
	{"tokens of 43 bytes", "store/tokens", func() middleware.Store {
		cut := func(token string) string { return token[:min(len(token), 43)] }
		return hooked{
			m:    newMemory(),
			find: func(m *memory, token string) ([]byte, bool, error) { return m.Find(cut(token)) },
			commit: func(m *memory, token string, b []byte, expiry time.Time) error {
				return m.Commit(cut(token), b, expiry)
			},
			delete: func(m *memory, token string) error { return m.Delete(cut(token)) },
		}
	}, "store/tokens/the_last_byte"},
	{"one buffer", "store/found_values_stay", func() middleware.Store { return &shared{memory: newMemory()} }, "the session of one user would turn into that of another"},
	{"never expires", "store/expiry", func() middleware.Store {
		return hooked{m: newMemory(), commit: func(m *memory, token string, b []byte, _ time.Time) error {
			return m.Commit(token, b, time.Now().Add(1000*time.Hour))
		}}
	}, "still finds a value 2s after it expired"},
	{"expires at once", "store/expiry", func() middleware.Store {
		return hooked{m: newMemory(), commit: func(m *memory, token string, b []byte, expiry time.Time) error {
			return m.Commit(token, b, expiry.Add(-2900*time.Millisecond))
		}}
	}, "users are signed out early"},
	{"seconds, rounded down", "store/past_expiry", func() middleware.Store {
		return hooked{m: newMemory(), commit: ttl(0, func(d time.Duration) time.Duration { return d.Truncate(time.Second) })}
	}, "300 ms left, over nothing"},
	{"a negative TTL is for ever", "store/past_expiry", func() middleware.Store {
		return hooked{m: newMemory(), commit: ttl(0, func(d time.Duration) time.Duration { return d })}
	}, "an hour too late, over a value"},
	{"what is past is ignored", "store/past_expiry", func() middleware.Store {
		return hooked{m: newMemory(), commit: func(m *memory, token string, b []byte, expiry time.Time) error {
			if time.Now().After(expiry) {
				return nil
			}
			return m.Commit(token, b, expiry)
		}}
	}, "over a value: found is true, value \"before\""},
	{"at most 30 days", "store/far_expiry", func() middleware.Store {
		return hooked{m: newMemory(), commit: func(m *memory, token string, b []byte, expiry time.Time) error {
			if time.Until(expiry) > 30*24*time.Hour {
				expiry = time.Unix(int64(time.Until(expiry).Seconds()), 0)
			}
			return m.Commit(token, b, expiry)
		}}
	}, "after a commit for 31 days"},
	{"the first expiry stays", "store/replaced_expiry", func() middleware.Store {
		return hooked{m: newMemory(), commit: func(m *memory, token string, b []byte, expiry time.Time) error {
			m.mu.Lock()
			e, found := m.entries[token]
			m.mu.Unlock()
			if found && time.Now().Before(e.expiry) {
				expiry = e.expiry
			}
			return m.Commit(token, b, expiry)
		}}
	}, "its first expiry, which a second commit moved away"},
	{"mixes up users", "store/own_tokens_in_parallel", func() middleware.Store {
		var last []byte
		var mu sync.Mutex
		return hooked{
			m: newMemory(),
			commit: func(m *memory, token string, b []byte, expiry time.Time) error {
				mu.Lock()
				last = b
				mu.Unlock()
				return m.Commit(token, b, expiry)
			},
			find: func(m *memory, token string) ([]byte, bool, error) {
				b, found, err := m.Find(token)
				mu.Lock()
				defer mu.Unlock()
				if strings.HasPrefix(string(b), "user ") {
					b = last
				}
				return b, found, err
			},
		}
	}, "16 users at the same time"},
	{"torn values", "store/one_token_in_parallel", func() middleware.Store {
		return hooked{m: newMemory(), commit: func(m *memory, token string, b []byte, expiry time.Time) error {
			if len(b) > 1000 && len(b) < 1016 {
				b[500] = 'z'
			}
			return m.Commit(token, b, expiry)
		}}
	}, "which nobody committed"},
	{"ignores contexts", "store/ended_context", func() middleware.Store { return forgetful{newMemory()} }, "FindCtx, found true, with a context that ended before"},
	{"other signatures", "store/methods", func() middleware.Store { return misnamed{hooked{m: newMemory()}} }, "middleware calls only a func(context.Context, string, time.Time) (bool, error)"},
	{"one of three", "store/methods", func() middleware.Store { return misnamed{hooked{m: newMemory()}} }, "has 1 of FindCtx, CommitCtx and DeleteCtx"},
	{"add in two steps", "add/in_parallel", func() middleware.Store {
		var looked atomic.Int32
		return adding{newMemory(), func(m *memory, ctx context.Context, token string, expiry time.Time) (bool, error) {
			_, found, err := m.FindCtx(ctx, token)
			for looked.Add(1); looked.Load() < 2; { // two have looked before one commits
				runtime.Gosched()
			}
			if found || err != nil {
				return false, err
			}
			return true, m.CommitCtx(ctx, token, nil, expiry)
		}}
	}, "what must happen once happens as often"},
	{"add always", "add/once", func() middleware.Store {
		return adding{newMemory(), func(m *memory, ctx context.Context, token string, expiry time.Time) (bool, error) {
			return true, m.CommitCtx(ctx, token, nil, expiry)
		}}
	}, "could be used twice"},
	{"add apart from the rest", "add/once", func() middleware.Store {
		apart := newMemory()
		return adding{newMemory(), func(_ *memory, ctx context.Context, token string, expiry time.Time) (bool, error) {
			return apart.Add(ctx, token, expiry)
		}}
	}, "after Add: found is false"},
	{"add never expires", "add/expires", func() middleware.Store {
		return adding{newMemory(), func(m *memory, ctx context.Context, token string, _ time.Time) (bool, error) {
			return m.Add(ctx, token, time.Now().Add(time.Hour))
		}}
	}, "it never expires, or each Add that answers false moves the expiry"},
	{"add moves the expiry", "add/expires", func() middleware.Store {
		return adding{newMemory(), func(m *memory, ctx context.Context, token string, expiry time.Time) (bool, error) {
			added, err := m.Add(ctx, token, expiry)
			if err == nil && !added {
				b, _, _ := m.Find(token)
				err = m.CommitCtx(ctx, token, b, expiry)
			}
			return added, err
		}}
	}, "Add of a token that was committed for 1 s"},
}
