// Package localacp runs an authorization server in this process that looks
// like Cloudentity ACP from the outside, so that examples and tests work on a
// machine that has neither a tenant nor a network. It has a real login page and
// a real consent page; the protocol underneath is github.com/luikyv/go-oidc.
//
//	acp, err := localacp.Start(localacp.Options{Clients: []localacp.Client{{
//		ID: "web", Secret: "…", RedirectURLs: []string{"http://127.0.0.1:8080/callback"},
//	}}})
//	defer acp.Close()
//	// acp.Issuer is http://127.0.0.1:PORT/demo/bank
//
// It is for demonstrations and tests on one machine. It keeps everything in
// memory, its users' passwords are no secret, and it must not be reachable by
// anybody else.
//
// # What is like ACP
//
//   - The issuer is /{tenant}/{workspace}, and the endpoints have ACP's paths.
//   - Access tokens are JWTs with typ JWT, an aud array that begins with the
//     client's id and goes on with a service (spiffe://…), scp as an array in place
//     of scope, and tid, aid, idp, amr, st. They carry no client_id. ES256 by default.
//   - Consent is asked when a scope asks for it, and never without scopes.
//   - A refusal comes back as error=rejected with error_cause and trace_id; errors of
//     the token endpoint have error_hint, cause and status_code; each answer has X-Trace-ID.
//   - redirect_uri may be left out where a client has exactly one.
//   - PKCE is required. Refresh tokens need the scope offline_access and work once.
//   - X-Idempotency-Key repeats an answer for one minute, with X-Idempotent-Replayed.
//   - Each client authenticates by the one method that it is registered for.
//   - token_type is "bearer", and introspection's token_type says "access_token".
//
// # What is not
//
//   - There is no admin API, registration, CIBA, device or back-channel logout, and no
//     grant but authorization_code and refresh_token. PAR, JAR, JARM, mTLS and DPoP are
//     there with Options.FAPI2 alone, which has no form_post, and whose userinfo takes no
//     DPoP proof.
//   - sub is the user's name, not a hash.
//   - Consent is asked again at each login. With prompt=none a consent counts that the
//     same client got before in the same sign-on session.
//   - The scope openid does not ask for consent, nor does offline_access.
//   - Introspection is open to every client with credentials.
//   - EdDSA is accepted in client assertions.
//
// # The pages
//
// Both forms post to the page's own address. The login form has the fields
// username and password and the buttons action=login and action=cancel; the
// consent form has action=allow and action=deny. A script that drives them must
// keep cookies: a login can go on only in the browser that began it.
package localacp
