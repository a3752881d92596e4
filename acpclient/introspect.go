package acpclient

import (
	"context"
	"crypto/sha256"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/acp-go/acp/internal/strictjson"
)

const (
	maxInquiries    = 32              // introspections at one time
	maxWaiting      = 1024            // that wait for their turn; more are refused as unavailable
	refusalTTL      = 3 * time.Second // how long a token that the server refused stays refused
	signedAnswer    = "application/token-introspection+jwt"
	signedAnswerTyp = "token-introspection+jwt"
)

var (
	errNoIntrospection = invalidResponse("metadata", "no introspection_endpoint")
	errInactive        = invalidToken("inactive", "the server does not know it as an active access token")
	errNotB64Token     = invalidToken("token_malformed", "has characters that a token cannot have")
)

// introspector asks the server about tokens: about one token at one time once.
type introspector struct {
	verifier *Verifier
	ttl      time.Duration
	turns    chan struct{}

	mu      sync.Mutex
	flights map[digest]*inquiry
	refused map[digest]time.Time // until when
	order   []digest             // of refused, oldest first
	most    int                  // refusals that are remembered
	closed  bool
	running sync.WaitGroup
}

// inquiry is one introspection, shared by all who wait for it. token and err are read
// after done.
type inquiry struct {
	done   chan struct{}
	cancel context.CancelFunc
	token  *AccessToken
	err    error
}

func newIntrospector(v *Verifier, ttl time.Duration, most int) *introspector {
	if ttl == 0 {
		most = 0
	}
	return &introspector{
		verifier: v, ttl: ttl, most: most, turns: make(chan struct{}, maxInquiries),
		flights: map[digest]*inquiry{}, refused: map[digest]time.Time{},
	}
}

// introspect judges a token by what the server says of it.
func (v *Verifier) introspect(ctx context.Context, token string) (*AccessToken, error) {
	if !isB64Token(token) {
		return nil, errNotB64Token
	}
	d := digest(sha256.Sum256([]byte(token)))
	if v.good != nil {
		if a, err := v.recall(ctx, &d); a != nil || err != nil {
			return a, err
		}
	}
	f, err := v.inquire.start(&d, token)
	if err != nil {
		return nil, err
	}
	select {
	case <-f.done:
		return f.token, f.err
	case <-ctx.Done():
		return nil, unavailable(ctx.Err(), 0)
	}
}

// start joins the inquiry about a token, or begins one.
func (i *introspector) start(d *digest, token string) (*inquiry, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return nil, ErrClosed
	}
	if until, ok := i.refused[*d]; ok && i.verifier.now().Before(until) {
		return nil, errInactive
	}
	if f := i.flights[*d]; f != nil {
		return f, nil
	}
	if len(i.flights) >= maxInquiries+maxWaiting {
		return nil, &failure{kind: ErrUnavailable, reason: "unavailable", detail: "too many introspections at once", retryAfter: time.Second}
	}
	// Nobody's request carries the inquiry: one that is cancelled must not fail the others.
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	f := &inquiry{done: make(chan struct{}), cancel: cancel}
	i.flights[*d] = f
	i.running.Go(func() { i.fly(ctx, f, *d, token) })
	return f, nil
}

func (i *introspector) fly(ctx context.Context, f *inquiry, d digest, token string) {
	defer f.cancel()
	select {
	case i.turns <- struct{}{}:
		f.token, f.err = i.ask(ctx, token)
		<-i.turns
	case <-ctx.Done():
		f.err = unavailable(ctx.Err(), time.Second)
	}
	i.remember(f, d)
	close(f.done)
}

// remember keeps the answer for its time, and ends the inquiry.
func (i *introspector) remember(f *inquiry, d digest) {
	v := i.verifier
	now := v.now()
	if f.err == nil && i.ttl > 0 && v.good != nil {
		until := now.Add(i.ttl)
		if e := f.token.Expiry; !e.IsZero() && e.Before(until) {
			until = e
		}
		v.good.put(&goodToken{token: f.token, digest: d, until: until}, now)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed && f.err != nil {
		f.err = ErrClosed
	}
	delete(i.flights, d)
	if f.err != errInactive || i.most == 0 {
		return
	}
	for len(i.order) > 0 && (len(i.order) >= i.most || !now.Before(i.refused[i.order[0]])) {
		delete(i.refused, i.order[0])
		i.order = i.order[1:]
	}
	if _, there := i.refused[d]; !there {
		i.order = append(i.order, d)
	}
	i.refused[d] = now.Add(min(refusalTTL, i.ttl))
}

// close ends what is under way, and waits for it. A nil *introspector has nothing to end.
func (i *introspector) close() {
	if i == nil {
		return
	}
	i.mu.Lock()
	i.closed = true
	for _, f := range i.flights {
		f.cancel()
	}
	i.mu.Unlock()
	i.running.Wait()
}

// ask sends one introspection and judges the answer.
func (i *introspector) ask(ctx context.Context, token string) (*AccessToken, error) {
	v := i.verifier
	m, err := v.meta.value(ctx)
	if err != nil {
		return nil, err
	}
	if m.IntrospectionEndpoint == "" {
		return nil, cannotJudge(errNoIntrospection)
	}
	// Judging a token is no sign of life from its user: ACP would prolong the session.
	header := http.Header{"Sso-Session-Extend": {"false"}}
	methods := m.IntrospectionEndpointAuthMethodsSupported
	if methods == nil {
		methods = m.TokenEndpointAuthMethodsSupported
	}
	c := &call{timeout: fetchTimeout, authenticated: true, methods: methods, secrets: []string{token}}
	if v.config.Introspector != nil {
		own, err := v.config.Introspector.Token()
		if err != nil {
			return nil, cannotJudge(err)
		}
		c.authenticated, c.secrets = false, append(c.secrets, own.AccessToken)
		header.Set("Authorization", "Bearer "+own.AccessToken)
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
		if signed = kind == signedAnswer; !signed && kind != "application/json" {
			return nil, invalidResponse("response_malformed", "the introspection answer is not JSON")
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

// cannotJudge says that nothing is known of the token, whatever the server's answer was:
// 503, and never a word about the token.
func cannotJudge(err error) error {
	if errors.Is(err, ErrUnavailable) || errors.Is(err, ErrClosed) {
		return err
	}
	return &failure{
		kind: ErrUnavailable, reason: "introspection", detail: transportDetail(err), cause: err, retryAfter: RetryAfter(err),
	}
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
	iat, ok, err := t.date("iat")
	if now := v.now(); err != nil || !ok || iat.After(now.Add(v.config.Leeway)) || now.Sub(iat) > maxTokenAge {
		return bad("iat is missing, or not now")
	}
	inner, ok := t.value("token_introspection")
	if !ok || !inner.IsObject() {
		return bad("no token_introspection")
	}
	return string(inner), nil
}

// audienceOfAnswers is how the server names this API in what it signs for it.
func (v *Verifier) audienceOfAnswers() string { return firstOf(v.config.ClientID, v.config.Audience) }

// judgeAnswer applies the rules to what the server says of a token. It is held against the
// same rules as a JWT, but that iss and exp may be missing: the answer itself comes from the issuer, now
// (RFC 7662 2.2).
func (v *Verifier) judgeAnswer(c claims, text string) (*AccessToken, error) {
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
	iss, hasIss, err := c.text("iss")
	if err != nil || hasIss && iss != v.expected {
		return nil, invalidToken("issuer", "iss is not the expected one")
	}
	a, _, err := v.judgeAccess(c, c.has("exp"))
	if err != nil {
		return nil, err
	}
	a.Issuer, a.claims = v.expected, text
	return a, nil
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
