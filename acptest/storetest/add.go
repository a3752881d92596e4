package storetest

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/acp-go/acp/middleware"
)

func testAdd(t *testing.T, s *calls) {
	token := s.token()
	if !s.add(token, inAnHour()) {
		t.Errorf("Add(%q) of a new token: false; want true", token)
	}
	if s.add(token, inAnHour()) {
		t.Errorf("Add(%q) of a token that was added before: true; want false: a callback or a logout token could be used twice", token)
	}
	if _, found := s.find(token); !found {
		t.Errorf("%s(%q) after Add: found is false; want true", s.names.find, token)
	}
	s.commit(token, []byte("value"), inAnHour())
	s.has(token, []byte("value"), "a commit over an added token")

	committed := s.token()
	s.commit(committed, []byte("value"), inAnHour())
	if s.add(committed, inAnHour()) {
		t.Errorf("Add(%q) of a token that was committed before: true; want false", committed)
	}
	s.has(committed, []byte("value"), "an Add that answered false")

	s.delete(committed)
	if !s.add(committed, inAnHour()) {
		t.Errorf("Add(%q) of a token that was deleted: false; want true", committed)
	}
}

func testAddParallel(t *testing.T, s *calls) {
	const callers, rounds = 64, 4
	for range rounds {
		token := s.token()
		var all sync.WaitGroup
		var added atomic.Int32
		start := make(chan struct{})
		for range callers {
			all.Go(func() {
				<-start
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				ok, err := s.adds.Add(ctx, token, inAnHour())
				if err != nil {
					t.Errorf("Add, by %d at the same time: %v", callers, err)
				}
				if ok {
					added.Add(1)
				}
			})
		}
		close(start)
		all.Wait()
		if n := added.Load(); n != 1 {
			t.Fatalf("Add of one token by %d at the same time answered true %d times; want once: "+
				"what must happen once happens as often", callers, n)
		}
	}
}

func testAddExpires(t *testing.T, store middleware.Store) {
	again := func(s *calls, token string, limit time.Time, what string) {
		// Each try that answers false must leave the expiry where it was.
		s.until(limit, func() bool { return s.add(token, inAnHour()) }, func() {
			t.Errorf("%s: Add still answers false %v after it should have been gone: it never expires, "+
				"or each Add that answers false moves the expiry", what, late)
		})
	}
	parts := []part{{"added", func(t *testing.T) {
		s := newCalls(t, store)
		token, expiry := s.token(), time.Now().Add(2*time.Second)
		s.add(token, expiry)
		if s.add(token, inAnHour()) && time.Now().Add(skew).Before(expiry) {
			t.Errorf("Add(%q) %v before the token expires: true; want false", token, time.Until(expiry).Round(time.Millisecond))
		}
		again(s, token, expiry.Add(late), "Add of a token that was added for 2 s")
	}}, {"committed", func(t *testing.T) {
		s := newCalls(t, store)
		token, expiry := s.token(), time.Now().Add(time.Second)
		s.commit(token, []byte("value"), expiry)
		again(s, token, expiry.Add(late), "Add of a token that was committed for 1 s")
	}}}
	for _, left := range []time.Duration{time.Millisecond, 1, 0, -1, -time.Second, -time.Hour} {
		parts = append(parts, part{left.String() + " left", func(t *testing.T) {
			s := newCalls(t, store)
			token := s.token()
			expiry := time.Now().Add(left)
			// Whether something that has expired counts as added is the store's own affair.
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			_, _ = s.adds.Add(ctx, token, expiry)
			again(s, token, time.Now().Add(late), "Add of a token that was added with "+left.String()+" left")
		}})
	}
	together(t, parts)
}
