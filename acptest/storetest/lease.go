package storetest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/acp-go/acp/middleware"
)

const (
	shortly = 500 * time.Millisecond // long enough to see that somebody waits
	renewed = 8 * time.Second        // longer than a holder that died keeps a lease
)

// RunLease checks that a Lease does what middleware asks of it. Give it one value for each
// process that would share it, such as two clients of one server, or a single one. It
// takes about ten seconds. That a holder that died loses the lease it cannot see: end a
// process, and look.
func RunLease(t *testing.T, lease middleware.Lease, others ...middleware.Lease) {
	t.Helper()
	leases := append([]middleware.Lease{lease}, others...)
	for n, l := range leases {
		if l == nil {
			t.Fatalf("lease %d of %d is nil", n+1, len(leases))
		}
	}
	t.Run("lease", func(t *testing.T) {
		together(t, []part{
			{"one holder", func(t *testing.T) { testOneHolder(&holders{t, leases}) }},
			{"keys", func(t *testing.T) { testLeaseKeys(&holders{t, leases}) }},
			{"waits", func(t *testing.T) { testLeaseWaits(&holders{t, leases}) }},
			{"release twice", func(t *testing.T) { testReleaseTwice(&holders{t, leases}) }},
			{"renewed while held", func(t *testing.T) { testLeaseRenewed(&holders{t, leases}) }},
			{"ended context", func(t *testing.T) { testLeaseEndedContext(&holders{t, leases}) }},
			{"outlives its context", func(t *testing.T) { testLeaseOutlivesContext(&holders{t, leases}) }},
		})
	})
}

// holders are the processes that share a lease.
type holders struct {
	t      *testing.T
	leases []middleware.Lease
}

// of is the lease of the n-th process.
func (h *holders) of(n int) middleware.Lease { return h.leases[n%len(h.leases)] }

// try is one Acquire that may fail.
func (h *holders) try(ctx context.Context, n int, key string) (release func(), err error) {
	release, err = h.of(n).Acquire(ctx, key)
	if err == nil && release == nil {
		h.t.Error("Acquire: no error, and release is nil")
		release = func() {}
	}
	return release, err
}

// acquire must succeed. The lease is given back at the end of the test at the latest.
func (h *holders) acquire(n int, key, when string) (release func()) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	release, err := h.try(ctx, n, key)
	if err != nil {
		h.t.Fatalf("Acquire %s: %v", when, err)
	}
	h.t.Cleanup(release)
	return release
}

// held must see that somebody else holds the key for all of d. One that does not wait says so each
// time; where the machine is busy an Acquire may fail once.
func (h *holders) held(n int, key string, d time.Duration, when string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	start := time.Now()
	release, err := h.try(ctx, n, key)
	for range 2 {
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			release, err = h.try(ctx, n, key)
		}
	}
	switch {
	case err == nil:
		release()
		h.t.Errorf("Acquire %s: it holds the key after %v, as another does; want it to wait: "+
			"two would use one refresh token, and the user would be signed out", when, time.Since(start).Round(time.Millisecond))
	case !errors.Is(err, context.DeadlineExceeded):
		h.t.Errorf("Acquire %s: the error %q does not match context.DeadlineExceeded", when, err)
	}
}

func testOneHolder(h *holders) {
	const callers, rounds = 8, 4
	key := newToken()
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	var all sync.WaitGroup
	var holding atomic.Int32
	for n := range callers {
		all.Go(func() {
			for range rounds {
				release, err := h.try(ctx, n, key)
				if err != nil {
					h.t.Errorf("Acquire, by %d in turn: %v", callers, err)
					return
				}
				if others := holding.Add(1) - 1; others != 0 {
					h.t.Errorf("Acquire, by %d in turn: %d others hold the key", callers, others)
				}
				holding.Add(-1)
				release()
			}
		})
	}
	all.Wait()
}

func testLeaseKeys(h *holders) {
	base := newToken()[:40]
	for n, key := range []string{base + "abcdefghijklmnopqrst", base + "ABCDEFGHIJKLMNOPQRST", base + "abcdefghijklmnopqrs-", base} {
		h.acquire(n, key, "while other keys are held")
	}
}

func testLeaseWaits(h *holders) {
	key := newToken()
	release := h.acquire(0, key, "of a free key")
	h.held(1, key, shortly, "while another holds the key")

	got := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		second, err := h.try(ctx, 1, key)
		if err == nil {
			second()
		}
		got <- err
	}()
	release()
	if err := <-got; err != nil {
		h.t.Errorf("Acquire, waiting when the holder released: %v", err)
	}
	h.acquire(0, key, "after all released")
}

func testReleaseTwice(h *holders) {
	key := newToken()
	first := h.acquire(0, key, "of a free key")
	first()
	h.acquire(1, key, "after the release")
	first()
	h.held(0, key, shortly, "after the first holder released for the second time, while another holds the key")
}

func testLeaseRenewed(h *holders) {
	key := newToken()
	release := h.acquire(0, key, "of a free key")
	h.held(1, key, renewed, "while another holds the key for long")
	release()
	h.acquire(1, key, "after it was held for long")
}

func testLeaseEndedContext(h *holders) {
	key := newToken()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if release, err := h.try(ended, 0, key); err == nil {
		release()
		h.t.Error("Acquire of a free key, with a context that ended before: no error")
	} else if !errors.Is(err, context.Canceled) {
		h.t.Errorf("Acquire with a context that ended before: the error %q does not match context.Canceled", err)
	}
	release := h.acquire(1, key, "after an Acquire that failed")

	waiting, leave := context.WithCancel(context.Background())
	got := make(chan error, 1)
	go func() {
		second, err := h.try(waiting, 0, key)
		if err == nil {
			second()
		}
		got <- err
	}()
	time.AfterFunc(shortly, leave)
	select {
	case err := <-got:
		if !errors.Is(err, context.Canceled) {
			h.t.Errorf("Acquire, whose context ended while it waited: the error %v does not match context.Canceled", err)
		}
	case <-time.After(patience):
		h.t.Fatalf("Acquire, whose context ended while it waited, did not return within %v", patience)
	}
	release()
	h.acquire(1, key, "after one who waited left")
}

// A refresh goes on when the request that started it has gone.
func testLeaseOutlivesContext(h *holders) {
	key := newToken()
	ctx, cancel := context.WithCancel(context.Background())
	release, err := h.try(ctx, 0, key)
	if err != nil {
		h.t.Fatalf("Acquire of a free key: %v", err)
	}
	defer release()
	cancel()
	h.held(1, key, shortly, "after the context of the holder's Acquire ended")
	release()
	h.acquire(1, key, "after the release, by a holder whose context had ended")
}
