package middleware

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/acp-go/acp/acpclient"
)

// DPoPOptions say which proofs an API takes with tokens that are bound to a key of their
// client (RFC 9449). It is a plain value, which is copied. The zero value is enough where
// BearerOptions.Resource is set.
type DPoPOptions struct {
	// BaseURL is the address under which clients reach this API: https (http on loopback),
	// host, and port where it is not the scheme's own. A path is what a proxy, or http.StripPrefix, takes off
	// before the request comes here. A proof names the whole address, and no header of a request is believed about
	// it, Host and X-Forwarded-Host included. "" means the origin of BearerOptions.Resource; one of both is required.
	BaseURL string

	// Algs are the accepted signature algorithms. nil means ES256, PS256 and EdDSA.
	Algs []string

	// MaxAge is how old a proof may be: 5 s to 5 min, 0 means 60 s. A clock difference of 10 s
	// is forgiven besides.
	MaxAge time.Duration

	// RequireNonce makes clients take a nonce from here into their proofs (RFC 9449 9), which serves for 3
	// min: a proof that was made in advance is then good for nothing. It costs a client one
	// more request now and then. Behind CORS expose the headers DPoP-Nonce and WWW-Authenticate.
	RequireNonce bool

	// NonceKeys are the secrets of the nonces, 32 bytes each, newest first: all processes of the API
	// need the same. nil means one that all protectors of this process share.
	NonceKeys [][]byte

	// Store remembers which proofs were used, for all processes of the API: it should have Add.
	// While it is down, requests with a proof are 503. nil remembers them in this process alone,
	// about a million in each MaxAge and protector; more are 503 in that time.
	Store Store
}

// dpop is what a protector has for the scheme DPoP. nil: it takes none.
type dpop struct {
	*protector // the same, with this scheme's challenges

	base   string
	proofs *acpclient.ProofVerifier
}

// newDPoP takes settled options; its errors are those of settle.
func newDPoP(o *BearerOptions) (*dpop, error) {
	var errs []error
	d := &dpop{base: strings.TrimSuffix(o.DPoP.BaseURL, "/")}
	switch {
	case d.base != "":
		if problem := checkResource(d.base); problem != "" {
			errs = append(errs, fmt.Errorf("BearerOptions.DPoP.BaseURL: %q %s", o.DPoP.BaseURL, problem))
		}
	case o.Resource == "":
		errs = append(errs, errors.New("BearerOptions.DPoP.BaseURL: is needed, or BearerOptions.Resource"))
	default:
		if u, err := url.Parse(o.Resource); err == nil {
			d.base = u.Scheme + "://" + u.Host
		}
	}
	c := acpclient.ProofConfig{Algs: o.DPoP.Algs, MaxAge: o.DPoP.MaxAge, RequireNonce: o.DPoP.RequireNonce, NonceKeys: o.DPoP.NonceKeys}
	if !isNil(o.DPoP.Store) {
		store := newStorage(o.DPoP.Store, wallClock)
		c.Once = func(ctx context.Context, id string, expiry time.Time) (bool, error) {
			return store.Add(ctx, onceToken("dpop", id), expiry)
		}
	}
	var err error
	if d.proofs, err = acpclient.NewProofVerifier(c); err != nil {
		errs = append(errs, fmt.Errorf("BearerOptions.DPoP: %w", err))
	}
	return d, errors.Join(errs...)
}

// join takes p over, and tells p's other callers of this scheme (RFC 9449 7.1, 7.2).
func (d *dpop) join(p *protector) {
	twin := *p
	twin.challenges = challengesOf(&p.options, "DPoP", strings.Join(d.proofs.Algs(), " "))
	d.protector = &twin
	p.challenges.bound = d.challenges.bound
	for _, c := range []*string{&p.challenges.plain, &p.challenges.request, &p.challenges.token} {
		*c += ", " + d.challenges.plain
	}
}

// clone keeps later changes of the caller's away.
func (o *DPoPOptions) clone() *DPoPOptions {
	if o == nil {
		return nil
	}
	c := *o
	c.Algs, c.NonceKeys = slices.Clone(o.Algs), slices.Clone(o.NonceKeys)
	return &c
}

// readDPoP finds the token of a request whose scheme is DPoP, by the rules of readCredentials.
func readDPoP(r *http.Request) credentials {
	const scheme = len("DPoP")
	token, ok := strings.CutPrefix(r.Header["Authorization"][0][scheme:], " ")
	token = strings.TrimLeft(token, " ")
	switch {
	case len(token) > maxBearerToken:
		return credentials{kind: oversized}
	case !ok || !isB64Token(token):
		return credentials{kind: malformedHeader}
	case tokenElsewhere(r):
		return credentials{kind: twoPlaces}
	}
	return credentials{kind: dpopScheme, token: token}
}

// admit returns the request that the handler is to see.
func (d *dpop) admit(r *http.Request) (*http.Request, error) {
	c := readDPoP(r)
	if c.kind != dpopScheme {
		return nil, d.unusable(c.kind)
	}
	if outer := d.provenBy(r, c.token); outer != nil { // a proof serves once
		_, err := d.examine(r.Context(), c.token, shown{known: outer.token, proven: true})
		return r, err
	}
	token, err := d.examine(r.Context(), c.token, shown{prove: func(a *acpclient.AccessToken) error { return d.prove(r, c.token, a) }})
	if err != nil {
		return nil, err
	}
	return r.WithContext(&tokenContext{Context: r.Context(), token: token, raw: c.token, verifiedBy: d.identity, proven: true}), nil
}

// prove holds the proof of a request against a token that is good otherwise.
func (d *dpop) prove(r *http.Request, raw string, a *acpclient.AccessToken) error {
	if a.Confirmation == nil || a.Confirmation.JKT == "" { // RFC 9449 7.1
		return d.unproven("unbound", "a token that is bound to no key came as DPoP")
	}
	if a.Confirmation.X5tS256 != "" {
		if err := d.sameCertificate(r, a.Confirmation.X5tS256); err != nil {
			return err
		}
	}
	proofs := r.Header["Dpop"]
	if len(proofs) != 1 { // RFC 9449 4.3 (1)
		return d.badProof("proof_missing", "not exactly one DPoP header", nil)
	}
	err := d.proofs.Verify(r.Context(), proofs[0], acpclient.ProofRequest{
		Method: r.Method, URL: d.base + r.URL.EscapedPath(), AccessToken: raw, Thumbprint: a.Confirmation.JKT,
	})
	if errors.Is(err, acpclient.ErrInvalidProof) {
		return d.badProof(reasonOf(err), clean(scrub(err.Error(), raw)), err)
	}
	return err
}

func (d *dpop) badProof(reason, detail string, kind error) error {
	challenge := d.challenges.proof
	if reason == "dpop_nonce" {
		challenge = d.challenges.nonce
	}
	return &problem{status: http.StatusUnauthorized, reason: reason, detail: detail, challenge: challenge, kind: kind}
}

// offerNonce gives each caller a nonce for its next request (RFC 9449 8.2, 9).
func (d *dpop) offerNonce(h http.Header) {
	if nonce := d.proofs.Nonce(); nonce != "" {
		h["Dpop-Nonce"] = []string{nonce}
	}
}
