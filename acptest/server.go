package acptest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Server is an authorization server for one test. Its exported fields are set by NewServer and
// must not be changed. All methods may be called at any time, from any goroutine.
type Server struct {
	// Issuer is the issuer identifier, http://127.0.0.1:port/{tenant}/{workspace} by default.
	Issuer string

	// ClientID and ClientSecret are those of the main client. ClientSecret is "" for
	// private_key_jwt and for a public client.
	ClientID, ClientSecret string

	// Audience is the API that access tokens are meant for.
	Audience string

	t      testing.TB
	opts   Options
	http   *httptest.Server
	mtls   *httptest.Server // nil without Options.MTLS
	path   string           // of the issuer, "" or /tenant/workspace
	ctx    context.Context
	cancel context.CancelFunc
	routes map[string]Endpoint

	mu          sync.Mutex
	hooks       hooks
	key         *Key
	published   []map[string]any // JWKs, in order
	clients     map[string]Client
	deny        string
	unreachable bool
	user        User
	accessTTL   time.Duration
	requests    map[Endpoint][]Request
	changed     chan struct{} // closed and replaced with each request
	gates       map[Endpoint]<-chan struct{}
	tolerateAll bool
	tolerated   []Rule
	breaches    []Breach
	state       state
}

// NewServer starts a server on a free loopback port. It is closed when the test ends. nil
// options are the zero value. A mistake in the options ends the test at once.
func NewServer(t testing.TB, o *Options) *Server {
	t.Helper()
	var opts Options
	if o != nil {
		opts = *o
	}
	opts.Tenant = cmp.Or(opts.Tenant, "acme")
	opts.Workspace = cmp.Or(opts.Workspace, "demo")
	opts.Alg = cmp.Or(opts.Alg, "ES256")
	opts.AccessTokenTTL = cmp.Or(opts.AccessTokenTTL, time.Hour)
	opts.RefreshTokenTTL = cmp.Or(opts.RefreshTokenTTL, 30*24*time.Hour)
	opts.CodeTTL = cmp.Or(opts.CodeTTL, 10*time.Minute)
	opts.TLS = opts.TLS || opts.MTLS
	opts.PARTTL = cmp.Or(opts.PARTTL, time.Minute)
	opts.User = opts.User.withDefaults()
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if len(opts.Users) == 0 {
		opts.Users = []User{opts.User}
	}
	if !slices.Contains(algorithms, opts.Alg) {
		t.Fatalf("acptest: there is no signature algorithm %q", opts.Alg)
	}
	s := &Server{
		t: t, opts: opts, user: opts.User, accessTTL: opts.AccessTokenTTL,
		clients:   map[string]Client{},
		requests:  map[Endpoint][]Request{},
		changed:   make(chan struct{}),
		gates:     map[Endpoint]<-chan struct{}{},
		tolerated: slices.Clone(opts.Tolerate),
		state:     newState(),
		hooks: hooks{
			response: map[Endpoint]func(*Response){},
			override: map[Endpoint]http.HandlerFunc{},
		},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.publishFirstKeys()
	s.start()
	main := s.Register(opts.Client)
	s.ClientID, s.ClientSecret = main.ID, main.Secret
	for _, c := range opts.Clients {
		s.Register(c)
	}
	return s
}

// publishFirstKeys shows what a workspace shows: the key that signs, the next one, and
// one for encryption.
func (s *Server) publishFirstKeys() {
	s.key = NewKey(s.opts.Alg)
	s.AddKey(s.key)
	s.AddKey(NewKey("ES256"))
	if s.opts.EncryptionKey == nil {
		k := NewKey("ES256")
		s.opts.EncryptionKey = KeyFrom(k.ID, "ECDH-ES", k.signer)
	}
	enc := s.opts.EncryptionKey.JWK()
	enc["use"] = "enc"
	s.published = append(s.published, enc)
}

func (s *Server) start() {
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.http.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that refuse our certificate are part of tests
	if s.opts.TLS {
		if !s.opts.MTLS {
			s.http.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
		}
		s.http.StartTLS()
	} else {
		s.http.Start()
	}
	if s.opts.MTLS {
		s.startMTLS()
	}
	s.t.Cleanup(s.Close)
	if !s.opts.RootIssuer {
		s.path = "/" + s.opts.Tenant + "/" + s.opts.Workspace
	}
	s.Issuer = s.http.URL + s.path
	s.Audience = cmp.Or(s.opts.Audience, "spiffe://127.0.0.1/"+s.opts.Tenant+"/"+s.opts.Workspace+"/things")
	s.routes = map[string]Endpoint{}
	for e, path := range paths {
		s.routes[s.path+path] = e
	}
	// RFC 8414 3.1: the well-known string goes between the host and the issuer's path.
	s.routes["/.well-known/oauth-authorization-server"+s.path] = MetadataEndpoint
}

var paths = map[Endpoint]string{
	MetadataEndpoint:   "/.well-known/openid-configuration",
	JWKSEndpoint:       "/.well-known/jwks.json",
	AuthorizeEndpoint:  "/oauth2/authorize",
	PAREndpoint:        "/par",
	TokenEndpoint:      "/oauth2/token",
	IntrospectEndpoint: "/oauth2/introspect",
	RevokeEndpoint:     "/oauth2/revoke",
	UserInfoEndpoint:   "/userinfo",
	LogoutEndpoint:     "/oidc/logout",
	SignInEndpoint:     "/signin",
}

// URL returns the address of an endpoint. For MetadataEndpoint that is the document that the server
// serves: OpenID Connect's, or RFC 8414's with Options.OAuthMetadataOnly.
func (s *Server) URL(e Endpoint) string {
	if e == MetadataEndpoint && s.opts.OAuthMetadataOnly {
		return s.http.URL + "/.well-known/oauth-authorization-server" + s.path
	}
	return s.Issuer + paths[e]
}

// HTTPClient returns a client that trusts the server's certificate and follows no redirects.
func (s *Server) HTTPClient() *http.Client {
	return &http.Client{
		Transport:     s.http.Client().Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// RootCAs returns a pool that holds the server's certificate, or nil without TLS.
func (s *Server) RootCAs() *x509.CertPool {
	if !s.opts.TLS {
		return nil
	}
	pool := x509.NewCertPool()
	pool.AddCert(s.http.Certificate())
	return pool
}

// Close stops the server and cuts the connections that are still open: from then on
// it is unreachable. It is called at the end of the test, and may be called before.
func (s *Server) Close() {
	s.cancel()
	s.http.CloseClientConnections()
	s.http.Close()
	if s.mtls != nil {
		s.mtls.CloseClientConnections()
		s.mtls.Close()
	}
}

func (s *Server) now() time.Time { return s.opts.Now() }

const maxBody = 1 << 20

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	// net/http ends the request's context with the connection; Close must end it too.
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	r = r.WithContext(ctx)

	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	e, ok := s.routes[r.URL.Path]
	if !ok {
		e = OtherEndpoint
	}
	req := requestOf(r, body)
	s.mu.Lock()
	gate, override, unreachable := s.gates[e], s.hooks.override[e], s.unreachable
	s.mu.Unlock()
	s.inspect(e, r.URL.RawQuery, req)
	s.record(e, req)
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			panic(http.ErrAbortHandler)
		}
	}
	if unreachable {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if override != nil {
		override(w, r)
		return
	}
	s.Serve(e, w, r)
}

// Serve answers as the server itself does. It is for handlers given to Handle that
// want to act before or after; a recorder of net/http/httptest as w lets the request have its
// effect while the client never sees the answer.
func (s *Server) Serve(e Endpoint, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	req := requestOf(r, body)
	res := s.answer(e, req)
	res.Request = req
	if res.Header.Get("X-Trace-Id") == "" {
		res.Header.Set("X-Trace-Id", random()[:32])
	}
	s.mu.Lock()
	hook := s.hooks.response[e]
	s.mu.Unlock()
	if hook != nil {
		hook(res)
	}
	for name, values := range res.Header {
		w.Header()[name] = values
	}
	if len(res.Header["Content-Length"]) == 0 {
		w.Header().Set("Content-Length", strconv.Itoa(len(res.Body)))
	}
	w.WriteHeader(res.Status)
	_, _ = w.Write(res.Body) // the client may be gone
}

func (s *Server) answer(e Endpoint, req Request) *Response {
	switch e {
	case MetadataEndpoint:
		return s.metadata(req)
	case JWKSEndpoint:
		return s.jwks()
	case AuthorizeEndpoint:
		return s.authorize(req)
	case SignInEndpoint:
		return s.signIn(req)
	case PAREndpoint:
		return s.offerNonce(s.par(req))
	case TokenEndpoint:
		return s.token(req)
	case IntrospectEndpoint:
		return s.introspect(req)
	case RevokeEndpoint:
		return s.revoke(req)
	case UserInfoEndpoint:
		return s.userInfo(req)
	case LogoutEndpoint:
		return s.logout(req)
	}
	return genericError(http.StatusNotFound, "not_found", "this server has no such path")
}
