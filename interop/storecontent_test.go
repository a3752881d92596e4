package interop_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/examples/redis"
)

// SE-29, RL-24: what Redis forgot is not there, and no error.
func TestRedisForgets(t *testing.T) {
	server := startRedis(t)
	store, lease := openRedis(t, server.url(server.addr))
	inAnHour := time.Now().Add(time.Hour)
	if err := store.CommitCtx(t.Context(), "acp:a", []byte("value"), inAnHour); err != nil {
		t.Fatal(err)
	}
	release, err := lease.Acquire(t.Context(), "acp:a")
	if err != nil {
		t.Fatal(err)
	}
	if err := server.client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if b, found, err := store.FindCtx(t.Context(), "acp:a"); found || err != nil {
		t.Errorf("FindCtx after FLUSHALL: found %t, value %q, error %v; want none of them", found, b, err)
	}
	release()
	for _, call := range storeCalls(store, lease) {
		if _, err := call.do(t.Context(), "acp:"+call.name); err != nil {
			t.Errorf("%s after FLUSHALL: %v", call.name, err)
		}
	}
}

// RL-24: a key of another type is an error to who reads it, and no obstacle to who writes it.
func TestRedisWrongType(t *testing.T) {
	server := startRedis(t)
	store, _ := openRedis(t, server.url(server.addr))
	inAnHour := time.Now().Add(time.Hour)
	for _, row := range []struct{ name, command string }{
		{"list", "RPUSH acp:a x"},
		{"hash", "HSET acp:a x y"},
		{"set", "SADD acp:a x"},
		{"sorted set", "ZADD acp:a 1 x"},
		{"stream", "XADD acp:a * x y"},
	} {
		t.Run(row.name, func(t *testing.T) {
			spoil := func() {
				t.Helper()
				var args []any
				for _, arg := range strings.Fields(row.command) {
					args = append(args, arg)
				}
				if err := server.client.Do(t.Context(), args...).Err(); err != nil {
					t.Fatal(err)
				}
			}
			spoil()
			if b, found, err := store.FindCtx(t.Context(), "acp:a"); err == nil {
				t.Errorf("FindCtx: found %t, value %q, no error", found, b)
			}
			if added, err := store.Add(t.Context(), "acp:a", inAnHour); added {
				t.Errorf("Add: true, error %v; want false: something is there", err)
			}
			if err := store.CommitCtx(t.Context(), "acp:a", []byte("value"), inAnHour); err != nil {
				t.Errorf("CommitCtx: %v", err)
			}
			if b, found, err := store.FindCtx(t.Context(), "acp:a"); string(b) != "value" || !found || err != nil {
				t.Errorf("FindCtx after a commit: found %t, value %q, error %v", found, b, err)
			}
			if err := store.DeleteCtx(t.Context(), "acp:a"); err != nil {
				t.Errorf("DeleteCtx: %v", err)
			}
			spoil()
			if err := store.DeleteCtx(t.Context(), "acp:a"); err != nil {
				t.Errorf("DeleteCtx: %v", err)
			}
			if n, err := server.client.Exists(t.Context(), "acp:a").Result(); n != 0 || err != nil {
				t.Errorf("after DeleteCtx the key exists (%d), error %v", n, err)
			}
		})
	}
}

// SE-31: each key ends when its value does, and none is there for ever.
func TestRedisTTL(t *testing.T) {
	server := startRedis(t)
	store, lease := openRedis(t, server.url(server.addr))
	for _, left := range []time.Duration{
		-time.Hour, -1, 0, 1, time.Millisecond, time.Second, 3 * time.Second, 5 * time.Second, 90 * time.Second, 24 * time.Hour, 10 * 8766 * time.Hour,
	} {
		commit := func() error {
			return store.CommitCtx(t.Context(), "acp:a", []byte("value"), time.Now().Add(left))
		}
		add := func() error {
			_, err := store.Add(t.Context(), "acp:b", time.Now().Add(left))
			return err
		}
		if err := server.client.Set(t.Context(), "acp:a", "immortal", 0).Err(); err != nil {
			t.Fatal(err)
		}
		for key, call := range map[string]func() error{"acp:a": commit, "acp:b": add} {
			began := time.Now()
			if err := call(); err != nil {
				t.Fatal(err)
			}
			// PTTL says -1 for a key that never ends, -2 for none.
			ttl, err := server.client.PTTL(t.Context(), key).Result()
			if err != nil {
				t.Fatal(err)
			}
			least := left - time.Since(began) - 2*time.Second // two clocks, one of them of milliseconds
			if ttl == -2 && least < 0 {
				continue
			}
			if ttl < 0 || ttl > max(left, time.Millisecond) || ttl < least {
				t.Errorf("%s with %v left: the key ends in %v", key, left, ttl)
			}
			if err := server.client.Del(t.Context(), key).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	release, err := lease.Acquire(t.Context(), "acp:a")
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	keys, err := server.client.Keys(t.Context(), "lease:*").Result()
	if err != nil || len(keys) != 1 {
		t.Fatalf("%q, error %v; want the key of the lease", keys, err)
	}
	if ttl, err := server.client.PTTL(t.Context(), keys[0]).Result(); ttl <= 0 || ttl > 10*time.Second || err != nil {
		t.Errorf("the key of a lease ends in %v, error %v", ttl, err)
	}
}

// SE-30: no error holds the password, or anything of a URL that cannot be read.
func TestRedisPasswordStaysInside(t *testing.T) {
	const password = "hunter2"
	for _, url := range []string{
		"redis://user:hunter2@host:port/0",
		"redis://user:hunter2@host:6379/hunter2",
		"redis://user:hunter2@host:6379/0?unknown=hunter2",
		"redis://user:hunter2@host:6379/0?hunter2=1",
		"redis://user:hunter2@host:6379/0?read_timeout=hunter2",
		"redis://user:hunter2/x@host:6379/0",
		"redis://user:%hunter2@host:6379/0",
		"redis://user:hunter2 @host:6379/0",
		"redis://user:hunter2\n@host:6379/0",
		"http://user:hunter2@host:6379/0",
		"hunter2@host:6379",
		"hunter2://host",
		"unix://user:hunter2@",
		"hunter2",
		"",
	} {
		if _, _, _, err := redis.Open(url); err == nil {
			t.Errorf("Open(%q): no error", url)
		} else if strings.Contains(err.Error(), password) {
			t.Errorf("Open(%q): the error holds the password: %v", url, err)
		}
	}

	server := startRedis(t)
	wrong := redisServer{addr: server.addr, password: password}
	down := redisServer{addr: "127.0.0.1:" + freePort(t), password: password}
	for _, r := range []redisServer{wrong, down} {
		store, lease := openRedis(t, r.url(r.addr))
		for _, call := range storeCalls(store, lease) {
			if answer, err := call.do(t.Context(), "acp:a"); err == nil {
				t.Errorf("%s with a wrong password or address: %s, no error", call.name, answer)
			} else if strings.Contains(err.Error(), password) {
				t.Errorf("%s: the error holds the password: %v", call.name, err)
			}
		}
		for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
			if text := fmt.Sprintf(format+format, store, lease); strings.Contains(text, password) {
				t.Errorf("%s of the store and the lease holds the password", format)
			}
		}
	}
}
