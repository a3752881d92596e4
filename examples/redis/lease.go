package redis

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/go-redsync/redsync/v4"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	goredis9 "github.com/redis/go-redis/v9"
)

const (
	leaseTime  = 5 * time.Second // a holder that died keeps it so long
	leaseRenew = leaseTime / 4
	leasePoll  = 50 * time.Millisecond // on average
	leaseName  = "lease:"              // before each key
)

// Lease is a middleware.Lease. Open makes it.
type Lease struct {
	locks  *redsync.Redsync
	closed chan struct{}
	close  func()
}

func newLease(client *goredis9.Client) *Lease {
	l := &Lease{locks: redsync.New(goredis.NewPool(client)), closed: make(chan struct{})}
	l.close = sync.OnceFunc(func() { close(l.closed) })
	return l
}

// Acquire waits until it holds key, or until ctx ends, whose error it then returns; while
// Redis cannot be reached it does not wait. What it holds is renewed until release, which
// takes at most two seconds and may be called twice.
func (l *Lease) Acquire(ctx context.Context, key string) (release func(), err error) {
	m := l.locks.NewMutex(leaseName+key,
		redsync.WithExpiry(leaseTime),
		redsync.WithTimeoutFactor(float64(oneStep)/float64(leaseTime)),
		redsync.WithSetNXOnExtend(), // a Redis that came back empty
	)
	for {
		err := m.TryLockContext(ctx)
		if err == nil {
			return l.hold(m), nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if _, taken := errors.AsType[*redsync.ErrTaken](err); !taken {
			return nil, err
		}
		select {
		case <-time.After(leasePoll/2 + rand.N(leasePoll)):
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-l.closed:
			return nil, goredis9.ErrClosed
		}
	}
}

// hold renews the lock until release is called.
func (l *Lease) hold(m *redsync.Mutex) (release func()) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(leaseRenew)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				ctx, cancel := context.WithTimeout(context.Background(), oneStep)
				_, _ = m.ExtendContext(ctx) // the next tick tries again, as long as it may
				cancel()
			case <-stop:
				return
			case <-l.closed:
				return
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(stop)
		<-stopped // it and the unlock would meet
		ctx, cancel := context.WithTimeout(context.Background(), oneStep)
		defer cancel()
		_, _ = m.UnlockContext(ctx) // what cannot be unlocked ends by itself
	})
}
