package acpclient

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// provider is an authorization server as both the Client and the Verifier see it: its
// metadata, its keys, and the one way to reach it.
type provider struct {
	issuer   string // as configured
	expected string // the iss of tokens and callbacks
	back     *backChannel
	meta     *lazy[*Metadata]
	keys     *keySet
	guard    *dialGuard // nil with a transport of the caller's
	cert     *certified // nil without a client certificate
	log      *slog.Logger
	now      func() time.Time
}

const (
	metadataFresh = 15 * time.Minute
	forcedFetch   = 30 * time.Second // the cool-down between fetches that somebody's token forces
)

// providerConfig is what Config and VerifierConfig have in common.
type providerConfig struct {
	issuer, expected string
	clientID         string
	auth             ClientAuth
	certificate      *MutualTLS // nil for none
	maxStale         time.Duration
	rootCAs          *x509.CertPool
	transport        http.RoundTripper
	logger           *slog.Logger
}

// check reports every mistake.
func (c *providerConfig) check() error {
	var errs []error
	switch u, err := checkURL(c.issuer); {
	case c.issuer == "":
		errs = append(errs, mistake("Issuer", "is empty"))
	case err != nil:
		errs = append(errs, mistake("Issuer", "%w", err))
	case u.RawQuery != "" || u.ForceQuery:
		errs = append(errs, mistake("Issuer", "has a query"))
	case strings.HasSuffix(u.Path, "/.well-known/openid-configuration"):
		errs = append(errs, mistake("Issuer", "is the address of the metadata; the issuer is what stands before /.well-known"))
	}
	if c.expected != "" {
		if _, err := checkURL(c.expected); err != nil {
			errs = append(errs, mistake("ExpectedIssuer", "%w", err))
		}
	}
	if c.maxStale < 0 || c.maxStale > 24*time.Hour {
		errs = append(errs, mistake("MaxStale", "not between 0 and 24 h"))
	}
	if c.rootCAs != nil && c.transport != nil {
		errs = append(errs, mistake("RootCAs", "cannot be combined with Transport, which has its own"))
	}
	if c.certificate != nil {
		errs = append(errs, checkCertifiable(c.transport))
	}
	return errors.Join(errs...)
}

// newProvider expects a checked configuration.
func newProvider(c providerConfig) *provider {
	issuerURL, _ := url.Parse(c.issuer)
	p := &provider{
		issuer: c.issuer, expected: firstOf(c.expected, c.issuer), now: wallClock,
		log: c.logger,
	}
	if p.log == nil {
		p.log = slog.Default()
	}
	clock := func() time.Time { return p.now() }
	p.back = &backChannel{base: c.transport, clientID: c.clientID, auth: c.auth, issuer: c.issuer, now: clock}
	p.back.client = &http.Client{Transport: p.back}
	if c.transport == nil {
		p.guard = &dialGuard{issuerHost: issuerURL.Hostname()}
		p.back.base = newTransport(c.rootCAs, p.guard)
	}
	if c.certificate != nil {
		p.cert = newCertified(p.back.base.(*http.Transport), c.certificate, issuerURL)
		p.back.base = p.cert
	}
	p.meta = &lazy[*Metadata]{
		fetch: func(ctx context.Context) (*Metadata, error) { return p.discover(ctx, issuerURL) },
		fresh: metadataFresh, timeout: fetchTimeout, now: clock, jitter: rand.Float64,
	}
	if c.maxStale == 0 {
		c.maxStale = 24 * time.Hour
	}
	p.keys = newKeySet(p.fetchKeys, keySetOptions{maxStale: c.maxStale, now: clock, log: p.log, jitter: rand.Float64})
	return p
}

// discover reads the OpenID Connect document and, where the server has none, that of
// RFC 8414, whose well-known part comes before the issuer's path.
func (p *provider) discover(ctx context.Context, issuer *url.URL) (m *Metadata, err error) {
	defer p.rescue(&err)
	m, err = p.document(ctx, strings.TrimSuffix(p.issuer, "/")+"/.well-known/openid-configuration", issuer)
	if e, ok := errors.AsType[*Error](err); ok && (e.StatusCode == http.StatusNotFound || e.StatusCode == http.StatusMethodNotAllowed || e.StatusCode == http.StatusGone) {
		u := *issuer
		u.Path, u.RawPath = "", ""
		m, err = p.document(ctx, u.String()+"/.well-known/oauth-authorization-server"+strings.TrimSuffix(issuer.EscapedPath(), "/"), issuer)
	}
	if err != nil {
		p.log.Warn("acp: no usable metadata", "issuer", p.issuer, "reason", Reason(err), "error", err.Error())
		return nil, err
	}
	if p.cert != nil {
		p.cert.allow(m)
	}
	if p.guard != nil {
		hosts := map[string]bool{}
		for _, endpoint := range m.backChannelEndpoints() {
			if u, err := url.Parse(*endpoint); err == nil {
				hosts[u.Hostname()] = true
			}
		}
		if u, err := url.Parse(m.JWKSURI); err == nil {
			hosts[u.Hostname()] = true
		}
		p.guard.hosts.Store(&hosts)
	}
	return m, nil
}

func (p *provider) document(ctx context.Context, address string, issuer *url.URL) (*Metadata, error) {
	body, err := p.back.get(ctx, address, nil, document)
	if err != nil {
		return nil, err
	}
	m, err := parseMetadata(body, issuer, p.issuer, p.expected)
	if err == nil && p.cert != nil {
		err = m.useAliases(issuer)
	}
	return m, err
}

// fetchKeys is the key set's way to its document.
func (p *provider) fetchKeys(ctx context.Context) (body []byte, maxAge time.Duration, ok bool, err error) {
	defer p.rescue(&err)
	m, err := p.meta.value(ctx)
	if err != nil {
		return nil, 0, false, &nowhere{err, p.meta.rest()}
	}
	if m.JWKSURI == "" {
		return nil, 0, false, invalidResponse("metadata", "no jwks_uri")
	}
	body, err = p.back.get(ctx, m.JWKSURI, nil, func(a *answer) ([]byte, error) {
		maxAge, ok = cacheControl(strings.Join(a.header.Values("Cache-Control"), ","))
		return document(a)
	})
	return body, maxAge, ok, err
}

// rescue makes an error of a panic in the caller's Transport or Introspector. It happens on
// a goroutine of ours, where it would end the program and not one request.
func (p *provider) rescue(err *error) {
	value := recover()
	if value == nil {
		return
	}
	what := panicText(value)
	p.log.Error("acp: a panic in a request to the server", "panic", what, "stack", string(debug.Stack()))
	*err = unavailable(fmt.Errorf("panic: %s", what), time.Second)
}

// panicText is what may be said of a panic's value.
func panicText(value any) string {
	if e, ok := value.(runtime.Error); ok {
		return e.Error()
	}
	return fmt.Sprintf("a value of type %T", value) // which may hold anything
}

// cacheControl reads max-age (RFC 9111 5.2.2.1); the key set clamps it.
func cacheControl(header string) (time.Duration, bool) {
	for directive := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		if !strings.EqualFold(name, "max-age") {
			continue
		}
		n, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 64)
		if errors.Is(err, strconv.ErrRange) || err == nil && n > 24*3600 {
			return 24 * time.Hour, true
		}
		return time.Duration(n) * time.Second, err == nil
	}
	return 0, false
}

// ready fetches the metadata and the keys.
func (p *provider) ready(ctx context.Context) error {
	if _, err := p.meta.value(ctx); err != nil {
		return err
	}
	return p.keys.ready(ctx)
}

// close ends what is under way.
func (p *provider) close() {
	p.meta.close()
	p.keys.close()
	closeIdle(p.back.base)
}
