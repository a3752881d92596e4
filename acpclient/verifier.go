package acpclient

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/oauth2"
)

// VerifierConfig describes an API and the authorization server whose access tokens it
// takes. Issuer and Audience are required; every other field may stay zero. It is a plain
// value: NewVerifier copies it, and a later change has no effect.
type VerifierConfig struct {
	Issuer         string // as Config.Issuer
	ExpectedIssuer string // as Config.ExpectedIssuer

	// Audience is this API's identifier, one of the values of a token's `aud`, compared
	// exactly. It must not be the client id of an application that logs users in, because
	// ACP puts that into access tokens and ID tokens alike. Required.
	Audience string

	// Profile refuses access tokens that are bound to no key and no certificate of their client, and
	// algorithms other than PS256, ES256 and EdDSA: New names each setting that contradicts it.
	// FAPI2MessageSigning besides takes no introspection answer that is not signed (RFC 9701).
	// That the sender has the key is for who calls: Verify refuses bound tokens, unless
	// InsecureAcceptBound is set. "" demands nothing.
	Profile Profile

	// Mode is how tokens are judged. "jwt" (the same as "") takes JWTs by their signature.
	// "introspection" asks the server about each token (RFC 7662). "auto" does the first with
	// JWTs and the second with all others.
	Mode string

	// ClientID and Auth are this API's registration at the server, for introspection.
	// Without them, and without Introspector, there is none.
	ClientID string
	Auth     ClientAuth

	// Introspector gives access tokens of this API's own that introspection is authorized
	// with, instead of Auth: ACP wants the scope introspect_tokens in them. nil means Auth.
	Introspector oauth2.TokenSource

	// IntrospectionTTL is how long an answer is believed, and so how long a revoked token
	// may still pass. nil means 10 s, 0 asks for each request, the most is 5 min. It
	// never reaches beyond the token's end.
	IntrospectionTTL *time.Duration

	// CacheSize is how many good tokens are remembered, JWTs until they expire or their
	// key goes, so that a repeated token costs a hash instead of a signature. They take 32
	// MiB at most. nil means 10 000, 0 remembers none. It delays no revocation of a JWT: that is
	// seen by nobody who does not ask the server.
	CacheSize *int

	// RFC9068 demands what RFC 9068 does: typ at+jwt, client_id, iat and jti. ACP's
	// tokens do not keep to it by default. It concerns JWTs alone.
	RFC9068 bool

	// Algs narrows the accepted signature algorithms. nil means all asymmetric ones.
	Algs []string

	// Leeway is the clock difference that is forgiven. 0 means 30 s, the most is 5 min.
	Leeway time.Duration

	// InsecureAcceptBound lets tokens pass that are bound to a key of their client (`cnf`).
	// Whoever sets it must compare AccessToken.Confirmation with a proof of possession by
	// itself (RFC 8705 3, RFC 9449 7): without that a stolen token is as good as the
	// client's own. RequireBearer refuses bound tokens all the same.
	InsecureAcceptBound bool

	MaxTokenSize int               // as Config.MaxTokenSize, for opaque tokens, too
	MaxStale     time.Duration     // as Config.MaxStale
	RootCAs      *x509.CertPool    // as Config.RootCAs
	Transport    http.RoundTripper // as Config.Transport
	Logger       *slog.Logger      // as Config.Logger
}

// Verifier judges the access tokens of one issuer for one API. It is safe for concurrent
// use, and meant to live as long as the program.
type Verifier struct {
	sealed // printed, it would show the secret
	*provider
	config  VerifierConfig
	good    *goodTokens   // nil where none are remembered
	headers headerMemo    // of JWTs that were good
	inquire *introspector // nil where nobody is asked
	rooms   sync.Pool     // of *scratch

	fingerprints fingerprinter
}

const (
	defaultCacheSize        = 10_000
	defaultIntrospectionTTL = 10 * time.Second
	maxIntrospectionTTL     = 5 * time.Minute
)

// NewVerifier checks the configuration and returns a Verifier, without any request. The
// error names every mistake at once.
func NewVerifier(config VerifierConfig) (*Verifier, error) {
	config.Auth = settled(config.Auth)
	pc := providerConfig{
		issuer: config.Issuer, expected: config.ExpectedIssuer, clientID: config.ClientID, auth: config.Auth, certificate: ofAuth(config.Auth),
		maxStale: config.MaxStale, rootCAs: config.RootCAs, transport: config.Transport, logger: config.Logger,
	}
	if err := errors.Join(pc.check(), config.check(), config.checkProfile()); err != nil {
		return nil, fmt.Errorf("acpclient: invalid verifier configuration:\n%w", err)
	}
	config = config.underProfile()
	pc.auth = config.Auth
	config.Algs = slices.Clone(config.Algs)
	if config.Algs == nil {
		config.Algs = asymmetricAlgs
	}
	config.Leeway = orDefault(config.Leeway, 30*time.Second)
	config.MaxTokenSize = orDefault(config.MaxTokenSize, defaultTokenSize)
	v := &Verifier{provider: newProvider(pc), config: config, fingerprints: newFingerprinter()}
	v.rooms.New = func() any { return &scratch{} }
	size := defaultCacheSize
	if config.CacheSize != nil {
		size = *config.CacheSize
	}
	v.good = newGoodTokens(size)
	if config.Mode == "introspection" || config.Mode == "auto" {
		ttl := defaultIntrospectionTTL
		if config.IntrospectionTTL != nil {
			ttl = *config.IntrospectionTTL
		}
		v.inquire = newIntrospector(v, ttl, size)
	}
	return v, nil
}

// check reports every mistake of what concerns only a Verifier.
func (c *VerifierConfig) check() error {
	var errs []error
	bad := func(field, format string, args ...any) { errs = append(errs, mistake(field, format, args...)) }
	if c.Audience == "" {
		bad("Audience", "is empty; without it a token for any other API would pass")
	}
	switch c.Mode {
	case "", "jwt":
	case "introspection", "auto":
		if c.Introspector == nil && (c.ClientID == "" || c.Auth == nil) {
			bad("ClientID, Auth", "are needed for introspection, or Introspector")
		}
		if c.RFC9068 && c.Mode == "introspection" {
			bad("RFC9068", "is about JWTs, which Mode introspection does not look at")
		}
	default:
		bad("Mode", "is none of jwt, introspection and auto")
	}
	if c.Introspector != nil && c.Auth != nil {
		bad("Introspector", "cannot be combined with Auth")
	}
	if c.Auth != nil {
		if err := c.Auth.check(); err != nil {
			errs = append(errs, err)
		}
	}
	if c.ClientID != "" && !printable(c.ClientID) {
		bad("ClientID", "has characters that RFC 6749 A.1 does not allow")
	}
	if t := c.IntrospectionTTL; t != nil && (*t < 0 || *t > maxIntrospectionTTL) {
		bad("IntrospectionTTL", "not between 0 and 5 min")
	}
	if n := c.CacheSize; n != nil && (*n < 0 || *n > 1_000_000) {
		bad("CacheSize", "not between 0 and a million")
	}
	for _, alg := range c.Algs {
		if !isAsymmetric(alg) {
			bad("Algs", "%q is not supported", alg)
		}
	}
	if c.Leeway < 0 || c.Leeway > 5*time.Minute {
		bad("Leeway", "not between 0 and 5 min")
	}
	if c.MaxTokenSize < 0 || c.MaxTokenSize > maxResponseBody {
		bad("MaxTokenSize", "not between 0 and 1 MiB")
	}
	return errors.Join(errs...)
}

// Ready fetches the metadata, and the keys where JWTs are taken, where they are not known
// yet. Errors as for Client.Ready.
func (v *Verifier) Ready(ctx context.Context) error {
	m, err := v.meta.value(ctx)
	switch {
	case v.keys.closed():
		return ErrClosed
	case err != nil:
		return err
	case v.inquire != nil && m.IntrospectionEndpoint == "":
		return errNoIntrospection
	case v.inquire != nil && v.config.Profile.signs() && m.IntrospectionSigningAlgValuesSupported == nil:
		return errUnsignedAnswers
	case v.config.Mode == "introspection":
		return nil
	}
	return v.keys.ready(ctx)
}

// Close ends fetches and introspections under way and closes idle connections. Later calls
// return ErrClosed. It may be called twice.
func (v *Verifier) Close(context.Context) error {
	v.inquire.close()
	v.provider.close()
	return nil
}

// Verify judges an access token: that it is one at all, its issuer, audience and times
// (RFC 9068 4, RFC 8725), and its signature or what the server says of it (RFC 7662). A
// JWT waits for keys only where it names one that is not known.
//
// The error is ErrInvalidToken, or ErrUnavailable when the token cannot be judged now,
// and then it says nothing about the token. Parallel calls with one token ask the server once.
func (v *Verifier) Verify(ctx context.Context, token string) (*AccessToken, error) {
	a, err := v.verify(ctx, token)
	if err == nil && a.Confirmation != nil && !v.config.InsecureAcceptBound {
		return nil, errBound
	}
	return a, err
}

// verify takes bound tokens, too.
func (v *Verifier) verify(ctx context.Context, token string) (*AccessToken, error) {
	switch {
	case v.keys.closed():
		return nil, ErrClosed
	case len(token) > v.config.MaxTokenSize:
		return nil, errTooLong
	case v.config.Mode == "introspection", v.config.Mode == "auto" && !looksLikeJWT(token, &v.headers):
		return v.introspect(ctx, token)
	}
	room := v.rooms.Get().(*scratch)
	a, err := v.verifyJWT(ctx, token, room)
	clear(room.members) // they hold parts of the payload, as the lists do
	clear(room.lists)
	room.members, room.lists = room.members[:0], room.lists[:0]
	v.rooms.Put(room)
	return a, err
}
