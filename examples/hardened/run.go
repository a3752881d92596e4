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
	"github.com/acp-go/acp/examples/internal/throwaway"
)

// run is main with everything that main gets from the system. It blocks until ctx is
// done, and then until the program has come to rest.
func run(ctx context.Context, environ []string, stdout, stderr io.Writer) int {
	log := slog.New(slog.NewTextHandler(stderr, nil))
	fail := func(status int, err error) int {
		fmt.Fprintf(stderr, "hardened: %v\n", err)
		return status
	}
	settings, err := env.Read(environ)
	if err == nil && !settings.Embedded() {
		err = env.Mistake("ACP_ISSUER", "is not a setting of this program, which brings its own authorization server")
	}
	if err != nil {
		return fail(serve.Misspelled, err)
	}
	address, err := settings.Listen("")
	if err != nil {
		return fail(serve.Misspelled, err)
	}
	listener, status, err := serve.Listen(address)
	if err != nil {
		return fail(status, err)
	}
	defer listener.Close()
	authority, err := throwaway.NewAuthority()
	if err != nil {
		return fail(serve.Failed, err)
	}
	own, err := authority.Loopback()
	if err != nil {
		return fail(serve.Failed, err)
	}
	c, stop, err := embed(listener.Addr(), authority, own, log)
	if err != nil {
		return fail(serve.Failed, err)
	}
	client, auth, err := login(c, log)
	if err != nil {
		return fail(serve.Failed, errors.Join(err, stop()))
	}

	fmt.Fprintf(stdout, "The web application is at    https://%s/\nIts authorization server is  %s\nSign in as alice (password wonderland) or bob (password builder).\n",
		listener.Addr(), c.issuer)
	fmt.Fprintf(stdout, "Your browser warns of both, whose certificates are thrown away at the end. They are signed by:\n%s",
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Certificate()}))
	closing, cancel := serve.Closing(ctx)
	defer cancel()
	secured := tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{*own}, MinVersion: tls.VersionTLS12})
	err = serve.Until(ctx, secured, routes(c, auth), log)

	closing, cancel = context.WithTimeout(closing, serve.EndTime) // it may end by itself
	defer cancel()
	// Sessions that are being refreshed come first: they need the client.
	if err := errors.Join(auth.Close(closing), client.Close(closing), stop()); err != nil {
		log.Warn("not everything ended well", "error", err)
	}
	if err != nil {
		return fail(serve.Failed, err)
	}
	return serve.OK
}
