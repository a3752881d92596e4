package interop_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/acp-go/acp/examples/redis"
)

// storeLimit is two seconds, which a call may take, and as much for a busy machine.
const storeLimit = 4 * time.Second

// storeCall is a call of a Store or a Lease, which must be an error while Redis does not answer.
type storeCall struct {
	name string
	do   func(ctx context.Context, token string) (answer string, err error)
}

func storeCalls(store *redis.Store, lease *redis.Lease) []storeCall {
	inAnHour := time.Now().Add(time.Hour)
	return []storeCall{
		{"FindCtx", func(ctx context.Context, token string) (string, error) {
			_, found, err := store.FindCtx(ctx, token)
			return fmt.Sprint("found ", found), err
		}},
		{"CommitCtx", func(ctx context.Context, token string) (string, error) {
			return "", store.CommitCtx(ctx, token, []byte("value"), inAnHour)
		}},
		{"DeleteCtx", func(ctx context.Context, token string) (string, error) {
			return "", store.DeleteCtx(ctx, token)
		}},
		{"Add", func(ctx context.Context, token string) (string, error) {
			added, err := store.Add(ctx, token, inAnHour)
			return fmt.Sprint("added ", added), err
		}},
		{"Acquire", func(ctx context.Context, token string) (string, error) {
			release, err := lease.Acquire(ctx, token)
			if err == nil {
				release()
			}
			return "", err
		}},
	}
}

// fail makes all the calls many times at the same time: each must be an error, in time. A machine
// that stood still does not do so three times; timeouts that are too long are so each time.
func fail(t *testing.T, calls []storeCall, token, when string) {
	t.Helper()
	for range 3 {
		took := failOnce(t, calls, token, when)
		if took <= storeLimit {
			return
		}
		t.Logf("the calls %s took %v", when, took)
	}
	t.Errorf("the calls %s took more than %v, three times", when, storeLimit)
}

// failOnce returns how long the slowest call took.
func failOnce(t *testing.T, calls []storeCall, token, when string) (slowest time.Duration) {
	t.Helper()
	const times = 40 // more than there are connections, with five calls
	var all sync.WaitGroup
	var mu sync.Mutex
	for _, call := range calls {
		for range times {
			all.Go(func() {
				used := token
				if call.name != "FindCtx" { // it may be carried out when Redis wakes up
					used = rand.Text()
				}
				start := time.Now()
				answer, err := call.do(context.Background(), used)
				took := time.Since(start)
				mu.Lock()
				slowest = max(slowest, took)
				mu.Unlock()
				if err == nil {
					t.Errorf("%s %s: %s, no error", call.name, when, answer)
				}
			})
		}
	}
	all.Wait()
	return slowest
}

// goroutines counts those that have the word in their stacks.
func goroutines(word string) (n int) {
	all := make([]byte, 16<<20)
	for stack := range strings.SplitSeq(string(all[:runtime.Stack(all, true)]), "\n\n") {
		if strings.Contains(stack, word) {
			n++
		}
	}
	return n
}

// RL-22, RL-23, SE-27: an outage is an error within two seconds, never an answer; when it
// is over the same Store serves what it held before.
func TestRedisOutage(t *testing.T) {
	server := startRedis(t)
	network := startProxy(t, server.addr)
	for _, row := range []struct {
		name       string
		fail, heal func()
	}{
		{"killed and started again", server.kill, server.start},
		{"suspended", func() { server.suspend() }, func() { server.resume() }},
		{"refused", network.refuse, network.heal},
		{"no answer", network.hang, network.heal},
		{"slow by 5 s", func() { network.delay(5 * time.Second) }, network.heal},
	} {
		t.Run(row.name, func(t *testing.T) {
			store, lease := openRedis(t, server.url(network.addr))
			calls := storeCalls(store, lease)
			token, value := rand.Text(), []byte(rand.Text())
			if err := store.CommitCtx(t.Context(), token, value, time.Now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			release, err := lease.Acquire(t.Context(), token)
			if err != nil {
				t.Fatal(err)
			}

			row.fail()
			fail(t, calls, token, "while Redis is "+row.name)
			start := time.Now()
			release() // it cannot reach Redis, and must not wait for it
			if took := time.Since(start); took > 4*storeLimit {
				t.Errorf("release took %v", took)
			}
			row.heal()

			eventually(t, "the store serving again", func() (bool, string) {
				b, found, err := store.FindCtx(t.Context(), token)
				if err != nil {
					return false, err.Error()
				}
				if !found || string(b) != string(value) {
					t.Fatalf("after the outage: found %t, value %q; want %q", found, b, value)
				}
				return true, ""
			})
			for _, call := range calls {
				eventually(t, call.name+" after the outage", func() (bool, string) {
					_, err := call.do(t.Context(), rand.Text())
					return err == nil, fmt.Sprint(err)
				})
			}
			// The lease ended by itself, since its release was not heard.
			if release, err := lease.Acquire(within(t, patience), token); err != nil {
				t.Errorf("Acquire, after the outage, of what was held before: %v", err)
			} else {
				release()
			}
			eventually(t, "the end of what waited for Redis", func() (bool, string) {
				n := goroutines("redis/go-redis")
				return n == 0, fmt.Sprintf("%d goroutines", n)
			})
		})
	}
}

// RL-23: what is slower than usual and still in time is no outage.
func TestRedisLatency(t *testing.T) {
	server := startRedis(t)
	network := startProxy(t, server.addr)
	store, lease := openRedis(t, server.url(network.addr))
	network.delay(300 * time.Millisecond)
	for _, call := range storeCalls(store, lease) {
		eventually(t, call.name+", with 300 ms for an answer", func() (bool, string) { // at once, but on a machine that stood still
			_, err := call.do(t.Context(), rand.Text())
			return err == nil, fmt.Sprint(err)
		})
	}
}

// RL-24: connections that are reset, as a failover does, cost at most the calls under way.
func TestRedisFailover(t *testing.T) {
	server := startRedis(t)
	network := startProxy(t, server.addr)
	store, lease := openRedis(t, server.url(network.addr))
	for range 5 {
		for _, call := range storeCalls(store, lease) {
			if _, err := call.do(t.Context(), rand.Text()); err != nil {
				t.Errorf("%s, after all connections were reset: %v", call.name, err)
			}
			network.cut()
			// The client hears of a reset with its next look at the connection.
			eventually(t, "a connection that works", func() (bool, string) {
				_, _, err := store.FindCtx(t.Context(), "any")
				return err == nil, fmt.Sprint(err)
			})
		}
	}
	server.restart()
	for _, call := range storeCalls(store, lease) {
		if _, err := call.do(t.Context(), rand.Text()); err != nil {
			t.Errorf("%s, after a restart that nobody saw: %v", call.name, err)
		}
	}
}

// RL-24: when the answer to Add is lost it is an error. "Not added" would refuse the
// callback or the logout token that was added, as a replay.
func TestRedisAddIsNotTriedAgain(t *testing.T) {
	server := startRedis(t)
	network := startProxy(t, server.addr)
	store, _ := openRedis(t, server.url(network.addr))
	if _, _, err := store.FindCtx(t.Context(), "any"); err != nil { // there is a connection
		t.Fatal(err)
	}
	network.delay(patience)
	answer := make(chan string, 1)
	go func() {
		added, err := store.Add(t.Context(), "acp:a", time.Now().Add(time.Hour))
		answer <- fmt.Sprintf("added %t, error %t", added, err != nil)
	}()
	eventually(t, "the token being stored", func() (bool, string) {
		n, err := server.client.Exists(t.Context(), "acp:a").Result()
		return n == 1, fmt.Sprint(err)
	})
	network.delay(0)
	network.cut()
	if got := <-answer; got != "added false, error true" {
		t.Errorf("Add, whose answer was lost: %s; want an error", got)
	}
}

// RL-20: nothing renews leases when the connections are closed.
func TestRedisCloseEndsRenewals(t *testing.T) {
	server := startRedis(t)
	_, lease, closeRedis, err := redis.Open(server.url(server.addr))
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := lease.Acquire(t.Context(), rand.Text()); err != nil {
			t.Fatal(err)
		}
	}
	held := rand.Text()
	if _, err := lease.Acquire(t.Context(), held); err != nil {
		t.Fatal(err)
	}
	const renewal = "examples/redis.(*Lease).hold"
	if n := goroutines(renewal); n != 21 {
		t.Errorf("%d goroutines renew 21 leases", n)
	}
	waited := make(chan error, 1)
	go func() {
		_, err := lease.Acquire(t.Context(), held)
		waited <- err
	}()
	if err := closeRedis(); err != nil {
		t.Error(err)
	}
	if err := <-waited; err == nil {
		t.Error("Acquire, while the connections were closed: no error")
	}
	eventually(t, "the end of the renewals", func() (bool, string) {
		n := goroutines(renewal)
		return n == 0, fmt.Sprintf("%d goroutines", n)
	})
}

// SE-27, RL-22: the program starts while Redis is down.
func TestRedisDownAtStart(t *testing.T) {
	port := freePort(t)
	down := redisServer{addr: net.JoinHostPort("127.0.0.1", port), password: "unknown"}
	store, lease := openRedis(t, down.url(down.addr))
	fail(t, storeCalls(store, lease), "any", "while Redis was never there")

	server := startRedisOn(t, port)
	store, lease = openRedis(t, server.url(server.addr))
	server.kill()
	fail(t, storeCalls(store, lease), "any", "while Redis is down")
	server.start()
	for _, call := range storeCalls(store, lease) {
		eventually(t, call.name+" after Redis started", func() (bool, string) {
			_, err := call.do(t.Context(), rand.Text())
			return err == nil, fmt.Sprint(err)
		})
	}
}

// A holder that died, or that cannot reach Redis, loses the lease after a few seconds, and not before.
func TestRedisLeaseOfTheDead(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	_, second := openRedis(t, server.url(server.addr))
	for _, row := range []struct {
		name string
		die  func(closeRedis func() error, network *tcpProxy)
	}{
		{"closed without release", func(closeRedis func() error, _ *tcpProxy) { _ = closeRedis() }},
		{"cut off", func(_ func() error, network *tcpProxy) { network.refuse() }},
		{"suspended", func(_ func() error, network *tcpProxy) { network.hang() }},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			network := startProxy(t, server.addr)
			_, first, closeRedis, err := redis.Open(server.url(network.addr))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = closeRedis() })
			key := rand.Text()
			var release func()
			var began time.Time
			eventually(t, "the first lease", func() (bool, string) {
				began = time.Now()
				release, err = first.Acquire(t.Context(), key)
				return err == nil, fmt.Sprint(err)
			})
			row.die(closeRedis, network)
			theirs, err := acquire(within(t, 20*time.Second), second, key) // four times the length of a lease
			if err != nil {
				t.Fatalf("Acquire, after the holder died: %v", err)
			}
			defer theirs()
			if took := time.Since(began); took < 4*time.Second { // of the 5 s that a lease has, whatever the machine does
				t.Errorf("Acquire, %v after the holder did: no error; want it to wait", took)
			}
			network.heal() // the dead come back, and let go
			release()
			if _, err := acquire(within(t, time.Second), second, key); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Acquire, after one who had lost the lease released it: %v; want it to wait", err)
			}
		})
	}
}

// acquire waits until ctx ends, also for a Redis that a busy machine makes slow.
func acquire(ctx context.Context, lease *redis.Lease, key string) (release func(), err error) {
	for ctx.Err() == nil {
		if release, err = lease.Acquire(ctx, key); err == nil {
			return release, nil
		}
	}
	return nil, ctx.Err()
}

// within ends after d, or with the test.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// RL-22: a PostgreSQL that was killed comes back with what it had.
func TestPostgresOutage(t *testing.T) {
	server := startPostgres(t)
	network := startProxy(t, server.addr)
	store, _ := server.store(t, network.addr)
	token, value := rand.Text(), []byte(rand.Text())
	if err := store.Commit(token, value, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name       string
		fail, heal func()
	}{
		{"killed and started again", server.kill, server.start},
		{"refused", network.refuse, network.heal},
	} {
		row.fail()
		if _, found, err := store.Find(token); err == nil {
			t.Errorf("Find while PostgreSQL is %s: found %t, no error", row.name, found)
		}
		row.heal()
		eventually(t, "the store serving again, after it was "+row.name, func() (bool, string) {
			b, found, err := store.Find(token)
			if err != nil {
				return false, err.Error()
			}
			if !found || string(b) != string(value) {
				t.Fatalf("after it was %s: found %t, value %q; want %q", row.name, found, b, value)
			}
			return true, ""
		})
	}
}
