package things

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/examples/internal/serve"
)

// Start serves the API beside another program, for the JWTs of one issuer. The audience is
// the API's identifier in every sense: in the tokens' aud, and in its metadata. After an error
// the listener is still the caller's.
func Start(listener net.Listener, issuer, audience string, log *slog.Logger) (stop func() error, err error) {
	verifier, err := acpclient.NewVerifier(acpclient.VerifierConfig{Issuer: issuer, Audience: audience, Logger: log})
	if err != nil {
		return nil, err
	}
	handler, err := New(verifier, Options{Resource: audience, Issuers: []string{issuer}, Logger: log})
	if err != nil {
		return nil, err
	}
	stopServer := serve.Background(listener, handler, log)
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return errors.Join(stopServer(), verifier.Close(ctx))
	}, nil
}
