package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/acp-go/acp/examples/internal/env"
	"github.com/acp-go/acp/examples/internal/rp"
	"github.com/acp-go/acp/examples/internal/serve"
	"github.com/acp-go/acp/examples/redis"
)

// run is main with everything that main gets from the system. It blocks until
// ctx is done, and then until the program has come to rest.
func run(ctx context.Context, environ []string, stdout, stderr io.Writer) int {
	log := slog.New(slog.NewTextHandler(stderr, nil))
	c, err := parse(environ)
	if err != nil {
		fmt.Fprintf(stderr, "webapp: %v\n", err)
		return serve.Misspelled
	}
	if c.Store != nil {
		redis.LogTo(log)
	}
	listener, status, err := serve.Listen(c.Listen)
	if err != nil {
		fmt.Fprintf(stderr, "webapp: %v\n", err)
		return status
	}
	defer listener.Close()
	if c.Issuer == "" {
		stop, err := embed(&c, listener.Addr(), log)
		if err != nil {
			fmt.Fprintf(stderr, "webapp: %v\n", err)
			return serve.Failed
		}
		defer stop()
	}
	client, auth, err := login(c, log)
	if err != nil {
		fmt.Fprintf(stderr, "webapp: %v\n", env.Translate(err, rp.Variables))
		return serve.Misspelled
	}

	if c.Development {
		fmt.Fprintf(stdout, "The web application is at    http://%s/\nIts authorization server is  %s\nSign in as alice (password wonderland) or bob (password builder).\n",
			listener.Addr(), c.Issuer)
	} else {
		fmt.Fprintf(stdout, "The web application is at    http://%s/\nIts authorization server is  %s\n", listener.Addr(), c.Issuer)
	}
	closing, cancel := serve.Closing(ctx)
	defer cancel()
	err = serve.Until(ctx, listener, routes(c, auth, log), log)

	closing, cancel = context.WithTimeout(closing, serve.EndTime) // it may end by itself
	defer cancel()
	// Sessions that are being refreshed come first: they need the client.
	if err := errors.Join(auth.Close(closing), client.Close(closing), c.Close()); err != nil {
		log.Warn("calls to the authorization server were cut off at the end", "error", err)
	}
	if err != nil {
		log.Error("the end was not clean", "error", err)
		return serve.Failed
	}
	return serve.OK
}
