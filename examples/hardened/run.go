package main

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/acp-go/acp/examples/internal/env"
	"github.com/acp-go/acp/examples/internal/serve"
	"github.com/acp-go/acp/examples/redis"
)

// run is main with everything that main gets from the system. It blocks until ctx is
// done, and then until the program has come to rest.
func run(ctx context.Context, environ []string, stdout, stderr io.Writer) int {
	log := slog.New(slog.NewTextHandler(stderr, nil))
	fail := func(status int, err error) int {
		fmt.Fprintf(stderr, "hardened: %v\n", err)
		return status
	}
	c, err := parse(environ)
	if err != nil {
		return fail(serve.Misspelled, err)
	}
	if c.Store != nil {
		redis.LogTo(log)
	}
	listener, status, err := serve.Listen(c.Listen)
	if err != nil {
		return fail(status, err)
	}
	defer listener.Close()
	var authority []byte // of the embedded servers' certificates
	if c.Issuer == "" {
		var stop func()
		if stop, authority, err = embed(&c, listener.Addr(), log); err != nil {
			return fail(serve.Failed, err)
		}
		defer stop()
	}
	client, auth, err := login(c, log)
	if err != nil {
		return fail(serve.Misspelled, env.Translate(err, variables))
	}
	if c.passing {
		log.Info("access tokens are bound to a key that ends with this process; ACP_DPOP_KEY would keep it")
	}

	scheme := "http"
	if c.own != nil {
		scheme = "https"
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{*c.own}, MinVersion: tls.VersionTLS12})
	}
	fmt.Fprintf(stdout, "The web application is at    %s://%s/\nIts authorization server is  %s\n", scheme, listener.Addr(), c.Issuer)
	if authority != nil {
		fmt.Fprintf(stdout, "Sign in as alice (password wonderland) or bob (password builder).\n"+
			"Your browser warns of both, whose certificates are thrown away at the end. They are signed by:\n%s",
			pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority}))
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
