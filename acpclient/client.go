package acpclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"
)

// Client is one registration at one authorization server. It is safe for concurrent
// use, and meant to live as long as the program.
type Client struct {
	sealed // printed, it would show the secret
	*provider
	config Config
	secret []byte            // of HS256 ID tokens; nil for all others
	api    http.RoundTripper // of HTTPClient

	encryption *lazy[*key] // of request objects; nil for none

	prefix atomic.Pointer[authorizePrefix]

	mu       sync.Mutex // guards isClosed
	isClosed bool
	underWay sync.WaitGroup // calls that Close waits for
}

// New checks the configuration and returns a Client, without any request: the program
// starts while the server is down. The error names every mistake at once.
func New(config Config) (*Client, error) {
	config.Auth = settled(config.Auth)
	if config.RequestObject != nil {
		config.RequestObject = new(*config.RequestObject)
	}
	if config.Certificate != nil {
		config.Certificate = new(*config.Certificate)
	}
	pc := providerConfig{
		issuer: config.Issuer, expected: config.ExpectedIssuer, clientID: config.ClientID, auth: config.Auth, certificate: config.certificate(),
		maxStale: config.MaxStale, rootCAs: config.RootCAs, transport: config.Transport, logger: config.Logger,
	}
	if err := errors.Join(pc.check(), config.check(), config.checkProfile()); err != nil {
		return nil, fmt.Errorf("acpclient: invalid configuration:\n%w", err)
	}
	config = config.underProfile()
	pc.auth = config.Auth
	config.Scopes = slices.Clone(config.Scopes)
	config.TrustedAudiences = slices.Clone(config.TrustedAudiences)
	config.IDTokenAlgs = slices.Clone(config.IDTokenAlgs)
	config.Decryption = config.Decryption.clone()
	config.Leeway = orDefault(config.Leeway, time.Minute)
	config.FlowLifetime = orDefault(config.FlowLifetime, 10*time.Minute)
	config.MaxTokenSize = orDefault(config.MaxTokenSize, defaultTokenSize)
	c := &Client{provider: newProvider(pc), config: config, api: config.Transport}
	if r := config.RequestObject; r != nil && r.EncryptionAlg != "" {
		c.encryption = c.newEncryption()
	}
	if config.DPoP != nil {
		config.DPoP = new(*config.DPoP)
		c.config.DPoP = config.DPoP
		c.back.dpop, _ = newProver(config.DPoP, c.back.now) // checked before
	}
	if c.api == nil {
		c.api = newTransport(config.RootCAs, nil)
	}
	if m := config.certificate(); m != nil {
		c.api = m.on(c.api.(*http.Transport)) // checked before
	}
	if len(config.IDTokenAlgs) == 1 && isHMAC(config.IDTokenAlgs[0]) {
		c.secret = []byte(sharedSecret(config.Auth))
	}
	return c, nil
}

const defaultTokenSize = 16 << 10

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// check reports every mistake of what concerns only a Client.
func (c *Config) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch {
	case c.ClientID == "":
		bad("ClientID: is empty")
	case !printable(c.ClientID):
		bad("ClientID: has characters that RFC 6749 A.1 does not allow")
	}
	if c.Auth != nil {
		if err := c.Auth.check(); err != nil {
			errs = append(errs, err)
		}
	}
	if c.RequestObject != nil {
		if err := c.RequestObject.check(); err != nil {
			errs = append(errs, err)
		}
	}
	if err := c.checkCertificate(); err != nil {
		errs = append(errs, err)
	}
	if err := c.DPoP.check(); err != nil {
		errs = append(errs, err)
	}
	if c.RedirectURL != "" {
		if u, err := checkURL(c.RedirectURL); err != nil {
			bad("RedirectURL: %w", err)
		} else if u.ForceQuery {
			bad("RedirectURL: ends in a question mark")
		}
	}
	if err := checkScopes(c.Scopes); err != nil {
		bad("Scopes: %w", err)
	}
	if err := c.checkResponseMode(); err != nil {
		bad("ResponseMode: %w", err)
	}
	if err := c.Decryption.check(c.responseMode()); err != nil {
		errs = append(errs, err)
	}
	if slices.Contains(c.TrustedAudiences, "") {
		bad("TrustedAudiences: holds an empty string")
	}
	if err := c.checkAlgs(); err != nil {
		bad("IDTokenAlgs: %w", err)
	}
	if c.Leeway < 0 || c.Leeway > 5*time.Minute {
		bad("Leeway: not between 0 and 5 min")
	}
	if c.FlowLifetime < 0 || c.FlowLifetime > time.Hour {
		bad("FlowLifetime: not between 0 and 1 h")
	}
	if c.MaxTokenSize < 0 || c.MaxTokenSize > maxResponseBody {
		bad("MaxTokenSize: not between 0 and 1 MiB")
	}
	return errors.Join(errs...)
}

// checkAlgs obeys OIDC Core 3.1.3.7 (8) and RFC 7518 3.2 where HMAC is wanted.
func (c *Config) checkAlgs() error {
	hmac := false
	for _, alg := range c.IDTokenAlgs {
		switch {
		case isHMAC(alg):
			hmac = true
		case !isAsymmetric(alg):
			return fmt.Errorf("%q is not supported", alg)
		}
	}
	if !hmac {
		return nil
	}
	if len(c.IDTokenAlgs) != 1 {
		return errors.New("an HS algorithm must stand alone")
	}
	alg := c.IDTokenAlgs[0]
	if len(sharedSecret(c.Auth)) < hmacSize(alg) {
		return fmt.Errorf("%s needs a client secret of %d bytes or more", alg, hmacSize(alg))
	}
	return nil
}

// checkScopes obeys RFC 6749 3.3.
func checkScopes(scopes []string) error {
	for _, s := range scopes {
		if s == "" {
			return errors.New("holds an empty string")
		}
		for i := range len(s) {
			if c := s[i]; c <= 0x20 || c >= 0x7f || c == '"' || c == '\\' {
				return fmt.Errorf("%q has a character that a scope cannot have (each scope is an element of its own)", s)
			}
		}
	}
	return nil
}

// printable holds for 1*VSCHAR with spaces (RFC 6749 A.1).
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return s != ""
}

// Config is a copy of the configuration, with the defaults of its times and sizes and the
// demands of its Profile filled in, and without Auth, Certificate, RequestObject,
// Decryption and DPoP.
func (c *Client) Config() Config {
	config := c.config
	config.Auth, config.Certificate, config.RequestObject, config.Decryption, config.DPoP = nil, nil, nil, nil, nil
	config.Scopes = slices.Clone(config.Scopes)
	config.TrustedAudiences = slices.Clone(config.TrustedAudiences)
	config.IDTokenAlgs = slices.Clone(config.IDTokenAlgs)
	return config
}

// Ready fetches metadata and keys where they are not known yet: for health checks, and
// for programs that rather fail at their start. The error is ErrUnavailable,
// ErrInvalidResponse (also where the server does not offer what the configuration
// demands), or an *Error.
func (c *Client) Ready(ctx context.Context) error {
	m, err := c.meta.value(ctx)
	if err != nil {
		return err
	}
	if err := c.judgeOffer(m); err != nil {
		return err
	}
	if c.encryption != nil {
		if _, err := c.encryptionKey(ctx); err != nil {
			return err
		}
	}
	if m.JWKSURI == "" && !c.needsKeys(c.config.Scopes) {
		return nil
	}
	return c.provider.ready(ctx)
}

// Metadata is what the server says of itself, fetched when it is first wanted and kept
// fresh in the background. The value is shared: do not change it. Errors as for Ready.
func (c *Client) Metadata(ctx context.Context) (*Metadata, error) { return c.meta.value(ctx) }

// Close waits for calls under way, until ctx ends, and closes idle connections. When ctx
// ends first, they still finish, within their own deadlines. Later calls that would need the
// server return ErrClosed. It may be called twice.
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	c.isClosed = true
	c.mu.Unlock()
	done := make(chan struct{})
	go func() {
		c.underWay.Wait()
		if c.encryption != nil {
			c.encryption.close()
		}
		c.provider.close() // not before: a refresh that is cut off loses the session
		closeIdle(c.api)
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin guards a call that Close waits for.
func (c *Client) begin() (end func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isClosed {
		return nil, ErrClosed
	}
	c.underWay.Add(1)
	return c.underWay.Done, nil
}

// oauth2Config is x/oauth2's view of the client. It knows no credentials: the back
// channel adds them, so that there is one place for all methods and all endpoints.
func (c *Client) oauth2Config(m *Metadata) *oauth2.Config {
	return &oauth2.Config{
		RedirectURL: c.config.RedirectURL,
		Endpoint:    oauth2.Endpoint{TokenURL: m.TokenEndpoint, AuthStyle: oauth2.AuthStyleInParams},
	}
}
