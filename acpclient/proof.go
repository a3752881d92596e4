package acpclient

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/acp-go/acp/internal/strictjson"
)

// ProofConfig says which DPoP proofs (RFC 9449) an API takes. The zero value is safe. It is a
// plain value: NewProofVerifier copies it, and a later change has no effect.
type ProofConfig struct {
	// Algs are the accepted signature algorithms. nil means those of FAPI 2.0: ES256, PS256
	// and EdDSA. Only asymmetric ones can be named.
	Algs []string

	// MaxAge is how old a proof may be: 5 s to 5 min, 0 means 60 s. A clock difference of
	// 10 s is forgiven besides.
	MaxAge time.Duration

	// RequireNonce demands that a proof holds a value of ProofVerifier.Nonce (RFC 9449 9). false
	// looks at no nonce.
	RequireNonce bool

	// NonceKeys are the secrets of the nonces, 32 bytes each, newest first: all processes of
	// one API need the same. nil means one that all ProofVerifiers of this process share.
	NonceKeys [][]byte

	// Once records an id of 43 characters until expiry, and reports whether it was new, in one step: a proof serves
	// once. nil keeps them in the memory of the process: about a million in each MaxAge, and
	// when that is full proofs are ErrUnavailable. Its error is handed on.
	Once func(ctx context.Context, id string, expiry time.Time) (first bool, err error)
}

// ProofRequest is what a proof must be made for.
type ProofRequest struct {
	Method      string // of HTTP, compared exactly
	URL         string // absolute, as the client sees it; query and fragment are ignored
	AccessToken string // which came with the proof
	Thumbprint  string // Confirmation.JKT of the access token
}

// ProofVerifier judges DPoP proofs (RFC 9449 4.3). It is safe for concurrent use.
type ProofVerifier struct {
	sealed
	config ProofConfig
	nonces *proofNonces
	seen   *proofMemory // nil where ProofConfig.Once is called
	keys   proofKeys
	rooms  sync.Pool // of *scratch
	now    func() time.Time
}

const (
	maxProofSize = 8 << 10 // an RSA key of 8192 bits, and its signature
	maxProofID   = 256     // bytes of jti and of nonce
	proofLeeway  = 10 * time.Second
)

// NewProofVerifier checks the configuration; the error names every mistake at once.
func NewProofVerifier(config ProofConfig) (*ProofVerifier, error) {
	var errs []error
	if config.Algs != nil && len(config.Algs) == 0 {
		errs = append(errs, mistake("Algs", "is empty but not nil: no proof would do"))
	}
	for _, alg := range config.Algs {
		if !isAsymmetric(alg) {
			errs = append(errs, mistake("Algs", "%q is not supported", alg))
		}
	}
	if config.MaxAge != 0 && (config.MaxAge < 5*time.Second || config.MaxAge > 5*time.Minute) {
		errs = append(errs, mistake("MaxAge", "not between 5 s and 5 min"))
	}
	for _, key := range config.NonceKeys {
		if len(key) != 32 || subtle.ConstantTimeCompare(key, make([]byte, 32)) == 1 {
			errs = append(errs, mistake("NonceKeys", "a key is not of 32 random bytes"))
		}
	}
	if len(config.NonceKeys) > 0 && !config.RequireNonce {
		errs = append(errs, mistake("NonceKeys", "have no effect without RequireNonce"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("acpclient: invalid proof configuration:\n%w", err)
	}
	config.Algs = slices.Clone(config.Algs)
	if config.Algs == nil {
		config.Algs = []string{"ES256", "PS256", "EdDSA"} // FAPI 2.0 Security Profile 5.4.1
	}
	config.MaxAge = orDefault(config.MaxAge, time.Minute)
	v := &ProofVerifier{config: config, nonces: newProofNonces(config.NonceKeys), now: wallClock}
	v.config.NonceKeys = nil
	v.rooms.New = func() any { return &scratch{} }
	if config.Once == nil {
		v.seen = &proofMemory{span: int64((config.MaxAge + 2*proofLeeway) / time.Second)}
	}
	return v, nil
}

// Algs are the accepted signature algorithms, for a challenge.
func (v *ProofVerifier) Algs() []string { return slices.Clone(v.config.Algs) }

// Nonce is a fresh nonce for the header DPoP-Nonce: it serves for 3 min. It is "" without RequireNonce.
func (v *ProofVerifier) Nonce() string {
	if !v.config.RequireNonce {
		return ""
	}
	return v.nonces.issue(v.now())
}

// Verify judges the value of a DPoP header, and remembers it: it is good for one request. The
// access token is to be judged before.
//
// Errors match ErrInvalidProof, whose Reason is "dpop_nonce" where a proof with the value of Nonce
// may succeed; ErrInvalidToken where the proof is good and another key's than the token's;
// ErrUnavailable, or that of ProofConfig.Once.
func (v *ProofVerifier) Verify(ctx context.Context, proof string, r ProofRequest) error {
	now := v.now()
	room := v.rooms.Get().(*scratch)
	defer func() {
		clear(room.members) // they hold parts of the claims
		room.members = room.members[:0]
		v.rooms.Put(room)
	}()
	p, err := v.read(proof, room)
	if err != nil {
		return err
	}
	if err := v.judge(p, r, now); err != nil {
		return err
	}
	v.keys.put(p.header, p.proofHeader)
	// Not before all else is good: what is remembered belongs to somebody who holds a token.
	id := sha256.Sum256([]byte("acp dpop proof\n" + p.key.id + "\n" + p.id))
	if v.seen != nil {
		return v.seen.once(id, now)
	}
	first, err := v.config.Once(ctx, base64.RawURLEncoding.EncodeToString(id[:]), now.Add(v.config.MaxAge+2*proofLeeway))
	switch {
	case err != nil:
		return err
	case !first:
		return errProofReplayed
	}
	return nil
}

// dpopProof is a proof whose signature is good.
type dpopProof struct {
	*proofHeader
	header string // encoded
	id     string // jti
	claims claims
}

// read checks form, type, algorithm, key and signature (RFC 9449 4.3 (2) to (7)).
func (v *ProofVerifier) read(proof string, room *scratch) (*dpopProof, error) {
	if len(proof) > maxProofSize {
		return nil, asProof(errTooLong)
	}
	parts, err := cutCompact(proof)
	if err != nil {
		return nil, asProof(err)
	}
	t := jws{room: room}
	room.token = append(room.token[:0], proof...)
	p := &dpopProof{proofHeader: v.keys.get(parts.header), header: parts.header}
	if p.proofHeader == nil {
		if err := t.parseHeader(parts); err != nil {
			return nil, asProof(err)
		}
		if p.proofHeader, err = v.readHeader(t.joseHeader, string(room.decoded)); err != nil {
			return nil, err
		}
	}
	if err := t.parseRest(parts); err != nil {
		return nil, asProof(err)
	}
	if !verifySignature(p.key, p.alg, t.signingInput, t.signature) {
		return nil, invalidProof("proof_signature", "the signature is not that of the proof's key")
	}
	if err := t.readClaims(); err != nil {
		return nil, asProof(err)
	}
	p.claims = t.claims
	return p, nil
}

// readHeader judges a header that passed the gate.
func (v *ProofVerifier) readHeader(h *joseHeader, text string) (*proofHeader, error) {
	if h.typ != "dpop+jwt" {
		return nil, invalidProof("proof_typ", "typ is not dpop+jwt")
	}
	if !slices.Contains(v.config.Algs, h.alg) {
		return nil, invalidProof("proof_alg", "alg is not an accepted one")
	}
	k, err := proofKey(text)
	if err != nil {
		return nil, invalidProof("proof_key", clean(err.Error()))
	}
	return &proofHeader{alg: h.alg, key: k}, nil
}

// proofKey reads the public key out of a header that passed the gate (RFC 9449 4.2).
func proofKey(text string) (*key, error) {
	members, err := strictjson.Parse(text)
	if err != nil {
		return nil, err
	}
	jwk, ok := members.Value("jwk")
	if !ok {
		return nil, errors.New("no jwk")
	}
	k, note, err := parseJWK(jwk)
	if err == nil && note != "" { // the only note is about private members, which RFC 9449 4.3 (7) forbids
		err = errors.New("jwk " + note)
	}
	return k, err
}

// judge holds the claims against the request (RFC 9449 4.3 (8) to (12)).
func (v *ProofVerifier) judge(p *dpopProof, r ProofRequest, now time.Time) (err error) {
	var ok bool
	if p.id, ok, _ = p.claims.text("jti"); !ok || p.id == "" || len(p.id) > maxProofID {
		return invalidProof("proof_jti", "jti is missing, or no short string")
	}
	if htm, _, _ := p.claims.text("htm"); htm == "" || htm != r.Method {
		return invalidProof("proof_htm", "htm is not the request's method")
	}
	if htu, _, _ := p.claims.text("htu"); !sameTarget(htu, r.URL) {
		return invalidProof("proof_htu", "htu is not the request's URL")
	}
	iat, ok, err := p.claims.date("iat")
	switch {
	case err != nil || !ok:
		return invalidProof("proof_iat", "iat is missing, or no date")
	case now.Sub(iat) > v.config.MaxAge+proofLeeway:
		return invalidProof("proof_iat", "the proof is too old")
	case iat.Sub(now) > proofLeeway:
		return invalidProof("proof_iat", "iat is in the future")
	}
	// Of the other dates, an exp or nbf that is there holds (RFC 7519 4.1).
	if exp, has, err := p.claims.date("exp"); err != nil || has && !now.Before(exp.Add(proofLeeway)) {
		return invalidProof("proof_iat", "exp is over, or no date")
	}
	if nbf, has, err := p.claims.date("nbf"); err != nil || has && nbf.Sub(now) > proofLeeway {
		return invalidProof("proof_iat", "nbf is in the future, or no date")
	}
	sum := sha256.Sum256([]byte(r.AccessToken))
	if ath, _, _ := p.claims.text("ath"); !sameText(ath, base64.RawURLEncoding.EncodeToString(sum[:])) {
		return invalidProof("proof_ath", "ath is not the access token's hash")
	}
	if !sameText(p.key.id, r.Thumbprint) { // RFC 9449 6.1
		return invalidToken("bound", "the token is bound to another key than the proof's")
	}
	if nonce, _, _ := p.claims.text("nonce"); v.config.RequireNonce && !v.nonces.good(nonce, now) {
		return errProofNonce
	}
	return nil
}

var (
	errProofNonce    = invalidProof("dpop_nonce", "the proof has no nonce of this API, or an old one")
	errProofReplayed = invalidProof("proof_replayed", "the proof was used before")
)

// sameText compares in constant time.
func sameText(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func invalidProof(reason, detail string) error {
	return &failure{kind: ErrInvalidProof, reason: reason, detail: detail}
}

// asProof is the gate's refusal of something that is no token.
func asProof(err error) error {
	if f, ok := errors.AsType[*failure](err); ok {
		reason := "proof_malformed"
		if f.reason == "alg" {
			reason = "proof_alg"
		}
		return invalidProof(reason, f.detail)
	}
	return invalidProof("proof_malformed", "")
}
