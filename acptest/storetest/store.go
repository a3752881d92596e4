package storetest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/acp-go/acp/middleware"
)

const (
	patience = 10 * time.Second // for one call; middleware waits two
	skew     = time.Second      // between the store's clock and ours
	late     = 2 * time.Second  // an expired entry may still be seen: skew, rounding, our own delay
)

// Run checks that store does what middleware asks of a Store. Each failure says what was
// called, what came back and what a session would suffer from it.
//
// The forms with a context are tested in place of those without when the store has all
// three, and Add when the store has it, as middleware uses them.
func Run(t *testing.T, store middleware.Store) {
	t.Helper()
	if store == nil {
		t.Fatal("the store is nil")
	}
	t.Run("store", func(t *testing.T) {
		together(t, []part{
			{"methods", func(t *testing.T) { testMethods(t, newCalls(t, store)) }},
			{"missing", func(t *testing.T) { testMissing(newCalls(t, store)) }},
			{"values", func(t *testing.T) { testValues(t, store) }},
			{"replace", func(t *testing.T) { testReplace(newCalls(t, store)) }},
			{"delete", func(t *testing.T) { testDelete(newCalls(t, store)) }},
			{"tokens", func(t *testing.T) { testTokens(t, store) }},
			{"found values stay", func(t *testing.T) { testFoundStays(t, newCalls(t, store)) }},
			{"expiry", func(t *testing.T) { testExpiry(t, newCalls(t, store)) }},
			{"past expiry", func(t *testing.T) { testPastExpiry(t, store) }},
			{"far expiry", func(t *testing.T) { testFarExpiry(t, store) }},
			{"replaced expiry", func(t *testing.T) { testReplacedExpiry(newCalls(t, store)) }},
			{"own tokens in parallel", func(t *testing.T) { testParallelOwn(t, newCalls(t, store)) }},
			{"one token in parallel", func(t *testing.T) { testParallelShared(t, newCalls(t, store)) }},
			{"ended context", func(t *testing.T) { testEndedContext(t, newCalls(t, store)) }},
		})
	})
	if _, ok := store.(addStore); !ok {
		return // it is optional: the test of the methods says what follows
	}
	t.Run("add", func(t *testing.T) {
		together(t, []part{
			{"once", func(t *testing.T) { testAdd(t, newCalls(t, store)) }},
			{"in parallel", func(t *testing.T) { testAddParallel(t, newCalls(t, store)) }},
			{"expires", func(t *testing.T) { testAddExpires(t, store) }},
		})
	})
}

// part is one of several subtests.
type part struct {
	name string
	run  func(t *testing.T)
}

// together runs subtests at the same time, however few go test runs in parallel: most of
// the time they wait for something to expire.
func together(t *testing.T, parts []part) {
	var all sync.WaitGroup
	for _, p := range parts {
		all.Go(func() { t.Run(p.name, p.run) })
	}
	all.Wait()
}

type contextStore interface {
	FindCtx(ctx context.Context, token string) (b []byte, found bool, err error)
	CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error
	DeleteCtx(ctx context.Context, token string) error
}

type addStore interface {
	Add(ctx context.Context, token string, expiry time.Time) (added bool, err error)
}

// calls makes the calls that middleware makes, and fails the test when they fail.
type calls struct {
	t     *testing.T
	store middleware.Store
	ctx   contextStore // nil: the store has no such form
	adds  addStore     // nil: the store has no Add
	names names
}

// names are the methods in use, for failures.
type names struct{ find, commit, delete string }

func newCalls(t *testing.T, store middleware.Store) *calls {
	s := &calls{t: t, store: store, names: names{"Find", "Commit", "Delete"}}
	if c, ok := store.(contextStore); ok {
		s.ctx, s.names = c, names{"FindCtx", "CommitCtx", "DeleteCtx"}
	}
	s.adds, _ = store.(addStore)
	return s
}

// newToken has 60 bytes, and the characters that middleware uses.
func newToken() string {
	b := make([]byte, 42)
	_, _ = rand.Read(b) // never fails
	return "acp:" + base64.RawURLEncoding.EncodeToString(b)
}

// token is a new one, which is deleted when the test ends.
func (s *calls) token() string {
	token := newToken()
	s.t.Cleanup(func() { _ = s.tryDelete(context.Background(), token) })
	return token
}

func (s *calls) tryFind(ctx context.Context, token string) (b []byte, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if s.ctx != nil {
		return s.ctx.FindCtx(ctx, token)
	}
	return s.store.Find(token)
}

func (s *calls) tryCommit(ctx context.Context, token string, b []byte, expiry time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if s.ctx != nil {
		return s.ctx.CommitCtx(ctx, token, b, expiry)
	}
	return s.store.Commit(token, b, expiry)
}

func (s *calls) tryDelete(ctx context.Context, token string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if s.ctx != nil {
		return s.ctx.DeleteCtx(ctx, token)
	}
	return s.store.Delete(token)
}

func (s *calls) find(token string) (b []byte, found bool) {
	s.t.Helper()
	b, found, err := s.tryFind(context.Background(), token)
	if err != nil {
		s.t.Fatalf("%s(%q): %v", s.names.find, token, err)
	}
	if !found && len(b) > 0 {
		s.t.Errorf("%s(%q): found is false, with the value %s; want none", s.names.find, token, short(b))
	}
	return b, found
}

func (s *calls) commit(token string, b []byte, expiry time.Time) {
	s.t.Helper()
	if err := s.tryCommit(context.Background(), token, b, expiry); err != nil {
		s.t.Fatalf("%s(%q, %s, %s): %v", s.names.commit, token, short(b), relative(expiry), err)
	}
}

func (s *calls) delete(token string) {
	s.t.Helper()
	if err := s.tryDelete(context.Background(), token); err != nil {
		s.t.Fatalf("%s(%q): %v", s.names.delete, token, err)
	}
}

func (s *calls) add(token string, expiry time.Time) (added bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	added, err := s.adds.Add(ctx, token, expiry)
	if err != nil {
		s.t.Fatalf("Add(%q, %s): %v", token, relative(expiry), err)
	}
	return added
}

// has fails unless the token has the value.
func (s *calls) has(token string, want []byte, after string) {
	s.t.Helper()
	got, found := s.find(token)
	switch {
	case !found:
		s.t.Errorf("%s(%q) after %s: found is false; want the value %s", s.names.find, token, after, short(want))
	case string(got) != string(want):
		s.t.Errorf("%s(%q) after %s: %s; want %s", s.names.find, token, after, short(got), short(want))
	}
}

// hasNot fails when the token is there.
func (s *calls) hasNot(token, after string) {
	s.t.Helper()
	if b, found := s.find(token); found {
		s.t.Errorf("%s(%q) after %s: found is true, value %s; want false", s.names.find, token, after, short(b))
	}
}

// goneBy waits until the token is no longer found, and fails when it is still there at the limit.
func (s *calls) goneBy(token string, limit time.Time, what string) {
	s.t.Helper()
	s.until(limit, func() bool { _, found := s.find(token); return !found }, func() {
		s.t.Errorf("%s: %s still finds it %v after it should have been gone (or it never expires): "+
			"whoever has the cookie stays signed in", what, s.names.find, late)
	})
}

// until asks again and again until done says yes, and calls failed when it did not by the limit.
func (s *calls) until(limit time.Time, done func() bool, failed func()) {
	s.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for asked := time.Now(); !done(); asked = time.Now() {
		if asked.After(limit) { // not now: the answer may be older
			failed()
			return
		}
		<-tick.C
	}
}

// short is a value for a failure.
func short(b []byte) string {
	if len(b) > 32 {
		return fmt.Sprintf("%q… (%d bytes)", b[:32], len(b))
	}
	return fmt.Sprintf("%q", b)
}

// relative is a time for a failure.
func relative(at time.Time) string {
	if at.IsZero() {
		return "the zero time"
	}
	d := time.Until(at).Round(time.Millisecond)
	if d < 0 {
		return (-d).String() + " ago"
	}
	return "in " + d.String()
}

// testMethods finds methods that look as if middleware would call them, and which it does not.
func testMethods(t *testing.T, s *calls) {
	type optional struct {
		name string
		want reflect.Type
		in   bool
	}
	contexts, adds := reflect.TypeFor[contextStore](), reflect.TypeFor[addStore]()
	var methods []optional
	for _, in := range []reflect.Type{contexts, adds} {
		for m := range in.NumMethod() {
			methods = append(methods, optional{in.Method(m).Name, in.Method(m).Type, in == contexts})
		}
	}
	have := 0
	for _, m := range methods {
		got := reflect.ValueOf(s.store).MethodByName(m.name)
		switch {
		case !got.IsValid():
		case got.Type() != m.want:
			t.Errorf("%s is a %v: middleware calls only a %v", m.name, got.Type(), m.want)
		case m.in:
			have++
		}
	}
	if have != 0 && have != contexts.NumMethod() {
		t.Errorf("the store has %d of FindCtx, CommitCtx and DeleteCtx: middleware uses them only when all three are there", have)
	}
	if s.adds == nil {
		t.Log("the store has no Add: what must happen once (a callback, a logout token) is best effort " +
			"between processes that act in the same moment")
	}
}
