package middleware

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/acp-go/acp/acpclient"
)

const (
	refreshTimeout = 10 * time.Second // of who needs the new token, and of all that comes before the request
	// An answer that comes later than its caller left is kept all the same: a refresh token that is
	// sent again, because nobody heard that it was used, ends the session where re-use counts as theft.
	// Not longer, because ACP replays its answer for a minute, to whom it did not reach.
	answerTimeout = 45 * time.Second
	revokeTimeout = 2 * time.Second
	earlyWait     = 2 * time.Second // for a new token while the old one still serves
	arrival       = time.Second     // what a token may need on its way to who judges it
	maxMargin     = time.Minute     // before its end a token counts as stale
	maxAtOnce     = 32              // refreshes in flight
	minInterval   = time.Second     // between two refreshes of one session
)

// AccessToken is the session's access token, refreshed when its time is nearly over. It
// waits for the authorization server then, 11 s at most, and for ctx; with a Store only in the
// token's last second, and afterwards. Parallel calls for one session
// share one refresh, which goes on when its caller leaves. It may be called from any goroutine. Call it
// before the response is written: the new tokens go into the session's cookie then, and otherwise with the
// next response of this process.
//
// Errors: ErrSessionEnded when the server refused the refresh, and the session is over,
// or when the token expired and there is no refresh token; acpclient's errors when the
// refresh failed and the token no longer serves, and the session stays. WriteError answers all of them.
//
// A token that is bound to acpclient.Config.DPoP is good for nothing without a proof, which HTTPClient makes.
func (s *Session) AccessToken(ctx context.Context) (string, error) {
	t, err := s.usable(ctx)
	if err != nil {
		return "", err
	}
	return t.AccessToken, nil
}

// usable are the tokens whose access token AccessToken gives.
func (s *Session) usable(ctx context.Context) (*acpclient.Tokens, error) {
	if s == nil || s.live == nil {
		return nil, ErrSessionEnded
	}
	l := s.live
	if l.auth == nil {
		r := l.current()
		if expired(r, wallClock()) {
			return nil, errTokenExpired
		}
		return r.tokens(), nil
	}
	r, err := l.auth.refresher.use(ctx, l.current())
	if err != nil {
		if errors.Is(err, ErrSessionEnded) && !errors.Is(err, errTokenExpired) {
			l.clear()
		}
		return nil, err
	}
	l.adopt(r)
	return r.tokens(), nil
}

// errTokenExpired ends the use of the token, not the session.
var errTokenExpired = &problem{
	status: http.StatusUnauthorized, reason: "access_token_expired",
	detail: "the access token expired, and there is no refresh token", kind: ErrSessionEnded,
}

// refresher renews the tokens of all sessions of a process.
type refresher struct {
	client *acpclient.Client
	memory *memory
	now    func() time.Time
	until  func(*record) time.Time // when what is remembered of a session may be forgotten
	slots  chan struct{}
	shelf  *shelf // nil: sessions live in cookies
	lease  Lease  // nil: none
	log    *slog.Logger

	sleep func(time.Duration)

	mu      sync.Mutex // also makes "ended" and "newest tokens" one decision
	flights map[sessionID]*flight
	saving  map[sessionID]bool // whose tokens are not in the Store yet
	running sync.WaitGroup
	closed  bool
}

// flight is one refresh. rec and err are read after done.
type flight struct {
	done chan struct{}
	rec  *record
	err  error
}

func newRefresher(c *acpclient.Client, m *memory, now func() time.Time, until func(*record) time.Time) *refresher {
	return &refresher{
		client: c, memory: m, now: now, until: until, sleep: time.Sleep,
		slots: make(chan struct{}, maxAtOnce), flights: map[sessionID]*flight{}, saving: map[sessionID]bool{},
	}
}

func expired(r *record, now time.Time) bool {
	return !r.tokens().Expiry.IsZero() && !now.Before(r.tokens().Expiry)
}

// stale holds from a minute, or a fifth of the lifetime, before the token's end. The
// sessions' margins differ by a fifth, so that those of one moment do not refresh at once. A
// token that was refreshed just now is not stale, whatever the server says of its lifetime.
func stale(r *record, now time.Time) bool {
	if r.tokens().Expiry.IsZero() {
		return false
	}
	if since := now.Sub(r.issued); r.generation > 0 && 0 <= since && since < minInterval {
		return false
	}
	margin := min(maxMargin, max(0, r.tokens().Expiry.Sub(r.issued))/5)
	margin -= margin / 5 * time.Duration(r.id[0]) / 255
	return !now.Add(margin).Before(r.tokens().Expiry)
}

// use returns a record whose access token serves.
func (f *refresher) use(ctx context.Context, r *record) (*record, error) {
	var began time.Time
	for {
		known, running, err := f.start(ctx, r)
		if running == nil || err != nil {
			return known, err
		}
		if began.IsZero() {
			began = f.now()
		}
		r, err = f.await(ctx, known, running, refreshTimeout-f.now().Sub(began))
		// What came so late that it has expired again does not serve.
		if err != nil || !expired(r, f.now()) || !stale(r, f.now()) {
			return r, err
		}
	}
}

// await waits for a refresh of r, and not for long while r still serves.
func (f *refresher) await(ctx context.Context, r *record, running *flight, patience time.Duration) (*record, error) {
	serves := !expired(r, f.now())
	if f.shelf != nil && !expired(r, f.now().Add(arrival)) {
		return r, nil // the next request finds the new one in the Store
	}
	if serves {
		patience = earlyWait
	}
	enough := time.NewTimer(patience)
	defer enough.Stop()
	select {
	case <-running.done:
	case <-enough.C:
		if serves {
			return r, nil
		}
		return nil, errNoAnswer
	case <-ctx.Done():
		return nil, fmt.Errorf("middleware: waiting for a refresh: %w", ctx.Err())
	}
	switch {
	case running.err == nil:
		return running.rec, nil
	case serves && !errors.Is(running.err, ErrSessionEnded):
		return r, nil
	}
	return nil, running.err
}

// errNoAnswer is for who waits no longer: the refresh may go on.
var errNoAnswer = unavailable("the server has not answered the refresh")

func unavailable(detail string) error {
	return &problem{status: http.StatusServiceUnavailable, reason: "unavailable", detail: detail, kind: acpclient.ErrUnavailable}
}

// start decides, in one step, whether there is a newer token, a refresh to wait for, or
// one to start.
func (f *refresher) start(ctx context.Context, r *record) (*record, *flight, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.memory.hasEnded(r) {
		return nil, nil, errEnded
	}
	r = f.memory.newest(r)
	now := f.now()
	if !stale(r, now) {
		return r, nil, nil
	}
	refused := func(err error) (*record, *flight, error) {
		if expired(r, now) {
			return nil, nil, err
		}
		return r, nil, nil
	}
	if r.tokens().RefreshToken == "" {
		return refused(errTokenExpired)
	}
	if running, ok := f.flights[r.id]; ok {
		return r, running, nil
	}
	if f.closed {
		return refused(acpclient.ErrClosed)
	}
	if b, ok := f.memory.backoffs.get(r.id); ok && now.Before(b.until) {
		return refused(&problem{
			status: statusOf(b.err), reason: reasonOf(b.err), detail: "the refresh failed before, and waits",
			cause: b.err, retryAfter: b.until.Sub(now),
		})
	}
	running := &flight{done: make(chan struct{})}
	f.flights[r.id] = running
	f.running.Go(func() { f.fly(context.WithoutCancel(ctx), running, r) })
	return r, running, nil
}

// fly runs detached from the request that started it: once the refresh token is sent,
// the answer must be kept.
func (f *refresher) fly(ctx context.Context, running *flight, r *record) {
	next, err := f.renew(ctx, r)
	revoke := f.land(running, r, next, err)
	close(running.done)
	if revoke {
		f.revoke(next.tokens())
	}
}

// renew gives the session's newest tokens: with an error ErrSessionEnded those that nobody
// may use.
func (f *refresher) renew(ctx context.Context, r *record) (next *record, err error) {
	defer func() { // out here a panic of a transport would end the program
		if p := recover(); p != nil {
			next, err = nil, fmt.Errorf("middleware: refresh panicked: %s", clean(fmt.Sprint(p)))
		}
	}()
	waiting, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	case <-waiting.Done():
		return nil, unavailable("too many refreshes at once")
	}
	if f.shelf != nil {
		return f.renewStored(ctx, waiting, r)
	}
	return f.ask(ctx, r)
}

// ask has all of its time, however long it was waited for before: a refresh token that
// was sent to be cut off could be used up, and its answer lost.
func (f *refresher) ask(ctx context.Context, r *record) (*record, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	asked := f.now()
	t, err := f.client.Refresh(ctx, r.tokens())
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, errNoAnswer
	case err != nil:
		return nil, err
	}
	return r.refreshed(t, asked), nil
}

// refreshed is the record with new tokens, which were asked for at a time: their own counts
// from there.
func (r *record) refreshed(t *acpclient.Tokens, asked time.Time) *record {
	next := &record{
		id: r.id, generation: r.generation + 1, created: r.created, seen: r.seen,
		issued: asked.Truncate(time.Millisecond), ticket: r.ticket,
	}
	next.hold(t)
	return next
}

// revoke ends tokens that nobody will use, at the server: best effort, and nobody waits.
func (f *refresher) revoke(t *acpclient.Tokens) {
	f.running.Go(func() {
		defer func() { _ = recover() }() // out here a panic of a transport would end the program
		ctx, cancel := context.WithTimeout(context.Background(), revokeTimeout)
		defer cancel()
		_ = f.client.Revoke(ctx, t)
	})
}

// land keeps the result before anybody sees it. A logout that came in between wins, and the
// new tokens are then to be revoked.
func (f *refresher) land(running *flight, r, next *record, err error) (revoke bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.flights, r.id)
	switch {
	case err == nil:
		if f.memory.hasEnded(r) {
			running.err = errEnded
			return true
		}
		f.memory.latest.put(r.id, next, f.until(r))
		f.memory.backoffs.remove(r.id)
		running.rec = next
	case errors.Is(err, ErrSessionEnded):
		f.memory.end(r.id, everyGeneration, f.until(r))
		running.err = err
		return next != nil
	case fatal(err):
		f.memory.end(r.id, r.generation, f.until(r))
		running.err = &problem{status: http.StatusUnauthorized, reason: "session_ended", kind: ErrSessionEnded, cause: err}
	default:
		b, _ := f.memory.backoffs.get(r.id)
		b.failures++
		b.err, b.until = err, f.now().Add(pause(b.failures, err))
		f.memory.backoffs.put(r.id, b, f.until(r))
		running.err = err
	}
	return false
}

// end ends a session in this process: up to a generation, or for good. It returns the
// newest tokens that were known.
func (f *refresher) end(r *record, upTo uint64) *record {
	f.mu.Lock()
	defer f.mu.Unlock()
	r = f.memory.newest(r)
	f.memory.end(r.id, upTo, f.until(r))
	return r
}

func (f *refresher) isClosed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed
}

func (f *refresher) close(ctx context.Context) error {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	done := make(chan struct{})
	go func() {
		f.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
