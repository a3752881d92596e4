package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

// Each user sees the own session.
func testParallelOwn(t *testing.T, s *calls) {
	const users, rounds = 16, 10
	ctx := context.Background()
	tokens := make([]string, users)
	for user := range users {
		tokens[user] = s.token()
	}
	// all lets every user do the same, and ends the test when that went wrong for one.
	all := func(do func(user int) error) {
		t.Helper()
		var wait sync.WaitGroup
		for user := range users {
			wait.Go(func() {
				if err := do(user); err != nil {
					t.Errorf("%d users at the same time, each with a token of its own: %v", users, err)
				}
			})
		}
		wait.Wait()
		if t.Failed() {
			t.FailNow()
		}
	}
	for round := range rounds {
		value := func(user int) []byte { return fmt.Appendf(nil, "user %d round %d", user, round) }
		all(func(user int) error { return s.tryCommit(ctx, tokens[user], value(user), inAnHour()) })
		all(func(user int) error {
			got, found, err := s.tryFind(ctx, tokens[user])
			if err != nil || !found || !bytes.Equal(got, value(user)) {
				return fmt.Errorf("%s: found %t, value %s, error %v; want %s", s.names.find, found, short(got), err, short(value(user)))
			}
			return nil
		})
		all(func(user int) error { return s.tryDelete(ctx, tokens[user]) })
		all(func(user int) error {
			if _, found, err := s.tryFind(ctx, tokens[user]); found || err != nil {
				return fmt.Errorf("%s after the delete: found %t, error %v", s.names.find, found, err)
			}
			return nil
		})
	}
}

// Requests of one browser write and read one session: each reads a value that somebody wrote, whole.
func testParallelShared(t *testing.T, s *calls) {
	const requests, rounds = 16, 10
	token := s.token()
	value := func(n int) []byte { return bytes.Repeat([]byte{byte('a' + n)}, 1000+n) }
	s.commit(token, value(0), inAnHour())
	var all sync.WaitGroup
	for n := range requests {
		all.Go(func() {
			for range rounds {
				if err := s.tryCommit(context.Background(), token, value(n), inAnHour()); err != nil {
					t.Errorf("%s by %d at the same time: %v", s.names.commit, requests, err)
					return
				}
				got, found, err := s.tryFind(context.Background(), token)
				if err != nil || !found {
					t.Errorf("%s while %d commit: found %t, error %v; want one of their values", s.names.find, requests, found, err)
					return
				}
				if len(got) < 1000 || len(got) >= 1000+requests || !bytes.Equal(got, value(len(got)-1000)) {
					t.Errorf("%s while %d commit: %s, which nobody committed", s.names.find, requests, short(got))
					return
				}
			}
		})
	}
	all.Wait()
}

// A context that has ended is an error. "Not found" would sign the user out, and no error
// would let middleware believe that something was stored.
func testEndedContext(t *testing.T, s *calls) {
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	late, cancelLate := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
	defer cancelLate()
	for _, ctx := range []context.Context{cancelled, late} {
		if s.ctx != nil {
			token := s.token()
			s.commit(token, []byte("value"), inAnHour())
			_, found, err := s.ctx.FindCtx(ctx, token)
			wantEnded(t, ctx, fmt.Sprintf("FindCtx, found %t", found), err)
			wantEnded(t, ctx, "CommitCtx", s.ctx.CommitCtx(ctx, s.token(), []byte("value"), inAnHour()))
			wantEnded(t, ctx, "DeleteCtx", s.ctx.DeleteCtx(ctx, token))
		}
		if s.adds != nil {
			added, err := s.adds.Add(ctx, s.token(), inAnHour())
			wantEnded(t, ctx, fmt.Sprintf("Add, added %t", added), err)
		}
	}
	if s.ctx != nil || s.adds != nil { // and whoever comes next is served
		token := s.token()
		s.commit(token, []byte("value"), inAnHour())
		s.has(token, []byte("value"), "calls whose context had ended")
	}
}

func wantEnded(t *testing.T, ctx context.Context, call string, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s, with a context that ended before (%v): no error", call, ctx.Err())
	} else if !errors.Is(err, ctx.Err()) {
		t.Errorf("%s, with a context that ended before: the error %q does not match %v", call, err, ctx.Err())
	}
}
