// Command api is an API that takes the access tokens of Cloudentity ACP.
//
// Without any configuration it brings its own ACP-shaped server, and prints a curl line
// with a token for each of its routes:
//
//	go run ./examples/api
//
// With ACP_ISSUER it uses that server; config.go lists the variables. The part that matters
// to a reader is the package things: the routes, and what each asks of a token.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/examples/api/things"
	"github.com/acp-go/acp/examples/internal/env"
	"github.com/acp-go/acp/examples/internal/serve"
)

func main() { serve.Main(run) }

// run is main with everything that main gets from the system. It blocks until ctx is done,
// and then until the program has come to rest.
func run(ctx context.Context, environ []string, stdout, stderr io.Writer) int {
	log := slog.New(slog.NewTextHandler(stderr, nil))
	c, err := parse(environ)
	if err != nil {
		fmt.Fprintf(stderr, "api: %v\n", err)
		return serve.Misspelled
	}
	listener, status, err := serve.Listen(c.listen)
	if err != nil {
		fmt.Fprintf(stderr, "api: %v\n", err)
		return status
	}
	defer listener.Close()
	here := "http://" + listener.Addr().String()
	examples := ""
	if c.issuer == "" {
		acp, err := embed(&c, here, log)
		if err == nil {
			defer acp.Close()
			examples, err = curlLines(acp, here)
		}
		if err != nil {
			fmt.Fprintf(stderr, "api: %v\n", err)
			return serve.Failed
		}
	}

	verifier, err := acpclient.NewVerifier(acpclient.VerifierConfig{
		Issuer: c.issuer, Audience: c.audience, Mode: c.mode, ClientID: c.clientID, Auth: c.auth,
		RootCAs: c.rootCAs, Logger: log,
	})
	if err != nil {
		fmt.Fprintf(stderr, "api: %v\n", env.Translate(err, variables))
		return serve.Misspelled
	}
	handler, err := things.New(verifier, things.Options{Resource: c.resource, Issuers: []string{c.issuer}, Logger: log})
	if err != nil {
		fmt.Fprintf(stderr, "api: %v\n", env.Translate(err, variables))
		return serve.Misspelled
	}
	if c.mode == "jwt" && c.clientID != "" {
		log.Warn("ACP_CLIENT_ID and ACP_CLIENT_SECRET have no effect: ACP_TOKEN_MODE is jwt")
	}

	fmt.Fprintf(stdout, "The API is at                %s/\nIts authorization server is  %s\n%s", here, c.issuer, examples)
	closing, cancel := serve.Closing(ctx)
	defer cancel()
	if err := serve.Until(ctx, listener, handler, log); err != nil {
		log.Error("the end was not clean", "error", err)
		return serve.Failed
	}
	if err := verifier.Close(closing); err != nil {
		log.Warn("calls to the authorization server were cut off at the end", "error", err)
	}
	return serve.OK
}
