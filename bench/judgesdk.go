package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/acp-go/acp/acpclient"
)

// newVerifierJudge is this SDK's Verifier alone, without its handler. It takes the age of
// the key set from the server's answer, as far as that is between 5 s and 24 h.
func newVerifierJudge(title string, cacheSize *int) newJudge {
	return func(ctx context.Context, s *server, _ time.Duration) (*judge, error) {
		v, err := acpclient.NewVerifier(acpclient.VerifierConfig{
			Issuer: s.issuer, Audience: apiAudience, CacheSize: cacheSize, Transport: newTransport(),
			Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			return nil, err
		}
		return &judge{
			title: title,
			verify: func(ctx context.Context, token string) (string, error) {
				a, err := v.Verify(ctx, token)
				if err != nil {
					return "", err
				}
				return a.Subject, granted(a.Scopes)
			},
			close: func() { v.Close(ctx) },
		}, nil
	}
}
