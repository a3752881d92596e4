package acptest

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// ofTheJWT are the claims of a request object that are no parameters of the request.
var ofTheJWT = []string{"iss", "aud", "exp", "nbf", "iat", "jti"}

// unwrapped takes an authorization request out of its request object (RFC 9101). What has
// none comes back as it is. fault is why the object is refused.
func (s *Server) unwrapped(q url.Values) (params url.Values, fault string) {
	s.mu.Lock()
	client := s.clients[q.Get("client_id")]
	s.mu.Unlock()
	if !q.Has("request") {
		if s.opts.RequireRequestObject {
			s.breach(RuleRequestObject, "RFC 9101 10.5", "the request has no request object, and the server demands one")
			return nil, "a signed request object is demanded"
		}
		return q, ""
	}
	if client.RequestKey == nil {
		return q, "" // refusedParameter has the answer
	}
	for name := range q {
		if name != "client_id" && name != "request" {
			s.breach(RuleRequestObject, "RFC 9101 5", "%q stands outside of the request object", name)
		}
	}
	claims, fault := s.openRequestObject(client, q.Get("request"))
	if fault != "" {
		s.breach(RuleRequestObject, "RFC 9101 4", "the request object is refused: %s", fault)
		return nil, fault
	}
	params = url.Values{}
	for name, value := range claims {
		switch value := value.(type) {
		case string:
			params.Set(name, value)
		case float64:
			params.Set(name, strconv.FormatFloat(value, 'f', -1, 64))
		case []any:
			if name != "resource" { // RFC 9396 3: JSON stays JSON
				params.Set(name, encode(value))
				continue
			}
			for _, r := range value {
				text, _ := r.(string)
				params.Add(name, text)
			}
		default:
			params.Set(name, encode(value))
		}
	}
	for _, name := range ofTheJWT {
		params.Del(name)
	}
	return params, ""
}

// openRequestObject judges a request object and returns its claims.
func (s *Server) openRequestObject(c Client, object string) (claims map[string]any, fault string) {
	sent := object
	if strings.Count(object, ".") == 4 {
		if object, fault = s.decrypted(object); fault != "" {
			return nil, fault
		}
	}
	header, claims, err := verify(object, c.RequestKey)
	if err != nil {
		return nil, err.Error()
	}
	typ, _ := header["typ"].(string)
	if strings.TrimPrefix(strings.ToLower(typ), "application/") != "oauth-authz-req+jwt" {
		return nil, "its typ is not oauth-authz-req+jwt"
	}
	now := float64(s.now().UnixMilli()) / 1000
	exp, _ := claims["exp"].(float64)
	nbf, _ := claims["nbf"].(float64)
	jti, _ := claims["jti"].(string)
	const skew, most = 5, float64(time.Hour / time.Second) // FAPI 2.0 Message Signing 5.3.1
	switch {
	case claims["iss"] != c.ID || claims["client_id"] != c.ID:
		return nil, "iss and client_id must both be the client's id"
	case claims["aud"] != s.Issuer:
		return nil, "aud must be the issuer, as a string"
	case claims["sub"] == c.ID:
		return nil, "with the client id as sub it could pass as a client assertion (RFC 9101 10.8)"
	case claims["request"] != nil || claims["request_uri"] != nil:
		return nil, "it holds request or request_uri"
	case exp == 0 || nbf == 0:
		return nil, "exp or nbf is missing, or not a number"
	case exp <= now-skew || nbf > now+skew:
		return nil, "it has expired, or is not valid yet"
	case exp-nbf > most || now-nbf > most:
		return nil, "it is good for more than an hour"
	case jti == "":
		return nil, "jti is missing"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	first, seen := s.state.requests["jti "+c.ID+" "+jti]
	if seen && first != sent { // the same object again is a reload
		return nil, "its jti is that of an earlier one"
	}
	s.state.requests["jti "+c.ID+" "+jti] = sent
	return claims, ""
}

// decrypted is the JWS in a JWE for the server's key.
func (s *Server) decrypted(object string) (inner, fault string) {
	key := s.opts.EncryptionKey
	jwe, err := jose.ParseEncryptedCompact(object, []jose.KeyAlgorithm{jose.KeyAlgorithm(key.Alg)}, contentEncryptions)
	if err != nil {
		return "", "it is encrypted in a way that the server does not take"
	}
	if cty, _ := jwe.Header.ExtraHeaders[jose.HeaderContentType].(string); !strings.EqualFold(cty, "JWT") {
		return "", "its cty is not JWT (RFC 7519 5.2)"
	}
	if jwe.Header.KeyID != key.ID {
		return "", "its kid is not that of the server's key"
	}
	text, err := jwe.Decrypt(key.signer)
	if err != nil {
		return "", "it cannot be decrypted with the server's key"
	}
	return string(text), ""
}

var contentEncryptions = []jose.ContentEncryption{jose.A128CBC_HS256, jose.A192CBC_HS384, jose.A256CBC_HS512, jose.A128GCM, jose.A192GCM, jose.A256GCM}

// describeRequestObjects says what is taken (RFC 9101 10.5, OpenID Connect Discovery 3).
func (s *Server) describeRequestObjects(metadata map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.opts.RequireRequestObject
	for _, c := range s.clients {
		taken = taken || c.RequestKey != nil
	}
	metadata["request_parameter_supported"], metadata["request_uri_parameter_supported"] = taken, false
	metadata["require_signed_request_object"] = s.opts.RequireRequestObject
	if taken {
		metadata["request_object_signing_alg_values_supported"] = []string{"RS256", "ES256", "PS256", "EdDSA"}
		metadata["request_object_encryption_alg_values_supported"] = []string{s.opts.EncryptionKey.Alg}
		metadata["request_object_encryption_enc_values_supported"] = contentEncryptions
	}
}
