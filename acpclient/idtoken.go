package acpclient

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// idTokenRules are what an ID token is held against beside the configuration.
type idTokenRules struct {
	nonce         string
	nonceRequired bool // at a login; a refresh may leave it out (OIDC Core 12.2)
	maxAge        *int64
	accessToken   string // at_hash
	code, state   string // c_hash, s_hash; "" where there is none
}

// maxTokenAge is how old a token from the token endpoint may be, by its iat.
const maxTokenAge = 10 * time.Minute

// verifyIDToken obeys OIDC Core 3.1.3.7 and 3.1.3.8: the gate, our rules, and then the
// second opinion of go-oidc and go-jose, who know nothing of our parser. They come last, because
// their parser takes white space and JSON serialization, and they judge what the gate read
// of issuer and audience, because they would fold the case of names and take the last of two.
func (c *Client) verifyIDToken(ctx context.Context, m *Metadata, raw string, rules idTokenRules) (*jws, error) {
	t, err := c.open(ctx, m, raw, (*Metadata).idTokenAlgs)
	if err != nil {
		return nil, err
	}
	if err := c.judgeIDToken(t, rules); err != nil {
		return nil, err
	}
	if _, err := c.secondOpinion(t, "iss", "aud").Verify(ctx, raw); err != nil {
		return nil, invalidToken("token_malformed", clean(err.Error()))
	}
	return t, nil
}

// secondOpinion is go-oidc's verifier of a token that was judged. It sees the named
// claims alone, each as the gate read it.
func (c *Client) secondOpinion(t *jws, names ...string) *oidc.IDTokenVerifier {
	return oidc.NewVerifier(c.expected, judged{t, names}, &oidc.Config{
		ClientID: c.config.ClientID, SupportedSigningAlgs: []string{t.alg},
		SkipExpiryCheck: true, // judged before, with the leeway
	})
}

// judged is the oidc.KeySet of a token whose signature was verified.
type judged struct {
	token *jws
	names []string // plain ones, that need no escape in JSON
}

// VerifySignature implements oidc.KeySet.
func (j judged) VerifySignature(context.Context, string) ([]byte, error) {
	payload := []byte{'{'}
	for _, name := range j.names {
		v, ok := j.token.claims.value(name)
		if !ok {
			continue
		}
		if len(payload) > 1 {
			payload = append(payload, ',')
		}
		payload = append(append(append(payload, '"'), name...), `":`...)
		payload = append(payload, v...)
	}
	return append(payload, '}'), nil
}

// open passes a token of the server's through the gate and verifies its signature, by an
// algorithm that the server names for this kind of token.
func (c *Client) open(ctx context.Context, m *Metadata, raw string, named algsOf) (*jws, error) {
	t, err := c.admit(raw)
	if err != nil {
		return nil, err
	}
	return t, c.authenticate(ctx, m, t, named)
}

// admit is what needs no key: the gate, and whether the algorithm is a configured one.
func (c *Client) admit(raw string) (*jws, error) {
	t, err := parseJWS(raw, c.config.MaxTokenSize)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(c.config.algs(), t.alg) {
		return nil, errAlg
	}
	return t, nil
}

// authenticate verifies the signature, and reads the claims.
func (c *Client) authenticate(ctx context.Context, m *Metadata, t *jws, named algsOf) (err error) {
	if c.secret != nil {
		if !verifyHMAC(t.alg, c.secret, t.signingInput, t.signature) {
			return invalidToken("signature", "the signature is not the server's")
		}
		return t.readClaims()
	}
	if !named.hold(m, t.alg) {
		// The server may have changed its keys' type since it was asked.
		if m, err = c.meta.again(ctx, forcedFetch); err != nil {
			return err
		}
		if !named.hold(m, t.alg) {
			return invalidToken("alg", "alg is not one that the server names")
		}
	}
	if _, _, err := c.keys.verify(ctx, t); err != nil {
		return err
	}
	return t.readClaims()
}

// algsOf is what the server names for a kind of token; nil where it names none.
type algsOf func(*Metadata) []string

// hold is true for every alg where the server names none.
func (of algsOf) hold(m *Metadata, alg string) bool {
	names := of(m)
	return names == nil || slices.Contains(names, alg)
}

func (m *Metadata) idTokenAlgs() []string  { return m.IDTokenSigningAlgValuesSupported }
func (m *Metadata) responseAlgs() []string { return m.authorizationSigningAlgs }

// userInfoAlgs are the ID token's where the server has no list of their own.
func (m *Metadata) userInfoAlgs() []string {
	if m.userInfoSigningAlgs != nil {
		return m.userInfoSigningAlgs
	}
	return m.IDTokenSigningAlgValuesSupported
}

// algs are the configured ones, or all asymmetric ones.
func (c *Config) algs() []string {
	if c.IDTokenAlgs != nil {
		return c.IDTokenAlgs
	}
	return asymmetricAlgs
}

// judgeIDToken applies the rules to verified claims.
func (c *Client) judgeIDToken(t *jws, rules idTokenRules) error {
	// RFC 8725 3.11: the list of types is closed, and other kinds' marks refuse.
	if t.typ != "" && t.typ != "jwt" {
		return invalidToken("token_use", "typ is not an ID token's")
	}
	if t.has("events") {
		return invalidToken("token_use", "a logout token")
	}
	if err := c.judgeParties(t, true); err != nil {
		return err
	}
	if _, err := t.subject(); err != nil {
		return err
	}
	now := c.now()
	times, err := t.validity(now, c.config.Leeway, true)
	switch {
	case err != nil:
		return err
	case times.issuedAt.IsZero():
		return invalidToken("issued_at", "no iat")
	case now.Sub(times.issuedAt) > maxTokenAge+c.config.Leeway:
		return invalidToken("issued_at", "iat is too long ago")
	}
	if err := judgeNonce(t, rules); err != nil {
		return err
	}
	if err := judgeAuthTime(t, rules.maxAge, now, c.config.Leeway); err != nil {
		return err
	}
	return judgeHashes(t, rules)
}

// judgeParties judges iss, aud and azp, which an ID token needs where it has several audiences.
func (c *Client) judgeParties(t *jws, needsAzp bool) error {
	if iss, _, err := t.text("iss"); err != nil || iss != c.expected {
		return invalidToken("issuer", "iss is not the expected one")
	}
	aud, err := t.audience()
	if err != nil {
		return err
	}
	if !slices.Contains(aud, c.config.ClientID) {
		return invalidToken("audience", "aud does not name this client")
	}
	azp, hasAzp, err := t.text("azp")
	switch {
	case err != nil, hasAzp && azp != c.config.ClientID:
		return invalidToken("authorized_party", "azp is another client")
	case needsAzp && len(aud) > 1 && !hasAzp:
		return invalidToken("authorized_party", "several audiences and no azp")
	}
	for _, a := range aud {
		if a != c.config.ClientID && !slices.Contains(c.config.TrustedAudiences, a) {
			return invalidToken("audience", "aud names a party that is not trusted")
		}
	}
	return nil
}

func judgeNonce(t *jws, rules idTokenRules) error {
	nonce, present, err := t.text("nonce")
	switch {
	case err != nil:
		return invalidToken("nonce", "nonce is not a string")
	case !present && !rules.nonceRequired:
		return nil
	case subtle.ConstantTimeCompare([]byte(nonce), []byte(rules.nonce)) != 1 || nonce == "":
		return invalidToken("nonce", "nonce is not this login's")
	}
	return nil
}

func judgeAuthTime(t *jws, maxAge *int64, now time.Time, leeway time.Duration) error {
	at, present, err := t.date("auth_time")
	switch {
	case err != nil:
		return invalidToken("auth_time", "auth_time is not a date")
	case present && at.After(now.Add(leeway)):
		return invalidToken("auth_time", "auth_time is in the future")
	case maxAge == nil:
		return nil
	case !present:
		return invalidToken("auth_time", "max_age was asked for, and there is no auth_time")
	case now.Sub(at) > time.Duration(*maxAge)*time.Second+leeway:
		return invalidToken("auth_time", "the user signed in too long ago")
	}
	return nil
}

// judgeHashes judges at_hash, c_hash and s_hash where they are there: the left half of
// the hash that belongs to the token's own alg (OIDC Core 3.1.3.6, 3.3.2.11).
func judgeHashes(t *jws, rules idTokenRules) error {
	for _, h := range []struct{ name, of, reason string }{
		{"at_hash", rules.accessToken, "at_hash"}, {"c_hash", rules.code, "c_hash"}, {"s_hash", rules.state, "c_hash"},
	} {
		got, present, err := t.text(h.name)
		if !present || h.of == "" && err == nil {
			continue
		}
		if err != nil || subtle.ConstantTimeCompare([]byte(got), []byte(leftHalf(t.alg, h.of))) != 1 {
			return invalidToken(h.reason, h.name+" does not match")
		}
	}
	return nil
}

func leftHalf(alg, s string) string {
	var sum []byte
	switch {
	case strings.HasSuffix(alg, "256"):
		h := sha256.Sum256([]byte(s))
		sum = h[:16]
	case strings.HasSuffix(alg, "384"):
		h := sha512.Sum384([]byte(s))
		sum = h[:24]
	default: // 512, and EdDSA with Ed25519
		h := sha512.Sum512([]byte(s))
		sum = h[:32]
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}
