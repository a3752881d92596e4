package middleware

import (
	"strconv"
	"strings"
	"time"
)

// challenges are the values of WWW-Authenticate that one protector sends (RFC 6750 3).
// None depends on a request: a header cannot be injected, and no check can be told from
// another of its class.
type challenges struct {
	plain          string // 401, without credentials
	request        string // 400
	token          string // 401
	scope          string // 403
	authentication string // 401, RFC 9470 3
	bound          string // 401: a bound token without its proof
	proof, nonce   string // 401, of the scheme DPoP alone (RFC 9449 7.1, 9)
}

// newChallenges takes settled options.
func newChallenges(o *BearerOptions) challenges { return challengesOf(o, "Bearer", "") }

// challengesOf are those of a scheme: its algs are "" for all but DPoP.
func challengesOf(o *BearerOptions, scheme, algs string) challenges {
	challenge := func(params ...string) string {
		params = append([]string{"realm", o.Realm}, params...)
		if o.Resource != "" { // RFC 9728 5.1
			params = append(params, "resource_metadata", metadataAddress(o.Resource).url)
		}
		params = append(params, "algs", algs)
		var b strings.Builder
		for i := 0; i < len(params); i += 2 {
			if params[i+1] == "" {
				continue
			}
			if b.Len() > 0 {
				b.WriteByte(',')
			}
			b.WriteString(" " + params[i] + "=" + quotedString(params[i+1]))
		}
		return scheme + b.String()
	}
	var maxAge string
	if o.MaxAge != nil {
		maxAge = strconv.FormatInt(int64(*o.MaxAge/time.Second), 10)
	}
	token := challenge("error", "invalid_token", "error_description", "The access token is not valid for this API")
	return challenges{
		plain:   challenge(),
		request: challenge("error", "invalid_request", "error_description", "The request must give one access token, as Authorization: "+scheme),
		token:   token,
		bound:   token,
		proof:   challenge("error", "invalid_dpop_proof", "error_description", "The request must give one DPoP proof, made for it with the token's key"),
		nonce:   challenge("error", "use_dpop_nonce", "error_description", "The DPoP proof must hold the nonce of this answer"),
		scope: challenge("error", "insufficient_scope", "error_description", "The access token lacks a scope",
			"scope", strings.Join(append(o.Scopes[:len(o.Scopes):len(o.Scopes)], o.AnyScope...), " ")),
		authentication: challenge("error", "insufficient_user_authentication", "error_description", "The user must sign in again, or in a stronger way",
			"acr_values", strings.Join(o.ACRValues, " "), "max_age", maxAge),
	}
}

// quotedString is text as RFC 9110 5.6.4 writes it. What has no place there is dropped.
func quotedString(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case ' ' <= c && c <= '~':
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
