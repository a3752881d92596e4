package middleware_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The bugs that others had, by their numbers in our collection, and what here shows that we do not.
var museum = []struct {
	number int
	bug    string
	tests  string // package.Name, separated by spaces
}{
	{1, "of a parameter that came twice the last one won", "middleware.TestCallbackRefusals middleware.TestBackchannelRefusals"},
	{2, "the throttle of forced key fetches fell open when its memory failed", "acpclient.TestKeySetUnknownWhileDown acpclient.TestKeySetUnknownFlood"},
	{3, "exp of 1e300, after 2038, with a fraction, negative", "acpclient.TestIDTokenClaims acpclient.TestVerifierClaims"},
	{4, "userinfo that is an array was taken", "acpclient.TestUserInfoAnswers"},
	{5, "what was not encrypted passed through the step that decrypts", "acpclient.TestGateIDToken"},
	{6, "the end of an old session took the newest one's entry", "middleware.TestLoginRevivesNothing middleware.TestBackchannelLogout"},
	{7, "a cookie of exactly n chunks was written with an empty one more", "middleware.TestChunks"},
	{8, "a missing chunk was accepted", "middleware.TestChunks middleware.TestSessionTampering"},
	{9, "more chunks were written than are read", "middleware.TestChunks"},
	{10, "dead connections to the store were used again", "middleware.TestStoreOutage middleware.TestStoreBreaker acpclient.TestConnectionDies"},
	{11, "repeated resource parameters collapsed", "acpclient.TestAuthorizeOptions"},
	{12, "a newer format of a session was misread by an older process", "middleware.TestHostileRecords middleware.TestChosenIDs middleware.TestHostileMarks"},
	{13, "the session's id was kept across a login", "middleware.TestFixation middleware.TestStoredLoginReplaces"},
	{14, "a front-channel logout that anybody can send revoked tokens (there is none)", "middleware.TestNoFurtherEndpoints"},
	{15, "further parameters of the authorize request doubled ours", "acpclient.TestAuthorizeRefusesOptions acpclient.TestAuthorizeEndpoint"},
	{16, "the query of a login set scopes and parameters", "middleware.TestLoginIgnoresItsQuery"},
	{17, "logout tokens without iat or jti were accepted", "middleware.TestBackchannelLogout"},
	{18, "credentials in logs", "middleware.TestStoreOutage middleware.TestStorePanics acpclient.TestTransportErrorsShowNoURL acpclient.TestEchoedSecrets"},
	{19, "identity headers of clients were passed on where nobody is signed in", "middleware.TestIdentityHeadersOverHTTP"},
	{20, "the ID token of a refresh was not verified, its subject free", "acpclient.TestRefreshedIDToken middleware.TestRefreshNamesAnother"},
	{21, "a bad mutual-TLS alias fell back to the plain endpoint (there is no mutual TLS yet)", "acpclient.TestMetadataEndpoints"},
	{22, "a second attempt sent the same client assertion", "acpclient.TestPrivateKeyJWT"},
	{23, "alg none by a setting", "acpclient.TestNoSwitchTurnsAChecksOff acpclient.TestIDTokenAlgsNarrow"},
	{24, "access tokens without aud, iss or exp were accepted", "acpclient.TestVerifierClaims"},
	{25, "an old key was preferred to the new one of the same id", "acpclient.TestNewMaterialUnderAnOldID acpclient.TestKeySetNewMaterialUnderOldID"},
	{26, "a comma in a group's name made two groups of it", "middleware.TestRequestIsPassedOnUnchanged middleware.TestIdentityHeaders"},
	{27, "secrets were compared in variable time", "internal/house.TestConstantTime"},
	{28, "discovery of whatever issuer the user named", "middleware.TestLoginAtNoIssuer"},
	{29, "hosts compared by their end, open redirects, unescaped pages, bombs", "middleware.TestReturnTo middleware.FuzzReturnTo middleware.TestLogoutSticks acpclient.TestResponseBombs"},
	{30, "an error of DPoP crashed who does not use it", "middleware.TestBearerCredentials middleware.TestBearerTokens"},
	{31, "a bad number became no timeout, micro became whole seconds", "middleware.TestConfigMistakes middleware.TestStoreExpiry acpclient.TestExpiresIn"},
	{32, "the parser of the state's cookie read beyond its end", "middleware.FuzzTransactionCookie middleware.TestForeignTransactions"},
	{33, "one tab's refresh made another's fail", "middleware.TestStoredRefreshLoser middleware.TestStoredRefreshReplayed"},
	{34, "a late cookie brought a session back", "middleware.TestLateTouch middleware.TestLogoutDuringStoredRefresh middleware.TestLogoutSticks"},
	{35, "a parallel request took away the state of a login", "middleware.TestTwoTabs middleware.TestNavigations"},
	{36, "the state was stored, and never compared", "middleware.TestCallbackRefusals"},
	{37, "the state's cookie ended before the state", "middleware.TestTransactionCookie middleware.TestManyUnfinishedLogins"},
	{38, "the state's cookie stayed after an error", "middleware.TestTokenEndpointAnswers middleware.TestOnLogin"},
	{39, "a new login brought other sessions back that were logged out", "middleware.TestLoginRevivesNothing"},
	{40, "the session was lost when the header was sent early", "middleware.TestCookiesComeBeforeTheAnswer"},
	{41, "the first caller left, and the refresh of all failed", "middleware.TestStoredRefreshLeaderLeaves middleware.TestOneRefresh acpclient.TestLeaderLeaves"},
	{42, "a callback that came twice", "middleware.TestStoredReplay middleware.TestCallbackReplay middleware.TestReloadDuringTheCallback"},
}

// Every bug of the museum has a test that exists.
func TestMuseum(t *testing.T) {
	source := map[string]string{}
	for _, dir := range []string{"middleware", "acpclient", "internal/house"} {
		files, err := filepath.Glob("../" + dir + "/*_test.go")
		if err != nil || len(files) == 0 {
			t.Fatal(dir, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			source[dir] += string(text)
		}
	}
	for i, exhibit := range museum {
		if exhibit.number != i+1 || exhibit.tests == "" || exhibit.bug == "" {
			t.Errorf("number %d stands at place %d", exhibit.number, i+1)
		}
		for _, test := range strings.Fields(exhibit.tests) {
			if dir, name, _ := strings.Cut(test, "."); !strings.Contains(source[dir], "\nfunc "+name+"(") {
				t.Errorf("number %d: there is no %s", exhibit.number, test)
			}
		}
	}
	if len(museum) != 42 {
		t.Errorf("%d bugs", len(museum))
	}
}
