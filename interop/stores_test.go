package interop_test

import (
	"sync"
	"testing"

	"github.com/alexedwards/scs/v2/memstore"

	"github.com/acp-go/acp/acptest/storetest"
	"github.com/acp-go/acp/examples/redis"
)

func TestMemstore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, memstore.NewWithCleanupInterval(0))
}

func TestRedis(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	store, lease := openRedis(t, server.url(server.addr))
	_, second := openRedis(t, server.url(server.addr))
	var both sync.WaitGroup
	both.Go(func() { storetest.Run(t, store) })
	both.Go(func() { storetest.RunLease(t, lease, second) })
	both.Wait()
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	server := startPostgres(t)
	store, pool := server.store(t, server.addr)
	var both sync.WaitGroup
	both.Go(func() { t.Run("as it is", func(t *testing.T) { storetest.Run(t, store) }) })
	both.Go(func() { t.Run("with Add", func(t *testing.T) { storetest.Run(t, addingPostgres{store, pool}) }) })
	both.Wait()
}

func openRedis(t *testing.T, url string) (*redis.Store, *redis.Lease) {
	t.Helper()
	store, lease, closeRedis, err := redis.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := closeRedis(); err != nil {
			t.Errorf("closing the connections to Redis: %v", err)
		}
	})
	return store, lease
}
