package middleware

import (
	"context"
	"net/http"

	"github.com/acp-go/acp/acpclient"
)

// shown is what is known of a request's token and of the keys that its sender holds. The zero
// value is a token that nobody judged yet, and no key.
type shown struct {
	known  *acpclient.AccessToken             // which a protector further out verified
	proven bool                               // it proved the token's keys, too
	prove  func(*acpclient.AccessToken) error // asks for the keys
}

// boundVerifier gives bound tokens to who asks for the proof. *acpclient.Verifier and
// *acpclient.Issuers do.
type boundVerifier interface {
	VerifyBound(ctx context.Context, token string, prove func(*acpclient.AccessToken) error) (*acpclient.AccessToken, error)
}

// verifyBound is TokenVerifier.Verify for a request that shows a key: prove has judged every token that comes back.
func verifyBound(ctx context.Context, v TokenVerifier, raw string, prove func(*acpclient.AccessToken) error) (a *acpclient.AccessToken, err error) {
	asked := false
	if b, ok := v.(boundVerifier); ok {
		a, err = b.VerifyBound(ctx, raw, func(a *acpclient.AccessToken) error {
			asked = true
			return prove(a)
		})
	} else {
		a, err = v.Verify(ctx, raw)
	}
	if err == nil && a != nil && !asked { // not bound, or a verifier that asks nobody
		err = prove(a)
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}

// provenBy is the protector further out that judged this very token, and its proof, for this request.
func (p *protector) provenBy(r *http.Request, raw string) *tokenContext {
	outer, _ := r.Context().Value(tokenKey{}).(*tokenContext)
	if outer != nil && outer.proven && outer.verifiedBy == p.identity && outer.raw == raw {
		return outer
	}
	return nil
}

func (p *protector) unproven(reason, detail string) error {
	return &problem{status: http.StatusUnauthorized, reason: reason, detail: detail, challenge: p.challenges.token}
}
