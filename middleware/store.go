package middleware

import (
	"context"
	"time"
)

// Store keeps sessions outside of cookies, so that several processes share them and a
// logout ends them at once. It is the interface of the stores of
// github.com/alexedwards/scs (Redis, PostgreSQL, MySQL, SQLite, memory and a dozen more),
// which serve as they are. It must be safe for concurrent use.
//
// Where it also has FindCtx, CommitCtx and DeleteCtx, the same with a context in front,
// those are called instead. No call is waited for longer than 2 s. Where it has
//
//	Add(ctx context.Context, token string, expiry time.Time) (added bool, err error)
//
// which stores a token unless it is there, in one step, then what must happen once happens once in
// all processes: a callback, a logout token. Without it that is best effort between
// processes that act in the same moment.
//
// What it is given is sealed. Its tokens are hashes, of 43 characters at most, and its values cannot be
// read or moved by who reads or writes the store alone.
type Store interface {
	// Find returns the value of a token. found is false when there is none, or it expired.
	Find(token string) (b []byte, found bool, err error)
	// Commit adds or replaces a value, until expiry.
	Commit(token string, b []byte, expiry time.Time) error
	// Delete removes a value. One that is not there is no error.
	Delete(token string) error
}

// Lease is held by one process at a time for each key: a lock that ends by itself, some
// seconds after its holder died, and not while the holder lives. It must be safe for concurrent use.
type Lease interface {
	// Acquire waits until it holds key, or until ctx ends, whose error it then returns.
	// release gives the key back; it may be called twice.
	Acquire(ctx context.Context, key string) (release func(), err error)
}
