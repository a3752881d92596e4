package localacp

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/luikyv/go-oidc/pkg/goidc"
	"github.com/luikyv/go-oidc/pkg/provider"
)

// Server is a running authorization server. Its fields are not to be changed.
type Server struct {
	// Issuer is the server's identifier, http://127.0.0.1:PORT/{tenant}/{workspace}, or https://.
	Issuer string
	// Audience is the service that access tokens are for.
	Audience string
	// Users may sign in.
	Users []User

	options Options
	path    string // of the issuer
	cookie  string // name of the browser's cookie
	key     jose.JSONWebKey
	users   map[string]User
	clients map[string]Client
	scopes  map[string]Scope
	store   *store
	signOns table[signOn]
	outside table[string] // the library's token to the JWT
	inside  table[string] // and back
	answers table[*answer]
	redeem  sync.Mutex // one token request at a time: a code and a refresh token work once
	library http.Handler
	http    *http.Server
	serving sync.WaitGroup
	mtls    net.Listener // where clients show their certificates; nil without FAPI2
}

// Start listens on a loopback address and serves until Close. It does not block.
// The error names every mistake in the options.
func Start(options Options) (*Server, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("localacp: %w", err)
	}
	key, err := newKey(options.Alg)
	if err != nil {
		return nil, err
	}
	listener, err := listen(options.Addr, options.Certificate, tls.NoClientCert)
	if err != nil {
		return nil, err
	}
	host := listener.Addr().String()
	s := &Server{
		options: options,
		path:    "/" + options.Tenant + "/" + options.Workspace,
		key:     key,
		Users:   slices.Clone(options.Users),
		users:   map[string]User{},
		clients: map[string]Client{},
		scopes:  map[string]Scope{},
		store:   &store{lifetime: options.RefreshTokenLifetime + time.Hour},
	}
	scheme := "http://"
	if options.Certificate != nil {
		scheme = "https://"
	}
	s.Issuer = scheme + host + s.path
	// Cookies do not tell ports apart, so the name does.
	s.cookie = "localacp_" + host[strings.LastIndexByte(host, ':')+1:]
	s.Audience = options.Audience
	if s.Audience == "" {
		s.Audience = "spiffe://" + host + s.path + "/accounts"
	}
	for _, user := range options.Users {
		s.users[user.Username] = user
	}
	for _, client := range options.Clients {
		s.clients[client.ID] = client
	}
	for _, scope := range options.Scopes {
		s.scopes[scope.Name] = scope
	}
	listeners := []net.Listener{listener}
	if options.FAPI2 {
		if s.mtls, err = listen("127.0.0.1:0", options.Certificate, tls.RequireAnyClientCert); err != nil {
			return nil, errors.Join(err, listener.Close())
		}
		listeners = append(listeners, s.mtls)
	}
	op, err := s.provider()
	if err != nil {
		for _, l := range listeners {
			err = errors.Join(err, l.Close())
		}
		return nil, fmt.Errorf("localacp: %w", err)
	}
	s.library = op.Handler()
	s.http = &http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(options.Logger.Handler(), slog.LevelInfo),
	}
	for _, l := range listeners {
		s.serving.Go(func() {
			_ = s.http.Serve(l) // always ErrServerClosed, or the listener's end
		})
	}
	return s, nil
}

// listen takes a loopback address, and serves https there with a certificate.
func listen(address string, certificate *tls.Certificate, clients tls.ClientAuthType) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("localacp: %w", err)
	}
	if addr, ok := listener.Addr().(*net.TCPAddr); !ok || !addr.IP.IsLoopback() {
		return nil, errors.Join(errors.New("localacp: "+address+" is not a loopback address"), listener.Close())
	}
	if certificate == nil {
		return listener, nil
	}
	return tls.NewListener(listener, &tls.Config{
		Certificates: []tls.Certificate{*certificate}, ClientAuth: clients, MinVersion: tls.VersionTLS12,
	}), nil
}

// Close stops the server, requests in flight included, and waits until it is gone.
func (s *Server) Close() error {
	err := s.http.Close()
	s.serving.Wait()
	return err
}

func (s *Server) provider() (*provider.Provider, error) {
	alg := goidc.SignatureAlgorithm(s.options.Alg)
	var scopes []goidc.Scope
	for _, scope := range s.options.Scopes {
		scopes = append(scopes, goidc.NewScope(scope.Name))
	}
	var clients []*goidc.Client
	for _, client := range s.options.Clients {
		clients = append(clients, s.registration(client))
	}
	codeOptions := []provider.AuthCodeGrantOption{
		provider.WithPKCE([]goidc.CodeChallengeMethod{goidc.CodeChallengeMethodSHA256}, provider.WithPKCERequired()),
		provider.WithClaimsParameter(),
		provider.WithAuthPolicies(s.signInPolicy()),
	}
	if s.options.CallbackIssuer || s.options.FAPI2 {
		codeOptions = append(codeOptions, provider.WithIssuerResponseParameter())
	}
	var security []provider.Option
	if s.options.FAPI2 {
		codeOptions = append(codeOptions, s.fapi2CodeOptions()...)
		security = s.fapi2Options()
	} else {
		codeOptions = append(codeOptions, provider.WithFormPostResponseMode())
		security = []provider.Option{
			provider.WithSecretBasicAuthn(),
			provider.WithSecretPostAuthn(),
			provider.WithNoneAuthn(),
			provider.WithPrivateKeyJWTAuthn(assertionAlgs...),
		}
	}
	options := []provider.Option{
		provider.WithScopes(scopes...),
		provider.WithStaticClients(clients...),
		provider.WithJTIConsumer(s.store.consumeJTI),
		provider.WithAuthCodeGrant(provider.AuthCodeGrantConfig{
			Manager:       s.store,
			ResponseTypes: []goidc.ResponseType{goidc.ResponseTypeCode},
		}, codeOptions...),
		provider.WithRefreshTokenGrant(s.store,
			provider.WithRefreshTokenRotation(),
			provider.WithRefreshTokenLifetime(int(s.options.RefreshTokenLifetime.Seconds())),
			provider.WithRefreshTokenShouldIssue(func(_ context.Context, _ *goidc.Client, grant *goidc.Grant) bool {
				return slices.Contains(strings.Fields(grant.Scopes), "offline_access")
			})),
		provider.WithTokenOptions(func(context.Context, *goidc.Grant, *goidc.Client) goidc.TokenOptions {
			return goidc.NewOpaqueTokenOptions(int(s.options.AccessTokenLifetime.Seconds()))
		}, provider.WithOpaqueTokens(s.store)),
		provider.WithTokenHandler(s.mint),
		provider.WithTokenClaims(s.introspectionClaims),
		provider.WithIDTokenClaims(s.idTokenClaims),
		provider.WithIDTokenLifetime(3600),
		provider.WithUserInfoClaims(s.userInfoClaims),
		provider.WithClaims("name", "preferred_username", "email", "email_verified"),
		provider.WithTokenIntrospection(func(_ context.Context, client *goidc.Client, _ goidc.TokenInfo) bool {
			return !client.IsPublic()
		}),
		provider.WithTokenRevocation(func(context.Context, *goidc.Client) bool { return true },
			provider.WithTokenRevocationEndpoint("/oauth2/revoke")),
		provider.WithLogout(provider.LogoutConfig{Manager: s.store, HandleFunc: s.signedOut},
			provider.WithLogoutEndpoint("/oidc/logout"),
			provider.WithLogoutPolicies(s.signOutPolicy())),
		provider.WithAuthorizeEndpoint("/oauth2/authorize"),
		provider.WithTokenEndpoint("/oauth2/token"),
		provider.WithTokenIntrospectionEndpoint("/oauth2/introspect"),
		provider.WithUserInfoEndpoint("/userinfo"),
		provider.WithJWKSEndpoint("/.well-known/jwks.json"),
		provider.WithErrorRenderer(s.renderError),
		provider.WithErrorHandler(s.noteError),
	}
	return provider.New(provider.Config{
		Issuer:  s.Issuer,
		Manager: s.store,
		JWKS: func(context.Context) (goidc.JSONWebKeySet, error) {
			return goidc.JSONWebKeySet{Keys: []jose.JSONWebKey{s.key}}, nil
		},
		IDTokenAlgs: []goidc.SignatureAlgorithm{alg},
	}, append(options, security...)...)
}

var assertionAlgs = []goidc.SignatureAlgorithm{
	jose.RS256, jose.PS256, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// registration is the client in the library's terms.
func (s *Server) registration(client Client) *goidc.Client {
	var names []string
	for _, scope := range s.options.Scopes {
		names = append(names, scope.Name)
	}
	c := &goidc.Client{ID: client.ID, Secret: client.Secret, ClientMeta: goidc.ClientMeta{
		Name:                   client.Name,
		TokenAuthnMethod:       goidc.AuthnMethod(client.AuthMethod),
		GrantTypes:             []goidc.GrantType{goidc.GrantAuthorizationCode, goidc.GrantRefreshToken},
		ResponseTypes:          []goidc.ResponseType{goidc.ResponseTypeCode},
		RedirectURIs:           client.RedirectURLs,
		PostLogoutRedirectURIs: client.PostLogoutRedirectURLs,
		ScopeIDs:               strings.Join(names, " "),
	}}
	if client.PublicKey != nil || client.Certificate != nil {
		c.JWKS = &goidc.JSONWebKeySet{}
	}
	if client.Certificate != nil {
		c.JWKS.Keys = append(c.JWKS.Keys, certificateKey(client.Certificate))
	}
	if client.PublicKey != nil {
		if client.KeyID == "" {
			client.KeyID = thumbprint(client.PublicKey)
		}
		for _, alg := range fittingAlgs(client.PublicKey) {
			c.JWKS.Keys = append(c.JWKS.Keys, jose.JSONWebKey{
				Key: client.PublicKey, KeyID: client.KeyID, Use: "sig", Algorithm: string(alg),
			})
		}
	}
	return c
}

func fittingAlgs(key any) []jose.SignatureAlgorithm {
	switch key.(type) {
	case *rsa.PublicKey:
		return []jose.SignatureAlgorithm{jose.RS256, jose.PS256}
	case ed25519.PublicKey:
		return []jose.SignatureAlgorithm{jose.EdDSA}
	default:
		return []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.ES512}
	}
}

func thumbprint(key any) string {
	sum, err := (&jose.JSONWebKey{Key: key}).Thumbprint(crypto.SHA256)
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}
