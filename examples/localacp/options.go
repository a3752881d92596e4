package localacp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Options shape the server. Only Clients must be set.
type Options struct {
	// Addr is the loopback address to listen on. "" is 127.0.0.1 with a free port.
	Addr string

	// Tenant and Workspace are the two parts of the issuer's path.
	// "" are "demo" and "bank".
	Tenant, Workspace string

	// Clients are the registered applications, one at least.
	Clients []Client

	// Users may sign in. nil are DefaultUsers.
	Users []User

	// Scopes may be asked for, besides openid, profile, email and offline_access.
	// nil are DefaultScopes.
	Scopes []Scope

	// Audience is the service that access tokens are for: the second element of
	// their aud. "" is spiffe://{host}/{tenant}/{workspace}/accounts.
	Audience string

	// Alg signs all tokens: ES256 (the same as ""), RS256 or PS256.
	Alg string

	// AccessTokenLifetime and RefreshTokenLifetime, in whole seconds. 0 are one
	// hour and 30 days, as ACP has them.
	AccessTokenLifetime, RefreshTokenLifetime time.Duration

	// DenyError is the error of a refusal: "rejected" (the same as ""), or
	// "access_denied". ACP knows both; its consent pages choose.
	DenyError string

	// CallbackIssuer adds iss to callbacks and announces it (RFC 9207). ACP has a
	// switch for it, which is off unless someone turned it on.
	CallbackIssuer bool

	// Certificate is the server's, with its key: it serves https. nil serves http.
	Certificate *tls.Certificate

	// FAPI2 makes it a workspace of FAPI 2.0, which needs Certificate: authorization requests must be pushed,
	// and may be signed; callbacks have iss, and may be signed; clients prove themselves by
	// private_key_jwt or self_signed_tls_client_auth; access tokens are bound, by DPoP or to a certificate.
	FAPI2 bool

	// Logger takes one line for each refused request. nil is silent.
	Logger *slog.Logger
}

// Client is a registered application.
type Client struct {
	// ID and Name. Name is what the pages call it; "" is the ID.
	ID, Name string

	// AuthMethod is client_secret_basic, client_secret_post, private_key_jwt,
	// self_signed_tls_client_auth or none. "" is by what is set: the last but one with a
	// Certificate, else private_key_jwt with a PublicKey, else client_secret_basic with a Secret,
	// else none.
	AuthMethod string

	// Secret of a client that authenticates with one.
	Secret string

	// PublicKey checks the assertions of private_key_jwt, and request objects: *rsa.PublicKey,
	// *ecdsa.PublicKey or ed25519.PublicKey.
	PublicKey crypto.PublicKey

	// KeyID is the kid of the assertions; they may also go without. "" is the key's
	// thumbprint (RFC 7638).
	KeyID string

	// Certificate is the one of self_signed_tls_client_auth, which takes Options.FAPI2.
	Certificate *x509.Certificate

	// RedirectURLs are matched byte for byte. At least one.
	RedirectURLs []string

	// PostLogoutRedirectURLs are matched byte for byte.
	PostLogoutRedirectURLs []string
}

// User is a person who can sign in.
type User struct {
	// Username is also the subject.
	Username, Password string
	// Name and Email are given to clients with the scopes profile and email.
	Name, Email string
}

// Scope is something that a client can ask for.
type Scope struct {
	// Name on the wire, as in "accounts.read".
	Name string
	// Title and Text explain it to the user. "" are the name, and nothing.
	Title, Text string
	// Implicit scopes are granted without a question.
	Implicit bool
}

// DefaultUsers are alice and bob, whose passwords the login page tells.
func DefaultUsers() []User {
	return []User{
		{Username: "alice", Password: "wonderland", Name: "Alice Liddell", Email: "alice@example.com"},
		{Username: "bob", Password: "builder", Name: "Bob Cratchit", Email: "bob@example.com"},
	}
}

// DefaultScopes are those of a small bank and of the example API.
func DefaultScopes() []Scope {
	return []Scope{
		{Name: "accounts.read", Title: "See your accounts", Text: "Names and balances of your accounts."},
		{Name: "payments.write", Title: "Make payments", Text: "Send money from your accounts."},
		{Name: "things.read", Title: "See your things", Text: "Read what the example API keeps for you."},
		{Name: "things.write", Title: "Change your things", Text: "Add to what the example API keeps for you."},
	}
}

func standardScopes() []Scope {
	return []Scope{
		{Name: "openid", Title: "Know who you are", Implicit: true},
		{Name: "profile", Title: "See your profile", Text: "Your name and user name."},
		{Name: "email", Title: "See your email address", Text: "The address itself, and whether it is verified."},
		{Name: "offline_access", Title: "Stay connected", Text: "Go on while you are away.", Implicit: true},
	}
}

// withDefaults fills in what is absent, and reports every mistake at once.
func (o Options) withDefaults() (Options, error) {
	set := func(field *string, fallback string) {
		if *field == "" {
			*field = fallback
		}
	}
	set(&o.Addr, "127.0.0.1:0")
	set(&o.Tenant, "demo")
	set(&o.Workspace, "bank")
	set(&o.Alg, "ES256")
	set(&o.DenyError, "rejected")
	if o.Users == nil {
		o.Users = DefaultUsers()
	}
	if o.Scopes == nil {
		o.Scopes = DefaultScopes()
	}
	if o.AccessTokenLifetime == 0 {
		o.AccessTokenLifetime = time.Hour
	}
	if o.RefreshTokenLifetime == 0 {
		o.RefreshTokenLifetime = 30 * 24 * time.Hour
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Scopes = slices.Concat(standardScopes(), o.Scopes)
	for i := range o.Scopes {
		set(&o.Scopes[i].Title, o.Scopes[i].Name)
	}

	var errs []error
	for _, segment := range []string{o.Tenant, o.Workspace} {
		if url.PathEscape(segment) != segment || strings.Trim(segment, ".") == "" {
			errs = append(errs, fmt.Errorf("%q cannot be a part of the issuer's path", segment))
		}
	}
	if !slices.Contains([]string{"ES256", "RS256", "PS256"}, o.Alg) {
		errs = append(errs, fmt.Errorf("algorithm %q is none of ES256, RS256, PS256", o.Alg))
	}
	if o.AccessTokenLifetime < time.Second || o.RefreshTokenLifetime < time.Second {
		errs = append(errs, errors.New("a lifetime is under one second"))
	}
	if o.FAPI2 && o.Certificate == nil {
		errs = append(errs, errors.New("FAPI2 needs a Certificate"))
	}
	if o.FAPI2 && o.Alg == "RS256" {
		errs = append(errs, errors.New("FAPI2 does not have RS256"))
	}
	o.Clients = slices.Clone(o.Clients)
	for i := range o.Clients {
		errs = append(errs, o.Clients[i].complete(o.FAPI2))
	}
	return o, errors.Join(errs...)
}

func (c *Client) complete(fapi2 bool) error {
	if c.ID == "" {
		return errors.New("a client has no ID")
	}
	if c.Name == "" {
		c.Name = c.ID
	}
	if c.AuthMethod == "" {
		switch {
		case c.Certificate != nil:
			c.AuthMethod = "self_signed_tls_client_auth"
		case c.PublicKey != nil:
			c.AuthMethod = "private_key_jwt"
		case c.Secret != "":
			c.AuthMethod = "client_secret_basic"
		default:
			c.AuthMethod = "none"
		}
	}
	if len(c.RedirectURLs) == 0 {
		return fmt.Errorf("client %q has no redirect URL", c.ID)
	}
	switch c.AuthMethod {
	case "client_secret_basic", "client_secret_post":
		if c.Secret == "" {
			return fmt.Errorf("client %q has no secret", c.ID)
		}
	case "private_key_jwt":
		switch c.PublicKey.(type) {
		case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
		default:
			return fmt.Errorf("client %q: a %T is no public key that fits", c.ID, c.PublicKey)
		}
	case "self_signed_tls_client_auth":
		if c.Certificate == nil || !fapi2 {
			return fmt.Errorf("client %q has no certificate, or the server asks for none", c.ID)
		}
	case "none":
	default:
		return fmt.Errorf("client %q: unknown authentication method %q", c.ID, c.AuthMethod)
	}
	if fapi2 && c.AuthMethod != "private_key_jwt" && c.AuthMethod != "self_signed_tls_client_auth" {
		return fmt.Errorf("client %q: FAPI2 does not have %s", c.ID, c.AuthMethod)
	}
	return nil
}
