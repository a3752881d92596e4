package acpclient

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"

	"github.com/acp-go/acp/internal/strictjson"
)

// UserInfo asks the userinfo endpoint with the access token and decodes the claims into
// v, like json.Unmarshal but with exact names (tag every field). A signed answer is verified. The subject
// must be the ID token's (OIDC Core 5.3.2), so tokens without one get errors.ErrUnsupported, as
// does a server without the endpoint. Aggregated and distributed claims are not
// followed. Other errors are those of Exchange.
func (c *Client) UserInfo(ctx context.Context, t *Tokens, v any) error {
	if t == nil || t.Token == nil {
		return errors.New("acpclient: userinfo: no tokens")
	}
	var id struct {
		Subject string `json:"sub"`
	}
	if err := t.Claims(&id); err != nil {
		return err
	}
	end, err := c.begin()
	if err != nil {
		return err
	}
	defer end()
	m, err := c.meta.value(ctx)
	if err != nil {
		return err
	}
	if m.UserInfoEndpoint == "" {
		return fmt.Errorf("acpclient: no userinfo_endpoint: %w", errors.ErrUnsupported)
	}
	ask := &call{timeout: fetchTimeout}
	header := http.Header{"Authorization": {"Bearer " + t.AccessToken}, "Accept": {"application/json, application/jwt"}}
	if isDPoP(t.TokenType) { // RFC 9449 7.1
		if c.back.dpop == nil {
			return errNoKey
		}
		ask.proof, ask.accessToken = true, t.AccessToken
		header["Authorization"] = []string{"DPoP " + t.AccessToken}
	}
	var signed bool
	ask.judge = func(a *answer) ([]byte, error) {
		if a.status != http.StatusOK {
			return nil, a.failed()
		}
		kind, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
		if signed = kind == "application/jwt"; !signed && kind != "application/json" {
			return nil, invalidResponse("response_malformed", "userinfo is neither JSON nor a JWT")
		}
		return a.body, nil
	}
	body, err := c.back.fetch(ctx, m.UserInfoEndpoint, header, ask)
	if err != nil {
		return err
	}
	var members strictjson.Object
	if signed {
		raw, err := c.decrypted(string(body), encryptedUserInfo)
		var token *jws
		if err == nil {
			token, err = c.open(ctx, m, raw, (*Metadata).userInfoAlgs)
		}
		if err == nil {
			err = c.judgeUserInfo(token)
		}
		if err != nil {
			return err
		}
		members, body = strictjson.Object(token.claims), []byte(token.payload)
	} else if d := c.config.Decryption; d != nil && d.UserInfo {
		return invalidResponse("response_malformed", "userinfo is not encrypted")
	} else if members, err = strictjson.Parse(string(body)); err != nil {
		return invalidResponse("response_malformed", "userinfo: "+err.Error())
	}
	sub, _ := members.Value("sub")
	if s, ok := sub.String(); !ok || s != id.Subject || !validSubject(s) {
		return invalidToken("subject", "userinfo names another subject")
	}
	return decode(string(body), v)
}

// judgeUserInfo obeys OIDC Core 5.3.2: a signed answer has iss and aud, and they are ours.
func (c *Client) judgeUserInfo(t *jws) error {
	if t.typ != "" && t.typ != "jwt" {
		return invalidToken("token_use", "typ is not that of a userinfo answer")
	}
	for _, mark := range [...]string{"nonce", "events", "at_hash", "c_hash"} {
		if t.has(mark) {
			return invalidToken("token_use", "not a userinfo answer, but a token: it has "+mark)
		}
	}
	if iss, _, err := t.text("iss"); err != nil || iss != c.expected {
		return invalidToken("issuer", "iss is not the expected one")
	}
	aud, err := t.audience()
	if err != nil || !slices.Contains(aud, c.config.ClientID) {
		return invalidToken("audience", "aud does not name this client")
	}
	_, err = t.validity(c.now(), c.config.Leeway, false)
	return err
}
