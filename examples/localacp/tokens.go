package localacp

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/luikyv/go-oidc/pkg/goidc"
)

// newKey makes a signing key. ACP's key ids are long decimal numbers.
func newKey(alg string) (jose.JSONWebKey, error) {
	var key crypto.Signer
	var err error
	if alg == "ES256" {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		return jose.JSONWebKey{}, fmt.Errorf("localacp: signing key: %w", err)
	}
	id, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return jose.JSONWebKey{}, fmt.Errorf("localacp: key id: %w", err)
	}
	return jose.JSONWebKey{Key: key, KeyID: id.String(), Algorithm: alg, Use: "sig"}, nil
}

// The library types its JWT access tokens at+jwt and puts claims into them that
// ACP's lack. So it is told to issue opaque ones, and the gateway puts a JWT of
// ours in the place of each, on the way out and back on the way in.

// mint makes the JWT for a token that the library has just issued.
func (s *Server) mint(_ context.Context, token *goidc.Token, grant *goidc.Grant) error {
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.SignatureAlgorithm(s.key.Algorithm), Key: s.key},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return fmt.Errorf("localacp: %w", err)
	}
	claims := s.identityClaims(grant)
	claims["iss"] = s.Issuer
	claims["sub"] = token.Subject
	claims["aud"] = s.audience(token)
	claims["scp"] = slices.Collect(strings.FieldsSeq(token.Scopes))
	claims["iat"] = token.CreatedAt
	claims["nbf"] = token.CreatedAt
	claims["exp"] = token.ExpiresAt
	claims["jti"] = rand.Text()
	payload, err := json.Marshal(claims)
	if err != nil {
		return fmt.Errorf("localacp: %w", err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return fmt.Errorf("localacp: %w", err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		return fmt.Errorf("localacp: %w", err)
	}
	until := unix(token.ExpiresAt)
	s.outside.put(token.ID, compact, until)
	s.inside.put(compact, token.ID, until)
	return nil
}

func (s *Server) audience(token *goidc.Token) []string {
	return []string{token.ClientID, s.Audience}
}

// identityClaims stand in both the access token and the ID token.
func (s *Server) identityClaims(grant *goidc.Grant) map[string]any {
	claims := map[string]any{
		"tid": s.options.Tenant,
		"aid": s.options.Workspace,
		"idp": "local",
		"st":  "public",
		"amr": []string{"pwd"},
	}
	if at, ok := grant.Store["auth_time"].(int64); ok {
		claims["auth_time"] = at
	}
	return claims
}

// idTokenClaims are what an ID token has besides iss, sub, aud, iat, exp, nonce.
func (s *Server) idTokenClaims(_ context.Context, grant *goidc.Grant) map[string]any {
	claims := s.identityClaims(grant)
	s.userClaims(claims, grant)
	claims["rat"] = grant.CreatedAt
	claims["nbf"] = time.Now().Unix()
	claims["jti"] = rand.Text()
	claims["scp"] = slices.Collect(strings.FieldsSeq(grant.Scopes))
	return claims
}

func (s *Server) userInfoClaims(_ context.Context, grant *goidc.Grant) map[string]any {
	claims := map[string]any{"tid": s.options.Tenant, "aid": s.options.Workspace, "idp": "local"}
	s.userClaims(claims, grant)
	return claims
}

func (s *Server) userClaims(claims map[string]any, grant *goidc.Grant) {
	user, ok := s.users[grant.Subject]
	if !ok {
		return
	}
	granted := strings.Fields(grant.Scopes)
	if slices.Contains(granted, "profile") {
		claims["name"] = user.Name
		claims["preferred_username"] = user.Username
	}
	if slices.Contains(granted, "email") {
		claims["email"] = user.Email
		claims["email_verified"] = true
	}
}

// introspectionClaims use the longer names that ACP has there.
func (s *Server) introspectionClaims(_ context.Context, token *goidc.Token, grant *goidc.Grant) map[string]any {
	return map[string]any{
		"aud":       s.audience(token),
		"tenant_id": s.options.Tenant,
		"server_id": s.options.Workspace,
		"idp":       "local",
		"amr":       []string{"pwd"},
		"username":  grant.Username,
	}
}
