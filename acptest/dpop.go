package acptest

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// RotateNonce makes the nonce that Options.DPoPNonces demands a new one: proofs with the one of
// before are refused with use_dpop_nonce from now on.
func (s *Server) RotateNonce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.dpopNonce = random()
}

// nonce is the one that proofs must hold; "" without Options.DPoPNonces.
func (s *Server) nonce() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.dpopNonce == "" && s.opts.DPoPNonces {
		s.state.dpopNonce = random()
	}
	return s.state.dpopNonce
}

// offerNonce puts the nonce into an answer (RFC 9449 8.2).
func (s *Server) offerNonce(res *Response) *Response {
	if nonce := s.nonce(); nonce != "" && res.Header.Get("Dpop-Nonce") == "" {
		res.Header.Set("Dpop-Nonce", nonce)
	}
	return res
}

// proof judges the DPoP header of a request (RFC 9449 4.3). The thumbprint is "" where there is none.
func (s *Server) proof(e Endpoint, r Request, accessToken string) (thumbprint string, refusal *Response) {
	proofs := r.Header.Values("DPoP")
	if len(proofs) == 0 {
		return "", nil
	}
	claims, thumbprint, fault := s.proofFault(e, r, proofs, accessToken)
	if fault != "" {
		s.breach(RuleProof, "RFC 9449 4.3", "the DPoP proof of the %s request is refused: %s", e, fault)
		return "", oauthError(http.StatusBadRequest, "invalid_dpop_proof", fault, "invalid_dpop_proof")
	}
	if want := s.nonce(); want != "" && claims["nonce"] != want {
		s.mu.Lock()
		delete(s.state.seen, "code "+r.Form.Get("code")) // it was not looked at
		s.mu.Unlock()
		return "", oauthError(http.StatusBadRequest, "use_dpop_nonce", "the proof needs the nonce of this answer", "use_dpop_nonce")
	}
	return thumbprint, nil
}

// proofFault says what is wrong with a proof but for its nonce.
func (s *Server) proofFault(e Endpoint, r Request, proofs []string, accessToken string) (claims map[string]any, thumbprint, fault string) {
	if len(proofs) != 1 {
		return nil, "", "there are two DPoP headers"
	}
	encoded, _, _ := strings.Cut(proofs[0], ".")
	text, _ := base64.RawURLEncoding.DecodeString(encoded)
	var header struct {
		Typ string          `json:"typ"`
		JWK json.RawMessage `json:"jwk"`
	}
	var key jose.JSONWebKey
	if json.Unmarshal(text, &header) != nil || key.UnmarshalJSON(header.JWK) != nil || !key.IsPublic() {
		return nil, "", "its jwk is no public key"
	}
	_, claims, err := verify(proofs[0], key.Key)
	if err != nil {
		return nil, "", err.Error()
	}
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, "", err.Error()
	}
	iat, _ := claims["iat"].(float64)
	jti, _ := claims["jti"].(string)
	hash := sha256.Sum256([]byte(accessToken))
	age := s.now().Sub(time.Unix(int64(iat), 0))
	switch {
	case header.Typ != "dpop+jwt":
		return nil, "", "its typ is not dpop+jwt"
	case claims["htm"] != r.Method:
		return nil, "", "its htm is not the request's method"
	case claims["htu"] != s.URL(e) && (s.mtls == nil || claims["htu"] != s.mtls.URL+s.path+paths[e]):
		return nil, "", "its htu is not the endpoint"
	case age > time.Minute || age < -time.Minute:
		return nil, "", "its iat is too old, or in the future"
	case len(jti) < 16 || len(jti) > 256:
		return nil, "", "its jti is missing, guessable or very long"
	case accessToken == "" && claims["ath"] != nil, accessToken != "" && claims["ath"] != b64(hash[:]):
		return nil, "", "its ath is not the hash of the access token"
	case s.seenBefore("proof", jti):
		return nil, "", "its jti was used before"
	}
	return claims, b64(sum), ""
}

// bind ties a grant to the key of a token request. The code, the refresh tokens of a public
// client, and a client that is registered so, demand their key (RFC 9449 5, 10).
func (s *Server) bind(client Client, g *grant, r Request, first bool) *Response {
	s.mu.Lock()
	before, wanted := g.boundTo, g.wantedKey
	s.mu.Unlock()
	switch {
	case client.DPoPBound && r.boundTo == "":
		return oauthError(http.StatusBadRequest, "invalid_dpop_proof", "this client must send a DPoP proof", "invalid_dpop_proof")
	case first && wanted != "" && wanted != r.boundTo:
		return invalidGrant("the code is bound to another key", "invalid_dpop_jkt")
	case !first && client.AuthMethod == AuthNone && before != r.boundTo:
		return invalidGrant("the refresh token is bound to another key", "invalid_dpop_jkt")
	}
	s.mu.Lock()
	g.boundTo = r.boundTo
	s.mu.Unlock()
	return nil
}

// shown finds the access token of a request, and judges its proof where it came with one.
func (s *Server) shown(e Endpoint, r Request) (token string, refusal *Response) {
	token = bearer(r)
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	thumbprint := ""
	if strings.EqualFold(scheme, "DPoP") {
		token = value
		if thumbprint, refusal = s.proof(e, r, token); refusal != nil {
			refusal.Status = http.StatusUnauthorized
			code, _ := refusal.JSON()["error"].(string)
			refusal.Header.Set("Www-Authenticate", `DPoP error="`+code+`"`)
			return "", s.offerNonce(refusal)
		}
	}
	if t := s.active(token); t != nil && thumbprintOf(t.claims) != thumbprint {
		s.breach(RuleProof, "RFC 9449 7", "the %s request does not prove the key that its access token is bound to", e)
		return "", nil
	}
	return token, nil
}

func thumbprintOf(claims map[string]any) string {
	cnf, _ := claims["cnf"].(map[string]any)
	jkt, _ := cnf["jkt"].(string)
	return jkt
}
