package acpclient

import (
	"context"
	"errors"
	"fmt"

	"github.com/acp-go/acp/internal/strictjson"
)

// Issuers judges the tokens of several authorization servers, each with a Verifier of its
// own: nobody's key is good for another's token. Opaque tokens go to the one Verifier that
// introspects. It is safe for concurrent use.
type Issuers struct {
	byIssuer map[string]*Verifier // by the iss of their tokens
	opaque   *Verifier            // nil: opaque tokens are refused
	maxSize  int                  // the largest MaxTokenSize
}

// NewIssuers makes one of several Verifiers, which stay the caller's to close. They are of
// different issuers, and one of them at most introspects, because an opaque token does not say whose
// it is. The error names every mistake at once.
func NewIssuers(verifiers ...*Verifier) (*Issuers, error) {
	i := &Issuers{byIssuer: map[string]*Verifier{}}
	var errs []error
	if len(verifiers) == 0 {
		errs = append(errs, errors.New("no verifier"))
	}
	for n, v := range verifiers {
		if v == nil {
			errs = append(errs, fmt.Errorf("verifier %d is nil", n+1))
			continue
		}
		if i.byIssuer[v.expected] != nil {
			errs = append(errs, fmt.Errorf("two verifiers for the issuer %q", v.expected))
		}
		i.byIssuer[v.expected] = v
		i.maxSize = max(i.maxSize, v.config.MaxTokenSize)
		if v.inquire == nil {
			continue
		}
		if i.opaque != nil {
			errs = append(errs, fmt.Errorf("%q and %q both introspect", i.opaque.expected, v.expected))
		}
		i.opaque = v
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("acpclient: NewIssuers:\n%w", err)
	}
	return i, nil
}

// Verify is Verifier.Verify of the Verifier that the token belongs to. A token of an
// unknown issuer is refused without any request.
func (i *Issuers) Verify(ctx context.Context, token string) (*AccessToken, error) {
	v, err := i.verifierOf(token)
	if err != nil {
		return nil, err
	}
	return v.Verify(ctx, token)
}

// verifierOf finds the one Verifier that may judge a token.
func (i *Issuers) verifierOf(token string) (*Verifier, error) {
	if len(token) > i.maxSize {
		return nil, errTooLong
	}
	v, none := i.opaque, errNotCompact
	if looksLikeJWT(token, &headerMemo{}) {
		v, none = i.byIssuer[claimedIssuer(token)], errUnknownIssuer
	}
	if v == nil {
		return nil, none
	}
	return v, nil
}

var errUnknownIssuer = invalidToken("issuer", "no verifier is for this token's issuer")

// claimedIssuer is the iss of a JWT that nobody has verified: it only picks the Verifier.
func claimedIssuer(token string) string {
	parts, err := cutCompact(token)
	if err != nil {
		return ""
	}
	payload, err := decodeCanonical(nil, []byte(parts.payload))
	if err != nil {
		return ""
	}
	members, err := strictjson.ParseOuter(string(payload))
	if err != nil {
		return ""
	}
	iss, _ := members.Value("iss")
	s, _ := iss.String()
	return s
}
