package middleware

import (
	"strings"
)

// explain is the part of a page that only developers see. It holds texts of ours alone,
// and the code of the failed check.
func explain(err error) *explained {
	reason := reasonOf(err)
	e, ok := explanations[reason]
	switch {
	case ok:
	case strings.HasPrefix(reason, providerError):
		e = explanations[providerError+"CODE"]
	default:
		e = explanations["internal"]
	}
	return &explained{Reason: clean(reason), Cause: e[0], Fix: e[1]}
}

// providerError comes before a code of the server's own, which may be any word: one of
// ours, too.
const providerError = "provider_error:"

// explanations give the probable cause and the fix for each reason code, of acpclient
// and of this package, and for the error codes of the protocol. docs/errors.md has the
// same codes.
var explanations = map[string][2]string{
	"state_missing": {"The browser brought no cookie of an unfinished login: the callback was opened directly, the cookie expired, or the login started on another host name (localhost and 127.0.0.1 are two).",
		"Open the application under the very host of the redirect URL, and start at the login path."},
	"state_mismatch": {"The callback belongs to another login, another browser or another client, or the cookie keys changed in between.",
		"Start again. If it stays, compare the cookie keys of all processes, and give two applications on one host two cookie names."},
	"state_expired": {"More than the flow's lifetime (10 minutes) passed between leaving and coming back.",
		"Start again. Raise acpclient.Config.FlowLifetime if your users need longer."},
	"state_replayed": {"The same callback came a second time: a reload, the back button, or a link scanner.",
		"Nothing, if the first one worked. Otherwise start again."},
	"duplicate_parameter": {"A parameter of the callback is there twice.",
		"Look for a proxy that rewrites the query."},
	"malformed_callback": {"The callback's query or form is not what an authorization server sends.",
		"Check the response mode, and proxies that rewrite the query."},
	"issuer_mismatch": {"The answer's iss is not the configured issuer.",
		"Compare acpclient.Config.Issuer with the issuer in the server's metadata, byte for byte. Set ExpectedIssuer where ACP's custom_issuer_url differs."},
	"issuer_missing": {"The server promises an iss parameter in its metadata and sent none.",
		"Look for a proxy that drops parameters, or correct the server's metadata."},

	providerError + "CODE": {"The authorization server refused, with the code shown above.",
		"Look the code up in the server's log; the description is in this application's log."},
	providerError + "access_denied": {"The user refused consent, or a policy of the workspace refused the user.",
		"Sign in again and consent, or look at the workspace's policies."},
	providerError + "rejected": {"The user rejected the sign-in or the consent.", "Sign in again and consent."},
	providerError + "login_required": {"prompt=none was sent, and the user has no session at the server.",
		"Send the user through a login without prompt=none."},
	providerError + "interaction_required": {"prompt=none was sent, and the server needs to ask the user.",
		"Send the user through a login without prompt=none."},
	providerError + "consent_required": {"prompt=none was sent, and the user has not consented yet.",
		"Send the user through a login without prompt=none."},
	providerError + "account_selection_required": {"prompt=none was sent, and the user must choose an account.",
		"Send the user through a login without prompt=none."},
	providerError + "invalid_grant": {"The code was used before, is too old, or was issued for another client or redirect URL.",
		"Start again. If it stays, compare the redirect URL with the one that is registered."},
	providerError + "invalid_client": {"The client id, the secret, the key or the authentication method is wrong.",
		"Compare them with the registration: client_secret_basic, client_secret_post, private_key_jwt and the others exclude each other."},
	providerError + "unauthorized_client": {"The client is not allowed to use this grant.",
		"Allow authorization_code (and refresh_token) for the client."},
	providerError + "invalid_scope": {"The client asks for a scope that it may not have.",
		"Compare acpclient.Config.Scopes with the client's scopes in the workspace."},
	providerError + "invalid_request": {"The server misses a parameter, or does not accept one: often the redirect URL.",
		"Register the redirect URL byte for byte, and look into the server's log."},
	providerError + "unsupported_response_type": {"The client may not use the authorization code flow.",
		"Add the response type code to the client."},
	providerError + "invalid_request_object": {"The server does not accept the signed authorization request.",
		"Compare acpclient.Config.RequestObject with the client's request_object settings and keys, and the two clocks."},
	providerError + "invalid_request_uri": {"The server does not know the pushed authorization request any more: it was used before, or is too old.",
		"Start again."},
	providerError + "invalid_authorization_details": {"The client may not ask for these authorization_details.",
		"Compare AuthorizeOptions.AuthorizationDetails with the types that the client may use."},
	providerError + "invalid_target": {"The client may not ask for tokens for this API.",
		"Compare AuthorizeOptions.Resources with the server's services."},
	providerError + "server_error":            {"The authorization server failed.", "Look into the server's log."},
	providerError + "temporarily_unavailable": {"The authorization server is overloaded or in maintenance.", "Try again later."},
	providerError + "invalid_response": {"An error answer without a code that the protocol allows: often a proxy's page, or an address where nothing is.",
		"Open the issuer with /.well-known/openid-configuration behind it in a browser, and look into the server's log."},
	providerError + "not_found": {"The server has nothing at an address. Mostly the issuer is misspelled.",
		"Open the issuer with /.well-known/openid-configuration behind it in a browser. acpclient.Config.Issuer is what stands before that path."},

	"timeout": {"The authorization server did not answer in time.",
		"Check that this machine reaches the issuer's host."},
	"unavailable": {"The authorization server cannot be reached.",
		"Check the issuer's URL, DNS, proxies, and the certificates: the server's (acpclient.Config.RootCAs), and that of acpclient.MutualTLS."},
	"response_too_large": {"The server's answer is larger than a megabyte.",
		"Check that the endpoint is what it should be."},
	"response_malformed": {"The server's answer is not the JSON that the protocol asks for.",
		"Open the endpoint's URL: a proxy or a login page may answer in its place."},
	"metadata": {"The metadata is no JSON object, lacks an endpoint, names one that is not https, or offers less than the configuration demands.",
		"Read the issuer's /.well-known/openid-configuration. The log says which member it is, and which setting."},
	"token_type": {"The token_type of the answer is missing, or is not Bearer.",
		"Turn off token binding (DPoP, mTLS) for the client, or look for a proxy that edits the answer."},
	"id_token_missing": {"openid was asked for, and the answer has no ID token.",
		"Allow the scope openid for the client, or do not ask for it."},

	"token_malformed":  {"A token is not a signed JWT in compact form, or is encrypted where it should not be, or the reverse.", "Set acpclient.Config.Decryption as the client is registered, or turn off token encryption there."},
	"decryption":       {"An encrypted token that no key opens.", "Compare acpclient.Config.Decryption with the keys that the server has for the client."},
	"alg":              {"The token is signed with an algorithm that is not accepted.", "Compare acpclient.Config.IDTokenAlgs with the client's settings."},
	"signature":        {"The token's signature is wrong.", "Check that the issuer's keys are its own: a proxy or a second workspace may answer."},
	"key_not_found":    {"The token is signed with a key that the issuer does not publish.", "Read the document at jwks_uri, and look for caches in between."},
	"issuer":           {"The server's metadata, or a token, names another issuer than the configured one; the log says which.", "Copy acpclient.Config.Issuer from the issuer in the metadata, byte for byte, slashes included. Set ExpectedIssuer where ACP's custom_issuer_url differs."},
	"audience":         {"The token's aud does not name this client alone.", "Name further audiences in acpclient.Config.TrustedAudiences, if they are yours."},
	"authorized_party": {"The token's azp is not this client.", "Check that the client id is the right one."},
	"expired":          {"The token's time is over.", "Compare the clocks of this machine and of the server."},
	"not_yet_valid":    {"The token is not valid yet.", "Compare the clocks of this machine and of the server."},
	"issued_at":        {"The token's iat is missing or in the future.", "Compare the clocks of this machine and of the server."},
	"nonce":            {"The ID token belongs to another login.", "Start again. If it stays, the server may not return the nonce."},
	"at_hash":          {"The ID token does not fit the access token.", "Look for a proxy that edits the answer."},
	"c_hash":           {"The ID token does not fit the code.", "Look for a proxy that edits the answer."},
	"subject":          {"The token has no sub, or another one than before.", "Check the server's subject settings."},
	"auth_time":        {"max_age was asked for, and the user's sign-in is older, or auth_time is missing.", "Sign in again, or check that the server returns auth_time."},
	"token_use":        {"A token of one kind came in the place of another.", "Look for a proxy that edits the answer."},
	"inactive": {"The server does not know the token as an active access token: it expired, was revoked, or is of another workspace.",
		"Get a new token."},
	"introspection": {"The server did not answer the question for the token as RFC 7662 has it: often this API's own credentials are refused.",
		"Read the error in the log. Compare the API's client id, secret and authentication method with its registration."},
	"store": {"The session store, or the lease, does not answer: it is down, too slow, or refuses our credentials.",
		"Read the error in the log, and look at the store."},
	"logout_token": {"The request of a back-channel logout has not exactly one logout_token, in a form.",
		"Look at what calls the path: it is for the authorization server alone."},
	"logout_replayed":   {"A logout token came a second time.", "Nothing, where the server repeats its requests."},
	"events":            {"The logout token does not hold the event of a back-channel logout.", "Check what posts to the back-channel logout URI."},
	"sid":               {"The logout token has a sid that is empty or no string.", "Check the server's logout settings."},
	"jti":               {"The logout token has no jti, or a malformed one.", "Check what posts to the back-channel logout URI."},
	"bound":             {"The token is bound to a key that was not used.", "Turn off token binding for the client."},
	"session_too_large": {"The tokens do not fit into ten cookies.", "Ask for fewer scopes, or leave groups and other large claims out of the tokens."},
	"transaction_too_large": {"A login does not fit into a cookie.",
		"Ask for fewer scopes."},
	"session_ended": {"The session was logged out, or its refresh token was refused.", "Sign in again."},
	"access_token_expired": {"The access token's time is over, and there is no refresh token.",
		"Ask for the scope offline_access, and allow refresh_token for the client."},
	"no_session":       {"The request has no session.", "Sign in, and send the cookies along."},
	"not_a_navigation": {"Only a page that opens in a tab can start a login.", "Open the login path in the browser instead of fetching it."},
	"cross_origin":     {"The request comes from another site.", "Post the form from a page of this application, which does not send Referrer-Policy: no-referrer."},
	"on_login":         {"Config.OnLogin refused this user.", "Read its error in the log."},
	"on_login_panic":   {"Config.OnLogin panicked.", "Read the log, and mend it."},
	"method":           {"The address does not take this method.", "Use one of those in the Allow header. Signing out is a form with method=\"post\"."},
	"media_type":       {"A form_post callback is application/x-www-form-urlencoded.", "Check the server's response mode."},
	"too_large":        {"The callback's form is larger than 64 KiB.", "Check what posts there."},
	"not_found":        {"The path is not exactly the callback's.", "Mount the handlers at the configured paths, without http.StripPrefix."},
	"no_store":         {"Back-channel logout needs a session store, and there is none.", "Do not register a backchannel_logout_uri."},
	"closed":           {"The program is shutting down.", "Try again in a moment."},
	"canceled":         {"The browser left before the answer came.", "Nothing."},
	"internal":         {"An error that is none of the protocol's.", "Read the error in the log, under the reference below."},

	"no_token":                {"The request shows no token; one in the query or in a form is not taken.", "Send Authorization: Bearer and the token."},
	"auth_scheme":             {"The Authorization header has another scheme than Bearer.", "Send Authorization: Bearer and the token."},
	"malformed_authorization": {"There are two Authorization headers, or one that is not Bearer, a space and a token.", "Look at what the client, or a proxy in between, sends."},
	"ambiguous_credentials":   {"A token in two places, or a session and a token in one request.", "Send one of them."},
	"scope":                   {"The token lacks a scope that this address asks for.", "Ask for the scope that the challenge names."},
	"acr":                     {"The user signed in by weaker means than this address asks for.", "Sign in again with the acr_values of the challenge."},
	"token_refused":           {"A TokenVerifier of your own refused the token.", "Read its error in the log."},
	"verifier":                {"The TokenVerifier, or MatchScope, panicked, or gave neither a token nor an error.", "Read the log, and mend it."},
}
