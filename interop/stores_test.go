package interop_test

import (
	"testing"

	"github.com/alexedwards/scs/v2/memstore"

	"github.com/acp-go/acp/acptest/storetest"
	"github.com/acp-go/acp/examples/redis"
)

func TestMemstore(t *testing.T) {
	storetest.Run(t, memstore.NewWithCleanupInterval(0))
}

func TestRedis(t *testing.T) {
	server := startRedis(t)
	store, lease := openRedis(t, server.url(server.addr))
	_, second := openRedis(t, server.url(server.addr))
	storetest.Run(t, store)
	storetest.RunLease(t, lease, second)
}

func TestPostgres(t *testing.T) {
	server := startPostgres(t)
	store, pool := server.store(t, server.addr)
	t.Run("as it is", func(t *testing.T) { storetest.Run(t, store) })
	t.Run("with Add", func(t *testing.T) { storetest.Run(t, addingPostgres{store, pool}) })
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
