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
	claims := s.identityClaims(grant)
	claims["sub"] = token.Subject
	claims["aud"] = s.audience(token.ClientID)
	claims["scp"] = slices.Collect(strings.FieldsSeq(token.Scopes))
	claims["iat"] = token.CreatedAt
	claims["nbf"] = token.CreatedAt
	claims["exp"] = token.ExpiresAt
	if cnf := confirmation(token); cnf != nil {
		claims["cnf"] = cnf
	}
	compact, err := s.signAccess(claims)
	if err != nil {
		return err
	}
	until := unix(token.ExpiresAt)
	s.outside.put(token.ID, compact, until)
	s.inside.put(compact, token.ID, until)
	return nil
}

func (s *Server) audience(clientID string) []string { return []string{clientID, s.Audience} }

// signAccess adds what is the same in every access token.
func (s *Server) signAccess(claims map[string]any) (string, error) {
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.SignatureAlgorithm(s.key.Algorithm), Key: s.key},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("localacp: %w", err)
	}
	claims["iss"] = s.Issuer
	claims["jti"] = rand.Text()
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("localacp: %w", err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("localacp: %w", err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		return "", fmt.Errorf("localacp: %w", err)
	}
	return compact, nil
}

// Grant is what AccessToken gives a client. Nothing in it is checked.
type Grant struct {
	Username string    // whom the token names
	ClientID string    // need not be registered
	Scopes   []string  // nil for none
	ACR      string    // how strongly the user signed in; "" leaves it out
	AuthTime time.Time // when the user signed in; zero is now
}

// AccessToken makes a token as if the user had just signed in at the client, for trying out
// an API. It lives as long as others, but only its signature can be asked: the server does not
// know it at introspection or userinfo.
func (s *Server) AccessToken(g Grant) (string, error) {
	now := time.Now()
	if g.AuthTime.IsZero() {
		g.AuthTime = now
	}
	claims := s.commonClaims()
	claims["auth_time"] = g.AuthTime.Unix()
	claims["sub"] = g.Username
	claims["aud"] = s.audience(g.ClientID)
	claims["scp"] = append([]string{}, g.Scopes...)
	claims["iat"] = now.Unix()
	claims["nbf"] = now.Unix()
	claims["exp"] = now.Add(s.options.AccessTokenLifetime).Unix()
	if g.ACR != "" {
		claims["acr"] = g.ACR
		claims["amr"] = []string{"pwd", "otp"}
	}
	return s.signAccess(claims)
}

// commonClaims stand in both the access token and the ID token, and so do identityClaims.
func (s *Server) commonClaims() map[string]any {
	return map[string]any{
		"tid": s.options.Tenant,
		"aid": s.options.Workspace,
		"idp": "local",
		"st":  "public",
		"amr": []string{"pwd"},
	}
}

func (s *Server) identityClaims(grant *goidc.Grant) map[string]any {
	claims := s.commonClaims()
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
		"aud":       s.audience(token.ClientID),
		"tenant_id": s.options.Tenant,
		"server_id": s.options.Workspace,
		"idp":       "local",
		"amr":       []string{"pwd"},
		"username":  grant.Username,
	}
}
