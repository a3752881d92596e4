package acpclient

import (
	"crypto/x509"
	"log/slog"
	"net/http"
	"time"
)

// Config describes one registration of a client at one authorization server.
// It is a plain value: New copies it, and a later change has no effect.
// Every field but Issuer and ClientID may stay zero.
type Config struct {
	// Issuer is the authorization server's identifier, as its metadata gives it,
	// byte for byte: no trailing slash is added or taken away. For ACP this is
	// https://host/{tenant}/{workspace}, or any vanity form. https is demanded,
	// but for loopback. It is what stands before /.well-known/openid-configuration in the
	// address of the metadata. Required.
	Issuer string

	// ExpectedIssuer is the `iss` that tokens and callbacks carry where it differs
	// from Issuer: ACP's custom_issuer_url, or an mTLS host. "" means Issuer.
	ExpectedIssuer string

	// ClientID is the client's identifier. Required.
	ClientID string

	// Profile sets what a profile of high security demands wherever a field is zero, and makes a mistake of
	// what contradicts it: New names each. What the server must have besides, Ready and Authorize demand.
	// "" demands nothing.
	Profile Profile

	// Auth is how the client authenticates at every endpoint: Secret, SecretBasic,
	// SecretPost, SecretJWT, PrivateKeyJWT or MutualTLS. nil is a public client.
	Auth ClientAuth

	// DPoP binds the client's tokens to a key (RFC 9449): proofs are sent, the authorize request
	// names the key, and an answer with a token that is not bound is refused. nil asks for
	// bearer tokens.
	DPoP *DPoP

	// Certificate presents a client certificate beside an Auth of another kind, so that the server binds
	// the client's tokens to it (RFC 8705 3), and to the APIs that HTTPClient calls. nil presents none, but
	// that of an Auth which is MutualTLS itself.
	Certificate *MutualTLS

	// RedirectURL is the registered redirect URI, sent byte for byte. It is
	// absolute, https (http on loopback), without fragment. "" leaves the parameter
	// out, which ACP allows where exactly one is registered, but not in a pushed request.
	RedirectURL string

	// Scopes are asked for when AuthorizeOptions names none. nil asks for none:
	// without "openid" there is no ID token, and the user stays unknown: every session
	// then has the Subject "".
	Scopes []string

	// ResponseMode is "query" (the same as ""), or "form_post". A form comes from another
	// site, so that the login's cookie must be SameSite=None; Secure: use https. On http
	// loopback some browsers drop such a cookie.
	//
	// "query.jwt", "form_post.jwt" and "jwt" (for a code: in the query) have the server sign the
	// answer (JARM). Its metadata must name the mode. What comes unsigned is then refused,
	// be it a code or an error. See Client.CallbackState.
	ResponseMode string

	// RequirePushedAuthorizationRequests sends every authorization request through the back
	// channel, so that the browser carries a reference alone (RFC 9126). Where the server
	// has no endpoint for it, Ready and Authorize fail: there is no falling back. false
	// pushes where the server's metadata demands it.
	RequirePushedAuthorizationRequests bool

	// RequestObject signs every authorization request (RFC 9101), which then goes to the
	// server in one parameter, or is pushed so. Where the server says that it takes no such
	// request, or not by that algorithm, Ready and Authorize fail. nil sends plain parameters.
	RequestObject *RequestObject

	// TrustedAudiences are further values that the `aud` of an ID token or a logout token
	// may hold beside ClientID. nil trusts none (OIDC Core 3.1.3.7).
	TrustedAudiences []string

	// IDTokenAlgs narrows the accepted signature algorithms of ID tokens, userinfo,
	// logout tokens and signed responses. nil means all asymmetric ones that the server names.
	// "HS256" (384, 512) must stand alone and needs a client secret of 32 (48, 64) bytes or more.
	IDTokenAlgs []string

	// Decryption opens what the server encrypts to the client: ID tokens, userinfo and
	// authorization responses. nil refuses whatever is encrypted.
	Decryption *Decryption

	// InsecureUntypedLogoutTokens takes logout tokens whose header has no `typ`, or "JWT",
	// as well as those of the type logout+jwt. Servers older than the final Back-Channel
	// Logout 1.0, which recommends the type, send such tokens, and a workspace of ACP may: they are
	// refused with the reason "token_use". What then tells a logout token from the server's
	// other JWTs are its claims alone. false demands the type.
	InsecureUntypedLogoutTokens bool

	// Leeway is the clock difference that is forgiven in ID tokens and logout tokens. 0 means 60 s,
	// the most is 5 min.
	Leeway time.Duration

	// FlowLifetime is the time a user has to sign in. 0 means 10 min.
	FlowLifetime time.Duration

	// MaxTokenSize bounds a JWT that is looked at, in bytes. 0 means 16 KiB.
	MaxTokenSize int

	// MaxStale is how long known keys serve while the server cannot be reached.
	// 0 means 24 h, which is also the most.
	MaxStale time.Duration

	// RootCAs are trusted instead of the system's. nil means the system's. It cannot be
	// combined with Transport.
	RootCAs *x509.CertPool

	// Transport carries every request to the authorization server. nil means one of
	// our own: TLS 1.2 or later, proxies from the environment, and no connection to
	// a private address unless the issuer itself has one.
	Transport http.RoundTripper

	// Logger takes warnings about the server (keys, metadata). nil means slog.Default().
	Logger *slog.Logger
}
