// Package acptest is an authorization server for tests, which judges the client.
//
// It runs in the process of the test, on a loopback port, has the paths, tokens and errors
// of an ACP workspace, and signs everybody in as "alice" without asking. When the client under
// test breaks the protocol (no state, no PKCE, a code sent twice, a secret in
// a URL ...), the test fails with the section of the RFC that says so. A whole test of one's own login:
//
//	func TestLogin(t *testing.T) {
//		server := acptest.NewServer(t, nil)
//		// newApp is yours: it returns the http.Handler that main serves.
//		app := newApp(server.Issuer, server.ClientID, server.ClientSecret, "https://app.example/callback")
//		browser := server.Browser()
//		browser.Mount("https://app.example", app)
//		page := browser.Navigate("https://app.example/profile")
//		if page.Status() != 200 || !strings.Contains(page.Body(), "alice") {
//			t.Errorf("%d %s", page.Status(), page.Body())
//		}
//	}
//
// # Faults
//
// Hooks edit what goes out, at any time, so that a test can see what its client does with it:
//
//	server.Deny("access_denied")                                              // the user says no
//	server.OnIDToken(func(_, claims map[string]any) { claims["aud"] = "x" })  // a token for somebody else
//	server.OnCallback(func(v url.Values) { v.Set("state", "forged") })        // a forged callback
//	server.OnTokenResponse(func(r *acptest.Response) { r.Status = 503 })      // trouble
//	server.Handle(acptest.TokenEndpoint, acptest.Hang())                      // no answer at all
//	server.OnResponse(acptest.PAREndpoint, func(r *acptest.Response) { ... }) // a pushed request that fails
//	server.RotateKey()                                                        // new keys
//
// Count, Requests, Wait and Hold show what came in, and order what happens, without sleeping.
// A test that breaks a rule on purpose says so with Tolerate.
//
// # Handlers behind a login
//
// A handler that only reads who the user is needs no server: WithUser puts a signed-in user on
// a request. For an API, Server.AccessToken makes a token, and WithBearer puts it on a request.
//
// # Logout from elsewhere
//
// Server.BackchannelLogout posts a logout token to the application, as a server does when the
// user signs out somewhere else; OnLogoutToken edits it. Server.LogoutToken only makes one.
//
// # What it is not
//
// It is no authorization server for anything but tests: it approves everybody, and keeps
// everything in memory. It judges what it can see; that a client verifies what it gets, a test sees
// by sending something wrong.
package acptest
