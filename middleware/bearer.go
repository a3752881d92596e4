package middleware

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"

	"github.com/acp-go/acp/acpclient"
)

// TokenVerifier judges an access token. *acpclient.Verifier is one. The token is a
// b64token of RFC 6750 2.1, at most 16 KiB long. The error decides the answer: one that
// matches acpclient.ErrInvalidToken is 401; acpclient.ErrUnavailable, acpclient.ErrInvalidResponse,
// an *acpclient.Error and the errors of a context are 503, since they say nothing about
// the token; everything else, nil without a token, and a panic are 500.
type TokenVerifier interface {
	Verify(ctx context.Context, token string) (*acpclient.AccessToken, error)
}

// RequireBearer returns the protector of an API: it serves a handler only with a valid
// access token in the Authorization header (RFC 6750), which has what the options ask
// for, and which AccessTokenFromContext then gives. Every method needs one, OPTIONS included: CORS belongs
// outside. A nil handler answers 404.
//
// Refusals are application/problem+json: 400 for a malformed request, 401 without a token
// or with one that is bad or bound to a key (`cnf`) that was not shown, 403 where a scope is missing, 503 with Retry-After
// when the token cannot be judged now. The caller learns the class from the challenge, and never
// the check that failed: that stands in the log, under the reference of the answer.
//
// A token is taken from the header alone, and the body is not read. Inside another protector with the
// same verifier a token is not verified again, and each asks for its own scopes.
//
// nil options are the zero value. The error names every mistake at once; a nil
// verifier is one.
func RequireBearer(verifier TokenVerifier, o *BearerOptions) (func(http.Handler) http.Handler, error) {
	p, err := newProtector(verifier, o)
	if err != nil {
		return nil, err
	}
	p.refuse = func(w http.ResponseWriter, r *http.Request, err error) {
		f := newFailure(err)
		logFailure(p.options.Logger, r, f)
		f.setHeaders(w.Header())
		writeProblem(w, f)
	}
	return func(next http.Handler) http.Handler {
		next = orNotFound(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if p.options.Optional {
				w.Header().Add("Vary", "Authorization")
			}
			p.serve(w, r, readCredentials(r), next)
		})
	}, nil
}

// protector is one set of options with one verifier.
type protector struct {
	verifier   TokenVerifier
	identity   any  // of the verifier: comparable
	strict     bool // the verifier takes no token that is no b64token, and asks nobody about one
	options    BearerOptions
	challenges challenges
	dpop       *dpop // nil: the scheme is not taken
	refuse     func(http.ResponseWriter, *http.Request, error)
}

// newProtector lacks refuse.
func newProtector(verifier TokenVerifier, o *BearerOptions) (*protector, error) {
	p := &protector{verifier: verifier}
	if o != nil {
		p.options = *o
	}
	var missing error
	if isNil(verifier) {
		missing = errors.New("verifier: is nil")
	}
	mistakes := errors.Join(missing, p.options.settle())
	if p.options.DPoP != nil {
		var err error
		p.dpop, err = newDPoP(&p.options)
		mistakes = errors.Join(mistakes, err)
	}
	if mistakes != nil {
		return nil, fmt.Errorf("middleware: invalid bearer configuration:\n%w", mistakes)
	}
	switch verifier.(type) {
	case *acpclient.Verifier, *acpclient.Issuers:
		p.strict = true
	}
	p.identity = verifier
	if !reflect.ValueOf(verifier).Comparable() { // a func: nobody knows whether two are one
		p.identity = p
	}
	p.challenges = newChallenges(&p.options)
	if p.dpop != nil {
		p.dpop.join(p)
	}
	return p, nil
}

func (p *protector) serve(w http.ResponseWriter, r *http.Request, c credentials, next http.Handler) {
	if c.kind == dpopScheme && p.dpop != nil {
		p.dpop.offerNonce(w.Header())
	}
	admitted, err := p.admit(r, c)
	if err != nil {
		p.refuse(w, r, err)
		return
	}
	next.ServeHTTP(w, withoutIdentity(admitted))
}

// admit returns the request that the handler is to see.
func (p *protector) admit(r *http.Request, c credentials) (*http.Request, error) {
	if c.kind == noCredentials && p.options.Optional {
		return withoutToken(r), nil
	}
	if c.kind != bearerToken {
		if c.kind == dpopScheme && p.dpop != nil {
			return p.dpop.admit(r)
		}
		return nil, p.unusable(c.kind)
	}
	outer, _ := r.Context().Value(tokenKey{}).(*tokenContext)
	if outer != nil && outer.verifiedBy == p.identity && outer.raw == c.token {
		_, err := p.examine(r.Context(), c.token, shown{known: outer.token, proven: outer.proven})
		return r, err
	}
	var s shown
	if p.options.ClientCertificate != nil {
		s.prove = func(a *acpclient.AccessToken) error { return p.proveCertificate(r, a) }
	}
	token, err := p.examine(r.Context(), c.token, s)
	if err != nil {
		return nil, err
	}
	return r.WithContext(&tokenContext{Context: r.Context(), token: token, raw: c.token, verifiedBy: p.identity, proven: s.prove != nil}), nil
}

// unusable is the answer to a request that shows no token, or not as it should.
func (p *protector) unusable(kind credentialKind) error {
	status, challenge := http.StatusBadRequest, p.challenges.request
	var reason, detail string
	switch kind {
	case noCredentials:
		status, challenge, reason, detail = http.StatusUnauthorized, p.challenges.plain, "no_token", "no Authorization header"
	case inQuery:
		status, challenge, reason, detail = http.StatusUnauthorized, p.challenges.plain, "no_token", "a token in the query or a form is not taken"
	case otherScheme, dpopScheme:
		status, challenge, reason, detail = http.StatusUnauthorized, p.challenges.plain, "auth_scheme", "the Authorization header has another scheme than Bearer"
	case oversized:
		status, challenge, reason, detail = http.StatusUnauthorized, p.challenges.token, "token_malformed", "the token is longer than 16 KiB"
	case twoPlaces:
		reason, detail = "ambiguous_credentials", "a token in the header, and another one in the query or a form"
	default:
		reason, detail = "malformed_authorization", "not exactly one Authorization header with a scheme, a space and a token"
	}
	return &problem{status: status, reason: reason, detail: detail, challenge: challenge}
}

// examine verifies a token that is not known yet, and asks whether it suffices here. A
// panic of the verifier or of MatchScope serves nobody.
func (p *protector) examine(ctx context.Context, raw string, s shown) (a *acpclient.AccessToken, err error) {
	defer func() {
		if v := recover(); v == http.ErrAbortHandler {
			panic(v)
		} else if v != nil {
			a, err = nil, broken(clean(scrub(fmt.Sprint(v), raw)))
		}
	}()
	if a = s.known; a == nil {
		if !p.strict && !isB64Token(raw) {
			return nil, p.unusable(malformedHeader)
		}
		if s.prove == nil {
			a, err = p.verifier.Verify(ctx, raw)
		} else {
			a, err = verifyBound(ctx, p.verifier, raw, s.prove)
			s.proven = true
		}
		if err != nil {
			if p.strict && !isB64Token(raw) { // looked at now: no good token has to wait for it
				return nil, p.unusable(malformedHeader)
			}
			return nil, p.refusalOf(err, raw)
		}
		if a == nil {
			return nil, broken("the verifier returned neither a token nor an error")
		}
	}
	if a.Confirmation != nil && !s.proven { // RFC 9449 7.2, RFC 8705 3: nobody asked for a proof
		return nil, &problem{status: http.StatusUnauthorized, reason: "bound", detail: "a bound token came as Bearer", challenge: p.challenges.bound}
	}
	if a.Confirmation == nil && p.options.RequireBound { // FAPI 2.0 Security Profile 5.3.3
		return nil, p.unproven("unbound", "a token that is bound to no key")
	}
	if err := p.judgeScopes(a); err != nil {
		return nil, err
	}
	if err := p.judgeSignIn(a); err != nil {
		return nil, err
	}
	return a, nil
}

func broken(detail string) error {
	return &problem{status: http.StatusInternalServerError, reason: "verifier", detail: detail}
}

// refusalOf tells a bad token from one that cannot be judged.
func (p *protector) refusalOf(err error, raw string) error {
	if ours, ok := errors.AsType[*problem](err); ok { // of the proof
		return ours
	}
	out := &problem{status: http.StatusInternalServerError, reason: reasonOf(err), detail: clean(scrub(withoutURL(err), raw)), kind: err}
	_, refused := errors.AsType[*acpclient.Error](err) // the server refused the question, not the token
	switch {
	case refused, errors.Is(err, acpclient.ErrUnavailable), errors.Is(err, acpclient.ErrInvalidResponse), errors.Is(err, acpclient.ErrClosed),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		out.status = http.StatusServiceUnavailable
	case errors.Is(err, acpclient.ErrInvalidToken):
		out.status, out.challenge = http.StatusUnauthorized, p.challenges.token
		if out.reason == "bound" {
			out.challenge = p.challenges.bound
		}
		if out.reason == "internal" { // a verifier of others, without a reason
			out.reason = "token_refused"
		}
	}
	return out
}

// judgeScopes compares whole scopes.
func (p *protector) judgeScopes(a *acpclient.AccessToken) error {
	o := &p.options
	for _, wanted := range o.Scopes {
		if !p.has(a, wanted) {
			return p.lacksScope("a scope of BearerOptions.Scopes is missing")
		}
	}
	if o.AnyScope != nil && !slices.ContainsFunc(o.AnyScope, func(wanted string) bool { return p.has(a, wanted) }) {
		return p.lacksScope("every scope of BearerOptions.AnyScope is missing")
	}
	return nil
}

func (p *protector) lacksScope(detail string) error {
	return &problem{status: http.StatusForbidden, reason: "scope", detail: detail, challenge: p.challenges.scope}
}

func (p *protector) has(a *acpclient.AccessToken, wanted string) bool {
	if p.options.MatchScope == nil {
		return a.HasScope(wanted)
	}
	for _, granted := range a.Scopes {
		if p.options.MatchScope(granted, wanted) {
			return true
		}
	}
	return false
}
