package acptest_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/acp-go/acp/acptest"
)

func TestSignedResponses(t *testing.T) {
	for _, mode := range []string{"query.jwt", "form_post.jwt", "jwt"} {
		t.Run(mode, func(t *testing.T) {
			c := newClient(t, nil)
			params := c.params()
			params.Set("response_mode", mode)
			a := c.get(c.s.URL(acptest.AuthorizeEndpoint)+"?"+params.Encode(), nil)
			var token string
			if mode == "form_post.jwt" {
				_, rest, _ := strings.Cut(string(a.body), `name="response" value="`)
				token, _, _ = strings.Cut(rest, `"`)
			} else if location, err := url.Parse(a.header.Get("Location")); err != nil || len(location.Query()) != 1 {
				t.Fatalf("Location %q", a.header.Get("Location"))
			} else {
				token = location.Query().Get("response")
			}
			header, claims := payload(t, token)
			if header["alg"] != "ES256" || header["kid"] != c.s.Key().ID || claims["iss"] != c.s.Issuer || claims["aud"] != c.s.ClientID ||
				claims["exp"] == nil || claims["state"] != params.Get("state") || len(claims) != 5 {
				t.Errorf("%v %v", header, claims)
			}
			if tokens := c.token(c.tokenForm(text(claims, "code")), c.basic()); tokens.status != 200 {
				t.Errorf("tokens %d %s", tokens.status, tokens.body)
			}
		})
	}
	c := newClient(t, nil)
	if a := c.get(c.s.URL(acptest.MetadataEndpoint), nil); !strings.Contains(string(a.body), `"query.jwt"`) {
		t.Errorf("metadata %s", a.body)
	}
	params := c.params()
	params.Set("response_mode", "fragment.jwt")
	if a := c.get(c.s.URL(acptest.AuthorizeEndpoint)+"?"+params.Encode(), nil); a.status != 302 || !strings.Contains(a.header.Get("Location"), "response=") {
		t.Errorf("a mode that is not offered: %d %q", a.status, a.header.Get("Location"))
	}
}

func TestSignedResponseHooks(t *testing.T) {
	c := newClient(t, nil)
	signed := func() url.Values {
		params := c.params()
		params.Set("response_mode", "jwt")
		return c.authorize(params)
	}
	c.s.Deny("access_denied")
	c.s.OnJARM(func(header, claims map[string]any) { header["typ"] = "x"; claims["aud"] = "other" })
	c.s.OnCallback(func(v url.Values) { v.Set("state", "beside") })
	v := signed()
	header, claims := payload(t, v.Get("response"))
	if header["typ"] != "x" || claims["aud"] != "other" || claims["error"] != "access_denied" || claims["code"] != nil || v.Get("state") != "beside" {
		t.Errorf("%v %v %v", header, claims, v)
	}
	c.s.MintJARM(func(_, claims map[string]any) string { return acptest.Unsigned(nil, claims) })
	if v := signed(); !strings.HasSuffix(v.Get("response"), ".") {
		t.Errorf("%v", v)
	}
}
