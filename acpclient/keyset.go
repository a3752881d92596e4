package acpclient

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"
)

const (
	keyFetchTimeout = 5 * time.Second
	keyPatience     = 500 * time.Millisecond // what a request with a known key waits, at least, once the set's age is over
	keyCoolDown     = 30 * time.Second       // between fetches that a token forces in vain

	minKeyAge     = 5 * time.Second
	maxKeyAge     = 24 * time.Hour
	defaultKeyAge = 15 * time.Minute

	maxKeyTries = 4 // keys tried for one token
)

var (
	errKeyNotFound = invalidToken("key_not_found", "no key of the server's set is for this token")
	errSignature   = invalidToken("signature", "")
)

// keySet is the server's key set, kept through rotations and outages. Requests read it
// without a lock; fetches happen one at a time, each on a context of its own, and only
// because a request came: an idle process is silent.
type keySet struct {
	fetch func(ctx context.Context) (body []byte, maxAge time.Duration, ok bool, err error)
	o     keySetOptions
	state atomic.Pointer[keyState]
}

// keySetOptions are the key set's settings; all are needed.
type keySetOptions struct {
	maxStale time.Duration // how long keys serve after the last fetch that succeeded
	now      func() time.Time
	log      *slog.Logger
	jitter   func() float64 // in [0,1)
}

// keyState is all that a request needs to know. It is replaced, never changed.
type keyState struct {
	keys     *keys     // nil until a fetch succeeds
	flight   *keyFetch // nil when none is under way
	failures int       // fetches that failed since one succeeded
	retryAt  time.Time // no fetch before it, since the last one failed
	cause    error     // why it failed
	hung     bool      // the last fetch was slow, and failed: nobody waits for the next
	problems string    // with the keys, as last logged
	closed   bool

	// Until these times no token forces a fetch: none at all, none by its signature.
	idCoolDown, signatureCoolDown time.Time
}

// keys is what one fetch brought.
type keys struct {
	all       []*key
	byID      map[string][]*key
	refreshAt time.Time // from here on they are fetched anew, in the background
	expires   time.Time // from here on only while they cannot be fetched
	limit     time.Time // from here on not at all
	took      time.Duration
}

// patience is how long a fetch may take before it is slow: a server that needs its time is
// given it, so that a key that it withdrew does not serve meanwhile.
func (k *keys) patience() time.Duration {
	if k == nil {
		return keyPatience
	}
	return min(max(2*k.took, keyPatience), keyFetchTimeout-keyPatience)
}

// wanted is what a token says about its key; the zero value wants none.
type wanted struct {
	alg, kid string
	hasKid   bool
}

type verdict int

const (
	good    verdict = iota
	bad             // no key that fits made the signature
	misfit          // the id is known, but its key is not for this algorithm
	unknown         // no key has this id; for a token without one: no key fits
)

func newKeySet(fetch func(ctx context.Context) (body []byte, maxAge time.Duration, ok bool, err error), o keySetOptions) *keySet {
	s := &keySet{fetch: fetch, o: o}
	s.state.Store(&keyState{})
	return s
}

// verify checks one JWS. It returns the key that made the signature, and the set that
// holds it. The error matches ErrInvalidToken (reasons key_not_found and signature),
// ErrUnavailable when that cannot be known now, or ErrClosed.
func (s *keySet) verify(ctx context.Context, t *jws) (signer *key, in *keys, err error) {
	want := wanted{t.alg, t.kid, t.hasKid}
	set, fresh, err := s.current(ctx, want)
	if err != nil {
		return nil, nil, err
	}
	v, signer := set.judge(t)
	if v != good && !fresh {
		var newer *keys
		if v == unknown {
			newer, err = s.forID(ctx, set, want)
		} else {
			newer = s.forSignature(ctx, set)
		}
		if err != nil {
			return nil, nil, err
		}
		if newer != nil {
			set = newer
			v, signer = newer.judge(t)
		}
	}
	switch v {
	case good:
		return signer, set, nil
	case bad:
		return nil, nil, errSignature
	}
	return nil, nil, errKeyNotFound
}

// still tells whether a key that made a signature serves: in is the set that it was last
// known to be in, and the result the one that it is in now, nil when it is in none. It
// waits no longer than verify does for a token whose key is known.
func (s *keySet) still(ctx context.Context, signer *key, in *keys, now time.Time) (*keys, error) {
	if st := s.state.Load(); st.keys == in && !st.closed && now.Before(in.refreshAt) && now.Before(in.limit) {
		return in, nil // as current has it, for nearly all requests
	}
	set, _, err := s.current(ctx, wanted{})
	if err != nil || set == in || set.holds(signer) {
		return set, err
	}
	return nil, nil
}

// ready returns nil once there are keys that may serve.
func (s *keySet) ready(ctx context.Context) error {
	_, _, err := s.current(ctx, wanted{})
	return err
}

// current returns the keys to judge by. fresh means that they were asked for after the
// request came, so that asking again is no use. It waits only while no keys may serve,
// and for a moment once their age is over.
func (s *keySet) current(ctx context.Context, want wanted) (set *keys, fresh bool, err error) {
	for {
		st, now := s.state.Load(), s.o.now()
		if st.closed {
			return nil, false, ErrClosed
		}
		serve := st.keys != nil && now.Before(st.keys.limit)
		if serve && now.Before(st.keys.refreshAt) {
			return st.keys, false, nil
		}
		f, mine := st.flight, false
		if f == nil && !now.Before(st.retryAt) {
			if f = s.start(st, want, false); f == nil {
				continue // somebody was faster
			}
			mine = true
		}
		switch {
		case !serve && f == nil:
			return nil, false, unavailable(st.cause, st.retryAt.Sub(now))
		case !serve:
			set, err := f.wait(ctx)
			if err != nil {
				return nil, false, s.waited(err)
			}
			return set, mine, nil
		case f == nil || st.hung || now.Before(st.keys.expires):
			return st.keys, false, nil
		}
		// A key that was withdrawn shall not serve because the server takes a moment,
		// and the others shall not fail because it takes long.
		if err := f.waitShort(ctx); err != nil {
			return nil, false, s.waited(err)
		}
		if set := f.result(); set != nil {
			return set, mine, nil
		}
		return st.keys, false, nil
	}
}

// forID returns the keys that a forced fetch brought for an id that set does not know;
// nil means that none may be made now. An error means that it failed, or may only be
// made later.
func (s *keySet) forID(ctx context.Context, set *keys, want wanted) (*keys, error) {
	joined := false
	for {
		st, now := s.state.Load(), s.o.now()
		switch {
		case st.closed:
			return nil, ErrClosed
		case st.keys != set && st.keys.knows(want):
			return st.keys, nil
		case now.Before(st.idCoolDown):
			return nil, nil
		case st.flight == nil && now.Before(st.retryAt):
			return nil, unavailable(st.cause, st.retryAt.Sub(now))
		}
		f, mine := st.flight, false
		if f == nil {
			if f = s.start(st, want, false); f == nil {
				continue
			}
			mine = true
		}
		newer, err := f.wait(ctx)
		if err != nil {
			return nil, s.waited(err)
		}
		// A fetch that was under way when the request came may have missed a key that
		// was published since. The next one cannot have.
		if mine || joined || newer.knows(want) {
			return newer, nil
		}
		joined = true
	}
}

// forSignature returns the keys that came after set, whose keys did not make a
// signature, or nil when there are none: then the signature is bad.
func (s *keySet) forSignature(ctx context.Context, set *keys) *keys {
	for {
		st, now := s.state.Load(), s.o.now()
		cooling := now.Before(st.idCoolDown) || now.Before(st.signatureCoolDown)
		switch {
		case st.keys != set:
			return st.keys
		case st.flight != nil && (st.flight.forSignature || !cooling):
			if st.flight.waitShort(ctx) != nil {
				return nil
			}
			return st.flight.result()
		case st.flight != nil || cooling || st.closed || now.Before(st.retryAt):
			return nil
		}
		if f := s.start(st, wanted{}, true); f != nil {
			newer, _ := f.wait(ctx)
			return newer
		}
	}
}

// waited is the error of a request that waited for a fetch in vain.
func (s *keySet) waited(cause error) error {
	if errors.Is(cause, ErrClosed) {
		return ErrClosed
	}
	return unavailable(cause, s.state.Load().retryAt.Sub(s.o.now()))
}

func (s *keySet) closed() bool { return s.state.Load().closed }

// close ends a fetch that is under way. Whatever comes later fails with ErrClosed.
func (s *keySet) close() {
	for {
		st := s.state.Load()
		if !s.state.CompareAndSwap(st, &keyState{closed: true}) {
			continue
		}
		if st.flight != nil {
			st.flight.land(nil, ErrClosed)
			st.flight.abandon()
		}
		return
	}
}
