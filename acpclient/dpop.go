package acpclient

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"
	"github.com/go-jose/go-jose/v4/jwt"
)

// DPoP binds the tokens of a Client to a key that it holds (RFC 9449): a stolen token is good for
// nobody else. Each request to the token endpoint, the PAR endpoint, to userinfo, and of Client.HTTPClient carries a proof.
//
// The key is the client's, and not of one session: whoever can read a session here can read the
// key as well, so that a key for each session would protect nothing more, and would have to be
// stored in each. All processes of the client need the same key. A refresh token of a public client is bound to
// the key, too: with another one its sessions end.
type DPoP struct {
	sealed

	// Key signs. ECDSA on P-256 (ES256), P-384 or P-521, Ed25519 (EdDSA), or RSA of 2048 bits
	// or more (PS256); it may live in an HSM. It should be used for nothing else. Required.
	Key crypto.Signer
}

// check reports a mistake that can be known without the network.
func (d *DPoP) check() error {
	if d == nil {
		return nil
	}
	_, err := newProver(d, wallClock)
	return err
}

// prover makes the proofs of a Client, and keeps what servers want in them.
type prover struct {
	sealed
	signer     jose.Signer
	thumbprint string
	now        func() time.Time

	mu     sync.Mutex
	nonces map[string]string // by origin: RFC 9449 8.2, 9
}

const (
	maxNonceOrigins = 256
	maxNonceSize    = 1024
)

// newProver returns nil for nil.
func newProver(d *DPoP, now func() time.Time) (*prover, error) {
	if d == nil {
		return nil, nil
	}
	if d.Key == nil {
		return nil, mistake("DPoP", "Key is nil")
	}
	var alg jose.SignatureAlgorithm
	switch public := d.Key.Public().(type) {
	case *rsa.PublicKey:
		if public.N.BitLen() < minRSABits {
			return nil, mistake("DPoP", "the RSA key is shorter than %d bits", minRSABits)
		}
		alg = jose.PS256 // FAPI 2.0 Security Profile 5.4.1
	case *ecdsa.PublicKey:
		alg = map[elliptic.Curve]jose.SignatureAlgorithm{elliptic.P256(): jose.ES256, elliptic.P384(): jose.ES384, elliptic.P521(): jose.ES512}[public.Curve]
	case ed25519.PublicKey:
		alg = jose.EdDSA
	}
	if alg == "" {
		return nil, mistake("DPoP", "cannot sign with a key of type %T", d.Key.Public())
	}
	options := (&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt")
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: cryptosigner.Opaque(exactSalt{d.Key})}, options)
	if err != nil {
		return nil, mistake("DPoP", "%w", err)
	}
	sum, err := (&jose.JSONWebKey{Key: d.Key.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, mistake("DPoP", "%w", err)
	}
	return &prover{signer: signer, thumbprint: base64.RawURLEncoding.EncodeToString(sum), now: now, nonces: map[string]string{}}, nil
}

// prove adds a proof to a request that is about to leave, and returns the nonce in it. accessToken
// is the one that the request carries, "" for none (RFC 9449 4.2).
func (p *prover) prove(r *http.Request, accessToken string) (nonce string, err error) {
	origin, path := sentTo(r)
	p.mu.Lock()
	nonce = p.nonces[origin]
	p.mu.Unlock()
	claims := map[string]any{"jti": rand.Text(), "htm": r.Method, "htu": origin + path, "iat": p.now().Unix()}
	if r.Method == "" {
		claims["htm"] = http.MethodGet
	}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	if accessToken != "" {
		sum := sha256.Sum256([]byte(accessToken))
		claims["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	proof, err := jwt.Signed(p.signer).Claims(claims).Serialize()
	if err != nil {
		return "", fmt.Errorf("acpclient: DPoP proof: %w", err)
	}
	r.Header.Set("DPoP", proof)
	return nonce, nil
}

// sentTo is the URL that a request is really sent to, without query and fragment, cut behind its origin.
func sentTo(r *http.Request) (origin, path string) {
	path = r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	return strings.ToLower(r.URL.Scheme + "://" + firstOf(r.Host, r.URL.Host)), path
}

// learn keeps the nonce of any answer for the next request to its origin (RFC 9449 8.2), and
// reports whether it is another one than the request's.
func (p *prover) learn(r *http.Request, header http.Header, sent string) bool {
	values := header.Values("DPoP-Nonce")
	if len(values) != 1 || len(values[0]) > maxNonceSize || !isNonce(values[0]) {
		return false
	}
	origin, _ := sentTo(r)
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.nonces[origin]; !known && len(p.nonces) >= maxNonceOrigins {
		for other := range p.nonces { // any: it costs that server's next request a second one
			delete(p.nonces, other)
			break
		}
	}
	p.nonces[origin] = strings.Clone(values[0])
	return values[0] != sent
}

// isNonce holds for 1*NQCHAR (RFC 9449 8.1).
func isNonce(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}

// wantsNonce reports whether an answer of the server refuses nothing but the nonce (RFC 9449 8).
func (a *answer) wantsNonce() bool {
	if a.status != http.StatusBadRequest && a.status != http.StatusUnauthorized {
		return false
	}
	e := a.serverError()
	return e != nil && e.Code == "use_dpop_nonce" || challengesNonce(a.header)
}

// challengesNonce reads the challenge of a resource server (RFC 9449 9). Schemes and names have any case.
func challengesNonce(header http.Header) bool {
	for _, challenge := range header.Values("Www-Authenticate") {
		challenge = strings.ToLower(challenge)
		at := strings.Index(challenge, "dpop ")
		if at < 0 || at > 0 && challenge[at-1] != ' ' && challenge[at-1] != ',' {
			continue
		}
		rest := challenge[at:]
		if strings.Contains(rest, `error="use_dpop_nonce"`) || strings.Contains(rest, "error=use_dpop_nonce") {
			return true
		}
	}
	return false
}

// isDPoP holds for the token_type of a bound token, in any case (RFC 6749 5.1).
func isDPoP(tokenType string) bool { return strings.EqualFold(tokenType, "DPoP") }

// errNoKey comes before any request: without its key a bound token is good for nothing, and is
// never sent as if it were another one.
var errNoKey = errors.New("acpclient: the token is bound to a DPoP key, and Config.DPoP has none")
