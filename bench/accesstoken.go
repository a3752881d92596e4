package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	apiAudience = "https://api.example"
	apiScope    = "things.read"
)

// tokenClaims are those of an access token as ACP issues it.
func (s *server) tokenClaims() map[string]any {
	now := time.Now()
	return map[string]any{
		"iss": s.issuer, "sub": theUser.Subject, "aud": []string{clientID, "spiffe://acp.example/tenant/workspace/profile", "https://reports.example/v2", apiAudience},
		"client_id": clientID, "exp": now.Add(time.Hour).Unix(), "iat": now.Unix(), "nbf": now.Unix(), "jti": rand.Text(),
		"scp": []string{"openid", "profile", "email", "offline_access", "introspect_tokens", apiScope, "things.write", "accounts.read.own", "payments.write.own"},
		"tid": "tenant", "aid": "workspace", "idp": "9vsrr3sd8k20b1j5qc6g", "amr": []string{"pwd", "otp"}, "st": "public",
	}
}

// accessToken issues one, signed by the current key. edit may change its claims; nil
// leaves them.
func (s *server) accessToken(edit func(claims map[string]any)) (string, error) {
	return s.accessTokenBy(s.current, edit)
}

func (s *server) accessTokenBy(key *signingKey, edit func(claims map[string]any)) (string, error) {
	claims := s.tokenClaims()
	if edit != nil {
		edit(claims)
	}
	return key.sign(claims)
}

// accessTokens issues n distinct ones.
func (s *server) accessTokens(n int, edit func(claims map[string]any)) (all []string, err error) {
	for range n {
		token, err := s.accessToken(edit)
		if err != nil {
			return nil, err
		}
		all = append(all, token)
	}
	return all, nil
}

func expired(claims map[string]any) { claims["exp"] = 1700000000 }

// withHeader puts other members into a token's header, and leaves the rest as it is.
func withHeader(token string, members map[string]any) string {
	head, rest, _ := strings.Cut(token, ".")
	header := map[string]any{}
	decoded, err := base64.RawURLEncoding.DecodeString(head)
	if err == nil {
		err = json.Unmarshal(decoded, &header)
	}
	if err == nil {
		maps.Copy(header, members)
		decoded, err = json.Marshal(header)
	}
	if err != nil {
		panic(err) // it was signed here
	}
	return base64.RawURLEncoding.EncodeToString(decoded) + "." + rest
}

// withOtherSignature keeps the signature's form: its first byte is another one.
func withOtherSignature(token string) string {
	i := strings.LastIndexByte(token, '.') + 1
	other := "A"
	if token[i] == 'A' {
		other = "B"
	}
	return token[:i] + other + token[i+1:]
}

func withRandomKeyID(token string) string {
	return withHeader(token, map[string]any{"kid": rand.Text()})
}

// attack is a kind of bad token, made of a good one.
type attack struct {
	title string
	spoil func(good string) string
}

var attacks = []attack{
	{`the word "garbage"`, func(string) string { return "garbage" }},
	{"900 random bytes", func(string) string { return string(randomBytes(900)) }},
	{"three random parts", func(string) string {
		var parts []string
		for _, size := range []int{60, 560, 64} {
			parts = append(parts, base64.RawURLEncoding.EncodeToString(randomBytes(size)))
		}
		return strings.Join(parts, ".")
	}},
	{"alg none", func(good string) string {
		unsigned := withHeader(good, map[string]any{"alg": "none"})
		return unsigned[:strings.LastIndexByte(unsigned, '.')+1]
	}},
	{"alg HS256", func(good string) string { return withHeader(good, map[string]any{"alg": "HS256"}) }},
}

func (a attack) spoilAll(good []string) []string {
	bad := slices.Clone(good)
	for i := range bad {
		bad[i] = a.spoil(bad[i])
	}
	return bad
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
