package acpclient

import "time"

// Flow is the whole memory of one login between Authorize and Exchange. Keep it with
// the browser that started it, sealed and readable by nobody else: a sealed cookie, or a
// server-side record that a cookie names. It is JSON of less than 1 KiB plus ReturnTo. Use it
// once. Printed or logged, it shows nothing.
type Flow struct {
	hidden

	Issuer   string `json:"iss"`       // Config.Issuer of the Client that made it
	ClientID string `json:"client_id"` // and its ClientID: another Client refuses the flow
	State    string `json:"state"`     // 26 characters, 128 bits
	Nonce    string `json:"nonce"`     // 26 characters, 128 bits
	Verifier string `json:"verifier"`  // PKCE, 43 characters, 256 bits (RFC 7636)

	// ReturnTo is AuthorizeOptions.ReturnTo, untouched and unjudged.
	ReturnTo string `json:"return_to,omitempty"`

	// Scopes are those asked for: "openid" among them demands an ID token.
	Scopes []string `json:"scopes,omitempty"`

	// MaxAge is the max_age that was asked for, in seconds; nil for none.
	MaxAge *int64 `json:"max_age,omitempty"`

	// DPoPKey is the thumbprint of the key that the code is bound to (RFC 9449 10); "" without Config.DPoP.
	DPoPKey string `json:"dpop_jkt,omitempty"`

	// Expiry is when the flow can no longer be finished.
	Expiry time.Time `json:"exp"`
}
