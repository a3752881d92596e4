package acpclient

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	maxInquiries = 32              // introspections at one time
	maxWaiting   = 1024            // that wait for their turn; more are refused as unavailable
	refusalTTL   = 3 * time.Second // how long a token that the server refused stays refused
	maxRefusals  = 10_000          // that are remembered
)

var (
	errNotB64Token = invalidToken("token_malformed", "has characters that a token cannot have")
	errTooMany     = &failure{kind: ErrUnavailable, reason: "unavailable", detail: "too many introspections at once", retryAfter: time.Second}
)

// introspector asks the server about tokens: about one token at one time once.
type introspector struct {
	verifier *Verifier
	ttl      time.Duration
	turns    chan struct{}

	mu      sync.Mutex
	flights map[digest]*inquiry
	refused map[digest]refusal
	order   []digest // of refused, oldest first
	most    int      // refusals that are remembered
	closed  bool
	running sync.WaitGroup
}

// refusal is what the server's answer made of a token that is not good.
type refusal struct {
	err   error // matches ErrInvalidToken
	until time.Time
}

// inquiry is one introspection, shared by all who wait for it. token and err are read
// after done.
type inquiry struct {
	digest digest
	done   chan struct{}
	cancel context.CancelFunc
	token  *AccessToken
	err    error
}

func newIntrospector(v *Verifier, ttl time.Duration, most int) *introspector {
	return &introspector{
		verifier: v, ttl: ttl, most: min(most, maxRefusals), turns: make(chan struct{}, maxInquiries),
		flights: map[digest]*inquiry{}, refused: map[digest]refusal{},
	}
}

// introspect judges a token by what the server says of it.
func (v *Verifier) introspect(ctx context.Context, token string) (*AccessToken, error) {
	if !isB64Token(token) {
		return nil, errNotB64Token
	}
	room := v.rooms.Get().(*scratch)
	room.token = append(room.token[:0], token...)
	d := v.fingerprints.digest(room)
	v.rooms.Put(room)
	if v.good != nil {
		if a, err := v.recall(ctx, &d); a != nil || err != nil {
			return a, err
		}
	}
	a, f, err := v.inquire.start(ctx, d, token)
	if f == nil {
		return a, err
	}
	select {
	case <-f.done:
		return f.token, f.err
	case <-ctx.Done():
		return nil, unavailable(ctx.Err(), 0)
	}
}

// start joins the inquiry about a token, or begins one, unless the verdict is known.
func (i *introspector) start(ctx context.Context, d digest, token string) (*AccessToken, *inquiry, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return nil, nil, ErrClosed
	}
	if r, ok := i.refused[d]; ok && i.verifier.now().Before(r.until) {
		return nil, nil, r.err
	}
	if f := i.flights[d]; f != nil {
		return nil, f, nil
	}
	if i.verifier.good != nil { // one may have landed since the caller looked
		if a, err := i.verifier.recall(ctx, &d); a != nil || err != nil {
			return a, nil, err
		}
	}
	if len(i.flights) >= maxInquiries+maxWaiting {
		return nil, nil, errTooMany
	}
	// Nobody's request carries the inquiry: one that is cancelled must not fail the others.
	own, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	f := &inquiry{digest: d, done: make(chan struct{}), cancel: cancel}
	i.flights[d] = f
	// A transport or an Introspector that does not heed the deadline must not hold up those who wait.
	stop := context.AfterFunc(own, func() {
		i.land(f, nil, time.Time{}, unavailable(context.DeadlineExceeded, time.Second))
	})
	i.running.Go(func() {
		defer cancel()
		g, asked, err := i.fly(own, token)
		stop()
		i.land(f, g, asked, err)
	})
	return nil, f, nil
}

// fly waits for its turn, and asks.
func (i *introspector) fly(ctx context.Context, token string) (g *goodToken, asked time.Time, err error) {
	select {
	case i.turns <- struct{}{}:
	case <-ctx.Done():
		return nil, asked, unavailable(ctx.Err(), time.Second)
	}
	defer func() { <-i.turns }()
	asked = i.verifier.now()
	g, err = i.ask(ctx, token)
	return g, asked, err
}

// land gives the answer to all who wait, and remembers it, unless the inquiry has landed before. Its
// time counts from when the server was asked: it may have been revoked since.
func (i *introspector) land(f *inquiry, g *goodToken, asked time.Time, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.flights[f.digest] != f {
		return
	}
	delete(i.flights, f.digest)
	switch {
	case err == nil:
		f.token = &g.token
		g.digest, g.until = f.digest, asked.Add(i.ttl)
		if v, now := i.verifier, i.verifier.now(); v.good != nil && now.Before(g.until) {
			v.good.put(g, now)
		}
	case i.closed:
		f.err = ErrClosed
	default:
		f.err = err
		i.refuse(f.digest, refusal{err, asked.Add(min(refusalTTL, i.ttl))})
	}
	close(f.done)
}

// refuse remembers a refusal, but nothing that says nothing of the token.
func (i *introspector) refuse(d digest, r refusal) {
	now := i.verifier.now()
	if i.most == 0 || !errors.Is(r.err, ErrInvalidToken) || !now.Before(r.until) {
		return
	}
	for len(i.order) > 0 && (len(i.order) >= i.most || !now.Before(i.refused[i.order[0]].until)) {
		delete(i.refused, i.order[0])
		i.order = i.order[1:]
	}
	if _, there := i.refused[d]; !there {
		i.order = append(i.order, d)
	}
	i.refused[d] = r
}

// close ends what is under way, and waits for it, but not for ever. A nil *introspector has
// nothing to end.
func (i *introspector) close() {
	if i == nil {
		return
	}
	i.mu.Lock()
	i.closed = true
	for _, f := range i.flights {
		f.cancel()
	}
	i.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		i.running.Wait()
		close(ended)
	}()
	patience := time.NewTimer(keyPatience)
	defer patience.Stop()
	select {
	case <-ended:
	case <-patience.C:
	}
}
