package acpclient

import "context"

var errBound = invalidToken("bound", "the token is bound to a key that was not shown")

// VerifyBound is Verify for tokens that may be bound to a key of their client: prove is called
// with each bound token that is good otherwise, and says whether the sender showed the key (RFC 8705 3, RFC 9449 7).
// Its error is returned as it is. A nil prove refuses them.
func (v *Verifier) VerifyBound(ctx context.Context, token string, prove func(*AccessToken) error) (*AccessToken, error) {
	a, err := v.verify(ctx, token)
	if err != nil || a.Confirmation == nil {
		return a, err
	}
	if prove == nil {
		return nil, errBound
	}
	if err := prove(a); err != nil {
		return nil, err
	}
	return a, nil
}

// VerifyBound is Verifier.VerifyBound of the Verifier that the token belongs to.
func (i *Issuers) VerifyBound(ctx context.Context, token string, prove func(*AccessToken) error) (*AccessToken, error) {
	v, err := i.verifierOf(token)
	if err != nil {
		return nil, err
	}
	return v.VerifyBound(ctx, token, prove)
}
