package acpclient

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"
)

// VerifierConfig describes an API and the authorization server whose access tokens it
// takes. Issuer and Audience are required; the other fields mean the same as in Config.
type VerifierConfig struct {
	Issuer         string // as Config.Issuer
	ExpectedIssuer string // as Config.ExpectedIssuer

	// Audience is this API's identifier, one of the values of a token's `aud`, compared
	// exactly. It must not be the client id of an application that logs users in, because
	// ACP puts that into access tokens and ID tokens alike. Required.
	Audience string

	// Algs narrows the accepted signature algorithms. nil means all asymmetric ones.
	Algs []string

	// Leeway is the clock difference that is forgiven. 0 means 30 s, the most is 5 min.
	Leeway time.Duration

	// InsecureAcceptBound lets tokens pass that are bound to a key of their client (`cnf`).
	// Whoever sets it must compare AccessToken.Confirmation with a proof of possession by
	// itself (RFC 8705 3, RFC 9449 7): without that a stolen token is as good as the
	// client's own. RequireBearer refuses bound tokens all the same.
	InsecureAcceptBound bool

	MaxTokenSize int               // as Config.MaxTokenSize
	MaxStale     time.Duration     // as Config.MaxStale
	RootCAs      *x509.CertPool    // as Config.RootCAs
	Transport    http.RoundTripper // as Config.Transport
	Logger       *slog.Logger      // as Config.Logger
}

// Verifier judges the access tokens of one issuer for one API. It is safe for concurrent
// use, and meant to live as long as the program.
type Verifier struct {
	*provider
	config VerifierConfig
}

// NewVerifier checks the configuration and returns a Verifier, without any request. The
// error names every mistake at once.
func NewVerifier(config VerifierConfig) (*Verifier, error) {
	pc := providerConfig{
		issuer: config.Issuer, expected: config.ExpectedIssuer,
		maxStale: config.MaxStale, rootCAs: config.RootCAs, transport: config.Transport, logger: config.Logger,
	}
	errs := []error{pc.check()}
	if config.Audience == "" {
		errs = append(errs, mistake("Audience", "is empty; without it a token for any other API would pass"))
	}
	for _, alg := range config.Algs {
		if !isAsymmetric(alg) {
			errs = append(errs, mistake("Algs", "%q is not supported", alg))
		}
	}
	if config.Leeway < 0 || config.Leeway > 5*time.Minute {
		errs = append(errs, mistake("Leeway", "not between 0 and 5 min"))
	}
	if config.MaxTokenSize < 0 || config.MaxTokenSize > maxResponseBody {
		errs = append(errs, mistake("MaxTokenSize", "not between 0 and 1 MiB"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("acpclient: invalid verifier configuration:\n%w", err)
	}
	config.Algs = slices.Clone(config.Algs)
	if config.Algs == nil {
		config.Algs = asymmetricAlgs
	}
	config.Leeway = orDefault(config.Leeway, 30*time.Second)
	config.MaxTokenSize = orDefault(config.MaxTokenSize, defaultTokenSize)
	return &Verifier{provider: newProvider(pc), config: config}, nil
}

// Ready fetches metadata and keys where they are not known yet. Errors as for Client.Ready.
func (v *Verifier) Ready(ctx context.Context) error { return v.provider.ready(ctx) }

// Close ends fetches under way and closes idle connections. Later calls return
// ErrClosed. It may be called twice.
func (v *Verifier) Close(context.Context) error {
	v.provider.close()
	return nil
}

// Verify judges a JWT access token: signature, issuer, audience, times, and that it is
// an access token at all (RFC 9068 4, RFC 8725). It waits for keys only where the token
// names one that is not known. The error is ErrInvalidToken, or ErrUnavailable when the
// token cannot be judged now, and then it says nothing about the token.
func (v *Verifier) Verify(ctx context.Context, token string) (*AccessToken, error) {
	t, err := parseJWS(token, v.config.MaxTokenSize)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(v.config.Algs, t.alg) {
		return nil, invalidToken("alg", "alg is not an accepted one")
	}
	if err := v.keys.verify(ctx, t.alg, t.kid, t.hasKid, t.signingInput, t.signature); err != nil {
		return nil, err
	}
	if err := t.readClaims(); err != nil {
		return nil, err
	}
	return v.judge(t)
}

// judge applies the rules to verified claims.
func (v *Verifier) judge(t *jws) (*AccessToken, error) {
	if t.typ != "" && t.typ != "jwt" && t.typ != "at+jwt" {
		return nil, invalidToken("token_use", "typ is not an access token's")
	}
	if iss, _, err := t.text("iss"); err != nil || iss != v.expected {
		return nil, invalidToken("issuer", "iss is not the expected one")
	}
	a, _, err := v.judgeAccess(t.claims)
	if err != nil {
		return nil, err
	}
	a.Issuer, a.claims = v.expected, t.payload
	return a, nil
}
