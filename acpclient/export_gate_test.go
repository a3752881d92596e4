package acpclient

import (
	"context"
	"net/http"
	"time"
)

// SetDiscoveryTimeout bounds one fetch of the metadata.
func SetDiscoveryTimeout(c *Client, d time.Duration) { c.meta.timeout = d }

// SetJitter fixes the jitter of the metadata's back-off, in [0,1).
func SetJitter(c *Client, jitter float64) { c.meta.jitter = func() float64 { return jitter } }

// SetVerifierJitter sets that of the metadata's back-off and that of the keys'.
func SetVerifierJitter(v *Verifier, metadata, keys float64) {
	v.meta.jitter = func() float64 { return metadata }
	v.keys.o.jitter = func() float64 { return keys }
}

// Gate is parseJWS.
func Gate(token string, maxSize int) (signingInput, payload, signature []byte, err error) {
	t, err := parseJWS(token, maxSize)
	if err != nil {
		return nil, nil, nil, err
	}
	return t.signingInput, []byte(t.payload), t.signature, nil
}

// JudgedClaims are the claims that every kind of token is judged by.
type JudgedClaims struct {
	Iss, Sub string
	Aud      []string
	Exp      time.Time
}

// ReadClaims reads them as the judges do; ok is false where one of them is refused.
func ReadClaims(payload []byte) (c JudgedClaims, ok bool) {
	t := &jws{payload: string(payload), room: &scratch{}}
	if t.readClaims() != nil {
		return c, false
	}
	var hasIss, hasExp bool
	var errs [4]error
	c.Iss, hasIss, errs[0] = t.text("iss")
	c.Sub, errs[1] = t.subject()
	c.Aud, errs[2] = t.audience()
	c.Exp, hasExp, errs[3] = t.date("exp")
	return c, hasIss && hasExp && errs == [4]error{}
}

// JudgeClaims judges a payload whose signature is taken for good.
func JudgeClaims(c *Client, v *Verifier, payload []byte) (idToken, accessToken error) {
	t := &jws{joseHeader: &joseHeader{alg: "ES256"}, payload: string(payload), room: &scratch{}}
	if err := t.readClaims(); err != nil {
		return err, err
	}
	idToken = c.judgeIDToken(t, idTokenRules{nonce: "n", nonceRequired: true, maxAge: new(int64(60)), accessToken: "a", code: "c", state: "s"})
	_, accessToken = v.judge(t, &AccessToken{})
	return idToken, accessToken
}

// JudgeLogoutToken judges a payload whose signature is taken for good.
func JudgeLogoutToken(c *Client, payload []byte) (*LogoutToken, error) {
	t := &jws{joseHeader: &joseHeader{alg: "ES256"}, payload: string(payload), room: &scratch{}}
	if err := t.readClaims(); err != nil {
		return nil, err
	}
	return c.judgeLogoutToken(t)
}

// Guard is a dialGuard.
type Guard struct{ guard dialGuard }

// NewGuard guards an issuer's host and those that its metadata names.
func NewGuard(issuerHost string, named ...string) *Guard {
	g := &Guard{}
	g.guard.issuerHost = issuerHost
	hosts := map[string]bool{}
	for _, h := range named {
		hosts[h] = true
	}
	g.guard.hosts.Store(&hosts)
	return g
}

// Dial is the question whether host may be reached at address.
func (g *Guard) Dial(host, address string) error {
	return g.guard.control(context.WithValue(context.Background(), dialHost{}, host), "tcp", address, nil)
}

// MoveIssuer makes the client's guard believe that the issuer is at host, which was not
// dialled yet, and ends the connections that wait for a next request.
func MoveIssuer(c *Client, host string) {
	c.guard.issuerHost = host
	for i := range c.guard.seen {
		c.guard.seen[i].Store(false)
	}
	closeIdle(c.back.base)
}

var CacheControl = cacheControl

// Decode is decode.
func Decode(object []byte, v any) error { return decode(string(object), v) }

// CertifiedTransport is the one that presents the client's certificate.
func CertifiedTransport(c *Client) *http.Transport { return c.cert.with.(*http.Transport) }
