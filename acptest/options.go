package acptest

import (
	"crypto"
	"crypto/x509"
	"time"
)

// The ways in which a client authenticates at the token endpoint, as they are
// registered (OpenID Connect Core 9, RFC 8705 2).
const (
	AuthBasic         = "client_secret_basic"
	AuthPost          = "client_secret_post"
	AuthSecretJWT     = "client_secret_jwt"
	AuthPrivateKeyJWT = "private_key_jwt"
	AuthTLS           = "tls_client_auth"
	AuthSelfSignedTLS = "self_signed_tls_client_auth"
	AuthNone          = "none"
)

// Options shape a Server. The zero value, and a nil pointer, give a server with one
// confidential client, which approves every request as the user "alice".
type Options struct {
	// Tenant and Workspace make the issuer's path. "" means "acme" and "demo".
	Tenant, Workspace string

	// RootIssuer gives an issuer without a path, as a vanity domain has.
	RootIssuer bool

	// TLS serves https with a certificate that only Server.HTTPClient, Server.RootCAs and
	// the browsers of Server.Browser trust.
	TLS bool

	// MTLS serves a second port, which lets nobody in without a client certificate, and names it
	// in mtls_endpoint_aliases and mtls_issuer, as ACP does. Then the first port asks for no
	// certificate; without MTLS it does, and goes on without. It implies TLS.
	MTLS bool

	// OAuthMetadataOnly serves the metadata of RFC 8414 and answers 404 for the
	// document of OpenID Connect Discovery.
	OAuthMetadataOnly bool

	// Alg is the signature algorithm: ES256 (the same as ""), ES384, ES512, RS256,
	// RS384, RS512, PS256, PS384, PS512 or EdDSA.
	Alg string

	// Client is the main client, whose id and secret are Server.ClientID and
	// Server.ClientSecret. The zero value is a confidential client that uses
	// client_secret_basic.
	Client Client

	// Clients are further clients. Server.Register adds more at any time.
	Clients []Client

	// User is who signs in. The zero value is alice.
	User User

	// Interactive shows a sign-in page (any user name of Users, no password) and,
	// when there are scopes, a consent page, instead of approving at once.
	Interactive bool

	// Users may sign in when Interactive is set. nil means User alone.
	Users []User

	// IssParameter adds `iss` to each callback and says so in the metadata (RFC 9207).
	IssParameter bool

	// AtHash adds `at_hash` to ID tokens. ACP's published tokens have none.
	AtHash bool

	// RefreshTokens issues a refresh token also when offline_access was not asked for.
	RefreshTokens bool

	// NoRotation lets a refresh token be used again and leaves it out of the answer
	// to a refresh, as ACP does with disable_refresh_token_cycling.
	NoRotation bool

	// RequirePAR takes only authorization requests that were pushed (RFC 9126), and says so in
	// the metadata. Without it pushed requests are taken, too.
	RequirePAR bool

	// RequireRequestObject takes only authorization requests in a signed request object (RFC 9101),
	// and says so in the metadata. Without it those of clients that have a RequestKey are taken, too.
	RequireRequestObject bool

	// EncryptionKey decrypts request objects (RFC 9101), and stands in the key set with `use` "enc".
	// Its Alg is RSA-OAEP, RSA-OAEP-256, ECDH-ES, ECDH-ES+A128KW, ECDH-ES+A192KW or
	// ECDH-ES+A256KW. nil is one for ECDH-ES on P-256, made by the server.
	EncryptionKey *Key

	// PARTTL is the lifetime of a pushed request. 0 means 60 s.
	PARTTL time.Duration

	// OpaqueTokens issues access tokens that only introspection can read.
	OpaqueTokens bool

	// DPoPNonces demands in each DPoP proof at the token, PAR and userinfo endpoints the nonce of
	// the answer before. Server.RotateNonce makes a new one.
	DPoPNonces bool

	// Audience is the API that access tokens are meant for, beside the client.
	// "" means a spiffe:// name as ACP makes them. It becomes Server.Audience.
	Audience string

	// AccessTokenTTL, RefreshTokenTTL and CodeTTL are lifetimes. 0 means 1 h, 30 days
	// and 10 min.
	AccessTokenTTL, RefreshTokenTTL, CodeTTL time.Duration

	// Tolerate names the rules that the client will break on purpose. See Server.Tolerate.
	Tolerate []Rule

	// Now is the server's clock. nil means time.Now.
	Now func() time.Time
}

// Client is a registration at the server.
type Client struct {
	// ID is the client_id. "" means a random one.
	ID string

	// Secret is the client_secret. "" means a random one of 86 characters, where the
	// method needs one.
	Secret string

	// AuthMethod is the one method that the client may use, at every endpoint. ""
	// means private_key_jwt when Key is set and client_secret_basic otherwise.
	AuthMethod string

	// Key verifies the client's assertions of private_key_jwt.
	Key crypto.PublicKey

	// RequestKey verifies the client's request objects (RFC 9101). nil takes none.
	RequestKey crypto.PublicKey

	// AssertionAlg is the one algorithm of assertions that is taken. "" takes any that fits.
	AssertionAlg string

	// Certificate is the client's: for self_signed_tls_client_auth the very one, for
	// tls_client_auth any with the same subject that CertificateCA issued.
	Certificate, CertificateCA *x509.Certificate

	// AssertionAudience is the `aud` that assertions must have. "" means the issuer.
	AssertionAudience string

	// RedirectURIs are compared byte for byte. nil lets every https URI pass, and http
	// on loopback. When there is exactly one, a request may leave the parameter out.
	RedirectURIs []string

	// PostLogoutRedirectURIs are compared byte for byte. nil lets every https URI
	// pass, and http on loopback.
	PostLogoutRedirectURIs []string

	// Scopes are those that the client may have; others are not granted. nil allows all.
	Scopes []string

	// IDTokenAlg makes ID tokens and logout tokens with HS256, HS384 or HS512 under the client's secret.
	// "" means the server's key.
	IDTokenAlg string

	// DPoPBound refuses token requests without a DPoP proof. Those with one get bound tokens in any case.
	DPoPBound bool

	// SignedUserInfo answers userinfo as a JWT, signed with the server's key.
	SignedUserInfo bool

	// Encryption encrypts what the client is registered to get so. The zero value encrypts nothing.
	Encryption Encryption
}

// User is somebody who signs in.
type User struct {
	// Subject is the `sub` claim. "" means "alice".
	Subject string

	// Claims go into the ID token and userinfo: what belongs to the scopes profile
	// and email only when these were granted, the rest always. nil means a name
	// and an e-mail address made from the subject.
	Claims map[string]any
}

func (u User) withDefaults() User {
	if u.Subject == "" {
		u.Subject = "alice"
	}
	if u.Claims == nil {
		u.Claims = map[string]any{
			"name":               u.Subject,
			"preferred_username": u.Subject,
			"email":              u.Subject + "@example.com",
			"email_verified":     true,
		}
	}
	return u
}

// scopeOf names the scope that OpenID Connect Core 5.4 ties to a claim.
var scopeOf = map[string]string{
	"name": "profile", "family_name": "profile", "given_name": "profile",
	"middle_name": "profile", "nickname": "profile", "preferred_username": "profile",
	"profile": "profile", "picture": "profile", "website": "profile", "gender": "profile",
	"birthdate": "profile", "zoneinfo": "profile", "locale": "profile", "updated_at": "profile",
	"email": "email", "email_verified": "email",
	"address": "address", "phone_number": "phone", "phone_number_verified": "phone",
}
