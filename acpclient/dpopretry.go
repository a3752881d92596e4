package acpclient

import (
	"context"
	"io"
	"net/http"
)

// retry sends a request once more after its nonce was refused, with another proof and, where it is
// authenticated, another assertion: the server has looked at nothing else of it (RFC 9449 8). ctx
// holds the deadline of the first attempt.
func (b *backChannel) retry(ctx context.Context, req *http.Request, c *call) (*http.Response, error) {
	second := *c
	second.again = true
	out := req.WithContext(context.WithValue(ctx, callKey{}, &second))
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, err
		}
		out.Body = body
	}
	return b.RoundTrip(out)
}

// attempt tells the second attempt from the first: a server that remembers answers by the
// idempotency key would refuse the nonce again.
func (c *call) attempt() string {
	if c.again {
		return c.idempotency + "\nafter use_dpop_nonce"
	}
	return c.idempotency
}

// maxDrain is how much of a refusal is read so that its connection can serve again, in bytes.
const maxDrain = 64 << 10

// send sends a request with an access token and its proof, and a second time where the API wants a nonce (RFC
// 9449 9) and the body can be had again.
func (p *prover) send(base http.RoundTripper, req *http.Request, accessToken string) (*http.Response, error) {
	for again := false; ; again = true {
		out := req.Clone(req.Context())
		if again && req.GetBody != nil {
			body, err := req.GetBody()
			if err != nil {
				return nil, err
			}
			out.Body = body
		}
		out.Header.Set("Authorization", "DPoP "+accessToken)
		nonce, err := p.prove(out, accessToken)
		if err != nil {
			if out.Body != nil {
				out.Body.Close()
			}
			return nil, err
		}
		res, err := base.RoundTrip(out)
		if err != nil {
			return nil, err
		}
		fresh := p.learn(out, res.Header, nonce)
		repeatable := req.Body == nil || req.Body == http.NoBody || req.GetBody != nil
		if again || !fresh || !repeatable || res.StatusCode != http.StatusUnauthorized || !challengesNonce(res.Header) {
			return res, nil
		}
		_, _ = io.CopyN(io.Discard, res.Body, maxDrain)
		res.Body.Close()
	}
}

// sameKey refuses a login that was begun under another key: the code is bound to it, and a
// token without it is nobody's wish (RFC 9449 10).
func (c *Client) sameKey(flow *Flow) error {
	key := ""
	if c.back.dpop != nil {
		key = c.back.dpop.thumbprint
	}
	if flow.DPoPKey != "" && flow.DPoPKey != key {
		return invalidCallback("dpop_key", "the login was begun with another DPoP key than Config.DPoP has now")
	}
	return nil
}
