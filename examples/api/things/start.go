package things

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/examples/internal/serve"
	"github.com/acp-go/acp/middleware"
)

// Start serves the API beside another program. The verifier's Audience is the API's identifier
// in every sense: in the tokens' aud, and in its metadata. Under a profile the API takes tokens
// that are bound by DPoP. After an error the listener is still the caller's.
func Start(listener net.Listener, config acpclient.VerifierConfig) (stop func() error, err error) {
	verifier, err := acpclient.NewVerifier(config)
	if err != nil {
		return nil, err
	}
	o := Options{Resource: config.Audience, Issuers: []string{config.Issuer}, Logger: config.Logger}
	if config.Profile != "" {
		o.DPoP = &middleware.DPoPOptions{RequireNonce: true}
	}
	handler, err := New(verifier, o)
	if err != nil {
		return nil, err
	}
	stopServer := serve.Background(listener, handler, config.Logger)
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return errors.Join(stopServer(), verifier.Close(ctx))
	}, nil
}
