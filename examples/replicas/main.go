// Command replicas is one application in three replicas behind a round-robin proxy, in one
// process, for looking at what they share: sessions, the refreshing of access tokens, and
// the end of both.
//
//	go run ./examples/replicas
//
// It prints where to look. The sessions are in memory, or with ACP_REDIS_URL in a Redis.
// ACP_LISTEN is the proxy's host:port, of loopback; absent it is a free port.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2/memstore"

	"github.com/acp-go/acp/examples/internal/serve"
	"github.com/acp-go/acp/examples/localacp"
	"github.com/acp-go/acp/examples/redis"
	"github.com/acp-go/acp/middleware"
)

func main() { serve.Main(run) }

const replicas = 3

// shared is what the replicas have in common: a place for sessions, a lease for refreshing
// them, and a key for their cookies.
type shared struct {
	store     middleware.Store
	lease     middleware.Lease
	cookieKey []byte
	close     func() error
}

// open makes it, with a Redis where there is a URL of one.
func open(redisURL string) (shared, error) {
	s := shared{cookieKey: make([]byte, 32), close: func() error { return nil }}
	rand.Read(s.cookieKey) // never fails
	if redisURL == "" {
		s.store, s.lease = memstore.New(), &leases{}
		return s, nil
	}
	store, lease, closeRedis, err := redis.Open(redisURL)
	if err != nil {
		return shared{}, fmt.Errorf("ACP_REDIS_URL: is %w", err)
	}
	s.store, s.lease, s.close = store, lease, closeRedis
	return s, nil
}

// run is main with everything that main gets from the system. It blocks until ctx is done.
func run(ctx context.Context, environ []string, stdout, stderr io.Writer) int {
	return runWith(ctx, environ, stdout, stderr, 10*time.Second)
}

// runWith has access tokens of this lifetime: one can watch them end.
func runWith(ctx context.Context, environ []string, stdout, stderr io.Writer, lifetime time.Duration) int {
	log := slog.New(slog.NewTextHandler(stderr, nil))
	fail := func(status int, err error) int {
		fmt.Fprintf(stderr, "replicas: %v\n", err)
		return status
	}
	settings := map[string]string{}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		settings[name] = strings.TrimSpace(value)
	}
	listen := cmp.Or(settings["ACP_LISTEN"], "127.0.0.1:0")
	if host, _, err := net.SplitHostPort(listen); err != nil || !loopback(host) {
		return fail(serve.Misspelled, errors.New("ACP_LISTEN: must be a loopback host:port, because everybody knows the users"))
	}
	common, err := open(settings["ACP_REDIS_URL"])
	if err != nil {
		return fail(serve.Misspelled, err)
	}
	listener, status, err := serve.Listen(listen)
	if err != nil {
		return fail(status, err)
	}
	defer listener.Close()
	origin := "http://" + listener.Addr().String()
	secret := rand.Text()
	acp, err := localacp.Start(localacp.Options{
		AccessTokenLifetime: lifetime,
		Clients: []localacp.Client{{
			ID: "replicas", Name: "Three replicas", Secret: secret,
			RedirectURLs: []string{origin + "/callback"}, PostLogoutRedirectURLs: []string{origin + "/"},
		}},
		Logger: log,
	})
	if err != nil {
		return fail(serve.Failed, err)
	}
	defer acp.Close()

	notes := new(ledger)
	var all []*replica
	for number := range replicas {
		r, err := newReplica(number+1, origin, acp.Issuer, secret, common, notes, lifetime, log)
		if err != nil {
			return fail(serve.Failed, err)
		}
		all = append(all, r)
	}
	fmt.Fprintf(stdout, "Three replicas are behind     %s/\nTheir authorization server is %s\nSign in as alice (password wonderland) or bob (password builder).\n", origin, acp.Issuer)
	closing, cancel := serve.Closing(ctx)
	defer cancel()
	err = serve.Until(ctx, listener, inTurn(all), log)
	closing, cancel = context.WithTimeout(closing, serve.EndTime)
	defer cancel()
	for _, r := range all {
		err = errors.Join(err, r.auth.Close(closing), r.client.Close(closing))
	}
	if err = errors.Join(err, common.close()); err != nil {
		log.Error("the end was not clean", "error", err)
		return serve.Failed
	}
	return serve.OK
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
