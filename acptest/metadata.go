package acptest

import (
	"encoding/json"
	"net/http"
	"strings"
)

// metadata answers with the document of OpenID Connect Discovery 3 and RFC 8414 2, as a workspace has it.
func (s *Server) metadata(req Request) *Response {
	if s.opts.OAuthMetadataOnly && strings.HasSuffix(req.Path, "/openid-configuration") {
		return genericError(http.StatusNotFound, "not_found", "this server has OAuth metadata only")
	}
	var methods []string
	s.mu.Lock()
	alg := s.key.Alg
	for _, m := range []string{AuthBasic, AuthPost, AuthSecretJWT, AuthPrivateKeyJWT, AuthTLS, AuthSelfSignedTLS, AuthNone} {
		for _, c := range s.clients {
			if c.AuthMethod == m {
				methods = append(methods, m)
				break
			}
		}
	}
	hook := s.hooks.metadata
	s.mu.Unlock()
	algs := []string{"RS256", "ES256", "PS256"} // ACP's, whatever the key is now
	if alg != "RS256" && alg != "ES256" && alg != "PS256" {
		algs = append(algs, alg)
	}
	m := map[string]any{
		"issuer":                                           s.Issuer,
		"authorization_endpoint":                           s.URL(AuthorizeEndpoint),
		"token_endpoint":                                   s.URL(TokenEndpoint),
		"jwks_uri":                                         s.URL(JWKSEndpoint),
		"userinfo_endpoint":                                s.URL(UserInfoEndpoint),
		"introspection_endpoint":                           s.URL(IntrospectEndpoint),
		"pushed_authorization_request_endpoint":            s.URL(PAREndpoint),
		"require_pushed_authorization_requests":            s.opts.RequirePAR,
		"revocation_endpoint":                              s.URL(RevokeEndpoint),
		"end_session_endpoint":                             s.URL(LogoutEndpoint),
		"backchannel_logout_supported":                     true,
		"backchannel_logout_session_supported":             true,
		"scopes_supported":                                 []string{"openid", "profile", "email", "offline_access"},
		"response_types_supported":                         []string{"code"},
		"response_modes_supported":                         responseModes,
		"grant_types_supported":                            []string{"authorization_code", "refresh_token", "client_credentials"},
		"subject_types_supported":                          []string{"public"},
		"id_token_signing_alg_values_supported":            algs,
		"userinfo_signing_alg_values_supported":            algs,
		"authorization_signing_alg_values_supported":       algs,
		"id_token_encryption_alg_values_supported":         encryptionAlgs,
		"userinfo_encryption_alg_values_supported":         encryptionAlgs,
		"authorization_encryption_alg_values_supported":    encryptionAlgs,
		"id_token_encryption_enc_values_supported":         encryptionEncs,
		"userinfo_encryption_enc_values_supported":         encryptionEncs,
		"authorization_encryption_enc_values_supported":    encryptionEncs,
		"code_challenge_methods_supported":                 []string{"plain", "S256"}, // ACP names both
		"token_endpoint_auth_methods_supported":            methods,
		"introspection_endpoint_auth_methods_supported":    methods,
		"revocation_endpoint_auth_methods_supported":       methods,
		"token_endpoint_auth_signing_alg_values_supported": []string{"HS256", "RS256", "ES256", "PS256", "EdDSA"},
		"dpop_signing_alg_values_supported":                []string{"RS256", "ES256", "PS256", "EdDSA"},
		"claims_supported":                                 []string{"sub", "name", "email", "email_verified", "acr", "amr", "auth_time"},
		"claims_parameter_supported":                       true,
		"authorization_response_iss_parameter_supported":   s.opts.IssParameter,
		"mtls_issuer":                                      s.Issuer,
	}
	s.describeMTLS(m)
	s.describeRequestObjects(m)
	res := jsonResponse(http.StatusOK, edited(hook, m))
	res.Header.Del("Cache-Control")
	return res
}

// jwks answers with the key set (RFC 7517 5).
func (s *Server) jwks() *Response {
	s.mu.Lock()
	keys := make([]any, 0, len(s.published))
	for _, jwk := range s.published {
		keys = append(keys, jwk)
	}
	hook := s.hooks.jwks
	set := []byte(encode(map[string]any{"keys": keys}))
	s.mu.Unlock()
	if hook != nil { // on a copy
		var m map[string]any
		if err := json.Unmarshal(set, &m); err != nil {
			panic("acptest: " + err.Error())
		}
		hook(m)
		set = []byte(encode(m))
	}
	return response(http.StatusOK, "application/json", set)
}
