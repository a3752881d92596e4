package main

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/acptest"
)

// The bytes of a request, over a bare connection. TOKEN stands for a good one.
func TestHostileRequests(t *testing.T) {
	s := acptest.NewServer(t, nil)
	p := startWith(t, s)
	token := s.AccessToken(map[string]any{"scp": []string{"things.read", "things.write"}})
	const bearer, end = "Authorization: Bearer TOKEN\r\n", "Host: api\r\nConnection: close\r\n\r\n"
	get := func(headers string) string { return "GET /things HTTP/1.1\r\n" + headers + end }
	at := func(target, headers string) string { return "GET " + target + " HTTP/1.1\r\n" + headers + end }
	form := func(contentType, body string) string {
		body = strings.ReplaceAll(body, "TOKEN", token)
		return fmt.Sprintf("POST /things HTTP/1.1\r\n%s%sContent-Length: %d\r\n%s%s", bearer, contentType, len(body), end, body)
	}
	const urlencoded = "Content-Type: application/x-www-form-urlencoded\r\n"
	for name, row := range map[string]struct {
		request string
		status  int
		code    string
	}{
		"good":                          {get(bearer), 200, ""},
		"white space around the value":  {get("Authorization: \t Bearer TOKEN \t\r\n"), 200, ""},
		"BR-02 another case":            {get("aUTHORIZATION: bEARER TOKEN\r\n"), 200, ""},
		"BR-02 several spaces":          {get("Authorization: Bearer   TOKEN\r\n"), 200, ""},
		"BR-01 nothing":                 {get(""), 401, ""},
		"BR-01 another header":          {get("Proxy-Authorization: Bearer TOKEN\r\nX-Forwarded-Access-Token: TOKEN\r\nCookie: access_token=TOKEN\r\n"), 401, ""},
		"BR-03 a tab":                   {get("Authorization: Bearer\tTOKEN\r\n"), 400, "invalid_request"},
		"BR-03 no token":                {get("Authorization: Bearer \r\n"), 400, "invalid_request"},
		"BR-03 two words":               {get("Authorization: Bearer TOKEN x\r\n"), 400, "invalid_request"},
		"BR-03 glued":                   {get("Authorization: BearerTOKEN\r\n"), 400, "invalid_request"},
		"BR-03 a comma":                 {get("Authorization: Bearer TOKEN,\r\n"), 400, "invalid_request"},
		"BR-03 an empty header":         {get("Authorization:\r\n"), 400, "invalid_request"},
		"BR-04 Basic":                   {get("Authorization: Basic YTpi\r\n"), 401, ""},
		"BR-04 DPoP":                    {get("Authorization: DPoP TOKEN\r\nDPoP: x.y.z\r\n"), 401, ""},
		"BR-06 a list":                  {get("Authorization: Bearer TOKEN, Bearer TOKEN\r\n"), 400, "invalid_request"},
		"BR-06 two headers":             {get(bearer + "authorization: Bearer TOKEN\r\n"), 400, "invalid_request"},
		"BR-06 two, and one is empty":   {get(bearer + "Authorization:\r\n"), 400, "invalid_request"},
		"BR-06 Basic besides":           {get("Authorization: Basic YTpi\r\n" + bearer), 400, "invalid_request"},
		"BR-07 query, encoded":          {at("/things?a=b;acc%65ss%5Ftoken", bearer), 400, "invalid_request"},
		"BR-07 form":                    {form(urlencoded, "access_token=TOKEN"), 400, "invalid_request"},
		"BR-07 form, encoded":           {form("Content-Type: Application/X-WWW-Form-Urlencoded; charset=utf-8\r\n", "a=b&access%5ftoken="), 400, "invalid_request"},
		"BR-09 no form":                 {form("", "access_token=TOKEN"), 200, ""},
		"BR-09 JSON":                    {form("Content-Type: application/json\r\n", `{"access_token":"TOKEN"}`), 200, ""},
		"BR-08 query alone":             {at("/things?access_token=TOKEN", ""), 401, ""},
		"BR-10 not ASCII":               {get("Authorization: Bearer \xc3\xa4\r\n"), 400, "invalid_request"},
		"BR-10 not UTF-8":               {get("Authorization: Bearer \xff\r\n"), 400, "invalid_request"},
		"BR-10 17 KB":                   {get("Authorization: Bearer " + strings.Repeat("a", 17_000) + "\r\n"), 401, "invalid_token"},
		"BR-10 200 KB":                  {get("Authorization: Bearer " + strings.Repeat("a", 200_000) + "\r\n"), 401, "invalid_token"},
		"PX-01 case":                    {at("/THINGS", ""), 404, ""},
		"PX-01 dots":                    {at("/healthz/../things", ""), 404, ""},
		"PX-01 encoded dots":            {at("/healthz%2f..%2fthings", ""), 404, ""},
		"PX-01 an encoded letter":       {at("/%74hings", ""), 401, ""},
		"PX-02 query":                   {at("/things?/healthz", ""), 401, ""},
		"PX-03 X-Original-URL":          {get("X-Original-URL: /healthz\r\nX-Rewrite-URL: /healthz\r\nX-Forwarded-Uri: /healthz\r\n"), 401, ""},
		"PX-04 a probe":                 {get("User-Agent: kube-probe/1.30\r\n"), 401, ""},
		"PX-08 HEAD":                    {"HEAD /things HTTP/1.1\r\n" + end, 401, ""},
		"PX-08 OPTIONS":                 {"OPTIONS /things HTTP/1.1\r\n" + end, 405, ""},
		"PX-08 X-HTTP-Method-Override":  {get("X-HTTP-Method-Override: OPTIONS\r\n"), 401, ""},
		"PX-09 absolute-form":           {at("http://other.example/things", ""), 401, ""},
		"PX-09 absolute-form, and good": {at("http://other.example/things", bearer), 200, ""},
		"PX-09 CONNECT":                 {"CONNECT api:443 HTTP/1.1\r\n" + end, 404, ""},
		"PX-09 OPTIONS *":               {"OPTIONS * HTTP/1.1\r\n" + end, 400, ""},
		"MT-03 a certificate":           {get("X-Forwarded-Client-Cert: Hash=x\r\n"), 401, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p.audit(t, p.raw(t, strings.ReplaceAll(row.request, "TOKEN", token)), row.status, row.code)
		})
	}
	if strings.Contains(p.stderr.String(), strings.Split(token, ".")[2]) { // LG-01, BR-08
		t.Error("a token is in the log")
	}
}

// Tokens that must not pass. Each is refused in the same words, without a question to anybody
// but the issuer, and leaves nothing of itself in the log.
func TestHostileTokens(t *testing.T) {
	s := acptest.NewServer(t, nil)
	outside := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("ID-36: a request for %s", r.URL) }))
	defer outside.Close()
	weak, other, rsaKey := acptest.NewKey("RS256"), acptest.NewKey("ES256"), acptest.NewKey("RS256")
	other.ID = s.Key().ID
	s.OnJWKS(func(set map[string]any) {
		enc := weak.JWK()
		enc["use"] = "enc"
		set["keys"] = append(set["keys"].([]any), enc, rsaKey.JWK())
	})
	p := startWith(t, s)

	now := time.Now()
	claims := func(changes map[string]any) map[string]any {
		c := map[string]any{
			"iss": s.Issuer, "sub": "alice", "aud": []string{s.Audience}, "exp": now.Add(time.Hour).Unix(), "iat": now.Unix(), "scp": []string{"things.read"},
		}
		maps.Copy(c, changes)
		maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
		return c
	}
	text, err := json.Marshal(claims(nil))
	if err != nil {
		t.Fatal(err)
	}
	payload := string(text)
	header := func(changes map[string]any) string { return s.Sign(changes, claims(nil)) }
	claim := func(name string, value any) string { return s.Sign(nil, claims(map[string]any{name: value})) }
	number := func(name, n string) string { return claim(name, json.Number(n)) }
	rawHeader := func(h string) string { return s.Key().SignRaw(h, payload) }
	rawClaims := func(more string) string {
		return s.Key().SignRaw(`{"alg":"ES256","kid":"`+s.Key().ID+`"}`, payload[:len(payload)-1]+","+more+"}")
	}
	good := s.Sign(nil, claims(nil))
	parts := strings.Split(good, ".")
	spki, err := x509.MarshalPKIXPublicKey(rsaKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	asPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})
	confused := func(secret []byte) string {
		return acptest.SignHMAC(secret, map[string]any{"kid": rsaKey.ID}, claims(nil))
	}
	flattened := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"payload":%q,"protected":%q,"signature":%q}`, parts[1], parts[0], parts[2]))
	nested := strings.Repeat("[", 40) + strings.Repeat("]", 40)

	for name, token := range map[string]string{
		"ID-01 none":                    acptest.Unsigned(nil, claims(nil)),
		"ID-01 nOnE, with a signature":  header(map[string]any{"alg": "nOnE"}),
		"ID-01 no alg":                  rawHeader(`{"kid":"` + s.Key().ID + `"}`),
		"ID-01 alg is a list":           header(map[string]any{"alg": []string{"ES256"}}),
		"ID-02 the PEM as a secret":     confused(asPEM),
		"ID-02 the DER as a secret":     confused(spki),
		"ID-02 the modulus as a secret": confused(rsaKey.Public().(*rsa.PublicKey).N.Bytes()),
		"ID-02 no secret":               confused(nil),
		"ID-02 RS256 with an EC key":    header(map[string]any{"alg": "RS256"}),
		"ID-06 iss with a slash":        claim("iss", s.Issuer+"/"),
		"ID-06 iss in capitals":         claim("iss", strings.ToUpper(s.Issuer)),
		"ID-06 no iss":                  claim("iss", nil),
		"ID-09 no aud":                  claim("aud", nil),
		"ID-09 aud with a number":       claim("aud", []any{s.Audience, 1}),
		"ID-09 aud in a list in a list": claim("aud", [][]string{{s.Audience}}),
		"BR-13 a longer aud":            claim("aud", s.Audience+"x"),
		"BR-13 aud in capitals":         claim("aud", strings.ToUpper(s.Audience)),
		"ID-13 no sub":                  claim("sub", nil),
		"ID-13 an empty sub":            claim("sub", ""),
		"ID-13 sub is a number":         claim("sub", 1),
		"ID-15 AUD":                     s.Sign(nil, claims(map[string]any{"aud": "x", "AUD": s.Audience})),
		"ID-16 two sub":                 rawClaims(`"sub":"bob"`),
		"ID-16 two sub, one escaped":    rawClaims(`"s\u0075b":"bob"`),
		"ID-16 two alg":                 rawHeader(`{"alg":"none","alg":"ES256","kid":"` + s.Key().ID + `"}`),
		"ID-17 no exp":                  claim("exp", nil),
		"ID-17 exp is a string":         claim("exp", fmt.Sprint(now.Add(time.Hour).Unix())),
		"ID-18 exp 31 s ago":            claim("exp", now.Unix()-31),
		"ID-19 exp 1e400":               number("exp", "1e400"),
		"ID-19 exp 2^63":                number("exp", "9223372036854775808"),
		"ID-19 exp 2^64 and more":       number("exp", "18446744075409551616"),
		"ID-19 exp negative":            number("exp", "-1"),
		"ID-20 nbf 2^63-1":              number("nbf", "9223372036854775807"),
		"ID-20 nbf 1e300":               number("nbf", "1e300"),
		"ID-21 nbf in a minute":         claim("nbf", now.Unix()+60),
		"ID-24 iat in a minute":         claim("iat", now.Unix()+60),
		"ID-35 crit":                    header(map[string]any{"crit": []string{"x"}, "x": 1}),
		"ID-35 an empty crit":           header(map[string]any{"crit": []string{}}),
		"ID-35 b64":                     header(map[string]any{"b64": false}),
		"ID-35 zip":                     header(map[string]any{"zip": "DEF"}),
		"ID-36 jwk":                     other.Sign(map[string]any{"jwk": other.JWK()}, claims(nil)),
		"ID-36 jku":                     other.Sign(map[string]any{"kid": "x", "jku": outside.URL + "/jwks"}, claims(nil)),
		"ID-36 x5u":                     other.Sign(map[string]any{"kid": nil, "x5u": outside.URL + "/x5u"}, claims(nil)),
		"ID-37 kid is a number":         header(map[string]any{"kid": 1}),
		"ID-37 kid with a line":         header(map[string]any{"kid": "a\r\nreference=AAAAAAAAAAAA "}), // LG-06
		"ID-37 kid of 9 KB":             header(map[string]any{"kid": strings.Repeat("k", 9000)}),
		"ID-38 JSON":                    flattened,
		"ID-39 padded":                  good + "=",
		"ID-39 no signature":            parts[0] + "." + parts[1] + ".",
		"ID-39 four parts":              good + "." + parts[2],
		"ID-39 five parts":              good + "." + parts[1] + "." + parts[2],
		"ID-40 unused bits":             good[:len(good)-1] + nextLetter(good[len(good)-1]),
		"ID-42 forged":                  other.Sign(nil, claims(nil)),
		"ID-42 forged, not JSON":        other.SignRaw(`{"alg":"ES256","kid":"`+other.ID+`"}`, "not JSON"),
		"BR-16 typ dpop+jwt":            header(map[string]any{"typ": "dpop+jwt"}),
		"BR-16 typ logout+jwt":          header(map[string]any{"typ": "logout+jwt"}),
		"BR-16 typ is empty":            header(map[string]any{"typ": ""}),
		"BR-17 nonce":                   claim("nonce", "n"),
		"BR-17 at_hash":                 claim("at_hash", "x"),
		"BR-17 events":                  claim("events", map[string]any{}),
		"BR-17 a client assertion":      s.Sign(nil, claims(map[string]any{"iss": "cli", "sub": "cli"})),
		"BR-19 scp is a number":         claim("scp", 1),
		"BR-19 1001 scopes":             claim("scp", strings.Split("things.read"+strings.Repeat(" x", 1000), " ")),
		"DP-01 cnf":                     claim("cnf", map[string]any{"jkt": "x"}),
		"MT-02 an empty cnf":            claim("cnf", map[string]any{}),
		"MT-02 cnf is a string":         claim("cnf", "x"),
		"MT-02 cnf of no known kind":    claim("cnf", map[string]any{"x": 1}),
		"JW-20 a key for encryption":    weak.Sign(nil, claims(nil)),
		"nested too deep":               rawClaims(`"x":` + nested),
		"more than 1000 members":        rawClaims(`"m":1` + manyMembers(1000)),
		"invalid UTF-8":                 rawClaims("\"x\":\"\xff\""),
		"a JWT in a JWT":                s.Key().SignRaw(`{"alg":"ES256","cty":"JWT"}`, good),
		"BR-21 auth_time is a string":   claim("auth_time", "1"),
	} {
		t.Run(name, func(t *testing.T) {
			p.audit(t, p.send(t, "GET", "/things", token), 401, "invalid_token")
			for part := range strings.SplitSeq(token, ".") {
				if len(part) >= 12 && strings.Contains(p.stderr.String(), part) { // LG-01
					t.Errorf("a part of the token is in the log: %.20s", part)
				}
			}
		})
	}
	for name, token := range map[string]string{
		"good":                          good,
		"BR-16 no typ":                  header(map[string]any{"typ": nil}),
		"BR-16 typ application/at+jwt":  header(map[string]any{"typ": "Application/AT+jwt"}),
		"ID-15 names in another case":   rawClaims(`"SUB":"bob","Nonce":"n","CNF":{}`),
		"ID-18 exp a second ago":        claim("exp", time.Now().Unix()-1),
		"ID-19 a fraction":              number("exp", fmt.Sprintf("%d.75e0", now.Add(time.Hour).Unix())),
		"ID-36 jku beside a good key":   header(map[string]any{"jku": outside.URL, "x5c": []string{"x"}}),
		"BR-13 one of several aud":      claim("aud", []string{"x", s.Audience}),
		"BR-19 scope, and scp null":     s.Sign(nil, claims(map[string]any{"scp": json.RawMessage("null"), "scope": "a things.read"})),
		"JW-25 no kid, and one key":     header(map[string]any{"kid": nil}),
		"JW-25 another key of the set":  rsaKey.Sign(nil, claims(nil)),
		"a large one, of less than 16K": claim("x", strings.Repeat("x", 11_000)),
	} {
		t.Run(name, func(t *testing.T) { p.audit(t, p.send(t, "GET", "/things", token), 200, "") })
	}
	// JW-10, JW-11: for ids in vain, and for signatures, one each in 30 s, besides the first.
	if n, most := s.Count(acptest.JWKSEndpoint), 3+2*int(time.Since(now)/(30*time.Second)); n > most {
		t.Errorf("%d key sets were fetched, want %d", n, most)
	}
}

// nextLetter is the letter of base64url after c, which differs in unused bits where c
// ends the signature of ES256.
func nextLetter(c byte) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(letters[strings.IndexByte(letters, c)|1])
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"m%d":1`, i)
	}
	return b.String()
}
