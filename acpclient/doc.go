// Package acpclient speaks the OAuth 2.0 and OpenID Connect authorization code flow with
// Cloudentity ACP, or with any server that keeps to the standards.
//
// A login has two moments, and an API has one:
//
//	Client.Authorize   sends the browser away
//	Client.Exchange    takes it back: judges the callback, redeems the code, verifies the ID token
//	Verifier.Verify    judges an access token
//
// All that a specification adds is a value in Config or a rule inside these three. State,
// nonce, PKCE with S256, the check of `iss`, and the whole verification of the ID token are
// always on. No method of client authentication is tried out, and no code is sent twice.
//
// The package knows no cookie and no handler: package middleware has them.
//
// # Errors
//
// Every error that is not a mistake in the caller's own configuration or arguments is an
// *Error (the server said no) or matches one of ErrInvalidCallback, ErrInvalidToken,
// ErrInvalidResponse, ErrUnavailable and ErrClosed, or errors.ErrUnsupported where the server
// does not have what was asked of it. Reason gives the stable code of the check that failed. No text of an error holds a code, a token, a secret or a URL's query.
package acpclient
