package acpclient

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/acp-go/acp/internal/strictjson"
)

const (
	signedAnswer    = "application/token-introspection+jwt"
	signedAnswerTyp = "token-introspection+jwt"
	maxAnswerAge    = time.Minute // of a signed answer
)

var (
	errNoIntrospection = invalidResponse("metadata", "no introspection_endpoint")
	errInactive        = invalidToken("inactive", "the server does not know it as an active access token")
)

// ask sends one introspection and judges the answer.
func (i *introspector) ask(ctx context.Context, token string) (g *goodToken, err error) {
	v := i.verifier
	defer v.rescue(&err)
	m, err := v.meta.value(ctx)
	if err != nil {
		return nil, cannotJudge(err)
	}
	if m.IntrospectionEndpoint == "" {
		return nil, cannotJudge(errNoIntrospection)
	}
	if v.config.Profile.signs() && m.IntrospectionSigningAlgValuesSupported == nil {
		return nil, cannotJudge(errUnsignedAnswers)
	}
	// Judging a token is no sign of life from its user: ACP would prolong the session.
	header := http.Header{"Sso-Session-Extend": {"false"}}
	methods := m.IntrospectionEndpointAuthMethodsSupported
	if methods == nil {
		methods = m.TokenEndpointAuthMethodsSupported
	}
	c := &call{timeout: fetchTimeout, authenticated: true, methods: methods, secrets: []string{token}}
	if v.config.Introspector != nil {
		own, err := ownToken(v.config.Introspector)
		if err != nil {
			return nil, err
		}
		c.authenticated, c.secrets = false, append(c.secrets, own)
		header.Set("Authorization", "Bearer "+own)
	}
	if m.IntrospectionSigningAlgValuesSupported != nil {
		header.Set("Accept", signedAnswer+", application/json") // RFC 9701 4
	}
	var signed bool
	c.judge = func(a *answer) ([]byte, error) {
		if a.status != http.StatusOK {
			return nil, a.failed()
		}
		kind, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
		if signed = kind == signedAnswer; !signed && (kind != "application/json" || v.config.Profile.signs()) {
			return nil, invalidResponse("response_malformed", "the introspection answer is not JSON, or not signed")
		}
		return a.body, nil
	}
	body, err := v.back.post(ctx, m.IntrospectionEndpoint, header, url.Values{"token": {token}}, c)
	if err != nil {
		return nil, cannotJudge(err)
	}
	text := string(body)
	if signed {
		if text, err = v.openAnswer(ctx, text); err != nil {
			return nil, err
		}
	}
	members, err := strictjson.Parse(text)
	if err != nil {
		return nil, cannotJudge(invalidResponse("response_malformed", "the introspection answer: "+err.Error()))
	}
	return v.judgeAnswer(claims(members), text)
}

// ownToken is what introspection is authorized with.
func ownToken(source oauth2.TokenSource) (string, error) {
	own, err := source.Token()
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok { // its text is the server's whole answer
		status := 0
		if e.Response != nil {
			status = e.Response.StatusCode
		}
		err = serverError(status, e.ErrorCode, "", "", "", "")
	}
	detail := "it gives none"
	switch {
	case err != nil:
		detail = transportDetail(err)
	case own != nil && isB64Token(own.AccessToken):
		return own.AccessToken, nil
	}
	return "", &failure{
		kind: ErrUnavailable, reason: "introspection", detail: "no token of the Introspector: " + detail,
		retryAfter: max(RetryAfter(err), time.Second),
	}
}

// cannotJudge says that nothing is known of the token, whatever the server's answer was. The
// answer's own error must not be found in it: it would be taken for a word about the token.
func cannotJudge(err error) error {
	if f, ok := errors.AsType[*failure](err); ok && f.kind == ErrUnavailable {
		return withRetryAfter(err, time.Second)
	}
	detail := transportDetail(err)
	if Reason(err) != "" { // one of ours, which is clean
		detail = strings.TrimPrefix(err.Error(), "acpclient: ")
	}
	return &failure{kind: ErrUnavailable, reason: "introspection", detail: detail, retryAfter: max(RetryAfter(err), time.Second)}
}

// openAnswer verifies a signed answer (RFC 9701 5) and returns what it says of the token.
func (v *Verifier) openAnswer(ctx context.Context, raw string) (string, error) {
	bad := func(detail string) (string, error) {
		return "", cannotJudge(invalidResponse("response_malformed", "the signed introspection answer: "+detail))
	}
	t, err := parseJWS(raw, maxResponseBody)
	switch {
	case err != nil:
		return bad("not a JWT")
	case t.typ != signedAnswerTyp:
		return bad("typ is another one")
	case !slices.Contains(v.config.Algs, t.alg):
		return bad("alg is not an accepted one")
	}
	if _, _, err := v.keys.verify(ctx, t); err != nil {
		return "", cannotJudge(err)
	}
	if t.readClaims() != nil {
		return bad("malformed claims")
	}
	iss, _, err := t.text("iss")
	if err != nil || iss != v.expected {
		return bad("iss is not the expected one")
	}
	if aud, err := t.audience(); err != nil || !slices.Contains(aud, v.audienceOfAnswers()) {
		return bad("aud is not this API")
	}
	iat, _, err := t.date("iat")
	if now := v.now(); err != nil || iat.After(now.Add(v.config.Leeway)) || now.Sub(iat) > maxAnswerAge+v.config.Leeway {
		return bad("iat is missing, or not now")
	}
	inner, ok := t.value("token_introspection")
	if !ok {
		return bad("no token_introspection")
	}
	return string(inner), nil
}

// audienceOfAnswers is how the server names this API in what it signs for it.
func (v *Verifier) audienceOfAnswers() string { return firstOf(v.config.ClientID, v.config.Audience) }

// judgeAnswer applies the rules to what the server says of a token. It is held against the
// same rules as a JWT, but that iss and exp may be missing: the answer itself comes from the issuer, now
// (RFC 7662 2.2).
func (v *Verifier) judgeAnswer(c claims, text string) (*goodToken, error) {
	active, _ := c.value("active")
	switch is, ok := active.Bool(); {
	case !ok:
		return nil, cannotJudge(invalidResponse("response_malformed", "the introspection answer has no boolean active"))
	case !is:
		return nil, errInactive
	}
	if err := judgeTokenType(c); err != nil {
		return nil, err
	}
	if iss, ok, _ := c.text("iss"); ok && iss != v.expected {
		return nil, invalidToken("issuer", "iss is not the expected one")
	}
	g := &goodToken{}
	times, err := v.judgeAccess(c, placesOfAnswer, false, &scratch{}, &g.token)
	if err != nil {
		return nil, err
	}
	if err := v.judgeBinding(&g.token); err != nil {
		return nil, err
	}
	g.token.Issuer, g.token.claims, g.notBefore = v.expected, text, times.notBefore
	return g, nil
}

// judgeTokenType takes access tokens alone: at ACP a refresh token is active, too.
func judgeTokenType(c claims) error {
	v, ok := c.value("token_type")
	if !ok || v.IsNull() {
		return nil
	}
	switch kind, _ := v.String(); strings.ToLower(kind) {
	case "access_token", "bearer", "urn:ietf:params:oauth:token-type:access_token":
		return nil
	case "dpop":
		if c.has("cnf") {
			return nil // judged with the rest
		}
	}
	return invalidToken("token_use", "token_type is not an access token's")
}

// isB64Token holds for what RFC 6750 2.1 lets stand in the header.
func isB64Token(token string) bool {
	body := strings.TrimRight(token, "=")
	return body != "" && tokenRun(body) == len(body) && strings.IndexByte(body, '=') < 0
}
