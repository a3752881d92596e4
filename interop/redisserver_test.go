package interop_test

import (
	"context"
	"crypto/rand"
	"net/url"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	goredis "github.com/redis/go-redis/v9"
)

// redisServer is a Redis that gives everything to the kernel before it answers: it may be killed,
// and waits for no disk.
type redisServer struct {
	*service
	addr, password string
	client         *goredis.Client // past the SDK, to look and to break things
}

func startRedis(t *testing.T) *redisServer {
	t.Helper()
	return startRedisOn(t, freePort(t))
}

func startRedisOn(t *testing.T, port string) *redisServer {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatalf("install redis-server first: %v", err)
	}
	r := &redisServer{addr: "127.0.0.1:" + port, password: rand.Text()}
	config := strings.Join([]string{
		"bind 127.0.0.1",
		"port " + port,
		"dir " + t.TempDir(),
		"requirepass " + r.password,
		"appendonly yes",
		"appendfsync no",
		`save ""`,
		"maxmemory-policy noeviction",
	}, "\n")
	r.client = goredis.NewClient(&goredis.Options{Addr: r.addr, Password: r.password, MaxRetries: -1, DialerRetries: 1})
	t.Cleanup(func() { _ = r.client.Close() })
	command := func() *exec.Cmd {
		cmd := exec.Command(binary, "-")
		cmd.Stdin = strings.NewReader(config) // the password is in no list of processes
		return cmd
	}
	r.service = startService(t, syscall.SIGTERM, command, func(ctx context.Context) error { return r.client.Ping(ctx).Err() })
	return r
}

// url is for the examples, with another address when there is a proxy before it.
func (r *redisServer) url(addr string) string {
	return (&url.URL{Scheme: "redis", User: url.UserPassword("default", r.password), Host: addr, Path: "/0"}).String()
}
