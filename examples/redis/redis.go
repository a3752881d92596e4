// Package redis keeps the sessions of middleware in Redis (or Valkey), and gives each
// refresh to one process at a time. It is made of a Store of github.com/alexedwards/scs and a
// lock of github.com/go-redsync/redsync; copy it, or import it.
//
//	store, lease, closeRedis, err := redis.Open(os.Getenv("ACP_REDIS_URL"))
//
// Redis should keep what it was told (appendonly yes) and never evict
// (maxmemory-policy noeviction): what it forgets signs users out.
package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/alexedwards/scs/goredisstore"
	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	oneStep = time.Second     // to dial, to write, to read, to wait for a free connection
	oneCall = 2 * time.Second // all of them together
)

// Open makes the Store and the Lease for the Redis at a URL, such as
// redis://user:password@host:6379/0, rediss:// for TLS or unix://. It does not connect:
// while Redis cannot be reached each call is an error, and it heals by itself. Timeouts
// are a second each, two for a call; nothing is tried again. The URL's query can set others
// (read_timeout, pool_size: see ParseURL of go-redis).
//
// The error is about the URL, and holds nothing of it. close ends the connections, and
// stops renewing what is still leased.
func Open(url string) (store *Store, lease *Lease, close func() error, err error) {
	options, err := goredis.ParseURL(url)
	if err != nil { // whose text could hold the password
		return nil, nil, nil, errors.New("not the URL of a Redis: want redis://user:password@host:port/0, rediss:// or unix://, " +
			"with what is special in the password written as %XX")
	}
	options.DialTimeout = cmp.Or(options.DialTimeout, oneStep)
	options.ReadTimeout = cmp.Or(options.ReadTimeout, oneStep)
	options.WriteTimeout = cmp.Or(options.WriteTimeout, oneStep)
	options.PoolTimeout = cmp.Or(options.PoolTimeout, oneStep)
	options.PoolSize = cmp.Or(options.PoolSize, 64)
	options.ConnMaxIdleTime = cmp.Or(options.ConnMaxIdleTime, 5*time.Minute)
	options.MaxRetries = cmp.Or(options.MaxRetries, -1) // an Add whose answer was lost would be refused by its own retry
	options.DialerRetries = 1
	options.ContextTimeoutEnabled = true
	// Each would be one more question to a server that may not answer.
	options.DisableIdentity = true
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}

	client := goredis.NewClient(options)
	store = &Store{client: client, scs: goredisstore.NewWithPrefix(client, "")}
	lease = newLease(client)
	return store, lease, func() error { lease.close(); return client.Close() }, nil
}

// LogTo sends the warnings of go-redis, which go to stderr by themselves, to a logger. It
// holds for the whole program: call it once, in main.
func LogTo(log *slog.Logger) { goredis.SetLogger(logger{log}) }

type logger struct{ log *slog.Logger }

// Printf is what go-redis asks for.
func (l logger) Printf(ctx context.Context, format string, v ...any) {
	l.log.WarnContext(ctx, "redis: "+fmt.Sprintf(format, v...))
}
