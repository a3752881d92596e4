package acptest

import (
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// presented is how a request authenticates.
type presented struct {
	method    string
	id        string
	secret    string
	assertion string
}

// authenticate finds the client of a request and checks it by the method that it
// is registered for. A nil response means that the client is who it says.
func (s *Server) authenticate(e Endpoint, r Request) (Client, *Response) {
	p, ok := s.presented(e, r)
	if !ok {
		return Client{}, oauthError(http.StatusBadRequest, "invalid_request", "the client must authenticate once", "invalid_client_authentication")
	}
	s.mu.Lock()
	client, known := s.clients[p.id]
	s.mu.Unlock()
	if p.id == "" {
		s.breach(RuleClientID, "RFC 6749 3.2.1", "the %s request does not say which client sends it", e)
	}
	if !known {
		return client, refuse(p, "there is no such client")
	}
	if tls := client.AuthMethod == AuthTLS || client.AuthMethod == AuthSelfSignedTLS; tls && p.method == AuthNone && r.Certificate != nil {
		p.method = client.AuthMethod // RFC 8705 2: the body has the client_id alone
	}
	if p.method != client.AuthMethod {
		s.breach(RuleClientAuth, "RFC 6749 2.3, RFC 7591 2",
			"client %q is registered for %s and uses %s at the %s endpoint", client.ID, client.AuthMethod, p.method, e)
		return client, refuse(p, "the client is registered for another method")
	}
	switch p.method {
	case AuthBasic, AuthPost:
		if subtle.ConstantTimeCompare([]byte(p.secret), []byte(client.Secret)) != 1 {
			return client, refuse(p, "the secret is wrong")
		}
	case AuthSecretJWT, AuthPrivateKeyJWT:
		if fault := s.assertionFault(client, p.assertion); fault != "" {
			s.breach(RuleAssertion, "RFC 7523 3", "the client assertion is refused: %s", fault)
			return client, refuse(p, fault)
		}
	case AuthTLS, AuthSelfSignedTLS:
		if fault := s.certificateFault(client, r.Certificate); fault != "" {
			return client, refuse(p, fault)
		}
	}
	return client, nil
}

func refuse(p presented, description string) *Response {
	res := oauthError(http.StatusUnauthorized, "invalid_client", description, "invalid_client_authentication")
	if p.method == AuthBasic { // RFC 6749 5.2
		res.Header.Set("Www-Authenticate", `Basic realm="acptest"`)
	}
	return res
}

func (s *Server) presented(e Endpoint, r Request) (p presented, ok bool) {
	f := r.Form
	var methods []string
	if h := r.Header.Values("Authorization"); len(h) > 0 {
		methods = append(methods, AuthBasic)
		if p.id, p.secret, ok = s.basic(e, h); !ok {
			return p, false
		}
		if id := f.Get("client_id"); id != "" && id != p.id {
			s.breach(RuleClientAuth, "RFC 6749 3.2.1", "the %s request names client %q in its body and %q in its header", e, id, p.id)
			return p, false
		}
	}
	if f.Has("client_secret") {
		methods = append(methods, AuthPost)
		p.id, p.secret = f.Get("client_id"), f.Get("client_secret")
		if p.secret == "" {
			s.breach(RuleClientAuth, "RFC 6749 3.2.1", "the %s request has an empty client_secret: a public client sends none", e)
		}
	}
	if f.Has("client_assertion") {
		p.assertion = f.Get("client_assertion")
		var method string
		method, p.id = claimedMethod(p.assertion)
		methods = append(methods, method)
		if f.Get("client_assertion_type") != assertionType {
			s.breach(RuleAssertion, "RFC 7523 2.2", "client_assertion_type is %q", f.Get("client_assertion_type"))
			return p, false
		}
		if id := f.Get("client_id"); id != "" && id != p.id {
			s.breach(RuleAssertion, "RFC 7521 4.2", "client_id and the assertion's issuer differ")
			return p, false
		}
	}
	switch len(methods) {
	case 0:
		p.method, p.id = AuthNone, f.Get("client_id")
	case 1:
		p.method = methods[0]
	default:
		s.breach(RuleClientAuth, "RFC 6749 2.3", "the %s request uses more than one method of client authentication: %s", e, strings.Join(methods, " and "))
		return p, false
	}
	return p, true
}

// basic reads the header of RFC 6749 2.3.1, whose two parts are form-encoded first.
func (s *Server) basic(e Endpoint, headers []string) (id, secret string, ok bool) {
	scheme, value, _ := strings.Cut(headers[0], " ")
	raw, err := base64.StdEncoding.DecodeString(value)
	id, secret, colon := strings.Cut(string(raw), ":")
	if len(headers) > 1 || !strings.EqualFold(scheme, "Basic") || err != nil || !colon {
		s.breach(RuleClientAuth, "RFC 6749 2.3.1", "the %s request has an Authorization header that is not one Basic credential", e)
		return "", "", false
	}
	if strings.ContainsAny(string(raw), " &=/") {
		s.breach(RuleClientAuth, "RFC 6749 2.3.1", "id and secret are not form-encoded in the Basic header of the %s request", e)
		return "", "", false
	}
	id, errID := url.QueryUnescape(id)
	secret, errSecret := url.QueryUnescape(secret)
	if errID != nil || errSecret != nil {
		s.breach(RuleClientAuth, "RFC 6749 2.3.1", "id or secret cannot be form-decoded in the Basic header of the %s request", e)
		return "", "", false
	}
	return id, secret, true
}

// claimedMethod tells the two kinds of assertion apart, and whose it is. Nothing is verified.
func claimedMethod(assertion string) (method, iss string) {
	header, claims, _ := verify(assertion, nil)
	iss, _ = claims["iss"].(string)
	if alg, _ := header["alg"].(string); strings.HasPrefix(alg, "HS") {
		return AuthSecretJWT, iss
	}
	return AuthPrivateKeyJWT, iss
}

// assertionFault judges a client assertion; "" means that it is right.
func (s *Server) assertionFault(c Client, assertion string) string {
	key := c.Key
	if c.AuthMethod == AuthSecretJWT {
		key = sharedKey(c.Secret)
	}
	header, claims, err := verify(assertion, key)
	if err != nil {
		return err.Error()
	}
	if c.AssertionAlg != "" && header["alg"] != c.AssertionAlg {
		return "its alg is not the registered one, " + c.AssertionAlg
	}
	if typ, present := header["typ"]; present {
		text, _ := typ.(string)
		switch strings.TrimPrefix(strings.ToLower(text), "application/") {
		case "jwt", "client-authentication+jwt":
		default:
			return "its typ is neither JWT nor client-authentication+jwt"
		}
	}
	if claims["iss"] != c.ID || claims["sub"] != c.ID {
		return "iss and sub must both be the client id"
	}
	if aud, single := claims["aud"].(string); !single || aud != c.AssertionAudience {
		return "aud must be the string " + c.AssertionAudience + " (RFC 7523bis: the issuer, alone)"
	}
	now := float64(s.now().UnixMilli()) / 1000
	exp, _ := claims["exp"].(float64)
	iat, hasIat := claims["iat"].(float64)
	nbf, hasNbf := claims["nbf"].(float64)
	jti, _ := claims["jti"].(string)
	const skew = 5 // seconds
	switch {
	case exp == 0:
		return "exp is missing or not a number"
	case exp <= now-skew:
		return "it has expired"
	case exp > now+skew+(5*time.Minute).Seconds():
		return "exp is more than 5 minutes ahead"
	case !hasIat:
		return "iat is missing (ACP requires it)"
	case iat > now+skew, hasNbf && nbf > now+skew:
		return "iat or nbf lies in the future"
	case jti == "":
		return "jti is missing"
	case s.seenBefore("jti "+c.ID, jti):
		return "its jti was used before"
	}
	return ""
}
