package redis

import (
	"context"
	"time"

	"github.com/alexedwards/scs/goredisstore"
	goredis "github.com/redis/go-redis/v9"
)

// shortest is the least TTL that Redis knows.
const shortest = time.Millisecond

// Store is a middleware.Store. Open makes it.
type Store struct {
	client *goredis.Client
	scs    *goredisstore.RedisStore
}

// FindCtx returns the value of a token. found is false when there is none, or it expired.
func (s *Store) FindCtx(ctx context.Context, token string) (b []byte, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, oneCall)
	defer cancel()
	return s.scs.FindCtx(ctx, token)
}

// CommitCtx adds or replaces a value, until expiry. One that has expired is deleted.
func (s *Store) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, oneCall)
	defer cancel()
	switch left := time.Until(expiry); {
	case left <= 0:
		return s.scs.DeleteCtx(ctx, token)
	case left < 2*oneCall:
		// goredisstore asks for the time left once more, and takes zero and less for "for ever".
		return s.client.Set(ctx, token, b, max(left, shortest)).Err()
	default:
		return s.scs.CommitCtx(ctx, token, b, expiry)
	}
}

// DeleteCtx removes a value. One that is not there is no error.
func (s *Store) DeleteCtx(ctx context.Context, token string) error {
	ctx, cancel := context.WithTimeout(ctx, oneCall)
	defer cancel()
	return s.scs.DeleteCtx(ctx, token)
}

// Add stores a token unless it is there, until expiry, in one step. When the answer is
// lost there is an error, although the token may be stored.
func (s *Store) Add(ctx context.Context, token string, expiry time.Time) (added bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, oneCall)
	defer cancel()
	return s.client.SetNX(ctx, token, "1", max(time.Until(expiry), shortest)).Result()
}

// Find is FindCtx without a context.
func (s *Store) Find(token string) (b []byte, found bool, err error) {
	return s.FindCtx(context.Background(), token)
}

// Commit is CommitCtx without a context.
func (s *Store) Commit(token string, b []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, b, expiry)
}

// Delete is DeleteCtx without a context.
func (s *Store) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }
